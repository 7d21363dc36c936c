"""Scale: what a job costs with a large past beside what it costs on an empty database; and pruning under load.

Two databases on one server: one has nothing but the accounts that jobs come from, the other a million executions with
their actions, TradeLog rows and leases, and 100 000 accounts besides. Jobs run on both in turn, so that whatever else
the machine does falls on both; ratios are of medians. Statements that take much longer on the large one are shown.
"""

from __future__ import annotations

import argparse
import json
import statistics as stats
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg2

from benchmarks import statements
from benchmarks.arriving import moments, send
from benchmarks.findings import Findings, percentile
from benchmarks.history import make_past
from benchmarks.report import Report, Table, options
from benchmarks.stack import Site, Stack, Work

RATIO_GOAL = 1.1
ACTIVE = 500
ROUNDS = 5
SLOWER, WORTH_US = 1.5, 20.0
"""A statement is shown that takes so many times as long, and so many microseconds a job more."""
PRUNE_RATE = 50.0
SETTLED_WITHIN = 60.0
PRUNE = ("db", "prune", "--older-than", "690d", "--acted-older-than", "690d", "--trades-older-than", "690d", "--json")


@dataclass(frozen=True)
class Cost:
    """Of one job: microseconds of CPU, and how many statements."""

    worker: float
    database: float
    statements: float


MEASURES: Mapping[str, Callable[[Cost], float]] = {
    "CPU of the worker, us": lambda cost: cost.worker,
    "CPU of the database, us": lambda cost: cost.database,
    "CPU of both, us": lambda cost: cost.worker + cost.database,
    "statements": lambda cost: cost.statements,
}


@dataclass(frozen=True)
class Spent:
    """What a statement has been executed: how often, and for how many microseconds in all."""

    calls: int
    micros: float


