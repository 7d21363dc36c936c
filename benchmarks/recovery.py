"""Recovery: from kill -9 of a worker in the middle of a job to the job's continuation by another one.

Two workers with the default settings; one kills itself at a chosen point of a run, and a new one takes its place only
for the next kill. A job goes on when it is claimed again: it is decided anew, or what was sent is looked up at the
exchange. Nothing may be sent twice. The points are measured beside each other, each with a database and workers of its
own: what is waited for is time-outs, not the processor.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from axisor_executor.storage.actions import client_id
from benchmarks.findings import Findings
from benchmarks.report import Report, options
from benchmarks.stack import Account, Site, Stack, Workers

FINISHED = "finished"
POINTS = {
    "fetched": "fetched from the queue, nothing begun",
    "claimed": "claimed, being decided",
    "planned": "decided, nothing sent",
    "sending": "`sending` committed, nothing sent",
    "answered": "sent and answered, outcome not committed",
    FINISHED: "ended, the queue does not know; to the account's next job",
}
GOAL = 10.0
SPREAD = 5.0
"""Seconds over which the moments of the kills are spread: workers look for what was left behind at intervals."""
LONGEST = 60.0
FOLDER = Path(__file__).parent / "dying"


class Kills:
    """Kills at one point, one after the other.

    Args:
        site: where; it has an account for each kill.
        point: of the run.
        over: set when nobody wants to know any more.
    """

    def __init__(self, site: Site, point: str, over: threading.Event) -> None:
        self.site = site
        self.point = point
        self._over = over
        self._chance = random.Random(point)
        self._armed, self._died = (site.stack.folder / f"{site.name}-{state}" for state in ("armed", "died"))

    def seconds(self) -> list[float]:
        """Have a worker die over a job of each account, and return after how many seconds another went on with it."""
        with ExitStack() as ends:
            team = [self._hire(ends), self._hire(ends)]
            found = []
            for account in self.site.accounts:
                for one in team:
                    one.wait_for_lines("Worker ready", 1)
                found.append(self._to_go_on(account))
                team = [self._survivor(team), self._hire(ends)]
            return found

    def _hire(self, ends: ExitStack) -> Workers:
        command = [sys.executable, "-m", "dramatiq", "dying_worker", "--path", str(FOLDER)]
        command += ["--processes", "1", "--threads", "8"]
        env = self.site.environment(BENCH_DIE_AT=self.point, BENCH_ARMED=str(self._armed), BENCH_DIED=str(self._died))
        return ends.enter_context(Workers(command, self.site.stack.folder, env))

    def _survivor(self, team: list[Workers]) -> Workers:
        """Wait until the master has noticed that its worker is dead, and has ended, too."""
        self._wait("a master to end", lambda: not all(one.child.running for one in team))
        (survivor,) = (one for one in team if one.child.running)
        return survivor

    def _to_go_on(self, account: Account) -> float:
        self._over.wait(self._chance.uniform(0, SPREAD))
        self._armed.touch()
        execution_id = self._enqueue(account)
        if self.point == FINISHED:
            self._wait("a worker to die", self._died.exists)
            later = self._enqueue(account)
            self._wait("the next job to begin", lambda: self._fence(later) >= 1)
        else:
            claims = 1 if self.point == "fetched" else 2
            self._wait("somebody to go on", lambda: self._fence(execution_id) >= claims)
        gone_on = time.time()
        died = float(self._died.read_text())
        self._died.unlink()
        order = client_id(execution_id, None, 0)
        sent = sum(arrival.name == order for arrival in self.site.stack.exchange.arrivals())
        assert sent <= 1, f"the order of {execution_id} was sent {sent} times"
        # What still waits for the exchange's answer to be known must not come in between later.
        self.site.storage.run(
            "UPDATE axisor_executions SET status = 'cancelled' WHERE status IN ('queued','running','waiting')"
        )
        return gone_on - died

    def _enqueue(self, account: Account) -> str:
        execution, _ = self.site.parts.intake.take(account.job("entry"))
        self.site.parts.intake.announce(execution)
        return execution.id

    def _fence(self, execution_id: str) -> int:
        row = self.site.storage.one("SELECT fence FROM axisor_executions WHERE id = ?", execution_id)
        assert row is not None
        return int(row[0])

    def _wait(self, what: str, happened: Callable[[], Any]) -> None:
        deadline = time.monotonic() + LONGEST
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.point}: waited {LONGEST:g} s for {what}; {self._told()}")
            if self._over.wait(0.05):
                raise TimeoutError(f"{self.point}: nobody wants to know any more")

    def _told(self) -> str:
        rows = self.site.storage.rows(
            "SELECT status, wait_for, due_at, fence, sends, sent_at, {now} FROM axisor_executions "
            "ORDER BY id DESC LIMIT 2"
        )
        died = "a worker died" if self._died.exists() else "no worker died"
        logs = "\n".join(path.read_text()[-2000:] for path in self.site.stack.folder.glob("workers-*.log"))
        return f"{died}; the last rows: {rows}; all workers said:\n{logs}"


def all_seconds(stack: Stack, points: list[str], kills: int, report: Report) -> dict[str, list[float]]:
    """Kill at all points, beside each other, and return the seconds to the continuation by point."""
    over = threading.Event()
    with ExitStack() as ends:
        # All of them before anything runs on one: a new site wipes Redis.
        sites = {point: ends.enter_context(stack.site("postgres", accounts=kills)) for point in points}
        with ThreadPoolExecutor(len(points)) as threads:
            running = {point: threads.submit(Kills(site, point, over).seconds) for point, site in sites.items()}
            try:
                found = {}
                for point, one in running.items():
                    found[point] = one.result()
                    report.say(f"{point}: {', '.join(f'{second:.1f}' for second in sorted(found[point]))} s")
                    report.draft([told(found, kills)])
            finally:
                over.set()
    return found


def told(found: dict[str, list[float]], kills: int) -> Findings:
    """Return the seconds as a table."""
    table = Findings(f"From kill -9 to the job's continuation ({kills} kills at each point)")
    for point, seconds in found.items():
        table.figure(f"{POINTS[point]}: fastest", min(seconds), "s")
        table.figure(f"{POINTS[point]}: median", statistics.median(seconds), "s")
        table.figure(f"{POINTS[point]}: slowest", max(seconds), "s", most=GOAL)
    return table


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=20, quick_jobs=1)
    parser.add_argument("--point", choices=tuple(POINTS), action="append", help="only this one")
    asked = parser.parse_args()
    points = asked.point or (["claimed"] if asked.quick else list(POINTS))
    report = Report("recovery", "Recovery", asked)
    with Stack(journal=True) as stack:
        report.versions.update(stack.versions())
        report.show(told(all_seconds(stack, points, asked.jobs, report), asked.jobs))
    report.write()


if __name__ == "__main__":
    main()
