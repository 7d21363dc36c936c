"""The decision: which trades, is it time, and where would the stop loss be."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation import AccountContext, Act, Decision, Group, SetStopLoss, act, jsonable, wait
from axisor_executor.errors import Refused, StaleData
from axisor_executor.exchange.base import Trade
from axisor_trailing_stop import rules
from axisor_trailing_stop.config import TrailingStopConfig

Context = AccountContext[TrailingStopConfig]
ACTION = "move_stoploss"


def decide(context: Context) -> Decision:
    """Move the stop loss of the job's trade, or of every running trade.

    Raises:
        NotFound: ``trade_not_found``: no such trade on this account.
        InvalidJob: ``trade_id_missing``: neither the job nor a scope says which trade.
        Refused: ``trade_not_running``: the trade is an order that is not filled.
        StaleData: price, margin or liquidation can't be right.
    """
    return _follow_all(context) if context.config.scope == "all" else _follow_one(context)


def _follow_one(context: Context) -> Decision:
    trade = context.trade()
    if trade.state != "running":
        return _not_running(trade)
    group = _group(trade, context.price(), context.config)
    if not group.actions:
        reason = str(group.facts["reason"])
        return wait(reason, tradeId=trade.id, **{key: group.facts[key] for key in group.facts if key != "reason"})
    return Act((group,), ACTION, facts=group.facts)


def _not_running(trade: Trade) -> Act:
    if trade.state == "open":
        raise Refused(
            f"Trade {trade.id} is an order that is not filled: there is nothing to trail yet",
            code="trade_not_running",
            details={"tradeId": trade.id, "state": trade.state},
        )
    return act(name=ACTION, trade_id=trade.id, facts={"alreadyClosed": True, "state": trade.state})


def _follow_all(context: Context) -> Decision:
    """Decide about every running trade; one that can't be decided on is listed as failed and stops no other.

    Raises:
        StaleData: nothing is to be moved, and not all trades could be decided on.
    """
    trades = context.running_trades()
    if not trades:
        return wait("no_running_trades")
    price = context.price()
    groups: list[Group] = []
    failures: list[StaleData] = []
    for trade in trades:
        try:
            groups.append(_group(trade, price, context.config))
        except StaleData as error:
            failures.append(error)
            groups.append(Group(ACTION, trade_id=trade.id, status="failed", facts={"error": error.as_dict()}))
    if any(group.actions for group in groups):
        return Act(tuple(groups), ACTION, lists_trades=True)
    if failures:
        first = failures[0]
        raise StaleData(first.message, code=first.code, details={"trades": jsonable(_listing(groups))})
    return wait("stoploss_kept", currentPrice=price, trades=_listing(groups))


def _listing(groups: list[Group]) -> list[Mapping[str, Any]]:
    return [
        {"tradeId": group.trade_id, "status": group.status, "action": group.action, **group.facts} for group in groups
    ]


def _group(trade: Trade, price: Decimal, config: TrailingStopConfig) -> Group:
    """Return what is to be done with one running trade; without actions, why it is left alone.

    Raises:
        StaleData: the trade has values that no real one has (``trade_invalid``).
    """
    if trade.margin <= 0 or trade.liquidation <= 0:
        raise StaleData(
            f"Trade {trade.id} can't have a margin of {trade.margin} sats and a liquidation at {trade.liquidation}",
            code="trade_invalid",
            details={"tradeId": trade.id},
        )
    if trade.stoploss_trailing_distance is not None and not config.replace_exchange_trailing:
        return _left(trade, "exchange_trailing_stop", trailingDistance=trade.stoploss_trailing_distance)
    if not rules.is_activated(trade.pl, trade.margin, config.activation_pnl_percent):
        return _left(
            trade,
            "not_activated",
            currentPnlPercent=rules.pnl_percent(trade.pl, trade.margin),
            activationPnlPercent=config.activation_pnl_percent,
        )
    stop = rules.behind(trade.side, price, rules.distance(price, config.distance_percent, config.distance_usd))
    about = {"currentPrice": price, "stoploss": trade.stoploss}
    if not rules.improves(trade.side, stop, trade.stoploss, price * config.min_step_percent / 100):
        return _left(trade, "stoploss_kept", **about, trailedStoploss=stop)
    problem = arithmetic.stoploss_problem(
        trade.side, stop, market=price, liquidation=trade.liquidation, takeprofit=trade.takeprofit
    )
    if problem:
        return _left(trade, "stoploss_not_possible", **about, trailedStoploss=stop, problem=problem)
    facts: dict[str, Any] = {"stoploss": stop, "previousStoploss": trade.stoploss, "currentPrice": price}
    if trade.stoploss_trailing_distance is not None:
        facts["replacedTrailingDistance"] = trade.stoploss_trailing_distance
    return Group(ACTION, (SetStopLoss(trade.id, stop),), trade.id, facts=facts)


def _left(trade: Trade, reason: str, **facts: Any) -> Group:
    return Group(ACTION, trade_id=trade.id, status="pending", facts={"reason": reason, **facts})
