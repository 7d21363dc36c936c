"""Statements that run together: in one round trip, planned once, and all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import peewee
import psycopg2
import psycopg2.extensions
import pytest

from axisor_executor.storage import postgres as storage_postgres
from axisor_executor.storage.connection import BROKEN, Storage, must

SET = "INSERT INTO axisor_switches (scope, scope_id, mode, created_at) VALUES (?, '', 'paused', {now})"
SAY = "UPDATE axisor_switches SET reason = ? WHERE scope = ?"
ALL = "SELECT scope, reason FROM axisor_switches ORDER BY scope"
PLANNED = "SELECT COUNT(*) FROM pg_prepared_statements"


@pytest.fixture
def storage(database_url: str) -> Iterator[Storage]:
    storage = Storage(database_url)
    with storage.connection():
        yield storage
    storage.close()


@pytest.fixture
def on_postgres(migrated_postgres: str) -> Iterator[Storage]:
    storage = Storage(migrated_postgres)
    storage.run("DELETE FROM axisor_switches")
    with storage.connection():
        yield storage
    storage.run("DELETE FROM axisor_switches")
    storage.close()


class TestAllOrNone:
    def test_the_last_ones_rows_come_back(self, storage: Storage) -> None:
        assert storage.together((SET, "all"), must(SAY, "test", "all"), (ALL,)) == [("all", "test")]

    def test_what_need_not_touch_a_row_may_touch_none(self, storage: Storage) -> None:
        assert storage.together((SET, "all"), (SAY, "test", "exchange"), (ALL,)) == [("all", None)]

    @pytest.mark.parametrize("behind", [(), ((ALL,),)])
    def test_where_one_that_must_touches_none_nothing_has_happened(self, storage: Storage, behind: Any) -> None:
        assert storage.together((SET, "all"), must(SAY, "test", "exchange"), *behind) is None
        assert storage.rows(ALL) == []
        assert storage.together((SET, "all"), must(SAY, "test", "all")) is not None
        assert storage.rows(ALL) == [("all", "test")]

    @pytest.mark.parametrize("broken", ["SELECT nothing FROM axisor_switches", SET])
    def test_where_one_fails_nothing_has_happened(self, storage: Storage, broken: str) -> None:
        storage.together((SET, "exchange"))
        with pytest.raises(peewee.PeeweeException):
            storage.together((SET, "all"), (broken, *(["exchange"] * broken.count("?"))))
        assert storage.rows(ALL) == [("exchange", None)]

    def test_one_of_ours_that_reads_like_the_sign_of_a_failure_is_no_sign(self, on_postgres: Storage) -> None:
        with pytest.raises(peewee.DataError):
            on_postgres.together(("SELECT CAST(? AS INTEGER)", "seven"))


class TestTheTransaction:
    def test_is_as_it_has_to_be_whatever_the_servers_defaults_are(self, postgres_url: str) -> None:
        strict = "-c default_transaction_isolation=serializable -c synchronous_commit=local -c lock_timeout=0"
        facts = ", ".join(
            f"current_setting('{name}')" for name in ("transaction_isolation", "lock_timeout", "synchronous_commit")
        )
        url = f"{postgres_url}?options={strict.replace(' ', '%20').replace('=', '%3D')}"
        with closing(Storage(url)) as storage, storage.connection():
            for on_disk, commit in ((None, "local"), (True, "on"), (False, "off")):
                assert storage.together((f"SELECT {facts}",), on_disk=on_disk) == [("read committed", "5s", commit)]
            storage.database._plans[storage.database.connection()].are_kept = False
            storage.run("RESET ALL")  # as behind a pooler, where nothing is a session's
            for on_disk, commit in ((None, "local"), (True, "on"), (False, "local")):
                assert storage.together((f"SELECT {facts}",), on_disk=on_disk) == [("read committed", "5s", commit)]
            assert storage.one(f"SELECT {facts}") == ("serializable", "0", "local"), "it is the transaction's alone"

    def test_is_none_of_the_callers(self, on_postgres: Storage) -> None:
        with on_postgres.write(), pytest.raises(AssertionError):
            on_postgres.together((SET, "all"))


class TestPlans:
    def test_one_that_can_not_be_planned_keeps_no_other_from_its_work(self, on_postgres: Storage) -> None:
        """What was planned before it in the same breath stays planned, though nobody was told."""
        with pytest.raises(peewee.ProgrammingError, match="gone"):
            on_postgres.together((SET, "all"), ("SELECT gone FROM axisor_switches",))
        assert on_postgres.together((SET, "exchange"), (ALL,)) == [("exchange", None)]

    def test_nor_one_that_somebody_else_has_planned(self, on_postgres: Storage) -> None:
        on_postgres.together((SET, "all"))
        on_postgres.database._plans.clear()
        assert on_postgres.together((SET, "exchange"), (ALL,)) == [("all", None), ("exchange", None)]

    def test_a_plan_does_not_stand_for_ever(self, on_postgres: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
        on_postgres.together((ALL,))
        asked: list[str] = []
        ask = on_postgres.database.execute_sql
        monkeypatch.setattr(
            on_postgres.database, "execute_sql", lambda sql, params=None: asked.append(sql) or ask(sql, params)
        )
        on_postgres.together((ALL,))
        assert "DISCARD PLANS" not in asked
        monkeypatch.setattr(storage_postgres, "PLANNED_SECONDS", -1.0)
        on_postgres.together((ALL,))
        assert "DISCARD PLANS" in asked

    @pytest.mark.parametrize("is_direct", [True, False])
    def test_signs_that_mean_something_to_the_driver_mean_nothing(self, on_postgres: Storage, is_direct: bool) -> None:
        on_postgres.together((ALL,))
        on_postgres.database._plans[on_postgres.database.connection()].are_kept = is_direct
        assert on_postgres.together(("SELECT 7 % 4",)) == [(3,)]
        assert on_postgres.together(("SELECT 7 % 4, CAST(? AS TEXT)", "%s")) == [(3, "%s")]

    def test_where_the_first_question_of_a_connection_fails_the_next_one_is_another(self, on_postgres: Storage) -> None:
        """As behind a pooler that takes a client while its database is away."""
        is_away = [True]

        class Dying(psycopg2.extensions.connection):
            def cursor(self, *args: Any, **kwargs: Any) -> Any:
                if is_away[0]:
                    self.close()
                    raise psycopg2.OperationalError("server closed the connection unexpectedly")
                return super().cursor(*args, **kwargs)

        with closing(Storage(on_postgres._url)) as storage:
            storage.database.connect_params["connection_factory"] = Dying
            with pytest.raises(BROKEN), storage.connection():
                storage.together((ALL,))
            is_away[0] = False
            with storage.connection():
                assert storage.together((ALL,)) == []

    def test_each_statement_is_planned_once_for_a_connection(self, on_postgres: Storage) -> None:
        for scope in ("all", "exchange", "account"):
            on_postgres.together((SET, scope), (SET, f"{scope} again"), must(SAY, "test", scope))
        assert on_postgres.one(PLANNED) == (2,)

    def test_nothing_is_planned_behind_a_pooler(self, migrated_postgres: str) -> None:
        """It hands each transaction to whichever server process is free, and answers itself whose process that is."""

        class Pooled(psycopg2.extensions.connection):
            def get_backend_pid(self) -> int:
                return super().get_backend_pid() + 1

        with closing(Storage(migrated_postgres)) as storage, storage.connection():
            storage.close()
            storage.database.connect_params["connection_factory"] = Pooled
            commit = "SELECT current_setting('synchronous_commit')"
            with storage.connection():
                assert storage.together((commit,), on_disk=False) == [("on",)], "a run outlives the database there"
                said = "100 % of %s, %(name)s? or ?; DROP TABLE x; --"
                assert storage.together((SET, "all"), must(SAY, said, "all"), (ALL,)) == [("all", said)]
                assert storage.together((SET, "exchange"), must(SAY, said, "none")) is None
                assert storage.one(PLANNED) == (0,)
                storage.run("DELETE FROM axisor_switches")

    def test_what_was_planned_may_be_gone(self, on_postgres: Storage) -> None:
        on_postgres.together((SET, "all"), (ALL,))
        on_postgres.run("DEALLOCATE ALL")
        assert on_postgres.together((SET, "exchange"), (ALL,)) == [("all", None), ("exchange", None)]

    def test_and_a_column_may_be_another_since(self, on_postgres: Storage) -> None:
        on_postgres.run("CREATE TEMP TABLE gauge (reading INTEGER)")
        read = "INSERT INTO gauge VALUES (?)", "SELECT reading FROM gauge"
        assert on_postgres.together((read[0], 1), (read[1],)) == [(1,)]
        on_postgres.run("ALTER TABLE gauge ALTER COLUMN reading TYPE TEXT")
        assert on_postgres.together((read[0], 2), (read[1],)) == [("1",), ("2",)]

    @pytest.mark.parametrize("kinds", [("UUID", "TEXT"), ("one", "another")])
    def test_nor_need_it_be_of_the_same_type(self, on_postgres: Storage, kinds: tuple[str, str]) -> None:
        """One type in place of another, and an enum's as migrations do it: under the old name."""
        of = "SELECT id FROM odd WHERE id = ?"
        one = "1c1b1a10-0000-4000-8000-000000000000"
        on_postgres.run("CREATE TABLE odd (id TEXT)")
        try:
            on_postgres.run("INSERT INTO odd VALUES (?)", one)
            for kind in kinds:
                if kind.islower():
                    on_postgres.run(f"CREATE TYPE {kind} AS ENUM ('{one}')")
                assert on_postgres.lookup(of, one) == [(one,)]
                on_postgres.run(f"ALTER TABLE odd ALTER id TYPE {kind} USING id::TEXT::{kind}")
            if kind.islower():
                on_postgres.run("DROP TYPE one; ALTER TYPE another RENAME TO one")
            assert on_postgres.lookup(of, one) == [(one,)]
            if kind == "TEXT":
                assert on_postgres.lookup(of, "no uuid") == []
            assert on_postgres.lookup(of, one) == [(one,)]
        finally:
            on_postgres.run("DROP TABLE odd; DROP TYPE IF EXISTS one, another")

    def test_what_failed_with_its_plan_is_done_once(self, on_postgres: Storage) -> None:
        """Nothing of it had happened: a plan that fails late takes what stood before it along."""
        one = "1c1b1a10-0000-4000-8000-000000000000"
        delete = must("DELETE FROM odd WHERE id = ?", one)
        on_postgres.run("CREATE TABLE odd (id TEXT)")
        on_postgres.run("CREATE TABLE done (at INT)")
        try:
            for kind in ("TEXT", "UUID", "TEXT"):
                on_postgres.run(f"ALTER TABLE odd ALTER id TYPE {kind} USING id::{kind}")
                on_postgres.run("INSERT INTO odd VALUES (?)", one)
                assert on_postgres.together(("INSERT INTO done VALUES (1)",), delete, on_disk=True) is not None
                assert on_postgres.together(("INSERT INTO done VALUES (1)",), delete, on_disk=True) is None
            assert on_postgres.one("SELECT COUNT(*) FROM done") == (3,)
        finally:
            on_postgres.run("DROP TABLE odd, done")

    def test_what_is_wrong_without_a_plan_too_is_told_and_costs_no_other_its_plan(self, on_postgres: Storage) -> None:
        for given, found in (("all", 0), ("no number", None), ("all", 0)):
            sql = "SELECT COUNT(*) FROM axisor_switches WHERE scope = ? AND length(scope) = CAST(? AS INT)"
            if found is None:
                with pytest.raises(peewee.DataError):
                    on_postgres.lookup(sql, "all", given)
            else:
                assert on_postgres.lookup(sql, given, "5") == [(found,)]
        assert on_postgres.one(PLANNED) == (1,)

    def test_plans_of_ever_other_sizes_do_not_add_up(self, on_postgres: Storage) -> None:
        for size in range(1, 400):
            on_postgres.together(*[(SAY, "test", "all")] * size)
        assert len(on_postgres.database._batches) < 300
        assert on_postgres.one(PLANNED) == (1,)


class TestLookup:
    """A query that many jobs need."""

    def test_it_finds_what_any_other_query_finds(self, storage: Storage) -> None:
        storage.together((SET, "all"), (SET, "exchange"))
        for _ in range(2):
            assert storage.lookup("SELECT scope FROM axisor_switches WHERE scope = ?", "all") == [("all",)]
            assert storage.lookup("SELECT scope FROM axisor_switches WHERE scope = ?", "account") == []

    def test_inside_a_transaction_it_sees_what_that_has_written(self, storage: Storage) -> None:
        with storage.write():
            storage.run(SET, "all")
            assert storage.lookup(ALL) == [("all", None)]

    def test_it_is_planned_once_and_goes_by_keys(self, on_postgres: Storage) -> None:
        """A table that is all but empty when it is planned may be full a moment later."""
        how = "SELECT current_setting('enable_seqscan')"
        assert [on_postgres.lookup(how) for _ in range(2)] == [[("off",)]] * 2
        assert on_postgres.rows(how) == [("on",)], "of other queries the server knows best"
        assert on_postgres.rows("SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE ?", f"%{how}%") == [
            (1,)
        ]
