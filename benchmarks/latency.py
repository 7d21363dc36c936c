"""Latency: from enqueue() to the request at the exchange, at several rates; and what an idle worker costs.

Jobs are entries without a trigger (one request each), enqueued by this process at random moments (open loop, Poisson).
A time runs from the call of enqueue() to the moment at which the exchange's socket has the whole request; all clocks
are one.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from axisor_executor.storage.actions import client_id
from benchmarks import statements
from benchmarks.arriving import moments, send
from benchmarks.findings import Findings, percentile
from benchmarks.report import Report, options
from benchmarks.stack import Site, Stack, Workers
from benchmarks.usage import cpu_of, workers_of

RATES = (2, 20, 200)
LONGEST_SECONDS = 150.0
"""How long jobs come in at one rate, at most."""
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
    taken = send(jobs, moments(rate, seconds))
    site.stack.wait_for_changes(len(taken), timeout=60)
    arrived = {arrival.name: arrival.at for arrival in site.stack.exchange.arrivals()}
    waits = [arrived[client_id(one.execution_id, None, 0)] - one.began for one in taken]
    table = Findings(f"{rate:g} jobs a second ({len(taken)} jobs)")
    table.percentiles("enqueue() to request", waits, most=GOALS)
    table.percentiles("enqueue() itself", [one.ended - one.began for one in taken])
    late = percentile([one.began - one.due for one in taken], 99) * 1000
    if late > SENDER_LATE_MS:
        table.remark(f"The sender itself was late, by {late:.1f} ms (p99); that is not counted.")
    return table


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=6000, quick_jobs=60)
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--idle", type=float, default=60, help="seconds for which idle workers are watched")
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
        for rate in RATES:
            report.show(at_rate(site, rate, min(asked.jobs / rate, 5 if asked.quick else LONGEST_SECONDS)))
    report.write()


if __name__ == "__main__":
    main()
