"""PostgreSQL: what saves round trips and planning on its connections."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import peewee

from axisor_executor.storage.pool import Pool

TRUSTED_SECONDS = 2.0
"""How long after its last use a connection is taken to stand; one that broke meanwhile costs its user a new try."""

AHEAD_SECONDS = 10.0
"""How long to open connections ahead."""

PLANNED_SECONDS = 60.0
"""How long a plan may stand: one that was made for small tables is a bad one when they have grown."""
MOST_BATCHES = 256

_LOCKS = "SET LOCAL lock_timeout = '5s'; "
BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCKS}SET LOCAL idle_in_transaction_session_timeout = '10s'; "
"""Whatever the server's default is: what is read behind a lock must be as it is then (the hand-over of leases and the
switches are made for it). A worker that is frozen inside a transaction must not freeze those that meet its locks."""
ON_DISK = "SET LOCAL synchronous_commit TO on; "
SOON_ON_DISK = "SET LOCAL synchronous_commit TO off; "
TOGETHER = f"SET TRANSACTION ISOLATION LEVEL READ COMMITTED; {_LOCKS}"
_SESSION = "SET default_transaction_isolation = 'read committed'; SET lock_timeout = '5s'; SET jit = off"
"""The same for all transactions of a session, which saves saying it in each."""
_BY_KEY = "SET LOCAL enable_seqscan TO off; "
"""What is planned goes by keys: a table that is all but empty at that moment (leases come and go) may hold thousands of
rows, dead or alive, while the plan stands."""

_UNTOUCHED = "axisor-executor: not the usual case"
FAIL = f"CAST(clock_timestamp()||' {_UNTOUCHED}' AS INT)"
"""An expression that undoes the transaction wherever it is evaluated: SQL has no other word for it."""

_NO_SUCH_PLAN = "26000"
_READ_ONLY = "25006"
_TOO_LARGE = "54"
"""How the codes of limits begin that a statement or a value exceeds, such as that of what an index can hold."""


class Sentence(NamedTuple):
    """A statement with ``?`` for parameters. One that ``must`` touch a row fails where it touches none."""

    sql: str
    must: bool

    @property
    def text(self) -> str:
        if not self.must:
            return self.sql
        return f"WITH touched AS ({self.sql} RETURNING 1) SELECT CASE COUNT(*) WHEN 0 THEN {FAIL} END FROM touched"  # noqa: S608


@dataclass(frozen=True, slots=True)
class _Batch:
    """The same statements in three forms: what plans them, what runs them planned, and what does both each time."""

    planning: dict[str, str]
    planned: str
    unplanned: str


@dataclass(slots=True)
class _Plans:
    """What was planned for a connection, if anything can be; ``made_at``: since when the plans may stand.

    ``are_void``: one of them was made for columns that are others since.
    """

    are_kept: bool
    are_void: bool = False
    names: set[str] = field(default_factory=set)
    made_at: float = field(default_factory=time.monotonic)


_Database: Any = peewee.PostgresqlDatabase  # peewee has no types


class Postgres(_Database):  # type: ignore[misc]
    """A database that hands ids over as text, also where the monolith's columns are of the type ``uuid``.

    A transaction begins together with its first statement, and a connection that was used a moment ago is taken
    without a question: each saves a round trip. What runs :meth:`together` is planned once for each connection.
    """

    def __init__(self, url: str, *, most: int, wait_seconds: float, **parameters: Any) -> None:
        self._begins = threading.local()
        self._plans: WeakKeyDictionary[Any, _Plans] = WeakKeyDictionary()
        self._batches: dict[tuple[Sentence, ...], _Batch] = {}
        self._pool = Pool(self._connect, super()._close, most=most, wait_seconds=wait_seconds)
        super().__init__(url, **parameters)

    def together(self, sentences: tuple[Sentence, ...], params: Sequence[Any], on_disk: bool | None) -> Any | None:
        """Run statements in a transaction of their own, in one round trip, and return the last one's cursor.

        Returns ``None`` where one that must touch a row did not: nothing has happened then.
        """
        assert not self.in_transaction(), "statements that run together have a transaction of their own"
        batch = self._batches.get(sentences) or self._batch(sentences)
        is_blamed = False
        try:
            if self._has_planned(batch):
                try:
                    # Behind a pooler a run outlives a crash of the database, which must not give its fence out again.
                    durable = "" if on_disk is None else ON_DISK if on_disk else SOON_ON_DISK
                    return self.execute_sql(_BY_KEY + durable + batch.planned, params)
                except peewee.PeeweeException as error:
                    if not _may_be_the_plans(error):
                        raise
                    is_blamed = True
                    if code_of(error) == _NO_SUCH_PLAN:  # somebody else uses the same server process
                        self._plans[self.connection()].are_kept = False
            before = TOGETHER + ON_DISK if on_disk else TOGETHER
            cursor = self.execute_sql(before + batch.unplanned, params)
        except peewee.DataError as error:
            if _is_ours(error):
                return None
            raise
        if is_blamed:  # and rightly: without its plans it worked
            self._plans[self.connection()].are_void = True
        return cursor

    def _has_planned(self, batch: _Batch) -> bool:
        """Have the statements planned for this connection, and it set up; return whether they are."""
        plans = self._plans.get(self.connection()) or self._first_plans()
        if not plans.are_kept:
            return False
        try:
            if plans.are_void:
                self.execute_sql("DEALLOCATE ALL")
                plans.names.clear()
                plans.are_void = False
            missing = {name: text for name, text in batch.planning.items() if name not in plans.names}
            if missing:
                self.execute_sql("; ".join(f"PREPARE {name} AS {text}" for name, text in missing.items()))
                plans.names.update(missing)
            if time.monotonic() - plans.made_at > PLANNED_SECONDS:
                self.execute_sql("DISCARD PLANS")  # the names stay
                plans.made_at = time.monotonic()
        except (peewee.OperationalError, peewee.InterfaceError):
            raise
        except peewee.PeeweeException:
            plans.are_kept = False  # the statements themselves tell what is the matter
        return plans.are_kept

    def _first_plans(self) -> _Plans:
        """Find out whether a connection leads to the server itself, and set its session up where it does.

        A pooler gives each transaction another server process, which knows nothing of what was set or planned in the
        last, and would carry it to another client.
        """
        connection = self.connection()
        row = self.execute_sql("SELECT pg_backend_pid()").fetchone()
        plans = _Plans(are_kept=row[0] == connection.get_backend_pid())
        if plans.are_kept:
            self.execute_sql(_SESSION)
        self._plans[connection] = plans
        return plans

    def _batch(self, sentences: tuple[Sentence, ...]) -> _Batch:
        planning: dict[str, str] = {}
        planned, unplanned = [], []
        for sentence in sentences:
            pieces = sentence.text.split("?")
            text = pieces[0] + "".join(f"${number}{piece}" for number, piece in enumerate(pieces[1:], start=1))
            name = f"axisor_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
            marks = ",".join(["%s"] * (len(pieces) - 1))
            planning[name] = text.replace("%", "%%")
            planned.append(f"EXECUTE {name}({marks})" if marks else f"EXECUTE {name}")
            unplanned.append("%s".join(piece.replace("%", "%%") for piece in pieces))
        batch = _Batch(planning, "; ".join(planned), "; ".join(unplanned))
        if len(self._batches) >= MOST_BATCHES:
            self._batches.clear()  # plans may have any number of actions
        self._batches[sentences] = batch
        return batch

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Give this thread a connection of the pool; peewee's own would hold up the other threads meanwhile."""
        if not self.is_closed():
            if reuse_if_open:
                return False
            raise peewee.OperationalError("this thread has a connection already")
        while True:
            connection, since = self._pool.take()
            is_trusted = time.monotonic() - since < TRUSTED_SECONDS and not connection.closed
            if is_trusted or not self._adapter.is_connection_closed(connection):
                break
            self._pool.drop(connection)
        self._state.set_connection(connection)
        return True

    def _connect(self) -> Any:
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined]  # the driver's errors become peewee's
            connection = super()._connect()
        if self.server_version is None:
            self._set_server_version(connection)
        self._register_types(connection)
        return connection

    def _close(self, connection: Any) -> None:
        if self._adapter.is_connection_reusable(connection):
            self._pool.give(connection)
        else:
            self._pool.drop(connection)

    def manual_close(self) -> None:
        """Close this thread's connection, instead of giving it back, and where it has died those that lie idle.

        They have likely died with it. After a lock that was not had in time or a full disk they are as good as before.
        """
        connection = self.connection()
        self._state.reset()
        if connection.closed:
            self._pool.close_idle()
        self._pool.drop(connection)

    def close_idle(self) -> None:
        """Close the connections that no thread uses, and the others as they come back."""
        self._pool.close()

    def open_ahead(self, count: int, ask: Callable[[], object]) -> None:
        """Open so many connections, and ``ask`` something on each, before as many threads need one at once.

        Where the server has no room for all, none is kept from those who need one now; where it is slow, fewer will do.

        Raises:
            peewee.PeeweeException: they could not be opened, or asked.
        """
        assert self.is_closed(), "this thread's own connection would be lost"
        opened: list[Any] = []
        deadline = time.monotonic() + AHEAD_SECONDS
        try:
            while len(opened) < count and time.monotonic() < deadline:
                self.connect()
                opened.append(self.connection())
                ask()
                self._state.reset()
        except BaseException:
            self._state.reset()
            for connection in opened:
                self._pool.drop(connection)
            raise
        for connection in opened:
            self._close(connection)

    def begin(self, statements: str = BEGIN) -> None:
        self._begins.with_ = statements

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        begin = self._take_begin()
        try:
            return super().execute_sql(begin + sql, params)
        except Exception as error:
            code = code_of(error)
            if code == _READ_ONLY:
                # It was made a replica, or told so: other connections may lead to a server that takes writes by now.
                self.connection().close()
                raise peewee.OperationalError(getattr(error, "orig", None), *error.args) from None
            if begin and not self.is_closed() and self._adapter.txn_status(self.connection()) == self._adapter.txn_idle:
                self.begin(begin)  # it was refused as a whole: the transaction is still to begin
            if code is not None and code.startswith(_TOO_LARGE):
                # To the driver that is a server in trouble; whoever waits for that to pass would wait for ever.
                raise peewee.DataError(getattr(error, "orig", None), *error.args) from None
            raise

    def commit(self) -> None:
        if not self._take_begin():
            super().commit()

    def rollback(self) -> None:
        if not self._take_begin() and not self.connection().closed:  # else its error would take the place of the cause
            super().rollback()

    def _take_begin(self) -> str:
        statements: str = self._begins.__dict__.pop("with_", "")
        return statements

    def _register_types(self, connection: Any) -> None:
        from psycopg2.extensions import new_type, register_type  # of PostgreSQL only

        register_type(new_type((2950,), "UUID_AS_TEXT", lambda text, _: text), connection)


def _may_be_the_plans(error: peewee.PeeweeException) -> bool:
    """Whether a plan may be gone, or columns may have been changed under it: into others, or into another type."""
    kinds = (peewee.ProgrammingError, peewee.InternalError, peewee.DataError, peewee.NotSupportedError)
    return code_of(error) == _NO_SUCH_PLAN or (isinstance(error, kinds) and not _is_ours(error))


def _is_ours(error: Any) -> bool:
    """Whether it is :data:`FAIL` that failed; details of other errors may quote anything."""
    return code_of(error) == "22P02" and _UNTOUCHED in (error.orig.diag.message_primary or "")


def code_of(error: Exception) -> str | None:
    """Return PostgreSQL's code of an error."""
    return getattr(getattr(error, "orig", None), "pgcode", None)
