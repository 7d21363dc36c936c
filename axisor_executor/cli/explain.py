"""Everything that the ledger knows about an execution, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axisor_executor.cli.output import iso
from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.storage import actions, executions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution

_CANDIDATES = 5


def select(
    storage: Storage,
    *,
    statuses: Sequence[str],
    account: str | None,
    automation: str | None,
    user: str | None,
    limit: int,
) -> list[Execution]:
    """Return executions, newest first; ``account`` is an id or a name."""
    conditions, values = ["1 = 1"], list[Any]()
    if statuses:
        conditions.append(f"status IN ({','.join('?' * len(statuses))})")
        values += statuses
    if account:
        conditions.append("(account_id = ? OR account_name = ?)")
        values += [account, account]
    for column, value in (("automation_id", automation), ("user_id", user)):
        if value:
            conditions.append(f"{column} = ?")
            values.append(value)
    rows = storage.rows(
        f"SELECT id FROM axisor_executions WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY created_at DESC, id DESC LIMIT ?",
        *values,
        limit,
    )
    found = (executions.get(storage, row[0]) for row in rows)
    return [one for one in found if one is not None]


def find(storage: Storage, prefix: str) -> Execution:
    """Return the execution of this id, or the only one whose id begins so.

    Raises:
        NotFound: there is none.
        AxisorError: there are several; the message names some.
    """
    whole = executions.get(storage, prefix)
    if whole is not None:
        return whole
    rows = storage.rows(
        "SELECT id FROM axisor_executions WHERE substr(id, 1, ?) = ? ORDER BY id DESC LIMIT ?",
        len(prefix),
        prefix.lower(),
        _CANDIDATES + 1,
    )
    if not rows:
        raise NotFound(f"no execution has the id {prefix!r}, or one that begins so", code="execution_not_found")
    if len(rows) > 1:
        names = ", ".join(row[0] for row in rows[:_CANDIDATES])
        more = ", ..." if len(rows) > _CANDIDATES else ""
        raise AxisorError(f"several executions begin with {prefix!r}: {names}{more}", code="ambiguous_id", status=400)
    found = executions.get(storage, rows[0][0])
    assert found is not None
    return found


def explain(storage: Storage, one: Execution) -> dict[str, Any]:
    """Return the job, where the execution stands, every plan with what was seen, every action, and the result."""
    plans = [*executions.old_plans(storage, one.id), *([one.plan] if one.plan else [])]
    return {
        "id": one.id,
        "status": one.status,
        "waitingFor": one.wait_for,
        "dueAt": iso(one.due_at),
        "job": one.job,
        "idempotencyKey": one.idempotency_key,
        "userId": one.user_id,
        "automationId": one.automation_id,
        "automationType": one.automation_type,
        "accountId": one.account_id,
        "accountName": one.account_name,
        "exchange": one.exchange,
        "lane": one.lane,
        "createdAt": iso(one.created_at),
        "startedAt": iso(one.started_at),
        "finishedAt": iso(one.finished_at),
        "expiresAt": iso(one.expires_at),
        "tries": one.tries,
        "looks": one.looks,
        "runs": one.fence,
        "plans": plans,
        "actions": [_action(action) for action in actions.of(storage, one.id)],
        "result": one.result,
        "error": one.error,
    }


def _action(action: LedgerAction) -> dict[str, Any]:
    return {
        "seq": action.seq,
        "planVersion": action.plan_version,
        "group": action.group_index,
        "step": action.step_index,
        "action": action.action.as_dict(),
        "status": action.status,
        "timestampMs": action.timestamp_ms,
        "sentAt": iso(action.sent_at),
        "accountId": action.account_id,
        "exchangeUserId": action.exchange_user_id,
        "keyFingerprint": action.key_fingerprint,
        "clientId": action.client_id,
        "baseline": action.baseline,
        "answer": action.answer,
        "newTradeId": action.new_trade_id,
        "error": action.error,
    }
