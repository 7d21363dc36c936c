"""What would be decided about a job now, at which price that changes, and what it would cost. Sends nothing.

The automation is resolved and decided on as a run does, with live reads; no execution is recorded and no lease taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

from axisor_executor.automation import AccountContext, Act, Action, Decision, OpenPosition, Wait, jsonable
from axisor_executor.automation.actions import CrossAction
from axisor_executor.errors import AccountInactive, AxisorError, Held
from axisor_executor.ids import uuid7
from axisor_executor.jobs import Job, parse_job
from axisor_executor.run import spend
from axisor_executor.run.acting import Acting
from axisor_executor.run.costs import UNKNOWN, Cost, cost_of
from axisor_executor.run.decide import check_account, check_plan, check_reopens, context_of, decide
from axisor_executor.run.flow import Stop
from axisor_executor.run.rehearse import rehearse
from axisor_executor.run.resolve import Resolved, check_switched_on, find, is_dry_run, resolve
from axisor_executor.run.send import call, prepare_reopen
from axisor_executor.run.triggers import Change, Remembered, Triggers, Would, triggers, would_of
from axisor_executor.runtime import Runtime
from axisor_executor.storage import accounts, actions, switches
from axisor_executor.storage.accounts import Automation
from axisor_executor.storage.connection import Storage


@dataclass
class _Seen:
    """What one preview has found out so far. ``holds``: what would keep a real run from acting, as errors."""

    resolved: Resolved
    acting: Acting
    holds: list[dict[str, Any]] = field(default_factory=list)

    def hold(self, error: AxisorError) -> None:
        self.holds.append(error.as_dict())


def preview(parts: Runtime, job: Job | Mapping[str, Any]) -> dict[str, Any]:
    """Return what would be decided about a job now; it is given as to :func:`axisor_executor.enqueue`.

    Returns:
        ``decision`` (``status`` act, wait, nothing or fail), ``actions`` with the ``request`` and the ``cost`` of each,
        ``cost`` of all, ``holds`` (a pause, an inactive account, ...), ``trigger`` (prices at which the decision
        would change), and what was ``seen``.

    Raises:
        NotFound, InvalidConfig, InvalidJob, UnknownAutomationType: nothing could be decided.
        CredentialsError, ExchangeError: the account could not be opened.
    """
    job = parse_job(job)
    with parts.storage.connection():
        job = accounts.job_as_stored(parts.storage, job)
        seen = _open(parts, _found(parts, job), job)
        decision, error = _decided(parts, seen, job)
        planned = _planned(parts, seen, decision) if isinstance(decision, Act) else []
        return {
            **_head(parts, seen.resolved, job),
            **_told(seen, decision, error, planned),
            **_trigger(parts, seen, job),
        }


def _found(parts: Runtime, job: Job) -> Automation:
    """Return the automation as a run would find it; what a run would bind is not bound, only taken as such."""
    found = accounts.automation(parts.storage, job.automation_id)
    if found is not None and found.account_id is None and parts.settings.auto_migrate and found.user_id == job.user_id:
        own = accounts.accounts_of(parts.storage, found.user_id)
        if len(own) == 1:
            return replace(found, account_id=own[0].id, account=own[0])
    return find(parts.storage, job, auto_migrate=False)


def _open(parts: Runtime, found: Automation, job: Job) -> _Seen:
    account = found.account
    assert account is not None
    deciders, seconds = parts.executor.deciders, parts.settings.decide_seconds
    resolved = resolve(parts.registry, found, account, job, deciders, seconds)
    lane = resolved.registered.handler.actions[resolved.action]
    seen = _Seen(resolved, parts.opener.open(account, found.id, lane))
    seen.acting.owner()  # keys that are refused are no matter of the decision
    try:
        check_switched_on(found)
    except Stop as stop:
        seen.holds.append({"status": 400, "code": stop.reason, "message": stop.message})
    try:
        switches.check_pause(
            parts.storage, exchange=account.exchange_slug, account_id=account.id, automation_id=found.id
        )
    except Held as error:
        seen.hold(error)
    try:
        check_account(resolved, parts.settings.inactive_accounts, "")
    except AccountInactive as error:
        seen.hold(error)
    return seen


def _decided(parts: Runtime, seen: _Seen, job: Job) -> tuple[Decision | None, AxisorError | None]:
    resolved, acting = seen.resolved, seen.acting
    context = context_of(resolved, job, acting.reads)
    try:
        decision = decide(resolved.registered, context, parts.executor.deciders, parts.settings.decide_seconds)
        if isinstance(decision, Act):
            decision = spend.guard(parts.storage, decision, resolved)
        if isinstance(decision, Act):
            check_reopens(decision, acting.reads, resolved.registered.found.display_name)
    except AxisorError as error:
        return None, error
    if isinstance(decision, Act) and not seen.holds:
        try:
            check_plan(decision, resolved, parts.settings.inactive_accounts)
        except AccountInactive as error:
            seen.hold(error)
    return decision, None


@dataclass(frozen=True)
class _Planned:
    action: Action
    request: dict[str, Any]
    cost: Cost


def _planned(parts: Runtime, seen: _Seen, decision: Act) -> list[_Planned]:
    """Return every action as it would be sent now. Each run makes client ids of its own, so does this."""
    execution_id = uuid7()
    planned = []
    for group in decision.groups:
        for step, action in enumerate(group.actions):
            own_id = actions.client_id(execution_id, group.trade_id, step) if action.has_client_id else None
            planned.append(_as_sent(parts.storage, seen, action, own_id))
    return planned


def _as_sent(storage: Storage, seen: _Seen, action: Action, client_id: str | None) -> _Planned:
    acting, account = seen.acting, seen.resolved.account
    if isinstance(action, OpenPosition) and action.replaces is not None:
        action = prepare_reopen(action, acting.reads.price())
    try:
        switches.check(
            storage,
            action,
            exchange=account.exchange_slug,
            account_id=account.id,
            automation_id=seen.resolved.automation.id,
        )
    except Held as error:
        if error.code != "paused":
            seen.hold(error)
    signed_ms = int(time.time() * 1000)
    request = rehearse(
        acting.client, partial(call, action=action, client_id=client_id, timestamp_ms=signed_ms), signed_ms
    )
    return _Planned(action, request, _cost(acting, action))


def _cost(acting: Acting, action: Action) -> Cost:
    try:
        price = acting.reads.price()
        cross = acting.reads.cross_position() if isinstance(action, CrossAction) else None
        trades = {}
        if action.target is not None and cross is None:
            trades = {trade.id: trade for trade in (*acting.reads.running(), *acting.reads.open_orders())}
    except AxisorError:
        return UNKNOWN
    return cost_of(action, price, trades, cross)


def _head(parts: Runtime, resolved: Resolved, job: Job) -> dict[str, Any]:
    automation, account = resolved.automation, resolved.account
    is_dry = parts.settings.mode == "dry_run" or is_dry_run(automation)
    return {
        "automationId": automation.id,
        "userId": automation.user_id,
        "type": automation.type,
        "action": resolved.action,
        "tradeId": job.trade_id,
        "accountId": account.id,
        "accountName": account.name,
        "mode": "dry_run" if is_dry else "live",
    }


def _told(seen: _Seen, decision: Decision | None, error: AxisorError | None, planned: list[_Planned]) -> dict[str, Any]:
    told: dict[str, Any] = {"decision": _decision(decision, error), "holds": seen.holds}
    told["actions"] = [
        {
            "action": one.action.kind,
            "tradeId": one.action.target,
            "command": one.action.as_dict(),
            "request": one.request,
            "cost": _costs(one.cost),
        }
        for one in planned
    ]
    told["cost"] = {
        "fees": _sum([one.cost.fees for one in planned]),
        "fromBalance": _sum([one.cost.from_balance for one in planned]),
    }
    told["seen"] = seen.acting.reads.record()
    return told


def _decision(decision: Decision | None, error: AxisorError | None) -> dict[str, Any]:
    if error is not None:
        return {"status": "fail", "error": error.as_dict()}
    if isinstance(decision, Wait):
        return {"status": "wait", "reason": decision.reason, "facts": jsonable(decision.facts)}
    assert decision is not None
    acts = any(group.actions for group in decision.groups)
    groups = [
        {"tradeId": group.trade_id, "action": group.action, "status": group.status, "facts": jsonable(group.facts)}
        for group in decision.groups
    ]
    return {"status": "act" if acts else "nothing", "facts": jsonable(decision.facts), "groups": groups}


def _costs(cost: Cost) -> dict[str, Any]:
    names = {"from_balance": "fromBalance"}
    return {names.get(name, name): jsonable(value) for name, value in asdict(cost).items()}


def _sum(values: list[int | None]) -> int | None:
    """Return the sum; nothing where one of them is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _trigger(parts: Runtime, seen: _Seen, job: Job) -> dict[str, Any]:
    """Ask the handler at other prices, all within the time that it has for one decision."""
    resolved = seen.resolved
    try:
        price = seen.acting.reads.price()
        found = parts.executor.deciders.ask(
            resolved.registered.found,
            "looking for the price at which it acts",
            _search(resolved, context_of(resolved, job, seen.acting.reads), price),
            parts.settings.decide_seconds,
        )
    except AxisorError as error:
        return {"trigger": {"error": error.as_dict()}}
    return {
        "trigger": {
            "currentPrice": jsonable(price),
            "below": [_change(one) for one in found.below],
            "above": [_change(one) for one in found.above],
        }
    }


def _search(resolved: Resolved, context: AccountContext[Any], price: Decimal) -> Callable[[], Triggers]:
    known = Remembered(context.reads)
    handler = resolved.registered.handler

    def ask(price: Decimal) -> Would:
        return would_of(lambda: handler.decide(replace(context, reads=known.at(price))))

    return lambda: triggers(ask, price)


def _change(change: Change) -> dict[str, Any]:
    told: dict[str, Any] = {"price": jsonable(change.price), "decision": change.would.status}
    if change.would.actions:
        told["actions"] = sorted({kind for _, kinds in change.would.actions for kind in kinds})
        told["tradeIds"] = sorted({trade_id for trade_id, _ in change.would.actions if trade_id})
    if change.would.code:
        told["code"] = change.would.code
    return told
