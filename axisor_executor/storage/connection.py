"""One database: its pooled connections, its clock, and the few places where the dialects differ.

SQL in this package is written once, with ``?`` for parameters, ``{now}`` for the database's clock, ``{later}`` for
that clock plus ``?`` seconds and ``{for_update}`` for a row lock (SQLite's writers are alone anyway).
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import peewee
from playhouse.pool import PooledPostgresqlDatabase, PooledSqliteDatabase

from axisor_executor.errors import StorageError
from axisor_executor.storage.models import MODELS

BUSY_SECONDS = 15
POOL_WAIT_SECONDS = 15
TRUSTED_SECONDS = 2.0
"""How long after its last use a connection is taken to stand; one that broke meanwhile costs its user a new try."""

_SQLITE = {
    "now": "strftime('%Y-%m-%d %H:%M:%f','now')",
    "later": "strftime('%Y-%m-%d %H:%M:%f','now',?||' seconds')",
    "for_update": "",
}
_POSTGRES = {
    "now": "clock_timestamp()",
    "later": "clock_timestamp()+?*interval '1 second'",
    "for_update": "FOR UPDATE",
}
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED; "
    "SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'; "
)
"""Whatever the server's default is: what is read behind a lock must be as it is then (the hand-over of leases and the
switches are made for it). A worker that is frozen inside a transaction must not freeze those that meet its locks."""
_BEGIN_DURABLE = _BEGIN + "SET LOCAL synchronous_commit TO on; "

Statement = tuple[Any, ...]
"""SQL, and its parameters behind it."""

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
                f"the database can't be reached: {self._reason(error)}", code="database_unavailable", status=503
            ) from None
        try:
            yield
        except BROKEN:
            if opened:
                self.database.manual_close()
                self.database.close_idle()  # what broke this one has likely broken those that lie idle
            raise
        finally:
            if opened and not self.database.is_closed():
                self.database.close()

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[None]:
        """Run the block in one transaction: committed as a whole, or not at all.

        SQLite takes the write lock at once (``BEGIN IMMEDIATE``): an upgrade in mid-transaction could fail.

        Args:
            durable: have it on disk when it has committed, however the server is set up: what was promised to a
                caller, or is about to be sent, must survive a crash of the database.
        """
        begin = "IMMEDIATE" if self.is_sqlite else _BEGIN_DURABLE if durable else _BEGIN
        with self.connection(), self.database.atomic(begin):
            yield

    def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        return list(self._execute(sql, params).fetchall())

    def one(self, sql: str, *params: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query, ``None`` where there is none."""
        row: tuple[Any, ...] | None = self._execute(sql, params).fetchone()
        return row

    def run(self, sql: str, *params: Any) -> int:
        """Run a statement and return how many rows it touched."""
        return int(self._execute(sql, params).rowcount)

    def run_all(self, *statements: Statement) -> int:
        """Run statements one after the other and return how many rows the last one touched.

        They go to PostgreSQL in one round trip. When one fails, those behind it are not run. Inside :meth:`write`.
        """
        return int(self._execute_all(statements).rowcount)

    def one_after(self, *statements: Statement) -> tuple[Any, ...] | None:
        """Run statements as :meth:`run_all` does, and return the first row of the last one."""
        row: tuple[Any, ...] | None = self._execute_all(statements).fetchone()
        return row

    def attempt(self, sql: str, *params: Any) -> None:
        """Inside :meth:`write`: run a statement that may fail; when it does, only it is undone.

        Raises:
            peewee.PeeweeException: it failed.
        """
        try:
            self.run_all(("SAVEPOINT attempt",), (sql, *params), ("RELEASE SAVEPOINT attempt",))
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

    def _execute(self, sql: str, params: tuple[Any, ...]) -> Any:
        return self._send(self._translated.get(sql) or self._translate(sql), params)

    def _execute_all(self, statements: tuple[Statement, ...]) -> Any:
        if self.is_sqlite:
            return [self._execute(sql, tuple(params)) for sql, *params in statements][-1]
        text = "; ".join([self._translated.get(sql) or self._translate(sql) for sql, *_ in statements])
        return self._send(text, tuple([value for _, *params in statements for value in params]))

    def _send(self, text: str, params: tuple[Any, ...]) -> Any:
        values = tuple([value if type(value) in _AS_IT_IS else self._bind(value) for value in params])
        if not self.database.is_closed():
            return self.database.execute_sql(text, values)
        with self.connection():
            return self.database.execute_sql(text, values)

    def _translate(self, sql: str) -> str:
        text = sql
        for name, fragment in self._fragments.items():
            text = text.replace("{" + name + "}", fragment)
        if not self.is_sqlite:
            text = text.replace("%", "%%").replace("?", "%s")
        self._translated[sql] = text
        return text

    def _bind(self, value: Any) -> Any:
        if isinstance(value, str):
            return _storable_text(value)
        if isinstance(value, (dict, list)):
            return json_text(value)
        if isinstance(value, datetime):
            # Text with an offset is right for columns with a zone and (the monolith's) without one, whatever the
            # session's zone; SQLite compares texts, so there it has none.
            value = value.astimezone(UTC)
            return value.strftime("%Y-%m-%d %H:%M:%S.%f") if self.is_sqlite else value.isoformat(" ")
        return value

    def _reason(self, error: Exception) -> str:
        """Return the first line of a driver's message; one that quotes a part of the URL is not shown."""
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        userinfo = self._url.partition("://")[2].rpartition("@")[0]
        password = userinfo.partition(":")[2]
        secrets = {part for part in (password, unquote(password), self._url) if part}
        if "dsn" in line or "URI" in line or any(secret in line for secret in secrets):
            return f"{type(error).__name__}: DATABASE_URL is not as the driver needs it"
        return line

    @cached_property
    def tables(self) -> frozenset[str]:
        """The names of the tables that are there now."""
        with self.connection():
            return frozenset(self.database.get_tables())

    def forget_tables(self) -> None:
        """Look the tables up again next time (after a migration)."""
        self.__dict__.pop("tables", None)

    def close(self) -> None:
        """Close every idle connection, and this thread's."""
        if not self.database.is_closed():
            self.database.close()
        self.database.close_all()


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_NUL = "\\u0000"
_AS_IT_IS = frozenset({int, float, bool, type(None)})


