"""One database: its pooled connections, its clock, and the few places where the dialects differ.

SQL in this package is written once, with ``?`` for parameters, ``{now}`` for the database's clock, ``{later}`` for
that clock plus ``?`` seconds, ``{far}`` for later than any lease may rightly last, ``{for_update}`` for a row lock
(SQLite's writers are alone anyway), and ``{sha256}`` and ``{end}`` around a text whose digest, in hex, is meant.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote

import peewee
from playhouse.pool import PooledSqliteDatabase

from axisor_executor.errors import AxisorError, StorageError
from axisor_executor.storage.models import MODELS
from axisor_executor.storage.postgres import BEGIN, ON_DISK, Postgres, Sentence
from axisor_executor.storage.values import digest, instant, is_plain, json_text, storable_text

BUSY_SECONDS = 15
POOL_WAIT_SECONDS = 15
LONGEST_LEASE_SECONDS = 301
"""More than any process may set; a lease that lasts longer was taken before the database's clock was set back."""
SHORTEST_PIECE = 4
"""Letters of a password that are looked for in what a driver says: fewer stand in any line."""

_SQLITE = {
    "now": "strftime('%Y-%m-%d %H:%M:%f','now')",
    "later": "strftime('%Y-%m-%d %H:%M:%f','now',?||' seconds')",
    "far": f"strftime('%Y-%m-%d %H:%M:%f','now','{LONGEST_LEASE_SECONDS} seconds')",
    "for_update": "",
    "sha256": "sha256(",
    "end": ")",
}
_POSTGRES = {
    "now": "clock_timestamp()",
    "later": "clock_timestamp()+?*interval '1 second'",
    "far": f"clock_timestamp()+interval '{LONGEST_LEASE_SECONDS} seconds'",
    "for_update": "FOR UPDATE",
    "sha256": "encode(sha256(convert_to(",
    "end": ",'UTF8')),'hex')",
}

_AS_IT_IS = frozenset({int, float, bool, type(None)})

Statement = tuple[Any, ...]
"""SQL, and its parameters behind it."""


class Must(Statement):
    """A statement that is to touch a row; where it doesn't, nothing of what stands together with it happens."""


class _NothingTouched(Exception):
    pass


def must(sql: str, *params: Any) -> Must:
    """Return a statement that is to touch a row."""
    return Must((sql, *params))


BROKEN = (peewee.OperationalError, peewee.InterfaceError)
"""What a lost connection, a full disk or a stopped server looks like."""


