"""The decisions of a ladder, from plain values; a small market that carries them out shows that no rung goes twice."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.automation import ClosePosition, OpenPosition, Wait
from axisor_executor.errors import InvalidJob, NotFound, Refused, StaleData, Unavailable
from axisor_executor.testing import make_context, make_trade
from axisor_laddered_take_profit import LadderedTakeProfit

D = Decimal
HANDLER = LadderedTakeProfit()
LADDER = {"rungs": [{"pnl_percent": 20, "sell_percent": 25}, {"pnl_percent": 50, "sell_percent": 50}]}
"""For a long at 10x from 50 000: at 51 020.41 and 52 631.58."""


def decide(config=LADDER, *, price=50_000, trade=None, trade_id="trade-1", **facts):
    facts.setdefault("running", [trade] if trade else [])
    return HANDLER.decide(make_context(config, handler=HANDLER, price=price, trade_id=trade_id, **facts))


def reduced(decision):
    """Return (closed id, USD left) of a decision."""
    (group,) = decision.groups
    close, *reopen = group.actions
    assert isinstance(close, ClosePosition)
    if not reopen:
        return close.trade_id, 0
    (order,) = reopen
    assert isinstance(order, OpenPosition)
    assert order.replaces == close.trade_id == group.trade_id
    return close.trade_id, order.quantity


class Market:
    """One trade, and a price: carries a decision out as the exchange and the ledger would."""

    def __init__(self, config, **trade):
        self.config = config
        self.trade = make_trade(**trade)
        self.original = self.trade
        self.closed = []
        self.lineage = {}

    def context(self, price, named):
        return make_context(
            self.config,
            handler=HANDLER,
            price=price,
            trade_id=named,
            running=[self.trade] if self.trade else [],
            finished=self.closed,
            lineage=self.lineage,
            balance=10**12,
        )

    def job(self, price, named="trade-1"):
        """Run a job and return how many USD it sold."""
        decision = HANDLER.decide(self.context(price, named))
        if isinstance(decision, Wait) or not decision.groups[0].actions:
            return 0
        held = self.trade.quantity
        old, left = reduced(decision)
        assert old == self.trade.id
        self.closed.append(replace(self.trade, state="closed"))
        self.trade = None
        if left:
            new = f"trade-{len(self.closed) + 1}"
            self.lineage[old] = new
            side, leverage = self.original.side, self.original.leverage
            self.trade = make_trade(id=new, side=side, quantity=left, entry_price=price, leverage=leverage)
        return held - left


class TestDecision:
    def test_below_the_first_rung_it_waits_for_it(self):
        decision = decide(trade=make_trade(quantity=100), price=51_020)
        assert decision.reason == "rung_not_reached"
        assert decision.facts["nextPrice"] == D("51020.41")
        assert decision.facts["rungsReached"] == 0
        json.dumps(decision.as_dict())

    @pytest.mark.parametrize(
        ("side", "price", "left"),
        [("buy", 51_021, 75), ("buy", 53_000, 25), ("sell", 49_019, 75), ("sell", 47_000, 25)],
    )
    def test_what_the_reached_rungs_leave_is_reopened(self, side, price, left):
        decision = decide(trade=make_trade(side=side, quantity=100, last_price=price), price=price)
        assert reduced(decision) == ("trade-1", left)
        order = decision.groups[0].actions[1]
        assert (order.side, order.leverage, order.reference_price, order.max_slippage_percent) == (side, 10, price, 1)
        assert decision.facts["reducedQuantity"] == 100 - left
        json.dumps(decision.as_dict())

    def test_a_ladder_that_sells_all_closes_at_its_end(self):
        config = {"rungs": [{"price": 51_000, "sell_percent": 40}, {"price": 52_000, "sell_percent": 60}]}
        decision = decide(config, trade=make_trade(quantity=100, last_price=52_000), price=52_000)
        assert reduced(decision) == ("trade-1", 0)
        assert decision.action == "take_profit"
        assert decision.facts["remainingQuantity"] == 0

    def test_the_remainder_is_measured_by_the_trade_as_it_was_opened(self):
        """Its own P&L began anew when it was reopened at 51 100."""
        old = make_trade(quantity=100, state="closed", last_price=51_100)
        rest = make_trade(id="trade-2", quantity=75, entry_price=51_100, last_price=52_700)
        facts = {"running": [rest], "finished": [old], "lineage": {"trade-1": "trade-2"}}
        waiting = decide(price=52_000, **facts)
        assert (waiting.reason, waiting.facts["nextPrice"]) == ("rung_not_reached", D("52631.58"))
        assert waiting.facts["originalTradeId"] == "trade-1"
        for named in ("trade-1", "trade-2"):
            assert reduced(decide(price=52_700, trade_id=named, **facts)) == ("trade-2", 25)

    @pytest.mark.parametrize(("side", "price"), [("buy", 51_021), ("sell", 49_019)])
    def test_margin_that_was_added_moves_no_rung(self, side, price):
        """At 8x now; by the 20 000 sats that it was opened with, 20 percent are where they were."""
        trade = make_trade(side=side, margin=25_000, leverage=8, entry_margin=20_000, last_price=price)
        assert reduced(decide(trade=trade, price=price)) == ("trade-1", 75)
        old = replace(trade, state="closed")
        rest = make_trade(id="trade-2", side=side, quantity=75, entry_price=price, leverage=8)
        facts = {"finished": [old], "lineage": {"trade-1": "trade-2"}}
        waiting = decide(price=price, running=[rest], **facts)
        assert waiting.facts["nextPrice"] == (D("52631.58") if side == "buy" else D("47619.04"))

    @pytest.mark.parametrize("unknown", [None, 0])
    def test_without_that_margin_the_leverage_tells(self, unknown):
        waiting = decide(trade=make_trade(entry_margin=unknown))
        assert waiting.facts["nextPrice"] == D("51020.41")

    def test_the_next_price_never_reads_as_reached(self):
        config = {"rungs": [{"price": "50202.5016", "sell_percent": 50}]}
        waiting = decide(config, trade=make_trade(), price=50_202.5)
        assert waiting.facts["nextPrice"] == D("50202.51")
        config = {"rungs": [{"price": "49202.4984", "sell_percent": 50}]}
        waiting = decide(config, trade=make_trade(side="sell"), price=49_202.5)
        assert waiting.facts["nextPrice"] == D("49202.49")

    def test_a_last_rung_that_leaves_something_is_the_end(self):
        old = make_trade(quantity=100, state="closed")
        rest = make_trade(id="trade-2", quantity=25, entry_price=53_000)
        decision = decide(price=60_000, running=[rest], finished=[old], lineage={"trade-1": "trade-2"})
        assert decision.reason == "no_rung_left"

    def test_what_something_else_has_sold_counts(self):
        old = make_trade(quantity=100, state="closed")
        rest = make_trade(id="trade-2", quantity=60, entry_price=46_000)
        facts = {"running": [rest], "finished": [old], "lineage": {"trade-1": "trade-2"}}
        assert decide(price=51_100, **facts).reason == "rung_not_reached"
        assert reduced(decide(price=53_000, **facts)) == ("trade-2", 25)

    def test_without_the_original_nothing_is_sold(self):
        rest = make_trade(id="trade-2", quantity=75, entry_price=51_100)
        with pytest.raises(StaleData) as missing:
            decide(price=60_000, running=[rest], lineage={"trade-1": "trade-2"})
        assert missing.value.code == "original_trade_missing"
        with pytest.raises(Unavailable):
            decide(price=60_000, running=[rest], finished=None, lineage={"trade-1": "trade-2"})

    @pytest.mark.parametrize("odd", [{"side": "sell"}, {"quantity": 50}, {"leverage": 0}])
    def test_an_original_that_can_not_be_right_is_an_error(self, odd):
        old = replace(make_trade(quantity=100, state="closed"), **odd)
        rest = make_trade(id="trade-2", quantity=75)
        with pytest.raises(StaleData) as invalid:
            decide(price=60_000, running=[rest], finished=[old], lineage={"trade-1": "trade-2"})
        assert invalid.value.code == "trade_invalid"

    def test_a_rung_at_a_loss_is_refused(self):
        config = {"rungs": [{"price": 60_000, "sell_percent": 50}]}
        with pytest.raises(Refused) as refused:
            decide(config, trade=make_trade(side="sell"), price=60_500)
        assert refused.value.code == "rung_not_in_profit"

    def test_a_remainder_that_can_not_be_paid_for_is_refused(self):
        """At 100x the fees of a small step are more than it frees."""
        trade = make_trade(quantity=100, leverage=100, last_price=50_101)
        config = {"rungs": [{"pnl_percent": 20, "sell_percent": 1}]}
        with pytest.raises(Refused) as refused:
            decide(config, trade=trade, price=50_101, balance=0)
        assert refused.value.code == "reduce_unaffordable"

    def test_values_that_no_real_trade_has_are_an_error(self):
        trade = make_trade(quantity=100, takeprofit=D("60000.3"), last_price=51_100)
        with pytest.raises(StaleData) as invalid:
            decide(trade=trade, price=51_100)
        assert invalid.value.code == "trade_invalid"

    def test_a_rung_of_less_than_a_dollar_is_taken_with_the_next(self):
        trade = make_trade(quantity=3, last_price=51_100)
        assert decide(trade=trade, price=51_100).reason == "rung_not_reached"
        assert reduced(decide(trade=trade, price=53_000)) == ("trade-1", 1)

    @pytest.mark.parametrize("state", ["closed", "canceled"])
    def test_a_trade_that_is_over_has_nothing_to_sell(self, state):
        decision = decide(finished=[make_trade(state=state)], price=None)
        assert not decision.groups[0].actions
        assert dict(decision.facts) == {"alreadyClosed": True, "state": state}

    def test_an_order_has_nothing_to_sell_yet(self):
        with pytest.raises(Refused) as refused:
            decide(open_orders=[make_trade(state="open")])
        assert refused.value.code == "trade_not_running"

    def test_a_trade_of_somebody_else_is_not_found(self):
        with pytest.raises(NotFound):
            decide(trade=make_trade(id="other"))

    def test_it_asks_for_a_trade(self):
        with pytest.raises(InvalidJob):
            decide(trade=make_trade(), trade_id=None)

    def test_a_stale_price_is_an_error(self):
        with pytest.raises(StaleData):
            decide(trade=make_trade(), price=None)


rungs = st.lists(
    st.tuples(st.integers(1, 400), st.integers(1, 60)), min_size=1, max_size=5, unique_by=lambda rung: rung[0]
).filter(lambda found: sum(share for _, share in found) <= 100)


@given(
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 5_000),
    st.integers(1, 25),
    rungs,
    st.lists(st.integers(80_000, 130_000).map(lambda half_dollars: D(half_dollars) / 2), min_size=1, max_size=12),
)
def test_along_any_path_of_prices_every_rung_is_sold_once_and_never_more_than_is_held(
    side, quantity, leverage, ladder, path
):
    """Each price is asked three times, by the first id and the present one: the first job sells, the others nothing."""
    config = {"rungs": [{"pnl_percent": pnl, "sell_percent": share} for pnl, share in ladder]}
    market = Market(config, side=side, quantity=quantity, leverage=leverage)
    sold = 0
    best = Fraction(0)
    for price in path:
        gain = 1 - 50_000 / Fraction(price) if side == "buy" else 50_000 / Fraction(price) - 1
        best = max(best, gain * quantity * 2_000 / market.original.entry_margin * 100)
        sold += market.job(price)
        present = market.trade.id if market.trade else market.closed[-1].id
        assert [market.job(price), market.job(price, named=present)] == [0, 0]
        reached = sum(share for pnl, share in ladder if best >= pnl)
        assert sold == quantity * reached // 100
        assert (market.trade.quantity if market.trade else 0) == quantity - sold
