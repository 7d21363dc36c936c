"""Connections to a real PostgreSQL: opened ahead, kept, and replaced when they are dead."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee
import psycopg2.extensions
import pytest

from axisor_executor.errors import StorageError
from axisor_executor.storage import claiming
from axisor_executor.storage import pool as pool_module
from axisor_executor.storage import postgres as storage_postgres
from axisor_executor.storage.connection import BROKEN, Storage
from tests.harness.world import World

BACKEND = "SELECT pg_backend_pid()"
SESSIONS = (
    "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'axisor-executor'"
)


@pytest.fixture
def storage(migrated_postgres: str) -> Iterator[Storage]:
    with closing(Storage(migrated_postgres, pool=4)) as made:
        yield made


@pytest.fixture
def on_postgres(world: World) -> World:
    if world.storage.is_sqlite:
        pytest.skip("SQLite has none to open")
    return world


def backends(storage: Storage, count: int) -> set[Any]:
    """Return the server processes of so many connections, taken at once."""
    found: list[Any] = []
    storage.database.open_ahead(count, lambda: found.append(storage.one(BACKEND)))
    return set(found)


@pytest.mark.parametrize("write", ["one", "together", "in a transaction"])
def test_a_session_that_takes_no_writes_is_given_up_with_those_that_lie_idle(storage: Storage, write: str) -> None:
    """The server of a failover that goes on as a replica keeps its connections."""
    before = backends(storage, 3)
    storage.database.open_ahead(3, lambda: storage.run("SET default_transaction_read_only = on"))
    statement = "DELETE FROM axisor_leases WHERE account_id = 'nobody'"

    def change() -> None:
        if write == "one":
            storage.run(statement)
        elif write == "together":
            storage.together((statement,))
        else:
            with storage.write():
                storage.run(statement)

    with pytest.raises(BROKEN, match="read-only transaction"):
        change()
    change()
    assert not backends(storage, 3) & before


@pytest.mark.parametrize("together", [True, False])
def test_a_value_that_no_index_can_hold_is_no_database_that_is_away(storage: Storage, together: bool) -> None:
    """Whoever waits for a database until it is back would wait for ever."""
    endless = "".join(random.Random(1).choices(string.printable, k=20_000))
    statement = "INSERT INTO axisor_switches (scope, scope_id, mode, created_at) VALUES ('account', ?, 'paused', {now})"
    before = backends(storage, 1)
    with pytest.raises(peewee.DataError, match="index row"):
        storage.together((statement, endless)) if together else storage.run(statement, endless)
    assert backends(storage, 1) == before


def failing_from(number: int) -> Callable[..., Any]:
    """Return a connection's class whose instances can't be made from the so-manieth on."""
    made: list[int] = []

    class Limited(psycopg2.extensions.connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(1)
            if len(made) >= number:
                raise psycopg2.OperationalError("FATAL:  sorry, too many clients already")
            super().__init__(*args, **kwargs)

    return Limited


class TestAhead:
    def test_threads_find_them_open_and_the_claim_planned(self, storage: Storage) -> None:
        storage.open_ahead(3, lambda: claiming.prepare(storage))
        before = backends(storage, 3)
        planned: list[Any] = []
        storage.open_ahead(3, lambda: planned.append(storage.one("SELECT COUNT(*) FROM pg_prepared_statements")))
        assert planned == [(1,)] * 3
        assert backends(storage, 3) == before

    def test_where_there_is_no_room_for_all_none_is_kept(self, storage: Storage) -> None:
        storage.database.connect_params["connection_factory"] = failing_from(3)
        with pytest.raises(StorageError, match=r"3 connections .* can't be opened: .*too many clients"):
            storage.open_ahead(3, lambda: None)
        assert storage.database.is_closed()
        storage.database.connect_params.pop("connection_factory")
        assert len(backends(storage, 4)) == 4, "nor any place"

    def test_nor_where_one_can_not_be_asked(self, storage: Storage) -> None:
        for _ in range(2):
            with pytest.raises(StorageError, match="can't be opened"):
                storage.open_ahead(4, lambda: storage.run("SELECT nothing"))
        assert storage.database.is_closed()

    def test_a_thread_that_has_one_already_opens_none(self, storage: Storage) -> None:
        with storage.connection(), pytest.raises(AssertionError):
            storage.open_ahead(1, lambda: None)
        assert len(backends(storage, 4)) == 4

    def test_from_a_slow_server_as_many_as_there_is_time_for(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage_postgres, "AHEAD_SECONDS", -1.0)
        assert backends(storage, 4) == set()

    def test_a_worker_has_one_for_each_thread_before_it_takes_work(self, on_postgres: World, tmp_path: Path) -> None:
        world = on_postgres
        before = world.storage.one(SESSIONS)
        assert before is not None
        with world.worker(tmp_path / "worker.log") as worker:
            worker.wait_for_line("Worker ready: 4 threads")
            assert world.storage.one(SESSIONS) >= (before[0] + 4,)


@pytest.mark.parametrize("password", ["plain", "pa:1", "s3cr:5"])
def test_why_it_is_away_is_told_whatever_the_password(password: str) -> None:
    storage = Storage(f"postgresql://user:{password}@127.0.0.1:1/db")
    with closing(storage), pytest.raises(StorageError, match="refused"):
        storage.one("SELECT 1")


@pytest.mark.parametrize("password", ["{}", "pa@{}", "pa@{}:x", "{}@rest", "pa%40@{}", "x:{}"])
def test_what_the_driver_quotes_of_a_password_is_not_told(password: str) -> None:
    """It may cut the URL elsewhere than we do, and take a password's rest for a host or a port."""
    canary = "Kanarienvogel"
    with closing(Storage(f"postgresql://user:{password.format(canary)}@127.0.0.1:1/db")) as storage:
        with pytest.raises(StorageError, match="can't be reached") as failure, storage.connection():
            pass
        quoting = storage.reason(peewee.OperationalError(f'could not translate host name "{canary}@127.0.0.1"'))
    assert canary not in str(failure.value)
    assert quoting == "OperationalError: DATABASE_URL is not as the driver needs it"


