"""What recovery looks for: executions that are due, left behind by a dead worker, or unknown to the queue.

Each function puts what it finds back to ``queued`` and returns it; telling the queue is the caller's.
"""

from __future__ import annotations

from collections.abc import Collection

from axisor_executor.automation import Lane
from axisor_executor.storage import leases
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import PUT_BACK, Next
from axisor_executor.storage.values import instant

LIVE = "finished_at IS NULL"
"""The condition of the partial index: SQLite takes it only where it stands in the query, else it reads all rows."""

_DUE = "status = 'waiting' AND due_at <= {now}"

_GIVE_UP = (
    "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL, sent_at = NULL, sends = 1, "
    "crashes = crashes + 1 WHERE id = ? AND status = 'running' AND fence = ?"
)


MOST_DOUBLED = 6
"""Half an hour between two tellings, at most."""
LONGEST_IN_LINE = 20
"""Times as long as usual it is taken to stand in line, whatever its place."""
_AFTER_ALL = "g"
"""Behind every id: those are of hexadecimal digits."""


def due(storage: Storage, limit: int) -> list[Next]:
    """Put back executions that wait for nothing but the time.

    Of those that wait for an account's lease only the first, and only while nobody holds it: the rest is handed over.
    """
    if storage.one(f"SELECT 1 FROM axisor_executions WHERE {LIVE} AND {_DUE} LIMIT 1") is None:  # noqa: S608
        return []  # nearly always: it is asked twice a second, and a transaction costs more than a look
    with storage.write():
        rows = storage.rows(
            f"SELECT id, lane FROM axisor_executions e WHERE {LIVE} AND {_DUE} "  # noqa: S608
            "AND (wait_for <> 'lease' OR (NOT EXISTS "
            f"(SELECT 1 FROM axisor_leases l WHERE l.account_id = e.account_id AND {leases.HOLDS}) AND NOT EXISTS "
            "(SELECT 1 FROM axisor_executions f WHERE f.account_id = e.account_id AND f.status = 'waiting' "
            "AND f.wait_for = 'lease' AND (f.lane_rank, f.id) < (e.lane_rank, e.id)))) "
            f"ORDER BY lane_rank, due_at LIMIT ? {_skip(storage)}",
            limit,
        )
        for row in rows:
            storage.run(PUT_BACK, row[0])
    return [Next(row[0], row[1]) for row in rows]


def abandoned(storage: Storage, limit: int, *, grace_seconds: float) -> list[Next]:
    """Put back executions whose run holds no live lease; one without an account has ``grace_seconds``."""
    with storage.write():
        rows = storage.rows(
            "SELECT e.id, e.lane, e.fence FROM axisor_executions e LEFT JOIN axisor_leases l "  # noqa: S608
            f"ON l.account_id = e.account_id AND l.execution_id = e.id AND l.fence = e.fence AND {leases.HOLDS} "
            f"WHERE e.{LIVE} AND e.status = 'running' AND l.execution_id IS NULL "
            "AND (e.account_id IS NOT NULL OR e.started_at < {later}) ORDER BY e.lane_rank, e.id LIMIT ?",
            -grace_seconds,
            limit,
        )
        put_back = [row for row in rows if storage.run(_GIVE_UP, row[0], row[2])]
    return [Next(row[0], row[1]) for row in put_back]


def unsent(storage: Storage, limit: int, *, grace_seconds: float) -> list[tuple[Next, bool]]:
    """Return queued executions of which is not known that the queue was told, each with whether it is new.

    New ones are told without a word to the ledger; Redis was away, or the producer died. Of one that was put back, the
    queue may hold the message before: it is done with, and says nothing.
    """
    rows = storage.rows(
        f"SELECT id, lane, sends FROM axisor_executions WHERE {LIVE} AND status = 'queued' "  # noqa: S608
        "AND sent_at IS NULL AND created_at < {later} "
        "ORDER BY lane_rank, id LIMIT ?",
        -grace_seconds,
        limit,
    )
    return [(Next(row[0], row[1]), row[2] == 0) for row in rows]


def mark_told(storage: Storage, execution_ids: Collection[str]) -> None:
    """Note of new executions that the queue holds them: it was told when they were taken."""
    marks = ",".join("?" * len(execution_ids))
    storage.run(
        "UPDATE axisor_executions SET sent_at = created_at, sends = 2 "  # noqa: S608
        f"WHERE id IN ({marks}) AND status = 'queued' AND sent_at IS NULL AND sends = 0",
        *execution_ids,
    )


def overdue(storage: Storage, lane: Lane, first_in_line: str | None, limit: int, *, seconds: float) -> list[Next]:
    """Return a lane's queued executions that the queue was told of long ago: ``seconds``, doubled with every telling.

    Those that are younger than the first in line stand behind it, and only wait for their turn: most likely, since
    ids come from clocks of several machines, and an old execution that goes on stands behind younger ones.
    """
    rows = storage.rows(
        f"SELECT id, sends, sent_at, {{now}} FROM axisor_executions WHERE {LIVE} AND status = 'queued' "  # noqa: S608
        "AND sent_at < {later} AND lane = ? AND (id < ? OR sent_at < {later}) ORDER BY lane_rank, id LIMIT ?",
        -seconds,
        lane,
        first_in_line or _AFTER_ALL,
        -seconds * LONGEST_IN_LINE,
        limit * 4,
    )
    found = [
        Next(row[0], lane)
        for row in rows
        if (instant(row[3]) - instant(row[2])).total_seconds() > seconds * _patience(int(row[1]))
    ]
    return found[:limit]


def _patience(sends: int) -> int:
    return 1 << min(max(sends - 2, 0), MOST_DOUBLED)  # one was told for the first time with 2


def forget_sent(storage: Storage) -> int:
    """Treat every queued execution as unknown to the queue; return how many there are.

    It was wiped, or came back with what it had, of which an answer may have been lost.
    """
    return storage.run("UPDATE axisor_executions SET sent_at = NULL, sends = 1 WHERE status = 'queued'")


def _skip(storage: Storage) -> str:
    return "" if storage.is_sqlite else "FOR UPDATE SKIP LOCKED"
