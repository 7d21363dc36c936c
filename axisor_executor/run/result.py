"""What a run returns and stores, and what it leaves in the TradeLog. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from axisor_executor.automation import Act, AddMargin, CashIn, ClosePosition, OpenPosition, Wait, jsonable
from axisor_executor.automation.actions import CrossAction
from axisor_executor.observe import tracing
from axisor_executor.observe.logs import timestamp
from axisor_executor.run.cross import realised
from axisor_executor.run.outcome import UNTOLD, GroupOutcome
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import Execution, Status
from axisor_executor.storage.tradelog import Entry, TradeLogStatus

EXCHANGE_CODES = frozenset({"outcome_unknown", "not_executed", "unknown", "uncertain", "answer_unreadable"})


@dataclass(frozen=True, slots=True)
class Ended:
    """How an execution ended: what is stored and told."""

    status: Status
    result: dict[str, Any]
    error: dict[str, Any] | None = None
    trade_log: tuple[Entry, ...] = ()
    plan: dict[str, Any] | None = None
    outcomes: tuple[GroupOutcome, ...] = field(default=(), compare=False)

    @property
    def is_success(self) -> bool:
        """Whether statistics count it as a success."""
        return self.status in ("completed", "pending", "cancelled")


@dataclass(frozen=True, slots=True)
class Subject:
    """Who and what an execution was about, as far as it was found out."""

    run: Execution
    account_id: str | None = None
    account_name: str | None = None
    automation_type: str | None = None

    def head(self, status: Status, action: str | None) -> dict[str, Any]:
        """Return the fields that every result begins with."""
        return {
            "status": status,
            "action": action,
            "timestamp": timestamp(),
            "executionId": self.run.id,
            **tracing.ids(self.run.id),
            "automationId": self.run.automation_id,
            "userId": self.run.user_id,
            "accountId": self.account_id or self.run.account_id,
            "accountName": self.account_name or self.run.account_name,
        }

    def about(self, error: Mapping[str, Any]) -> dict[str, Any]:
        """Return an error with the account that it is about."""
        account = {
            "accountId": self.account_id or self.run.account_id,
            "accountName": self.account_name or self.run.account_name,
        }
        return {**{key: value for key, value in account.items() if value is not None}, **error}


def waited(subject: Subject, decision: Wait, action: str, plan: dict[str, Any]) -> Ended:
    """Return the end of a run whose condition is not reached; ``plan`` keeps the decision and what was seen."""
    head = subject.head("pending", action)
    nested = _with({"status": "pending", "reason": decision.reason}, jsonable(decision.facts))
    trade_id = subject.run.trade_id or nested.get("tradeId")
    return Ended("pending", {**head, "tradeId": trade_id, "result": nested}, plan=plan)


def stopped(subject: Subject, status: Status, reason: str, message: str) -> Ended:
    """Return the end of a run that was not to act: cancelled or expired."""
    head = subject.head(status, None)
    result = {**head, "tradeId": subject.run.trade_id, "reason": reason, "message": message}
    if status == "cancelled":
        return Ended(status, result)
    error = subject.about({"status": 503, "code": reason, "message": message})
    return Ended(status, {**result, "error": error}, error, (_failure_entry(subject, None, error),))


def failed(subject: Subject, error: Mapping[str, Any], action: str | None) -> Ended:
    """Return the end of a run that failed before anything was sent."""
    head = subject.head("failed", action)
    shown = subject.about(error)
    # Of an automation that is not this user's, nothing may show where its owner looks.
    hidden = shown.get("code") == "automation_not_found"
    log = () if hidden else (_failure_entry(subject, action, shown),)
    return Ended("failed", {**head, "tradeId": subject.run.trade_id, "error": shown}, shown, log)


def untold(subject: Subject, error: Mapping[str, Any], action: str | None) -> Ended:
    """Return the end of a run that has acted, or may have, and of which no more can be told: its error says so."""
    head = subject.head("uncertain", action)
    shown = subject.about({**error, "details": {**error.get("details", {}), UNTOLD: True}})
    result = {**head, "tradeId": subject.run.trade_id, "error": shown}
    return Ended("uncertain", result, shown, (_failure_entry(subject, action, shown),))


def acted(subject: Subject, plan: Act, outcomes: Sequence[GroupOutcome]) -> Ended:
    """Return the end of a run that followed a plan to its end."""
    status = _overall(outcomes)
    error = next((outcome.error for outcome in outcomes if outcome.error), None)
    result = subject.head(status, plan.action)
    if plan.lists_trades or len(outcomes) > 1:
        result["trades"] = [_listed(outcome) for outcome in outcomes]
        if plan.facts:
            result["result"] = _with({"status": status}, jsonable(plan.facts))
    else:
        outcome = outcomes[0]
        result["tradeId"] = outcome.new_trade_id or outcome.group.trade_id
        nested = _nested(plan, outcome)
        if nested:
            result["result"] = _with({"status": status, "tradeId": result["tradeId"]}, nested)
    if error is not None:
        result["error"] = error = subject.about(error)
    log = _entries(subject, (one for one in outcomes if one.was_tried or one.status == "failed"))
    return Ended(status, result, error, log, outcomes=tuple(outcomes))


def rehearsed(subject: Subject, ended: Ended) -> Ended:
    """Return the end of a dry run: marked as one, with what would have been sent.

    The TradeLog gets nothing of it, but for groups of which something was sent while the execution was live; a result
    with such groups is no dry run's as a whole.
    """
    live = [outcome for outcome in ended.outcomes if outcome.was_tried and not outcome.is_dry_run]
    result = dict(ended.result) if live else {**ended.result, "dryRun": True}
    requests = [_unsent(step) for outcome in ended.outcomes for step in outcome.steps if step.is_rehearsed]
    if requests:
        result["requests"] = requests
    return replace(ended, result=result, trade_log=_entries(subject, live))


def _unsent(step: LedgerAction) -> dict[str, Any]:
    return {"action": step.action.kind, "tradeId": step.action.target, **(step.request or {})}


def _overall(outcomes: Sequence[GroupOutcome]) -> Status:
    states = {outcome.status for outcome in outcomes}
    if "uncertain" in states:
        return "uncertain"
    return "failed" if "failed" in states else "completed"


def _nested(plan: Act, outcome: GroupOutcome) -> dict[str, Any]:
    nested = _with_outcome({**jsonable(plan.facts), **jsonable(outcome.group.facts)}, outcome)
    for step in outcome.steps:
        if isinstance(step.action, OpenPosition) and step.status == "confirmed":
            if step.action.type == "limit":
                nested["order"] = (step.answer or {}).get("state")
            if step.action.replaces:
                nested["newTradeId"] = step.new_trade_id
        if isinstance(step.action, CrossAction) and step.status == "confirmed" and step.answer:
            nested["orderId"] = step.answer["id"]
    if outcome.is_half_done:
        nested["reopened"] = False
    return _with_dropped(nested, outcome)


def _with_outcome(decided: Mapping[str, Any], outcome: GroupOutcome) -> dict[str, Any]:
    """Return the facts of a decision with those of its outcome: of a trade that was over, nothing was taken or left."""
    gone = ("reducedQuantity", "remainingQuantity") if outcome.facts.get("alreadyClosed") else ()
    return {**decided, **{name: 0 for name in gone if name in decided}, **outcome.facts}


def _with(own: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the core says, then the facts: none of them takes its place."""
    return {**own, **facts, **own}


