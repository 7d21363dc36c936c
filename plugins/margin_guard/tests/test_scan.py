"""A pass over several trades: who is acted on, in which order, with which money, and what is listed."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import Act, AddMargin, ClosePosition, OpenPosition, Wait
from axisor_executor.errors import Held, NotFound, Refused, StaleData, Unavailable
from axisor_executor.testing import NOW, PlainReads, make_context, make_trade
from axisor_margin_guard import MarginGuard

D = Decimal
HANDLER = MarginGuard()
ALL = {"action": "close_position", "scope": "all", "margin_threshold": 90}

# At 41 000: at risk are near (3 000 past its trigger) and edge (just there); far is not, nor is the short.
NEAR = make_trade(id="near", liquidation=D(40_900))
EDGE = make_trade(id="edge", liquidation=D(40_000))
FAR = make_trade(id="far", liquidation=D(20_000))
SHORT = make_trade(id="short", side="sell", liquidation=D(60_000))
BAD = make_trade(id="bad", liquidation=D(60_000))
BOOK = (FAR, EDGE, SHORT, NEAR)


def selected(*ids, **more):
    return ALL | {"scope": "selected", "selected_positions": list(ids)} | more


def decide(config, *, running=BOOK, price=41_000, **facts):
    context = make_context(config, handler=HANDLER, running=running, price=price, **facts)
    decision = HANDLER.decide(context)
    json.dumps(decision.as_dict())
    return decision


def refusal(error, config, **facts):
    with pytest.raises(error) as caught:
        decide(config, **facts)
    json.dumps(caught.value.as_dict())
    return caught.value


def listed(decision):
    return {group.trade_id: (group.status if not group.actions else "acts") for group in decision.groups}


def statuses(trades):
    return {trade["tradeId"]: trade["status"] for trade in trades}


def test_each_trade_at_risk_is_a_group_of_its_own_and_all_are_listed():
    decision = decide(ALL)
    assert isinstance(decision, Act)
    assert decision.lists_trades
    assert decision.action == "close_position"
    assert listed(decision) == {"near": "acts", "edge": "acts", "far": "pending", "short": "pending"}
    assert [group.actions for group in decision.groups[:2]] == [(ClosePosition("near"),), (ClosePosition("edge"),)]


def test_a_job_of_a_scope_needs_no_trade_and_is_not_narrowed_by_one():
    assert listed(decide(ALL, trade_id="far")) == listed(decide(ALL))


def test_waiting_lists_what_was_looked_at():
    decision = decide(ALL, price=50_000)
    assert isinstance(decision, Wait)
    assert decision.reason == "margin_threshold_not_reached"
    assert statuses(decision.facts["trades"]) == dict.fromkeys(("far", "edge", "short", "near"), "pending")
    assert {trade["tradeId"]: trade["triggerPrice"] for trade in decision.facts["trades"]} == {
        "far": 23_000,
        "edge": 41_000,
        "short": 59_000,
        "near": D("41810"),
    }
    assert all(trade["action"] == "close_position" for trade in decision.facts["trades"])


def test_nothing_running_reads_no_price():
    decision = decide(ALL, running=(), price=None)
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.facts["trades"]) == ("no_running_trades", [])


@pytest.mark.parametrize("price", [None, 0])
def test_a_bad_price_fails_the_pass(price):
    assert refusal(StaleData, ALL, price=price)


def test_groups_stand_in_the_order_of_liquidation():
    """What limits spending (a daily limit) holds back the last ones, so they must be those with most time left."""
    away = {"c": 300, "a": 100, "late": 9_000, "d": 400, "b": 200, "early": 6_000}
    running = [
        make_trade(id=name, side=side, liquidation=50_000 + (distance if side == "sell" else -distance), pl=-1)
        for (name, distance), side in zip(away.items(), ["buy", "sell"] * 3, strict=True)
    ]
    entries = {"buy": D(60_000), "sell": D(40_000)}
    running = [replace(trade, entry_price=entries[trade.side], liquidation=D(trade.liquidation)) for trade in running]
    config = ALL | {"action": "add_margin", "add_margin_amount": 1_000, "margin_threshold": 95}
    decision = decide(config, running=running, price=50_000)
    assert [group.trade_id for group in decision.groups] == ["a", "b", "c", "d", "early", "late"]
    assert [bool(group.actions) for group in decision.groups] == [True] * 4 + [False] * 2


# One bad trade


def test_a_bad_trade_is_listed_and_does_not_stop_the_others():
    decision = decide(ALL, running=(BAD, *BOOK))
    assert listed(decision) == {"near": "acts", "edge": "acts", "bad": "failed", "far": "pending", "short": "pending"}
    bad = next(group for group in decision.groups if group.trade_id == "bad")
    assert bad.facts["error"]["code"] == "liquidation_invalid"


def test_a_bad_trade_is_never_safe_when_nothing_else_acts():
    error = refusal(StaleData, ALL, running=(FAR, BAD))
    assert error.code == "liquidation_invalid"
    assert statuses(error.details["trades"]) == {"bad": "failed", "far": "pending"}


def test_the_error_that_may_pass_goes_first():
    config = selected("bad", "missing")
    error = refusal(StaleData, config, running=(BAD,))
    assert "and 1 more" in error.message


# Selected trades


def test_only_selected_trades_are_touched():
    assert listed(decide(selected("edge", "far"))) == {"edge": "acts", "far": "pending"}


def test_selected_ids_follow_the_lineage_and_count_once():
    decision = decide(selected("old", "edge"), lineage={"old": "edge"})
    assert listed(decision) == {"edge": "acts"}


def test_finished_and_unfilled_ones_are_listed():
    decision = decide(
        selected("edge", "done", "order"),
        finished=[make_trade(id="done", state="closed")],
        open_orders=[make_trade(id="order", state="open")],
    )
    assert listed(decision) == {"edge": "acts", "done": "completed", "order": "pending"}
    done = next(group for group in decision.groups if group.trade_id == "done")
    assert done.facts == {"state": "closed", "alreadyClosed": True}


def test_when_all_selected_are_over_the_run_is_completed():
    decision = decide(selected("done"), finished=[make_trade(id="done", state="closed")], price=None)
    assert isinstance(decision, Act)
    assert listed(decision) == {"done": "completed"}


def test_an_unfilled_order_alone_waits():
    decision = decide(selected("order"), open_orders=[make_trade(id="order", state="open")], price=None)
    assert isinstance(decision, Wait)
    assert decision.reason == "no_running_trades"


def test_an_id_that_this_account_does_not_have_is_said():
    assert listed(decide(selected("edge", "foreign"))) == {"edge": "acts", "foreign": "failed"}
    waiting = decide(selected("far", "foreign"))
    assert isinstance(waiting, Wait)
    assert waiting.reason == "margin_threshold_not_reached"
    assert statuses(waiting.facts["trades"]) == {"foreign": "failed", "far": "pending"}
    error = refusal(NotFound, selected("done", "foreign"), finished=[make_trade(id="done", state="closed")])
    assert (error.status, error.code) == (404, "trade_not_found")
    assert statuses(error.details["trades"]) == {"foreign": "failed", "done": "completed"}


# What can't be read of trades that don't run


@pytest.mark.parametrize("missing", ["open_orders", "finished"])
def test_running_trades_are_guarded_whatever_can_not_be_read_of_the_others(missing):
    decision = decide(selected("gone", "edge", "far"), **{missing: None})
    assert listed(decision) == {"edge": "acts", "gone": "failed", "far": "pending"}
    gone = next(group for group in decision.groups if group.trade_id == "gone")
    assert gone.facts["error"]["code"] == "exchange_unavailable"


@pytest.mark.parametrize("missing", ["open_orders", "finished"])
def test_a_running_trade_that_is_fine_makes_a_pass_without_error(missing):
    decision = decide(selected("gone", "far"), **{missing: None})
    assert isinstance(decision, Wait)
    assert decision.reason == "margin_threshold_not_reached"
    assert statuses(decision.facts["trades"]) == {"gone": "failed", "far": "pending"}
    (gone,) = (trade for trade in decision.facts["trades"] if trade["tradeId"] == "gone")
    assert gone["error"]["code"] == "exchange_unavailable"


@pytest.mark.parametrize("missing", ["open_orders", "finished"])
def test_without_a_running_trade_it_is_the_passs_own_error_and_tried_again(missing):
    error = refusal(Unavailable, selected("gone"), running=(), price=None, **{missing: None})
    assert statuses(error.details["trades"]) == {"gone": "failed"}


def test_a_bad_running_trade_is_never_safe_because_another_is_fine():
    assert refusal(StaleData, selected("bad", "far", "gone"), running=(BAD, FAR), finished=None)


class History(PlainReads):
    """Reads in which some trades can't be found to the end of the history."""

    def finished(self, trade_id):
        found = super().finished(trade_id)
        if trade_id.startswith("ancient"):
            raise StaleData("the history is too long to be searched", code="history_too_long")
        if trade_id.startswith("reduced"):
            raise Held("its remainder is not known yet", code="unresolved_action", details={"executionId": "e1"})
        return found


