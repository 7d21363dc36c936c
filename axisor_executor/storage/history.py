"""What the ledger knows of actions beyond one execution: an account's, an automation's, a switch's."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from axisor_executor.automation import CloseCrossPosition, ClosePosition
from axisor_executor.storage import horizon, switches
from axisor_executor.storage.actions import COLUMNS, ActionStatus, LedgerAction, action_of
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document

_SAME_HOUR_MS = 3_600_000


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


def unsettled(
    storage: Storage, *, scope: switches.Scope, scope_id: str, statuses: Collection[ActionStatus]
) -> list[LedgerAction]:
    """Return the actions of these statuses in a switch's scope, oldest first."""
    where = {
        "all": "'' = ?",
        "exchange": "execution_id IN (SELECT id FROM axisor_executions WHERE exchange = ?)",
        "account": "account_id = ?",
        "automation": "automation_id = ?",
    }[scope]
    marks = ",".join("?" * len(statuses))
    rows = storage.rows(
        f"SELECT {COLUMNS} FROM axisor_actions WHERE status IN ({marks}) AND {where} ORDER BY sent_at",  # noqa: S608
        *statuses,
        scope_id,
    )
    return [action_of(row) for row in rows]


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