def _listed(outcome: GroupOutcome) -> dict[str, Any]:
    own = {"tradeId": outcome.group.trade_id, "status": outcome.status, "action": outcome.group.action}
    listed = _with(own, _with_outcome(jsonable(outcome.group.facts), outcome))
    if outcome.is_dry_run:
        listed["dryRun"] = True
    if outcome.new_trade_id:
        listed["newTradeId"] = outcome.new_trade_id
    if outcome.is_half_done:
        listed["reopened"] = False
    if outcome.error is not None:
        listed["error"] = outcome.error
    return _with_dropped(listed, outcome)


def dropped(outcome: GroupOutcome) -> dict[str, str]:
    """Return the stop loss and take profit that a remainder was to have and was opened without, by name, and why."""
    found = {}
    for step in outcome.steps:
        decided = outcome.group.actions[step.step_index]
        for name in ("stoploss", "takeprofit") if step.status == "confirmed" else ():
            value = getattr(decided, name, None)
            if value is not None and getattr(step.action, name) is None:
                found[name] = f"{value} was no longer valid at the price at which the remainder was opened"
    return found


def _with_dropped(facts: dict[str, Any], outcome: GroupOutcome) -> dict[str, Any]:
    lost, before = dropped(outcome), facts.get("dropped")
    return {**facts, "dropped": {**(before if isinstance(before, Mapping) else {}), **lost}} if lost else facts


