"""The rules of an auto entry: plain values in, plain values out.

Prices are USD per BTC, quantities whole USD. A ``side`` of ``buy`` opens a long.
"""

from __future__ import annotations

from decimal import Decimal

from axisor_executor import arithmetic
from axisor_executor.exchange.base import Side


def is_triggered(side: Side, price: Decimal, trigger: Decimal) -> bool:
    """Return whether the market is as good as ``trigger`` or better: at or below it to buy, at or above to sell."""
    return price <= trigger if side == "buy" else price >= trigger


def possible_entries(side: Side, price: Decimal, limit: Decimal | None) -> tuple[Decimal, ...]:
    """Return the prices a trade may start from: the market, or a limit order's own price.

    A limit order that the market has passed already (a buy above the last price) may fill at the market at once or
    rest until the price comes back to it, so both count.
    """
    if limit is None:
        return (price,)
    return (limit, price) if limit != price and is_triggered(side, price, limit) else (limit,)


def protection_problem(
    side: Side,
    *,
    stoploss: Decimal | None,
    takeprofit: Decimal | None,
    quantity: int,
    entry_price: Decimal,
    leverage: Decimal,
) -> tuple[str, str] | None:
    """Return what the exchange would refuse of a new trade: ``"stoploss"`` or ``"takeprofit"``, and why.

    The stop loss must lie between liquidation and entry, the take profit beyond the entry.
    """
    if takeprofit is not None:
        problem = arithmetic.takeprofit_problem(side, takeprofit, market=entry_price, entry_price=entry_price)
        if problem:
            return "takeprofit", problem
    if stoploss is not None:
        liquidation = arithmetic.liquidation(side, quantity, entry_price, leverage)
        problem = arithmetic.stoploss_problem(side, stoploss, market=entry_price, liquidation=liquidation)
        if problem:
            return "stoploss", problem
    return None
