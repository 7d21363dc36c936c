"""The way through a candle: pessimistic about what is held."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from axisor_executor.backtest.candles import Candle
from axisor_executor.backtest.path import Path, corners
from axisor_executor.exchange.simulation import Exposure

ROSE = Candle(datetime(2026, 1, 1, tzinfo=UTC), *map(Decimal, (2, 9, 1, 8)))
FELL = ROSE._replace(open=Decimal(8), close=Decimal(2))
STAYED = ROSE._replace(close=Decimal(2))


@pytest.mark.parametrize(
    ("candle", "path", "long", "short", "first"),
    [
        (ROSE, "pessimistic", 100, 0, 1),
        (FELL, "pessimistic", 100, 0, 1),
        (ROSE, "pessimistic", 0, 100, 9),
        (FELL, "pessimistic", 100, 101, 9),
        (ROSE, "pessimistic", 0, 0, 1),
        (STAYED, "pessimistic", 50, 50, 1),
        (FELL, "pessimistic", 50, 50, 9),
        (FELL, "low-first", 0, 100, 1),
        (ROSE, "high-first", 100, 0, 9),
    ],
)
def test_which_extreme_comes_first(candle: Candle, path: Path, long: int, short: int, first: int) -> None:
    way = corners(candle, path, Exposure(long, short))
    assert way == (candle.open, first, 10 - first, candle.close)


@pytest.mark.parametrize(
    ("candle", "held", "long", "short", "first"),
    [
        (ROSE, Exposure(0, 0), 100, 0, 9),
        (FELL, Exposure(0, 0), 0, 100, 1),
        (ROSE, Exposure(50, 50), 100, 99, 9),
        (ROSE, Exposure(0, 0), 100, 100, 1),
        (ROSE, Exposure(1, 0), 100, 0, 1),
    ],
)
def test_an_order_that_waits_is_filled_late(candle: Candle, held: Exposure, long: int, short: int, first: int) -> None:
    """So that what it opens has not yet the better part of the candle before it."""
    assert corners(candle, "pessimistic", held, Exposure(long, short))[1] == first
    assert corners(candle, "low-first", held, Exposure(long, short))[1] == 1
