"""Candles: what prices have been, against a reckoning that keeps everything."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.server.market import RANGES, Candles
from axisor_paper_exchange.server.market.candles import KEPT

MINUTE = 60_000
DAY = 1440 * MINUTE
BEGIN = int(datetime(2026, 1, 14, 12, 34, tzinfo=UTC).timestamp()) * 1000
MINUTES = {"1m": 1, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "45m": 45, "1h": 60, "2h": 120, "3h": 180}

moves = st.lists(st.tuples(st.integers(0, 3 * 60 * MINUTE), st.integers(1, 200_000), st.integers(0, 9)), max_size=30)


def all_of(candles: Candles, name: str, now: int) -> list[Any]:
    rows, following = candles.page(name, now, since=None, until=None, before=None, limit=10**6)
    assert following is None
    return rows


@given(moves, st.sampled_from(list(MINUTES)), st.integers(0, 5 * 60 * MINUTE))
def test_candles_are_what_the_prices_were(moves: list[tuple[int, int, int]], name: str, rest: int) -> None:
    length = MINUTES[name] * MINUTE
    candles, now, path = Candles(1000, BEGIN), BEGIN, [(BEGIN, 1000, 0)]
    for after, price, volume in moves:
        now += after
        candles.record(price, now, Decimal(volume))
        path.append((now, price, volume))
    now += rest
    expected = []
    last = 1000
    for start in range(BEGIN // length * length, now + 1, length):
        within = [(price, volume) for at, price, volume in path if start <= at < start + length]
        prices = [last, *(price for price, _ in within)]
        last = prices[-1]
        expected.append((start, prices[0], max(prices), min(prices), last, sum(volume for _, volume in within)))
    shown = [(row.time, row.open, row.high, row.low, row.close, row.volume) for row in all_of(candles, name, now)]
    assert shown == expected[::-1]


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("4h", ["2026-01-14T12:00", "2026-01-14T16:00"]),
        ("1d", ["2026-01-14T00:00", "2026-01-15T00:00"]),
        ("1w", ["2026-01-12T00:00", "2026-01-19T00:00"]),
        ("1month", ["2026-01-01T00:00", "2026-02-01T00:00"]),
        ("3months", ["2026-01-01T00:00", "2026-04-01T00:00"]),
    ],
)
def test_when_candles_begin(name: str, starts: list[str]) -> None:
    candles = Candles(1000, BEGIN)
    ends = [int(datetime.fromisoformat(start + "+00:00").timestamp()) * 1000 for start in starts]
    assert [row.time for row in all_of(candles, name, ends[1] - 1)] == ends[:1]
    assert [row.time for row in all_of(candles, name, ends[1])] == ends[::-1]


def test_months_over_the_end_of_a_year() -> None:
    december = int(datetime(2025, 12, 31, 23, 59, tzinfo=UTC).timestamp()) * 1000
    candles = Candles(1000, december)
    times = [datetime.fromtimestamp(row.time / 1000, UTC) for row in all_of(candles, "1month", december + 40 * DAY)]
    assert [(time.year, time.month, time.day) for time in times] == [(2026, 2, 1), (2026, 1, 1), (2025, 12, 1)]


def test_pages() -> None:
    candles = Candles(1000, BEGIN)
    now = BEGIN + 10 * MINUTE
    seen: list[int] = []
    before = None
    while True:
        rows, before = candles.page("1m", now, since=None, until=None, before=before, limit=4)
        seen += [row.time for row in rows]
        if before is None:
            break
    assert seen == [BEGIN + minute * MINUTE for minute in range(10, -1, -1)]
    rows, following = candles.page("1m", now, since=BEGIN + 2 * MINUTE, until=BEGIN + 5 * MINUTE, before=None, limit=3)
    assert [row.time for row in rows] == [BEGIN + minute * MINUTE for minute in (5, 4, 3)]
    assert following == BEGIN + 3 * MINUTE
    rows, following = candles.page("1m", now, since=BEGIN + 2 * MINUTE, until=None, before=following, limit=3)
    assert ([row.time for row in rows], following) == ([BEGIN + 2 * MINUTE], None)


@pytest.mark.parametrize("name", RANGES)
def test_candles_are_bounded(name: str) -> None:
    candles = Candles(1000, BEGIN)
    for year in range(1, 4):
        candles.record(1000 + year, BEGIN + year * 365 * DAY, Decimal(0))
    rows = all_of(candles, name, BEGIN + 4 * 365 * DAY)
    assert len(rows) <= 2 * KEPT
    assert (rows[0].open, rows[0].close) == (1003, 1003)


def test_the_price_at_an_instant() -> None:
    candles = Candles(1000, BEGIN)
    candles.record(2000, BEGIN + 5 * MINUTE, Decimal(0))
    candles.record(3000, BEGIN + 9 * MINUTE, Decimal(0))
    for minute, price in ((-5, 1000), (0, 1000), (5, 1000), (6, 2000), (9, 2000), (10, 3000), (5000, 3000)):
        assert candles.price_at(BEGIN + minute * MINUTE) == price, minute
