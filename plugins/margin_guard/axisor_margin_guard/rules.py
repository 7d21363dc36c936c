"""The rules of the margin guard: plain values in, plain values out.

Prices are USD per BTC, quantities whole USD, amounts whole sats, shares percent. A ``side`` of ``buy`` is a long.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from axisor_executor.exchange.base import Side, Trade


def entry_price(trade: Trade) -> Decimal:
    """Return a trade's entry price, or its order's price where the exchange gives none."""
    return trade.price if trade.entry_price is None else trade.entry_price


def liquidation_problem(side: Side, entry: Decimal, liquidation: Decimal) -> str | None:
    """Return why a liquidation can't be right: it must lie below a long's entry and above a short's."""
    if entry <= 0:
        return f"the entry price is not positive: {entry}"
    if liquidation <= 0:
        return f"the liquidation price is not positive: {liquidation}"
    if side == "buy" and liquidation >= entry:
        return f"the liquidation ({liquidation}) of a long is not below its entry ({entry})"
    if side == "sell" and liquidation <= entry:
        return f"the liquidation ({liquidation}) of a short is not above its entry ({entry})"
    return None


def trigger_price(side: Side, entry: Decimal, liquidation: Decimal, threshold: Decimal) -> Decimal:
    """Return the price from which a trade is at risk: ``threshold`` percent of the way to the liquidation.

    With D = abs(entry - liquidation) and a = D * (1 - threshold/100): liquidation + a for a long, liquidation - a for
    a short. Long 50 000, liquidation 40 000, 90 percent: 41 000.

    Raises:
        ValueError: the liquidation lies on the wrong side of the entry, so nothing can be said.
    """
    problem = liquidation_problem(side, entry, liquidation)
    if problem:
        raise ValueError(problem)
    left = abs(entry - liquidation) * (100 - threshold) / 100
    return liquidation + left if side == "buy" else liquidation - left


def is_at_risk(side: Side, price: Decimal, trigger: Decimal) -> bool:
    """Return whether the market has reached a trade's trigger price: at or below it for a long, else at or above."""
    return price <= trigger if side == "buy" else price >= trigger


def distance_to_liquidation(side: Side, price: Decimal, liquidation: Decimal) -> Decimal:
    """Return how far the market (USD) is from the liquidation; negative beyond it."""
    return price - liquidation if side == "buy" else liquidation - price


def reduced_quantity(quantity: int, percentage: Decimal) -> int:
    """Return how many USD to close, rounded up: the risk is reduced by at least what was asked for."""
    exact = quantity * Fraction(percentage) / 100
    return min(-(-exact.numerator // exact.denominator), quantity)
