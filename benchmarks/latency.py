"""Latency: from enqueue() to the request at the exchange, at several rates; and what an idle worker costs.

Jobs are entries without a trigger (one request each), enqueued by this process at random moments (open loop, Poisson).
A time runs from the call of enqueue() to the moment at which the exchange's socket has the whole request; all clocks
are one.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from axisor_executor.storage.actions import client_id
from benchmarks import statements
from benchmarks.arriving import moments, send
from benchmarks.findings import Findings, percentile
from benchmarks.processes import cores_busy_seconds
from benchmarks.report import Report, options
from benchmarks.stack import Site, Stack, Workers
from benchmarks.usage import cpu_of, workers_of

SECONDS = {2.0: 100.0, 20.0: 75.0, 200.0: 30.0}
"""For how long jobs come in at each rate: 200, 1500 and 6000 jobs."""
QUICK_SECONDS = 5.0
LEFT_SECONDS = 20.0
"""After the last job was to come in: what has not been carried out by then is told of, and waited for no more."""
GOALS = {50.0: 5.0, 99.0: 20.0}
IDLE_GOAL = 1.0
SETTLED_SECONDS = 3.0
SENDER_LATE_MS = 2.0
MOST_SHOWN, TEXT_SHOWN = 6, 90


@dataclass(frozen=True)
class Idle:
    """What workers without work cost, a second: percent of a core, commands by name, statements by text."""

    percent: float
    commands: Mapping[str, float]
    statements: Mapping[str, float]


def idle(site: Site, workers: Workers, seconds: float) -> Idle:
    """Watch workers that have nothing to do. Statements are counted on PostgreSQL only."""
    pids = workers_of(workers.child.pid)
    with redis.Redis.from_url(site.settings.redis_url) as client:
        before = _statements(site)
        client.config_resetstat()
        began, cpu = time.monotonic(), sum(map(cpu_of, pids))
        time.sleep(seconds)
        took, used = time.monotonic() - began, sum(map(cpu_of, pids)) - cpu
        commands: Any = client.info("commandstats")
        found = _statements(site) - before
    calls = {name.removeprefix("cmdstat_"): facts["calls"] for name, facts in commands.items() if "|" not in name}
    return Idle(
        used / took * 100,
        {name: count / took for name, count in calls.items()},
        {text: count / took for text, count in found.items()},
    )


def _statements(site: Site) -> Counter[str]:
    if site.kind == "sqlite":
        return Counter()
    statements.prepare(site.url)
    return statements.asked(site.url)


def told(idle: Idle) -> Findings:
    """Return what idleness costs as a table."""
    table = Findings("Idle")
    table.figure("CPU of the workers", idle.percent, "% of a core", most=IDLE_GOAL)
    table.figure("commands to Redis", sum(idle.commands.values()), "/s")
    table.figure("statements to the database", sum(idle.statements.values()), "/s")
    for what, counted in (("Redis", idle.commands), ("Database", idle.statements)):
        most = sorted(counted.items(), key=lambda item: -item[1])[:MOST_SHOWN]
        table.remark(f"{what}: " + "; ".join(f"{calls:.1f}/s {name[:TEXT_SHOWN]}" for name, calls in most) + ".")
    return table


def at_rate(site: Site, rate: float, seconds: float) -> Findings:
    """Let jobs come in at ``rate`` a second, and tell how long each took to the exchange."""
    site.stack.exchange.reset()
    jobs = (account.job("entry") for account in itertools.cycle(site.accounts))
    busy = cores_busy_seconds()
    began = time.monotonic()
    taken = send(jobs, moments(rate, seconds))
    with suppress(TimeoutError):
        site.stack.wait_for_changes(len(taken), timeout=LEFT_SECONDS)
    took = time.monotonic() - began
    busy = (cores_busy_seconds() - busy) / took / len(os.sched_getaffinity(0)) * 100
    arrived = {arrival.name: arrival.at for arrival in site.stack.exchange.arrivals()}
    came = [(one, arrived[name]) for one in taken if (name := client_id(one.execution_id, None, 0)) in arrived]
    table = Findings(f"{rate:g} jobs a second ({len(taken)} jobs)")
    if len(came) < len(taken):
        table.figure(f"not carried out {LEFT_SECONDS:g} s after the last", len(taken) - len(came), "jobs", most=0)
    table.percentiles("enqueue() to request", [at - one.began for one, at in came], most=GOALS)
    table.percentiles("enqueue() itself", [one.ended - one.began for one in taken])
    table.figure("jobs carried out", len(came) / took, "/s")
    table.figure("the cores were busy, with whatever", busy, "%")
    late = percentile([one.began - one.due for one in taken], 99) * 1000
    if late > SENDER_LATE_MS:
        table.percentiles("when it was due to request", [at - one.due for one, at in came])
        table.remark(f"The sender's threads were busy or late, by {late:.1f} ms (p99), before enqueue() was called.")
    return table


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=6000, quick_jobs=60)
    parser.add_argument("--rates", type=float, nargs="+", default=list(SECONDS), help="jobs a second")
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--idle", type=float, default=45, help="seconds for which idle workers are watched")
    asked = parser.parse_args()
    report = Report("latency", "Latency", asked)
    with (
        Stack(postgres=asked.database == "postgres", journal=True) as stack,
        stack.site(asked.database, accounts=500) as site,
        site.workers(processes=asked.processes, threads=asked.threads) as workers,
    ):
        report.versions.update(stack.versions())
        warm = send((account.job("entry") for account in site.accounts), moments(100, 5.0))
        stack.wait_for_changes(len(warm), timeout=60)  # connections, credentials: what a worker has after a minute
        time.sleep(SETTLED_SECONDS)
        report.show(told(idle(site, workers, 3 if asked.quick else asked.idle)))
        for rate in asked.rates:
            longest = QUICK_SECONDS if asked.quick else SECONDS.get(rate, max(SECONDS.values()))
            report.show(at_rate(site, rate, min(asked.jobs / rate, longest)))
    report.write()


if __name__ == "__main__":
    main()
