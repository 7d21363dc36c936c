"""The margin guard's rules: the documented examples, and laws that hold for every trade."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.testing import make_trade
from axisor_margin_guard import rules

D = Decimal

sides = st.sampled_from(["buy", "sell"])
prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
distances = st.integers(1, 19_000).map(lambda half_dollars: D(half_dollars) / 2)
thresholds = st.integers(500, 10_000).map(lambda hundredths: D(hundredths) / 100)
percentages = st.integers(1, 10_000).map(lambda hundredths: D(hundredths) / 100)
leverages = st.integers(100, 10_000).map(lambda hundredths: D(hundredths) / 100)


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


@given(sides, st.integers(2, 100_000), prices, leverages, percentages)
def test_a_reduce_never_raises_the_leverage_or_the_quantity(side, quantity, price, leverage, percentage):
    trade = make_trade(side=side, quantity=quantity, entry_price=price, leverage=leverage)
    left = quantity - rules.reduced_quantity(quantity, percentage)
    assume(left >= 1)
    rest = rules.remainder(trade, left, price, D(1))
    assert rest.quantity == left < quantity
    assert rest.leverage == trade.leverage
    assert rest.at_price.required >= arithmetic.margin(left, price, leverage)
    assert rest.at_price.freed <= trade.margin


@given(sides, st.integers(100, 100_000), prices, st.integers(1, 20), st.integers(25, 99))
def test_a_flat_trade_pays_for_its_own_remainder(side, quantity, price, leverage, percentage):
    """A reduce by a quarter or more, at the entry price and modest leverage, needs nothing of the balance."""
    trade = make_trade(side=side, quantity=quantity, entry_price=price, leverage=leverage)
    left = quantity - rules.reduced_quantity(quantity, D(percentage))
    assume(left >= 1 and trade.margin > 1_000)
    assert rules.remainder(trade, left, price, D(1)).at_price.shortfall == 0


def test_the_lower_of_two_pls_is_counted_on():
    trade = make_trade(quantity=100, entry_price=50_000, leverage=10, last_price=48_000)
    optimistic = replace(trade, pl=0)
    assert rules.freed(trade, D(48_000)) == rules.freed(optimistic, D(48_000))
    pessimistic = replace(trade, pl=trade.pl - 100)
    assert rules.freed(pessimistic, D(48_000)) == rules.freed(trade, D(48_000)) - 100


@given(
    sides,
    st.integers(2, 100_000),
    prices,
    leverages,
    percentages,
    st.integers(90, 110),
    st.integers(1, 500).map(lambda hundredths: D(hundredths) / 100),
    st.tuples(st.integers(-100, 100), st.integers(-100, 100)),
    st.integers(-5_000, 5_000),
)
def test_within_the_bound_the_reopen_can_always_be_paid_for(
    side, quantity, entry, leverage, percentage, moved, slippage, shares, spread
):
    """Wherever within the bound the close and then the reopen happen, whatever P&L the exchange last said."""
    left = quantity - rules.reduced_quantity(quantity, percentage)
    assume(left >= 1)
    price = entry * moved / 100
    trade = make_trade(side=side, quantity=quantity, entry_price=entry, leverage=leverage, last_price=price)
    trade = replace(trade, pl=trade.pl + spread)
    closed_at, reopened_at = (price * (1 + slippage * share / 10_000) for share in shares)
    rest = rules.remainder(trade, left, price, slippage)
    counted_on = min(trade.pl, arithmetic.pl(side, quantity, entry, closed_at))
    back = arithmetic.closing_proceeds(quantity, closed_at, trade.margin, counted_on)
    assert rest.at_worst.freed <= back
    assert rest.at_worst.required >= arithmetic.entry_cost(side, left, reopened_at, rest.leverage)
    assert arithmetic.entry_cost(side, left, reopened_at, rest.leverage) <= back + rest.at_worst.shortfall


@pytest.mark.parametrize(("side", "worse_close"), [("buy", "49500"), ("sell", "50500")])
def test_a_close_hurts_against_the_trade_and_a_reopen_where_bitcoin_is_cheap(side, worse_close):
    trade = replace(make_trade(side=side, quantity=100), pl=10_000)  # the P&L of the price is the lower one
    worst = rules.remainder(trade, 50, D(50_000), D(1)).at_worst
    assert worst.freed == rules.freed(trade, D(worse_close)) - 1
    assert worst.required == arithmetic.entry_cost(side, 50, D(49_500), D(10))


@given(sides, percentages, percentages)
def test_a_wider_bound_never_asks_for_less(side, one, other):
    narrow, wide = sorted((one, other))
    trade = make_trade(side=side, quantity=100)
    assert (
        rules.remainder(trade, 50, D(50_000), D(0)).at_price.shortfall
        <= rules.remainder(trade, 50, D(50_000), narrow).at_worst.shortfall
        <= rules.remainder(trade, 50, D(50_000), wide).at_worst.shortfall
    )


@pytest.mark.parametrize(
    ("side", "price", "stoploss", "takeprofit", "kept"),
    [
        ("buy", 48_000, 46_000, 55_000, (46_000, 55_000)),
        ("buy", 48_000, 48_000, 55_000, (None, 55_000)),  # the market is there already
        ("buy", 48_000, 43_000, 55_000, (None, 55_000)),  # beyond the remainder's liquidation of 43 636.5
        ("buy", 48_000, 46_000, 48_000, (46_000, None)),
        ("buy", 48_000, None, None, (None, None)),
        ("sell", 52_000, 54_000, 45_000, (54_000, 45_000)),
        ("sell", 52_000, 52_000, 45_000, (None, 45_000)),
        ("sell", 52_000, 58_000, 45_000, (None, 45_000)),  # beyond 57 778
        ("sell", 52_000, 54_000, 52_000, (54_000, None)),
    ],
)
def test_stop_loss_and_take_profit_are_kept_where_valid(side, price, stoploss, takeprofit, kept):
    trade = make_trade(
        side=side,
        quantity=100,
        stoploss=None if stoploss is None else D(stoploss),
        takeprofit=None if takeprofit is None else D(takeprofit),
    )
    rest = rules.remainder(trade, 50, D(price), D(1))
    assert (rest.stoploss, rest.takeprofit) == kept
    expected_dropped = {
        name
        for name, was, now in (("stoploss", stoploss, kept[0]), ("takeprofit", takeprofit, kept[1]))
        if was is not None and now is None
    }
    assert set(rest.dropped) == expected_dropped


@pytest.mark.parametrize(("leverage", "ordered"), [("9.0909090909", "9.09"), ("0.97", "1"), ("12.345", "12.34")])
def test_a_fractional_leverage_is_cut_to_what_an_order_takes(leverage, ordered):
    trade = make_trade(quantity=100)
    assert rules.remainder(replace(trade, leverage=D(leverage)), 50, D(50_000), D(1)).leverage == D(ordered)


def test_without_an_entry_price_the_orders_price_counts():
    trade = make_trade(entry_price=50_000)
    assert rules.entry_price(replace(trade, entry_price=None)) == 50_000
    assert rules.entry_price(replace(trade, entry_price=D(49_000))) == 49_000
