"""Scale: what a job costs with a large past beside what it costs on an empty database; and pruning under load.

Two databases on one server: one has nothing but the accounts that jobs come from, the other a million executions with
their actions, TradeLog rows and leases, and 100 000 accounts besides. Jobs run on both in turn, so that whatever else
the machine does falls on both, and what is in the server's memory is what both have left there; ratios are of medians.
Both are vacuumed and analysed before the first round, when nothing waits, and left to autovacuum from then on.
Statements that take much longer on the large one, or read much more, are shown.
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
from datetime import datetime

import psycopg2

from benchmarks import statements
from benchmarks.arriving import moments, send
from benchmarks.findings import Findings, percentile
from benchmarks.history import DAYS, make_past, tidy_up
from benchmarks.report import Report, Table, options
from benchmarks.stack import Site, Stack, Work

RATIO_GOAL = 1.1
ACTIVE = 500
ROUNDS = 5
SLOWER, WORTH_US, WORTH_BLOCKS = 1.5, 20.0, 10.0
"""A statement is shown that takes so many times as long (reads so many times as much), and so much a job more."""
PRUNE_RATE = 50.0
PRUNE_COUNT, PRUNE_SHARE = 10_000, 20
"""Executions that are old enough to be pruned, those of the past's first days; at most one in so many."""
CALM_SECONDS = 20.0
LONGEST_PRUNE_SECONDS = 180.0
SETTLED_WITHIN = 60.0


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
    """What a statement has been executed: how often, for how many microseconds, and the blocks of 8 KiB looked at."""

    calls: float
    micros: float
    blocks: float

    def since(self, before: Spent) -> Spent:
        """Return what was added."""
        return Spent(self.calls - before.calls, self.micros - before.micros, self.blocks - before.blocks)

    def of_each(self, jobs: int) -> Spent:
        """Return a job's share."""
        return Spent(self.calls / jobs, self.micros / jobs, self.blocks / jobs)


NOTHING = Spent(0.0, 0.0, 0.0)


