"""The handler with plain values in, decisions out."""

import json
from decimal import Decimal

import pytest

from axisor_auto_entry import AutoEntry
from axisor_executor.automation import Act, OpenPosition, Wait, jsonable
from axisor_executor.errors import Refused, StaleData
from axisor_executor.testing import make_context, make_trade

D = Decimal
HANDLER = AutoEntry()


def context(config=None, **facts):
    return make_context({"side": "b", "quantity": 100} | (config or {}), handler=HANDLER, **facts)


def decide(config=None, **facts):
    decision = HANDLER.decide(context(config, **facts))
    json.dumps(decision.as_dict())
    return decision


def order_of(decision):
    assert isinstance(decision, Act)
    assert decision.action == "auto_entry_executed"
    ((order,),) = [group.actions for group in decision.groups]
    assert isinstance(order, OpenPosition)
    return order


def refusal(error, config=None, **facts):
    with pytest.raises(error) as caught:
        HANDLER.decide(context(config, **facts))
    json.dumps(caught.value.as_dict())
    return caught.value


def test_what_it_registers():
    assert (HANDLER.type, HANDLER.title) == ("auto_entry", "Auto Entry")
    assert HANDLER.actions == {"open_position": "default"}
    assert HANDLER.entries == {"open_position"}


@pytest.mark.parametrize(("written", "side", "letter"), [("b", "buy", "b"), ("SELL", "sell", "s")])
def test_at_once(written, side, letter):
    decision = decide({"side": written})
    assert order_of(decision) == OpenPosition(side=side, quantity=100, leverage=D(10))
    assert jsonable(decision.facts) == {"side": letter, "quantity": 100, "leverage": 10, "market": "btcusd"}
    assert decision.groups[0].trade_id is None


def test_everything_is_passed_on():
    order = order_of(decide({"leverage": "2.5", "quantity": 7, "stoploss": 45_000, "takeprofit": "60000.5"}))
    assert order == OpenPosition(side="buy", quantity=7, leverage=D("2.5"), stoploss=D(45_000), takeprofit=D("60000.5"))


@pytest.mark.parametrize(
    ("side", "price", "acts"),
    [
        ("b", "50000", True),
        ("b", "49000", True),
        ("b", "50000.5", False),
        ("s", "50000", True),
        ("s", "51000", True),
        ("s", "49999.5", False),
    ],
)
def test_waiting_for_the_price(side, price, acts):
    decision = decide({"side": side, "trigger_price": 50_000}, price=price)
    if acts:
        assert order_of(decision).type == "market"
    else:
        assert isinstance(decision, Wait)
        assert decision.reason == "price_not_triggered"
        assert jsonable(decision.facts) == {"currentPrice": float(price), "triggerPrice": 50_000}


@pytest.mark.parametrize(("side", "price"), [("b", 55_000), ("b", 45_000), ("s", 45_000), ("s", 55_000)])
def test_a_limit_order_is_placed_at_once(side, price):
    order = order_of(decide({"side": side, "trigger_price": 50_000, "trigger_type": "limit"}, price=price))
    assert (order.type, order.price) == ("limit", 50_000)


@pytest.mark.parametrize(("open_trades", "acts"), [(0, True), (1, True), (2, False), (3, False)])
def test_max_open_trades_counts_this_automations_own(open_trades, acts):
    own = [make_trade(id=f"own-{index}") for index in range(open_trades)]
    others = [make_trade(id=f"other-{index}") for index in range(5)]
    decision = decide({"max_open_trades": 2}, own=own, running=[*own, *others])
    if acts:
        order_of(decision)
    else:
        assert isinstance(decision, Wait)
        assert decision.reason == "max_open_trades_reached"
        assert decision.facts == {"openTrades": open_trades, "maxOpenTrades": 2}


def test_a_full_automation_reads_no_price():
    assert isinstance(decide({"max_open_trades": 1}, own=[make_trade()], price=None), Wait)


@pytest.mark.parametrize("price", [None, 0, -1])
@pytest.mark.parametrize(
    "config",
    [
        {"trigger_price": 50_000},
        {"stoploss": 46_000},
        {"takeprofit": 60_000},
        {"trigger_price": 50_000, "trigger_type": "limit", "stoploss": 46_000},
    ],
)
def test_a_bad_price_is_an_error(price, config):
    assert refusal(StaleData, config, price=price).status == 503


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({}, set()),
        ({"trigger_price": 50_000, "trigger_type": "limit"}, set()),
        ({"trigger_price": 50_000}, {"price"}),
        ({"stoploss": 46_000}, {"price"}),
        ({"takeprofit": 60_000}, {"price"}),
        ({"trigger_price": 50_000, "trigger_type": "limit", "takeprofit": 60_000}, {"price"}),
    ],
)
def test_nothing_is_read_that_the_decision_does_not_need(config, asked):
    seen = context(config)
    order_of(HANDLER.decide(seen))
    assert set(seen.reads.asked) == asked


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"side": "b", "stoploss": 50_000}, "stoploss_invalid"),
        ({"side": "b", "stoploss": 45_454}, "stoploss_invalid"),  # beyond the liquidation of 45 454.5
        ({"side": "b", "takeprofit": 50_000}, "takeprofit_invalid"),
        ({"side": "s", "stoploss": 50_000}, "stoploss_invalid"),
        ({"side": "s", "stoploss": 55_556}, "stoploss_invalid"),
        ({"side": "s", "takeprofit": 50_000}, "takeprofit_invalid"),
    ],
)
def test_protection_on_the_wrong_side(config, code):
    error = refusal(Refused, config)
    assert (error.status, error.code) == (400, code)


def test_a_limit_orders_protection_is_measured_from_its_own_price():
    config = {"trigger_price": 40_000, "trigger_type": "limit", "stoploss": 38_000, "takeprofit": 45_000}
    assert order_of(decide(config, price=50_000)).takeprofit == 45_000
    assert refusal(Refused, config | {"stoploss": 40_000}, price=50_000).code == "stoploss_invalid"


def test_the_protection_of_an_order_that_crosses_the_market_must_fit_both_prices():
    """It may fill at the market at once, or rest at its own price."""
    config = {"trigger_price": 51_000, "trigger_type": "limit"}
    order = order_of(decide(config | {"stoploss": 48_000, "takeprofit": 52_000}, price=50_000))
    assert (order.price, order.stoploss, order.takeprofit) == (51_000, 48_000, 52_000)
    assert refusal(Refused, config | {"takeprofit": 50_500}, price=50_000).code == "takeprofit_invalid"
    assert refusal(Refused, config | {"stoploss": 50_500}, price=50_000).code == "stoploss_invalid"


def test_the_jobs_trade_means_nothing_to_an_entry():
    assert order_of(decide(trade_id="any")) == order_of(decide())


def test_the_same_context_gives_the_same_decision():
    seen = context()
    assert HANDLER.decide(seen) == HANDLER.decide(seen)
