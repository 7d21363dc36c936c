"""The decisions of a trailing stop, from plain values."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.automation import Act, SetStopLoss, Wait, jsonable
from axisor_executor.errors import InvalidJob, NotFound, Refused, StaleData, Unavailable
from axisor_executor.testing import make_context, make_trade
from axisor_trailing_stop import TrailingStop

D = Decimal
HANDLER = TrailingStop()
TWO_PERCENT = {"distance_percent": 2}
ALL = {"distance_percent": 2, "scope": "all"}


def decide(config=TWO_PERCENT, *, price=50_000, trade=None, trade_id="trade-1", **facts):
    facts.setdefault("running", [trade] if trade else [])
    return HANDLER.decide(make_context(config, handler=HANDLER, price=price, trade_id=trade_id, **facts))


def stop_of(decision):
    (group,) = decision.groups
    (action,) = group.actions
    assert isinstance(action, SetStopLoss)
    return action.value


class TestOneTrade:
    @pytest.mark.parametrize(("side", "price", "stop"), [("buy", 52_000, 50_960), ("sell", 48_000, 48_960)])
    def test_a_first_stop_is_set_behind_the_price(self, side, price, stop):
        decision = decide(trade=make_trade(side=side, last_price=price), price=price)
        assert stop_of(decision) == stop
        assert jsonable(decision.facts) == {"stoploss": stop, "previousStoploss": None, "currentPrice": price}

    @pytest.mark.parametrize(
        ("side", "present", "price", "stop"),
        [
            ("buy", 49_000, 50_500, 49_490),
            ("buy", 49_000, 50_040, None),  # better by 39 USD, less than 0.1 %
            ("buy", 49_500, 50_000, None),  # it would move down
            ("sell", 51_000, 49_500, 50_490),
            ("sell", 51_000, 49_960, None),
            ("sell", 50_500, 50_000, None),
        ],
    )
    def test_it_moves_forward_only_and_only_far_enough(self, side, present, price, stop):
        trade = make_trade(side=side, stoploss=D(present), last_price=price)
        decision = decide(trade=trade, price=price)
        if stop is None:
            assert isinstance(decision, Wait)
            assert (decision.reason, decision.facts["stoploss"]) == ("stoploss_kept", present)
        else:
            assert stop_of(decision) == stop
            assert decision.facts["previousStoploss"] == present

    def test_it_begins_once_the_profit_is_reached(self):
        config = {"distance_percent": 1, "activation_pnl_percent": 20}
        early = decide(config, trade=make_trade(last_price=50_500), price=50_500)
        assert (early.reason, early.facts["activationPnlPercent"]) == ("not_activated", 20)
        assert early.facts["currentPnlPercent"] == D("9.9")
        assert stop_of(decide(config, trade=make_trade(last_price=51_100), price=51_100)) == 50_589

    def test_behind_the_liquidation_it_is_not_possible(self):
        decision = decide({"distance_percent": 20}, trade=make_trade())
        assert decision.reason == "stoploss_not_possible"
        assert "liquidation" in decision.facts["problem"]

    def test_a_distance_wider_than_the_price_is_not_possible_either(self):
        decision = decide({"distance_usd": 60_000}, trade=make_trade(leverage=1))
        assert decision.reason == "stoploss_not_possible"

    def test_a_stop_that_the_exchange_trails_is_left_alone_and_said_so(self):
        trade = make_trade(stoploss=D(48_000), stoploss_trailing_distance=D("0.04"))
        decision = decide(trade=trade)
        assert (decision.reason, decision.facts["trailingDistance"]) == ("exchange_trailing_stop", D("0.04"))

    def test_unless_the_config_wants_it_replaced_and_then_forward_only(self):
        config = {**TWO_PERCENT, "replace_exchange_trailing": True}
        decision = decide(config, trade=make_trade(stoploss=D(48_000), stoploss_trailing_distance=D("0.04")))
        assert stop_of(decision) == 49_000
        assert decision.facts["replacedTrailingDistance"] == D("0.04")
        nearer = make_trade(stoploss=D(49_500), stoploss_trailing_distance=D("0.01"))
        assert decide(config, trade=nearer).reason == "stoploss_kept"

    @pytest.mark.parametrize("state", ["closed", "canceled"])
    def test_a_trade_that_is_over_needs_no_stop(self, state):
        decision = decide(finished=[make_trade(state=state)], price=None)
        assert isinstance(decision, Act)
        assert not decision.groups[0].actions
        assert dict(decision.facts) == {"alreadyClosed": True, "state": state}

    def test_an_order_has_nothing_to_trail(self):
        with pytest.raises(Refused) as refused:
            decide(open_orders=[make_trade(state="open")])
        assert refused.value.code == "trade_not_running"

    def test_a_trade_of_somebody_else_is_not_found(self):
        with pytest.raises(NotFound):
            decide(trade=make_trade(id="other"))

    def test_without_a_trade_or_scope_it_asks_for_one(self):
        with pytest.raises(InvalidJob):
            decide(trade=make_trade(), trade_id=None)

    def test_a_stale_price_is_an_error(self):
        with pytest.raises(StaleData):
            decide(trade=make_trade(), price=None)

    @pytest.mark.parametrize("wrong", [{"margin": 0}, {"liquidation": D(0)}])
    def test_so_are_values_that_no_real_trade_has(self, wrong):
        with pytest.raises(StaleData) as stale:
            decide(trade=make_trade(**wrong))
        assert stale.value.code == "trade_invalid"

    @given(
        st.sampled_from(["buy", "sell"]),
        st.integers(80_000, 120_000).map(lambda half_dollars: D(half_dollars) / 2),
        st.integers(1, 50),
        st.integers(1, 9_000).map(lambda hundredths: D(hundredths) / 100),
        st.none() | st.integers(80_000, 120_000).map(lambda half_dollars: D(half_dollars) / 2),
        st.none() | st.integers(80_000, 120_000).map(lambda half_dollars: D(half_dollars) / 2),
    )
    def test_whatever_is_sent_is_better_than_before_and_taken_by_the_exchange(
        self, side, price, leverage, percent, stoploss, takeprofit
    ):
        trade = make_trade(side=side, leverage=leverage, stoploss=stoploss, takeprofit=takeprofit, last_price=price)
        decision = decide({"distance_percent": percent, "min_step_percent": 0}, trade=trade, price=price)
        if isinstance(decision, Wait):
            return
        stop = stop_of(decision)
        assert stoploss is None or (stop > stoploss if side == "buy" else stop < stoploss)
        problem = arithmetic.stoploss_problem(
            side, stop, market=price, liquidation=trade.liquidation, takeprofit=takeprofit
        )
        assert problem is None


class TestAllTrades:
    def all_of(self, *trades, price=50_000):
        return decide(ALL, running=trades, price=price, trade_id=None)

    def test_each_trade_is_its_own_group(self):
        moved, kept = make_trade(id="moved"), make_trade(id="kept", stoploss=D(49_500))
        trailed = make_trade(id="trailed", stoploss=D(48_000), stoploss_trailing_distance=D("0.04"))
        decision = self.all_of(moved, kept, trailed, make_trade(id="short", side="sell"))
        assert decision.lists_trades
        found = {group.trade_id: (len(group.actions), group.facts.get("reason")) for group in decision.groups}
        assert found == {
            "moved": (1, None),
            "kept": (0, "stoploss_kept"),
            "trailed": (0, "exchange_trailing_stop"),
            "short": (1, None),
        }

    def test_one_bad_trade_stops_no_other(self):
        decision = self.all_of(make_trade(id="bad", margin=0), make_trade(id="good"))
        assert [(group.trade_id, group.status, len(group.actions)) for group in decision.groups] == [
            ("bad", "failed", 0),
            ("good", "completed", 1),
        ]

    def test_alone_it_is_an_error_that_lists_all(self):
        with pytest.raises(StaleData) as stale:
            self.all_of(make_trade(id="bad", margin=0), make_trade(id="kept", stoploss=D(49_500)))
        assert [trade["tradeId"] for trade in stale.value.details["trades"]] == ["bad", "kept"]
        json.dumps(stale.value.as_dict())

    def test_nothing_to_move_is_pending_with_the_list(self):
        decision = self.all_of(make_trade(stoploss=D(49_500)))
        assert (decision.reason, len(decision.facts["trades"])) == ("stoploss_kept", 1)
        json.dumps(decision.as_dict())

    def test_no_trade_is_pending_and_asks_for_no_price(self):
        assert self.all_of(price=None).reason == "no_running_trades"

    def test_trades_that_can_not_be_read_are_an_error(self):
        with pytest.raises(Unavailable):
            decide(ALL, running=None, trade_id=None)
