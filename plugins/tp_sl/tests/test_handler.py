"""The handler with plain values in, decisions out."""

import json
from decimal import Decimal

import pytest

from axisor_executor.automation import Act, ClosePosition, SetStopLoss, SetTakeProfit, Wait, jsonable
from axisor_executor.errors import NotFound, Refused, StaleData
from axisor_executor.testing import make_context, make_trade
from axisor_tp_sl import TpSl

D = Decimal
HANDLER = TpSl()
LONG = make_trade(id="long", side="buy", quantity=100, leverage=10)  # entry 50 000, liquidation 45 454.5
SHORT = make_trade(id="short", side="sell", quantity=100, leverage=10)  # liquidation 55 555.5
CLOSES = ["close_tp", "close_sl"]


def context(action, running=(LONG,), **facts):
    config = {"action": action}
    names = ("new_takeprofit", "new_stoploss", "trigger_price", "trigger_pnl_percentage")
    config |= {name: facts.pop(name) for name in names if name in facts}
    return make_context(config, handler=HANDLER, running=running, **facts)


def decide(action, **facts):
    decision = HANDLER.decide(context(action, **facts))
    json.dumps(decision.as_dict())
    return decision


def refusal(error, action, **facts):
    with pytest.raises(error) as caught:
        HANDLER.decide(context(action, **facts))
    json.dumps(caught.value.as_dict())
    return caught.value


def actions_of(decision):
    assert isinstance(decision, Act)
    assert decision.action == "tp_sl_executed"
    (group,) = decision.groups
    return group.actions


def test_what_it_registers():
    assert (HANDLER.type, HANDLER.title) == ("tp_sl", "TP/SL")
    assert HANDLER.actions == {
        "update_tp": "default",
        "update_sl": "protect",
        "close_tp": "protect",
        "close_sl": "protect",
    }


# Which trade


@pytest.mark.parametrize("action", CLOSES)
def test_the_one_running_trade_is_meant(action):
    decision = decide(action)
    assert actions_of(decision) == (ClosePosition("long"),)
    assert decision.groups[0].trade_id == "long"
    assert decision.facts == {"action": action}


def test_an_unconditional_close_reads_neither_price_nor_balance():
    seen = context("close_sl", price=None, balance=None)
    assert actions_of(HANDLER.decide(seen)) == (ClosePosition("long"),)
    assert not {"price", "balance"} & set(seen.reads.asked)


def test_of_several_none_is_taken():
    error = refusal(Refused, "close_sl", running=(LONG, SHORT))
    assert (error.status, error.code) == (400, "trade_ambiguous")
    assert error.details == {"tradeIds": ["long", "short"]}
    assert "long, short" in error.message


def test_none_running():
    error = refusal(NotFound, "close_sl", running=(), open_orders=[make_trade(id="order", state="open")])
    assert (error.status, error.code) == (404, "trade_not_found")


def test_the_jobs_trade_goes_first_and_follows_the_lineage():
    decision = decide("close_sl", running=(LONG, SHORT), trade_id="old", lineage={"old": "short"})
    assert actions_of(decision) == (ClosePosition("short"),)


def test_a_trade_that_is_not_on_this_account():
    assert refusal(NotFound, "close_sl", trade_id="someone-elses").status == 404


@pytest.mark.parametrize("action", CLOSES)
@pytest.mark.parametrize("state", ["closed", "canceled"])
def test_closing_what_is_over_is_done_already(action, state):
    over = make_trade(id="gone", state=state)
    decision = decide(action, trade_id="gone", finished=[over], trigger_price=1, price=None)
    assert actions_of(decision) == ()
    assert decision.facts == {"action": action, "alreadyClosed": True, "state": state}


@pytest.mark.parametrize("state", ["closed", "canceled", "open"])
@pytest.mark.parametrize("action", ["update_tp", "update_sl"])
def test_what_does_not_run_is_not_updated(action, state):
    trade = make_trade(id="gone", state=state)
    where = {"open_orders": [trade]} if state == "open" else {"finished": [trade]}
    error = refusal(Refused, action, trade_id="gone", new_takeprofit=60_000, new_stoploss=48_000, **where)
    assert error.code == "trade_not_running"


