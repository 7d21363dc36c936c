"""What a job costs, beside how others would do it: ``python -m benchmarks.job_cost [--help]``.

All jobs wait on the queue before the workers start. What counts is from a tenth of them to nine tenths: everybody is
up, connected and warm by then, and nobody has run out of work. Rounds are interleaved, and shown are their medians.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import psycopg2

from benchmarks import statements
from benchmarks.contenders import Axisor, BullMQ, Contender, Durable, Floor, Ledger, Plain, Skipped, all_contenders
from benchmarks.report import Report, Table, options
from benchmarks.stack import Site, Stack, Work, Workers, glance

SIZES = ((1, 8), (2, 8), (2, 16))
"""Processes and threads (of Node: jobs at once) of each."""
GOAL_SIZE = (2, 8)


@dataclass(frozen=True)
class Cost:
    """What one job cost in one run; CPU in microseconds, memory in MiB."""

    jobs_per_second: float
    worker_cpu: float
    database_cpu: float
    redis_cpu: float
    exchange_cpu_per_request: float
    requests: float
    statements: float | None
    commits: float | None
    redis_commands: float
    largest_rss: float
    all_pss: float


@dataclass(frozen=True)
class _Instant:
    jobs: int
    at: float
    worker_cpu: float
    database_cpu: float
    redis_cpu: float
    redis_commands: int
    exchange_cpu: float
    requests: int
    statements: Counter[str]
    written: int


def measured(stack: Stack, contender: Contender, work: Work, jobs: int, size: tuple[int, int], accounts: int) -> Cost:
    """Carry jobs out and return what one costs.

    Raises:
        AssertionError: not every job did what it should, exactly once.
    """
    processes, threads = size
    with stack.site(contender.kind, accounts=accounts) as site:
        if site.kind == "postgres":
            statements.prepare(site.url)
        with contender.at_work(site, work, jobs, processes=processes, threads=threads) as workers:
            stack.wait_for_changes(max(jobs // 10, 1), workers=workers, every=glance(jobs))
            first = _instant(site, workers)
            stack.wait_for_changes(jobs * 9 // 10, workers=workers, every=glance(jobs))
            last = _instant(site, workers)
            largest, memory = workers.largest(), workers.memory()
            stack.wait_for_changes(jobs, workers=workers)
            if isinstance(contender, Axisor):
                site.check(work, jobs)
            else:
                _check(site, jobs)
    done = last.jobs - first.jobs
    asked = last.statements - first.statements
    commits = last.written - first.written - sum(asked[one] for one in asked if statements.is_savepoint(one))
    told = sum(count for one, count in asked.items() if not statements.is_transaction(one))
    is_postgres = contender.kind == "postgres"
    return Cost(
        jobs_per_second=done / (last.at - first.at),
        worker_cpu=(last.worker_cpu - first.worker_cpu) * 1e6 / done,
        database_cpu=(last.database_cpu - first.database_cpu) * 1e6 / done if is_postgres else 0.0,
        redis_cpu=(last.redis_cpu - first.redis_cpu) * 1e6 / done,
        exchange_cpu_per_request=(last.exchange_cpu - first.exchange_cpu) * 1e6 / (last.requests - first.requests),
        requests=(last.requests - first.requests) / done,
        statements=told / done if is_postgres else None,
        commits=commits / done if is_postgres else None,
        redis_commands=(last.redis_commands - first.redis_commands) / done,
        largest_rss=largest,
        all_pss=memory.pss,
    )


def _instant(site: Site, workers: Workers) -> _Instant:
    stack = site.stack
    counts = stack.exchange.counts()
    at = time.monotonic()
    is_postgres = site.kind == "postgres"
    return _Instant(
        jobs=counts.changes,
        at=at,
        worker_cpu=workers.cpu(),
        database_cpu=stack.postgres_cpu(),
        redis_cpu=stack.redis_cpu(),
        redis_commands=stack.redis_commands(),
        exchange_cpu=counts.cpu,
        requests=counts.requests,
        statements=statements.asked(site.url) if is_postgres else Counter(),
        written=statements.written(site.url) if is_postgres else 0,
    )


def _check(site: Site, jobs: int, *, timeout: float = 30.0) -> None:
    """See to it that a rival's every job has sent one request and left one row."""
    deadline = time.monotonic() + timeout
    with closing(psycopg2.connect(site.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute('SELECT COUNT(*) FROM "TradeLog"')
            logged = cursor.fetchall()[0][0]
            if logged == jobs or time.monotonic() > deadline:
                break
            time.sleep(0.05)
    changes = site.stack.exchange.counts().changes
    assert (logged, changes) == (jobs, jobs), f"{jobs} jobs: {changes} requests, {logged} TradeLog rows"


def median_of(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several runs."""
    values: dict[str, Any] = {}
    for name in asdict(costs[0]):
        found = [value for cost in costs if (value := getattr(cost, name)) is not None]
        values[name] = median(found) if found else None
    return Cost(**values)


Key = tuple[Work, tuple[int, int], str, str]
"""Kind of work, processes and threads, contender, database."""


def cost_table(work: Work, found: dict[Key, Cost]) -> Table:
    """Return how fast one kind of work goes, and whose CPU it takes."""
    table = Table(
        f"{work}: what a job costs",
        ("who", "database", "P x T", "jobs/s", "x plain", "worker us", "x plain", "database us", "Redis us", "all us"),
    )
    for (_, size, name, kind), cost in _of(work, found):
        plain = found.get((work, size, Plain.name, "postgres"))
        database = cost.database_cpu if kind == "postgres" else None
        table.add(
            name,
            kind,
            f"{size[0]} x {size[1]}",
            round(cost.jobs_per_second),
            _ratio(cost.jobs_per_second, plain.jobs_per_second if plain else None),
            round(cost.worker_cpu),
            _ratio(cost.worker_cpu, plain.worker_cpu if plain else None),
            None if database is None else round(database),
            round(cost.redis_cpu),
            round(cost.worker_cpu + cost.redis_cpu + (database or 0.0)),
        )
    used = min(cost.exchange_cpu_per_request for _, cost in _of(work, found))
    table.note = f"us: CPU microseconds a job; SQLite's are the worker's. The exchange's own: {used:.0f} a request."
    return table


def use_table(work: Work, found: dict[Key, Cost]) -> Table:
    """Return what one kind of work asks of the servers, and the memory of who does it."""
    table = Table(
        f"{work}: what a job asks for",
        ("who", "database", "P x T", "statements", "commits", "HTTP", "Redis commands", "RSS MiB", "PSS MiB"),
        note="Statements without those that begin and end transactions; commits of transactions that changed "
        "something; RSS of the largest process, PSS of all.",
    )
    for (_, size, name, kind), cost in _of(work, found):
        table.add(
            name,
            kind,
            f"{size[0]} x {size[1]}",
            _rounded(cost.statements),
            _rounded(cost.commits),
            round(cost.requests, 2),
            round(cost.redis_commands, 1),
            round(cost.largest_rss),
            round(cost.all_pss),
        )
    return table


def _of(work: Work, found: dict[Key, Cost]) -> list[tuple[Key, Cost]]:
    return [(key, cost) for key, cost in found.items() if key[0] == work]


def goals_table(found: dict[Key, Cost]) -> Table | None:
    """Return how the goals of *entry* are met, as far as those concerned took part."""
    ours = found.get(("entry", GOAL_SIZE, Axisor.name, "postgres"))
    if ours is None:
        return None
    table = Table("entry, 2 x 8, PostgreSQL: the goals", ("beside", "goal", "jobs/s ratio", "worker CPU ratio"))
    for (work, size, name, kind), cost in found.items():
        goal = {Plain.name: ">= 1.5", Durable.name: ">= 10", BullMQ.name: "1.0 (aim)"}
        goal |= {Ledger.name: None, Floor.name: None}
        if (work, size, kind) == ("entry", GOAL_SIZE, "postgres") and name in goal:
            table.add(
                name,
                goal[name],
                _ratio(ours.jobs_per_second, cost.jobs_per_second),
                _ratio(ours.worker_cpu, cost.worker_cpu),
            )
    return table if table.rows else None


def tables(works: Sequence[Work], runs: Mapping[Key, Sequence[Cost]], jobs: int) -> list[Table]:
    """Return all tables of the runs so far."""
    found = {key: median_of(costs) for key, costs in runs.items()}
    made = [table(work, found) for work in works if _of(work, found) for table in (cost_table, use_table)]
    rounds = max((len(costs) for costs in runs.values()), default=0)
    for one in made:
        one.note += (
            f" Medians of {rounds} rounds of {jobs} jobs (DBOS: {jobs // Durable.slower_by}), of which 80 % count."
        )
    goals = goals_table(found)
    return [*made, goals] if goals is not None else made


def _ratio(value: float, other: float | None) -> float | None:
    return round(value / other, 2) if other else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _size(text: str) -> tuple[int, int]:
    processes, _, threads = text.partition("x")
    return int(processes), int(threads)


def _parser() -> argparse.ArgumentParser:
    parser = options(__doc__, jobs=3000, quick_jobs=200)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, medians are shown (default: %(default)s)")
    parser.add_argument("--accounts", type=int, help="accounts (default: a thirtieth of the jobs, at least 40)")
    parser.add_argument("--work", choices=("entry", "guard"), action="append", help="only this kind of job")
    parser.add_argument("--size", type=_size, action="append", help="only so many processes x threads, such as 2x8")
    parser.add_argument(
        "--who",
        choices=sorted({one.__class__.__name__.lower() for one in all_contenders()}),
        action="append",
        help="only this contender; axisor is this software",
    )
    parser.add_argument("--database", choices=("postgres", "sqlite"), action="append", help="only on this database")
    return parser


def main() -> None:
    """Measure everybody."""
    asked = _parser().parse_args()
    rounds = 1 if asked.quick else asked.rounds
    accounts = asked.accounts or max(asked.jobs // 30, 40)
    works: list[Work] = asked.work or ["entry", "guard"]
    sizes: Sequence[tuple[int, int]] = asked.size or SIZES
    kinds = asked.database or ["postgres", "sqlite"]
    report = Report("job_cost", "Job cost", asked)
    runs: dict[Key, list[Cost]] = {}
    skipped: dict[str, str] = {}
    with Stack(postgres="postgres" in kinds) as stack:
        report.versions.update(stack.versions())
        taking_part = []
        for one in all_contenders():
            if one.kind not in kinds or (asked.who and one.__class__.__name__.lower() not in asked.who):
                continue
            try:
                report.versions.update(one.prepare(stack))
                taking_part.append(one)
            except Skipped as reason:
                skipped[one.name] = str(reason)
                report.say(f"{one.name} is skipped: {reason}")
        plan = [
            (number, work, size, one)
            for number in range(rounds)
            for size in sizes
            for work in works
            for one in taking_part
        ]
        for done, (number, work, size, one) in enumerate(plan, 1):
            if one.name in skipped:
                continue
            try:
                cost = measured(stack, one, work, max(asked.jobs // one.slower_by, 20), size, accounts)
            except (Skipped, TimeoutError, AssertionError) as reason:
                if isinstance(one, Axisor):
                    raise
                skipped[one.name] = f"{work}, {size[0]} x {size[1]}: {reason}"
                report.say(f"{one.name} takes part no more: {skipped[one.name]}")
                continue
            runs.setdefault((work, size, one.name, one.kind), []).append(cost)
            report.say(
                f"{done}/{len(plan)} round {number + 1}, {work}, {size[0]} x {size[1]}, {one.name} on {one.kind}: "
                f"{cost.jobs_per_second:.0f} jobs/s, {cost.worker_cpu:.0f} us"
            )
            report.draft(tables(works, runs, asked.jobs))
    for table in tables(works, runs, asked.jobs):
        report.show(table)
    if skipped:
        table = Table("Not, or not to the end", ("who", "why"))
        for name, why in skipped.items():
            table.add(name, why)
        report.show(table)
    report.facts["runs"] = [
        {"work": work, "size": size, "who": name, "database": kind, "costs": [asdict(cost) for cost in costs]}
        for (work, size, name, kind), costs in runs.items()
    ]
    report.write()


if __name__ == "__main__":
    main()
