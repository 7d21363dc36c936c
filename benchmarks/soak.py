"""Soak: mixed jobs under faults for half an hour; does anything grow, and was each job done exactly once?

Two workers on PostgreSQL, Redis and the paper exchange. Jobs of all kinds come in at random moments while the exchange
loses answers, refuses and garbles; every so often a worker is killed (SIGKILL) or stands still (SIGSTOP, for longer
than a lease lasts), and Redis dies and comes back empty. One of the workers is spared: what it, Redis and PostgreSQL
hold is looked at all the while. At the end the exchange's record is compared, request by request, with the ledger.

The first jobs come all at once, so that every thread has worked and every pool is full before growth is looked for.
Jobs on a trade are of automations that recur, as in life; those of the other kinds have one each, whose config each
worker keeps (1.5 KiB): that is growth, up to 10 000 of them, and stays within what is allowed here.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

from axisor_executor.errors import EmbeddedServerError
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from benchmarks.arriving import moments
from benchmarks.findings import Findings
from benchmarks.report import Report, options
from benchmarks.stack import CHECKOUT, Stack, Workers
from benchmarks.usage import Usage, usage, workers_of
from tests.faults.ledger_check import Tally, check
from tests.faults.workload import Intent, Wanted, Workload
from tests.harness.paper import PaperExchange
from tests.harness.world import Account, World

KINDS = (
    "close",
    "reduce",
    "enter",
    "add_margin",
    "set_stoploss",
    "enter_limit",
    "set_takeprofit",
    "close_tp",
    "guard_all",
    "enter",
)
WINDOW_SECONDS = 5.0
"""How long a signed request lives, and the margin behind it: what is lost is settled after the sum of both."""
RETRIES = {"tries": 10, "first_delay_seconds": 0.5, "limit_seconds": 5, "max_age_seconds": 3600}
FAULTS: tuple[tuple[str, dict[str, float | int | bool]], ...] = (
    ("drop_after", {"rate": 0.02, "mutating": True}),
    ("drop_before", {"rate": 0.01, "mutating": True}),
    ("status_after", {"rate": 0.01, "status": 500, "mutating": True}),
    ("malformed", {"rate": 0.01, "mutating": True}),
    ("status_before", {"rate": 0.02, "status": 503}),
    ("status_before", {"rate": 0.01, "status": 429, "retryAfter": 1}),
    ("latency", {"rate": 0.2, "seconds": 0.1, "jitter": 0.3}),
)
STOPPED_SECONDS = 40.0
"""How long a worker stands still: longer than a lease (6 s) and than its silence is borne with (30 s)."""
REDIS_AWAY_SECONDS = 3.0
AT_ONCE = 200
"""Jobs that come in at the very beginning, together."""
TOLD_EVERY = 18
"""Samples between two lines that tell how far it is: three minutes."""
THREADS = 8
"""Of each worker; threads that ask plugins and connections are made when so many are needed at once, so their number
may differ by as many."""
GROWN_MIB, GROWN_KEYS = 3.0, 50.0
NOTICED = ("has stalled", "has been silent", "Run given up", "dead worker left behind", "is not the one that it was")
"""What the workers say where something was noticed."""


@dataclass(frozen=True)
class Sample:
    """What the spared worker, Redis (with how many keys) and PostgreSQL (how many sessions) hold at a moment."""

    worker: Usage
    redis: Usage
    keys: int
    sessions: int


class Recurring(Workload):
    """A workload in which an account's jobs of one kind on its trades are all of one automation."""

    def __init__(self, world: World, count: int) -> None:
        self._automations: dict[tuple[str, str], str] = {}
        super().__init__(world, count)

    def _intent(
        self,
        kind: str,
        account: Account,
        type: str,  # noqa: A002  the column's name
        config: dict[str, Any],
        trade_id: str | None,
        *effects: Wanted,
    ) -> Intent:
        known = self._automations.get((account.id, kind))
        if trade_id is not None and known is not None:
            return Intent(kind, account, known, trade_id, effects)
        made = super()._intent(kind, account, type, config, trade_id, *effects)
        self._automations[account.id, kind] = made.automation_id
        return made


