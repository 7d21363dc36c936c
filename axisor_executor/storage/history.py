"""What the ledger knows of actions beyond one execution: an account's, an automation's, a switch's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from axisor_executor.automation import CloseCrossPosition, ClosePosition, OpenPosition
from axisor_executor.automation.actions import ACTIONS
from axisor_executor.storage import horizon, lineage, switches
from axisor_executor.storage.actions import COLUMNS, ActionStatus, LedgerAction, action_of
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document, maybe_instant

_SAME_HOUR_MS = 3_600_000
_OUT = "execution_id, seq, account_id, kind, trade_id, status, sent_at"


@dataclass(frozen=True, slots=True)
class Out:
    """A sent action as its row names it: nothing of it has to be understood, so one of any later version is shown too.

    ``kind`` is the imperative name, or what its row has where this version does not know it.
    """

    execution_id: str
    seq: int
    account_id: str
    kind: str
    trade_id: str | None
    status: ActionStatus
    sent_at: datetime | None
    risk_reducing: bool
    """Whether it is known to reduce risk."""


def closed_by_another(storage: Storage, sent: LedgerAction) -> bool:
    """Return whether another execution's close of the same trade is confirmed."""
    return (
        storage.one(
            "SELECT 1 FROM axisor_actions WHERE account_id = ? AND trade_id = ? AND kind = ? AND status = 'confirmed' "
            "AND execution_id <> ?",
            sent.account_id,
            sent.action.target,
            ClosePosition.__name__,
            sent.execution_id,
        )
        is not None
    )


def cross_order_of_another(storage: Storage, sent: LedgerAction, order_id: str) -> bool:
    """Return whether another execution's close of the cross position is confirmed by this order."""
    rows = storage.rows(
        "SELECT answer FROM axisor_actions WHERE account_id = ? AND trade_id = ? AND kind = ? AND status = 'confirmed' "
        "AND execution_id <> ? AND timestamp_ms > ?",
        sent.account_id,
        sent.action.target,
        CloseCrossPosition.__name__,
        sent.execution_id,
        (sent.timestamp_ms or 0) - _SAME_HOUR_MS,
    )
    return any((document(row[0]) or {}).get("id") == order_id for row in rows)


def reopens(storage: Storage, account_id: str, replaced: str, now: str) -> list[LedgerAction]:
    """Return the orders that opened what a trade has become since it was replaced, up to the trade ``now``."""
    since = set(lineage.ancestors(storage, account_id, [now])) - set(lineage.ancestors(storage, account_id, [replaced]))
    marks = ",".join("?" * len(since))
    rows = storage.rows(
        f"SELECT {COLUMNS} FROM axisor_actions WHERE account_id = ? AND kind = ? AND new_trade_id IN ({marks})",  # noqa: S608
        account_id,
        OpenPosition.__name__,
        *since,
    )
    return [action_of(row) for row in rows]


def unsettled(
    storage: Storage, *, scope: switches.Scope, scope_id: str, statuses: Collection[ActionStatus]
) -> list[Out]:
    """Return the actions of these statuses in a switch's scope, oldest first."""
    where = {
        "all": "'' = ?",
        "exchange": "execution_id IN (SELECT id FROM axisor_executions WHERE exchange = ?)",
        "account": "account_id = ?",
        "automation": "automation_id = ?",
    }[scope]
    marks = ",".join("?" * len(statuses))
    rows = storage.rows(
        f"SELECT {_OUT} FROM axisor_actions WHERE status IN ({marks}) AND {where} ORDER BY sent_at",  # noqa: S608
        *statuses,
        scope_id,
    )
    return [_out(row) for row in rows]


def as_now(storage: Storage, seen: Iterable[Out]) -> list[Out]:
    """Return the same actions as they stand now."""
    sql = f"SELECT {_OUT} FROM axisor_actions WHERE execution_id = ? AND seq = ?"  # noqa: S608
    return [_out(row) for one in seen for row in storage.rows(sql, one.execution_id, one.seq)]


def recent(
    storage: Storage, automation_id: str, *, account_id: str, seconds: float, kind: str | None = None
) -> list[LedgerAction]:
    """Return what this automation did (or may have done) on an account in the last ``seconds``, newest first.

    Raises:
        Refused: the ledger was pruned, and does not reach so far back (``ledger_pruned``).
    """
    horizon.check(storage, automation_id, seconds)
    of_kind = "" if kind is None else "AND kind = ?"
    rows = storage.rows(
        f"SELECT {COLUMNS} FROM axisor_actions WHERE automation_id = ? AND account_id = ? "  # noqa: S608
        f"AND status IN ('sending', 'unknown', 'confirmed') AND sent_at > {{later}} {of_kind} ORDER BY sent_at DESC",
        automation_id,
        account_id,
        -seconds,
        *([] if kind is None else [kind]),
    )
    return [action_of(row) for row in rows]


def opened_by(
    storage: Storage, automation_id: str, *, trade_ids: Mapping[str, str], client_ids: Mapping[str, str]
) -> set[str]:
    """Return which trades this automation opened, as the values of the mappings.

    Args:
        storage: the database.
        automation_id: whose trades.
        trade_ids: candidate trade id (or that of a trade it replaced) -> the trade's id now.
        client_ids: candidate client id -> the trade's id now; finds those whose answer was lost.
    """
    found: set[str] = set()
    for column, candidates in (("new_trade_id", trade_ids), ("client_id", client_ids)):
        if candidates:
            marks = ",".join("?" * len(candidates))
            rows = storage.rows(
                f"SELECT {column} FROM axisor_actions WHERE {column} IN ({marks}) AND automation_id = ?",  # noqa: S608
                *candidates,
                automation_id,
            )
            found.update(candidates[row[0]] for row in rows)
    return found


def _out(row: tuple[Any, ...]) -> Out:
    execution_id, seq, account_id, kind, trade_id, status, sent_at = row
    known = ACTIONS.get(kind)
    return Out(
        execution_id,
        seq,
        account_id,
        known.kind if known else kind,
        trade_id,
        status,
        maybe_instant(sent_at),
        risk_reducing=known is not None and known.risk_reducing,
    )
