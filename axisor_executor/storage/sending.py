"""The commit before a request leaves: ``planned -> sending``, if nothing forbids it in that same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axisor_executor.automation import OpenPosition
from axisor_executor.errors import Changed, Held, LeaseLost, Refused
from axisor_executor.storage import leases, lineage, switches
from axisor_executor.storage.accounts import Account, config_of
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.plans import Plan


@dataclass(frozen=True, slots=True)
class Sending:
    """What is committed before a request leaves."""

    timestamp_ms: int
    baseline: Mapping[str, Any]
    exchange_user_id: str
    key_fingerprint: str


def begin(
    storage: Storage,
    run: Execution,
    planned: LedgerAction,
    sending: Sending,
    *,
    account: Account,
    plan: Plan | None = None,
) -> None:
    """Commit that a request is about to leave, if nothing forbids it: lease, fence, keys, switches, unresolved actions.

    A ``plan`` that is not in the ledger yet is committed with it.

    Raises:
        Changed: the account is not what it was when it was read; look again.
        Refused: the automation was bound to another account behind the first request (``rebound``).
        LeaseLost: another run may act on the account now; this one must not.
        Held: a switch or an unresolved action holds it back.
    """
    with storage.write(durable=True):
        _check(storage, run, planned, account)
        touched = storage.run_all(
            *([] if plan is None or plan.is_kept else plan.statements()),
            (
                (
                    "UPDATE axisor_actions SET status = 'sending', timestamp_ms = ?, baseline = ?, "
                    "exchange_user_id = ?, key_fingerprint = ?, params = ?, sent_at = {now}, error = NULL "
                    "WHERE execution_id = ? AND seq = ? AND plan_version = ? AND status = 'planned' AND NOT dry_run "
                    "AND EXISTS (SELECT 1 FROM axisor_executions WHERE id = ? AND fence = ? AND status = 'running' "
                    "AND plan_version >= ?)"
                ),
                sending.timestamp_ms,
                dict(sending.baseline),
                sending.exchange_user_id,
                sending.key_fingerprint,
                planned.action.as_dict(),
                planned.execution_id,
                planned.seq,
                planned.plan_version,
                run.id,
                run.fence,
                planned.plan_version,
            ),
        )
        if touched != 1:
            raise LeaseLost(f"action {planned.seq} of execution {run.id} is not planned any more")
    if plan is not None:
        plan.is_kept = True


def rehearse(
    storage: Storage,
    run: Execution,
    planned: LedgerAction,
    sending: Sending,
    request: Mapping[str, Any],
    *,
    account: Account,
) -> None:
    """Commit what would leave now in a dry run, if nothing would forbid it. The action stays ``planned``.

    Raises:
        Changed, Refused, LeaseLost, Held: as :func:`begin`.
    """
    with storage.write():
        _check(storage, run, planned, account)
        touched = storage.run(
            "UPDATE axisor_actions SET request = ?, baseline = ?, exchange_user_id = ?, key_fingerprint = ?, "
            "params = ?, error = NULL WHERE execution_id = ? AND seq = ? AND status = 'planned' AND dry_run",
            dict(request),
            dict(sending.baseline),
            sending.exchange_user_id,
            sending.key_fingerprint,
            planned.action.as_dict(),
            planned.execution_id,
            planned.seq,
        )
        if touched != 1:
            raise LeaseLost(f"action {planned.seq} of execution {run.id} is not planned any more")


def _check(storage: Storage, run: Execution, planned: LedgerAction, account: Account) -> None:
    """Look at everything at once, the run and its lease held; what is out of order is then told in detail.

    They are locked by a statement of its own: what was changed while it waited, the next one sees.
    """
    row = storage.one_after(
        *switches.held_still(storage),
        (_HOLD, run.id, run.fence, planned.account_id),
        (
            _NOW,
            planned.automation_id,
            account.id,
            planned.account_id,
            run.id,
            run.fence,
        ),
    )
    if row is None and not leases.hold_live(storage, planned.account_id, run.id, run.fence):
        raise LeaseLost(
            f"execution {run.id} no longer holds account {planned.account_id}", account_id=planned.account_id
        )
    _check_account(planned, account, row)
    *_, any_switch, any_unresolved = row or (True, True)
    if any_switch:
        switches.check(
            storage,
            planned.action,
            exchange=account.exchange_slug,
            account_id=planned.account_id,
            automation_id=planned.automation_id,
        )
    if any_unresolved:
        _check_unresolved(storage, planned)


_HOLD = """
SELECT 1 FROM axisor_executions e JOIN axisor_leases l ON l.execution_id = e.id AND l.fence = e.fence
WHERE e.id = ? AND e.fence = ? AND l.account_id = ? {for_update}
"""  # in this order, as everywhere

_NOW = """
SELECT a.id, a.user_exchange_account_id, a.is_active, u.is_active, u.credentials, a.config,
    EXISTS (SELECT 1 FROM axisor_switches),
    EXISTS (
        SELECT 1 FROM axisor_actions o WHERE o.account_id = l.account_id AND o.status IN ('sending', 'unknown')
        AND o.execution_id <> l.execution_id
    )
