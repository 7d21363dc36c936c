"""Storm 4: PostgreSQL is restarted, killed and cut off in mid-burst; the disk under SQLite is full.

Nothing is sent that was not recorded first: the comparison demands, for every request that the exchange received, a
row with its timestamp that is older than the request.
"""

from __future__ import annotations

import contextlib
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tests.faults.conftest import MakeWorld
from tests.faults.crew import Crew
from tests.faults.figures import Figures
from tests.faults.ledger_check import check
from tests.faults.storming import burst
from tests.faults.workload import Workload
from tests.harness.postgres import PostgresServer

_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'axisor-executor' AND pid <> pg_backend_pid()"
)
_REFUSED = re.compile(r"OperationalError")


def cut_connections(server: PostgresServer, database: str) -> int:
    """End every session of the executor, as a failing network or an administrator does; return how many."""
    with contextlib.closing(psycopg2.connect(server.databases.url(database))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_CUT)
            return cursor.rowcount


@pytest.mark.timeout(1800)
def test_postgresql_restarted_and_cut_off(
    make_world: MakeWorld,
    own_postgres: PostgresServer,
    redis_url: str,
    tmp_path: Path,
    seed: int,
    fault_jobs: int,
    figures: Figures,
) -> None:
    database = own_postgres.databases.create()
    world = make_world(own_postgres.databases.url(database), redis_url)
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.1, jitter=0.3, seed=seed)
    faults: Counter[str] = Counter()
    third = len(intents) // 3
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        began = time.monotonic()
        for number, one in enumerate((intents[:third], intents[third : 2 * third], intents[2 * third :])):
            burst(work, one, crew)
            for _ in range(4):
                crew.wait(crew.random.uniform(0.05, 0.4))
                faults["connections cut"] += cut_connections(own_postgres, database)
            if number == 1:
                own_postgres.restart()
                faults["restarts"] += 1
            elif number == 2:
                own_postgres.kill()
                faults["kill -9"] += 1
                crew.wait(1.0)
                own_postgres.start()
            world.storage.close()
            world.parts.storage.close()
        crew.keep_on(work.all_over, within=60 + 2 * fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record("4", "database restarted, killed, cut off", world, tally, faults=faults, seconds=seconds)
    assert tally.problems == []


@contextlib.contextmanager
def full_disk(crew: Crew, database: Path) -> Iterator[None]:
    """Let no file of the workers' grow beyond what the database's log has now: to them, the disk is full."""
    size = database.with_name(f"{database.name}-wal").stat().st_size // 2
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in crew.pids()}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    yield
    for pid, limit in before.items():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set through prlimit")
@pytest.mark.timeout(1800)
def test_sqlite_on_a_full_disk(
    make_world: MakeWorld,
    sqlite_url: str,
    redis_url: str,
    tmp_path: Path,
    seed: int,
    fault_jobs: int,
    figures: Figures,
) -> None:
    world = make_world(sqlite_url, redis_url)
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    work = Workload(world)
    intents = work.prepare(fault_jobs)
    world.paper.add_fault("latency", mutating=True, seconds=0.05, jitter=0.2, seed=seed)
    faults: Counter[str] = Counter()
    half = len(intents) // 2
    with Crew(world, tmp_path / "crew", seed=seed) as crew:
        began = time.monotonic()
        for part in (intents[:half], intents[half:]):
            burst(work, part, crew)
            with full_disk(crew, database):
                faults["disk full for 2 s"] += 1
                crew.wait(2.0)
        crew.keep_on(work.all_over, within=60 + 2 * fault_jobs, what="the end of all jobs")
        seconds = time.monotonic() - began
    faults["writes refused"] = len(_REFUSED.findall(crew.log()))
    tally = check(world, intents, by_hand=work.keys_by_hand)
    figures.record("4", "disk full", world, tally, faults=faults, seconds=seconds)
    assert tally.problems == []
    assert faults["writes refused"] > 0
