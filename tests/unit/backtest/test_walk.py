"""The generator of candles: the same everywhere, and candles in every respect."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.backtest.candles import Candle, CandleFile
from axisor_executor.backtest.walk import lines, walk

START = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLES = Path(__file__).parents[3] / "docs" / "samples"


def walked(minutes: int = 100, *, seed: int = 4, price: str = "50000", volatility: str = "0.03") -> list[Candle]:
    made = walk(seed=seed, minutes=minutes, start=START, price=Decimal(price), volatility=Decimal(volatility))
    return list(made)


def test_it_makes_exactly_the_sample() -> None:
    sample = (SAMPLES / "two-days.csv").read_text(encoding="utf-8")
    assert "".join(f"{line}\n" for line in lines(iter(walked(2880)))) == sample
    assert len(sample) < 200_000


def test_what_it_makes_is_read_as_it_was() -> None:
    assert list(CandleFile(SAMPLES / "two-days.csv")) == walked(2880)


def test_another_seed_goes_another_way() -> None:
    assert walked(seed=1) != walked(seed=2)


def test_it_swings_as_far_as_it_is_told() -> None:
    candles = walked(1440 * 60, volatility="0.03")
    days = [candles[at].open for at in range(0, len(candles), 1440)]
    changes = [math.log(after / before) for before, after in pairwise(days)]
    assert 0.02 < statistics.stdev(changes) < 0.04, "60 days of a standard deviation of 3 percent"


@given(
    st.integers(0, 2**64),
    st.sampled_from(["0.5", "1", "50000.5", str(MAX_PRICE)]),
    st.sampled_from(["0", "0.03", "1", "20"]),
)
def test_they_are_candles(seed: int, price: str, volatility: str) -> None:
    candles = walked(30, seed=seed, price=price, volatility=volatility)
    assert candles[0].open == Decimal(price)
    for number, one in enumerate(candles):
        assert one.time == START + timedelta(minutes=number)
        assert 0 < one.low <= min(one.open, one.close) <= max(one.open, one.close) <= one.high <= MAX_PRICE
        assert all(value % Decimal("0.5") == 0 for value in one[1:])
    assert all(after.open == before.close for before, after in pairwise(candles))
    if volatility == "0":
        assert {value for one in candles for value in one[1:]} == {Decimal(price)}
