"""One pass over several trades: each its own group, the nearest to its liquidation first, one budget for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from axisor_executor.automation import AccountContext, Act, Decision, Group, Wait, jsonable, wait
from axisor_executor.errors import AxisorError, NotFound, StaleData
from axisor_executor.exchange.base import Trade
from axisor_margin_guard import plan, rules
from axisor_margin_guard.config import MarginGuardConfig

Context = AccountContext[MarginGuardConfig]


@dataclass(frozen=True, slots=True)
class Failure:
    """A trade that nothing could be decided on."""

    trade_id: str
    error: AxisorError


def scan(context: Context) -> Decision:
    """Decide about every running trade in the config's scope.

    One bad trade doesn't stop the pass: it is listed as failed, the others are acted on. Only when nothing is to be
    acted on does the failure become the run's own error, so that it is never taken for "not at risk".

    Raises:
        StaleData, Refused, NotFound: nothing to act on and a trade that can't be decided on; ``details`` list all.
    """
    running, others, failures = _in_scope(context)
    acting: list[Group] = []
    waiting: list[Group] = []
    if running:
        at_risk, waiting, invalid = _assessed(context, running)
        acting, refused = _planned(context, at_risk)
        failures = [*refused, *invalid, *failures]
    failed = [_failed(context, failure) for failure in failures]
    groups = (*acting, *failed, *waiting, *others)
    if acting:
        return Act(groups, context.job.action, lists_trades=True)
    if failures:
        raise _as_error(failures, groups)
    return _nothing_to_do(context, groups, any_running=bool(running))


def _in_scope(context: Context) -> tuple[list[Trade], list[Group], list[Failure]]:
    """Return the running trades in scope, what to list of the others, and the ids that this account doesn't have."""
    if context.config.scope == "all":
        return list(context.running_trades()), [], []
    running: list[Trade] = []
    others: list[Group] = []
    missing: list[Failure] = []
    for trade_id in dict.fromkeys(context.current_id(named) for named in context.config.selected_positions):
        trade = context.find_trade(trade_id)
        if trade is None:
            error = NotFound(f"Trade {trade_id} not found on account {context.account.name}", code="trade_not_found")
            missing.append(Failure(trade_id, error))
        elif trade.state == "running":
            running.append(trade)
        else:
            others.append(_not_running(context, trade))
    return running, others, missing


def _not_running(context: Context, trade: Trade) -> Group:
    """Return the listing of a selected trade with nothing to guard: over, or an order that is not filled yet."""
    if trade.state == "open":
        facts: dict[str, Any] = {"state": trade.state, "reason": "trade_not_running"}
        return Group(context.job.action, trade_id=trade.id, status="pending", facts=facts)
    facts = {"state": trade.state, "alreadyClosed": True}
    return Group(context.job.action, trade_id=trade.id, status="completed", facts=facts)


def _assessed(context: Context, running: Sequence[Trade]) -> tuple[list[Trade], list[Group], list[Failure]]:
    """Return the trades at risk, nearest to their liquidation first, the listing of the others, and bad ones."""
    threshold = context.config.margin_threshold
    assert threshold is not None  # the config's validation
    price = context.price()
    at_risk: list[Trade] = []
    waiting: list[Group] = []
    failures: list[Failure] = []
    for trade in running:
        try:
            risk = plan.assess(trade, price, threshold)
        except AxisorError as error:
            failures.append(Failure(trade.id, error))
            continue
        if risk.at_risk:
            at_risk.append(trade)
        else:
            waiting.append(Group(context.job.action, trade_id=trade.id, status="pending", facts=risk.facts))
    at_risk.sort(key=lambda trade: rules.distance_to_liquidation(trade.side, price, trade.liquidation))
    return at_risk, waiting, failures


def _planned(context: Context, at_risk: Sequence[Trade]) -> tuple[list[Group], list[Failure]]:
    """Return a group for each trade, all together within the balance, and those that were refused."""
    config = context.config
    available = context.balance() if at_risk and plan.needs_balance(config) else 0
    groups: list[Group] = []
    refused: list[Failure] = []
    for trade in at_risk:
        try:
            planned = plan.plan(trade, config, context.price(), available)
        except AxisorError as error:
            refused.append(Failure(trade.id, error))
        else:
            groups.append(planned.group)
            available -= planned.spends
    return groups, refused


def _failed(context: Context, failure: Failure) -> Group:
    facts = {"error": failure.error.as_dict()}
    return Group(context.job.action, trade_id=failure.trade_id, status="failed", facts=facts)


def _as_error(failures: Sequence[Failure], groups: Sequence[Group]) -> AxisorError:
    """Return the error of a pass in which nothing can be done: one that may pass by itself goes first."""
    first = min(failures, key=lambda failure: not isinstance(failure.error, StaleData)).error
    more = len(failures) - 1
    return type(first)(
        first.message + (f" (and {more} more of the trades in scope failed)" if more else ""),
        code=first.code,
        status=first.status,
        details={**first.details, "trades": jsonable(_listing(groups))},
    )


def _nothing_to_do(context: Context, groups: Sequence[Group], *, any_running: bool) -> Act | Wait:
    trades = _listing(groups)
    if any_running:
        return wait("margin_threshold_not_reached", currentPrice=context.price(), trades=trades)
    if not groups or any(group.status == "pending" for group in groups):
        return wait("no_running_trades", trades=trades)
    return Act(tuple(groups), context.job.action, lists_trades=True)


def _listing(groups: Sequence[Group]) -> list[Mapping[str, Any]]:
    return [
        {"tradeId": group.trade_id, "status": group.status, "action": group.action, **group.facts} for group in groups
    ]
