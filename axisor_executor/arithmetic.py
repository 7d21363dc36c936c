"""The arithmetic of an isolated LN Markets trade: inverse futures, USD quantity, margin in sats. All of it pure.

Units: quantities are whole USD, prices USD per BTC, margins, fees and P&L whole sats; leverage is a factor. Source of
the formulas: LN Markets REST API v3, "Trade arithmetic"; every result is exact before its one rounding. With
``S`` = 100 000 000 sats per BTC, a trade of ``q`` USD at price ``p`` is worth ``q*S/p`` sats.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from fractions import Fraction

from axisor_executor.exchange.base import FEE_RATE, PRICE_STEP, SATS_PER_BTC, Side

MIN_LEVERAGE = Decimal(1)
MAX_LEVERAGE = Decimal(100)
MIN_QUANTITY = 1
MAX_QUANTITY = 500_000
MAX_PRICE = Decimal(100_000_000)
NO_LIQUIDATION = MAX_PRICE
"""The liquidation price the exchange shows for a short that can't be liquidated."""
LEVERAGE_STEP = Decimal("0.01")


def notional(quantity: int, price: Decimal) -> Fraction:
    """Return what ``quantity`` USD are worth at ``price``, in sats, exact: ``q*S/p``."""
    _require_positive(quantity=quantity, price=price)
    return quantity * SATS_PER_BTC / Fraction(price)


def margin(quantity: int, price: Decimal, leverage: Decimal) -> int:
    """Return the margin in sats of a new trade: ``ceil(q*S/p/l)``."""
    _require_positive(leverage=leverage)
    return _ceil(notional(quantity, price) / Fraction(leverage))


def quantity_for_margin(margin_sats: int, price: Decimal, leverage: Decimal) -> int:
    """Return the USD quantity that a margin pays for: ``floor(margin*p*l/S)``; 0 if not even 1 USD."""
    _require_positive(margin=margin_sats, price=price, leverage=leverage)
    return _floor(margin_sats * Fraction(price) * Fraction(leverage) / SATS_PER_BTC)


def pl(side: Side, quantity: int, entry_price: Decimal, price: Decimal) -> int:
    """Return the P&L in sats at ``price``, floored: long ``q*S*(1/p_entry - 1/p_now)``, short the opposite."""
    gained = notional(quantity, entry_price) - notional(quantity, price)
    return _floor(gained if _is_long(side) else -gained)


def liquidation(side: Side, quantity: int, entry_price: Decimal, leverage: Decimal) -> Decimal:
    """Return the liquidation price of a new trade in USD per BTC, rounded to 0.5.

    Its margin is taken as ``floor(q*S/p/l)``; see :func:`liquidation_for_margin`.
    """
    _require_positive(leverage=leverage)
    margin_sats = _floor(notional(quantity, entry_price) / Fraction(leverage))
    return liquidation_for_margin(side, quantity, entry_price, margin_sats)


def liquidation_for_margin(side: Side, quantity: int, entry_price: Decimal, margin_sats: int) -> Decimal:
    """Return the price at which ``margin_sats`` are used up, rounded to 0.5.

    With ``c = margin/S/q``: long ``1/(1/p + c)``, short ``1/(1/p - c)``; a short that never gets there has
    :data:`NO_LIQUIDATION`.
    """
    worth = notional(quantity, entry_price)
    left = worth + margin_sats if _is_long(side) else worth - margin_sats
    if left <= 0:
        return NO_LIQUIDATION
    return min(_to_step(quantity * SATS_PER_BTC / left), NO_LIQUIDATION)


def leverage_for_margin(quantity: int, entry_price: Decimal, margin_sats: int) -> Fraction:
    """Return the leverage that a margin amounts to: ``q*S/p/margin``, exact (the exchange wants 1..100)."""
    _require_positive(margin=margin_sats)
    return notional(quantity, entry_price) / margin_sats


def max_margin(quantity: int, entry_price: Decimal) -> int:
    """Return the largest margin in sats that a trade may have: the leverage must stay at or above 1."""
    return _floor(notional(quantity, entry_price))


