"""The arithmetic of inverse futures, on integers only.

Quantities are whole USD, money is whole sats, leverage is a `Decimal`. Prices are *ticks* of half a dollar (50 000 USD
is 100 000 ticks), because the exchange quotes in steps of 0.5: every formula is then exact rational arithmetic that is
rounded once, at the end, in the direction that the exchange documents. Sides are +1 (long) and -1 (short).
"""

from __future__ import annotations

from decimal import Context, Decimal

__all__ = [
    "LONG",
    "MAX_PRICE",
    "SATS_PER_BTC",
    "SHORT",
    "cost",
    "entry_after_cash_in",
    "fee",
    "funding_fee",
    "leverage_of",
    "liquidation",
    "liquidation_margin",
    "margin_for",
    "nearest",
    "profit",
    "quantity_for",
    "ticks",
    "trailing_level",
    "usd",
    "worthless_at",
]

SATS_PER_BTC = 100_000_000
LONG = 1
SHORT = -1
MAX_PRICE = 200_000_000
"""The highest price in ticks (100 000 000 USD); the liquidation of a position that can't be liquidated."""

_LEVERAGE_DIGITS = Context(prec=17)


def ticks(price: Decimal) -> int | None:
    """Return a USD price in ticks, or None when it is no multiple of 0.5 within 0.5 .. 100 000 000 USD."""
    if not price.is_finite() or not 0 < price <= MAX_PRICE // 2:
        return None
    doubled = price * 2
    whole = int(doubled)
    return whole if whole == doubled else None


def usd(price: int) -> Decimal:
    """Return a price in ticks as USD."""
    return Decimal(price) / 2


def trailing_level(side: int, price: int, distance: Decimal) -> int:
    """Return the stop loss that trails a price at a fraction of it, rounded away from the price; 0 at the least."""
    numerator, denominator = distance.as_integer_ratio()
    if side == LONG:
        return max(0, price * (denominator - numerator) // denominator)
    return -(-price * (denominator + numerator) // denominator)


def margin_for(quantity: int, price: int, leverage: Decimal) -> int:
    """Return the margin in sats that `quantity` USD needs: ceil(q * S / p / l)."""
    numerator, denominator = leverage.as_integer_ratio()
    return -(-2 * quantity * SATS_PER_BTC * denominator // (price * numerator))


def quantity_for(margin: int, price: int, leverage: Decimal) -> int:
    """Return the quantity in USD that `margin` sats carry: floor(margin * p * l / S)."""
    numerator, denominator = leverage.as_integer_ratio()
    return margin * price * numerator // (2 * SATS_PER_BTC * denominator)


def liquidation_margin(quantity: int, price: int, leverage: Decimal) -> int:
    """Return the sats that a new position's liquidation price is reckoned from: floor(q * S / p / l).

    The margin itself is rounded up; the exchange understates it here, so that it liquidates a little early.
    """
    numerator, denominator = leverage.as_integer_ratio()
    return 2 * quantity * SATS_PER_BTC * denominator // (price * numerator)


def cost(side: int, quantity: int, entry: int, cashed_profit: int) -> tuple[int, int]:
    """Return the position's worth at entry in sats, as an exact fraction (numerator, denominator).

    Cashing in profit moves the entry price, which on an inverse future moves this worth by whole sats: keeping the
    original entry and the sats taken out keeps both exact.
    """
    return 2 * quantity * SATS_PER_BTC - side * cashed_profit * entry, entry


def entry_after_cash_in(side: int, quantity: int, entry: int, cashed_profit: int) -> int:
    """Return the entry price in ticks after `cashed_profit` sats of profit were taken out, to the nearest tick."""
    if not cashed_profit:
        return entry
    numerator, denominator = cost(side, quantity, entry, cashed_profit)
    return nearest(2 * quantity * SATS_PER_BTC * denominator, numerator)


def liquidation(side: int, quantity: int, entry: int, margin: int, cashed_profit: int = 0) -> int:
    """Return the liquidation price in ticks, to the nearest tick.

    Long 1 / (1/p + c), short 1 / max(1/p - c, 0), with c = margin / S / q; `MAX_PRICE` where there is none.
    """
    numerator, denominator = cost(side, quantity, entry, cashed_profit)
    return worthless_at(quantity, numerator + side * margin * denominator, denominator)


def worthless_at(quantity: int, numerator: int, denominator: int) -> int:
    """Return the price in ticks at which `quantity` USD are worth numerator / denominator sats, to the nearest tick.

    That is where a position has lost what backs it, when the sats are its worth at entry plus (long) or less (short)
    its margin. `MAX_PRICE` where there is no such price.
    """
    if numerator <= 0:
        return MAX_PRICE
    return max(1, min(MAX_PRICE, nearest(2 * quantity * SATS_PER_BTC * denominator, numerator)))


def profit(side: int, quantity: int, entry: int, price: int, cashed_profit: int = 0) -> int:
    """Return the profit or loss in sats between two prices, floored, less the profit already taken out."""
    return 2 * quantity * SATS_PER_BTC * side * (price - entry) // (entry * price) - cashed_profit


def leverage_of(numerator: int, denominator: int, margin: int) -> Decimal:
    """Return the leverage of `margin` sats on a position worth numerator / denominator sats (see `cost`)."""
    return _LEVERAGE_DIGITS.divide(Decimal(numerator), Decimal(denominator * margin))


def fee(quantity: int, price: int, rate: Decimal) -> int:
    """Return the trading fee in sats at a rate (0.001 is 0.1 %): floor(q * S / p * rate)."""
    numerator, denominator = rate.as_integer_ratio()
    return 2 * quantity * SATS_PER_BTC * numerator // (price * denominator)


def funding_fee(side: int, quantity: int, price: int, rate: Decimal) -> int:
    """Return what a position pays at a funding settlement, in sats; negative is what it receives.

    q * S / p * rate, to the nearest sat, halves away from zero: longs pay shorts while the rate is positive.
    """
    numerator, denominator = rate.as_integer_ratio()
    amount = nearest(2 * quantity * SATS_PER_BTC * abs(numerator), price * denominator)
    return side * amount if numerator > 0 else -side * amount


def nearest(numerator: int, denominator: int) -> int:
    """Divide two integers that are not negative, rounding half up."""
    return (2 * numerator + denominator) // (2 * denominator)
