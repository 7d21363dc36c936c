"""The decision: is there a place, is the price reached, would the exchange take the order."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from axisor_auto_entry import rules
from axisor_auto_entry.config import AutoEntryConfig
from axisor_executor.automation import AccountContext, Decision, OpenPosition, Wait, act, jsonable, wait
from axisor_executor.errors import Refused

Context = AccountContext[AutoEntryConfig]


def decide(context: Context) -> Decision:
    """Wait for a free place and the price, then open.

    Raises:
        Refused: ``stoploss_invalid``, ``takeprofit_invalid`` or ``insufficient_balance``; nothing was sent.
        StaleData: the last price is too old, missing or not positive.
    """
    config = context.config
    waiting = _places_taken(context) or _price_not_reached(context)
    if waiting is not None:
        return waiting
    limit = config.trigger_price if config.trigger_type == "limit" else None
    entries = rules.possible_entries(config.side, context.price(), limit)
    _check_protection(config, entries)
    _check_balance(context, entries)
    return act(_order(config, limit), name="auto_entry_executed", facts=_facts(config))


def _places_taken(context: Context) -> Wait | None:
    most = context.config.max_open_trades
    if most is None:
        return None
    taken = len(context.own_trades())
    return wait("max_open_trades_reached", openTrades=taken, maxOpenTrades=most) if taken >= most else None


def _price_not_reached(context: Context) -> Wait | None:
    config = context.config
    if config.trigger_price is None or config.trigger_type == "limit":
        return None
    price = context.price()
    if rules.is_triggered(config.side, price, config.trigger_price):
        return None
    return wait("price_not_triggered", currentPrice=price, triggerPrice=config.trigger_price)


def _check_protection(config: AutoEntryConfig, entries: Sequence[Decimal]) -> None:
    """Refuse a stop loss or take profit that the exchange would refuse at a price the trade may start from."""
    for entry in entries:
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


def _check_balance(context: Context, entries: Sequence[Decimal]) -> None:
    config = context.config
    required = rules.cost(config.side, config.quantity, config.leverage, entries)
    available = context.balance()
    if required > available:
        raise Refused(
            f"Opening {config.quantity} USD at {config.leverage}x takes up to {required} sats (margin and fees), the"
            f" balance of account {context.account.name} is {available}",
            code="insufficient_balance",
            details={"required": required, "available": available},
        )


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