def one_round(site: Site, work: Work, count: int) -> tuple[Cost, dict[str, float]]:
    """Carry ``count`` jobs out and return what one cost, and the microseconds that each statement took of it."""
    site.stack.exchange.reset()
    site.enqueue(work, count)
    with site.workers(processes=1, threads=8, wait=False) as workers:
        site.stack.wait_for_changes(count // 10)  # connections and credentials are there
        began, cpu, database, first = (
            site.stack.exchange.counts().changes,
            workers.cpu(),
            site.stack.postgres_cpu(),
            spent(site),
        )
        site.stack.wait_for_changes(count)
        jobs = count - began
        cost = (workers.cpu() - cpu) / jobs * 1e6, (site.stack.postgres_cpu() - database) / jobs * 1e6
        last = spent(site)
    taken = {
        text: Spent(now.calls - first.get(text, Spent(0, 0)).calls, now.micros - first.get(text, Spent(0, 0)).micros)
        for text, now in last.items()
    }
    own = sum(one.calls for text, one in taken.items() if not statements.is_transaction(text))
    return Cost(*cost, own / jobs), {text: one.micros / jobs for text, one in taken.items()}


def spent(site: Site) -> dict[str, Spent]:
    """Return what each statement of a site's database was executed so far."""
    with closing(psycopg2.connect(site.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT query, sum(calls), sum(total_exec_time) * 1000 FROM pg_stat_statements "
            "WHERE query NOT LIKE '%%pg_stat_statements%%' "
            "AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY query"
        )
        return {" ".join(text.split()): Spent(int(calls), float(micros)) for text, calls, micros in cursor.fetchall()}


def compared(small: Site, large: Site, work: Work, jobs: int, rounds: int) -> tuple[Findings, Table]:
    """Run jobs on both in turn, and compare."""
    costs: dict[str, list[Cost]] = {small.name: [], large.name: []}
    took: dict[str, list[dict[str, float]]] = {small.name: [], large.name: []}
    for number in range(rounds):
        for site in (small, large) if number % 2 else (large, small):
            cost, micros = one_round(site, work, jobs)
            costs[site.name].append(cost)
            took[site.name].append(micros)
    table = Findings(f"{work}: a job with a large past, and on an empty database ({rounds} x {jobs} jobs each)")
    for name, read in MEASURES.items():
        empty, past = (stats.median(read(cost) for cost in costs[site.name]) for site in (small, large))
        table.figure(f"{name}: empty", empty)
        table.figure(f"{name}: large", past)
        table.figure(f"{name}: ratio", past / empty, most=RATIO_GOAL)
    return table, slower(work, _least(took[small.name]), _least(took[large.name]))


def _least(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return what each statement took in the round in which it took the least: the rest is other things' doing."""
    return {text: min(one[text] for one in rounds if text in one) for text in rounds[-1]}


def slower(work: str, empty: Mapping[str, float], large: Mapping[str, float]) -> Table:
    """Return the statements that take longer on the large database, in microseconds a job."""
    table = Table(f"{work}: statements that take longer with a large past", ("empty, us a job", "large", "statement"))
    for text, micros in sorted(large.items(), key=lambda item: -item[1]):
        before = empty.get(text, 0.0)
        if micros > before * SLOWER and micros - before > WORTH_US:
            table.add(round(before), round(micros), text[:150])
    table.note = "" if table.rows else f"None takes {SLOWER:g} times as long."
    return table


def pruned(site: Site) -> Findings:
    """Prune while jobs come in, and tell what both did to each other."""
    with site.workers(processes=1, threads=8):
        calm = starts(site, seconds=15)
        command = [sys.executable, "-P", "-m", "axisor_executor.cli", *PRUNE]  # not what lies in the current folder
        began = time.monotonic()
        with subprocess.Popen(
            command, env=site.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as pruning:
            busy = starts(site, seconds=600, until=pruning)
            seconds = time.monotonic() - began
            output, problem = pruning.communicate()
    assert pruning.returncode == 0, problem
    told = json.loads(output)
    table = Findings(f"db prune while {PRUNE_RATE:g} jobs a second come in")
    table.figure("executions deleted", told["executions"])
    table.figure("executions looked at", told["lookedAt"])
    table.figure("took", seconds, "s")
    table.percentiles("start of a job, without", calm)
    table.percentiles("start of a job, while pruning", busy)
    table.figure("p99 while pruning / without", percentile(busy, 99) / percentile(calm, 99))
    return table


def starts(site: Site, *, seconds: float, until: subprocess.Popen[str] | None = None) -> list[float]:
    """Let jobs come in for a while (until a process has ended), and return how long each waited to begin."""
    jobs = (site.accounts[number % len(site.accounts)].job("entry") for number in range(10**6))
    is_over = (lambda: until.poll() is not None) if until is not None else (lambda: False)
    taken = send(jobs, moments(PRUNE_RATE, seconds), until=is_over)
    deadline = time.monotonic() + SETTLED_WITHIN
    while (rows := _waited(site)) and any(delay is None for _, delay in rows) and time.monotonic() < deadline:
        time.sleep(0.5)
    waited = {id_: delay for id_, delay in rows if delay is not None}
    return [waited[one.execution_id] for one in taken]


def _waited(site: Site) -> list[tuple[str, float | None]]:
    rows = site.storage.rows(
        "SELECT id, EXTRACT(EPOCH FROM started_at - created_at) FROM axisor_executions "
        "WHERE created_at > clock_timestamp() - interval '30 minutes'"
    )
    return [(str(id_), None if delay is None else float(delay)) for id_, delay in rows]


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=3000, quick_jobs=300)
    parser.add_argument("--executions", type=int, default=1_000_000, help="of the past (default: %(default)s)")
    parser.add_argument("--accounts", type=int, default=100_000, help="in all (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="on each database (default: %(default)s)")
    asked: argparse.Namespace = parser.parse_args()
    if asked.quick:
        asked.executions, asked.accounts, asked.rounds = 20_000, 2000, 1
    report = Report("scale", "Scale", asked)
    with (
        Stack() as stack,
        stack.site("postgres", accounts=ACTIVE) as small,
        stack.site("postgres", accounts=ACTIVE) as large,
    ):
        report.versions.update(stack.versions())
        for site in (small, large):
            statements.prepare(site.url)
            one_round(site, "entry", ACTIVE)
        began = time.monotonic()
        make_past(large, accounts=asked.accounts, executions=asked.executions)
        report.say(f"{asked.executions} executions made in {time.monotonic() - began:.0f} s")
        works: tuple[Work, ...] = ("entry", "guard")
        for work in works:
            for table in compared(small, large, work, asked.jobs, asked.rounds):
                report.show(table)
        report.show(pruned(large))
    report.write()


if __name__ == "__main__":
    main()
