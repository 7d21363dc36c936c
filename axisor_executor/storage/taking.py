"""Take a job into the ledger: one execution for one idempotency key, and none that repeats a waiting one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axisor_executor.automation import Lane
from axisor_executor.errors import IdempotencyConflict
from axisor_executor.ids import uuid7
from axisor_executor.observe.logs import timestamp
from axisor_executor.storage.connection import Storage, document
from axisor_executor.storage.executions import COLUMNS, Execution, from_row, get

LANE_RANK: Mapping[Lane, int] = {"protect": 0, "default": 1}
_NOT_BEGUN = (
    "((status IN ('queued', 'waiting') AND started_at IS NULL) "
    "OR (status = 'waiting' AND plan_version = 0 AND (wait_for = 'paused' "
    "OR (wait_for IN ('rate', 'retry') AND tries = 0))))"
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


def record(storage: Storage, new: NewExecution) -> tuple[Execution, bool]:
    """Write a new execution as queued, and return it with ``True``; or the first one of the same key, ``False``.

    Raises:
        IdempotencyConflict: the key belongs to another job of this user.
    """
    while (taken := _record(storage, new)) is None:
        pass  # the first one of the key was there, and was pruned before it could be read
    return taken


def _record(storage: Storage, new: NewExecution) -> tuple[Execution, bool] | None:
    execution_id = uuid7()
    with storage.write(durable=True):
        twin = _waiting_twin(storage, new) if new.collapses else None
        inserted = storage.run(
            "INSERT INTO axisor_executions (id, user_id, automation_id, automation_type, account_id, account_name, "
            "exchange, lane, lane_rank, job, trade_id, idempotency_key, message_id, status, created_at, expires_at) "
            "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,'queued',{now},{later}) ON CONFLICT DO NOTHING",
            execution_id,
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
        )
        if inserted:
            if twin is not None:
                _cancel_duplicate(storage, execution_id, new, twin)
            found = get(storage, execution_id)
            assert found is not None
            return found, True
        first = _first_of(storage, new)
        return None if first is None else (first, False)


def _waiting_twin(storage: Storage, new: NewExecution) -> str | None:
    """Return the execution that would do the same and has not begun to decide, its row locked so that it can't now.

    Takers of one automation's jobs come one after the other here, so that two can't both find none. One that was held
    before it could decide (by a pause, the rate limit, an exchange that is away) counts too, else jobs would pile up
    behind it.
    """
    if not storage.is_sqlite:
        storage.run("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", new.automation_id)
    rows = storage.rows(
        f"SELECT id, job FROM axisor_executions WHERE automation_id = ? AND {_NOT_BEGUN} "  # noqa: S608
        "AND user_id = ? AND expires_at > {now} ORDER BY id",
        new.automation_id,
        new.user_id,
    )
    same = (new.job.get("action"), new.trade_id)
    twins = [row[0] for row in rows if (document(row[1]).get("action"), document(row[1]).get("tradeId")) == same]
    return next((twin for twin in twins if _still_waits(storage, twin)), None)


def _still_waits(storage: Storage, twin: str) -> bool:
    return (
        storage.one(f"SELECT 1 FROM axisor_executions WHERE id = ? AND {_NOT_BEGUN} {{for_update}}", twin)  # noqa: S608
        is not None
    )


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