@pytest.mark.parametrize("action", CLOSES)
def test_an_unfilled_order_is_not_closed(action):
    error = refusal(Refused, action, trade_id="order", open_orders=[make_trade(id="order", state="open")])
    assert error.code == "trade_not_running"


# Conditions


@pytest.mark.parametrize(
    ("action", "trade", "price", "acts"),
    [
        ("close_tp", LONG, 52_000, True),
        ("close_tp", LONG, "51999.5", False),
        ("close_sl", LONG, 52_000, True),
        ("close_sl", LONG, "52000.5", False),
        ("close_tp", SHORT, 52_000, True),
        ("close_tp", SHORT, "52000.5", False),
        ("close_sl", SHORT, 52_000, True),
        ("close_sl", SHORT, "51999.5", False),
        ("update_tp", LONG, 52_000, True),
        ("update_tp", LONG, 51_000, False),
        ("update_sl", LONG, 52_000, True),
        ("update_sl", LONG, 51_000, False),
    ],
)
def test_trigger_price(action, trade, price, acts):
    values = {"new_takeprofit": 60_000, "new_stoploss": 49_000} if trade is LONG else {}
    decision = decide(action, running=[trade], price=price, trigger_price=52_000, **values)
    assert isinstance(decision, Act) is acts
    if not acts:
        assert decision.reason == "price_not_triggered"
        assert jsonable(decision.facts) == {
            "tradeId": trade.id,
            "action": action,
            "currentPrice": float(price),
            "triggerPrice": 52_000,
        }


@pytest.mark.parametrize(
    ("pl", "wanted", "acts"), [(5000, 25, True), (4999, 25, False), (-5000, -25, True), (-4999, -25, False)]
)
def test_trigger_pnl(pl, wanted, acts):
    trade = make_trade(id="t", pl=pl, margin=20_000)
    decision = decide("close_sl", running=[trade], trigger_pnl_percentage=wanted, price=None)
    assert isinstance(decision, Act) is acts
    if not acts:
        assert decision.reason == "pnl_not_triggered"
        facts = jsonable(decision.facts)
        assert (facts["tradeId"], facts["action"]) == ("t", "close_sl")  # the job names no trade
        assert facts["currentPnlPercentage"] == pytest.approx(100 * pl / 20_000)
        assert facts["triggerPnlPercentage"] == wanted


def test_a_loss_of_more_than_the_margin_never_comes():
    trade = make_trade(id="t", pl=-20_000, margin=20_000)
    assert decide("close_sl", running=[trade], trigger_pnl_percentage=-101).reason == "pnl_not_triggered"


def test_a_running_trade_is_found_whatever_else_can_not_be_read():
    seen = context("close_sl", trade_id="long", open_orders=None, finished=None)
    assert actions_of(HANDLER.decide(seen)) == (ClosePosition("long"),)
    assert seen.reads.asked == ["running"]


@pytest.mark.parametrize(
    ("price", "pl", "reason"),
    [
        (53_000, 5000, None),
        (51_000, 5000, "price_not_triggered"),
        (53_000, 0, "pnl_not_triggered"),
        (51_000, 0, "price_not_triggered"),
    ],
)
def test_both_conditions_must_hold(price, pl, reason):
    trade = make_trade(id="t", pl=pl, margin=20_000)
    decision = decide("close_tp", running=[trade], price=price, trigger_price=52_000, trigger_pnl_percentage=25)
    assert (decision.reason if isinstance(decision, Wait) else None) == reason


@pytest.mark.parametrize("margin", [0, -1])
def test_a_trade_without_margin_is_an_error(margin):
    trade = make_trade(id="t", margin=margin)
    assert refusal(StaleData, "close_sl", running=[trade], trigger_pnl_percentage=-10).code == "margin_invalid"


@pytest.mark.parametrize("price", [None, 0, -1])
@pytest.mark.parametrize("action", [*CLOSES, "update_tp", "update_sl"])
def test_a_bad_price_is_an_error(action, price):
    values = {"new_takeprofit": 60_000, "new_stoploss": 49_000}
    assert refusal(StaleData, action, price=price, trigger_price=52_000, **values).status == 503


