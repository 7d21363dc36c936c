"""The margin guard's rules: the documented examples, and laws that hold for every trade."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.testing import make_trade
from axisor_margin_guard import rules

D = Decimal

sides = st.sampled_from(["buy", "sell"])
prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
distances = st.integers(1, 19_000).map(lambda half_dollars: D(half_dollars) / 2)
thresholds = st.integers(500, 10_000).map(lambda hundredths: D(hundredths) / 100)
percentages = st.integers(1, 10_000).map(lambda hundredths: D(hundredths) / 100)


@pytest.mark.parametrize(
    ("side", "entry", "liquidation", "threshold", "trigger"),
    [
        ("buy", 50_000, 40_000, 90, 41_000),
        ("sell", 50_000, 60_000, 85, 58_500),
        ("buy", 50_000, 40_000, 100, 40_000),
        ("sell", 50_000, 60_000, 100, 60_000),
        ("buy", 50_000, 40_000, 5, 49_500),
        ("sell", 50_000, 100_000_000, 50, 50_025_000),  # a short without liquidation
    ],
)
def test_trigger_price(side, entry, liquidation, threshold, trigger):
    assert rules.trigger_price(side, D(entry), D(liquidation), D(threshold)) == trigger


@pytest.mark.parametrize(
    ("side", "price", "trigger", "at_risk"),
    [
        ("buy", "41000", 41_000, True),
        ("buy", "41000.5", 41_000, False),
        ("buy", "40999.5", 41_000, True),
        ("sell", "58500", 58_500, True),
        ("sell", "58499.5", 58_500, False),
        ("sell", "58500.5", 58_500, True),
    ],
)
def test_is_at_risk(side, price, trigger, at_risk):
    assert rules.is_at_risk(side, D(price), D(trigger)) is at_risk


@pytest.mark.parametrize(
    ("side", "entry", "liquidation"),
    [
        ("buy", 50_000, 50_000),
        ("buy", 50_000, 60_000),
        ("buy", 50_000, 0),
        ("buy", 50_000, -1),
        ("buy", 0, 40_000),
        ("sell", 50_000, 50_000),
        ("sell", 50_000, 40_000),
        ("sell", 50_000, 0),
        ("sell", -5, 40_000),
    ],
)
def test_a_liquidation_on_the_wrong_side_is_never_safe(side, entry, liquidation):
    assert rules.liquidation_problem(side, D(entry), D(liquidation))
    with pytest.raises(ValueError, match=r"liquidation|entry"):
        rules.trigger_price(side, D(entry), D(liquidation), D(85))


@given(prices, distances, thresholds, st.integers(-20_000, 20_000))
def test_long_and_short_are_mirrored(entry, distance, threshold, moved):
    long_trigger = rules.trigger_price("buy", entry, entry - distance, threshold)
    short_trigger = rules.trigger_price("sell", entry, entry + distance, threshold)
    assert entry - long_trigger == short_trigger - entry
    assert rules.is_at_risk("buy", entry - moved, long_trigger) == rules.is_at_risk(
        "sell", entry + moved, short_trigger
    )


@given(sides, prices, distances, thresholds)
def test_the_trigger_lies_between_entry_and_liquidation(side, entry, distance, threshold):
    liquidation = entry - distance if side == "buy" else entry + distance
    trigger = rules.trigger_price(side, entry, liquidation, threshold)
    low, high = sorted((entry, liquidation))
    assert low <= trigger <= high
    assert abs(entry - trigger) * 100 == distance * threshold  # exactly the share of the way
    assert rules.is_at_risk(side, liquidation, trigger)
    assert not rules.is_at_risk(side, entry, trigger)


@given(sides, prices, distances, thresholds, thresholds)
def test_a_higher_threshold_acts_later(side, entry, distance, one, other):
    liquidation = entry - distance if side == "buy" else entry + distance
    early, late = sorted((one, other))
    gap = abs(rules.trigger_price(side, entry, liquidation, late) - liquidation)
    assert gap <= abs(rules.trigger_price(side, entry, liquidation, early) - liquidation)


@pytest.mark.parametrize(
    ("quantity", "percentage", "reduced"),
    [(100, "50", 50), (101, "50", 51), (3, "50", 2), (1, "50", 1), (100, "100", 100), (100, "0.1", 1), (10, "33.3", 4)],
)
def test_reduced_quantity(quantity, percentage, reduced):
    assert rules.reduced_quantity(quantity, D(percentage)) == reduced


@given(st.integers(1, 500_000), percentages)
def test_at_least_what_was_asked_is_reduced_and_less_than_a_dollar_more(quantity, percentage):
    reduced = rules.reduced_quantity(quantity, percentage)
    assert 1 <= reduced <= quantity
    assert reduced * 100 >= quantity * percentage
    assert (reduced - 1) * 100 < quantity * percentage


def test_without_an_entry_price_the_orders_price_counts():
    trade = make_trade(entry_price=50_000)
    assert rules.entry_price(replace(trade, entry_price=None)) == 50_000
    assert rules.entry_price(replace(trade, entry_price=D(49_000))) == 49_000
