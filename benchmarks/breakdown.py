"""Where a job's microseconds go, layer by layer: ``python -m benchmarks.breakdown [--help]``.

One worker thread in a process of its own takes jobs from a real queue and carries them out on a real database against
the fixed exchange. It runs twice: as it is, which gives the CPU time of a job, and with its layers' time kept account
of (see `layers`), which gives the shares.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import statements
from benchmarks.report import Report, Table, options
from benchmarks.stack import ROOT, Kind, Site, Stack, Work, glance

ACCOUNTS = 100
ORDER = {
    "queue": "Dramatiq and redis-py: fetch, wake, acknowledge",
    "flow": "the run itself: executor, plan, outcome, result",
    "resolve": "automation, account, credentials, client",
    "price": "the shared ticker",
    "decide": "the plugin and what stands around it",
    "ledger": "executions, actions, leases, switches, TradeLog",
    "SQL": "connections, driver, transactions, of all layers",
    "client": "what is asked of the exchange: signed, encoded, read",
    "HTTP": "sent and received",
    "rates": "rate limits and breakers, in Redis",
    "logging": "human lines and the structured one",
    "metrics": "counts, sign of life, alerts, observers",
    "background": "recovery, watch and flush, beside the jobs",
}
"""The layers and what is in them."""


@dataclass(frozen=True)
class Mark:
    """The account at an instant: jobs done, and what `layers` and the servers tell."""

    jobs: int
    cpu: float
    layers: dict[str, list[float]]
    statements: Counter[str]
    requests: int
    database_cpu: float
    redis_cpu: float


class Watched:
    """The worker under observation."""

    def __init__(self, process: subprocess.Popen[str], site: Site) -> None:
        self._process = process
        self._site = site
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the watched worker has ended; its lines tell why")
        return line

    def mark(self) -> Mark:
        """Return the account so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("mark\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._read())
        counts = self._site.stack.exchange.counts()
        found = Counter(told["statements"]) or (
            statements.asked(self._site.url) if self._site.kind == "postgres" else Counter()
        )
        stack = self._site.stack
        return Mark(
            counts.changes,
            told["cpu"],
            told["layers"],
            found,
            counts.requests,
            stack.postgres_cpu(),
            stack.redis_cpu(),
        )


@contextmanager
def watched(site: Site, *flags: str) -> Iterator[Watched]:
    """Run the worker while the block runs; what it logs goes to a file."""
    command = [sys.executable, "-P", str(ROOT / "benchmarks" / "layers.py"), *flags]
    with (
        (site.stack.folder / "watched.log").open("a+") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=site.environment(),
            cwd=site.stack.folder,
            start_new_session=True,  # Ctrl-C is for us; the end of its input stops it
        ) as process,
    ):
        try:
            yield Watched(process, site)
        except RuntimeError as error:
            log.seek(0)
            raise RuntimeError(f"{error}\n{log.read()[-3000:]}") from None
        finally:
            assert process.stdin is not None
            process.stdin.close()


