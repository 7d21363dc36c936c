"""Storm 9: the exchange is gone for half a minute under load, killed or frozen. Its breaker opens; then all is done."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.mortal import MortalExchange
from tests.faults.storming import burst, struck
from tests.faults.workload import Workload
from tests.harness.world import World

NO_LIMIT = "1000"
SPARE_THREADS = 8
"""Threads that a process may start when it first needs them: it is not asked for any before it is warm."""
LOST_ANSWERS = 3
MOST_AT_ONCE = 4
MOST_PROBES = 60


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[MortalExchange]:
    """An exchange to kill."""
    folder = tmp_path / "exchange"
    folder.mkdir()
    with MortalExchange(folder) as exchange:
        yield exchange


@pytest.fixture(autouse=True)
def _no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper exchange takes whatever comes, so that there is load."""
    monkeypatch.setenv("AXISOR_PRIVATE_CALLS_PER_SECOND", NO_LIMIT)
    monkeypatch.setenv("AXISOR_PUBLIC_CALLS_PER_SECOND", NO_LIMIT)


@dataclass
class Watch:
    """What is seen of the executor while the exchange is away.

    ``since``: when it went, in seconds since 1970. ``running``: the runs at once, from when the calls that were under
    way at the breaker's opening have timed out.
    """

    world: World
    crew: Crew
    since: float
    opened_after: float | None = None
    probes: int = 0
    threads: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Look once."""
        found = next((one for one in self.world.parts.breakers.states() if one.kind == "exchange"), None)
        if found is not None:
            self.probes = max(self.probes, found.failed_probes)
            if self.opened_after is None:
                self.opened_after = found.since - self.since
        self.threads.append(max(thread_counts(self.crew)))
        settled = (self.opened_after or math.inf) + self.world.settings.request_timeout_seconds + 0.5
        if time.time() - self.since > settled:
            with self.world.storage.connection():
                row = self.world.storage.one("SELECT COUNT(*) FROM axisor_executions WHERE status = 'running'")
            self.running.append(int(row[0]) if row else 0)

    def until(self, moment: float) -> None:
        """Look on until ``moment`` (seconds since 1970)."""
        while time.time() < moment:
            self.look()
            self.crew.wait(0.2)


def thread_counts(crew: Crew) -> list[int]:
    """Return how many threads each of the workers' processes has."""
    return [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in crew.pids()]


def kill(exchange: MortalExchange) -> None:
    exchange.kill()


def revive(exchange: MortalExchange) -> None:
    exchange.revive()


def freeze(exchange: MortalExchange) -> None:
    exchange.process.pause()


def thaw(exchange: MortalExchange) -> None:
    exchange.process.resume()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("what", "goes", "comes", "away_for", "opens_within"),
    [
        ("killed", kill, revive, 30.0, 5.0),
        ("frozen", freeze, thaw, 15.0, 10.0),  # each failure takes the time-out of a call, 2 s
    ],
    ids=["killed", "frozen"],
)
def test_everything_is_done_when_the_exchange_is_back(
    world: World,
    paper: MortalExchange,
    tmp_path: Path,
    seed: int,
    fault_jobs: int,
    figures: Figures,
    what: str,
    goes: Callable[[MortalExchange], None],
    comes: Callable[[MortalExchange], None],
    away_for: float,
    opens_within: float,
) -> None:
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    part = len(intents) // 4
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        began = time.monotonic()
        burst(work, intents[:part], crew)
        crew.wait(1.0)
        calm = max(thread_counts(crew))
        paper.add_fault("drop_after", mutating=True, count=LOST_ANSWERS)  # the last that it does, nobody hears of
        burst(work, intents[part : 2 * part], crew)

        lost = struck(paper)
        watch = Watch(world, crew, since=time.time())
        goes(paper)
        # The load goes on: half of the jobs come while nobody answers.
        burst(work, intents[2 * part :], crew, lambda _: watch.look())
        watch.until(watch.since + away_for)
        assert not work.all_over()
        comes(paper)
        back = time.monotonic()
        crew.keep_on(lambda: not world.parts.breakers.states(), within=60, what="the closing of the breaker")
        closed_after = time.monotonic() - back
        crew.keep_on(work.all_over, within=90 + 2 * fault_jobs, what="the end of all jobs")
        done_after = time.monotonic() - back
        seconds = time.monotonic() - began
        assert crew.ended == 0, crew.last_words()
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record(
        "9",
        f"the exchange {what} for {away_for:g} s",
        world,
        tally,
        faults={what: 1, **lost},
        seconds=seconds,
        breaker_open_after=f"{watch.opened_after:.1f} s" if watch.opened_after is not None else "never",
        failed_probes=watch.probes,
        runs_at_once_meanwhile=f"{statistics.median(watch.running):g} (most {max(watch.running)})",
        threads=f"{calm} before, {max(watch.threads)} meanwhile",
        closed_after_its_return=f"{closed_after:.1f} s",
        all_done_after_its_return=f"{done_after:.1f} s",
    )
    assert tally.problems == []
    assert tally.statuses.keys() <= {"completed", "pending"}  # pending: the close that another job was first with
    assert watch.opened_after is not None
    assert watch.opened_after <= opens_within
    assert statistics.median(watch.running) <= MOST_AT_ONCE, "runs hang, though the breaker is open"
    assert max(watch.threads) <= calm + SPARE_THREADS
    assert 0 < watch.probes <= MOST_PROBES
