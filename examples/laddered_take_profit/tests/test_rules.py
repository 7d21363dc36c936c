"""The rules of the ladder: examples, and laws that hold for every trade."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from axisor_executor.exchange.base import SATS_PER_BTC
from axisor_laddered_take_profit import rules

D = Decimal

sides = st.sampled_from(["buy", "sell"])
prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
leverages = st.integers(100, 10_000).map(lambda hundredths: D(hundredths) / 100)
percents = st.integers(1, 10_000).map(lambda hundredths: D(hundredths) / 100)


@pytest.mark.parametrize(
    ("side", "leverage", "percent", "place"),
    [
        ("buy", 10, 20, Fraction(50_000) / Fraction(98, 100)),
        ("sell", 10, 20, Fraction(50_000) / Fraction(102, 100)),
        ("buy", 1, 50, 100_000),
        ("sell", 1, 100, 25_000),
        ("buy", 1, 100, None),  # an inverse long never gains all that it is worth
        ("buy", 2, 250, None),
    ],
)
def test_price_of_pnl(side, leverage, percent, place):
    assert rules.price_of_pnl(side, D(50_000), D(leverage), D(percent)) == place


@given(sides, prices, leverages, percents)
def test_at_that_price_the_pnl_is_exactly_that_share_of_the_margin(side, entry, leverage, percent):
    place = rules.price_of_pnl(side, entry, leverage, percent)
    assume(place is not None)
    worth = SATS_PER_BTC / Fraction(entry)
    gained = worth - SATS_PER_BTC / place if side == "buy" else SATS_PER_BTC / place - worth
    assert gained * 100 == Fraction(percent) * worth / Fraction(leverage)


@given(sides, prices, leverages, percents, percents)
def test_a_higher_rung_is_reached_later(side, entry, leverage, one, other):
    low, high = sorted((one, other))
    near, far = (rules.price_of_pnl(side, entry, leverage, percent) for percent in (low, high))
    assume(near is not None)
    assert rules.is_in_profit(side, entry, near)
    assert rules.is_reached(side, near, near)
    assert far is None or rules.is_reached(side, far, near)
    assert not rules.is_reached(side, entry, near)


@pytest.mark.parametrize(
    ("original", "percent", "left"), [(100, "25", 75), (101, "50", 51), (3, "25", 3), (100, "100", 0), (1, "99.9", 1)]
)
def test_quantity_left(original, percent, left):
    assert rules.quantity_left(original, D(percent)) == left


@given(st.integers(1, 500_000), st.integers(0, 10_000).map(lambda hundredths: D(hundredths) / 100))
def test_never_more_than_was_asked_is_sold_and_less_than_a_dollar_too_little(original, percent):
    sold = original - rules.quantity_left(original, percent)
    assert 0 <= sold <= original
    assert sold * 100 <= original * percent
    assert (sold + 1) * 100 > original * percent


@given(st.integers(1, 500_000), percents, percents)
def test_more_rungs_never_leave_more(original, one, other):
    few, many = sorted((one, other))
    assert rules.quantity_left(original, many) <= rules.quantity_left(original, few)
