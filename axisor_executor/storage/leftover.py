"""What recovery looks for: executions that are due, left behind by a dead worker, or unknown to the queue.

Each function puts what it finds back to ``queued`` and returns it; telling the queue is the caller's.
"""

from __future__ import annotations

from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Next

LIVE = "status IN ('queued', 'running', 'waiting')"
"""The condition of the partial index: SQLite takes it only where it stands in the query, else it reads all rows."""

_DUE = "status = 'waiting' AND due_at <= {now}"

_PUT_BACK = (
    "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL, sent_at = NULL WHERE id = ?"
)

_GIVE_UP = (
    "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL, sent_at = NULL, "
    "crashes = crashes + 1 WHERE id = ? AND status = 'running' AND fence = ?"
)


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
            "(SELECT 1 FROM axisor_leases l WHERE l.account_id = e.account_id AND l.until > {now}) AND NOT EXISTS "
            "(SELECT 1 FROM axisor_executions f WHERE f.account_id = e.account_id AND f.status = 'waiting' "
            "AND f.wait_for = 'lease' AND (f.lane_rank, f.id) < (e.lane_rank, e.id)))) "
            f"ORDER BY lane_rank, due_at LIMIT ? {_skip(storage)}",
            limit,
        )
        for row in rows:
            storage.run(_PUT_BACK, row[0])
    return [Next(row[0], row[1]) for row in rows]


def abandoned(storage: Storage, limit: int, *, grace_seconds: float) -> list[Next]:
    """Put back executions whose run holds no live lease; one without an account has ``grace_seconds``."""
    with storage.write():
        rows = storage.rows(
            "SELECT e.id, e.lane, e.fence FROM axisor_executions e LEFT JOIN axisor_leases l "  # noqa: S608
            "ON l.account_id = e.account_id AND l.execution_id = e.id AND l.fence = e.fence AND l.until > {now} "
            f"WHERE e.{LIVE} AND e.status = 'running' AND l.execution_id IS NULL "
            "AND (e.account_id IS NOT NULL OR e.started_at < {later}) ORDER BY e.lane_rank, e.id LIMIT ?",
            -grace_seconds,
            limit,
        )
        put_back = [row for row in rows if storage.run(_GIVE_UP, row[0], row[2])]
    return [Next(row[0], row[1]) for row in put_back]


def unsent(storage: Storage, limit: int, *, grace_seconds: float) -> list[Next]:
    """Return queued executions that the queue was never told of (Redis was away, or the producer died)."""
    rows = storage.rows(
        f"SELECT id, lane FROM axisor_executions WHERE {LIVE} AND status = 'queued' "  # noqa: S608
        "AND sent_at IS NULL AND created_at < {later} "
        "ORDER BY lane_rank, id LIMIT ?",
        -grace_seconds,
        limit,
    )
    return [Next(row[0], row[1]) for row in rows]


def overdue(storage: Storage, limit: int, *, seconds: float) -> list[Next]:
    """Return queued executions that the queue was told of long ago: ``seconds``, doubled with every telling."""
    rows = storage.rows(
        f"SELECT id, lane, sends FROM axisor_executions WHERE {LIVE} AND status = 'queued' "  # noqa: S608
        "AND sent_at < {later} "
        "ORDER BY lane_rank, id LIMIT ?",
        -seconds,
        limit * 4,
    )
    candidates = [row for row in rows if _is_overdue(storage, row[0], seconds * 2 ** max(int(row[2]) - 1, 0))]
    return [Next(row[0], row[1]) for row in candidates[:limit]]


def forget_sent(storage: Storage) -> int:
    """Treat every queued execution as unknown to the queue (it was wiped); return how many there are."""
    return storage.run("UPDATE axisor_executions SET sent_at = NULL WHERE status = 'queued' AND sent_at IS NOT NULL")


def _is_overdue(storage: Storage, execution_id: str, seconds: float) -> bool:
    return (
        storage.one("SELECT 1 FROM axisor_executions WHERE id = ? AND sent_at < {later}", execution_id, -seconds)
        is not None
    )


def _skip(storage: Storage) -> str:
    return "" if storage.is_sqlite else "FOR UPDATE SKIP LOCKED"
