"""The decision: is there a place, is the price reached, does the protection fit.

An entry takes one call of the account's rate budget, the order itself: whether the balance covers it, the exchange says
in its answer to that.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from axisor_auto_entry import rules
from axisor_auto_entry.config import AutoEntryConfig
from axisor_executor.automation import AccountContext, Decision, OpenPosition, Wait, act, jsonable, wait
from axisor_executor.errors import Refused

LISTED_LATE = timedelta(minutes=1)
"""For how long a trade that was opened may not stand in the exchange's lists yet."""

Context = AccountContext[AutoEntryConfig]


def decide(context: Context) -> Decision:
    """Wait for a free place and the price, then open.

    Raises:
        Refused: ``stoploss_invalid`` or ``takeprofit_invalid``; nothing was sent.
        StaleData: a trigger or protection needs the last price, and it is too old, missing or not positive.
    """
    config = context.config
    waiting = _places_taken(context) or _price_not_reached(context)
    if waiting is not None:
        return waiting
    limit = config.trigger_price if config.trigger_type == "limit" else None
    _check_protection(context, limit)
    return act(_order(config, limit), name="auto_entry_executed", facts=_facts(config))


def _places_taken(context: Context) -> Wait | None:
    most = context.config.max_open_trades
    if most is None:
        return None
    taken = len(context.own_trades())
    if taken < most:
        taken += _not_listed_yet(context)
    return wait("max_open_trades_reached", openTrades=taken, maxOpenTrades=most) if taken >= most else None


def _not_listed_yet(context: Context) -> int:
    """Return how many trades this automation has just opened that the exchange shows nowhere, as lists may lag."""
    listed = {trade.id for trade in context.own_trades()}
    opened = (one.trade_id for one in context.own_entries(context.now - LISTED_LATE) if one.trade_id is not None)
    return sum(
        context.current_id(trade_id) not in listed and context.finished_trade(trade_id) is None for trade_id in opened
    )


def _price_not_reached(context: Context) -> Wait | None:
    config = context.config
    if config.trigger_price is None or config.trigger_type == "limit":
        return None
    price = context.price()
    if rules.is_triggered(config.side, price, config.trigger_price):
        return None
    return wait("price_not_triggered", currentPrice=price, triggerPrice=config.trigger_price)


def _check_protection(context: Context, limit: Decimal | None) -> None:
    """Refuse a stop loss or take profit that the exchange would refuse at a price the trade may start from."""
    config = context.config
    if config.stoploss is None and config.takeprofit is None:
        return
    for entry in rules.possible_entries(config.side, context.price(), limit):
        problem = rules.protection_problem(
            config.side,
            stoploss=config.stoploss,
            takeprofit=config.takeprofit,
            quantity=config.quantity,
            entry_price=entry,
            leverage=config.leverage,
        )
        if problem is not None:
            name, reason = problem
            details = {"expectedEntryPrice": jsonable(entry)}
            raise Refused(f"Entering at {entry}: {reason}", code=f"{name}_invalid", details=details)


def _order(config: AutoEntryConfig, limit: Decimal | None) -> OpenPosition:
    return OpenPosition(
        side=config.side,
        quantity=config.quantity,
        leverage=config.leverage,
        type="market" if limit is None else "limit",
        price=limit,
        stoploss=config.stoploss,
        takeprofit=config.takeprofit,
    )


def _facts(config: AutoEntryConfig) -> dict[str, Any]:
    """Return the result's facts; the side in the letter that the monolith reads."""
    return {
        "side": "b" if config.side == "buy" else "s",
        "quantity": config.quantity,
        "leverage": config.leverage,
        "market": config.market,
    }