# Updates


def test_update_takeprofit():
    trade = make_trade(id="t", takeprofit=D(55_000))
    decision = decide("update_tp", running=[trade], new_takeprofit="60000.5")
    assert actions_of(decision) == (SetTakeProfit("t", D("60000.5")),)
    assert jsonable(decision.facts) == {
        "action": "update_tp",
        "takeprofit": 60_000.5,
        "previousTakeprofit": 55_000,
    }


def test_update_stoploss():
    decision = decide("update_sl", new_stoploss=48_000)
    assert actions_of(decision) == (SetStopLoss("long", D(48_000)),)
    assert jsonable(decision.facts) == {"action": "update_sl", "stoploss": 48_000, "previousStoploss": None}


@pytest.mark.parametrize(
    ("action", "field", "config"),
    [("update_tp", "takeprofit", "new_takeprofit"), ("update_sl", "stoploss", "new_stoploss")],
)
def test_what_is_set_already_is_done_and_nothing_is_sent(action, field, config):
    trade = make_trade(id="t", **{field: D("48000.0")})
    decision = decide(action, running=[trade], price=None, **{config: 48_000})
    assert actions_of(decision) == ()
    assert jsonable(decision.facts) == {"action": action, "alreadySet": True, field: 48_000}


def test_a_condition_comes_before_what_is_set_already():
    trade = make_trade(id="t", takeprofit=D(60_000))
    decision = decide("update_tp", running=[trade], new_takeprofit=60_000, trigger_price=52_000)
    assert isinstance(decision, Wait)


def test_a_trailing_stop_at_the_same_price_is_another_one():
    trade = make_trade(id="t", stoploss=D(48_000), stoploss_trailing_distance=D(2_000))
    assert actions_of(decide("update_sl", running=[trade], new_stoploss=48_000))


@pytest.mark.parametrize(
    ("trade", "value", "price", "word"),
    [
        (LONG, 50_000, 49_000, "entry price"),
        (LONG, 52_000, 52_000, "market"),
        (LONG, 51_999.5, 52_000, "market"),
        (SHORT, 50_000, 51_000, "entry price"),
        (SHORT, 48_000, 48_000, "market"),
    ],
)
def test_a_take_profit_on_the_wrong_side(trade, value, price, word):
    error = refusal(Refused, "update_tp", running=[trade], new_takeprofit=value, price=price)
    assert (error.status, error.code) == (400, "takeprofit_invalid")
    assert word in error.message


@pytest.mark.parametrize(
    ("trade", "value", "word"),
    [
        (LONG, 50_000, "market"),
        (LONG, 51_000, "market"),
        (LONG, 45_454, "liquidation"),
        (SHORT, 50_000, "market"),
        (SHORT, 49_000, "market"),
        (SHORT, 55_556, "liquidation"),
    ],
)
def test_a_stop_loss_on_the_wrong_side(trade, value, word):
    error = refusal(Refused, "update_sl", running=[trade], new_stoploss=value)
    assert (error.status, error.code) == (400, "stoploss_invalid")
    assert word in error.message


@pytest.mark.parametrize(("trade", "value"), [(LONG, 45_454.5), (LONG, 49_999.5), (SHORT, 55_555.5), (SHORT, 50_000.5)])
def test_stop_losses_at_the_edge_are_taken(trade, value):
    assert actions_of(decide("update_sl", running=[trade], new_stoploss=value))


def test_a_stop_loss_stays_below_the_take_profit():
    trade = make_trade(id="t", takeprofit=D(48_000), entry_price=45_000)
    error = refusal(Refused, "update_sl", running=[trade], new_stoploss=48_500)
    assert "take profit" in error.message


def test_a_trade_without_liquidation_is_an_error():
    trade = make_trade(id="t", liquidation=D(0))
    assert refusal(StaleData, "update_sl", running=[trade], new_stoploss=48_000).code == "trade_invalid"


def test_the_same_context_gives_the_same_decision():
    seen = context("update_sl", new_stoploss=48_000)
    assert HANDLER.decide(seen) == HANDLER.decide(seen)