def with_history(config, *, running=BOOK, **facts):
    context = make_context(config, handler=HANDLER, running=running, price=41_000, **facts)
    return replace(context, reads=History(**vars(context.reads)))


def test_each_trade_is_looked_for_on_its_own():
    context = with_history(selected("ancient", "done", "edge"), finished=[make_trade(id="done", state="closed")])
    assert listed(HANDLER.decide(context)) == {"edge": "acts", "ancient": "failed", "done": "completed"}


def test_one_whose_remainder_is_not_known_yet_holds_up_none_that_runs():
    context = with_history(selected("reduced", "done", "edge"), finished=[make_trade(id="done", state="closed")])
    decision = HANDLER.decide(context)
    assert listed(decision) == {"edge": "acts", "reduced": "pending", "done": "completed"}
    assert decision.groups[1].facts == {"reason": "unresolved_action", "executionId": "e1"}


def test_where_none_runs_it_is_waited_for():
    done = make_trade(id="done", state="closed")
    context = with_history(selected("done", "reduced"), running=(), finished=[done])
    with pytest.raises(Held):
        HANDLER.decide(context)


def test_running_trades_and_orders_cost_no_look_into_the_history():
    context = with_history(selected("order", "edge"), open_orders=[make_trade(id="order", state="open")])
    HANDLER.decide(context)
    assert context.reads.asked == ["running", "price", "price", "open_orders"]
    context = with_history(selected("edge", "far"))
    HANDLER.decide(context)
    assert not {"open_orders", "finished"} & set(context.reads.asked)


