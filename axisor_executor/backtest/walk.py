"""Candles out of chance: a seeded random walk, the same on every machine.

Whole numbers only: no floating point that a processor or library could round otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from math import isqrt
from random import Random

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.backtest.candles import Candle

STEPS = 6
"""Steps of the walk in a candle of one minute."""

_MINUTE = timedelta(minutes=1)
_STEPS_A_DAY = 1440 * STEPS
_FINE = 10**12
_BITS = 256
_DEVIATION = 8
"""Of the number of ones among that many random bits: a binomial distribution, as good as a normal one."""
_HALF = 2


def walk(*, seed: int, minutes: int, start: datetime, price: Decimal, volatility: Decimal) -> Iterator[Candle]:
    """Yield candles of one minute whose price walks at random from ``price`` (USD), without a trend.

    Args:
        seed: the same seed walks the same way.
        minutes: how many candles.
        start: when the first one begins.
        price: where it opens.
        volatility: standard deviation of a day's relative change; 0.03 is 3 percent.
    """
    chance = Random(seed)  # noqa: S311 - chance of a simulation, not a secret
    deviation = int(volatility * _FINE) // isqrt(_STEPS_A_DAY)
    least, most = _FINE, int(MAX_PRICE * _HALF) * _FINE
    at = int(price * _HALF) * _FINE
    for minute in range(minutes):
        prices = [_rounded(at)]
        for _ in range(STEPS):
            swing = (chance.getrandbits(_BITS).bit_count() - _BITS // 2) * deviation // _DEVIATION
            at = min(most, max(least, at + at * swing // _FINE))
            prices.append(_rounded(at))
        opened, high, low, close = prices[0], max(prices), min(prices), prices[-1]
        yield Candle(start + minute * _MINUTE, *(Decimal(one) / _HALF for one in (opened, high, low, close)))


def lines(candles: Iterator[Candle]) -> Iterator[str]:
    """Yield the lines of a CSV file, its header first. Nobody trades in a walk: the volume is 0."""
    yield "time,open,high,low,close,volume"
    for one in candles:
        time = one.time.isoformat(timespec="seconds").replace("+00:00", "Z")
        yield f"{time},{one.open},{one.high},{one.low},{one.close},0"


def _rounded(at: int) -> int:
    """Return the price in ticks of half a dollar."""
    return (at + _FINE // 2) // _FINE
