"""The conditions: both sides, both directions, and their laws."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_tp_sl import rules

D = Decimal

prices = st.integers(2_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
amounts = st.integers(-(10**9), 10**9)
margins = st.integers(1, 10**9)
percentages = st.integers(-10_000, 100_000).map(lambda hundredths: D(hundredths) / 100)


@pytest.mark.parametrize(
    ("side", "in_favour", "price", "reached"),
    [
        ("buy", True, "60000", True),
        ("buy", True, "60000.5", True),
        ("buy", True, "59999.5", False),
        ("buy", False, "60000", True),
        ("buy", False, "59999.5", True),
        ("buy", False, "60000.5", False),
        ("sell", True, "60000", True),
        ("sell", True, "59999.5", True),
        ("sell", True, "60000.5", False),
        ("sell", False, "60000", True),
        ("sell", False, "60000.5", True),
        ("sell", False, "59999.5", False),
    ],
)
def test_price_reached(side, in_favour, price, reached):
    assert rules.price_reached(side, D(price), D(60_000), in_favour=in_favour) is reached


@given(prices, prices, st.booleans())
def test_long_and_short_are_mirrored(price, trigger, in_favour):
    long_reached = rules.price_reached("buy", price, trigger, in_favour=in_favour)
    short_reached = rules.price_reached("sell", trigger, price, in_favour=in_favour)
    assert long_reached == short_reached
    assert long_reached == rules.price_reached("sell", price, trigger, in_favour=not in_favour)


@pytest.mark.parametrize(
    ("pl", "margin", "percentage", "reached"),
    [
        (1000, 10_000, "10", True),
        (999, 10_000, "10", False),
        (-2500, 10_000, "-25", True),
        (-2499, 10_000, "-25", False),
        (-5000, 10_000, "-25", True),
        (0, 10_000, "0", True),
        (-1, 10_000, "0", False),
        (1, 3, "33.34", False),
        (1, 3, "33.33", True),
    ],
)
def test_pnl_reached(pl, margin, percentage, reached):
    assert rules.pnl_reached(pl, margin, D(percentage)) is reached


@given(amounts, margins, percentages)
def test_a_gain_and_a_loss_are_mirrored(pl, margin, percentage):
    if percentage > 0:
        assert rules.pnl_reached(pl, margin, percentage) == rules.pnl_reached(-pl, margin, -percentage)


@given(amounts, margins, percentages, st.integers(1, 1000))
def test_the_comparison_is_free_of_the_unit(pl, margin, percentage, factor):
    assert rules.pnl_reached(pl, margin, percentage) == rules.pnl_reached(pl * factor, margin * factor, percentage)


@given(amounts, margins, percentages)
def test_the_shown_percentage_is_the_share(pl, margin, trigger):
    shown = rules.pnl_percentage(pl, margin, trigger)
    assert abs(shown * margin - 100 * pl) < D("0.0001") * margin


@pytest.mark.parametrize(
    ("pl", "trigger", "shown"),
    [
        (-249_999_999, "-25", "-24.9999"),
        (99_999_999, "10", "9.9999"),
        (-1, "0", "-0.0001"),
        (-249_990_000, "-25", "-24.9990"),
        (123_456_789, "20", "12.3456"),
    ],
)
def test_what_is_not_reached_never_reads_as_reached(pl, trigger, shown):
    assert not rules.pnl_reached(pl, 10**9, D(trigger))
    assert rules.pnl_percentage(pl, 10**9, D(trigger)) == D(shown)


@given(amounts, margins, percentages)
def test_nor_does_it_for_any_trade(pl, margin, trigger):
    if not rules.pnl_reached(pl, margin, trigger):
        shown = rules.pnl_percentage(pl, margin, trigger)
        assert shown < trigger if trigger >= 0 else shown > trigger


@pytest.mark.parametrize("margin", [0, -1])
def test_without_a_margin_there_is_no_share(margin):
    with pytest.raises(ValueError, match="margin"):
        rules.pnl_reached(1, margin, D(1))
    with pytest.raises(ValueError, match="margin"):
        rules.pnl_percentage(1, margin, D(1))
