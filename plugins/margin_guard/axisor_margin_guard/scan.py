"""One pass over several trades: each its own group, the nearest to its liquidation first, one budget for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axisor_executor.automation import Act, Decision, Group, Wait, jsonable, wait
from axisor_executor.errors import AxisorError, StaleData, Unavailable
from axisor_executor.exchange.base import Trade
from axisor_margin_guard import plan, rules
from axisor_margin_guard.scope import Context, Failure, in_scope, look_for


def scan(context: Context) -> Decision:
    """Decide about every running trade in the config's scope.

    One bad trade doesn't stop the pass: it is listed as failed, the others are acted on, and their groups stand in the
    order in which they would be liquidated (what limits spending holds back the last ones); one that is cooling down
    takes none of what there is to spend. Only when nothing is to be acted on does the failure of a running trade become
    the run's own error, so that it is never taken for "not at risk"; that of a selected trade which does not run does
    so only where none runs.

    Raises:
        StaleData, Refused, NotFound, ExchangeError: nothing to act on and a trade that can't be decided on; ``details``
            list all.
    """
    running, others = in_scope(context)
    acting: list[Group] = []
    cooling: list[Group] = []
    waiting: list[Group] = []
    failures: list[Failure] = []
    if running:
        at_risk, waiting, invalid = _assessed(context, running)
        due, cooling = _due(context, at_risk)
        acting, refused = _planned(context, due)
        failures = [*refused, *invalid]
    listed, not_found = look_for(context, others, guarding=bool(running))
    failed = [_failed(context, failure) for failure in (*failures, *not_found)]
    groups = (*acting, *failed, *cooling, *waiting, *listed)
    if acting:
        return Act(groups, context.job.action, lists_trades=True)
    if failures or (not_found and not running):
        raise _as_error([*failures, *not_found], groups)
    if cooling:
        return wait("cooldown", trades=_listing(groups))
    return _nothing_to_do(context, groups, any_running=bool(running))


def _assessed(context: Context, running: Sequence[Trade]) -> tuple[list[Trade], list[Group], list[Failure]]:
    """Return the trades at risk and the listing of the others, nearest to the liquidation first, and bad ones."""
    threshold = context.config.margin_threshold
    assert threshold is not None  # the config's validation
    price = context.price()
    at_risk: list[Trade] = []
    waiting: list[Group] = []
    failures: list[Failure] = []
    for trade in sorted(running, key=lambda one: rules.distance_to_liquidation(one.side, price, one.liquidation)):
        try:
            risk = plan.assess(trade, price, threshold)
        except AxisorError as error:
            failures.append(Failure(trade.id, error))
            continue
        if risk.at_risk:
            at_risk.append(trade)
        else:
            waiting.append(Group(context.job.action, trade_id=trade.id, status="pending", facts=risk.facts))
    return at_risk, waiting, failures


def _due(context: Context, at_risk: Sequence[Trade]) -> tuple[list[Trade], list[Group]]:
    """Return the trades that are to be acted on now, and the listing of those that are cooling down."""
    cooling = context.cooling_down() if at_risk else frozenset()
    facts = {"reason": "cooldown", "cooldownSeconds": context.config.cooldown_seconds}
    left_alone = [trade.id for trade in at_risk if trade.id in cooling]
    return (
        [trade for trade in at_risk if trade.id not in cooling],
        [Group(context.job.action, trade_id=one, status="pending", facts=facts) for one in left_alone],
    )


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
    first = min(failures, key=lambda failure: not isinstance(failure.error, (StaleData, Unavailable))).error
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
