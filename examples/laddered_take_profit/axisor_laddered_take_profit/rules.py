"""The rules of the ladder: plain values in, plain values out.

Prices are USD per BTC, quantities whole USD, shares percent; the leverage is a factor. A ``side`` of ``buy`` is a long.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from axisor_executor.exchange.base import Side


def price_of_pnl(side: Side, entry: Decimal, leverage: Decimal | Fraction, percent: Decimal) -> Fraction | None:
    """Return the price at which the P&L is ``percent`` of the margin; ``None`` where no price is high enough.

    With the leverage l and x = percent / 100 / l: a long's entry / (1 - x), a short's entry / (1 + x). A long of an
    inverse future gains less than its whole worth, so x must stay below 1.
    """
    gained = Fraction(percent) / 100 / Fraction(leverage)
    if side == "sell":
        return Fraction(entry) / (1 + gained)
    return Fraction(entry) / (1 - gained) if gained < 1 else None


def is_in_profit(side: Side, entry: Decimal, price: Decimal) -> bool:
    """Return whether a trade from ``entry`` has gained at ``price``."""
    return price > entry if side == "buy" else price < entry


def is_reached(side: Side, price: Decimal, place: Fraction | None) -> bool:
    """Return whether the market has come to a rung's place: at or above it for a long, at or below for a short."""
    if place is None:
        return False
    return price >= place if side == "buy" else price <= place


def shown(side: Side, place: Fraction) -> Decimal:
    """Return a place that is not reached to the cent, rounded away from the market: it never reads as reached."""
    cents = -(-place * 100 // 1) if side == "buy" else place * 100 // 1
    return Decimal(cents).scaleb(-2)


def quantity_left(original: int, sold_percent: Decimal) -> int:
    """Return what is left of ``original`` USD when so much of it is sold; what is sold is rounded down to whole USD."""
    sold = original * Fraction(sold_percent) / 100
    return original - sold.numerator // sold.denominator
