"""The test kit for handlers: contexts and trades that behave like real ones."""

from datetime import timedelta
from decimal import Decimal

import pytest

from axisor_executor import arithmetic
from axisor_executor.automation import (
    AutomationConfig,
    AutomationHandler,
    OpenPosition,
    OwnEntry,
    SetStopLoss,
    SpendGuards,
    act,
)
from axisor_executor.errors import InvalidConfig, InvalidJob, NotFound, StaleData, Unavailable
from axisor_executor.testing import NOW, make_context, make_cross_position, make_trade

D = Decimal


class Config(AutomationConfig):
    action: str
    limit: int = 3


class Handler(AutomationHandler[Config]):
    type = "sample"
    title = "Sample"
    actions = {"one": "default", "two": "protect"}  # noqa: RUF012
    config_model = Config

    def decide(self, context):
        return act(name=context.job.action)


class GuardedConfig(SpendGuards, Config):
    pass


class Guarded(Handler):
    config_model = GuardedConfig


def context(config=None, **facts):
    return make_context({"action": "one"} | (config or {}), handler=Handler(), **facts)


def test_defaults():
    seen = context()
    assert (seen.config.action, seen.config.limit, seen.job.action, seen.job.trade_id) == ("one", 3, "one", None)
    assert (seen.price(), seen.balance()) == (50_000, 1_000_000)
    assert (seen.running_trades(), seen.open_orders(), seen.own_trades()) == ((), (), ())
    assert seen.automation.type == "sample"
    assert seen.now.tzinfo is not None


def test_the_config_is_read_as_the_executor_reads_it():
    assert context(action="two").config.action == "two"
    assert context(action="sample").config.action == "one"
    with pytest.raises(InvalidJob):
        context(action="three")
    with pytest.raises(InvalidConfig, match="unknown key"):
        context({"limits": 1})


def test_a_config_model_is_taken_as_it_is():
    seen = make_context(Config(action="one", limit=9), handler=Handler(), action="two")
    assert (seen.config.limit, seen.config.action, seen.job.action) == (9, "two", "two")


def test_the_lineage_is_followed():
    seen = context(trade_id="a", lineage={"a": "b", "b": "c"}, running=[make_trade(id="c")])
    assert seen.job.trade_id == "c"
    assert seen.trade().id == "c"
    assert context(lineage={"a": "b", "b": "a"}).current_id("a") in ("a", "b")


def test_it_leads_back_to_the_trade_as_it_began():
    first, last = make_trade(id="a", state="closed"), make_trade(id="c", quantity=50)
    seen = context(trade_id="a", lineage={"a": "b", "b": "c"}, running=[last], finished=[first])
    assert seen.original_trade(seen.trade()) == first
    alone = make_trade()
    assert context(running=[alone], finished=None).original_trade(alone) == alone
    with pytest.raises(StaleData) as missing:
        context(lineage={"a": "c"}, running=[last]).original_trade(last)
    assert missing.value.code == "original_trade_missing"


def test_entries_are_those_since_then_the_newest_first():
    order = OpenPosition("buy", 100, Decimal(10))
    old, newer, newest = (OwnEntry(NOW - timedelta(days=days), order, "unknown") for days in (7, 3, 1))
    seen = context(entries=[old, newer, newest])
    assert seen.own_entries(NOW - timedelta(days=7)) == (newest, newer)
    with pytest.raises(Unavailable):
        context(entries=None).own_entries(NOW)


@pytest.mark.parametrize("since", [NOW.replace(tzinfo=None), NOW.date(), timedelta(days=1), "2026", None])
def test_since_when_is_an_instant(since):
    with pytest.raises(ValueError, match="since must be a datetime with a time zone"):
        context().own_entries(since)


@pytest.mark.parametrize("price", [Decimal("1e50"), Decimal("100000000.5"), Decimal("NaN"), Decimal(0), 48_000])
def test_a_price_is_one_that_the_exchange_knows(price):
    with pytest.raises(ValueError, match="value must be a Decimal above 0 and up to 100000000"):
        SetStopLoss("t", price)


def test_a_trade_cools_down_for_as_long_as_the_config_says_under_the_id_that_it_has_now():
    acted_on = {"a": NOW - timedelta(seconds=59), "c": NOW - timedelta(seconds=60)}
    cool = {"action": "one", "cooldown_seconds": 60}
    assert make_context(cool, handler=Guarded(), acted_on=acted_on, lineage={"a": "b"}).cooling_down() == {"b"}
    with pytest.raises(Unavailable):
        make_context(cool, handler=Guarded(), acted_on=None).cooling_down()


