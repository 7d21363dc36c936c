"""Recovery: from kill -9 of a worker in the middle of a job to the job's continuation by another one.

Two workers with the default settings; one kills itself at a chosen point of a run, and stays dead. A job goes on when
it is claimed again: it is decided anew, or what was sent is looked up at the exchange. Nothing may be sent twice.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from axisor_executor.storage.actions import client_id
from benchmarks.findings import Findings
from benchmarks.report import Report, options
from benchmarks.stack import Account, Site, Stack, Workers

POINTS = {
    "fetched": "fetched from the queue, nothing begun",
    "claimed": "claimed, being decided",
    "planned": "decided, nothing sent",
    "sending": "`sending` committed, nothing sent",
    "answered": "sent and answered, outcome not committed",
}
GOAL = 10.0
SPREAD = 5.0
"""Seconds over which the moments of the kills are spread: workers look for what was left behind at intervals."""
LONGEST = 60.0
FOLDER = Path(__file__).parent / "dying"


def worker(site: Site, point: str, note: Path) -> Workers:
    """Return a worker that dies at a point, unless somebody has died before."""
    command = [sys.executable, "-m", "dramatiq", "dying_worker", "--path", str(FOLDER)]
    command += ["--processes", "1", "--threads", "8"]
    return Workers(command, site.stack.folder, site.environment(BENCH_DIE_AT=point, BENCH_NOTE=str(note)))


def seconds_to_go_on(site: Site, point: str, account: Account, chance: random.Random) -> float:
    """Have a worker die over a job of this account, and return after how many seconds another goes on with it."""
    # What an earlier try has left waiting for the exchange must not come in between.
    site.storage.run("UPDATE axisor_executions SET status = 'cancelled' WHERE status IN ('queued','running','waiting')")
    note = site.stack.folder / f"died-{account.id}"
    with ExitStack() as ends:
        for _ in range(2):
            ends.enter_context(worker(site, point, note)).wait_for_lines("Worker ready", 1)
        time.sleep(chance.uniform(0, SPREAD))
        execution, _ = site.parts.intake.take(account.job("entry"))
        site.parts.intake.wake(execution)
        deadline = time.monotonic() + LONGEST
        claims = 1 if point == "fetched" else 2
        while _claims(site, execution.id) < claims:
            if time.monotonic() > deadline:
                raise TimeoutError(_stuck(site, execution.id, note))
            time.sleep(0.01)
        gone_on = time.time()
        died = float(note.read_text())
    order = client_id(execution.id, None, 0)
    sent = sum(arrival.name == order for arrival in site.stack.exchange.arrivals())
    assert sent <= 1, f"the order of {execution.id} was sent {sent} times"
    return gone_on - died


def _stuck(site: Site, execution_id: str, note: Path) -> str:
    row = site.storage.one(
        "SELECT status, wait_for, due_at, fence, sends, sent_at, {now} FROM axisor_executions WHERE id = ?",
        execution_id,
    )
    died = "a worker died" if note.exists() else "no worker died"
    logs = "\n".join(path.read_text()[-2000:] for path in site.stack.folder.glob("workers-*.log"))
    return f"nobody went on with the job for {LONGEST:g} s; {died}; its row: {row}; the workers said:\n{logs}"


def _claims(site: Site, execution_id: str) -> int:
    row = site.storage.one("SELECT fence FROM axisor_executions WHERE id = ?", execution_id)
    assert row is not None
    return int(row[0])


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=8, quick_jobs=1)
    parser.add_argument("--point", choices=tuple(POINTS), action="append", help="only this one")
    asked = parser.parse_args()
    points = asked.point or (["claimed"] if asked.quick else list(POINTS))
    report = Report("recovery", "Recovery", asked)
    table = Findings(f"From kill -9 to the job's continuation ({asked.jobs} kills each)")
    with Stack(journal=True) as stack, stack.site("postgres", accounts=asked.jobs * len(points)) as site:
        report.versions.update(stack.versions())
        accounts, chance = iter(site.accounts), random.Random(1)
        for point in points:
            seconds = [seconds_to_go_on(site, point, next(accounts), chance) for _ in range(asked.jobs)]
            report.say(f"{point}: {', '.join(f'{one:.1f}' for one in sorted(seconds))} s")
            table.figure(f"{POINTS[point]}: median", statistics.median(seconds), "s")
            table.figure(f"{POINTS[point]}: slowest", max(seconds), "s", most=GOAL)
        report.show(table)
    report.write()


if __name__ == "__main__":
    main()