def _entries(subject: Subject, outcomes: Iterable[GroupOutcome]) -> tuple[Entry, ...]:
    """Return what the TradeLog does not have yet: nothing that was told before a person's retry counts twice."""
    return tuple(_entry(subject, outcome) for outcome in outcomes if not outcome.is_told)


def _entry(subject: Subject, outcome: GroupOutcome) -> Entry:
    error = outcome.error
    done = [step for step in outcome.steps if step.status == "confirmed" and not step.is_told]
    return Entry(
        user_id=subject.run.user_id,
        automation_id=subject.run.automation_id,
        trade_id=outcome.new_trade_id or outcome.group.trade_id or "",
        status="success" if outcome.status == "completed" else _log_status(error or {}),
        action=outcome.group.action,
        pnl=_sum(_pnl(step) for step in done),
        amount=_amount(done),
        price=_price(done),
        error_message=None if error is None else str(error.get("message")),
    )


def _failure_entry(subject: Subject, action: str | None, error: Mapping[str, Any]) -> Entry:
    return Entry(
        user_id=subject.run.user_id,
        automation_id=subject.run.automation_id,
        trade_id=subject.run.trade_id or "",
        status=_log_status(error),
        action=action or subject.automation_type,
        error_message=str(error.get("message")),
    )


def _log_status(error: Mapping[str, Any]) -> TradeLogStatus:
    code = str(error.get("code", ""))
    return "exchange_error" if code in EXCHANGE_CODES or code.startswith("exchange_") else "app_error"


def _pnl(step: LedgerAction) -> int | None:
    if isinstance(step.action, CrossAction):
        return realised(step)[0]
    return step.answer.get("pl") if step.answer and isinstance(step.action, ClosePosition) else None


def _sum(values: Any) -> int | None:
    known = [int(value) for value in values if value is not None]
    return sum(known) if known else None


def _amount(done: Sequence[LedgerAction]) -> int | None:
    """Sats that were moved: the margin that was added, or that of the trade or part that was opened or closed."""
    for step in reversed(done):
        if isinstance(step.action, (AddMargin, CashIn)):
            return step.action.amount
        if step.answer and isinstance(step.action, (OpenPosition, ClosePosition)):
            return int(step.answer["margin"])
        if isinstance(step.action, CrossAction):
            return _sum(realised(one)[1] for one in done)
    return None


def _price(done: Sequence[LedgerAction]) -> Decimal | None:
    """USD: the price that was paid or got, or the level that was set."""
    for step in reversed(done):
        value = getattr(step.action, "value", None)
        if value is not None:
            return Decimal(value)
        answer = step.answer or {}
        names = ("exitPrice",) if isinstance(step.action, ClosePosition) else ("entryPrice", "price")
        found = next((answer[name] for name in names if answer.get(name)), None)
        if found is not None:
            return Decimal(found)
    return None
