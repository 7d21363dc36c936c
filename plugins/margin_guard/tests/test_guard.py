"""The guard of one trade: the handler with plain values in, decisions out."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from axisor_executor.automation import Act, AddMargin, ClosePosition, OpenPosition, Wait, jsonable
from axisor_executor.errors import InvalidJob, NotFound, Refused, StaleData
from axisor_executor.testing import NOW, make_context, make_trade
from axisor_margin_guard import MarginGuard

D = Decimal
HANDLER = MarginGuard()
LONG = make_trade(id="long", side="buy", liquidation=D(40_000))
SHORT = make_trade(id="short", side="sell", liquidation=D(60_000))


def context(config, **facts):
    facts.setdefault("trade_id", "long")
    facts.setdefault("running", (LONG, SHORT))
    return make_context({"action": "close_position"} | config, handler=HANDLER, **facts)


def decide(config, **facts):
    decision = HANDLER.decide(context(config, **facts))
    json.dumps(decision.as_dict())
    if isinstance(decision, Act):
        assert Act.from_dict(decision.as_dict()).as_dict() == decision.as_dict()
    return decision


def only_group(decision):
    assert isinstance(decision, Act)
    assert not decision.lists_trades
    (group,) = decision.groups
    return group


def refusal(error, config, **facts):
    with pytest.raises(error) as caught:
        HANDLER.decide(context(config, **facts))
    json.dumps(caught.value.as_dict())
    return caught.value


def test_what_it_registers():
    assert (HANDLER.type, HANDLER.title) == ("margin_guard", "Margin Guard")
    assert HANDLER.actions == dict.fromkeys(("close_position", "reduce_position", "add_margin"), "protect")


def test_close_at_once():
    decision = decide({})
    assert decision.action == "close_position"
    assert only_group(decision).actions == (ClosePosition("long"),)
    assert only_group(decision).trade_id == "long"


def test_close_at_once_reads_neither_price_nor_balance():
    seen = context({}, price=None, balance=None)
    assert only_group(HANDLER.decide(seen)).actions == (ClosePosition("long"),)
    assert not {"price", "balance"} & set(seen.reads.asked)


def test_a_trade_is_needed():
    error = refusal(InvalidJob, {}, trade_id=None)
    assert (error.status, error.code) == (400, "trade_id_missing")


def test_a_trade_that_is_not_on_this_account():
    error = refusal(NotFound, {}, trade_id="someone-elses")
    assert (error.status, error.code) == (404, "trade_not_found")


@pytest.mark.parametrize("elsewhere", [{"open_orders": None}, {"finished": None}])
def test_a_running_trade_is_found_whatever_else_can_not_be_read(elsewhere):
    seen = context({}, **elsewhere)
    assert only_group(HANDLER.decide(seen)).actions == (ClosePosition("long"),)
    assert seen.reads.asked == ["running"]


def test_the_lineage_is_followed():
    group = only_group(decide({}, trade_id="ancient", lineage={"ancient": "old", "old": "short"}))
    assert group.actions == (ClosePosition("short"),)


@pytest.mark.parametrize("state", ["closed", "canceled"])
def test_closing_what_is_over_is_done_already(state):
    over = make_trade(id="gone", state=state)
    decision = decide({"margin_threshold": 85}, trade_id="gone", finished=[over], price=None)
    assert decision.action == "close_position"
    assert only_group(decision).actions == ()
    assert only_group(decision).status == "completed"
    assert decision.facts == {"alreadyClosed": True, "state": state}


@pytest.mark.parametrize(
    "config",
    [
        {"action": "reduce_position", "reduce_percentage": 50},
        {"action": "add_margin", "add_margin_amount": 1000},
    ],
)
@pytest.mark.parametrize("state", ["closed", "canceled", "open"])
def test_nothing_else_can_be_done_to_a_trade_that_does_not_run(config, state):
    trade = make_trade(id="gone", state=state)
    where = {"open_orders": [trade]} if state == "open" else {"finished": [trade]}
    error = refusal(Refused, config, trade_id="gone", **where)
    assert (error.status, error.code) == (400, "trade_not_running")
    assert state in error.message


def test_an_unfilled_order_is_not_closed():
    error = refusal(Refused, {}, trade_id="order", open_orders=[make_trade(id="order", state="open")])
    assert error.code == "trade_not_running"
    assert "is open, not running" in error.message


# The threshold


@pytest.mark.parametrize(
    ("trade_id", "threshold", "price", "trigger", "acts"),
    [
        ("long", 90, "41000.5", 41_000, False),
        ("long", 90, "41000", 41_000, True),
        ("long", 90, "35000", 41_000, True),
        ("short", 85, "58499.5", 58_500, False),
        ("short", 85, "58500", 58_500, True),
        ("short", 85, "70000", 58_500, True),
    ],
)
def test_threshold(trade_id, threshold, price, trigger, acts):
    decision = decide({"margin_threshold": threshold}, trade_id=trade_id, price=price)
    facts = jsonable(decision.facts)
    assert (facts["currentPrice"], facts["triggerPrice"]) == (float(price), trigger)
    assert isinstance(decision, Act) is acts
    if not acts:
        assert isinstance(decision, Wait)
        assert decision.reason == "margin_threshold_not_reached"
        assert facts["tradeId"] == trade_id


def test_waiting_does_not_need_the_balance():
    config = {"action": "add_margin", "add_margin_amount": 1000, "margin_threshold": 85}
    assert isinstance(decide(config, balance=None), Wait)


@pytest.mark.parametrize("price", [None, 0, -1])
def test_a_bad_price_is_never_safe(price):
    error = refusal(StaleData, {"margin_threshold": 85}, price=price)
    assert error.status == 503


@pytest.mark.parametrize(
    ("side", "liquidation"), [("buy", 50_000), ("buy", 60_000), ("buy", 0), ("sell", 40_000), ("sell", 50_000)]
)
def test_a_bad_liquidation_is_never_safe(side, liquidation):
    trade = make_trade(id="bad", side=side, liquidation=D(liquidation))
    error = refusal(StaleData, {"margin_threshold": 85}, trade_id="bad", running=[trade])
    assert error.code == "liquidation_invalid"


def test_a_short_without_liquidation_is_far_away():
    trade = make_trade(id="safe", side="sell", quantity=1000, entry_price=110_000, leverage=1)
    assert trade.liquidation == 100_000_000
    decision = decide({"margin_threshold": 85}, trade_id="safe", running=[trade], price=200_000)
    assert isinstance(decision, Wait)
    assert decision.facts["triggerPrice"] == D("85016500")


def test_without_an_entry_price_the_orders_price_counts():
    unknown = replace(LONG, entry_price=None)
    decision = decide({"margin_threshold": 90}, running=[unknown], price=41_000)
    assert isinstance(decision, Act)


# Adding margin


def test_add_margin():
    decision = decide({"action": "add_margin", "add_margin_amount": "5000"})
    assert decision.action == "add_margin"
    assert only_group(decision).actions == (AddMargin("long", 5000),)
    assert decision.facts == {"addedMargin": 5000, "margin": LONG.margin + 5000}


@pytest.mark.parametrize(("balance", "enough"), [(5000, True), (4999, False), (0, False)])
def test_the_balance_must_cover_it(balance, enough):
    config = {"action": "add_margin", "add_margin_amount": 5000}
    if enough:
        decide(config, balance=balance)
    else:
        error = refusal(Refused, config, balance=balance)
        assert (error.status, error.code) == (400, "insufficient_balance")
        assert error.details["required"] == 5000


def test_the_leverage_must_stay_at_or_above_one():
    worth = 200_000  # 100 USD at 50 000
    most = worth - LONG.margin
    decide({"action": "add_margin", "add_margin_amount": most})
    error = refusal(Refused, {"action": "add_margin", "add_margin_amount": most + 1})
    assert error.code == "leverage_below_one"
    assert error.details["maxAmount"] == most


def test_an_unreadable_balance_is_passed_on():
    assert refusal(StaleData, {"action": "add_margin", "add_margin_amount": 5000}, balance=None)


# Reducing

REDUCE = {"action": "reduce_position", "reduce_percentage": 50}


def test_reduce_is_close_and_reopen_in_one_group():
    trade = make_trade(id="long", quantity=101, stoploss=D(46_000), takeprofit=D(60_000))
    decision = decide(REDUCE, running=[trade], price=49_000)
    assert decision.action == "reduce_position"
    assert only_group(decision).actions == (
        ClosePosition("long"),
        OpenPosition(
            side="buy",
            quantity=50,
            leverage=D(10),
            stoploss=D(46_000),
            takeprofit=D(60_000),
            replaces="long",
            reference_price=D(49_000),
            max_slippage_percent=D(1),
        ),
    )
    assert decision.facts == {"oldTradeId": "long", "reducedQuantity": 51, "remainingQuantity": 50}
    assert only_group(decision).facts == decision.facts


def test_a_short_is_reopened_short():
    close, reopen = only_group(decide(REDUCE, trade_id="short")).actions
    assert close == ClosePosition("short")
    assert (reopen.side, reopen.replaces) == ("sell", "short")


def test_the_slippage_bound_is_the_configs():
    _, reopen = only_group(decide(REDUCE | {"max_reopen_slippage_percent": "0.25"})).actions
    assert reopen.max_slippage_percent == D("0.25")


@pytest.mark.parametrize(("percentage", "closed"), [(7, 7), (0.07 * 100, 7), ("7.000000000000001", 7), (7.1, 8)])
def test_what_binary_adds_to_a_percentage_closes_nothing(percentage, closed):
    trade = make_trade(id="long", quantity=100)
    decision = decide(REDUCE | {"reduce_percentage": percentage}, running=[trade])
    assert decision.facts["reducedQuantity"] == closed


@pytest.mark.parametrize(("quantity", "percentage"), [(1, 1), (1, 99), (100, 100), (2, 51), (100, 99.5)])
def test_a_remainder_below_one_dollar_closes_outright(quantity, percentage):
    trade = make_trade(id="long", quantity=quantity)
    decision = decide(REDUCE | {"reduce_percentage": percentage}, running=[trade])
    assert decision.action == "close_position"
    assert only_group(decision).action == "close_position"
    assert only_group(decision).actions == (ClosePosition("long"),)
    assert decision.facts["reason"] == "remainder_below_1_usd"
    assert decision.facts["remainingQuantity"] == 0


def test_what_is_no_longer_valid_is_dropped_and_said():
    trade = make_trade(id="long", stoploss=D(48_000), takeprofit=D(60_000), last_price=47_000)
    decision = decide(REDUCE, running=[trade], price=47_000)
    _, reopen = only_group(decision).actions
    assert (reopen.stoploss, reopen.takeprofit) == (None, D(60_000))
    assert "below the market" in decision.facts["dropped"]["stoploss"]


def test_a_trailing_stop_becomes_a_fixed_one_and_this_is_said():
    trade = make_trade(id="long", stoploss=D(48_000), stoploss_trailing_distance=D(2_000))
    decision = decide(REDUCE, running=[trade])
    assert only_group(decision).actions[1].stoploss == 48_000
    assert decision.facts["stoplossNoLongerTrailing"] is True


def losing_trade():
    """100 USD long from 50 000 at 10x: at 45 500 the loss has eaten almost all of the 20 000 sats of margin."""
    return make_trade(id="long", quantity=100, last_price=45_500)


def test_unaffordable_is_refused_before_anything_is_closed():
    error = refusal(Refused, REDUCE, running=[losing_trade()], price=45_500, balance=0)
    assert (error.status, error.code) == (400, "reduce_unaffordable")
    assert error.details["required"] > error.details["freed"] + error.details["available"]


def test_unaffordable_may_close():
    decision = decide(REDUCE | {"if_unaffordable": "close"}, running=[losing_trade()], price=45_500, balance=0)
    assert decision.action == "close_position"
    assert only_group(decision).actions == (ClosePosition("long"),)
    assert decision.facts["reason"] == "reduce_unaffordable"


def test_affordability_has_an_exact_edge():
    error = refusal(Refused, REDUCE, running=[losing_trade()], price=45_500, balance=0)
    needed = error.details["required"] - error.details["freed"]
    assert len(only_group(decide(REDUCE, running=[losing_trade()], price=45_500, balance=needed)).actions) == 2
    assert refusal(Refused, REDUCE, running=[losing_trade()], price=45_500, balance=needed - 1)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_balance_must_suffice_anywhere_within_the_slippage_bound(side):
    """At 47 850 (52 300) the loss leaves as much as the half takes; 1 % against the trade is a tenth of the margin."""
    price = 47_850 if side == "buy" else 52_300
    trade = make_trade(id="t", side=side, quantity=100, last_price=price)
    facts = {"trade_id": "t", "running": [trade], "price": price}
    error = refusal(Refused, REDUCE, balance=0, **facts)
    assert error.code == "reduce_unaffordable"
    missing = error.details["required"] - error.details["freed"]
    assert error.details["requiredAtLastPrice"] <= error.details["freedAtLastPrice"]
    assert error.details["maxReopenSlippagePercent"] == 1
    for number in (error.details["required"], error.details["freed"], missing):
        assert str(number) in error.message
    assert "a smaller max_reopen_slippage_percent asks for less" in error.message
    assert len(only_group(decide(REDUCE, balance=missing, **facts)).actions) == 2
    narrow = REDUCE | {"max_reopen_slippage_percent": "0.05"}
    assert len(only_group(decide(narrow, balance=0, **facts)).actions) == 2
    closing = decide(REDUCE | {"if_unaffordable": "close"}, balance=0, **facts)
    assert (closing.action, closing.facts["reason"]) == ("close_position", "reduce_unaffordable")


def test_where_a_narrow_bound_would_not_help_none_is_proposed():
    error = refusal(Refused, REDUCE, running=[losing_trade()], price=45_500, balance=0)
    assert "asks for less" not in error.message


@pytest.mark.parametrize("bound", [99, 100])
def test_a_bound_that_no_balance_covers_refuses(bound):
    config = REDUCE | {"max_reopen_slippage_percent": bound}
    assert refusal(Refused, config).code == "reduce_unaffordable"


def test_reduce_needs_a_good_price():
    assert refusal(StaleData, REDUCE, price=None)


@pytest.mark.parametrize(("price", "stoploss"), [("50000.25", None), ("50000", "48000.3")])
def test_a_price_between_the_steps_of_the_exchange_disarms_nothing(price, stoploss):
    trailing = {} if stoploss is None else {"stoploss": D(stoploss), "stoploss_trailing_distance": D("1.5")}
    group = only_group(decide(REDUCE, running=[make_trade(id="long", quantity=100, **trailing)], price=price))
    assert group.action == "reduce_position"
    assert group.actions[1].reference_price == D(price)
    assert group.actions[1].stoploss == (None if stoploss is None else D(48_000))


def test_values_that_no_trade_has_are_an_error_of_the_data():
    broken = make_trade(id="long", takeprofit=D("60000.3"))
    assert refusal(StaleData, REDUCE, running=[broken]).code == "trade_invalid"


def test_a_trade_that_is_cooling_down_is_refused_nothing():
    config = {"action": "add_margin", "add_margin_amount": 1000, "cooldown_seconds": 300}
    facts = {"trade_id": "old", "lineage": {"old": "long"}, "balance": 0}
    decision = decide(config, acted_on={"old": NOW - timedelta(seconds=299)}, **facts)
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.facts) == ("cooldown", {"tradeId": "long", "cooldownSeconds": 300})
    assert refusal(Refused, config, acted_on={"short": NOW}, **facts).code == "insufficient_balance"
    at_risk = config | {"margin_threshold": 90}
    assert decide(at_risk, acted_on={"long": NOW}, price=42_000).reason == "margin_threshold_not_reached"
    assert decide(at_risk, acted_on={"long": NOW}, price=41_000).reason == "cooldown"


def test_the_same_context_gives_the_same_decision():
    seen = context(REDUCE)
    assert HANDLER.decide(seen) == HANDLER.decide(seen)


def test_the_jobs_action_overrides_the_configs():
    both = {"action": "add_margin", "add_margin_amount": 1000, "reduce_percentage": 50}
    assert decide(both, action="reduce_position").action == "reduce_position"
    assert decide(both, action="margin_guard").action == "add_margin"
