"""What the integration tests share: databases that are migrated already, what they are asked, and the whole log."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from axisor_executor.observe.logs import ROOT, RUNS, HumanFormatter, JsonFormatter
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate
from tests.harness.postgres import Databases
from tests.harness.world import World
from tests.integration.ledger import Ledger
from tests.integration.puppet import Puppet


def _migrate(url: str) -> None:
    storage = Storage(url)
    migrate(storage, create_monolith_tables=True)
    storage.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "axisor.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Databases) -> Iterator[str]:
    """URL of this process' PostgreSQL database with all tables: to make one for each test takes far longer."""
    name = postgres.create()
    _migrate(postgres.url(name))
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with all tables and nothing in them, once of each kind."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "axisor.db")
        return f"sqlite:///{file}"
    url = str(request.getfixturevalue("migrated_postgres"))
    _empty(url)
    return url


def _empty(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # no order among the tables
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'axisor_schema'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'DELETE FROM "{table}"')


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """URL of a database without a table, once of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """The ledger itself, on a database of each kind."""
    with closing(Storage(database_url)) as storage, storage.connection():
        yield Ledger(storage)


@pytest.fixture
def puppet() -> Puppet:
    """The plugin that decides as a test tells it; the test has a world restart with it."""
    return Puppet()


class Said(logging.Handler):
    """Everything that was logged, as people and as machines would read it.

    ``lines``: the human lines without their time. ``records``: all JSON objects. ``runs``: those that end a run.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self._human, self._json = HumanFormatter(), JsonFormatter()

    def emit(self, record: logging.LogRecord) -> None:
        shown = json.loads(self._json.format(record))
        if record.name == RUNS:
            self.runs.append(shown)
            return
        self.records.append(shown)
        line = self._human.format(record).split(" ", 1)[1]
        self.lines.append(line)
        if record.levelno >= logging.WARNING:
            self.problems.append(line)

    def clear(self) -> None:
        """Forget what was said so far."""
        for kept in (self.lines, self.records, self.runs, self.problems):
            kept.clear()

    @property
    def delays(self) -> list[float]:
        """In how many seconds each interrupted run was to go on."""
        return [float(found[1]) for line in self.lines if (found := re.search(r"goes on in ([0-9.]+) s", line))]

    def text(self) -> str:
        """Return everything in one text."""
        return "\n".join([*self.lines, *(json.dumps(one, ensure_ascii=False) for one in (*self.records, *self.runs))])


@pytest.fixture
def said() -> Iterator[Said]:
    """The log of this test."""
    logger, heard = logging.getLogger(ROOT), Said()
    level = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.DEBUG)
    yield heard
    logger.removeHandler(heard)
    logger.setLevel(level)


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the database is asked, by the first word of each round trip."""
    found: list[str] = []
    database = world.storage.database
    ask = database.execute_sql

    def listening(sql: str, params: Any = None) -> Any:
        if not sql.startswith(("PREPARE", "DISCARD", "BEGIN", "COMMIT")):
            found.append(sql)
        return ask(sql, params)

    monkeypatch.setattr(database, "execute_sql", listening)
    return found


@pytest.fixture
def commits(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whether commits wait for the disk (``on``), for each statement that changes something; by default they don't."""
    found: list[str] = []
    storage = world.storage
    run = storage.run
    kept = "PRAGMA synchronous" if storage.is_sqlite else "SELECT current_setting('synchronous_commit')"

    def listening(sql: str, *params: Any) -> int:
        touched = run(sql, *params)
        if storage.database.in_transaction():
            row = storage.one(kept)
            assert row is not None
            found.append({2: "on"}.get(row[0], row[0]))
        return touched

    with storage.connection():
        if not storage.is_sqlite:
            run("SET synchronous_commit TO off")
        monkeypatch.setattr(storage, "run", listening)
        yield found
        if not storage.is_sqlite:
            run("RESET synchronous_commit")
