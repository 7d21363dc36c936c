"""Ask the handler, and hold its decision against what the account may do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from axisor_executor.arithmetic import MIN_LEVERAGE
from axisor_executor.automation import (
    AccountContext,
    AccountInfo,
    Act,
    AutomationInfo,
    Decision,
    JobInfo,
    OpenPosition,
    Reads,
)
from axisor_executor.errors import AccountInactive, PluginError
from axisor_executor.jobs import Job
from axisor_executor.observe import tracing
from axisor_executor.observe.alerts import Alert
from axisor_executor.plugins import Registered
from axisor_executor.run.acting import Acting
from axisor_executor.run.deciding import Deciders
from axisor_executor.run.lent import LentReads
from axisor_executor.run.plain import plain_decision
from axisor_executor.run.resolve import Resolved


def context_of(resolved: Resolved, job: Job, reads: Reads) -> AccountContext[Any]:
    """Return what the handler gets; a trade that the job names is the one that it has become."""
    account, automation = resolved.account, resolved.automation
    return AccountContext(
        account=AccountInfo(account.id, account.name, account.user_id, account.exchange_slug, account.is_active),
        automation=AutomationInfo(automation.id, automation.type, automation.risk_level),
        config=resolved.config,
        job=JobInfo(resolved.action, reads.current_id(job.trade_id) if job.trade_id else None),
        now=datetime.now(UTC),
        reads=reads,
    )


def decide(
    registered: Registered,
    context: AccountContext[Any],
    deciders: Deciders,
    seconds: float,
    meanwhile: Callable[[], object] = lambda: None,
) -> Decision:
    """Return the handler's decision, made within ``seconds``; this thread does ``meanwhile`` until it is there.

    Raises:
        PluginError: it failed, or its decision makes no sense; named by distribution and version.
        Unavailable: what it reads did not come in time.
        AxisorError: what it raised on purpose; or what ``meanwhile`` raised, where it raised nothing.
    """
    lent = LentReads(context.reads)
    shown = AccountContext(context.account, context.automation, context.config, context.job, context.now, lent)
    with tracing.span("decide", action=context.job.action, plugin=registered.found.display_name):
        try:
            return deciders.ask(
                registered.found,
                "decide()",
                lambda: plain_decision(registered.handler.decide(shown)),
                seconds,
                is_ours=lent.raised,
                is_reading=lent.is_reading,
                meanwhile=meanwhile,
            )
        finally:
            lent.end()


def check_account(resolved: Resolved, policy: str, execution_id: str) -> Alert | None:
    """Return the alert that an inactive account is worth.

    Raises:
        AccountInactive: the policy refuses the action, which is known before anything is read.
    """
    account = resolved.account
    if account.is_active:
        return None
    enters = resolved.action in resolved.registered.handler.entries
    if policy == "refuse" or (policy == "reduce-only" and enters):
        _refuse(resolved, policy)
    return Alert(
        kind="inactive_account",
        severity="warning",
        message=f"Account {account.name} is inactive; {resolved.action} goes on ({policy})",
        user_id=account.user_id,
        account_id=account.id,
        account_name=account.name,
        automation_id=resolved.automation.id,
        execution_id=execution_id,
    )


def check_plan(decision: Act, resolved: Resolved, policy: str) -> None:
    """Raise where a plan adds risk on an inactive account (a reduce's reopen adds none).

    Raises:
        AccountInactive: nothing of the plan is carried out.
    """
    if resolved.account.is_active or policy == "allow":
        return
    for group in decision.groups:
        for action in group.actions:
            reopens = isinstance(action, OpenPosition) and action.replaces is not None
            if policy == "refuse" or not (action.risk_reducing or reopens):
                _refuse(resolved, policy)


def check_reopens(decision: Act, reads: Reads, plugin: str) -> None:
    """Raise where a replacement is not a remainder: another side, or more or at more leverage than what it replaces.

    Raises:
        PluginError: as a remainder it would pass where new risk may not.
    """
    reopens = [a for g in decision.groups for a in g.actions if isinstance(a, OpenPosition) and a.replaces]
    for action in reopens:
        trade = next((one for one in reads.running() if one.id == action.replaces), None)
        if trade is None:
            continue
        leverage = max(trade.leverage, MIN_LEVERAGE)
        if action.side != trade.side or action.quantity > trade.quantity or action.leverage > leverage:
            raise PluginError(
                f"{plugin}: the replacement of trade {trade.id} is no remainder of it: {action.side} {action.quantity}"
                f" at {action.leverage}x instead of at most {trade.side} {trade.quantity} at {leverage}x"
            )


def record_of(resolved: Resolved, acting: Acting) -> dict[str, Any]:
    """Return what a plan is recorded with: who decided, on which config, and what was seen."""
    found = resolved.registered.found
    return {
        "handler": type(resolved.registered.handler).__qualname__,
        "distribution": found.distribution,
        "distributionVersion": found.version,
        "configHash": resolved.config_hash,
        "configVersion": resolved.config_version,
        "handlerConfigVersion": resolved.registered.handler.config_version,
        "seen": acting.reads.record(),
    }


def _refuse(resolved: Resolved, policy: str) -> None:
    account = resolved.account
    raise AccountInactive(
        f"Account {account.name} is inactive: {resolved.action} is refused (AXISOR_INACTIVE_ACCOUNTS={policy})",
        account_id=account.id,
        account_name=account.name,
    )