def between(stack: Stack, kind: Kind, work: Work, jobs: int, *flags: str) -> tuple[Mark, Mark]:
    """Carry jobs out, and return the account from where everything is warm to before the end."""
    with stack.site(kind, accounts=ACCOUNTS) as site:
        if kind == "postgres":
            statements.prepare(site.url)
        site.enqueue(work, jobs)
        with watched(site, *flags) as worker:
            every = glance(jobs)
            stack.wait_for_changes(max(jobs // 5, 2 * ACCOUNTS if jobs > 3 * ACCOUNTS else 1), every=every)
            first = worker.mark()
            stack.wait_for_changes(jobs * 95 // 100, every=every)
            last = worker.mark()
            stack.wait_for_changes(jobs)
            site.check(work, jobs)
    return first, last


def broken_down(stack: Stack, kind: Kind, work: Work, jobs: int) -> tuple[Table, Table]:
    """Return the layers' table and the statements' table of one kind of job."""
    plain = between(stack, kind, work, jobs)
    first, last = between(stack, kind, work, jobs, "--watch")
    counted = (first, last)
    if kind == "sqlite":
        counted = between(stack, kind, work, max(jobs // 5, 40), "--statements")
    pure, done = _per_job(plain[0].cpu, plain[1].cpu, plain), last.jobs - first.jobs
    shares: dict[str, tuple[float, float, float]] = {}
    for layer, after in last.layers.items():
        before = first.layers.get(layer, [0.0, 0.0, 0])
        cpu, wall, calls = ((one - other) / done for one, other in zip(after, before, strict=True))
        shares[layer] = (cpu * 1e6, wall * 1e6, calls)
    watched_cpu = sum(cpu for cpu, _, _ in shares.values())
    wall_sum = sum(wall for _, wall, _ in shares.values())
    table = Table(
        f"{work} on {kind}: where the worker's CPU goes, per job",
        ("layer", "CPU us", "share %", "wall us", "entered", "what it is"),
        note=f"CPU us is scaled to the {pure:.0f} us of a job that is not watched (watched: {watched_cpu:.0f} us). "
        f"HTTP requests {_per_job(first.requests, last.requests, (first, last), 1):.2f}, "
        f"database CPU {_per_job(plain[0].database_cpu, plain[1].database_cpu, plain):.0f} us, "
        f"Redis CPU {_per_job(plain[0].redis_cpu, plain[1].redis_cpu, plain):.0f} us a job.",
    )
    for layer, what in ORDER.items():
        cpu, wall, calls = shares.pop(layer, (0.0, 0.0, 0.0))
        scaled = round(cpu * pure / watched_cpu)
        table.add(layer, scaled, round(100 * cpu / watched_cpu, 1), round(wall), round(calls, 1), what)
    assert not shares, f"layers that are not told of: {sorted(shares)}"
    table.add("sum", round(pure), 100.0, round(wall_sum), None, "of one job")
    return table, _statements_table(kind, work, *counted)


def _per_job(before: float, after: float, marks: tuple[Mark, Mark], factor: float = 1e6) -> float:
    return (after - before) * factor / (marks[1].jobs - marks[0].jobs)


def _statements_table(kind: Kind, work: Work, first: Mark, last: Mark) -> Table:
    done = last.jobs - first.jobs
    calls = {text: count / done for text, count in (last.statements - first.statements).items()}
    told = {text: per_job for text, per_job in calls.items() if not statements.is_transaction(text)}
    table = Table(
        f"{work} on {kind}: what the database is asked, per job",
        ("times", "statement"),
        note=f"{sum(told.values()):.2f} statements a job; {sum(calls.values()):.2f} with those of transactions.",
    )
    for text, per_job in sorted(told.items(), key=lambda one: -one[1]):
        if per_job >= 0.01:
            table.add(round(per_job, 2), text if len(text) < 160 else f"{text[:157]}...")
    return table


def main() -> None:
    """Break down each kind of job on each database."""
    parser = options(__doc__, jobs=2000, quick_jobs=300)
    parser.add_argument("--work", choices=("entry", "guard"), action="append", help="only this kind of job")
    parser.add_argument("--database", choices=("postgres", "sqlite"), action="append", help="only on this database")
    asked: argparse.Namespace = parser.parse_args()
    kinds: list[Kind] = asked.database or ["postgres", "sqlite"]
    works: list[Work] = asked.work or ["entry", "guard"]
    report = Report("breakdown", "Breakdown: where a microsecond goes", asked)
    with Stack(postgres="postgres" in kinds) as stack:
        report.versions.update(stack.versions())
        for kind in kinds:
            for work in works:
                report.say(f"{work} on {kind}: {asked.jobs} jobs, twice")
                for table in broken_down(stack, kind, work, asked.jobs):
                    report.show(table)
    report.write()


if __name__ == "__main__":
    main()
