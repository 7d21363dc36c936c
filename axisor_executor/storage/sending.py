"""The commit before a request leaves: ``planned -> sending``, if nothing forbids it in that same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from axisor_executor.automation import OpenPosition
from axisor_executor.errors import Changed, Held, LeaseLost, Refused
from axisor_executor.storage import actions, history, leases, lineage, switches
from axisor_executor.storage.accounts import Account, config_of
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import Statement, Storage, must
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.plans import Plan
from axisor_executor.storage.values import digest


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
) -> LedgerAction:
    """Commit that a request is about to leave, if nothing forbids it: lease, fence, keys, switches, unresolved actions.

    A ``plan`` that is not in the ledger yet is committed with it.

    Returns:
        The action as it stands in the ledger now.

    Raises:
        Changed: the account is not what it was when it was read; look again.
        Refused: the automation was bound to another account behind the first request (``rebound``).
        LeaseLost: another run may act on the account now; this one must not.
        Held: a switch or an unresolved action holds it back.
    """
    sent = replace(
        planned,
        status="sending",
        timestamp_ms=sending.timestamp_ms,
        baseline=dict(sending.baseline),
        exchange_user_id=sending.exchange_user_id,
        key_fingerprint=sending.key_fingerprint,
    )
    if not _begin_at_once(storage, run, sent, account, plan):
        _begin_with_care(storage, run, sent, account, plan)
    if plan is not None:
        plan.is_kept = True
    return sent


def _begin_at_once(storage: Storage, run: Execution, sent: LedgerAction, account: Account, plan: Plan | None) -> bool:
    """Begin where all is as it was when it was read and nothing forbids anything; else change nothing.

    The run and its lease are held by a statement of its own: what was changed while it waited, those behind it see.
    """
    if plan is None or sent.dry_run or not isinstance(account.credentials, str):
        return False
    as_it_was = (
        _AS_IT_WAS,
        sent.automation_id,
        account.id,
        sent.account_id,
        run.id,
        run.fence,
        account.is_active,
        run.id,
        digest(run.id + account.credentials),
        plan.config_text,
        account.exchange_slug,
        sent.account_id,
        sent.automation_id,
    )
    if plan.is_kept:
        statements = [_update(run, sent, *as_it_was)]
    else:
        statements = plan.statements({sent.seq: actions.insertion(sent)}, *as_it_was)
    return storage.together(_hold(storage, run, sent), *statements, on_disk=True) is not None


def _begin_with_care(storage: Storage, run: Execution, sent: LedgerAction, account: Account, plan: Plan | None) -> None:
    with storage.write(durable=True):
        _check(storage, run, sent, account)
        if plan is not None and not plan.is_kept:
            plan.write()
        if storage.run(*_update(run, sent)) != 1:
            raise LeaseLost(f"action {sent.seq} of execution {run.id} is not planned any more")


def _update(run: Execution, sent: LedgerAction, *only_if: Any) -> Statement:
    """Return what makes a planned action ``sending``; it has to touch a row."""
    condition, *params = only_if or ("",)
    return must(
        "UPDATE axisor_actions SET status = 'sending', timestamp_ms = ?, baseline = ?, "  # noqa: S608
        "exchange_user_id = ?, key_fingerprint = ?, params = ?, sent_at = {now}, error = NULL "
        "WHERE execution_id = ? AND seq = ? AND plan_version = ? AND status = 'planned' AND NOT dry_run "
        "AND EXISTS (SELECT 1 FROM axisor_executions WHERE id = ? AND fence = ? AND status = 'running' "
        f"AND plan_version >= ?) {condition}",
        sent.timestamp_ms,
        sent.baseline,
        sent.exchange_user_id,
        sent.key_fingerprint,
        sent.action.as_dict(),
        sent.execution_id,
        sent.seq,
        sent.plan_version,
        run.id,
        run.fence,
        sent.plan_version,
        *params,
    )


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
    """Look at everything, the run and its lease held; what is out of order is then told in detail."""
    storage.run(*_hold(storage, run, planned))
    row = storage.one(_NOW, planned.automation_id, account.id, planned.account_id, run.id, run.fence)
    if row is None and not leases.hold_live(storage, planned.account_id, run.id, run.fence):
        raise LeaseLost(
            f"execution {run.id} no longer holds account {planned.account_id}", account_id=planned.account_id
        )
    _check_account(planned, account, row)
    switches.check(
        storage,
        planned.action,
        exchange=account.exchange_slug,
        account_id=planned.account_id,
        automation_id=planned.automation_id,
    )
    _check_unresolved(storage, planned)


def _hold(storage: Storage, run: Execution, action: LedgerAction) -> Statement:
    """Return what holds the switches, the run and its lease still until the transaction ends."""
    return (_HOLD[storage.is_sqlite], run.id, run.fence, action.account_id)


_HOLD = {
    is_sqlite: (
        f"SELECT {switches.held_still(is_sqlite=is_sqlite)} "  # noqa: S608
        "FROM axisor_executions e JOIN axisor_leases l ON l.execution_id = e.id AND l.fence = e.fence "
        "WHERE e.id = ? AND e.fence = ? AND l.account_id = ? {for_update}"  # in this order, as everywhere
    )
    for is_sqlite in (True, False)
}

_NOW = """
SELECT a.id, a.user_exchange_account_id, a.is_active AND x.is_active, u.is_active, CAST(u.credentials AS TEXT), a.config
FROM axisor_leases l
CROSS JOIN user_exchange_accounts u
LEFT JOIN exchanges x ON x.id = u.exchange_id
LEFT JOIN "Automation" a ON a.id = ?
WHERE u.id = ? AND l.account_id = ? AND l.execution_id = ? AND l.fence = ? AND l.until > {now}
"""

# Statements end up in logs, the server's own among them, and not all credentials are encrypted: hence the digest.
_AS_IT_WAS = """
AND EXISTS (
    SELECT 1 FROM axisor_leases l
    CROSS JOIN user_exchange_accounts u
    JOIN exchanges x ON x.id = u.exchange_id AND x.is_active
    JOIN "Automation" a ON a.id = ? AND a.user_exchange_account_id = u.id
    WHERE u.id = ? AND l.account_id = ? AND l.execution_id = ? AND l.fence = ? AND l.until > {now}
    AND a.is_active AND u.is_active = ?
    AND {sha256}?||CAST(u.credentials AS TEXT){end} = ? AND CAST(a.config AS TEXT) = ?
    AND NOT EXISTS (
        SELECT 1 FROM axisor_switches WHERE scope = 'all' OR (scope = 'exchange' AND scope_id = ?)
        OR (scope = 'account' AND scope_id = ?) OR (scope = 'automation' AND scope_id = ?)
    )
    AND NOT EXISTS (
        SELECT 1 FROM axisor_actions o WHERE o.account_id = l.account_id AND o.status IN ('sending', 'unknown')
        AND o.execution_id <> l.execution_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM axisor_actions o
        JOIN axisor_executions e ON e.id = o.execution_id AND e.status IN ('queued', 'running', 'waiting')
        WHERE o.account_id = l.account_id AND o.status = 'planned' AND o.step_index > 0 AND NOT o.dry_run
        AND o.execution_id <> l.execution_id
    )
)
"""


def _check_account(planned: LedgerAction, account: Account, row: tuple[Any, ...] | None) -> None:
    """Let only those keys sign that are in the database now, of the account that the automation is bound to now.

    Behind its first request a group binds, also where the automation was deleted, became dry, or something was switched
    off.
    """
    if row is None or row[4] != account.credentials:
        raise _changed(planned, account, f"the credentials of account {account.name} were changed")
    automation_id, bound_to, is_active, account_is_active, _, config = row
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
        what = f"the automation, account {account.name} or its exchange was switched on or off"
        raise _changed(planned, account, what)
    if not (has_begun or planned.dry_run) and _may_be_dry(config):
        raise _changed(planned, account, "the automation's config asks for a dry run")


def _may_be_dry(config: Any) -> bool:
    """Whether a config's ``dry_run`` is anything but left out or false; what else it may be, deciding anew tells."""
    found = config_of(config)
    return isinstance(found, Mapping) and found.get("dry_run") not in (None, False)


