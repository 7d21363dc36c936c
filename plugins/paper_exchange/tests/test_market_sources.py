"""Where prices come from: the CSV, the walk, the position in them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_paper_exchange.engine import FUNDING_PERIOD, MAX_PRICE
from axisor_paper_exchange.server.market import CsvError, Due, Feed, Fixed, Replay, Walk, parse_csv

HEADER = "time,open,high,low,close,volume\n"
MINUTE = 60_000
HOUR = 60 * MINUTE


def csv(*lines: str) -> str:
    return HEADER + "\n".join(lines) + "\n"


def steps(feed: Feed, last: int = 100_000) -> list[tuple[int, int]]:
    """Time and price of all steps that are left."""
    taken = []
    while (time := feed.due) is not None:
        last = feed.source.price(feed.position, last)
        taken.append((time, last))
        feed.stepped(time)
    return taken


def test_a_csv() -> None:
    text = csv("2026-01-01T00:00:00Z,50000,51000,49000,50500.5,12.5", "2026-01-01T00:01:00Z,50500,50500,50500,50500,")
    first, second = parse_csv(text)
    assert first == (1_767_225_600_000, 100_000, 102_000, 98_000, 101_001, Decimal("12.5"))
    assert (second.time - first.time, second.volume) == (MINUTE, 0)


@pytest.mark.parametrize(
    "time", ["2026-01-01T00:00:00", "2026-01-01T01:00:00+01:00", "2026-01-01", "1767225600", "1767225600000"]
)
def test_times_of_a_csv(time: str) -> None:
    assert parse_csv(csv(f"{time},1,1,1,1,0"))[0].time == 1_767_225_600_000


def test_columns_in_another_order_and_more_of_them() -> None:
    text = "Volume,close,low,high,open,time,trades\n3,50000.26,49000,51000,50000,0,17\n"
    assert parse_csv("\ufeff" + text) == ((0, 100_000, 102_000, 98_000, 100_001, Decimal(3)),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the header lacks time, open"),
        ("time,open,high,low,close\n", "line 1: the header lacks volume"),
        (HEADER, "holds no candles"),
        (csv("0,1,1,1,1"), "line 2: 5 fields where the header has 6"),
        (csv("yesterday,1,1,1,1,0"), "line 2: time 'yesterday'"),
        (csv("-5,1,1,1,1,0"), "line 2: time '-5'"),
        (csv("0,x,1,1,1,0"), "line 2: open 'x' is not a price"),
        (csv("0,1,1,1,0,0"), "line 2: close '0' is not a price"),
        (csv("0,1,1,1,nan,0"), "line 2: close 'nan' is not a price"),
        (csv("0,1,1,1e30,1,0"), "line 2: low '1e30' is not a price"),
        (csv("0,1,1,1,1,0", "0,1,1,1,1,0"), "line 3: its time is not after"),
        (csv("0,5,4,1,2,0"), "line 2: open and close must lie between low and high"),
        (csv("0,1,1,1,1,-1"), "line 2: volume '-1'"),
        (csv('0,"1'), "is no CSV"),
    ],
)
def test_csvs_that_are_refused(text: str, problem: str) -> None:
    with pytest.raises(CsvError, match=problem.replace("(", r"\(")):
        parse_csv(text)


def test_the_order_in_a_candle() -> None:
    rises, falls = "0,50000,52000,49000,51000,7", "60,51000,53000,50000,50500,9"
    feed = Feed.starting(Replay(csv(rises, falls)), now=99)
    assert feed.time == 0
    assert steps(feed) == [
        (0, 100_000),
        (19_999, 98_000),
        (39_999, 104_000),
        (59_999, 102_000),
        (60_000, 102_000),
        (79_999, 106_000),
        (99_999, 100_000),
        (119_999, 101_000),
    ]
    source = feed.source
    assert [source.volume(position) for position in range(8)] == [0, 0, 0, 7, 0, 0, 0, 9]


def test_a_lone_candle_takes_a_minute() -> None:
    assert steps(Feed.starting(Replay(csv("0,1,1,1,1,0")), now=0))[-1] == (59_999, 2)


@given(st.integers(1, MAX_PRICE), st.integers(0, 1000), st.integers(0, 10**9), st.integers(1, 86_400_000))
def test_a_walk_stays_within_the_prices_that_there_are(
    last: int, volatility: int, position: int, interval: int
) -> None:
    price = Walk(Decimal(volatility) / 100, interval, 1).price(position, last)
    assert 1 <= price <= MAX_PRICE


def test_a_walk_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def walk(seed: int) -> list[int]:
        source, last, prices = Walk(Decimal("0.03"), 1000, seed), 100_000, []
        for position in range(50):
            last = source.price(position, last)
            prices.append(last)
        return prices

    assert walk(1) == walk(1)
    assert walk(1) != walk(2)
    assert len(set(walk(1))) > 10


def test_a_walk_is_as_volatile_as_it_is_told_to_be() -> None:
    source = Walk(Decimal("0.03"), 86_400_000, 5)
    changes = [source.price(position, 10_000_000) / 10_000_000 - 1 for position in range(2000)]
    mean = sum(changes) / len(changes)
    deviation = (sum((change - mean) ** 2 for change in changes) / len(changes)) ** 0.5
    assert abs(mean) < 0.003
    assert 0.027 < deviation < 0.033


def test_no_volatility_is_no_change() -> None:
    assert Walk(Decimal(0), 1000, 1).price(3, 123_457) == 123_457


def test_what_comes_next() -> None:
    feed = Feed.starting(Walk(Decimal(1), 3 * HOUR, 0), now=FUNDING_PERIOD - 4 * HOUR)
    seen = []
    for _ in range(6):
        due = feed.next()
        seen.append((due.what, due.time // HOUR))
        if due.what == "step":
            feed.stepped(due.time)
        else:
            feed.settled()
    assert seen == [("step", 7), ("funding", 8), ("step", 10), ("step", 13), ("step", 16), ("funding", 16)]


def test_a_fixed_price_knows_funding_only() -> None:
    assert Feed.starting(Fixed(), now=5).next() == Due(FUNDING_PERIOD, "funding")


def test_waiting_does_not_pass_what_is_next() -> None:
    feed = Feed.starting(Fixed(), now=5)
    feed.wait_until(10)
    assert feed.time == 10
    feed.wait_until(7)
    assert feed.time == 10
    feed.wait_until(2 * FUNDING_PERIOD)
    assert feed.next() == Due(FUNDING_PERIOD, "funding")


def test_nothing_is_made_up_for_after_a_sleep() -> None:
    walk = Feed.starting(Walk(Decimal(1), 1000, 0), now=5)
    walk.woken(10 * FUNDING_PERIOD)
    assert walk.next() == Due(10 * FUNDING_PERIOD + 1000, "step")
    walk.woken(5)
    assert walk.next() == Due(10 * FUNDING_PERIOD + 1000, "step")
    replay = Feed.starting(Replay(csv("0,1,1,1,1,0")), now=5)
    replay.woken(10 * FUNDING_PERIOD)
    assert replay.next() == Due(0, "step")