FROM axisor_leases l
CROSS JOIN user_exchange_accounts u
LEFT JOIN "Automation" a ON a.id = ?
WHERE u.id = ? AND l.account_id = ? AND l.execution_id = ? AND l.fence = ? AND l.until > {now}
"""


def _check_account(planned: LedgerAction, account: Account, row: tuple[Any, ...] | None) -> None:
    """Let only those keys sign that are in the database now, of the account that the automation is bound to now.

    Behind its first request a group binds, also where the automation was deleted, became dry, or something was switched
    off.
    """
    if row is None or row[4] != account.credentials:
        raise _changed(planned, account, f"the credentials of account {account.name} were changed")
    automation_id, bound_to, is_active, account_is_active, _, config, *_ = row
    has_begun = planned.step_index > 0
    if bound_to != account.id and not (automation_id is None and has_begun):
        if has_begun:
            raise Refused(
                f"{planned.action.kind}: the automation was bound to another account meanwhile",
                code="rebound",
                account_id=account.id,
            )
        raise _changed(planned, account, f"the automation is not bound to account {account.name} any more")
    if not has_begun and not (is_active and bool(account_is_active) == account.is_active):
        raise _changed(planned, account, f"the automation or account {account.name} was switched on or off")
    if not (has_begun or planned.dry_run) and _may_be_dry(config):
        raise _changed(planned, account, "the automation's config asks for a dry run")


def _may_be_dry(config: Any) -> bool:
    """Whether a config's ``dry_run`` is anything but left out or false; what else it may be, deciding anew tells."""
    found = config_of(config)
    return isinstance(found, Mapping) and found.get("dry_run") not in (None, False)


def _changed(planned: LedgerAction, account: Account, what: str) -> Changed:
    return Changed(f"{planned.action.kind}: {what}; nothing was sent", account_id=account.id)


def _check_unresolved(storage: Storage, planned: LedgerAction) -> None:
    """Hold back what adds risk or moves money where an earlier action may still take effect."""
    action = planned.action
    if action.risk_reducing and not action.moves_money:
        return
    reopens = isinstance(action, OpenPosition) and action.replaces
    rows = storage.rows(
        "SELECT execution_id, kind, trade_id, automation_id FROM axisor_actions "
        "WHERE account_id = ? AND status IN ('sending', 'unknown') AND execution_id <> ?",
        planned.account_id,
        planned.execution_id,
    )
    for execution_id, kind, trade_id, automation_id in rows:
        same_trade = (
            trade_id is not None
            and action.target is not None
            and lineage.current_id(storage, planned.account_id, trade_id)
            == lineage.current_id(storage, planned.account_id, action.target)
        )
        same_entry = (
            isinstance(action, OpenPosition)
            and not reopens
            and kind == OpenPosition.__name__
            and automation_id == planned.automation_id
        )
        if same_trade or same_entry:
            raise Held(
                f"{action.kind} waits: the outcome of execution {execution_id} is not known yet",
                code="unresolved_action",
                account_id=planned.account_id,
                details={"executionId": execution_id},
            )
