"""The fake exchange: it does what it is asked as the paper exchange does, and refuses what that refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axisor_executor.automation import (
    Action,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    CancelOrder,
    CashIn,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
    SetTakeProfit,
    SpendGuards,
    act,
    wait,
)
from axisor_executor.errors import Rejected, StaleData
from axisor_executor.exchange.base import NewTrade, Trade
from axisor_executor.exchange.simulation import SimulationOptions
from axisor_executor.plugins import discover, load
from axisor_executor.run.send import call
from axisor_executor.testing import NOW, FakeExchange, make_cross_position, make_trade

D = Decimal
PAPER = load(discover()).simulations["paper"]


class Handler(AutomationHandler[AutomationConfig]):
    type = "sample"
    title = "Sample"
    actions = {"one": "default"}  # noqa: RUF012
    config_model = AutomationConfig

    def decide(self, context):
        return wait("never")


class GuardedConfig(SpendGuards, AutomationConfig):
    pass


class Guarded(Handler):
    config_model = GuardedConfig


def test_the_context_shows_the_account():
    running, order = make_trade(id="a"), make_trade(id="b", state="open", entry_price=45_000)
    exchange = FakeExchange(price=52_000, trades=[running, order, make_trade(id="c", state="closed")], own=["b"])
    context = exchange.context(Handler(), {}, trade_id="a")
    assert context.trade() == context.running_trades()[0] == replace(running, pl=7692)
    assert (context.price(), context.balance()) == (52_000, 1_000_000)
    assert [trade.id for trade in context.open_orders()] == [trade.id for trade in context.own_trades()] == ["b"]
    assert context.finished_trade("c").state == "closed"
    with pytest.raises(StaleData):
        exchange.context(Handler(), {}, price=None).price()


def test_what_is_carried_out_shows_in_the_next_context():
    exchange = FakeExchange(trades=[make_trade()])
    assert exchange.carry_out(wait("later")) is exchange
    exchange.carry_out(act(SetStopLoss("trade-1", D(48_000)), SetTakeProfit("trade-1", D(60_000))))
    trade = exchange.context(Handler(), {}, trade_id="trade-1").trade()
    assert (trade.stoploss, trade.takeprofit) == (48_000, 60_000)


def test_an_entry_is_the_automations_own():
    order = OpenPosition("sell", 100, D(10), type="limit", price=D(55_000), stoploss=D(58_000))
    exchange = FakeExchange().carry_out(act(order))
    context = exchange.context(Handler(), {})
    assert [(trade.id, trade.state, trade.stoploss) for trade in context.own_trades()] == [("new-1", "open", 58_000)]
    (entry,) = context.own_entries(NOW - timedelta(seconds=1))
    assert (entry.order, entry.status, entry.trade_id, entry.price) == (order, "confirmed", "new-1", 55_000)
    spent = 1_000_000 - exchange.balance
    exchange.apply(CancelOrder("new-1"))
    assert (exchange.balance, exchange.trade("new-1").state, spent > 0) == (1_000_000, "canceled", True)


def test_a_remainder_follows_the_lineage_and_is_no_entry():
    exchange = FakeExchange(trades=[make_trade()])
    reopen = OpenPosition("buy", 50, D(10), replaces="trade-1", reference_price=D(50_000), max_slippage_percent=D(1))
    exchange.carry_out(act(ClosePosition("trade-1"), reopen))
    context = exchange.context(Handler(), {}, trade_id="trade-1")
    assert (context.trade().id, context.trade().quantity) == ("new-1", 50)
    assert context.original_trade(context.trade()).id == "trade-1"
    assert context.own_entries(NOW - timedelta(days=1)) == ()
    assert exchange.trade("trade-1").id == "new-1"


def test_what_was_acted_on_cools_down():
    trades = [make_trade(), make_trade(id="trade-2"), make_trade(id="trade-3")]
    exchange = FakeExchange(trades=trades, cross_position=make_cross_position(), acted_on={"trade-3": NOW})
    reopen = OpenPosition("buy", 50, D(10), replaces="trade-1")
    exchange.carry_out(act(ClosePosition("trade-1"), reopen)).apply(ReduceCrossPosition("position-1", "buy", 100, 1))
    again = exchange.copy()
    again.apply(SetStopLoss("trade-2", D(48_000)))
    assert exchange.context(Guarded(), {"cooldown_seconds": 60}).cooling_down() == {"new-1", "position-1", "trade-3"}
    assert again.context(Guarded(), {"cooldown_seconds": 60}).cooling_down() >= {"trade-2", "new-1"}
    exchange.move(50_000, now=NOW + timedelta(seconds=60))
    assert exchange.context(Guarded(), {"cooldown_seconds": 60}).cooling_down() == frozenset()


def test_a_copy_goes_its_own_way():
    first = FakeExchange(trades=[make_trade()])
    second = first.copy()
    second.carry_out(act(ClosePosition("trade-1"), OpenPosition("buy", 1, D(1))))
    assert (list(first.trades), first.trade("trade-1").state, first.own, first.balance) == (
        ["trade-1"],
        "running",
        set(),
        1_000_000,
    )


def test_the_market_moves():
    exchange = FakeExchange(trades=[make_trade(quantity=10)], cross_position=make_cross_position(quantity=-10))
    exchange.move(55_000, now=NOW + timedelta(hours=1))
    assert exchange.trade("trade-1").pl == 1818
    assert exchange.cross is not None
    assert exchange.cross.total_pl == -1819
    assert exchange.context(Handler(), {}).now == NOW + timedelta(hours=1)


def test_the_cross_position():
    exchange = FakeExchange(cross_position=make_cross_position(quantity=-100))
    exchange.apply(ReduceCrossPosition("position-1", "sell", 100, 40))
    assert exchange.cross is not None
    assert exchange.cross.quantity == -60
    with pytest.raises(Rejected, match="holds -60"):
        exchange.apply(ReduceCrossPosition("position-1", "sell", 100, 40))
    exchange.apply(CloseCrossPosition("position-1", "sell", 60))
    assert exchange.cross.side is None
    with pytest.raises(Rejected, match="no cross position"):
        exchange.apply(CloseCrossPosition("position-1", "sell", 60))


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (ClosePosition("nobody's"), "do not own"),
        (ClosePosition("done"), "is closed, not running"),
        (ClosePosition("order"), "is open, not running"),
        (CancelOrder("trade-1"), "is running, not open"),
        (SetTakeProfit("trade-1", D(60_000)), "same as the previous"),
        (SetTakeProfit("trade-1", D(49_000)), "must be above the entry price"),
        (SetStopLoss("trade-1", D(48_000)), "same as the previous"),
        (SetStopLoss("trade-1", D(50_000)), "must be below the market"),
        (SetStopLoss("trade-1", D(40_000)), "below the long's liquidation"),
        (AddMargin("trade-1", 1_000_001), "out of 1 to 100"),
        (AddMargin("trade-1", 100_001), "this takes 100001"),
        (CashIn("trade-1", 19_000), "out of 1 to 100"),
        (OpenPosition("buy", 1000, D(10)), "the balance is 100000 sats"),
        (OpenPosition("buy", 500_001, D(10)), "an order takes 500000 USD at most"),
        (ReduceCrossPosition("position-1", "buy", 600_000, 500_001), "an order takes 500000 USD at most"),
        (OpenPosition("buy", 1, D(10), stoploss=D(51_000)), "must be below the market"),
        (OpenPosition("sell", 1, D(10), takeprofit=D(51_000)), "must be below the entry price"),
    ],
)
def test_what_the_exchange_would_refuse_is_refused_and_changes_nothing(action, says):
    trades = [
        make_trade(stoploss=D(48_000), takeprofit=D(60_000)),
        make_trade(id="order", state="open", entry_price=45_000),
        make_trade(id="done", state="closed"),
    ]
    exchange = FakeExchange(trades=trades, balance=100_000)
    before = (dict(exchange.trades), exchange.balance, set(exchange.own), exchange.entries)
    with pytest.raises(Rejected, match=says):
        exchange.apply(action)
    assert (exchange.trades, exchange.balance, exchange.own, exchange.entries) == before


def test_what_is_no_action_is_a_mistake():
    with pytest.raises(TypeError, match="is no action"):
        FakeExchange().apply("close")


LEVELS = st.integers(-8, 8).filter(bool).map(lambda step: D(50_000 + step * 500))
ACTIONS = st.one_of(
    st.just(ClosePosition("trade-1")),
    st.integers(1, 300_000).map(lambda amount: AddMargin("trade-1", amount)),
    LEVELS.map(lambda level: SetTakeProfit("trade-1", level)),
    LEVELS.map(lambda level: SetStopLoss("trade-1", level)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["buy", "sell"]),
    st.integers(10, 5_000),
    st.integers(1, 50),
    st.lists(ACTIONS, max_size=4),
)
def test_it_answers_as_the_paper_exchange_does(side, quantity, leverage, wanted):
    held = make_trade(side=side, quantity=quantity, leverage=leverage)
    exchange = FakeExchange(trades=[held], balance=10_000_000)
    simulation = PAPER(SimulationOptions(at=datetime(2026, 1, 1, tzinfo=UTC), price=D(50_000)))
    simulation.add_account("a", balance=10_000_000_000)
    client = simulation.client("a")
    placed = client.open_trade(NewTrade("market", side, quantity, D(leverage))).value
    for action in wanted:
        fake, real = outcome(exchange.apply, action), outcome(carry_out_on(client, placed.id), action)
        assert fake == real, action
    found = simulation.trade("a", placed.id)
    assert found is not None
    assert facts(exchange.trade("trade-1")) == facts(found)


def carry_out_on(client: Any, trade_id: str) -> Any:
    return lambda action: call(client, replace(action, trade_id=trade_id), None, 0)


def outcome(carry_out: Any, action: Action) -> str:
    try:
        carry_out(action)
    except Rejected:
        return "refused"
    return "done"


def facts(trade: Trade) -> dict[str, Any]:
    names = (
        "side",
        "state",
        "quantity",
        "margin",
        "liquidation",
        "stoploss",
        "takeprofit",
        "entry_price",
        "exit_price",
    )
    return {name: getattr(trade, name) for name in names}