def test_an_exchange_that_does_not_answer_is_asked_once_a_pass():
    context = with_history(selected("a", "b", "c", "edge"), finished=None)
    assert listed(HANDLER.decide(context)) == {"edge": "acts", "a": "failed", "b": "failed", "c": "failed"}
    assert context.reads.asked.count("finished") == 1


def test_while_there_are_trades_to_guard_few_are_looked_for():
    over = [make_trade(id=f"over-{number}", state="closed") for number in range(5)]
    ids = [trade.id for trade in over]
    context = with_history(selected(*ids, "far"), finished=over)
    decision = HANDLER.decide(context)
    assert context.reads.asked.count("finished") == 3
    trades = {trade["tradeId"]: trade for trade in decision.facts["trades"]}
    assert [trades[one]["status"] for one in ids] == ["completed"] * 3 + ["pending"] * 2
    assert trades["over-4"]["reason"] == "history_not_searched"
    assert listed(decide(selected(*ids), running=(), finished=over, price=None)) == dict.fromkeys(ids, "completed")


# Money


def test_added_margin_goes_to_the_nearest_first_within_the_balance():
    config = ALL | {"action": "add_margin", "add_margin_amount": 5000}
    decision = decide(config, balance=9_999)
    assert listed(decision) == {"near": "acts", "edge": "failed", "far": "pending", "short": "pending"}
    assert decision.groups[0].actions == (AddMargin("near", 5000),)
    assert decision.groups[1].facts["error"]["code"] == "insufficient_balance"
    assert listed(decide(config, balance=10_000)) == {
        "near": "acts",
        "edge": "acts",
        "far": "pending",
        "short": "pending",
    }


def test_nobody_can_be_helped():
    error = refusal(Refused, ALL | {"action": "add_margin", "add_margin_amount": 5000}, balance=0)
    assert error.code == "insufficient_balance"
    assert statuses(error.details["trades"])["near"] == "failed"


def test_one_that_is_refused_leaves_the_money_to_the_next():
    full = make_trade(id="full", liquidation=D(40_950), margin=199_999)
    decision = decide(ALL | {"action": "add_margin", "add_margin_amount": 5000}, running=(full, EDGE), balance=5_000)
    assert listed(decision) == {"edge": "acts", "full": "failed"}


def test_reduces_share_the_balance():
    """Both lose so much at 41 000 that their remainders need 20 000-odd sats each beyond what closing frees."""
    trades = [make_trade(id=name, quantity=1000, leverage=3, liquidation=D(40_500), pl=-130_000) for name in "ab"]
    config = ALL | {"action": "reduce_position", "reduce_percentage": 5}
    needed = _shortfall(config, trades[0])
    assert needed > 0
    both = decide(config, running=trades, balance=2 * needed)
    assert listed(both) == {"a": "acts", "b": "acts"}
    assert all(isinstance(group.actions[1], OpenPosition) for group in both.groups)
    assert listed(decide(config, running=trades, balance=2 * needed - 1)) == {"a": "acts", "b": "failed"}
    closing = decide(config | {"if_unaffordable": "close"}, running=trades, balance=2 * needed - 1)
    assert [group.action for group in closing.groups] == ["reduce_position", "close_position"]


