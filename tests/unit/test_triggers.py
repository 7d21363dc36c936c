"""At which price a decision changes: found by asking a pure handler, whatever its conditions are."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_auto_entry import AutoEntry
from axisor_executor import arithmetic
from axisor_executor.automation import AccountContext, AutomationHandler, ClosePosition, Decision, act, wait
from axisor_executor.errors import Refused, StaleData
from axisor_executor.exchange.base import PRICE_STEP, Side
from axisor_executor.run.triggers import Change, Remembered, Triggers, Would, triggers, would_of
from axisor_executor.testing import PlainReads, make_context, make_cross_position, make_trade
from axisor_margin_guard import MarginGuard
from axisor_tp_sl import TpSl

NOW = Decimal(50_000)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
ACTS = Would("act", frozenset({("t", ("close_position",))}))
WAITS = Would("wait")
PRICES = st.integers(10_001, 999_999).map(lambda halves: halves * PRICE_STEP)


def found(handler: AutomationHandler[Any], context: AccountContext[Any]) -> Triggers:
    """Search as the preview does."""
    known = Remembered(context.reads)
    return triggers(
        lambda price: would_of(lambda: handler.decide(dataclasses.replace(context, reads=known.at(price)))), NOW
    )


def acting(changes: tuple[Change, ...]) -> Decimal | None:
    return changes[-1].price if changes and changes[-1].would.status == "act" else None


class TestTheSearch:
    @given(threshold=PRICES.filter(lambda price: price < NOW))
    def test_a_threshold_below_is_found_to_the_step(self, threshold: Decimal) -> None:
        result = triggers(lambda price: ACTS if price <= threshold else WAITS, NOW)
        assert (result.now, result.below, result.above) == (WAITS, (Change(threshold, ACTS),), ())

    @given(threshold=PRICES.filter(lambda price: price > NOW))
    def test_a_threshold_above_is_found_to_the_step(self, threshold: Decimal) -> None:
        result = triggers(lambda price: ACTS if price >= threshold else WAITS, NOW)
        assert (result.now, result.above, result.below) == (WAITS, (Change(threshold, ACTS),), ())

    @given(edge=PRICES.filter(lambda price: price != NOW))
    def test_where_it_acts_now_it_is_told_where_that_ends(self, edge: Decimal) -> None:
        ends = (lambda price: price < edge) if edge > NOW else (lambda price: price > edge)
        result = triggers(lambda price: ACTS if ends(price) else WAITS, NOW)
        assert result.now == ACTS
        assert (result.above if edge > NOW else result.below) == (Change(edge, WAITS),)

    @given(low=PRICES, width=st.integers(1, 400))
    def test_a_band_that_is_wider_than_the_steps_is_found(self, low: Decimal, width: int) -> None:
        """Within half of the price a step is 0.25 percent of it."""
        high = low + NOW * Decimal("0.0025") + width
        if not NOW / 2 < low < high < NOW * Decimal("1.5") or low <= NOW <= high:
            return
        result = triggers(lambda price: ACTS if low <= price <= high else WAITS, NOW)
        assert acting(result.below if high < NOW else result.above) == (high if high < NOW else low)

    def test_what_lies_between_is_told_on_the_way(self) -> None:
        fails = Would("fail", code="insufficient_balance")

        def ask(price: Decimal) -> Would:
            return ACTS if price <= 40_000 else fails if price <= 45_000 else WAITS

        assert triggers(ask, NOW).below == (Change(Decimal(45_000), fails), Change(Decimal(40_000), ACTS))

    def test_what_the_price_does_not_decide_has_no_trigger(self) -> None:
        assert triggers(lambda _: ACTS, NOW) == Triggers(ACTS, (), ())

    @pytest.mark.parametrize("price", [Decimal("0.5"), Decimal(1), arithmetic.MAX_PRICE])
    def test_at_the_ends_of_all_prices(self, price: Decimal) -> None:
        asked: list[Decimal] = []

        def ask(at: Decimal) -> Would:
            asked.append(at)
            return WAITS

        triggers(ask, price)
        assert all(PRICE_STEP <= at <= arithmetic.MAX_PRICE and at % PRICE_STEP == 0 for at in asked)

    def test_the_highest_and_the_lowest_price_are_asked_too(self) -> None:
        """The next step of 0.25 percent from here would lead past the highest."""
        highest, near = arithmetic.MAX_PRICE, Decimal(99_990_000)
        assert triggers(lambda price: ACTS if price >= highest else WAITS, near).above == (Change(highest, ACTS),)
        assert triggers(lambda price: ACTS if price > near else WAITS, near).above == (Change(near + PRICE_STEP, ACTS),)
        assert triggers(lambda price: ACTS if price <= PRICE_STEP else WAITS, Decimal(4)).below == (
            Change(PRICE_STEP, ACTS),
        )

    def test_beyond_the_highest_price_it_searches_downwards_alone(self) -> None:
        asked: list[Decimal] = []

        def ask(at: Decimal) -> Would:
            asked.append(at)
            return WAITS

        triggers(ask, arithmetic.MAX_PRICE * 2)
        assert all(at <= arithmetic.MAX_PRICE for at in asked[1:])
        assert len(set(asked)) == len(asked)

    def test_it_asks_a_few_hundred_times_at_most(self) -> None:
        asked: list[Decimal] = []

        def ask(at: Decimal) -> Would:
            asked.append(at)
            return WAITS

        triggers(ask, NOW)
        assert len(asked) < 600

    def test_a_decision_that_flickers_ends_the_search(self) -> None:
        result = triggers(lambda price: Would("fail", code=str(price)), NOW)
        assert len(result.below) == len(result.above) == 5


class TestWould:
    @pytest.mark.parametrize(
        ("decision", "status"),
        [(act(ClosePosition("t")), "act"), (act(name="nothing"), "nothing"), (wait("later"), "wait")],
        ids=["act", "nothing", "wait"],
    )
    def test_a_decision(self, decision: Decision, status: str) -> None:
        assert would_of(lambda: decision).status == status

    @pytest.mark.parametrize(("error", "code"), [(Refused("no"), "refused"), (ZeroDivisionError(), "plugin_error")])
    def test_what_is_raised_at_a_price_that_never_was(self, error: Exception, code: str) -> None:
        def fail() -> Decision:
            raise error

        assert would_of(fail) == Would("fail", code=code)


class TestTheHandlers:
    """The price that a search finds is the one at which the handler's own rule holds first."""

    @given(side=st.sampled_from(["buy", "sell"]), leverage=st.integers(2, 50), threshold=st.integers(5, 99))
    def test_margin_guard(self, side: Side, leverage: int, threshold: int) -> None:
        trade = make_trade(side=side, leverage=leverage)
        if trade.liquidation >= arithmetic.NO_LIQUIDATION:
            return
        config = {"action": "close_position", "margin_threshold": threshold}
        context = make_context(config, handler=MarginGuard(), trade_id=trade.id, running=[trade])
        result = found(MarginGuard(), context)
        used = abs(NOW - trade.liquidation) * threshold / 100
        exact = NOW - used if side == "buy" else NOW + used
        at = acting(result.below if side == "buy" else result.above)
        assert at is not None
        assert 0 <= (exact - at if side == "buy" else at - exact) < PRICE_STEP
        assert (result.above if side == "buy" else result.below) == ()

    @pytest.mark.parametrize(
        ("config", "below", "above"),
        [
            ({"action": "close_sl", "trigger_price": 47_000}, 47_000, None),
            ({"action": "close_tp", "trigger_price": 60_000.5}, None, Decimal("60000.5")),
            ({"action": "close_sl", "trigger_price": 80_000}, None, None),
        ],
    )
    def test_tp_sl(self, config: dict[str, Any], below: Decimal | None, above: Decimal | None) -> None:
        context = make_context(config, handler=TpSl(), running=[make_trade()])
        result = found(TpSl(), context)
        if result.now.status == "wait":
            assert (acting(result.below), acting(result.above)) == (below, above)
        else:
            assert result.now.status == "act"

    def test_the_pl_follows_the_price(self) -> None:
        """A long of 100 USD from 50 000 at 10x has 20 000 sats of margin: a quarter is lost at 48 780.5."""
        config = {"action": "close_sl", "trigger_pnl_percentage": -25}
        context = make_context(config, handler=TpSl(), running=[make_trade()])
        at = acting(found(TpSl(), context).below)
        assert at is not None
        assert arithmetic.pl("buy", 100, NOW, at) <= -5_000 < arithmetic.pl("buy", 100, NOW, at + PRICE_STEP)

    @pytest.mark.parametrize(("side", "trigger"), [("buy", 45_000), ("sell", 56_000)])
    def test_auto_entry(self, side: str, trigger: int) -> None:
        config = {"side": side, "quantity": 100, "trigger_price": trigger}
        result = found(AutoEntry(), make_context(config, handler=AutoEntry()))
        assert (acting(result.below), acting(result.above)) == (
            (trigger, None) if side == "buy" else (None, Decimal(trigger))
        )

    def test_a_cross_position(self) -> None:
        config = {"action": "close_position", "margin_mode": "cross", "margin_threshold": 90}
        context = make_context(config, handler=MarginGuard(), cross_position=make_cross_position())
        at = acting(found(MarginGuard(), context).below)
        assert at == Decimal("45909.0"), "90 percent of the way from 50 000 to 45 454.5 is 45 909.05"


