"""The guard of the cross position: the handler with plain values in, decisions out."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.automation import Act, CloseCrossPosition, ReduceCrossPosition, Wait, jsonable
from axisor_executor.errors import InvalidConfig, InvalidJob, StaleData, Unavailable
from axisor_executor.testing import make_context, make_cross_position, make_trade
from axisor_margin_guard import MarginGuard

D = Decimal
HANDLER = MarginGuard()
LONG = make_cross_position(quantity=100, liquidation=D(40_000))
SHORT = make_cross_position(quantity=-100, liquidation=D(60_000))
FLAT = make_cross_position(quantity=0)
REDUCE = {"action": "reduce_position", "reduce_percentage": 50}


def context(config, position=LONG, **facts):
    config = {"action": "close_position", "margin_mode": "cross"} | config
    return make_context(config, handler=HANDLER, cross_position=position, **facts)


def decide(config, position=LONG, **facts):
    decision = HANDLER.decide(context(config, position, **facts))
    json.dumps(decision.as_dict())
    if isinstance(decision, Act):
        assert Act.from_dict(decision.as_dict()).as_dict() == decision.as_dict()
    return decision


def only_group(decision):
    (group,) = decision.groups
    assert not decision.lists_trades
    assert group.trade_id == "position-1"
    return group


def refusal(error, config, position=LONG, **facts):
    with pytest.raises(error) as caught:
        HANDLER.decide(context(config, position, **facts))
    json.dumps(caught.value.as_dict())
    return caught.value


@pytest.mark.parametrize(("position", "side"), [(LONG, "buy"), (SHORT, "sell")])
def test_close_at_once(position, side):
    decision = decide({}, position)
    assert decision.action == "close_position"
    assert only_group(decision).actions == (CloseCrossPosition("position-1", side, 100),)
    assert decision.facts == {"marginMode": "cross", "side": side, "quantity": 100}


def test_nothing_but_the_position_is_read_without_a_threshold():
    for config in ({}, REDUCE):
        seen = context(config, price=None, balance=None, running=None, open_orders=None, finished=None)
        assert isinstance(HANDLER.decide(seen), Act)
        assert seen.reads.asked == ["cross_position"]


def test_isolated_trades_are_never_touched():
    decision = decide({}, running=[make_trade(id="isolated")])
    assert [action.target for action in only_group(decision).actions] == ["position-1"]


@pytest.mark.parametrize("mode", [{}, {"margin_mode": "isolated"}, {"margin_mode": None}])
def test_isolated_is_the_default(mode):
    config = {"action": "close_position"} | mode
    seen = make_context(config, handler=HANDLER, trade_id="trade-1", running=[make_trade()], cross_position=LONG)
    assert HANDLER.decide(seen).groups[0].trade_id == "trade-1"
    assert "cross_position" not in seen.reads.asked


@pytest.mark.parametrize("config", [{}, REDUCE, {"margin_threshold": 85}])
def test_where_nothing_is_held_there_is_nothing_to_guard(config):
    decision = decide(config, FLAT, price=None)
    assert isinstance(decision, Wait)
    assert decision.reason == "no_cross_position"
    assert decision.facts["tradeId"] == "position-1"


def test_a_position_that_can_not_be_read_is_not_taken_for_none():
    assert refusal(Unavailable, {}, None)


def test_a_trade_id_is_an_isolated_trades():
    error = refusal(InvalidJob, {}, trade_id="trade-1")
    assert (error.status, error.code) == (400, "trade_id_unexpected")


# The threshold


@pytest.mark.parametrize(
    ("position", "threshold", "price", "trigger", "acts"),
    [
        (LONG, 90, "41000.5", 41_000, False),
        (LONG, 90, "41000", 41_000, True),
        (LONG, 90, "35000", 41_000, True),
        (SHORT, 85, "58499.5", 58_500, False),
        (SHORT, 85, "58500", 58_500, True),
        (SHORT, 85, "70000", 58_500, True),
    ],
)
def test_threshold(position, threshold, price, trigger, acts):
    decision = decide({"margin_threshold": threshold}, position, price=price)
    facts = jsonable(decision.facts)
    assert (facts["currentPrice"], facts["triggerPrice"]) == (float(price), trigger)
    assert facts["marginMode"] == "cross"
    assert isinstance(decision, Act) is acts
    if not acts:
        assert decision.reason == "margin_threshold_not_reached"
        assert facts["tradeId"] == "position-1"


@pytest.mark.parametrize("price", [None, 0, -1])
def test_a_bad_price_is_never_safe(price):
    assert refusal(StaleData, {"margin_threshold": 85}, price=price).status == 503


@pytest.mark.parametrize(
    ("quantity", "liquidation"), [(100, 50_000), (100, 60_000), (100, 0), (-100, 40_000), (-100, 50_000)]
)
def test_a_bad_liquidation_is_never_safe(quantity, liquidation):
    position = make_cross_position(quantity=quantity, liquidation=D(liquidation))
    assert refusal(StaleData, {"margin_threshold": 85}, position).code == "liquidation_invalid"


@pytest.mark.parametrize("missing", ["entry_price", "liquidation"])
@pytest.mark.parametrize("quantity", [100, -100])
def test_a_missing_price_of_what_can_be_liquidated_is_never_safe(quantity, missing):
    position = replace(make_cross_position(quantity=quantity), **{missing: None})
    error = refusal(StaleData, {"margin_threshold": 85}, position)
    assert error.code == "liquidation_invalid"
    assert "shows no" in error.message


def test_not_even_a_long_with_a_full_wallet_is_safe_without_its_liquidation():
    position = make_cross_position(quantity=100, margin=100_000_000, liquidation=None)
    assert refusal(StaleData, {"margin_threshold": 85}, position).code == "liquidation_invalid"


@given(quantity=st.integers(1, 500_000), price=st.integers(2_000, 400_000), spare=st.integers(-1000, 1000))
def test_a_short_without_liquidation_is_safe_only_if_its_wallet_covers_all_it_can_lose(quantity, price, spare):
    worth = arithmetic.notional(quantity, D(price))
    margin = -(-worth.numerator // worth.denominator) + 7 + spare
    position = make_cross_position(
        quantity=-quantity, entry_price=price, margin=margin, maintenance_margin=7, liquidation=None
    )
    if Fraction(margin - 7) >= worth:
        decision = decide({"margin_threshold": 85}, position, price=price * 100)
        assert decision.reason == "margin_threshold_not_reached"
        assert decision.facts["liquidation"] == 100_000_000
    else:
        assert refusal(StaleData, {"margin_threshold": 85}, position).code == "liquidation_invalid"


def test_a_close_at_once_does_not_need_the_liquidation():
    assert isinstance(decide({}, replace(LONG, liquidation=None, entry_price=None)), Act)


# Reducing


@pytest.mark.parametrize(
    ("held", "percentage", "reduced"),
    [(100, 50, 50), (101, 50, 51), (100, "0.5", 1), (3, 34, 2), (500_000, "0.0001", 1), (100, 99, 99)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_reduce_is_one_order_rounded_up(held, percentage, reduced, sign):
    position = make_cross_position(quantity=sign * held)
    decision = decide(REDUCE | {"reduce_percentage": percentage}, position)
    side = "buy" if sign > 0 else "sell"
    assert decision.action == "reduce_position"
    assert only_group(decision).actions == (ReduceCrossPosition("position-1", side, held, reduced),)
    assert decision.facts["reducedQuantity"] == reduced
    assert decision.facts["remainingQuantity"] == held - reduced


@pytest.mark.parametrize(
    ("held", "percentage", "parts"),
    [
        (1_000_000, 50, [500_000]),
        (1_000_001, 50, [500_000, 1]),
        (1_500_000, 50, [500_000, 250_000]),
        (15_000_000, 10, [500_000, 500_000, 500_000]),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_what_no_single_order_takes_is_taken_by_several_the_largest_first(held, percentage, parts, sign):
    decision = decide(REDUCE | {"reduce_percentage": percentage}, make_cross_position(quantity=sign * held))
    actions = only_group(decision).actions
    assert [action.quantity for action in actions] == parts
    assert [action.held for action in actions] == [held - sum(parts[:done]) for done in range(len(parts))]
    assert decision.facts["reducedQuantity"] == sum(parts)
    assert decision.facts.get("orders", 1) == len(parts)


@pytest.mark.parametrize(("held", "percentage"), [(100, 100), (1, 1), (1, 99), (2, 51), (100, "99.5")])
def test_where_nothing_would_remain_it_is_closed(held, percentage):
    decision = decide(REDUCE | {"reduce_percentage": percentage}, make_cross_position(quantity=held))
    assert decision.action == "close_position"
    assert only_group(decision).actions == (CloseCrossPosition("position-1", "buy", held),)
    assert decision.facts["reason"] == "remainder_below_1_usd"


@given(held=st.integers(1, 15_000_000), percentage=st.decimals(D("0.01"), 100, places=2), sign=st.sampled_from([1, -1]))
def test_a_reduce_never_takes_less_than_asked_for_and_never_turns_the_position(held, percentage, sign):
    group = only_group(
        decide(REDUCE | {"reduce_percentage": str(percentage)}, make_cross_position(quantity=sign * held))
    )
    if isinstance(group.actions[0], ReduceCrossPosition):
        quantities = [action.quantity for action in group.actions]
        assert all(0 < quantity <= arithmetic.MAX_QUANTITY for quantity in quantities)
        assert 0 < sum(quantities) < held
        assert sum(quantities) >= Fraction(percentage) * held / 100 > sum(quantities) - 1
    else:
        assert len(group.actions) == 1
        assert Fraction(percentage) * held / 100 > held - 1


# The config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"action": "add_margin", "add_margin_amount": 1000}, "margin_mode: cross has no add_margin"),
        ({"scope": "all", "margin_threshold": 85}, "scope: an account has one cross position"),
        ({"scope": "selected", "selected_positions": ["a"], "margin_threshold": 85}, "scope: an account has one"),
        ({"selected_positions": ["a"]}, "selected_positions: an account has one cross position"),
        ({"action": "reduce_position"}, "reduce_percentage: missing"),
        ({"margin_mode": "crossed"}, "margin_mode"),
        ({"margin_mode": ""}, "margin_mode"),
    ],
)
def test_what_makes_no_sense_is_refused(config, message):
    with pytest.raises(InvalidConfig, match=message):
        context(config)


def test_a_jobs_add_margin_is_refused_too():
    with pytest.raises(InvalidConfig, match="add_margin"):
        context({"add_margin_amount": 1000}, action="add_margin")


def test_what_is_about_reopening_counts_as_left_out_and_is_said():
    config = REDUCE | {"margin_mode": "cross", "if_unaffordable": "", "max_reopen_slippage_percent": 0}
    assert HANDLER.parse_config(config, "reduce_position").if_unaffordable == "refuse"
    assert HANDLER.ignored(config) == ("if_unaffordable", "max_reopen_slippage_percent")
    assert HANDLER.ignored(REDUCE | {"if_unaffordable": "close"}) == ()
    with pytest.raises(InvalidConfig):
        HANDLER.parse_config(config | {"margin_mode": "isolated"}, "reduce_position")