class Storage:
    """The database at ``url`` (``postgresql://...`` or ``sqlite:///path``), with at most ``pool`` connections.

    Opens nothing until the first :meth:`connection`; safe to use from many threads, not across a fork.
    """

    def __init__(self, url: str, *, pool: int = 32) -> None:
        self._url = url
        self.is_sqlite = url.startswith("sqlite")
        self._fragments = _SQLITE if self.is_sqlite else _POSTGRES
        self._types: dict[tuple[str, str], str | None] = {}
        self._dialect: dict[str, str] = {}
        self._translated: dict[str, str] = {}
        self.database: Any = _sqlite(url, pool) if self.is_sqlite else _postgres(url, pool)
        self.database.bind(MODELS, bind_refs=False, bind_backrefs=False)

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Hold a connection of the pool for this thread; nested uses share it.

        A connection that broke is thrown away instead of going back.

        Raises:
            StorageError: the database can't be reached, or no connection came free in time.
        """
        try:
            opened = self.database.connect(reuse_if_open=True)
        except (peewee.PeeweeException, ValueError) as error:
            raise StorageError(
                f"the database can't be reached: {self.reason(error)}", code="database_unavailable", status=503
            ) from None
        try:
            yield
        except BROKEN:
            if opened:
                self.database.manual_close()
            raise
        finally:
            if opened and not self.database.is_closed():
                self.database.close()

    def open_ahead(self, count: int, ask: Callable[[], object]) -> None:
        """Open so many connections and ``ask`` something on each, for threads that will all begin at once.

        Raises:
            StorageError: so many can't be opened; none is kept.
        """
        if self.is_sqlite:
            return  # opening a file is nothing
        try:
            self.database.open_ahead(count, ask)
        except peewee.PeeweeException as error:
            raise StorageError(
                f"{count} connections to the database can't be opened: {self.reason(error)}",
                code="database_unavailable",
                status=503,
            ) from None

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[None]:
        """Run the block in one transaction: committed as a whole, or not at all.

        SQLite takes the write lock at once (``BEGIN IMMEDIATE``): an upgrade in mid-transaction could fail.

        Args:
            durable: have it on disk when it has committed, however the server is set up: what was promised to a
                caller, or is about to be sent, must survive a crash of the database.
        """
        begin = "IMMEDIATE" if self.is_sqlite else BEGIN + ON_DISK if durable else BEGIN
        with self.connection(), self.database.atomic(begin):
            yield

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self.connection():
            return list(self._execute(sql, params).fetchall())

    def one(self, sql: str, *params: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query, ``None`` where there is none."""
        with self.connection():
            row: tuple[Any, ...] | None = self._execute(sql, params).fetchone()
        return row

    def lookup(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query that many jobs need: planned once for a connection, outside of transactions."""
        if self.is_sqlite or self.database.in_transaction():
            return self.rows(sql, *params)
        return self.together((sql, *params)) or []

    def run(self, sql: str, *params: Any) -> int:
        """Run a statement and return how many rows it touched."""
        with self.connection():
            return int(self._execute(sql, params).rowcount)

    def together(self, *statements: Statement, on_disk: bool | None = None) -> list[tuple[Any, ...]] | None:
        """Run statements, one after the other, in a transaction of their own; return the rows of the last one.

        On PostgreSQL that is one round trip, and each is planned once for a connection: for what every job needs.

        Args:
            statements: what to run.
            on_disk: ``True``: have it on disk when it has committed, however the server is set up, as :meth:`write`
                does. ``False``: soon is enough, for what a crash of the database may take back together with the
                connection of whoever did it.

        Returns:
            ``None`` where one that :func:`must` touch a row did not: nothing has happened then.
        """
        if self.is_sqlite:
            try:
                with self.write():
                    return self._one_by_one(statements)
            except _NothingTouched:
                return None
        sentences = tuple([Sentence(self._filled(one[0]), type(one) is Must) for one in statements])
        values = self._values([value for one in statements for value in one[1:]])
        with self.connection():
            cursor = self.database.together(sentences, values, on_disk)
            return None if cursor is None else _rows(cursor)

    def _one_by_one(self, statements: tuple[Statement, ...]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for statement in statements:
            cursor = self._execute(statement[0], statement[1:])
            rows = _rows(cursor)
            if type(statement) is Must and cursor.rowcount == 0:
                raise _NothingTouched
        return rows

    def attempt(self, sql: str, *params: Any) -> None:
        """Inside :meth:`write`: run a statement that may fail; when it does, only it is undone.

        Raises:
            peewee.PeeweeException: it failed.
        """
        try:
            self.run("SAVEPOINT attempt")
            self.run(sql, *params)
            self.run("RELEASE SAVEPOINT attempt")
        except BROKEN:
            raise
        except peewee.PeeweeException:
            self.run("ROLLBACK TO SAVEPOINT attempt")
            raise

    def now(self) -> datetime:
        """Return the database's clock, the only one that leases and due times know."""
        row = self.one("SELECT {now}")
        assert row is not None
        return instant(row[0])

    def _execute(self, sql: str, params: Sequence[Any]) -> Any:
        text = self._translated.get(sql) or self._translate(sql)
        return self.database.execute_sql(text, self._values(params))

    def _values(self, params: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([value if type(value) in _AS_IT_IS or is_plain(value) else self._bind(value) for value in params])

    def _translate(self, sql: str) -> str:
        text = self._filled(sql)
        if not self.is_sqlite:
            text = text.replace("%", "%%").replace("?", "%s")
        self._translated[sql] = text
        return text

    def _filled(self, sql: str) -> str:
        """Return a statement in this database's dialect, with ``?`` for parameters still."""
        return self._dialect.get(sql) or self._dialect.setdefault(
            sql, functools.reduce(_fill, self._fragments.items(), sql)
        )

    def _bind(self, value: Any) -> Any:
        if isinstance(value, str):
            return storable_text(value)
        if isinstance(value, (dict, list)):
            return json_text(value)
        if isinstance(value, datetime):
            # Text with an offset is right for columns with a zone and (the monolith's) without one, whatever the
            # session's zone; SQLite compares texts, so there it has none.
            value = value.astimezone(UTC)
            return value.strftime("%Y-%m-%d %H:%M:%S.%f") if self.is_sqlite else value.isoformat(" ")
        return value

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say why, and nothing secret, where the database fails or refuses what the block asks of it.

        Raises:
            StorageError: instead of what the driver raises.
        """
        try:
            yield
        except peewee.PeeweeException as error:
            raise self.explanation(error) from None

    def explanation(self, error: peewee.PeeweeException) -> StorageError:
        """Return what is told of an error of the driver's: 503 where the database may be back in a moment."""
        if isinstance(error, BROKEN):
            return StorageError(f"the database failed: {self.reason(error)}", code="database_unavailable", status=503)
        return StorageError(f"the database refused: {self.reason(error)}", code="database_error")

    def reason(self, error: Exception) -> str:
        """Return the first line of an error's message; one that quotes a part of the URL is not shown."""
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        userinfo = self._url.partition("://")[2].rpartition("@")[0]
        password = userinfo.partition(":")[2]
        # A driver that reads such a URL in another way quotes pieces, which it takes for a host or a port.
        pieces = [piece for piece in re.split("[@:/?#]", password) if len(piece) >= SHORTEST_PIECE]
        pieces += [whole for whole in (self._url, password) if whole]
        if "dsn" in line or "URI" in line or any(one in line or unquote(one) in line for one in pieces):
            return f"{type(error).__name__}: DATABASE_URL is not as the driver needs it"
        return line

    @cached_property
    def tables(self) -> frozenset[str]:
        """The names of the tables that are there now."""
        with self.connection():
            return frozenset(self.database.get_tables())

    def type_of(self, table: str, column: str) -> str | None:
        """Return the type of a column (of PostgreSQL), ``None`` where there is none of this name; looked up once."""
        if (table, column) not in self._types:
            row = self.one(
                "SELECT format_type(a.atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
                "WHERE pg_table_is_visible(c.oid) AND c.relname = ? AND a.attname = ?",
                table,
                column,
            )
            self._types[table, column] = row[0] if row else None
        return self._types[table, column]

    def forget_tables(self) -> None:
        """Look the tables up again next time (after a migration)."""
        self.__dict__.pop("tables", None)
        self._types.clear()

    def close(self) -> None:
        """Close every idle connection, and this thread's."""
        if not self.database.is_closed():
            self.database.close()
        self.database.close_idle()


def _fill(sql: str, fragment: tuple[str, str]) -> str:
    return sql.replace("{" + fragment[0] + "}", fragment[1])


def _rows(cursor: Any) -> list[tuple[Any, ...]]:
    return list(cursor.fetchall()) if cursor.description is not None else []


_Pooled: Any = PooledSqliteDatabase  # peewee has no types


class _Sqlite(_Pooled):  # type: ignore[misc]
    def rollback(self) -> None:
        # A full disk has undone it already. That there is nothing to undo would take the place of the cause.
        if self.connection().in_transaction:
            super().rollback()


def _sqlite(url: str, pool: int) -> Any:
    database = _Sqlite(
        url.removeprefix("sqlite:///"),
        max_connections=pool,
        timeout=POOL_WAIT_SECONDS,
        check_same_thread=False,
        pragmas={
            "journal_mode": "wal",
            "synchronous": "full",
            "foreign_keys": 1,
            "busy_timeout": BUSY_SECONDS * 1000,
        },
    )
    database.register_function(digest, "sha256", 1)
    return database


def _postgres(url: str, pool: int) -> Any:
    if find_spec("psycopg2") is None:
        raise AxisorError("PostgreSQL needs psycopg2: pip install 'axisor-executor[postgres]'", code="extra_missing")
    return Postgres(
        # The driver knows this scheme only; with the other one it would take the whole URL for a database's name.
        f"postgresql://{url.partition('://')[2]}",
        most=pool,
        wait_seconds=POOL_WAIT_SECONDS,
        connect_timeout=5,
        application_name="axisor-executor",
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        tcp_user_timeout=15_000,
        isolation_level="READ COMMITTED",
    )
