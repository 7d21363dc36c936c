"""The way that the price takes through a candle: nobody knows which of its extremes came first."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, get_args

from axisor_executor.backtest.candles import Candle
from axisor_executor.exchange.simulation import Exposure

Path = Literal["pessimistic", "low-first", "high-first"]
PATHS: tuple[Path, ...] = get_args(Path)

NO_EXPOSURE = Exposure(0, 0)


def corners(
    candle: Candle, path: Path, exposure: Exposure, waiting: Exposure = NO_EXPOSURE
) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return open, the two extremes in their order, and close. ``waiting`` is what limit orders would open.

    ``pessimistic`` goes first to where the account loses: down where it holds more long than short, up where it
    holds more short, so that a stop loss and a liquidation come before a take profit. Where it holds as much on
    both sides or nothing, limit orders decide: up first where more would be bought, which is filled last then and
    has no profit of the same candle. Without those, a candle that rose (or stayed) goes down first, one that fell up.
    """
    if path == "pessimistic":
        if exposure.long != exposure.short:
            is_low_first = exposure.long > exposure.short
        elif waiting.long != waiting.short:
            is_low_first = waiting.long < waiting.short
        else:
            is_low_first = candle.close >= candle.open
    else:
        is_low_first = path == "low-first"
    first, second = (candle.low, candle.high) if is_low_first else (candle.high, candle.low)
    return candle.open, first, second, candle.close
