"""The rules of a trailing stop: examples, and the law that it never moves against the trader."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.exchange.base import PRICE_STEP
from axisor_trailing_stop import rules

D = Decimal

sides = st.sampled_from(["buy", "sell"])
prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
gaps = st.integers(1, 5_000_000).map(lambda thousandths: D(thousandths) / 1_000)
percents = st.integers(1, 9_000).map(lambda hundredths: D(hundredths) / 100)
steps = st.integers(0, 100_000).map(lambda hundredths: D(hundredths) / 100)


@pytest.mark.parametrize(
    ("percent", "usd", "gap"), [("2", None, 1_000), (None, "300", 300), ("2", "300", 1_000), ("0.1", "300", 300)]
)
def test_the_wider_of_two_distances_counts(percent, usd, gap):
    assert rules.distance(D(50_000), percent and D(percent), usd and D(usd)) == gap


@pytest.mark.parametrize(
    ("side", "price", "gap", "stop"),
    [
        ("buy", "50000", "1000", "49000"),
        ("sell", "50000", "1000", "51000"),
        ("buy", "50000.5", "0.7", "49999.5"),
        ("sell", "50000.5", "0.7", "50001.5"),
        ("buy", "100", "500", "-400"),  # no stop loss can be there; the handler says so
    ],
)
def test_behind(side, price, gap, stop):
    assert rules.behind(side, D(price), D(gap)) == D(stop)


@given(sides, prices, gaps)
def test_a_stop_is_on_a_step_behind_the_price_and_no_nearer_than_asked(side, price, gap):
    stop = rules.behind(side, price, gap)
    kept = price - stop if side == "buy" else stop - price
    assert stop % PRICE_STEP == 0
    assert gap <= kept < gap + PRICE_STEP


@given(prices, gaps)
def test_long_and_short_are_mirrored(price, gap):
    assert price - rules.behind("buy", price, gap) == rules.behind("sell", price, gap) - price


@given(sides, percents, st.lists(prices, min_size=1, max_size=30), steps)
def test_along_any_path_of_prices_the_stop_never_moves_against_the_trader(side, percent, path, min_step):
    present = None
    for price in path:
        stop = rules.behind(side, price, rules.distance(price, percent, None))
        if rules.improves(side, stop, present, min_step):
            if present is not None:
                gained = stop - present if side == "buy" else present - stop
                assert gained >= max(min_step, PRICE_STEP)
            present = stop
        else:
            assert present is not None
    best = max(path) if side == "buy" else min(path)
    nearest = rules.behind(side, best, rules.distance(best, percent, None))
    missed = nearest - present if side == "buy" else present - nearest
    assert 0 <= missed < max(min_step, PRICE_STEP)


@pytest.mark.parametrize(
    ("pl", "percent", "activated"),
    [(1_999, "10", False), (2_000, "10", True), (-1, None, True), (-2_000, "-10", True), (-2_001, "-10", False)],
)
def test_is_activated(pl, percent, activated):
    assert rules.is_activated(pl, 20_000, percent and D(percent)) is activated


@pytest.mark.parametrize(("pl", "shown"), [(-1, "-33.34"), (1, "33.33"), (3, "100.00")])
def test_pnl_percent_is_shown_with_two_decimals(pl, shown):
    assert str(rules.pnl_percent(pl, 3)) == shown


def test_what_is_not_activated_never_reads_as_if_it_were():
    assert not rules.is_activated(9_999_999, 10**8, D(10))
    assert rules.pnl_percent(9_999_999, 10**8) == D("9.99")
