"""Reducing a trade: what is left can always be paid for, is never more, and keeps what protection is still valid."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.automation.actions import action_from_dict
from axisor_executor.automation.reducing import freed, remainder
from axisor_executor.testing import make_trade

D = Decimal

sides = st.sampled_from(["buy", "sell"])
prices = st.integers(20_000, 400_000).map(lambda half_dollars: D(half_dollars) / 2)
percentages = st.integers(1, 10_000).map(lambda hundredths: D(hundredths) / 100)
leverages = st.integers(100, 10_000).map(lambda hundredths: D(hundredths) / 100)


@given(sides, st.integers(2, 100_000), prices, leverages, percentages)
def test_a_reduce_never_raises_the_leverage_or_the_quantity(side, quantity, price, leverage, percentage):
    trade = make_trade(side=side, quantity=quantity, entry_price=price, leverage=leverage)
    left = int(quantity * (100 - percentage) / 100)
    assume(left >= 1)
    rest = remainder(trade, left, price, D(1))
    assert rest.quantity == left < quantity
    assert rest.leverage == trade.leverage
    assert rest.at_price.required >= arithmetic.margin(left, price, leverage)
    assert rest.at_price.freed <= trade.margin


@given(sides, st.integers(100, 100_000), prices, st.integers(1, 20), st.integers(25, 99))
def test_a_flat_trade_pays_for_its_own_remainder(side, quantity, price, leverage, percentage):
    """A reduce by a quarter or more, at the entry price and modest leverage, needs nothing of the balance."""
    trade = make_trade(side=side, quantity=quantity, entry_price=price, leverage=leverage)
    left = quantity * (100 - percentage) // 100
    assume(left >= 1 and trade.margin > 1_000)
    assert remainder(trade, left, price, D(1)).at_price.shortfall == 0


def test_the_lower_of_two_pls_is_counted_on():
    trade = make_trade(quantity=100, entry_price=50_000, leverage=10, last_price=48_000)
    optimistic = replace(trade, pl=0)
    assert freed(trade, D(48_000)) == freed(optimistic, D(48_000))
    pessimistic = replace(trade, pl=trade.pl - 100)
    assert freed(pessimistic, D(48_000)) == freed(trade, D(48_000)) - 100


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
    left = int(quantity * (100 - percentage) / 100)
    assume(left >= 1)
    price = entry * moved / 100
    trade = make_trade(side=side, quantity=quantity, entry_price=entry, leverage=leverage, last_price=price)
    trade = replace(trade, pl=trade.pl + spread)
    closed_at, reopened_at = (price * (1 + slippage * share / 10_000) for share in shares)
    rest = remainder(trade, left, price, slippage)
    counted_on = min(trade.pl, arithmetic.pl(side, quantity, entry, closed_at))
    back = arithmetic.closing_proceeds(quantity, closed_at, trade.margin, counted_on)
    assert rest.at_worst.freed <= back
    assert rest.at_worst.required >= arithmetic.entry_cost(side, left, reopened_at, rest.leverage)
    assert arithmetic.entry_cost(side, left, reopened_at, rest.leverage) <= back + rest.at_worst.shortfall


@pytest.mark.parametrize(("side", "worse_close"), [("buy", "49500"), ("sell", "50500")])
def test_a_close_hurts_against_the_trade_and_a_reopen_where_bitcoin_is_cheap(side, worse_close):
    trade = replace(make_trade(side=side, quantity=100), pl=10_000)  # the P&L of the price is the lower one
    worst = remainder(trade, 50, D(50_000), D(1)).at_worst
    assert worst.freed == freed(trade, D(worse_close)) - 1
    assert worst.required == arithmetic.entry_cost(side, 50, D(49_500), D(10))


@given(sides, percentages, percentages)
def test_a_wider_bound_never_asks_for_less(side, one, other):
    narrow, wide = sorted((one, other))
    trade = make_trade(side=side, quantity=100)
    assert (
        remainder(trade, 50, D(50_000), D(0)).at_price.shortfall
        <= remainder(trade, 50, D(50_000), narrow).at_worst.shortfall
        <= remainder(trade, 50, D(50_000), wide).at_worst.shortfall
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
    rest = remainder(trade, 50, D(price), D(1))
    assert (rest.stoploss, rest.takeprofit) == kept
    expected_dropped = {
        name
        for name, was, now in (("stoploss", stoploss, kept[0]), ("takeprofit", takeprofit, kept[1]))
        if was is not None and now is None
    }
    assert set(rest.dropped) == expected_dropped


@pytest.mark.parametrize(
    ("side", "stoploss", "kept"),
    [("buy", "47512.37", "47512"), ("sell", "52487.63", "52488"), ("buy", "47512.5", "47512.5"), ("buy", "0.3", None)],
)
def test_a_trailing_stop_loss_between_two_steps_goes_to_the_one_further_from_the_market(side, stoploss, kept):
    trade = make_trade(side=side, quantity=100, stoploss=D(stoploss), stoploss_trailing_distance=D("1.5"))
    rest = remainder(trade, 50, D(50_000), D(1))
    assert rest.actions[1].stoploss == (None if kept is None else D(kept))
    assert ("stoploss" in rest.dropped) is (kept is None)


@given(sides, st.integers(4_550_000, 4_999_999))
def test_a_stop_loss_that_is_kept_is_no_looser_than_a_step_and_still_triggers(side, cents):
    stoploss = D(cents) / 100 if side == "buy" else 100_000 - D(cents) / 100
    trade = make_trade(side=side, quantity=100, stoploss=stoploss, stoploss_trailing_distance=D("1.5"))
    kept = remainder(trade, 50, D(50_000), D(1)).stoploss
    looser = stoploss - kept if side == "buy" else kept - stoploss
    assert 0 <= looser < D("0.5")


@pytest.mark.parametrize("price", ["50000.25", "49999.999"])
def test_a_last_price_between_two_steps_is_as_good_as_any(price):
    _, reopen = remainder(make_trade(quantity=100), 50, D(price), D(1)).actions
    assert reopen.reference_price == D(price)
    assert action_from_dict(reopen.as_dict()) == reopen


@pytest.mark.parametrize(("leverage", "ordered"), [("9.0909090909", "9.09"), ("0.97", "1"), ("12.345", "12.34")])
def test_a_fractional_leverage_is_cut_to_what_an_order_takes(leverage, ordered):
    trade = make_trade(quantity=100)
    assert remainder(replace(trade, leverage=D(leverage)), 50, D(50_000), D(1)).leverage == D(ordered)


@pytest.mark.parametrize("quantity", [0, -1, 100, 101])
def test_what_is_no_remainder_is_refused(quantity):
    with pytest.raises(ValueError, match="must be from 1 to 99"):
        remainder(make_trade(quantity=100), quantity, D(50_000), D(1))


@given(sides, st.integers(2, 100_000), st.integers(1, 99_999), prices, leverages)
def test_the_actions_close_the_trade_and_open_exactly_what_is_left_of_it(side, quantity, left, price, leverage):
    assume(left < quantity)
    trade = make_trade(side=side, quantity=quantity, entry_price=price, leverage=leverage)
    rest = remainder(trade, left, price, D(1))
    close, reopen = rest.actions
    assert close.trade_id == reopen.replaces == trade.id
    assert (reopen.side, reopen.quantity, reopen.leverage) == (side, left, leverage)
    assert (reopen.reference_price, reopen.max_slippage_percent) == (price, 1)
    assert rest.facts == {"oldTradeId": trade.id, "reducedQuantity": quantity - left, "remainingQuantity": left}


def test_the_facts_say_what_becomes_of_stop_loss_and_take_profit():
    trade = make_trade(quantity=100, stoploss=D(47_000), takeprofit=D(48_000), stoploss_trailing_distance=D(500))
    facts = remainder(trade, 50, D(49_000), D(1)).facts
    assert set(facts["dropped"]) == {"takeprofit"}
    assert facts["stoplossNoLongerTrailing"] is True


def test_the_refusal_tells_what_it_would_take_and_what_would_let_it_pass():
    trade = make_trade(quantity=100)
    rest = remainder(trade, 99, D(50_000), D(1))
    lacks, enough = rest.at_worst.shortfall - 1, rest.at_worst.shortfall
    assert (rest.is_affordable(lacks), rest.is_affordable(enough)) == (False, True)
    refusal = rest.unaffordable(lacks)
    assert refusal.code == "reduce_unaffordable"
    assert refusal.details == {"tradeId": trade.id, "maxReopenSlippagePercent": 1, **rest.money(lacks)}
    assert "which is 1 too little" in refusal.message
    assert "a smaller max_reopen_slippage_percent asks for less" in refusal.message
    assert "asks for less" not in rest.unaffordable(rest.at_price.shortfall - 1).message
