"""Burst: every account's guard at once, and guards that come in while entries flood the other queue.

First, so many accounts have one margin guard each on the queue, and the exchange takes 150 ms for an answer. The time
to drain is compared with the two limits that nothing can beat: what the threads wait for the exchange (requests x
150 ms / threads), and the CPU time of all processes / cores. Then as many entries are on the queue, and guards of
other accounts come in at random moments: how long until a thread takes them up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.arriving import moments, send
from benchmarks.findings import Findings
from benchmarks.report import Report, options
from benchmarks.stack import Account, Site, Stack, Work, Workers

DELAY = 0.15
DRAIN_GOAL = 1.2
START_GOALS = {99.0: 50.0}
RATE = 20.0
"""Guards a second that come in during the flood."""
SPARE_CONNECTIONS = 8


@dataclass(frozen=True)
class Used:
    """CPU seconds by process so far, and requests at the exchange."""

    cpu: Mapping[str, float]
    requests: int


def used(site: Site, workers: Workers) -> Used:
    """Read the clocks of all processes."""
    counts = site.stack.exchange.counts()
    cpu = {
        "workers": workers.cpu(),
        "database": site.stack.postgres_cpu(),
        "Redis": site.stack.redis_cpu(),
        "exchange": counts.cpu,
    }
    return Used(cpu, counts.requests)


def drained(site: Site, count: int, processes: int, threads: int) -> Findings:
    """Drain a burst of guards, and tell how close to the limits."""
    site.enqueue("guard", count)
    with site.workers(processes=processes, threads=threads, wait=False) as workers:
        # From the first request on: what it costs to boot the other processes is part of the burst.
        began, before = site.stack.wait_for_changes(1, every=0.01), used(site, workers)
        seconds = site.stack.wait_for_changes(count, timeout=900, every=0.05) - began
        after = used(site, workers)
        finish(site, "guard", count)
    cores = len(os.sched_getaffinity(0))
    requests = after.requests - before.requests
    cpu = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
    waits = requests * DELAY / (processes * threads)
    computes = sum(cpu.values()) / cores
    table = Findings(f"{count} accounts, one margin guard each, {processes} x {threads} threads")
    table.figure("drained in", seconds, "s")
    table.figure("limit of the threads", waits, "s")
    table.figure("limit of the CPU", computes, "s")
    table.figure("drained in / the larger limit", seconds / max(waits, computes), most=DRAIN_GOAL)
    table.figure("jobs a second", count / seconds, "/s")
    table.figure("requests a job", requests / count)
    for name, spent in cpu.items():
        table.figure(f"CPU of {name}", spent / count * 1000, "ms a job")
    table.remark(f"{cores} cores, shared by all processes of the measurement, the exchange included.")
    return table


def flooded(site: Site, count: int, guards: list[Account], processes: int, threads: int) -> Findings:
    """Have guards come in while entries flood the other queue."""
    site.enqueue("entry", count)
    with site.workers(processes=processes, threads=threads):
        began = time.monotonic()
        at = moments(RATE, len(guards) / RATE)
        taken = send((guard.job("guard") for guard in guards), at, until=lambda: _left(site, "entry") < threads)
        finish(site, "entry", count)
        seconds = time.monotonic() - began
        finish(site, "guard", None)
    starts = _starts(site, [one.execution_id for one in taken])
    table = Findings(f"{len(taken)} margin guards while {count} entries flood the other queue")
    table.percentiles("guard taken to guard begun", starts, most=START_GOALS)
    table.figure("the same, slowest", max(starts) * 1000, "ms")
    table.figure("entries drained in", seconds, "s")
    table.figure("entries a second", count / seconds, "/s")
    return table


def finish(site: Site, work: Work, count: int | None, *, timeout: float = 900.0) -> None:
    """Wait until nothing of a kind is left, and see to it that all (or ``count``) have completed."""
    deadline = time.monotonic() + timeout
    while (left := _left(site, work)) and time.monotonic() < deadline:
        time.sleep(0.2)
    rows = site.storage.rows(
        "SELECT status, COUNT(*) FROM axisor_executions WHERE automation_type = ? GROUP BY status", TYPES[work]
    )
    found = {str(status): int(number) for status, number in rows}
    assert not left, f"{left} {work} jobs were left after {timeout:g} s: {found}"
    assert set(found) == {"completed"}, f"{work} jobs ended as {found}"
    assert count in (None, found["completed"]), f"{found['completed']} of {count} {work} jobs completed"


TYPES: Mapping[Work, str] = {"entry": "auto_entry", "guard": "margin_guard"}


def _left(site: Site, work: Work) -> int:
    row = site.storage.one(
        "SELECT COUNT(*) FROM axisor_executions WHERE status IN ('queued', 'running', 'waiting') "
        "AND automation_type = ?",
        TYPES[work],
    )
    assert row is not None
    return int(row[0])


def _starts(site: Site, ids: list[str]) -> list[float]:
    rows = site.storage.rows(
        "SELECT id, EXTRACT(EPOCH FROM started_at - created_at) FROM axisor_executions "
        "WHERE automation_type = 'margin_guard'"
    )
    seconds = {str(id_): float(delay) for id_, delay in rows}
    return [seconds[one] for one in ids]


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=10_000, quick_jobs=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=32, help="of each process (default: %(default)s)")
    parser.add_argument("--guards", type=int, default=1000, help="that come in during the flood (default: %(default)s)")
    asked = parser.parse_args()
    guards = 20 if asked.quick else asked.guards
    report = Report("burst", "Burst", asked)
    pool = asked.threads + SPARE_CONNECTIONS
    with Stack(delay=DELAY, journal=True) as stack:
        report.versions.update(stack.versions())
        with stack.site("postgres", accounts=asked.jobs, db_pool=pool) as site:
            report.say(f"{asked.jobs} accounts are there")
            report.show(drained(site, asked.jobs, asked.processes, asked.threads))
        with stack.site("postgres", accounts=asked.jobs + guards, db_pool=pool) as site:
            report.say("and again, for the flood")
            own = site.accounts[asked.jobs :]
            report.show(flooded(site, asked.jobs, own, asked.processes, asked.threads))
    report.write()


if __name__ == "__main__":
    main()