class TestKept:
    def test_one_that_died_meanwhile_is_replaced_without_a_word(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage_postgres, "TRUSTED_SECONDS", 0.0)
        before = backends(storage, 2)
        with closing(Storage(storage._url)) as other:
            for (pid,) in before:
                other.run("SELECT pg_terminate_backend(?)", pid)
        found = storage.one(BACKEND)
        assert found is not None
        assert found not in before

    def test_what_was_asked_is_read_before_it_goes_back(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be closed there, for its age or with all others."""
        monkeypatch.setattr(pool_module, "OLD_SECONDS", -1.0)
        monkeypatch.setattr(pool_module, "REPLACED_SECONDS", -1.0)
        assert storage.one("SELECT 1") == (1,)
        assert storage.rows("SELECT 1") == [(1,)]
        assert storage.run("UPDATE axisor_switches SET reason = NULL") == 0

    @pytest.mark.parametrize(
        ("failing", "are_kept"),
        [
            ("SELECT pg_terminate_backend(pg_backend_pid())", False),
            ("DO $$BEGIN RAISE 'no' USING errcode = '55P03'; END$$", True),
        ],
        ids=["died", "no lock in time"],
    )
    def test_others_are_closed_with_one_that_died(self, storage: Storage, failing: str, are_kept: bool) -> None:
        before = backends(storage, 3)
        with pytest.raises(BROKEN):
            storage.run(failing)
        assert len(backends(storage, 3) & before) == (2 if are_kept else 0)

    def test_one_in_a_transaction_is_taken_out_of_it(self, storage: Storage) -> None:
        with storage.connection():
            storage.run("BEGIN")
        with storage.connection():
            assert storage.database.connection().get_transaction_status() == 0

    def test_a_thread_has_one_at_most(self, storage: Storage) -> None:
        with storage.connection(), pytest.raises(peewee.OperationalError, match="has a connection already"):
            storage.database.connect()