def _changed(planned: LedgerAction, account: Account, what: str) -> Changed:
    return Changed(f"{planned.action.kind}: {what}; nothing was sent", account_id=account.id)


def _check_unresolved(storage: Storage, planned: LedgerAction) -> None:
    """Hold back what adds risk or moves money where an earlier action may still take effect.

    While a remainder is to be opened no entry takes the account's money, for which that is meant; what protects another
    trade does. One that may have been opened counts for the automation that opened the trade before it.
    """
    action = planned.action
    reopens = isinstance(action, OpenPosition) and action.replaces
    if reopens or (action.risk_reducing and not action.moves_money):
        return
    enters = isinstance(action, OpenPosition)
    owing = lineage.owing(storage, planned.account_id, but=planned.execution_id) if enters else None
    if owing is not None:
        raise _unresolved(planned, owing, "the remainder that it owes is not open yet")
    rows = storage.rows(
        "SELECT execution_id, kind, trade_id, automation_id, params FROM axisor_actions "
        "WHERE account_id = ? AND status IN ('sending', 'unknown') AND execution_id <> ?",
        planned.account_id,
        planned.execution_id,
    )
    for execution_id, kind, trade_id, automation_id, params in rows:
        same_trade = (
            trade_id is not None
            and action.target is not None
            and lineage.current_id(storage, planned.account_id, trade_id)
            == lineage.current_id(storage, planned.account_id, action.target)
        )
        same_entry = (
            enters
            and kind == OpenPosition.__name__
            and (automation_id == planned.automation_id or _opened(storage, planned, lineage.replaces(params)))
        )
        if same_trade or same_entry:
            raise _unresolved(planned, execution_id, "its outcome is not known yet")


def _opened(storage: Storage, planned: LedgerAction, trade_id: str | None) -> bool:
    """Whether the automation that has planned this opened a trade, or one that it replaced."""
    line = lineage.ancestors(storage, planned.account_id, [trade_id] if trade_id else [])
    return bool(history.opened_by(storage, planned.automation_id, trade_ids=line, client_ids={}))


def _unresolved(planned: LedgerAction, execution_id: str, why: str) -> Held:
    return Held(
        f"{planned.action.kind} waits for execution {execution_id}: {why}",
        code="unresolved_action",
        account_id=planned.account_id,
        details={"executionId": execution_id},
    )