class TestReads:
    def test_each_fact_is_read_once_and_an_error_stays_one(self) -> None:
        lineage = {"v": "w", "w": "x", "x": "y"}
        reads = PlainReads(running_trades=(make_trade(),), free_balance=None, own=(make_trade(),), lineage=lineage)
        known = Remembered(reads)
        for price in (1, 2):
            at = known.at(Decimal(price))
            assert at.price() == price
            at.running()
            at.open_orders()
            at.own_trades()
            at.finished("x")
            assert (at.current_id("x"), at.original_id("x")) == ("y", "v")
            assert list(at.own_entries(SINCE)) == []
            assert list(at.acted_on(SINCE)) == [], "a cooldown ends: what is sought is the price"
            with pytest.raises(StaleData):
                at.balance()
        assert sorted(reads.asked) == ["balance", "finished", "open_orders", "own_entries", "own_trades", "running"]

    @given(price=PRICES)
    def test_only_the_pl_of_what_runs_is_moved(self, price: Decimal) -> None:
        running, order = make_trade(), make_trade(id="order", state="open")
        at = Remembered(PlainReads(running_trades=(running,), orders=(order,), own=(order,))).at(price)
        (moved,) = at.running()
        assert moved.pl == arithmetic.pl("buy", 100, NOW, price)
        assert (moved.margin, moved.liquidation) == (running.margin, running.liquidation)
        assert list(at.open_orders()) == list(at.own_trades()) == [order]

    @given(price=PRICES, settled=st.integers(-1_000, 1_000))
    def test_a_cross_positions_pl(self, price: Decimal, settled: int) -> None:
        position = make_cross_position(delta_pl=settled)
        moved = Remembered(PlainReads(cross=position)).at(price).cross_position()
        assert moved.total_pl == arithmetic.pl("buy", 100, NOW, price)
        assert moved.delta_pl - moved.total_pl == position.delta_pl - position.total_pl
        empty = make_cross_position(quantity=0)
        assert Remembered(PlainReads(cross=empty)).at(price).cross_position() == empty