class Team:
    """Two workers: the first is spared, the second is killed and stopped, and comes back."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._command = [sys.executable, "-m", "dramatiq", "axisor_executor.actors", "--processes", "1"]
        self._command += ["--threads", str(THREADS)]
        self._outputs: list[Path] = []
        self.lives = 0
        self.spared = self._start()
        self.mortal = self._start()

    def _start(self) -> Workers:
        self.lives += 1
        made = Workers(self._command, self._folder, self._env, name=f"worker {self.lives}")
        self._outputs.append(made.output)
        made.child.start()
        made.wait_for_lines("Worker ready", 1)
        return made

    def kill(self) -> None:
        """Kill the mortal one where it is; another takes its place, as a supervisor would have it."""
        self.mortal.child.kill()
        self.mortal = self._start()

    def stop_for(self, seconds: float, over: threading.Event) -> None:
        """Let the mortal one stand still for a while."""
        (pid,) = workers_of(self.mortal.child.pid)
        os.kill(pid, signal.SIGSTOP)
        over.wait(seconds)
        os.kill(pid, signal.SIGCONT)

    def log(self) -> str:
        """Return what all of them have said."""
        return "\n".join(path.read_text(errors="replace") for path in self._outputs)

    def end(self) -> None:
        """End both, politely."""
        for one in (self.spared, self.mortal):
            one.child.stop()


class Soak:
    """One soak: its world, its workers, and what was seen.

    Args:
        stack: PostgreSQL and Redis.
        paper: the exchange.
        seconds: how long jobs come in.
        rate: jobs a second.
        every: seconds between two disturbances.
        report: what hears how far it is.
    """

    def __init__(
        self, stack: Stack, paper: PaperExchange, *, seconds: float, rate: float, every: float, report: Report
    ) -> None:
        assert stack.postgres is not None
        self.report = report
        self.stack = stack
        self.seconds = seconds
        self.every = every
        settings = Settings(
            database_url=stack.postgres.databases.url(stack.postgres.databases.create()),
            redis_url=stack.redis.url,
            exchange_url=paper.url,
            encryption_key="canary-encryption-key-1f6b",
            queue_prefix=f"soak-{uuid4().hex[:8]}",
            signature_window_seconds=WINDOW_SECONDS,
            signature_margin_seconds=WINDOW_SECONDS,
        )
        paper.settings(windowSeconds=WINDOW_SECONDS)
        self.world = World(settings, Storage(settings.require_database()), paper)
        self.work = Recurring(self.world, 40)
        at_once = min(AT_ONCE, round(rate * seconds / 4))
        self.at = [0.0] * at_once + moments(rate - at_once / seconds, seconds)
        self.intents = self.work.prepare(len(self.at), KINDS)
        self.samples: list[Sample] = []
        self.disturbed: Counter[str] = Counter()
        self._taken = 0
        self._over = threading.Event()

    def run(self) -> Tally:
        """Let everything happen, and compare what came of it."""
        for kind, more in FAULTS:
            self.world.paper.add_fault(kind, seed=1, **more)
        self.team = Team(self.stack.folder, self._environment())
        try:
            with self._beside(self._disturb), self._beside(self._watch):
                try:
                    self._enqueue()
                finally:
                    self._over.set()
            self._settle()
        finally:
            self.team.end()
        self.world.paper.clear_faults()
        return check(self.world, self.intents, by_hand=self.work.keys_by_hand, may_fail={"exchange_unavailable"})

    def _environment(self) -> dict[str, str]:
        plugins = sorted(str(path.parent) for path in CHECKOUT.glob("plugins/*/pyproject.toml"))
        return self.world.environment(
            PYTHONPATH=os.pathsep.join([str(CHECKOUT), *plugins]), AXISOR_LOG_FORMAT="json", **_RATES
        )

    def _beside(self, what: Callable[[], None]) -> ExitStack:
        """Do something in a thread while a block runs; what goes wrong there, goes wrong here."""
        ends, failures = ExitStack(), []

        def do() -> None:
            try:
                what()
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        thread = threading.Thread(target=do, daemon=True)

        def end() -> None:
            thread.join()
            if failures:
                raise failures[0]

        thread.start()
        ends.callback(end)
        return ends

    def _enqueue(self) -> None:
        began = time.monotonic()
        for intent, moment in zip(self.intents, self.at, strict=True):
            time.sleep(max(began + moment - time.monotonic(), 0))
            self.work.enqueue(intent)
            self._taken += 1

    def _disturb(self) -> None:
        for disturb in itertools.cycle((self._kill, self._stop, self._restart_redis, self._kill, self._flush)):
            if self._over.wait(self.every):
                return
            disturb()

    def _kill(self) -> None:
        self.team.kill()
        self.disturbed["worker killed"] += 1

    def _stop(self) -> None:
        self.team.stop_for(min(STOPPED_SECONDS, self.seconds / 3), self._over)
        self.disturbed["worker stood still"] += 1

    def _restart_redis(self) -> None:
        self.stack.redis.kill()
        self._over.wait(REDIS_AWAY_SECONDS)
        self.stack.redis.start()
        self.disturbed["Redis killed and started"] += 1

    def _flush(self) -> None:
        with redis.Redis.from_url(self.stack.redis.url) as client:
            client.flushall()
        self.disturbed["Redis wiped"] += 1

    def _watch(self) -> None:
        (pid,) = workers_of(self.team.spared.child.pid)
        client = redis.Redis.from_url(self.stack.redis.url)
        while not self._over.wait(min(10.0, self.seconds / 40)):
            with suppress(ProcessLookupError, EmbeddedServerError, redis.RedisError):  # Redis is away
                server = usage(self.stack.redis.pid)
                row = self.world.storage.one(
                    "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name LIKE 'axisor%'"
                )
                assert row is not None
                self.samples.append(Sample(usage(pid), server, int(client.dbsize()), int(row[0])))
                if len(self.samples) % TOLD_EVERY == 0:
                    self._tell_so_far()
        client.close()

    def _tell_so_far(self) -> None:
        now = self.samples[-1]
        disturbed = ", ".join(f"{name}: {count}" for name, count in self.disturbed.items())
        self.report.say(
            f"{self._taken} jobs taken; worker: {now.worker.private:.1f} MiB, {now.worker.threads} threads, "
            f"{now.worker.sockets} sockets; {now.sessions} sessions, {now.keys} keys; {disturbed or 'undisturbed'}"
        )
        self.report.facts["samples"] = [asdict(one) for one in self.samples]
        self.report.draft([growth(self.samples)])

    def _settle(self) -> None:
        deadline = time.monotonic() + 60 + 12 * WINDOW_SECONDS
        while not self.work.all_over():
            if time.monotonic() > deadline:
                return  # the comparison tells what is left
            time.sleep(0.5)

    def waits(self) -> list[float]:
        """Return how long each job took from its arrival to its end, in seconds."""
        rows = self.world.storage.rows(
            "SELECT EXTRACT(EPOCH FROM finished_at - created_at) FROM axisor_executions WHERE finished_at IS NOT NULL"
        )
        return [float(row[0]) for row in rows]

    def noticed(self) -> Counter[str]:
        """Return how often the workers said each of the things that show that something was noticed."""
        log = self.team.log()
        return Counter({text: log.count(text) for text in NOTICED})


_RATES = {"AXISOR_PRIVATE_CALLS_PER_SECOND": "1000", "AXISOR_PUBLIC_CALLS_PER_SECOND": "1000"}


def growth(samples: Sequence[Sample]) -> Findings:
    """Tell what has grown from the second quarter to the last: the first is warm-up."""
    quarter = len(samples) // 4
    assert quarter, "too few samples to tell growth from"
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    table = Findings(f"The spared worker and its servers, second quarter against the last ({len(samples)} samples)")
    measures: dict[str, tuple[Callable[[Sample], float], str, float]] = {
        "worker, private memory": (lambda one: one.worker.private, "MiB", GROWN_MIB),
        "worker, threads": (lambda one: one.worker.threads, "", THREADS),
        "worker, open files": (lambda one: one.worker.files, "", THREADS),
        "worker, sockets": (lambda one: one.worker.sockets, "", THREADS),
        "PostgreSQL, sessions of all": (lambda one: one.sessions, "", THREADS),
        "Redis, sockets": (lambda one: one.redis.sockets, "", THREADS),
        "Redis, memory": (lambda one: one.redis.private, "MiB", GROWN_MIB),
        "Redis, keys": (lambda one: one.keys, "", GROWN_KEYS),
    }
    for name, (read, unit, most) in measures.items():
        before, after = (statistics.median(map(read, part)) for part in (early, late))
        table.figure(f"{name}: at first", before, unit)
        table.figure(f"{name}: grown by", after - before, unit, most=most)
    return table


def once(tally: Tally, soak: Soak) -> Findings:
    """Tell what came of the jobs."""
    table = Findings("Exactly once: the exchange's record against the ledger")
    table.figure("jobs", tally.jobs)
    for status, count in sorted(tally.statuses.items()):
        table.figure(f"jobs {status}", count)
    table.percentiles("from a job's arrival to its end", waits := soak.waits())
    table.figure("the same, slowest", max(waits), "s")
    table.figure("requests that change something", tally.requests)
    table.figure("effects at the exchange", tally.effects)
    table.figure("doubled", tally.doubled, most=0)
    table.figure("lost", tally.lost, most=0)
    table.figure("on a wrong account", tally.wrong_account, most=0)
    table.figure("uncertain", len(tally.uncertain), most=0)
    table.figure("discrepancies", len(tally.problems), most=0)
    for name, count in sorted(soak.disturbed.items()):
        table.figure(name, count)
    for text, count in soak.noticed().items():
        table.figure(f"workers said: ...{text}", count)
    table.note = " ".join(tally.problems[:20])
    return table


def main() -> None:
    """Soak and tell."""
    parser = options(__doc__, jobs=7200, quick_jobs=90)
    parser.add_argument("--minutes", type=float, default=30, help="how long jobs come in (default: %(default)s)")
    parser.add_argument("--every", type=float, default=60, help="seconds between two disturbances")
    asked = parser.parse_args()
    minutes, every = (0.5, 4.0) if asked.quick else (asked.minutes, asked.every)
    os.environ["AXISOR_RETRIES"] = json.dumps(dict.fromkeys(("margin_guard", "tp_sl", "auto_entry"), RETRIES))
    os.environ |= _RATES
    report = Report("soak", "Soak", asked)
    with Stack() as stack, PaperExchange(stack.folder / "paper.log") as paper:
        report.versions.update(stack.versions())
        rate = asked.jobs / minutes / 60
        soak = Soak(stack, paper, seconds=minutes * 60, rate=rate, every=every, report=report)
        report.say(f"{len(soak.intents)} jobs are prepared")
        tally = soak.run()
        report.facts["samples"] = [asdict(one) for one in soak.samples]
        report.show(growth(soak.samples))
        report.show(once(tally, soak))
        soak.world.close()
    report.write()


if __name__ == "__main__":
    main()