def order_leverage(leverage: Decimal) -> Decimal:
    """Return ``leverage`` as a new order takes it: within 1..100, at most two decimals, rounded down (less risk)."""
    cut = leverage.quantize(LEVERAGE_STEP, ROUND_DOWN)
    return min(max(leverage if leverage == cut else cut, MIN_LEVERAGE), MAX_LEVERAGE)


def trading_fee(quantity: int, price: Decimal, rate: Decimal = FEE_RATE) -> int:
    """Return the fee in sats for opening (at the entry price) or closing (at the exit price): ``floor(q*S/p*rate)``."""
    return _floor(notional(quantity, price) * Fraction(rate))


def maintenance_margin(side: Side, quantity: int, price: Decimal, leverage: Decimal, rate: Decimal = FEE_RATE) -> int:
    """Return the sats set aside for fees beside the margin: opening fee plus closing fee at the liquidation.

    Inferred from the reference point (1 USD at 100 000, leverage 100: margin 10, maintenance margin 2).
    """
    closes_at = liquidation(side, quantity, price, leverage)
    return trading_fee(quantity, price, rate) + trading_fee(quantity, closes_at, rate)


def entry_cost(side: Side, quantity: int, price: Decimal, leverage: Decimal, rate: Decimal = FEE_RATE) -> int:
    """Return the most that opening a trade takes from the balance, in sats: margin, opening fee, closing reserve.

    An upper bound: fees are rounded up, and the closing fee is that of the worse of entry and liquidation.
    """
    closes_at = min(price, liquidation(side, quantity, price, leverage))
    fees = _ceil(notional(quantity, price) * Fraction(rate)) + _ceil(notional(quantity, closes_at) * Fraction(rate))
    return margin(quantity, price, leverage) + fees


def closing_proceeds(quantity: int, price: Decimal, margin_sats: int, pl_sats: int, rate: Decimal = FEE_RATE) -> int:
    """Return the least that closing at ``price`` gives back, in sats: margin + P&L - closing fee (rounded up), or 0.

    A lower bound: what is left of the maintenance margin comes on top.
    """
    return max(margin_sats + pl_sats - _ceil(notional(quantity, price) * Fraction(rate)), 0)


def stoploss_problem(
    side: Side, value: Decimal, *, market: Decimal, liquidation: Decimal, takeprofit: Decimal | None = None
) -> str | None:
    """Return why the exchange would refuse this stop loss, ``None`` if it would take it.

    Long: ``liquidation <= stop loss < market`` and below the take profit; short mirrored.
    """
    name, word, beyond = ("long", "below", "below") if _is_long(side) else ("short", "above", "beyond")
    if not _ordered(side, value, market) or value == market:
        return f"the stop loss of a {name} must be {word} the market ({market}), got {value}"
    if not _ordered(side, liquidation, value):
        return f"a stop loss of {value} is {beyond} the {name}'s liquidation ({liquidation}): it would never trigger"
    if takeprofit is not None and (not _ordered(side, value, takeprofit) or value == takeprofit):
        return f"the stop loss of a {name} must be {word} its take profit ({takeprofit}), got {value}"
    return None


def takeprofit_problem(side: Side, value: Decimal, *, market: Decimal, entry_price: Decimal) -> str | None:
    """Return why the exchange would refuse this take profit, ``None`` if it would take it.

    Long: above entry and market; short: below both.
    """
    name, word = ("long", "above") if _is_long(side) else ("short", "below")
    for what, price in (("entry price", entry_price), ("market", market)):
        if not _ordered(side, price, value) or value == price:
            return f"the take profit of a {name} must be {word} the {what} ({price}), got {value}"
    return None


def _ordered(side: Side, worse: Decimal, better: Decimal) -> bool:
    """Whether the prices stand in this order from the trade's point of view (equal counts)."""
    return worse <= better if _is_long(side) else worse >= better


def _is_long(side: Side) -> bool:
    if side not in ("buy", "sell"):  # such as a config's "b": whatever is no long would be computed as a short
        raise ValueError(f"side must be 'buy' or 'sell', got {side!r}")
    return side == "buy"


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _to_step(price: Fraction) -> Decimal:
    """Round to the nearest step of 0.5, halves up."""
    return _floor(price / Fraction(PRICE_STEP) + Fraction(1, 2)) * PRICE_STEP


def _require_positive(**values: Decimal | int) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
