"""The rules of a trailing stop: plain values in, plain values out.

Prices and distances are USD per BTC, P&L and margin whole sats, shares percent. A ``side`` of ``buy`` is a long.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

from axisor_executor.exchange.base import PRICE_STEP, Side


def is_activated(pl: int, margin: int, from_percent: Decimal | None) -> bool:
    """Return whether the P&L has reached ``from_percent`` of the margin; without one it always has."""
    return from_percent is None or 100 * pl >= Fraction(from_percent) * margin


def pnl_percent(pl: int, margin: int) -> Decimal:
    """Return the P&L in percent of the margin, to two decimals; rounded down, so that it never reads as activated."""
    return Decimal(100 * pl * 100 // margin).scaleb(-2)


def distance(price: Decimal, percent: Decimal | None, usd: Decimal | None) -> Decimal:
    """Return how far behind ``price`` the stop is kept: the wider of the distances that are given."""
    return max(one for one in (None if percent is None else price * percent / 100, usd) if one is not None)


def behind(side: Side, price: Decimal, gap: Decimal) -> Decimal:
    """Return the stop that is ``gap`` behind ``price``, on a step of 0.5: rounded away from the market."""
    if side == "buy":
        return ((price - gap) / PRICE_STEP).to_integral_value(ROUND_FLOOR) * PRICE_STEP
    return ((price + gap) / PRICE_STEP).to_integral_value(ROUND_CEILING) * PRICE_STEP


def improves(side: Side, stop: Decimal, present: Decimal | None, min_step: Decimal) -> bool:
    """Return whether ``stop`` is better for the trade than the ``present`` one, by at least ``min_step`` (USD).

    Better is higher for a long, lower for a short. Any stop is better than none.
    """
    if present is None:
        return True
    gained = stop - present if side == "buy" else present - stop
    return gained > 0 and gained >= min_step
