"""Take a job into the ledger: one execution for one idempotency key, and none that repeats a waiting one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axisor_executor.automation import Lane
from axisor_executor.errors import IdempotencyConflict
from axisor_executor.ids import uuid7
from axisor_executor.observe.logs import timestamp
from axisor_executor.storage import accounts
from axisor_executor.storage.accounts import Automation
from axisor_executor.storage.connection import Statement, Storage
from axisor_executor.storage.executions import COLUMNS, Execution, from_row

Condition = tuple[str, tuple[Any, ...]]
LANE_RANK: Mapping[Lane, int] = {"protect": 0, "default": 1}
_NOT_BEGUN = (
    "(finished_at IS NULL) IS TRUE AND ((status IN ('queued', 'waiting') AND started_at IS NULL) "
    "OR (status = 'waiting' AND (wait_for IN ('paused', 'reconcile') OR tries = 0) "
    "AND (plan_version = 0 OR NOT EXISTS (SELECT 1 FROM axisor_actions s "
    "WHERE s.execution_id = axisor_executions.id AND s.status <> 'planned'))))"
)


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What is known of an execution when its job is taken."""

    user_id: str
    automation_id: str
    lane: Lane
    job: Mapping[str, Any]
    max_age_seconds: float
    automation_type: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    exchange: str | None = None
    trade_id: str | None = None
    idempotency_key: str | None = None
    message_id: str | None = None
    collapses: bool = False


def record_as_seen(storage: Storage, new: NewExecution, seen: Automation) -> Execution | None:
    """Write a new execution as queued where its automation is still as ``seen`` and nothing stands in its way.

    That is the usual case, in one round trip. ``None``: nothing was written, and :func:`record` knows why.
    """
    rows = _insert(storage, new, accounts.as_seen(seen))
    return from_row(rows[0]) if rows else None


def record(storage: Storage, new: NewExecution, *, was_tried: bool = False) -> tuple[Execution, bool]:
    """Write a new execution as queued, and return it with ``True``; or the first one of the same key, ``False``.

    Args:
        storage: the database.
        new: the execution.
        was_tried: whether just the same was found not to be the usual case a moment ago.

    Raises:
        IdempotencyConflict: the key belongs to another job of this user.
    """
    while (taken := _record(storage, new, was_tried=was_tried)) is None:
        was_tried = False  # the first one of the key was there, and was pruned before it could be read
    return taken


def _record(storage: Storage, new: NewExecution, *, was_tried: bool) -> tuple[Execution, bool] | None:
    rows = [] if was_tried else _insert(storage, new)
    if not rows and new.collapses:
        rows = _collapsed(storage, new)
    if rows:
        return from_row(rows[0]), True
    first = _first_of(storage, new)
    return None if first is None else (first, False)


def _insert(storage: Storage, new: NewExecution, only_if: Condition = ("true", ())) -> list[tuple[Any, ...]]:
    """Write the execution, but no second one that would do the same as another."""
    condition, params = only_if
    if new.collapses:
        condition += f" AND NOT EXISTS (SELECT 1 FROM axisor_executions WHERE {_twin(storage)})"  # noqa: S608
        params += _twin_of(new)
    return storage.together(*_one_by_one(storage, new), _inserting(new, condition, params), on_disk=True) or []


def _collapsed(storage: Storage, new: NewExecution) -> list[tuple[Any, ...]]:
    """Write the execution as cancelled, for another that waits to do the same; nothing where none does any more."""
    with storage.write(durable=True):
        for lock in _one_by_one(storage, new):
            storage.run(*lock)
        twin = _waiting_twin(storage, new)
        rows = [] if twin is None else storage.rows(*_inserting(new, *_is_still(storage, new, twin)))
        if not rows or twin is None:
            return []
        _cancel_duplicate(storage, rows[0][0], new, twin)
        return storage.rows(f"SELECT {COLUMNS} FROM axisor_executions WHERE id = ?", rows[0][0])  # noqa: S608