def _shortfall(config, trade):
    error = refusal(Refused, config, running=[trade], balance=0)
    return error.details["required"] - error.details["freed"]


COOLING = {"cooldown_seconds": 300}
JUST_NOW = NOW - timedelta(seconds=299)


def test_a_trade_that_is_cooling_down_takes_nothing_of_the_balance():
    config = ALL | COOLING | {"action": "add_margin", "add_margin_amount": 5000}
    decision = decide(config, balance=5000, acted_on={"near": JUST_NOW, "far": JUST_NOW})
    assert listed(decision) == {"edge": "acts", "near": "pending", "far": "pending", "short": "pending"}
    near, far = (next(group for group in decision.groups if group.trade_id == one) for one in ("near", "far"))
    assert (near.action, near.facts) == ("add_margin", {"reason": "cooldown", "cooldownSeconds": 300})
    assert "reason" not in far.facts, "it is not at risk"


def test_a_pass_in_which_all_that_is_at_risk_is_cooling_down_waits_and_fails_for_nothing():
    config = ALL | COOLING | {"action": "add_margin", "add_margin_amount": 5000}
    decision = decide(config, balance=None, acted_on=dict.fromkeys(("near", "edge"), JUST_NOW))
    assert isinstance(decision, Wait)
    assert decision.reason == "cooldown"
    assert {trade["tradeId"]: trade.get("reason") for trade in decision.facts["trades"]} == {
        "near": "cooldown",
        "edge": "cooldown",
        "far": None,
        "short": None,
    }


def test_a_cooldown_that_is_over_or_that_nobody_asked_for_holds_nothing_back():
    for config, acted_on in ((COOLING, {"near": NOW - timedelta(seconds=300)}), ({}, None)):
        assert listed(decide(ALL | config, acted_on=acted_on))["near"] == "acts"


def test_a_bad_trade_is_not_hidden_by_one_that_is_cooling_down():
    error = refusal(StaleData, ALL | COOLING, running=(NEAR, BAD), acted_on={"near": JUST_NOW})
    assert error.code == "liquidation_invalid"
    assert statuses(error.details["trades"]) == {"near": "pending", "bad": "failed"}


def test_what_was_acted_on_is_read_only_where_something_is_at_risk():
    assert decide(ALL | COOLING, acted_on=None, price=50_000).reason == "margin_threshold_not_reached"
    assert refusal(Unavailable, ALL | COOLING, acted_on=None)


def test_the_balance_is_read_only_when_money_is_needed():
    assert isinstance(decide(ALL, balance=None), Act)
    assert isinstance(decide(ALL | {"action": "add_margin", "add_margin_amount": 1}, balance=None, price=50_000), Wait)
    assert refusal(StaleData, ALL | {"action": "add_margin", "add_margin_amount": 1}, balance=None)


@given(
    st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 9_999)), min_size=1, max_size=8),
    st.integers(0, 60_000),
    st.integers(45_000, 55_000),
)
def test_a_pass_never_spends_more_than_the_balance(shapes, balance, price):
    running = [
        make_trade(id=f"t{index}", side=side, liquidation=D(50_000 - away if side == "buy" else 50_000 + away))
        for index, (side, away) in enumerate(shapes)
    ]
    config = ALL | {"action": "add_margin", "add_margin_amount": 10_000}
    context = make_context(config, handler=HANDLER, running=running, price=price, balance=balance)
    nearest_waits = all(
        price > trade.liquidation + (trade.entry_price - trade.liquidation) / 10
        if trade.is_long
        else price < trade.liquidation - (trade.liquidation - trade.entry_price) / 10
        for trade in running
    )
    if balance < 10_000 and not nearest_waits:
        with pytest.raises(Refused):
            HANDLER.decide(context)
        return
    decision = HANDLER.decide(context)
    if isinstance(decision, Wait):
        assert statuses(decision.facts["trades"]).keys() == {trade.id for trade in running}
        return
    assert listed(decision).keys() == {trade.id for trade in running}
    acting = [group.trade_id for group in decision.groups if group.actions]
    assert len(acting) * 10_000 <= balance
    distance = {
        trade.id: price - trade.liquidation if trade.is_long else trade.liquidation - price for trade in running
    }
    left_out = [group.trade_id for group in decision.groups if group.status == "failed"]
    assert all(distance[one] <= distance[other] for one in acting for other in left_out)
