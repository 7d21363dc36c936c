"""The decisions of a DCA entry, from plain values."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_dca_entry import DcaEntry
from axisor_executor import arithmetic
from axisor_executor.automation import Act, OpenPosition, OwnEntry, Wait
from axisor_executor.errors import Refused, StaleData, Unavailable
from axisor_executor.testing import NOW, make_context, make_trade

D = Decimal
HANDLER = DcaEntry()
WEEKLY = {"quantity": 100, "weekly_budget_usd": 300}


def bought(hours_ago, quantity=100, *, price=50_000, status="confirmed", now=NOW):
    """An entry as the core tells of it: what is not confirmed has neither price nor margin of its own."""
    order = OpenPosition("buy", quantity, D(1), reference_price=D(price))
    known = {"trade_id": "trade-1", "price": D(price), "margin": arithmetic.margin(quantity, D(price), D(1))}
    return OwnEntry(now - timedelta(hours=hours_ago), order, status, **(known if status == "confirmed" else {}))


def decide(config=WEEKLY, *entries, price=50_000, now=NOW, **facts):
    return HANDLER.decide(make_context(config, handler=HANDLER, price=price, entries=entries, now=now, **facts))


def is_bought(decision):
    if isinstance(decision, Wait):
        return False
    assert isinstance(decision, Act)
    ((order,),) = (group.actions for group in decision.groups)
    assert isinstance(order, OpenPosition)
    return True


def reason(decision):
    assert isinstance(decision, Wait), decision
    json.dumps(decision.as_dict())
    return decision.reason


def test_it_buys_the_quantity_and_keeps_the_price_with_the_order():
    decision = decide({**WEEKLY, "leverage": 2})
    assert decision.action == "dca_entry_executed"
    (order,) = decision.groups[0].actions
    assert order == OpenPosition("buy", 100, D(2), reference_price=D(50_000))
    assert decision.groups[0].trade_id is None
    assert decision.facts["boughtInWeek"] == 100
    json.dumps(decision.as_dict())


class TestBudget:
    @pytest.mark.parametrize("status", ["confirmed", "unknown", "sending"])
    def test_what_is_not_known_counts_as_spent(self, status):
        entries = [bought(1, status=status), bought(30, 50), bought(160, 50)]
        assert is_bought(decide(WEEKLY, *entries))
        assert reason(decide(WEEKLY, *entries, bought(100, 1))) == "weekly_budget_reached"

    def test_it_rolls(self):
        spent = [bought(167.9), bought(100), bought(50)]
        assert reason(decide(WEEKLY, *spent)) == "weekly_budget_reached"
        later = decide(WEEKLY, *spent, now=NOW + timedelta(hours=0.2))
        assert is_bought(later)
        assert later.facts["boughtInWeek"] == 300

    def test_of_margin(self):
        config = {"quantity": 100, "weekly_budget_sats": 400_000}
        assert is_bought(decide(config, bought(1)))
        assert is_bought(decide(config, bought(1, status="unknown")))
        waiting = decide(config, bought(1), price=49_999.5)
        assert reason(waiting) == "weekly_budget_reached"
        assert waiting.facts["marginInWeek"] == 200_000

    def test_both_hold(self):
        config = {"quantity": 100, "weekly_budget_usd": 300, "weekly_budget_sats": 10**9}
        assert reason(decide(config, bought(1, 201))) == "weekly_budget_reached"
        config = {"quantity": 100, "weekly_budget_usd": 10**6, "weekly_budget_sats": 199_999}
        assert reason(decide(config)) == "weekly_budget_reached"

    def test_a_margin_that_can_not_be_told_is_an_error(self):
        dark = OwnEntry(NOW - timedelta(hours=1), OpenPosition("buy", 100, D(1)), "unknown")
        with pytest.raises(StaleData) as unknown:
            decide({"quantity": 100, "weekly_budget_sats": 10**9}, dark)
        assert unknown.value.code == "entry_unknown"

    def test_so_are_entries_that_can_not_be_read(self):
        with pytest.raises(Unavailable):
            HANDLER.decide(make_context(WEEKLY, handler=HANDLER, entries=None))

    @given(
        st.integers(1, 200),
        st.integers(1, 10),
        st.integers(1, 2_000),
        st.integers(1_000, 20_000_000),
        st.lists(
            st.tuples(
                st.integers(0, 3_000).map(lambda minutes: timedelta(minutes=minutes)),
                st.integers(80_000, 120_000).map(lambda half_dollars: D(half_dollars) / 2),
                st.sampled_from(["confirmed", "unknown", "rejected"]),
            ),
            max_size=40,
        ),
    )
    def test_in_no_seven_days_is_more_bought_than_the_budget(self, quantity, leverage, usd, sats, jobs):
        """Whenever jobs come, and whatever becomes of their entries: one that was refused counts for nothing."""
        config = {
            "quantity": quantity,
            "leverage": leverage,
            "weekly_budget_usd": max(usd, quantity),
            "weekly_budget_sats": sats,
        }
        entries = []
        now = NOW
        for passed, price, status in jobs:
            now += passed
            decision = decide(config, *entries, price=price, now=now, balance=10**12)
            if not is_bought(decision) or status == "rejected":
                continue
            (order,) = decision.groups[0].actions
            entries.append(OwnEntry(now, order, status, **_known(order, price) if status == "confirmed" else {}))
        taken = [(entry.sent_at, entry.order) for entry in entries]
        for since, _ in taken:
            week = [order for at, order in taken if since <= at < since + timedelta(days=7)]
            assert sum(order.quantity for order in week) <= config["weekly_budget_usd"]
            margins = (arithmetic.margin(order.quantity, order.reference_price, order.leverage) for order in week)
            assert sum(margins) <= sats


def _known(order, price):
    return {"price": price, "margin": arithmetic.margin(order.quantity, price, order.leverage)}


class TestConditions:
    def test_below_a_price(self):
        config = {**WEEKLY, "below_price": 50_000}
        assert is_bought(decide(config, price=50_000))
        assert reason(decide(config, price=50_000.5)) == "price_not_triggered"

    def test_after_a_drop_from_the_last_entry(self):
        config = {**WEEKLY, "drop_percent": 3}
        assert is_bought(decide(config)), "there is no entry before"
        entries = [bought(30, price=60_000), bought(5, price=50_000)]
        waiting = decide(config, *entries, price=48_600)
        assert (reason(waiting), waiting.facts["lastEntryPrice"]) == ("price_not_dropped", 50_000)
        assert is_bought(decide(config, *entries, price=48_500))

    def test_of_a_last_entry_that_is_not_known_the_price_of_its_decision_counts(self):
        config = {**WEEKLY, "drop_percent": 3}
        assert reason(decide(config, bought(5, price=50_000, status="unknown"), price=48_600)) == "price_not_dropped"
        dark = OwnEntry(NOW - timedelta(hours=1), OpenPosition("buy", 100, D(1)), "unknown")
        with pytest.raises(StaleData):
            decide(config, dark)

    def test_an_entry_of_more_than_a_week_ago_counts_no_more(self):
        assert is_bought(decide({**WEEKLY, "drop_percent": 3}, bought(169, price=40_000)))

    def test_not_too_soon(self):
        config = {**WEEKLY, "min_hours_between": 20}
        assert is_bought(decide(config, bought(20)))
        waiting = decide(config, bought(30), bought(19.9))
        assert reason(waiting) == "too_soon"
        assert waiting.facts["minHoursBetween"] == 20

    def test_only_so_many_open_trades(self):
        config = {**WEEKLY, "max_open_trades": 2}
        assert is_bought(decide(config, own=[make_trade()]))
        waiting = decide(config, own=[make_trade(), make_trade(id="trade-2", state="open")], price=None)
        assert reason(waiting) == "max_open_trades_reached"

    def test_the_balance_covers_margin_and_fees(self):
        assert is_bought(decide(balance=200_600))
        with pytest.raises(Refused) as refused:
            decide(balance=200_599)
        assert refused.value.code == "insufficient_balance"

    def test_a_stale_price_is_an_error(self):
        with pytest.raises(StaleData):
            decide(price=None)