def _inserting(new: NewExecution, condition: str = "true", params: tuple[Any, ...] = ()) -> Statement:
    return (
        (
            "INSERT INTO axisor_executions (id, user_id, automation_id, automation_type, account_id, account_name, "
            "exchange, lane, lane_rank, job, trade_id, idempotency_key, message_id, status, created_at, expires_at) "
            f"SELECT ?,?,?,?,?,?,?,?,?,?,?,?,?,'queued',{{now}},{{later}} WHERE {condition} "
            f"ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
        ),
        uuid7(),
        new.user_id,
        new.automation_id,
        new.automation_type,
        new.account_id,
        new.account_name,
        new.exchange,
        new.lane,
        LANE_RANK[new.lane],
        dict(new.job),
        new.trade_id,
        new.idempotency_key,
        new.message_id,
        new.max_age_seconds,
        *params,
    )


def _one_by_one(storage: Storage, new: NewExecution) -> tuple[Statement, ...]:
    """Return what lets takers of one automation's jobs go one after the other: two can't both find no twin."""
    if storage.is_sqlite or not new.collapses:
        return ()
    return (("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", new.automation_id),)


def _waiting_twin(storage: Storage, new: NewExecution) -> str | None:
    """Return the execution that would do the same and has not begun, its row locked so that it can't now."""
    row = storage.one(
        f"SELECT id FROM axisor_executions WHERE {_twin(storage)} ORDER BY id LIMIT 1 {{for_update}}",  # noqa: S608
        *_twin_of(new),
    )
    return None if row is None else str(row[0])


def _is_still(storage: Storage, new: NewExecution, twin: str) -> Condition:
    """Return the condition that holds while the locked twin is one: what it did before, its lock does not show."""
    return (
        f"EXISTS (SELECT 1 FROM axisor_executions WHERE id = ? AND {_twin(storage)})",  # noqa: S608
        (twin, *_twin_of(new)),
    )


def _twin(storage: Storage) -> str:
    """Return the condition of a twin, for :func:`_twin_of`.

    One that was held before it could send anything (by a pause, the rate limit, an exchange that is away, what another
    has not settled yet) counts too, else jobs would pile up behind it: it is decided again when it goes on.
    """
    field = "COALESCE(json_extract(job, '$.{}'), '')" if storage.is_sqlite else "COALESCE(job->>'{}', '')"
    return (
        f"automation_id = ? AND {_NOT_BEGUN} AND user_id = ? AND COALESCE(account_id, '') = ? AND expires_at > {{now}} "
        f"AND {field.format('action')} = ? AND {field.format('tradeId')} = ?"
    )


def _twin_of(new: NewExecution) -> tuple[str, ...]:
    return new.automation_id, new.user_id, new.account_id or "", new.job.get("action") or "", new.trade_id or ""


def _cancel_duplicate(storage: Storage, execution_id: str, new: NewExecution, twin: str) -> None:
    result = {
        "status": "cancelled",
        "action": None,
        "timestamp": timestamp(),
        "executionId": execution_id,
        "automationId": new.automation_id,
        "userId": new.user_id,
        "accountId": new.account_id,
        "accountName": new.account_name,
        "tradeId": new.trade_id,
        "reason": "duplicate",
        "duplicateOf": twin,
        "message": f"Execution {twin} waits to do the same",
    }
    storage.run(
        "UPDATE axisor_executions SET expires_at = {later} WHERE id = ? AND expires_at < {later}",
        new.max_age_seconds,
        twin,
        new.max_age_seconds,
    )
    storage.run(
        "UPDATE axisor_executions SET status = 'cancelled', result = ?, finished_at = {now} WHERE id = ?",
        result,
        execution_id,
    )


def _first_of(storage: Storage, new: NewExecution) -> Execution | None:
    row = storage.one(
        f"SELECT {COLUMNS} FROM axisor_executions "  # noqa: S608
        "WHERE (user_id = ? AND idempotency_key = ?) OR message_id = ?",
        new.user_id,
        new.idempotency_key,
        new.message_id,
    )
    if row is None:
        return None
    first = from_row(row)
    if first.job != dict(new.job):
        raise IdempotencyConflict(
            f"idempotency key {new.idempotency_key!r} was used for another job (execution {first.id})",
            details={"executionId": first.id},
        )
    return first
