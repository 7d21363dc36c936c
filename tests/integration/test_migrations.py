"""Our tables: made once, whoever makes them, and never by an older version over a newer one's."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import psycopg2
import pytest

from axisor_executor.errors import StorageError
from axisor_executor.settings import Settings
from axisor_executor.storage import connection, executions, schema
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow, ExchangeRow, WorkerRow
from axisor_executor.storage.postgres import BEGIN
from axisor_executor.storage.schema import MIGRATIONS, is_current, migrate, owns_monolith_tables
from tests.harness.postgres import writer
from tests.harness.waiting import until

LOCK = f"SELECT pg_advisory_xact_lock({schema._LOCK})"
OWN = {
    "axisor_executions",
    "axisor_actions",
    "axisor_leases",
    "axisor_switches",
    "axisor_trade_lineage",
    "axisor_workers",
    "axisor_tokens",
    "axisor_sessions",
    "axisor_counts",
    "axisor_horizon",
    "axisor_schema",
}


@pytest.fixture
def storage(empty_database_url: str) -> Iterator[Storage]:
    storage = Storage(empty_database_url)
    yield storage
    storage.close()


def migrated(storage: Storage) -> int:
    return migrate(storage, create_monolith_tables=True)


class TestMigrate:
    def test_a_database_of_our_own_gets_all_tables(self, storage: Storage) -> None:
        assert not is_current(storage)
        assert migrated(storage) == len(MIGRATIONS)
        assert storage.tables >= OWN
        assert {"exchanges", "user_exchange_accounts", "Automation", "TradeLog"} <= storage.tables
        assert is_current(storage)
        assert owns_monolith_tables(storage)

    def test_the_schema_of_the_monoliths_url_gets_them(self, postgres_url: str) -> None:
        urls = [postgres_url + more for more in ("?schema=The%20monolith's&connection_limit=5", "?schema=public", "")]
        its, public, usual = [Storage(Settings(database_url=url).require_database()) for url in urls]
        its.run('CREATE SCHEMA "The monolith\'s"')
        migrated(its)
        assert its.tables >= OWN
        assert not public.tables | usual.tables
        for storage in (its, public, usual):
            storage.close()

    def test_a_second_time_nothing_happens(self, storage: Storage) -> None:
        migrated(storage)
        ExchangeRow.create(id="e", name="LN Markets", slug="lnmarkets")
        assert migrated(storage) == 0
        assert ExchangeRow.select().count() == 1

    def test_many_threads_at_once_make_them_once(self, storage: Storage, empty_database_url: str) -> None:
        done: list[int] = []
        barrier = threading.Barrier(4)

        def run() -> None:
            barrier.wait()
            done.append(migrated(storage))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(done) == [0, 0, 0, len(MIGRATIONS)]

    def test_two_processes_at_once_make_them_once(self, storage: Storage, empty_database_url: str) -> None:
        code = (
            "import sys; from axisor_executor.storage.connection import Storage; "
            "from axisor_executor.storage.schema import migrate; storage = Storage(sys.argv[1]); input(); "
            "print(migrate(storage, create_monolith_tables=True))"
        )
        command = [sys.executable, "-c", code, empty_database_url]
        racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        done = [racer.communicate("\n", timeout=60)[0].strip() for racer in racers]
        assert sorted(done) == ["0", str(len(MIGRATIONS))]
        assert is_current(storage)

    def test_an_older_schema_is_brought_up_to_date_with_what_is_in_it(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS[:1])
        assert migrated(storage) == 1
        storage.run(
            "INSERT INTO axisor_executions (id, user_id, automation_id, lane, lane_rank, job, status, created_at) "
            "VALUES ('e', 'user123', 'auto789', 'default', 1, '{}', 'queued', {now})"
        )
        monkeypatch.undo()
        assert not is_current(storage)
        assert migrated(storage) == len(MIGRATIONS) - 1
        assert is_current(storage)
        found = executions.get(storage, "e")
        assert found is not None
        assert (found.user_id, found.status) == ("user123", "queued")

    def test_what_was_to_be_there_once_still_is(self, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        """The eighth migration makes the keys' indexes anew."""
        insert = (
            "INSERT INTO axisor_executions (id, user_id, automation_id, lane, lane_rank, job, status, created_at, "
            "idempotency_key, message_id) VALUES (?, 'user123', 'auto789', 'default', 1, '{}', 'queued', {now}, ?, ?) "
            "ON CONFLICT DO NOTHING"
        )
        monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS[:7])
        migrated(storage)
        assert storage.run(insert, "e", "key", "message") == 1
        monkeypatch.undo()
        assert migrated(storage) == len(MIGRATIONS) - 7
        assert storage.run(insert, "f", "key", None) == 0
        assert storage.run(insert, "g", None, "message") == 0
        assert [storage.run(insert, one, None, None) for one in "hi"] == [1, 1]
        assert storage.run(insert, "j", "another", "other") == 1

    def test_a_newer_schema_is_left_alone(self, storage: Storage) -> None:
        migrated(storage)
        newest = len(MIGRATIONS)
        storage.run("UPDATE axisor_schema SET version = ? WHERE version = ?", newest + 1, newest)
        with pytest.raises(StorageError, match="upgrade axisor-executor") as caught:
            migrated(storage)
        assert caught.value.code == "schema_too_new"

    def test_without_the_monoliths_tables_we_ask(self, storage: Storage) -> None:
        with pytest.raises(StorageError, match="axisor-executor db init") as caught:
            migrate(storage)
        assert caught.value.code == "tables_missing"
        storage.forget_tables()
        assert storage.tables == frozenset()

    def test_half_of_the_monoliths_tables_are_the_wrong_database(self, storage: Storage) -> None:
        storage.run("CREATE TABLE exchanges (id TEXT PRIMARY KEY)")
        with pytest.raises(StorageError, match=r"Automation, TradeLog; is this the right database"):
            migrated(storage)
        storage.forget_tables()
        assert storage.tables == frozenset({"exchanges"})

    def test_a_failure_in_the_middle_leaves_nothing_behind(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = (*MIGRATIONS, "CREATE TABLE axisor_next (id TEXT); CREATE NONSENSE")
        monkeypatch.setattr("axisor_executor.storage.schema.MIGRATIONS", broken)
        with pytest.raises(Exception, match=r"(?i)syntax"):
            migrated(storage)
        monkeypatch.undo()
        storage.forget_tables()
        assert "axisor_next" not in storage.tables
        assert migrated(storage) == len(MIGRATIONS)


class TestBesideOthers:
    """Another process that migrates the same database is waited for, but not for ever, and not where it is current."""

    @pytest.fixture
    def impatient(self, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
        """The database, for one who waits for nothing long."""
        monkeypatch.setattr(schema, "LOCK_SECONDS", 0.2)
        monkeypatch.setattr(connection, "BUSY_SECONDS", 0.2)
        with closing(Storage(empty_database_url)) as made:
            yield made

    @pytest.fixture
    def other(self, storage: Storage) -> Iterator[None]:
        """The other process, in the middle of it."""
        with storage.write():
            storage.run("CREATE TABLE of_another (id INTEGER)" if storage.is_sqlite else LOCK)
            yield

    def test_it_is_not_waited_for_where_all_is_done(
        self, storage: Storage, impatient: Storage, request: pytest.FixtureRequest
    ) -> None:
        migrated(storage)
        request.getfixturevalue("other")
        assert migrate(impatient) == 0

    @pytest.mark.usefixtures("other")
    def test_whoever_has_waited_long_enough_says_so(self, impatient: Storage) -> None:
        with pytest.raises(StorageError, match="another process does not let go of them") as caught:
            migrated(impatient)
        assert (caught.value.code, caught.value.status) == ("schema_locked", 503)

    def test_a_migration_may_take_longer_than_a_job(
        self, storage: Storage, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if storage.is_sqlite:
            pytest.skip("its writers wait for each other whatever they write")
        monkeypatch.setattr(connection, "BEGIN", BEGIN.replace("5s", "10ms"))
        ran: list[int] = []
        with closing(psycopg2.connect(empty_database_url)) as other, closing(Storage(empty_database_url)) as waiting:
            other.cursor().execute(LOCK)
            thread = threading.Thread(target=lambda: ran.append(migrated(waiting)))
            thread.start()
            until(
                lambda: storage.one(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' "
                    "AND clock_timestamp() > query_start + interval '0.2 s'"
                )
            )
            other.rollback()
            thread.join(30)
        assert ran == [len(MIGRATIONS)]


class TestRights:
    """A user who may not make tables can work with those that are there, and is told where they are too old."""

    @pytest.fixture
    def user(self, postgres_url: str) -> Iterator[Storage]:
        with writer(postgres_url) as url, closing(Storage(url)) as made:
            yield made

    @pytest.fixture
    def owner(self, postgres_url: str) -> Iterator[Storage]:
        with closing(Storage(postgres_url)) as made:
            yield made

    def test_no_right_is_needed_where_all_is_done(self, owner: Storage, user: Storage) -> None:
        migrated(owner)
        assert migrate(user) == 0

    @pytest.mark.parametrize("done", [0, len(MIGRATIONS) - 1])
    def test_who_needs_one_and_has_none_is_told(
        self, owner: Storage, user: Storage, done: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema, "MIGRATIONS", MIGRATIONS[:done])
        migrated(owner)
        if not done:
            owner.run("DROP TABLE axisor_schema")
        monkeypatch.undo()
        with pytest.raises(StorageError, match=r"this database user may not \(.*\): run `axisor-executor db") as caught:
            migrate(user)
        assert caught.value.code == "schema_outdated"

    def test_a_newer_schema_is_told_as_such(self, owner: Storage, user: Storage) -> None:
        migrated(owner)
        owner.run("UPDATE axisor_schema SET version = version + 1 WHERE version = ?", len(MIGRATIONS))
        with pytest.raises(StorageError, match="upgrade axisor-executor"):
            migrate(user)

    def test_one_that_may_only_read(self, owner: Storage, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        reader = Storage(f"{postgres_url}?options=-c%20default_transaction_read_only%3Don")
        with closing(reader), pytest.raises(StorageError, match="read-only transaction") as caught:
            migrated(reader)
        assert caught.value.code == "schema_outdated"
        migrated(owner)
        assert migrate(reader) == 0


class TestValues:
    """What is written is what is read, in a session whose zone is not UTC."""

    @pytest.fixture
    def tables(self, storage: Storage) -> Storage:
        migrated(storage)
        return storage

    @pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))])
    def test_an_instant_through_a_model_is_the_same_instant(self, tables: Storage, zone: timezone) -> None:
        moment = datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC).astimezone(zone)
        WorkerRow.create(id="w", host="h", pid=1, started_at=moment, heartbeat_at=moment)
        assert WorkerRow.get().started_at == moment
        row = tables.one("SELECT 1 FROM axisor_workers WHERE started_at = ?", moment)
        assert row is not None

    def test_and_it_compares_with_the_databases_clock(self, tables: Storage) -> None:
        now = datetime.now(UTC)
        WorkerRow.create(id="w", host="h", pid=1, started_at=now, heartbeat_at=now)
        assert tables.one("SELECT 1 FROM axisor_workers WHERE started_at > {later}", -60)
        assert tables.one("SELECT 1 FROM axisor_workers WHERE started_at < {later}", 60)
        assert abs((tables.now() - now).total_seconds()) < 30

    def test_later_takes_any_number_of_seconds(self, tables: Storage) -> None:
        for seconds in (-90_000, -0.25, 0, 0.25, 1e-05, 90_000):
            row = tables.one("SELECT CASE WHEN {later} > {now} THEN 1 ELSE 0 END", seconds)
            assert row is not None
            if abs(seconds) >= 0.25:
                assert row[0] == (seconds > 0), seconds

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ('it\'s 100 % "quoted" ? {now} %s \\u0000 €😀', None),
            ("a\x00b", "a\N{REPLACEMENT CHARACTER}b"),
            ("half \ud83d of a pair", "half ? of a pair"),
        ],
    )
    def test_any_text_can_be_stored(self, tables: Storage, text: str, kept: str | None) -> None:
        expected = text if kept is None else kept
        ExchangeRow.create(id="e", name="x", slug="x")
        now = datetime.now(UTC)
        tables.run(
            "INSERT INTO user_exchange_accounts (id, user_id, exchange_id, account_name, credentials, created_at, "
            "updated_at) VALUES ('a', 'u', 'e', ?, ?, ?, ?)",
            text,
            {text: [text, {"nested": text}]},
            now,
            now,
        )
        row = AccountRow.get()
        assert (row.account_name, row.credentials) == (expected, {expected: [expected, {"nested": expected}]})
        assert row.created_at == now