def json_text(value: Any) -> str:
    """Return a document as it is stored."""
    text = _encode(value)
    return text if text.isascii() and _NUL not in text else _encode(_storable(value))


def _storable(value: Any) -> Any:
    """Return a value without what PostgreSQL refuses in texts: NUL and halves of surrogate pairs.

    Both come in with messages of others (a plugin's error), and must not keep a run from being recorded.
    """
    if isinstance(value, str):
        return _storable_text(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _storable_text(value: str) -> str:
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def instant(value: Any) -> datetime:
    """Return a stored instant as an aware UTC datetime (the monolith's have no zone: they are UTC)."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def maybe_instant(value: Any) -> datetime | None:
    """Return a stored instant, ``None`` for NULL."""
    return None if value is None else instant(value)


def document(value: Any) -> Any:
    """Return a stored JSON value: PostgreSQL hands it over parsed, SQLite as text.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(value) if isinstance(value, str) else value


def _sqlite(url: str, pool: int) -> Any:
    return PooledSqliteDatabase(
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


class _Postgres(PooledPostgresqlDatabase):  # type: ignore[misc]  # peewee has no types
    """A pool that hands ids over as text, also where the monolith's columns are of the type ``uuid``.

    A transaction begins together with its first statement, and a connection that was used a moment ago is taken
    without a question: each saves a round trip.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._begins = threading.local()
        self._used_at: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        super().__init__(*args, **kwargs)

    def _close(self, conn: Any, close_conn: bool = False) -> None:
        self._used_at[conn] = time.monotonic()
        super()._close(conn, close_conn=close_conn)

    def _is_closed(self, conn: Any) -> bool:
        if not conn.closed and time.monotonic() - self._used_at.get(conn, -math.inf) < TRUSTED_SECONDS:
            return False
        return bool(super()._is_closed(conn))

    def begin(self, statements: str = _BEGIN) -> None:
        self._begins.with_ = statements

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        begin = self._take_begin()
        try:
            return super().execute_sql(begin + sql, params)
        except Exception:
            if begin and not self.is_closed() and self._adapter.txn_status(self.connection()) == self._adapter.txn_idle:
                self.begin(begin)  # it was refused as a whole: the transaction is still to begin
            raise

    def commit(self) -> None:
        if not self._take_begin():
            super().commit()

    def rollback(self) -> None:
        if not self._take_begin():
            super().rollback()

    def _take_begin(self) -> str:
        statements: str = self._begins.__dict__.pop("with_", "")
        return statements

    def _initialize_connection(self, connection: Any) -> None:
        from psycopg2.extensions import new_type, register_type  # of PostgreSQL only

        register_type(new_type((2950,), "UUID_AS_TEXT", lambda text, _: text), connection)


def _postgres(url: str, pool: int) -> Any:
    return _Postgres(
        # The driver knows this scheme only; with the other one it would take the whole URL for a database's name.
        f"postgresql://{url.partition('://')[2]}",
        max_connections=pool,
        timeout=POOL_WAIT_SECONDS,
        stale_timeout=300,
        connect_timeout=5,
        application_name="axisor-executor",
        keepalives_idle=10,
        keepalives_interval=3,
        keepalives_count=3,
        tcp_user_timeout=15_000,
        isolation_level="READ COMMITTED",
    )
