"""Ask the handler, and hold its decision against what the account may do."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from axisor_executor.automation import (
    AccountContext,
    AccountInfo,
    Act,
    AutomationInfo,
    ClosePosition,
    Decision,
    JobInfo,
    OpenPosition,
    Reads,
    Wait,
)
from axisor_executor.errors import AccountInactive, PluginError
from axisor_executor.jobs import Job
from axisor_executor.observe import metrics, tracing
from axisor_executor.observe.alerts import Alert
from axisor_executor.plugins import Registered
from axisor_executor.run.acting import Acting
from axisor_executor.run.deciding import Deciders
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


def decide(registered: Registered, context: AccountContext[Any], deciders: Deciders, seconds: float) -> Decision:
    """Return the handler's decision, made within ``seconds``.

    Raises:
        PluginError: it failed, or its decision makes no sense; named by distribution and version.
        AxisorError: what it raised on purpose.
    """

    def call() -> tuple[Decision, bool]:
        decision = registered.handler.decide(context)
        return decision, isinstance(decision, (Act, Wait)) and bool(decision.as_dict())

    with tracing.span("decide", action=context.job.action, plugin=registered.found.display_name):
        decision, is_one = deciders.ask(registered.found, "decide()", call, seconds)
    problem = _problem(decision) if is_one else f"returned {type(decision).__name__}, not a decision"
    if problem is not None:
        metrics.plugin_errors.add(registered.found.display_name, "decide")
        raise PluginError(f"{registered.found.display_name}: decide() {problem}")
    return decision


def _problem(decision: Decision) -> str | None:
    if isinstance(decision, Wait):
        return None
    if not decision.groups:
        return "returned Act without a group"
    keys = [group.trade_id or "" for group in decision.groups if group.actions]
    if len(set(keys)) < len(keys):
        return "returned two groups for one trade (or two for entries); put their actions into one group"
    for group in decision.groups:
        for before, action in zip((None, *group.actions), group.actions, strict=False):
            replaces = action.replaces if isinstance(action, OpenPosition) else None
            if replaces is not None and not (isinstance(before, ClosePosition) and before.trade_id == replaces):
                return f"opens a replacement of {replaces} that it does not close in the step before"
    return None


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


def check_reopens(decision: Act, acting: Acting, plugin: str) -> None:
    """Raise where a replacement is not a remainder: another side, or more than the trade that it replaces.

    Raises:
        PluginError: as a remainder it would pass where new risk may not.
    """
    reopens = [a for g in decision.groups for a in g.actions if isinstance(a, OpenPosition) and a.replaces]
    for action in reopens:
        trade = next((one for one in acting.reads.running() if one.id == action.replaces), None)
        if trade is not None and (action.side != trade.side or action.quantity > trade.quantity):
            raise PluginError(
                f"{plugin}: the replacement of trade {trade.id} is no remainder of it: "
                f"{action.side} {action.quantity} instead of at most {trade.side} {trade.quantity}"
            )


def record_of(resolved: Resolved, acting: Acting) -> dict[str, Any]:
    """Return what a plan is recorded with: who decided, on which config, and what was seen."""
    found = resolved.registered.found
    return {
        "handler": type(resolved.registered.handler).__qualname__,
        "distribution": found.distribution,
        "distributionVersion": found.version,
        "configHash": config_hash(resolved.automation.config),
        "seen": acting.reads.record(),
    }


def config_hash(config: Any) -> str:
    """Return a short hash by which a config is recognised."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse(resolved: Resolved, policy: str) -> None:
    account = resolved.account
    raise AccountInactive(
        f"Account {account.name} is inactive: {resolved.action} is refused (AXISOR_INACTIVE_ACCOUNTS={policy})",
        account_id=account.id,
        account_name=account.name,
    )
