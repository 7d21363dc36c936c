"""The ledger's actions: ``planned -> sending -> confirmed | rejected | unknown | superseded``.

``sending`` is committed before the request leaves, with everything that is needed to recognise its effect later.
Nothing is ever sent that is not ``sending`` here first. An action of a dry run stays ``planned``, with the request that
would have left; it can never become ``sending``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from axisor_executor.automation import (
    Action,
    OpenPosition,
    action_from_dict,
)
from axisor_executor.errors import AxisorError
from axisor_executor.observe.logs import message_of
from axisor_executor.storage import executions, lineage
from axisor_executor.storage.connection import Statement, Storage, must
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.values import document, instant, maybe_instant

_UNSETTLED = "status NOT IN ('planned', 'confirmed', 'rejected', 'superseded')"
"""``sending`` or ``unknown``, of an action that is found by its key: said so, PostgreSQL would rather go through all
that are unsettled, by their index, wherever it was last told that there are none."""
ActionStatus = Literal["planned", "sending", "confirmed", "rejected", "unknown", "superseded"]

UNREADABLE = (ValueError, TypeError, KeyError, ArithmeticError, AttributeError)
"""What is raised by reading what this version does not know: a kind, a field, a value."""
COLUMNS = (
    "execution_id, seq, plan_version, group_index, step_index, params, automation_id, account_id, status, "
    "timestamp_ms, baseline, exchange_user_id, key_fingerprint, client_id, answer, error, new_trade_id, sent_at, "
    "created_at, dry_run, request"
)


@dataclass(frozen=True, slots=True)
class LedgerAction:
    """One action as it stands in the ledger. ``timestamp_ms`` is the instant that its request was signed with."""

    execution_id: str
    seq: int
    plan_version: int
    group_index: int
    step_index: int
    action: Action
    automation_id: str
    account_id: str
    status: ActionStatus
    timestamp_ms: int | None
    baseline: dict[str, Any] | None
    exchange_user_id: str | None
    key_fingerprint: str | None
    client_id: str | None
    answer: dict[str, Any] | None
    error: dict[str, Any] | None
    new_trade_id: str | None
    sent_at: datetime | None
    created_at: datetime
    dry_run: bool = False
    request: dict[str, Any] | None = None
    is_told: bool = False
    """Whether an end of its execution has told of it already. Not in its row: see ``run.outcome``."""

    @property
    def was_tried(self) -> bool:
        """Whether it was sent, and not taken back, or was denied."""
        return self.status != "planned"

    @property
    def is_rehearsed(self) -> bool:
        """Whether it belongs to a dry run that got as far as its request, which is recorded and was not sent."""
        return self.status == "planned" and self.request is not None

    @property
    def is_unsettled(self) -> bool:
        """Whether nobody knows yet what became of it."""
        return self.status in ("sending", "unknown")


def of(storage: Storage, execution_id: str) -> list[LedgerAction]:
    """Return all actions of an execution in the order they were planned."""
    rows = storage.rows(
        f"SELECT {COLUMNS} FROM axisor_actions WHERE execution_id = ? ORDER BY seq",  # noqa: S608
        execution_id,
    )
    return [action_of(row) for row in rows]


def plan_again(storage: Storage, run: Execution, failed: LedgerAction) -> LedgerAction:
    """Plan a later step of a group once more, after its request was proven not executed.

    The client id stays the same, so that an effect is recognised whichever attempt it is of.
    """
    with storage.write():
        executions.hold(storage, run)
        row = storage.one("SELECT MAX(seq) FROM axisor_actions WHERE execution_id = ?", run.id)
        seq = int(row[0]) + 1 if row else 1
        place = Place(seq, failed.plan_version, failed.group_index, failed.step_index, failed.action.target)
        again = replace(draft(run, failed.action, place, created_at=storage.now()), client_id=failed.client_id)
        storage.run(*insertion(again))
        return again


@dataclass(frozen=True, slots=True)
class Place:
    """Where an action stands: in the ledger (``seq``) and in its plan; ``trade_id`` is its group's."""

    seq: int
    version: int
    group_index: int
    step_index: int
    trade_id: str | None


