"""Burst: every account's guard at once, and guards that come in while entries flood the other queue.

First, so many accounts have one margin guard each on the queue, and the exchange takes 150 ms for an answer. The time
to drain is compared with the two limits that nothing can beat: what the threads wait for the exchange (requests one
after the other x 150 ms / threads; whose a new key is, is asked while the handler reads), and the CPU time of all
processes / cores. Then as many entries are on the queue, and guards of
other accounts come in at random moments: how long until a thread takes them up.

Both on a ledger with a past that was analysed while nothing waited, as it is before any real burst: on an empty one,
the database's planner would not believe that next to nothing waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from benchmarks.arriving import moments, send
from benchmarks.findings import Findings
from benchmarks.fixed_exchange import ENTRY_PATH
from benchmarks.history import make_past
from benchmarks.processes import cores_busy_seconds
from benchmarks.report import Report, options
from benchmarks.stack import Account, Site, Stack, Work, Workers

DELAY = 0.15
OWNER_PATH = "/v3/account"
DRAIN_GOAL = 1.2
START_GOALS = {99.0: 50.0}
RATE = 20.0
"""Guards a second that come in during the flood."""
WARM_SECONDS = 10.0
"""Of the flood, in which the workers open their connections; the guards that come in then are told of apart."""
PAST = 50_000
"""Executions that have ended long ago."""
SPARE_CONNECTIONS = 8
LONGEST_SECONDS = 300.0
"""For what should take two minutes at most."""


@dataclass(frozen=True)
class Used:
    """CPU seconds by process so far, and requests at the exchange. ``cores``: what the whole machine has used.

    ``beside``: of the requests, those for which no thread waits longer.
    """

    cpu: Mapping[str, float]
    cores: float
    requests: int
    beside: int


def used(site: Site, workers: Workers) -> Used:
    """Read the clocks of all processes."""
    counts = site.stack.exchange.counts()
    cpu = {
        "workers": workers.cpu(),
        "database": site.stack.postgres_cpu(),
        "Redis": site.stack.redis_cpu(),
        "exchange": counts.cpu,
    }
    return Used(cpu, cores_busy_seconds(), counts.requests, counts.by_path.get(OWNER_PATH, 0))


def drained(site: Site, count: int, processes: int, threads: int) -> Findings:
    """Drain a burst of guards, and tell how close to the limits."""
    since = site.storage.now()
    site.enqueue("guard", count)
    with site.workers(processes=processes, threads=threads, wait=False) as workers:
        # From the first request on: what it costs to boot the other processes is part of the burst.
        began, before = site.stack.wait_for_changes(1, every=0.01, workers=workers), used(site, workers)
        seconds = site.stack.wait_for_changes(count, timeout=LONGEST_SECONDS, every=0.05, workers=workers) - began
        after = used(site, workers)
        finish(site, "guard", since, count)
    cores = len(os.sched_getaffinity(0))
    requests = after.requests - before.requests
    cpu = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
    in_a_row = requests - (after.beside - before.beside)
    waits = in_a_row * DELAY / (processes * threads)
    computes = sum(cpu.values()) / cores
    table = Findings(f"{count} accounts, one margin guard each, {processes} x {threads} threads")
    table.figure("drained in", seconds, "s")
    table.figure("limit of the threads", waits, "s")
    table.figure("limit of the CPU", computes, "s")
    table.figure("drained in / the larger limit", seconds / max(waits, computes), most=DRAIN_GOAL)
    table.figure("jobs a second", count / seconds, "/s")
    table.figure("requests a job", requests / count)
    table.figure("of them one after the other", in_a_row / count)
    for name, spent in cpu.items():
        table.figure(f"CPU of {name}", spent / count * 1000, "ms a job")
    table.figure("the cores were busy with these", sum(cpu.values()) / seconds / cores * 100, "%")
    others = after.cores - before.cores - sum(cpu.values())
    table.figure("the cores were busy with other things", max(others, 0) / seconds / cores * 100, "%")
    table.remark(f"{cores} cores, shared by all processes of the measurement, the exchange included.")
    return table


def flooded(site: Site, count: int, guards: Sequence[Account], processes: int, threads: int) -> Findings:
    """Have guards come in while entries flood the other queue."""
    since = site.storage.now()
    site.enqueue("entry", count)
    with site.workers(processes=processes, threads=threads):
        began = time.monotonic()
        at = moments(RATE, len(guards) / RATE)
        jobs = (guard.job("guard") for guard in guards)
        taken = send(jobs, at, until=lambda: _entries(site) > count - threads)
        finish(site, "entry", since, count)
        seconds = time.monotonic() - began
        finish(site, "guard", since, len(taken))
    delays = _delays(site)
    starts = [delays[one.execution_id] for one in taken]
    warm = [delays[one.execution_id] for one in taken if one.due - taken[0].due > WARM_SECONDS]
    table = Findings(f"{len(taken)} margin guards while {count} entries flood the other queue")
    table.percentiles("guard taken to guard begun", starts, most=START_GOALS)
    table.figure("the same, slowest", max(starts) * 1000, "ms")
    if warm:
        table.percentiles(f"the same, of the {len(warm)} after {WARM_SECONDS:g} s", warm, most=START_GOALS)
    table.figure("entries drained in", seconds, "s")
    table.figure("entries a second", count / seconds, "/s")
    return table


def finish(site: Site, work: Work, since: datetime, count: int) -> None:
    """Wait until nothing of a kind is left, and see to it that as many as came in since then have completed."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while (left := _left(site, work)) and time.monotonic() < deadline:
        time.sleep(0.2)
    rows = site.storage.rows(
        "SELECT status, COUNT(*) FROM axisor_executions WHERE automation_type = ? AND created_at >= ? GROUP BY status",
        TYPES[work],
        since,
    )
    found = {str(status): int(number) for status, number in rows}
    assert not left, f"{left} {work} jobs were left after {LONGEST_SECONDS:g} s: {found}"
    assert found == {"completed": count}, f"{count} {work} jobs ended as {found}"