def test_a_context_is_for_an_instance_or_its_class():
    assert make_context({"action": "one"}, handler=Guarded) == make_context({"action": "one"}, handler=Guarded())
    assert make_context({"action": "one"}, handler=Guarded).automation.type == Guarded.type


@pytest.mark.parametrize("handler", [Handler, Guarded])
def test_without_a_cooldown_nothing_is_read_for_it(handler):
    seen = make_context({"action": "one"}, handler=handler(), acted_on=None)
    assert (seen.cooling_down(), seen.reads.asked) == (frozenset(), [])


def test_trades_are_found_in_every_state():
    states = {"running": "running", "open_orders": "open", "finished": "closed"}
    for where, state in states.items():
        assert context(trade_id="t", **{where: [make_trade(id="t", state=state)]}).trade().state == state
    with pytest.raises(NotFound):
        context(trade_id="t").trade()


def test_a_running_trade_is_found_before_anything_else_is_read():
    seen = context(trade_id="t", running=[make_trade(id="t")], open_orders=None, finished=None)
    assert seen.trade().state == "running"
    assert seen.reads.asked == ["running"]


def test_an_open_order_is_found_without_the_history():
    seen = context(trade_id="t", open_orders=[make_trade(id="t", state="open")], finished=None)
    assert seen.trade().state == "open"
    assert seen.reads.asked == ["running", "open_orders"]


def test_the_history_alone_can_be_asked():
    seen = context(finished=[make_trade(id="b", state="closed")], lineage={"a": "b"}, running=None, open_orders=None)
    assert seen.finished_trade("a").id == "b"
    assert seen.finished_trade("c") is None
    assert seen.reads.asked == ["finished", "finished"]


@pytest.mark.parametrize("what", ["running", "open_orders", "finished"])
def test_trades_that_can_not_be_read(what):
    with pytest.raises(Unavailable, match="could not be read"):
        context(trade_id="t", **{what: None}).trade()


def test_what_can_not_be_read():
    seen = context(price=None, balance=None, own=None)
    with pytest.raises(Unavailable, match="trades of this automation could not be read"):
        seen.own_trades()
    with pytest.raises(StaleData):
        seen.price()
    with pytest.raises(StaleData):
        seen.balance()
    assert seen.reads.asked == ["own_trades", "price", "balance"]


def test_a_trade_is_consistent():
    trade = make_trade(side="sell", quantity=1000, entry_price=110_000, leverage=100, last_price=109_000)
    assert trade.liquidation == 111_111
    assert trade.margin == arithmetic.margin(1000, D(110_000), D(100))
    assert trade.pl == arithmetic.pl("sell", 1000, D(110_000), D(109_000)) > 0
    assert (trade.type, trade.state, trade.entry_price) == ("market", "running", 110_000)


def test_states_and_overrides():
    order = make_trade(state="open", quantity=1, entry_price=100_000, leverage=100)
    assert (order.type, order.entry_price, order.opening_fee, order.filled_at) == ("limit", None, 0, None)
    assert (order.margin, order.maintenance_margin, order.liquidation) == (10, 2, 99_010)
    closed = make_trade(state="closed", last_price=55_000, quantity=10)
    assert (closed.exit_price, closed.pl, closed.closing_fee) == (55_000, 1818, 18)
    assert make_trade(stoploss=D(45_000), pl=-7).pl == -7
    with pytest.raises(TypeError):
        make_trade(stop_loss=1)


def test_a_cross_position_is_consistent():
    position = make_cross_position(quantity=-1000, entry_price=110_000, leverage=100, last_price=109_000)
    assert (position.side, position.liquidation) == ("sell", 111_111)
    assert position.margin == position.running_margin == arithmetic.margin(1000, D(110_000), D(100))
    assert position.total_pl == arithmetic.pl("sell", 1000, D(110_000), D(109_000)) > 0


def test_a_larger_wallet_moves_its_liquidation_away():
    assert make_cross_position(margin=40_000).liquidation < make_cross_position().liquidation
    assert make_cross_position(quantity=-100, margin=300_000).liquidation is None


def test_one_that_holds_nothing():
    flat = make_cross_position(quantity=0)
    assert (flat.side, flat.entry_price, flat.liquidation, flat.running_margin, flat.total_pl) == (
        None,
        None,
        None,
        0,
        0,
    )


def test_the_cross_position_is_read_when_it_is_asked_for():
    seen = context(cross_position=make_cross_position())
    assert seen.reads.asked == []
    assert seen.cross_position().id == "position-1"
    assert seen.reads.asked == ["cross_position"]
    with pytest.raises(Unavailable, match="could not be read"):
        context().cross_position()