def draft(run: Execution, action: Action, place: Place, *, created_at: datetime, dry_run: bool = False) -> LedgerAction:
    """Return a planned action that is not in the ledger yet."""
    assert run.account_id is not None
    return LedgerAction(
        execution_id=run.id,
        seq=place.seq,
        plan_version=place.version,
        group_index=place.group_index,
        step_index=place.step_index,
        action=action,
        automation_id=run.automation_id,
        account_id=run.account_id,
        status="planned",
        timestamp_ms=None,
        baseline=None,
        exchange_user_id=None,
        key_fingerprint=None,
        client_id=client_id(run.id, place.trade_id, place.step_index) if action.has_client_id else None,
        answer=None,
        error=None,
        new_trade_id=None,
        sent_at=None,
        created_at=created_at,
        dry_run=dry_run,
    )


def insertion(drafted: LedgerAction) -> Statement:
    """Return what puts an action into the ledger, which is planned, or ``sending`` at once."""
    return (
        (
            "INSERT INTO axisor_actions (execution_id, seq, plan_version, group_index, step_index, kind, trade_id, "  # noqa: S608
            "params, automation_id, account_id, status, client_id, dry_run, created_at, timestamp_ms, baseline, "
            "exchange_user_id, key_fingerprint, sent_at) "
            f"VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,{{now}},?,?,?,?,{'{now}' if drafted.was_tried else 'NULL'})"
        ),
        drafted.execution_id,
        drafted.seq,
        drafted.plan_version,
        drafted.group_index,
        drafted.step_index,
        type(drafted.action).__name__,
        drafted.action.target,
        drafted.action.as_dict(),
        drafted.automation_id,
        drafted.account_id,
        drafted.status,
        drafted.client_id,
        drafted.dry_run,
        drafted.timestamp_ms,
        drafted.baseline,
        drafted.exchange_user_id,
        drafted.key_fingerprint,
    )


def drop_planned(run: Execution) -> Statement:
    """Return what takes the actions of an execution away that were never sent, but for those of groups that bind."""
    return (_DROP, run.id)


_DROP = """
DELETE FROM axisor_actions WHERE execution_id = ? AND status = 'planned' AND NOT EXISTS (
    SELECT 1 FROM axisor_actions o
    WHERE o.execution_id = axisor_actions.execution_id AND o.plan_version = axisor_actions.plan_version
    AND o.group_index = axisor_actions.group_index AND o.step_index < axisor_actions.step_index
    AND o.status IN ('sending', 'unknown', 'confirmed')
)
"""


def client_id(execution_id: str, trade_id: str | None, step_index: int) -> str:
    """Return the caller's id of a new trade or cross order: the same on every attempt at this step for this trade.

    At most 64 characters; the trade stands in it as a hash, so that two groups never share an id even when a later
    plan counts them differently.
    """
    group = hashlib.sha256((trade_id or "").encode()).hexdigest()[:8]
    return f"ax-{execution_id}-{group}-{step_index}"


def settle(
    storage: Storage,
    sent: LedgerAction,
    status: ActionStatus,
    *,
    answer: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    new_trade_id: str | None = None,
) -> bool:
    """Commit what became of a sent action; a confirmed reopen continues the lineage in the same commit.

    Not fenced: what the exchange answered is true whoever holds the account by now. A settled action is final: returns
    whether this one was not settled before.
    """
    settled = _settlement(sent, status, answer=answer, error=error, new_trade_id=new_trade_id)
    replaces = sent.action.replaces if isinstance(sent.action, OpenPosition) else None
    if not (status == "confirmed" and new_trade_id and replaces):
        return storage.run(*settled) == 1
    with storage.write():
        was_open = storage.run(*settled) == 1
        if was_open:
            lineage.replaced(storage, sent.account_id, replaces, new_trade_id, sent.execution_id)
        return was_open


def may_have_acted(storage: Storage, execution_id: str) -> bool:
    """Return whether anything took effect for an execution, or may have; no action needs to be readable for it."""
    sql = (
        "SELECT 1 FROM axisor_actions WHERE execution_id = ? "
        "AND status IN ('sending', 'unknown', 'confirmed', 'superseded') LIMIT 1"
    )
    return storage.one(sql, execution_id) is not None