TYPES: Mapping[Work, str] = {"entry": "auto_entry", "guard": "margin_guard"}


def _left(site: Site, work: Work) -> int:
    row = site.storage.one(
        "SELECT COUNT(*) FROM axisor_executions WHERE status IN ('queued', 'running', 'waiting') "
        "AND automation_type = ?",
        TYPES[work],
    )
    assert row is not None
    return int(row[0])


def _entries(site: Site) -> int:
    return site.stack.exchange.counts().by_path.get(ENTRY_PATH, 0)


def _delays(site: Site) -> dict[str, float]:
    rows = site.storage.rows(
        "SELECT id, EXTRACT(EPOCH FROM started_at - created_at) FROM axisor_executions "
        "WHERE automation_type = 'margin_guard'"
    )
    return {str(id_): float(delay) for id_, delay in rows}


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=10_000, quick_jobs=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=32, help="of each process (default: %(default)s)")
    parser.add_argument("--guards", type=int, default=1000, help="that come in during the flood (default: %(default)s)")
    parser.add_argument("--past", type=int, default=PAST, help="executions of the past (default: %(default)s)")
    asked = parser.parse_args()
    guards, past = (20, 1000) if asked.quick else (asked.guards, asked.past)
    report = Report("burst", "Burst", asked)
    pool = asked.threads + SPARE_CONNECTIONS
    with Stack(delay=DELAY, journal=True) as stack:
        report.versions.update(stack.versions())
        with stack.site("postgres", accounts=asked.jobs, db_pool=pool) as site:
            make_past(site, accounts=asked.jobs * 2, executions=past)
            report.say(f"{asked.jobs} accounts are there, as many others, and {past} executions of the past")
            report.show(drained(site, asked.jobs, asked.processes, asked.threads))
        with stack.site("postgres", accounts=asked.jobs + guards, db_pool=pool) as site:
            make_past(site, accounts=asked.jobs * 2 + guards, executions=past)
            report.say("and again, for the flood")
            own = site.accounts[asked.jobs :]
            report.show(flooded(site, asked.jobs, own, asked.processes, asked.threads))
    report.write()


if __name__ == "__main__":
    main()
