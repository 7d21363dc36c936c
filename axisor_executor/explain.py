"""Everything that the ledger knows about executions, as plain values: for the command line and the HTTP API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.observe.logs import maybe_timestamp, timestamp
from axisor_executor.storage import executions
from axisor_executor.storage.accounts import as_stored
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import COLUMNS, Execution, from_row
from axisor_executor.storage.values import document, maybe_instant

_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which executions; what is left out does not matter.

    ``account`` is an id or a name. ``since`` (inclusive) and ``until`` (exclusive) are about when they were taken.
    ``before`` is the id of an execution: only older ones.
    """

    statuses: Sequence[str] = ()
    account: str | None = None
    automation: str | None = None
    user: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: str | None = None


def select(storage: Storage, wanted: Wanted, *, limit: int) -> list[Execution]:
    """Return executions, newest first by their ids, which are ordered by time."""
    conditions, values = ["1 = 1"], list[Any]()
    if wanted.statuses:
        conditions.append(f"status IN ({','.join('?' * len(wanted.statuses))})")
        values += wanted.statuses
    if wanted.account is not None:
        conditions.append("(account_id = ? OR account_name = ?)")
        values += [as_stored(storage, "account", wanted.account), wanted.account]
    for condition, value in (
        ("automation_id = ?", wanted.automation and as_stored(storage, "automation", wanted.automation)),
        ("user_id = ?", wanted.user and as_stored(storage, "user", wanted.user)),
        ("automation_type = ?", wanted.type),
        ("created_at >= ?", _to_milliseconds(storage, wanted.since)),
        ("created_at < ?", _to_milliseconds(storage, wanted.until)),
        ("id < ?", wanted.before),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    rows = storage.rows(
        f"SELECT {COLUMNS} FROM axisor_executions WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",  # noqa: S608
        *values,
        limit,
    )
    return [from_row(row) for row in rows]


def knows_account(storage: Storage, reference: str) -> bool:
    """Return whether an account is called so, or executions name it by this name or whole id: it may be gone."""
    is_a_name = "SELECT 1 FROM user_exchange_accounts WHERE account_name = ? LIMIT 1"
    return bool(storage.one(is_a_name, reference) or select(storage, Wanted(account=reference), limit=1))


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


def summary(one: Execution) -> dict[str, Any]:
    """Return an execution as it stands in a list."""
    return {
        "id": one.id,
        "status": one.status,
        "waitingFor": one.wait_for,
        "dueAt": maybe_timestamp(one.due_at),
        "automationId": one.automation_id,
        "automationType": one.automation_type,
        "userId": one.user_id,
        "accountId": one.account_id,
        "accountName": one.account_name,
        "action": (one.result or {}).get("action") or one.job.get("action"),
        "tradeId": (one.result or {}).get("tradeId") or one.trade_id,
        "lane": one.lane,
        "createdAt": timestamp(one.created_at),
        "startedAt": maybe_timestamp(one.started_at),
        "finishedAt": maybe_timestamp(one.finished_at),
        "error": one.error,
    }


def explain(storage: Storage, one: Execution) -> dict[str, Any]:
    """Return the job, where the execution stands, every plan with what was seen, every action, and the result."""
    plans = [*executions.old_plans(storage, one.id), *([one.plan] if one.plan else [])]
    return {
        "id": one.id,
        "status": one.status,
        "waitingFor": one.wait_for,
        "dueAt": maybe_timestamp(one.due_at),
        "job": one.job,
        "idempotencyKey": one.idempotency_key,
        "userId": one.user_id,
        "automationId": one.automation_id,
        "automationType": one.automation_type,
        "accountId": one.account_id,
        "accountName": one.account_name,
        "exchange": one.exchange,
        "lane": one.lane,
        "createdAt": timestamp(one.created_at),
        "startedAt": maybe_timestamp(one.started_at),
        "finishedAt": maybe_timestamp(one.finished_at),
        "expiresAt": maybe_timestamp(one.expires_at),
        "tries": one.tries,
        "looks": one.looks,
        "runs": one.fence,
        "plans": plans,
        "actions": [_action(row) for row in storage.rows(_ACTIONS, one.id)],
        "result": one.result,
        "error": one.error,
    }


_ACTIONS = """
SELECT seq, plan_version, group_index, step_index, params, status, timestamp_ms, sent_at, account_id, exchange_user_id,
    key_fingerprint, client_id, baseline, answer, new_trade_id, dry_run, request, error
FROM axisor_actions WHERE execution_id = ? ORDER BY seq
"""


def _action(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return an action as its row has it: nothing of it has to be understood, so one of any later version is shown."""
    (
        seq,
        plan_version,
        group_index,
        step_index,
        params,
        status,
        timestamp_ms,
        sent_at,
        account_id,
        exchange_user_id,
        key_fingerprint,
        client_id,
        baseline,
        answer,
        new_trade_id,
        dry_run,
        request,
        error,
    ) = row
    return {
        "seq": seq,
        "planVersion": plan_version,
        "group": group_index,
        "step": step_index,
        "action": _document(params),
        "status": status,
        "timestampMs": timestamp_ms,
        "sentAt": maybe_timestamp(maybe_instant(sent_at)),
        "accountId": account_id,
        "exchangeUserId": exchange_user_id,
        "keyFingerprint": key_fingerprint,
        "clientId": client_id,
        "baseline": _document(baseline),
        "answer": _document(answer),
        "newTradeId": new_trade_id,
        "dryRun": bool(dry_run),
        "request": _document(request),
        "error": _document(error),
    }


def _document(value: Any) -> Any:
    """Return a stored JSON value, or the text that stands in its place and is none."""
    try:
        return document(value)
    except ValueError:
        return value


def _to_milliseconds(storage: Storage, moment: datetime | None) -> str | None:
    """Return an instant as text to the millisecond, as it is shown: SQLite compares texts, and stores no more."""
    if moment is None:
        return None
    text = moment.astimezone(UTC).isoformat(" ", "milliseconds")
    return text.removesuffix("+00:00") if storage.is_sqlite else text
