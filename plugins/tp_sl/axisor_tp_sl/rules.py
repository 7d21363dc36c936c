"""The conditions of a take profit / stop loss automation: plain values in, plain values out.

Prices are USD per BTC, P&L and margin whole sats, shares percent. A ``side`` of ``buy`` is a long.
"""

from __future__ import annotations

from decimal import Decimal

from axisor_executor.exchange.base import Side

_DECIMALS = 4


def price_reached(side: Side, price: Decimal, trigger: Decimal, *, in_favour: bool) -> bool:
    """Return whether the market has reached ``trigger``, coming in the trade's favour or against it.

    In favour of a long is at or above it, of a short at or below; against is the mirror image.
    """
    upwards = (side == "buy") == in_favour
    return price >= trigger if upwards else price <= trigger


def pnl_percentage(pl: int, margin: int, trigger: Decimal) -> Decimal:
    """Return the P&L in percent of the margin, ``100 * pl / margin``, to four decimals, for showing.

    Rounded away from a ``trigger`` that is not reached: down below one of 0 or more, up above a negative one, so that
    what is shown never reads as reached.

    Raises:
        ValueError: the margin is not positive, so there is no such share.
    """
    _require_margin(margin)
    scaled = 100 * pl * 10**_DECIMALS
    shown = scaled // margin if trigger >= 0 else -(-scaled // margin)
    return Decimal(shown).scaleb(-_DECIMALS)


def pnl_reached(pl: int, margin: int, percentage: Decimal) -> bool:
    """Return whether the P&L has reached ``percentage`` of the margin: a gain at or above, a loss at or below it.

    Compared exactly: ``100 * pl`` against ``percentage * margin``.

    Raises:
        ValueError: the margin is not positive.
    """
    _require_margin(margin)
    gained, wanted = Decimal(100 * pl), percentage * margin
    return gained >= wanted if percentage >= 0 else gained <= wanted


def _require_margin(margin: int) -> None:
    if margin <= 0:
        raise ValueError(f"the trade's margin is not positive: {margin}")