def settlement_at_end(run: Execution, done: LedgerAction, ended: str) -> Statement:
    """Return what settles a confirmed action in the commit in which its run has made the execution ``ended``.

    It has to touch a row, which it does not where the run did not do so, or the action was settled by another.
    """
    sql, *params = _settlement(done, "confirmed", answer=done.answer, new_trade_id=done.new_trade_id)
    only_then = " AND EXISTS (SELECT 1 FROM axisor_executions WHERE id = ? AND fence = ? AND status = ?)"
    return must(sql + only_then, *params, run.id, run.fence, ended)


def _settlement(
    sent: LedgerAction,
    status: ActionStatus,
    *,
    answer: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    new_trade_id: str | None = None,
) -> Statement:
    settled_at = "NULL" if status == "unknown" else "{now}"
    return (
        (
            f"UPDATE axisor_actions SET status = ?, answer = COALESCE(?, answer), error = ?, new_trade_id = ?, "  # noqa: S608
            f"settled_at = {settled_at} WHERE execution_id = ? AND seq = ? AND {_UNSETTLED}"
        ),
        status,
        dict(answer) if answer else None,
        dict(error) if error else None,
        new_trade_id,
        sent.execution_id,
        sent.seq,
    )


def unsend(storage: Storage, sent: LedgerAction, error: Mapping[str, Any]) -> None:
    """Take a ``sending`` back to planned: the exchange definitely did not process it."""
    storage.run(
        "UPDATE axisor_actions SET status = 'planned', error = ?, timestamp_ms = NULL, sent_at = NULL "
        "WHERE execution_id = ? AND seq = ? AND status = 'sending'",
        dict(error),
        sent.execution_id,
        sent.seq,
    )


def note(storage: Storage, sent: LedgerAction, error: Mapping[str, Any]) -> None:
    """Keep why a sent action can't be judged yet. One that is ``sending`` stays so: its sender may only be frozen."""
    storage.run(
        f"UPDATE axisor_actions SET error = ? WHERE execution_id = ? AND seq = ? AND {_UNSETTLED}",  # noqa: S608
        dict(error),
        sent.execution_id,
        sent.seq,
    )


def deny(
    storage: Storage,
    run: Execution,
    planned: LedgerAction,
    error: Mapping[str, Any],
    *,
    status: Literal["rejected", "superseded"] = "rejected",
    answer: Mapping[str, Any] | None = None,
) -> bool:
    """Settle a planned action by ourselves: nothing was sent, and nothing will be.

    Returns whether it was planned still, and the run's.
    """
    touched = storage.run(
        "UPDATE axisor_actions SET status = ?, error = ?, answer = ?, settled_at = {now} "
        "WHERE execution_id = ? AND seq = ? AND status = 'planned' "
        "AND EXISTS (SELECT 1 FROM axisor_executions WHERE id = ? AND fence = ?)",
        status,
        dict(error),
        dict(answer) if answer else None,
        planned.execution_id,
        planned.seq,
        run.id,
        run.fence,
    )
    return touched == 1


def unreadable(execution_id: str, error: Exception) -> AxisorError:
    """Return the error for what another version has written into the ledger, or a hand (500, ``ledger_unreadable``)."""
    return AxisorError(
        f"What the ledger has of execution {execution_id} can't be read by this version: {message_of(error)}",
        code="ledger_unreadable",
    )


def action_of(row: tuple[Any, ...]) -> LedgerAction:
    """Return the action in a row of :data:`COLUMNS`.

    Raises:
        AxisorError: as :func:`unreadable` says.
    """
    values = list(row)
    try:
        values[5] = action_from_dict(document(values[5]))
        for index in (10, 14, 15, 20):
            values[index] = document(values[index])
    except UNREADABLE as error:
        raise unreadable(values[0], error) from None
    values[17] = maybe_instant(values[17])
    values[18] = instant(values[18])
    values[19] = bool(values[19])
    return LedgerAction(*values)
