"""The decision: which trade, are the conditions met, what is set or closed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from axisor_executor import arithmetic
from axisor_executor.automation import (
    AccountContext,
    Act,
    Action,
    ClosePosition,
    Decision,
    SetStopLoss,
    SetTakeProfit,
    Wait,
    act,
    wait,
)
from axisor_executor.errors import NotFound, Refused, StaleData
from axisor_executor.exchange.base import Trade
from axisor_tp_sl import rules
from axisor_tp_sl.config import TpSlConfig

Context = AccountContext[TpSlConfig]


def decide(context: Context) -> Decision:
    """Wait for the conditions, then update or close.

    Raises:
        NotFound: ``trade_not_found``: no such trade on this account, or none running.
        Refused: ``trade_ambiguous``, ``trade_not_running``, ``takeprofit_invalid`` or ``stoploss_invalid``.
        StaleData: price, margin, entry or liquidation can't be right.
    """
    trade = _the_trade(context)
    if trade.state != "running":
        return _not_running(context, trade)
    unmet = _first_unmet(context, trade)
    if unmet is not None:
        return unmet
    if context.config.action == "update_tp":
        return _update_takeprofit(context, trade)
    if context.config.action == "update_sl":
        return _update_stoploss(context, trade)
    return _executed(context, trade, ClosePosition(trade.id))


def _the_trade(context: Context) -> Trade:
    """Return the job's trade, or the one running trade; never one of several."""
    if context.job.trade_id is not None:
        return context.trade()
    running = context.running_trades()
    if not running:
        raise NotFound(
            f"No running trade on account {context.account.name}, and the job names none", code="trade_not_found"
        )
    if len(running) > 1:
        ids = [trade.id for trade in running]
        raise Refused(
            f"{len(ids)} trades are running on account {context.account.name}: {', '.join(ids)};"
            " name one of them as tradeId",
            code="trade_ambiguous",
            details={"tradeIds": ids},
        )
    return running[0]


def _not_running(context: Context, trade: Trade) -> Act:
    """Report the close of a trade that is over as done already; refuse everything else."""
    if context.config.action in ("close_tp", "close_sl") and trade.state in ("closed", "canceled"):
        return _executed(context, trade, alreadyClosed=True, state=trade.state)
    raise Refused(
        f"Trade {trade.id} is {trade.state}, not running: {context.config.action} needs a running trade",
        code="trade_not_running",
        details={"tradeId": trade.id, "state": trade.state},
    )


def _first_unmet(context: Context, trade: Trade) -> Wait | None:
    """Return what to wait for, ``None`` when every condition holds."""
    config = context.config
    about = {"tradeId": trade.id, "action": config.action}
    if config.trigger_price is not None:
        price = context.price()
        in_favour = config.action != "close_sl"
        if not rules.price_reached(trade.side, price, config.trigger_price, in_favour=in_favour):
            return wait("price_not_triggered", **about, currentPrice=price, triggerPrice=config.trigger_price)
    trigger = config.trigger_pnl_percentage
    if trigger is not None:
        if trade.margin <= 0:
            raise StaleData(f"Trade {trade.id} has a margin of {trade.margin} sats", code="margin_invalid")
        if not rules.pnl_reached(trade.pl, trade.margin, trigger):
            return wait(
                "pnl_not_triggered",
                **about,
                currentPnlPercentage=rules.pnl_percentage(trade.pl, trade.margin, trigger),
                triggerPnlPercentage=trigger,
            )
    return None


def _update_takeprofit(context: Context, trade: Trade) -> Act:
    value = context.config.new_takeprofit
    assert value is not None  # the config's validation
    if trade.takeprofit == value:
        return _executed(context, trade, alreadySet=True, takeprofit=value)
    entry = _positive(trade, "entry price", trade.price if trade.entry_price is None else trade.entry_price)
    problem = arithmetic.takeprofit_problem(trade.side, value, market=context.price(), entry_price=entry)
    if problem:
        raise Refused(f"Trade {trade.id}: {problem}", code="takeprofit_invalid", details={"tradeId": trade.id})
    return _executed(
        context, trade, SetTakeProfit(trade.id, value), takeprofit=value, previousTakeprofit=trade.takeprofit
    )


def _update_stoploss(context: Context, trade: Trade) -> Act:
    value = context.config.new_stoploss
    assert value is not None  # the config's validation
    if trade.stoploss == value and trade.stoploss_trailing_distance is None:
        return _executed(context, trade, alreadySet=True, stoploss=value)
    problem = arithmetic.stoploss_problem(
        trade.side,
        value,
        market=context.price(),
        liquidation=_positive(trade, "liquidation", trade.liquidation),
        takeprofit=trade.takeprofit,
    )
    if problem:
        raise Refused(f"Trade {trade.id}: {problem}", code="stoploss_invalid", details={"tradeId": trade.id})
    return _executed(context, trade, SetStopLoss(trade.id, value), stoploss=value, previousStoploss=trade.stoploss)


def _positive(trade: Trade, what: str, value: Decimal) -> Decimal:
    if value <= 0:
        raise StaleData(f"Trade {trade.id}: the {what} is not positive: {value}", code="trade_invalid")
    return value


def _executed(context: Context, trade: Trade, *actions: Action, **facts: Any) -> Act:
    """Return the decision under the one name the result has for this type; ``result.action`` says which."""
    return act(*actions, name="tp_sl_executed", trade_id=trade.id, facts={"action": context.config.action, **facts})
