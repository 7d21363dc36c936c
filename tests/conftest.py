"""Fixtures of the core's tests: real servers, clean for each test.

``redis_url``, ``database_url`` (every test twice: sqlite, postgres) and ``paper`` are what most tests want; the others
give a server of one's own to break.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from hypothesis import settings

from axisor_executor import shared
from axisor_executor.embedded import PrivateRedis
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from tests.harness.paper import PaperExchange
from tests.harness.postgres import Databases, PostgresServer, shared_databases
from tests.harness.run import TestRun
from tests.harness.world import ENCRYPTION_KEY, World

# A slow example on a busy machine is no failure; what else the machine's profile says (that of CI) stays.
settings.register_profile("patient", parent=settings.default, deadline=None)
settings.load_profile("patient")

_RUN = pytest.StashKey[TestRun]()

SHARED_TIMEOUT_SECONDS = shared.TIMEOUT_SECONDS
"""What it is outside these tests, which give Redis longer."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin the test run in the first process; xdist's workers join it."""
    # The paper exchange takes what it is given; what the real one takes is tested by itself.
    os.environ |= {"AXISOR_PRIVATE_CALLS_PER_SECOND": "1000", "AXISOR_PUBLIC_CALLS_PER_SECOND": "1000"}
    # A machine that stands still for a moment is no Redis that is away.
    shared.TIMEOUT_SECONDS = 3.0
    config.stash[_RUN] = TestRun.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run started, also after Ctrl-C."""
    if run := config.stash.get(_RUN, None):
        run.end()


SLOW_FOLDERS = ("docs", "faults", "packaging")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark whole folders as slow: documentation, storms and wheels say nothing more on a second interpreter."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def test_run(pytestconfig: pytest.Config) -> TestRun:
    """What the processes of this test run share."""
    return pytestconfig.stash[_RUN]


@pytest.fixture(scope="session")
def redis_server() -> Iterator[PrivateRedis]:
    """A real Redis for this process' tests; to break one, take `own_redis`."""
    with PrivateRedis() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: PrivateRedis) -> str:
    """URL of an empty Redis."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[PrivateRedis]:
    """A Redis that the test may kill, pause and start again."""
    with PrivateRedis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres(test_run: TestRun) -> Databases:
    """The databases of the test run's PostgreSQL."""
    return shared_databases(test_run)


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of an SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'axisor.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, once of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def own_postgres(test_run: TestRun) -> Iterator[PostgresServer]:
    """A PostgreSQL that the test may kill, pause and restart."""
    with test_run.folder("postgres") as directory, PostgresServer(directory) as server:
        yield server


@pytest.fixture(scope="session")
def paper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    """A paper exchange for this process' tests."""
    with PaperExchange(tmp_path_factory.mktemp("paper") / "server.log") as exchange:
        yield exchange


@pytest.fixture
def paper(paper_server: PaperExchange) -> PaperExchange:
    """A paper exchange without accounts, trades or faults."""
    paper_server.reset()
    return paper_server


@pytest.fixture
def world(database_url: str, redis_url: str, paper: PaperExchange) -> Iterator[World]:
    """A world on a fresh database, once of each kind."""
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        exchange_url=paper.url,
        encryption_key=ENCRYPTION_KEY,
        queue_prefix=f"test-{uuid4().hex[:8]}",
    )
    made = World(settings, Storage(database_url), paper)
    yield made
    made.close()


@pytest.fixture(scope="session")
def fault_jobs() -> int:
    """How many jobs a fault test runs: few in the suite, many with ``make faults``."""
    return int(os.environ.get("AXISOR_FAULT_JOBS", "40"))
