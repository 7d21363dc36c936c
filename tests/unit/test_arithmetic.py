"""The arithmetic against the platform's own reference points, and its laws."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.exchange.base import SATS_PER_BTC

D = Decimal

sides = st.sampled_from(["buy", "sell"])
quantities = st.integers(1, 500_000)
prices = st.integers(2_000, 2_000_000).map(lambda half_dollars: D(half_dollars) / 2)
leverages = st.one_of(st.integers(1, 100).map(D), st.integers(100, 10_000).map(lambda hundredths: D(hundredths) / 100))


def test_reference_limit_buy_of_one_dollar():
    assert arithmetic.margin(1, D(100_000), D(100)) == 10
    assert arithmetic.liquidation("buy", 1, D(100_000), D(100)) == 99_010
    assert arithmetic.maintenance_margin("buy", 1, D(100_000), D(100)) == 2


@pytest.mark.parametrize(
    ("side", "quantity", "price", "leverage", "expected"),
    [
        ("buy", 1000, 110_000, 1, 55_000),
        ("buy", 1000, 110_000, 100, 108_911),
        ("sell", 1000, 110_000, 1, 100_000_000),
        ("sell", 1000, 110_000, 100, 111_111),
        ("buy", 10, 90_000, 10, 81_819),
    ],
)
def test_reference_liquidation(side, quantity, price, leverage, expected):
    assert arithmetic.liquidation(side, quantity, D(price), D(leverage)) == expected


@pytest.mark.parametrize(
    ("side", "quantity", "entry", "price", "expected"),
    [
        ("buy", 10, 50_000, 55_000, 1818),
        ("buy", 10, 50_000, 46_000, -1740),
        ("sell", 10, 50_000, 45_000, 2222),
        ("sell", 10, 50_000, 55_000, -1819),
        ("buy", 1, 50_000, 55_000, 181),
    ],
)
def test_reference_pl(side, quantity, entry, price, expected):
    assert arithmetic.pl(side, quantity, D(entry), D(price)) == expected


@given(quantities, prices, leverages)
def test_margin_is_the_smallest_that_covers(quantity, price, leverage):
    margin = arithmetic.margin(quantity, price, leverage)
    assert (margin - 1) * Fraction(price) * Fraction(leverage) < quantity * SATS_PER_BTC
    assert margin * Fraction(price) * Fraction(leverage) >= quantity * SATS_PER_BTC


@given(quantities, prices, leverages)
def test_quantity_and_margin_are_inverse(quantity, price, leverage):
    assert arithmetic.quantity_for_margin(arithmetic.margin(quantity, price, leverage), price, leverage) >= quantity


@given(st.integers(1, 10**9), prices, leverages)
def test_the_quantity_for_a_margin_costs_no_more(margin, price, leverage):
    quantity = arithmetic.quantity_for_margin(margin, price, leverage)
    assume(quantity >= 1)
    assert arithmetic.margin(quantity, price, leverage) <= margin


@given(quantities, prices, prices)
def test_pl_of_a_short_mirrors_that_of_a_long(quantity, entry, price):
    total = arithmetic.pl("buy", quantity, entry, price) + arithmetic.pl("sell", quantity, entry, price)
    assert total in (0, -1)  # both are floored


@given(sides, quantities, prices)
def test_pl_is_zero_at_the_entry(side, quantity, price):
    assert arithmetic.pl(side, quantity, price, price) == 0


@given(sides, quantities, prices, leverages)
def test_the_liquidation_lies_on_the_losing_side(side, quantity, price, leverage):
    liquidation = arithmetic.liquidation(side, quantity, price, leverage)
    assert liquidation > 0
    assert liquidation % D("0.5") == 0
    assert liquidation <= price if side == "buy" else liquidation >= price


@given(sides, st.integers(100, 500_000), prices, leverages)
def test_the_margin_is_about_gone_at_the_liquidation(side, quantity, price, leverage):
    liquidation = arithmetic.liquidation(side, quantity, price, leverage)
    assume(liquidation < arithmetic.NO_LIQUIDATION)
    lost = -arithmetic.pl(side, quantity, price, liquidation)
    step = arithmetic.notional(quantity, liquidation - D("0.25")) - arithmetic.notional(quantity, liquidation)
    assert abs(lost - arithmetic.margin(quantity, price, leverage)) <= step + 2


@given(sides, quantities, prices, st.integers(1, 10**9), st.integers(0, 10**9))
def test_more_margin_moves_the_liquidation_away(side, quantity, price, margin, added):
    before = arithmetic.liquidation_for_margin(side, quantity, price, margin)
    after = arithmetic.liquidation_for_margin(side, quantity, price, margin + added)
    assert after <= before if side == "buy" else after >= before


@given(sides, quantities, prices, leverages)
def test_a_short_without_liquidation_shows_the_bound(side, quantity, price, leverage):
    worth = arithmetic.max_margin(quantity, price) + 1
    assert arithmetic.liquidation_for_margin("sell", quantity, price, worth) == arithmetic.NO_LIQUIDATION
    assert arithmetic.liquidation(side, quantity, price, leverage) <= arithmetic.NO_LIQUIDATION


@given(quantities, prices)
def test_the_largest_margin_is_leverage_one(quantity, price):
    most = arithmetic.max_margin(quantity, price)
    assume(most > 0)
    assert arithmetic.leverage_for_margin(quantity, price, most) >= 1
    assert arithmetic.leverage_for_margin(quantity, price, most + 1) < 1


@pytest.mark.parametrize(
    ("given_leverage", "expected"),
    [("10", "10"), ("9.0909090909", "9.09"), ("0.99", "1"), ("100.7", "100"), ("33.339", "33.33")],
)
def test_order_leverage(given_leverage, expected):
    assert arithmetic.order_leverage(D(given_leverage)) == D(expected)


@given(quantities, prices)
def test_fees_are_floored(quantity, price):
    fee = arithmetic.trading_fee(quantity, price)
    exact = arithmetic.notional(quantity, price) / 1000
    assert fee <= exact < fee + 1


@given(sides, quantities, prices, leverages)
def test_entry_cost_is_an_upper_bound(side, quantity, price, leverage):
    cost = arithmetic.entry_cost(side, quantity, price, leverage)
    margin = arithmetic.margin(quantity, price, leverage)
    fees = arithmetic.maintenance_margin(side, quantity, price, leverage)
    assert margin + fees <= cost
    assert margin + 2 * arithmetic.trading_fee(quantity, price) <= cost


@given(quantities, prices, st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_closing_proceeds_are_a_lower_bound(quantity, price, margin, pl):
    proceeds = arithmetic.closing_proceeds(quantity, price, margin, pl)
    assert proceeds >= 0
    assert proceeds == 0 or proceeds <= margin + pl - arithmetic.trading_fee(quantity, price)


@pytest.mark.parametrize(
    "call",
    [
        lambda: arithmetic.margin(0, D(1), D(1)),
        lambda: arithmetic.margin(1, D(0), D(1)),
        lambda: arithmetic.margin(1, D(1), D(0)),
        lambda: arithmetic.quantity_for_margin(0, D(1), D(1)),
        lambda: arithmetic.leverage_for_margin(1, D(1), 0),
        lambda: arithmetic.pl("buy", 1, D(1), D(-1)),
    ],
)
def test_values_that_make_no_sense_are_refused(call):
    with pytest.raises(ValueError, match="must be above 0"):
        call()


@pytest.mark.parametrize(
    ("side", "value", "market", "liquidation", "takeprofit", "word"),
    [
        ("buy", 45_000, 50_000, 40_000, None, None),
        ("buy", 40_000, 50_000, 40_000, None, None),
        ("buy", 39_999, 50_000, 40_000, None, "liquidation"),
        ("buy", 50_000, 50_000, 40_000, None, "market"),
        ("buy", 51_000, 50_000, 40_000, None, "market"),
        ("buy", 49_000, 50_000, 40_000, 49_000, "take profit"),
        ("sell", 55_000, 50_000, 60_000, None, None),
        ("sell", 60_000, 50_000, 60_000, None, None),
        ("sell", 60_001, 50_000, 60_000, None, "liquidation"),
        ("sell", 50_000, 50_000, 60_000, None, "market"),
        ("sell", 49_000, 50_000, 60_000, None, "market"),
        ("sell", 51_000, 50_000, 60_000, 51_000, "take profit"),
    ],
)
def test_stop_loss(side, value, market, liquidation, takeprofit, word):
    problem = arithmetic.stoploss_problem(
        side,
        D(value),
        market=D(market),
        liquidation=D(liquidation),
        takeprofit=None if takeprofit is None else D(takeprofit),
    )
    assert problem is None if word is None else word in problem


@pytest.mark.parametrize(
    ("side", "value", "market", "entry", "word"),
    [
        ("buy", 55_000, 50_000, 49_000, None),
        ("buy", 50_000, 50_000, 49_000, "market"),
        ("buy", 52_000, 50_000, 53_000, "entry"),
        ("sell", 45_000, 50_000, 51_000, None),
        ("sell", 50_000, 50_000, 51_000, "market"),
        ("sell", 48_000, 50_000, 47_000, "entry"),
    ],
)
def test_take_profit(side, value, market, entry, word):
    problem = arithmetic.takeprofit_problem(side, D(value), market=D(market), entry_price=D(entry))
    assert problem is None if word is None else word in problem


@given(prices, st.integers(1, 5_000), st.integers(1, 5_000))
def test_stop_loss_rules_are_mirrored(market, to_liquidation, to_stop):
    assume(market > 5_001)
    long_problem = arithmetic.stoploss_problem(
        "buy", market - to_stop, market=market, liquidation=market - to_liquidation
    )
    short_problem = arithmetic.stoploss_problem(
        "sell", market + to_stop, market=market, liquidation=market + to_liquidation
    )
    assert (long_problem is None) == (short_problem is None) == (to_stop <= to_liquidation)


@pytest.mark.parametrize(
    "compute",
    [
        lambda side: arithmetic.pl(side, 100, D(50_000), D(51_000)),
        lambda side: arithmetic.liquidation(side, 100, D(50_000), D(10)),
        lambda side: arithmetic.liquidation_for_margin(side, 100, D(50_000), 20_000),
        lambda side: arithmetic.maintenance_margin(side, 100, D(50_000), D(10)),
        lambda side: arithmetic.entry_cost(side, 100, D(50_000), D(10)),
        lambda side: arithmetic.stoploss_problem(side, D(48_000), market=D(50_000), liquidation=D(45_000)),
        lambda side: arithmetic.takeprofit_problem(side, D(52_000), market=D(50_000), entry_price=D(50_000)),
    ],
)
@pytest.mark.parametrize("side", ["b", "BUY", "long", None])
def test_what_is_no_side_is_not_taken_for_a_short(compute, side):
    with pytest.raises(ValueError, match="side must be 'buy' or 'sell', got"):
        compute(side)