def one_round(site: Site, work: Work, count: int) -> tuple[Cost, dict[str, Spent]]:
    """Carry ``count`` jobs out and return what one cost, and what each statement took of it."""
    site.stack.exchange.reset()
    site.enqueue(work, count)
    with site.workers(processes=1, threads=8, wait=False) as workers:
        site.stack.wait_for_changes(count // 10, workers=workers)  # connections and credentials are there
        began, cpu, database, first = (
            site.stack.exchange.counts().changes,
            workers.cpu(),
            site.stack.postgres_cpu(),
            spent(site),
        )
        site.stack.wait_for_changes(count, workers=workers)
        jobs = count - began
        cost = (workers.cpu() - cpu) / jobs * 1e6, (site.stack.postgres_cpu() - database) / jobs * 1e6
        last = spent(site)
    taken = {text: now.since(first.get(text, NOTHING)).of_each(jobs) for text, now in last.items()}
    own = sum(one.calls for text, one in taken.items() if not statements.is_transaction(text))
    return Cost(*cost, own), taken


def spent(site: Site) -> dict[str, Spent]:
    """Return what each statement of a site's database was executed so far."""
    with closing(psycopg2.connect(site.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT query, sum(calls), sum(total_exec_time) * 1000, sum(shared_blks_hit + shared_blks_read) "
            "FROM pg_stat_statements WHERE query NOT LIKE '%%pg_stat_statements%%' "
            "AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY query"
        )
        return {" ".join(text.split()): Spent(*map(float, numbers)) for text, *numbers in cursor.fetchall()}


def compared(small: Site, large: Site, work: Work, jobs: int, rounds: int) -> tuple[Findings, Table]:
    """Run jobs on both in turn, and compare."""
    costs: dict[str, list[Cost]] = {small.name: [], large.name: []}
    took: dict[str, list[dict[str, Spent]]] = {small.name: [], large.name: []}
    for number in range(rounds):
        for site in (small, large) if number % 2 else (large, small):
            cost, taken = one_round(site, work, jobs)
            costs[site.name].append(cost)
            took[site.name].append(taken)
    table = Findings(f"{work}: a job with a large past, and on an empty database ({rounds} x {jobs} jobs each)")
    for name, read in MEASURES.items():
        empty, past = (stats.median(read(cost) for cost in costs[site.name]) for site in (small, large))
        table.figure(f"{name}: empty", empty)
        table.figure(f"{name}: large", past)
        table.figure(f"{name}: ratio", past / empty, most=RATIO_GOAL)
    table.note = f"Autovacuum and dead rows of axisor_executions: {_tended(small)} (empty), {_tended(large)} (large)."
    return table, slower(work, _least(took[small.name]), _least(took[large.name]))


def _tended(site: Site) -> str:
    row = site.storage.one(
        "SELECT autovacuum_count, n_dead_tup FROM pg_stat_user_tables WHERE relname = 'axisor_executions'"
    )
    assert row is not None
    return f"{row[0]} times, {row[1]} rows"


def _least(rounds: Sequence[Mapping[str, Spent]]) -> dict[str, Spent]:
    """Return each statement in the round in which it took the least: the rest is other things' doing."""
    texts = {text for one in rounds for text in one}
    return {text: min((one.get(text, NOTHING) for one in rounds), key=lambda spent: spent.micros) for text in texts}


def slower(work: str, empty: Mapping[str, Spent], large: Mapping[str, Spent]) -> Table:
    """Return the statements that take longer or read more on the large database, each job's share of them."""
    table = Table(
        f"{work}: statements that cost more with a large past, a job",
        ("us, empty", "us, large", "blocks, empty", "blocks, large", "statement"),
    )
    for text, now in sorted(large.items(), key=lambda item: -item[1].micros):
        before = empty.get(text, NOTHING)
        if _more(before.micros, now.micros, WORTH_US) or _more(before.blocks, now.blocks, WORTH_BLOCKS):
            figures = (before.micros, now.micros, before.blocks, now.blocks)
            table.add(*(round(figure) for figure in figures), text[:150])
    table.note = (
        "us: time in the server, waits included, in the round in which it was least; blocks of 8 KiB, in memory or not."
        if table.rows
        else f"None takes {SLOWER:g} times as long, or looks at so many times as much."
    )
    return table


def _more(before: float, now: float, worth: float) -> bool:
    return now > before * SLOWER and now - before > worth


def pruned(site: Site, executions: int) -> Findings:
    """Prune while jobs come in, and tell what both did to each other."""
    old = min(PRUNE_COUNT, executions // PRUNE_SHARE)
    age = f"{DAYS * 24 * (executions - old) // executions}h"
    command = [sys.executable, "-P", "-m", "axisor_executor.cli"]  # not what lies in the current folder
    command += ["db", "prune", "--older-than", age, "--acted-older-than", age, "--trades-older-than", age, "--json"]
    with site.workers(processes=1, threads=8):
        calm = starts(site, seconds=CALM_SECONDS)
        began = time.monotonic()
        with subprocess.Popen(
            command, env=site.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as pruning:
            try:
                busy = starts(site, seconds=LONGEST_PRUNE_SECONDS, until=pruning)
                output, problem = pruning.communicate(timeout=LONGEST_PRUNE_SECONDS)
            finally:
                pruning.kill()
            seconds = time.monotonic() - began
    assert pruning.returncode == 0, problem
    told = json.loads(output)
    table = Findings(f"db prune while {PRUNE_RATE:g} jobs a second come in")
    table.figure("executions deleted", told["executions"])
    table.figure("executions looked at", told["lookedAt"])
    table.figure("took", seconds, "s")
    table.percentiles(f"start of a job, without ({len(calm)} jobs)", calm)
    table.percentiles(f"start of a job, while pruning ({len(busy)} jobs)", busy)
    table.figure("p99 while pruning / without", percentile(busy, 99) / percentile(calm, 99))
    return table


def starts(site: Site, *, seconds: float, until: subprocess.Popen[str] | None = None) -> list[float]:
    """Let jobs come in for a while (until a process has ended), and return how long each waited to begin."""
    jobs = (site.accounts[number % len(site.accounts)].job("entry") for number in range(10**6))
    is_over = (lambda: until.poll() is not None) if until is not None else (lambda: False)
    since = site.storage.now()
    taken = send(jobs, moments(PRUNE_RATE, seconds), until=is_over)
    deadline = time.monotonic() + SETTLED_WITHIN
    while None in (waited := _waited(site, since)).values() and time.monotonic() < deadline:
        time.sleep(0.5)
    found = [waited[one.execution_id] for one in taken]
    assert None not in found, f"{found.count(None)} of {len(found)} jobs had not begun after {SETTLED_WITHIN:g} s"
    return [delay for delay in found if delay is not None]


def _waited(site: Site, since: datetime) -> dict[str, float | None]:
    """Return how long each job that came in since then waited to begin; ``None``: it waits."""
    rows = site.storage.rows(
        "SELECT id, EXTRACT(EPOCH FROM started_at - created_at) FROM axisor_executions WHERE created_at >= ?",
        since,
    )
    return {str(id_): None if delay is None else float(delay) for id_, delay in rows}


def main() -> None:
    """Measure and tell."""
    parser = options(__doc__, jobs=2000, quick_jobs=300)
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
        works: tuple[Work, ...] = ("entry", "guard")
        for site in (small, large):
            statements.prepare(site.url)
            for work in works:
                one_round(site, work, ACTIVE)
        began = time.monotonic()
        make_past(large, accounts=asked.accounts, executions=asked.executions)
        tidy_up(small)
        report.say(f"{asked.executions} executions made in {time.monotonic() - began:.0f} s")
        for work in works:
            for table in compared(small, large, work, asked.jobs, asked.rounds):
                report.show(table)
        report.show(pruned(large, asked.executions))
    report.write()


if __name__ == "__main__":
    main()
