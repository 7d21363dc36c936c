"""Backtests of the types of the house on the paper exchange's engine: what happens, when, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from axisor_executor import arithmetic
from axisor_executor.automation import (
    AccountContext,
    Action,
    AddMargin,
    AutomationConfig,
    AutomationHandler,
    ClosePosition,
    Decision,
    Lane,
    OpenPosition,
    ReduceCrossPosition,
    SetStopLoss,
)
from axisor_executor.automation import act as acting
from axisor_executor.backtest.candles import CandleFile
from axisor_executor.backtest.play import Options, play
from axisor_executor.backtest.result import Backtest, net
from axisor_executor.backtest.scenario import parse_scenario
from axisor_executor.backtest.walk import lines, walk
from axisor_executor.errors import AxisorError, InvalidConfig, InvalidJob, UnknownAutomationType
from axisor_executor.plugins import Found, Registered, Registry, discover, load

START = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
LONG = {"name": "main", "side": "b", "quantity": 1000, "leverage": 10}
CLOSE = {"action": "close_position", "margin_threshold": 50}
Ohlc = tuple[float, float, float, float]
Play = Callable[..., Backtest]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load(discover(), required=["axisor-paper-exchange", "axisor-margin-guard", "axisor-auto-entry"])


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> Play:
    def run(
        scenario: Any,
        candles: Iterable[Ohlc | float],
        *,
        step: timedelta = timedelta(minutes=1),
        start: datetime = START,
        plugins: Registry = registry,
        **options: Any,
    ) -> Backtest:
        path = tmp_path / "candles.csv"
        rows = [one if isinstance(one, tuple) else (one, one, one, one) for one in candles]
        text = "".join(
            f"{(start + number * step).isoformat()},{','.join(map(str, row))}\n" for number, row in enumerate(rows)
        )
        path.write_text(f"time,open,high,low,close\n{text}", encoding="utf-8")
        return play(plugins, parse_scenario(scenario), CandleFile(path), Options(**options))

    return run


def guard(config: Mapping[str, Any] = CLOSE, **more: Any) -> dict[str, Any]:
    return {"type": "margin_guard", "trade": "main", "config": dict(config), "positions": [LONG], **more}


def entry(**config: Any) -> dict[str, Any]:
    return {"type": "auto_entry", "config": {"side": "b", "quantity": 100, **config}}


def idle(positions: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Positions, and an automation that leaves them alone."""
    return {"automations": [entry(trigger_price=1)], "positions": positions, **more}


class TestDeciding:
    def test_a_guard_closes_at_the_end_of_the_candle_in_which_it_is_time(self, run: Play) -> None:
        result = run(guard(), [50_000, (50_000, 50_000, 47_600, 47_600), 47_000])
        (trade,), (told,) = result.trades, result.automations
        assert (trade.state, trade.exit_price, trade.closed_at) == ("closed", 47_600, START + timedelta(minutes=2))
        assert (told.type, told.action, told.tally.jobs, told.tally.acted) == ("margin_guard", "close_position", 3, 1)
        assert told.tally.sent == {"close_position": 1}
        assert told.tally.waited == {"margin_threshold_not_reached": 1}
        assert told.tally.nothing == 1, "closed already"

    def test_it_is_asked_as_often_as_it_says(self, run: Play) -> None:
        two = {"automations": [{**entry(trigger_price=1), "every": "2m"}, entry(trigger_price=1)]}
        result = run(two, [50_000] * 7)
        assert [one.tally.jobs for one in result.automations] == [3, 7]
        assert [one.id for one in result.automations] == ["auto_entry-1", "auto_entry-2"]
        assert [one.tally.jobs for one in run(two, [50_000] * 7, every=180).automations] == [3, 2]

    def test_entry_and_guard_work_together(self, run: Play) -> None:
        both = [
            entry(leverage=10, max_open_trades=1),
            {"type": "margin_guard", "config": {**CLOSE, "scope": "all"}},
        ]
        result = run(both, [50_000, 47_000, 47_000, 44_000])
        prices = [(trade.entry_price, trade.exit_price) for trade in result.trades]
        assert prices == [(50_000, 47_000), (47_000, 44_000)]
        assert result.automations[0].tally.waited == {"max_open_trades_reached": 2}
        assert result.automations[1].tally.sent == {"close_position": 2}

    def test_each_is_a_job_for_every_running_trade(self, run: Play) -> None:
        positions = [LONG, {**LONG, "name": "second", "leverage": 2}]
        result = run(guard(trade="each", positions=positions), [50_000, 47_500, 47_500], balance=5_000_000)
        tally = result.automations[0].tally
        assert [trade.state for trade in result.trades] == ["closed", "running"]
        assert (tally.jobs, tally.acted, tally.waited) == (2 + 2 + 1, 1, {"margin_threshold_not_reached": 4})

    def test_names_in_a_config_are_the_positions(self, run: Play) -> None:
        config = {**CLOSE, "scope": "selected", "selected_positions": ["@main"]}
        positions = [{**LONG, "name": "other"}, LONG]
        result = run({"type": "margin_guard", "config": config, "positions": positions}, [50_000, 47_500])
        assert [trade.state for trade in result.trades] == ["running", "closed"]

    def test_a_reduced_trade_is_followed(self, run: Play) -> None:
        config = {"action": "reduce_position", "reduce_percentage": 50, "margin_threshold": 50}
        result = run(guard(config), [50_000, 47_500, 45_300, 45_300])
        assert [trade.quantity for trade in result.trades] == [1000, 500, 250]
        assert [trade.state for trade in result.trades] == ["closed", "closed", "running"]
        assert result.automations[0].tally.sent == {"close_position": 2, "open_position": 2}
        assert result.trades[1].client_id is not None

    def test_a_cooldown_is_kept(self, run: Play) -> None:
        config = {"action": "add_margin", "add_margin_amount": 1000, "margin_threshold": 50, "cooldown_seconds": 180}
        result = run(guard(config), [50_000, *[47_000] * 8])
        assert result.automations[0].tally.sent == {"add_margin": 2}
        assert result.automations[0].tally.waited["cooldown"] == 6

    @pytest.mark.parametrize(("cooldown", "sent"), [(59, 8), (60, 4), (61, 4), (119, 4), (120, 3)])
    def test_an_action_leaves_a_moment_after_its_job_as_in_a_worker(self, run: Play, cooldown: int, sent: int) -> None:
        """So with a cooldown as long as the time between two jobs every second one waits."""
        config = {"action": "add_margin", "add_margin_amount": 1000, "margin_threshold": 50}
        result = run(guard({**config, "cooldown_seconds": cooldown}), [50_000, *[47_000] * 8])
        assert result.automations[0].tally.sent == {"add_margin": sent}

    @pytest.mark.parametrize(
        ("config", "bought"),
        [
            ({"weekly_budget_usd": 700}, 15),
            ({"weekly_budget_usd": 800}, 17),
            ({"weekly_budget_usd": 800, "min_hours_between": 24}, 9),
            ({"weekly_budget_usd": 800, "min_hours_between": 23}, 17),
        ],
    )
    def test_so_does_an_entry_that_a_budget_counts(self, run: Play, config: dict[str, Any], bought: int) -> None:
        """Of seventeen days; one a day within a budget of seven leaves every eighth out."""
        dca = {"type": "dca_entry", "config": {"quantity": 100, **config}}
        result = run(dca, [50_000] * 17, step=timedelta(days=1), balance=100_000_000)
        assert result.automations[0].tally.sent == {"open_position": bought}

    def test_what_may_be_added_in_a_day_is_kept(self, run: Play) -> None:
        config = {
            "action": "add_margin",
            "add_margin_amount": 1000,
            "margin_threshold": 50,
            "max_daily_add_margin": 2500,
        }
        tally = run(guard(config), [50_000, *[47_000] * 5]).automations[0].tally
        assert tally.sent == {"add_margin": 2}
        assert tally.failed == {"daily_add_margin_exceeded": 3}
        assert tally.first_error is not None
        assert "max_daily_add_margin 2500" in tally.first_error

    def test_a_dry_run_sends_nothing(self, run: Play) -> None:
        result = run(guard({**CLOSE, "dry_run": True}), [50_000, 47_500, 47_500])
        tally = result.automations[0].tally
        assert (result.count("running"), tally.sent, tally.rehearsed) == (1, {}, {"close_position": 2})

    def test_what_the_exchange_refuses_is_told(self, registry: Registry, run: Play) -> None:
        careless = with_handler(registry, Blunt(lambda trade_id: SetStopLoss(trade_id, Decimal(60_000))))
        result = run({"type": "blunt", "trade": "main", "positions": [LONG]}, [50_000] * 2, plugins=careless)
        tally = result.automations[0].tally
        assert (tally.acted, tally.sent, tally.rejected) == (2, {}, {"exchange_rejected": 2})
        assert "Stoploss must be below the price" in str(tally.first_error)

    def test_what_is_closed_already_is_superseded(self, registry: Registry, run: Play) -> None:
        closing = with_handler(registry, Blunt(ClosePosition))
        result = run({"type": "blunt", "trade": "main", "positions": [LONG]}, [50_000] * 3, plugins=closing)
        tally = result.automations[0].tally
        assert (tally.sent, tally.superseded) == ({"close_position": 1}, {"close_position": 2})

    def test_what_is_over_is_changed_no_more(self, registry: Registry, run: Play) -> None:
        adding = with_handler(registry, Blunt(lambda trade_id: AddMargin(trade_id, 1)))
        scenario = {"type": "blunt", "trade": "main", "positions": [{**LONG, "takeprofit": 51_000}]}
        tally = run(scenario, [50_000, 51_000, 51_000], plugins=adding).automations[0].tally
        assert (tally.sent, tally.rejected) == ({"add_margin": 1}, {"trade_not_found": 2})

    def test_a_cross_position_is_guarded_too(self, run: Play) -> None:
        cross = {"deposit": 250_000, "leverage": 10, "side": "b", "quantity": 1000}
        scenario = {"type": "margin_guard", "config": {**CLOSE, "margin_mode": "cross"}, "cross": cross}
        result = run(scenario, [50_000, 47_000, 47_000])
        assert [order.side for order in result.cross_orders] == ["buy", "sell"]
        assert result.automations[0].tally.sent == {"close_cross_position": 1}
        assert (result.trades, result.opened) == ([], 0)

    def test_a_cross_position_of_the_other_side_is_left_alone(self, registry: Registry, run: Play) -> None:
        cross = {"deposit": 250_000, "leverage": 10, "side": "b", "quantity": 1000}
        turning = with_handler(registry, Turning())
        result = run({"type": "turning", "cross": cross}, [50_000], plugins=turning)
        assert result.automations[0].tally.rejected == {"position_changed": 1}
        assert [order.side for order in result.cross_orders] == ["buy"]

    def test_the_remainder_must_be_one(self, registry: Registry, run: Play) -> None:
        greedy = with_handler(registry, Greedy())
        result = run({"type": "greedy", "positions": [LONG]}, [50_000], plugins=greedy)
        assert result.automations[0].tally.failed == {"plugin_error": 1}
        assert "is no remainder of it" in str(result.automations[0].tally.first_error)
        assert result.count("running") == 1

    def test_a_handler_that_breaks_fails_its_own_jobs(self, registry: Registry, run: Play) -> None:
        broken = with_handler(registry, Broken())
        result = run([{"type": "broken"}, entry(max_open_trades=1)], [50_000, 50_000], plugins=broken)
        first, second = result.automations
        assert (first.tally.failed, second.tally.acted) == ({"plugin_error": 2}, 1)
        assert "axisor-test 1 [test]" in str(first.tally.first_error)


class TestMarket:
    def test_a_stop_loss_comes_before_a_take_profit(self, run: Play) -> None:
        wide = [(50_000, 52_000, 48_000, 51_000)]
        position = {**LONG, "stoploss": 48_500, "takeprofit": 51_500}
        result = run(idle([position]), wide)
        assert (result.events, result.trades[0].exit_price) == ({"stoploss": 1}, 48_500)
        short = {**position, "side": "s", "stoploss": 51_500, "takeprofit": 48_500}
        assert run(idle([short]), wide).events == {"stoploss": 1}
        assert run(idle([position]), wide, path="high-first").events == {"takeprofit": 1}

    def test_a_limit_order_is_filled_on_the_way_and_may_be_lost_on_it(self, run: Play) -> None:
        order = {**LONG, "price": 49_000, "leverage": 100}
        result = run(idle([order]), [50_000, (50_000, 50_000, 48_000, 49_900)])
        assert result.events == {"filled": 1, "liquidation": 1}
        assert result.as_dict()["liquidations"] == 1
        assert 0 <= result.trades[0].margin + result.trades[0].pl < 20, "all of the margin, but for the tick's rounding"

    @pytest.mark.parametrize(
        ("side", "at", "takeprofit", "candle"),
        [
            ("b", 49_500, 50_800, (50_000, 51_000, 49_000, 50_500)),
            ("s", 50_500, 49_200, (50_000, 51_000, 49_000, 49_500)),
        ],
    )
    def test_a_limit_order_has_no_profit_of_the_candle_that_fills_it(
        self, run: Play, side: str, at: int, takeprofit: int, candle: Ohlc
    ) -> None:
        waiting = [{**LONG, "side": side, "price": at, "takeprofit": takeprofit}]
        result = run(idle(waiting), [50_000, candle])
        assert [trade.state for trade in result.trades] == ["running"]

    def test_funding_is_settled_every_eight_hours(self, run: Play) -> None:
        result = run(idle([LONG]), [50_000] * 1440, funding_rate=Decimal("0.0002"))
        assert (result.books.funding, result.trades[0].sum_funding_fees) == (3 * 400, 3 * 400)

    def test_long_candles_have_several_settlements(self, run: Play) -> None:
        held = run(idle([LONG]), [50_000] * 3, step=timedelta(days=1))
        assert held.books.funding == 9 * 200
        later = run(idle([LONG]), [50_000] * 3, step=timedelta(hours=4), start=START + timedelta(hours=3))
        assert later.books.funding == 1 * 200, "at 8 o'clock, between 3 and 15; and none at 16"

    def test_time_passes_in_gaps_with_its_funding(self, registry: Registry, tmp_path: Path) -> None:
        path = tmp_path / "gaps.csv"
        rows = [START, START + timedelta(minutes=1), START + timedelta(hours=20)]
        path.write_text("time,open,high,low,close\n" + "".join(f"{one.isoformat()},9,9,9,9\n" for one in rows))
        scenario = parse_scenario(idle([{**LONG, "quantity": 1}]))
        balance = Options(balance=100_000_000)
        with pytest.raises(AxisorError) as caught:
            play(registry, scenario, CandleFile(path), balance)
        assert caught.value.code == "candles_gap"
        result = play(registry, scenario, CandleFile(path, gaps="hold"), balance)
        assert (result.gaps, result.candles, result.automations[0].tally.jobs) == (1, 3, 3)
        assert result.books.funding == 2 * 1111
        assert result.share_at_risk == 100

    def test_the_spread_is_paid(self, run: Play) -> None:
        scenario = guard({"action": "close_position"})
        (trade,) = run(scenario, [50_000], spread=Decimal(20)).trades
        assert (trade.entry_price, trade.exit_price) == (50_010, 49_990)


class TestResult:
    def test_money_is_what_the_formulas_say(self, run: Play) -> None:
        result = run(
            idle([{**LONG, "takeprofit": 55_000}]), [50_000, (50_000, 55_000, 50_000, 54_000)], balance=500_000
        )
        fees = arithmetic.trading_fee(1000, Decimal(50_000)) + arithmetic.trading_fee(1000, Decimal(55_000))
        gain = arithmetic.pl("buy", 1000, Decimal(50_000), Decimal(55_000))
        assert (result.books.fees, result.books.pl, result.books.equity) == (fees, gain - fees, 500_000 + gain - fees)
        assert (result.opened, result.won, result.count("closed")) == (1, 1, 1)
        shown = result.as_dict()
        assert (shown["pl"], shown["plPercent"]) == (gain - fees, float(round(Decimal(gain - fees) / 5000, 2)))

    def test_the_deepest_fall_is_seen_within_candles(self, run: Play) -> None:
        result = run(idle([LONG]), [(50_000, 55_000, 50_000, 55_000), (55_000, 55_000, 49_000, 55_000), 60_000])
        fall = result.drawdown
        at_peak = arithmetic.pl("buy", 1000, Decimal(50_000), Decimal(55_000))
        at_low = arithmetic.pl("buy", 1000, Decimal(50_000), Decimal(49_000))
        assert fall.sats == at_peak - at_low
        assert fall.peak_at is not None
        assert fall.low_at is not None
        assert fall.peak_at <= START + timedelta(minutes=1) < fall.low_at < START + timedelta(minutes=2)

    def test_time_at_risk_is_from_fill_to_end(self, run: Play) -> None:
        calm = run(idle([]), [50_000] * 10)
        assert (calm.share_at_risk, calm.drawdown.sats, calm.books.pl, calm.opened) == (0, 0, 0, 0)
        half = run(guard({"action": "close_position"}, every="5m"), [50_000] * 10)
        assert half.share_at_risk == 50

    def test_the_same_again_is_the_same_again(self, run: Play) -> None:
        def told(seed: int) -> str:
            return json.dumps(run([entry(leverage=50)], [50_000, 49_000, 51_000], seed=seed).as_dict())

        assert told(1) == told(1) != told(2)

    def test_the_curve_is_thinned_and_keeps_its_ends_apart(self, run: Play) -> None:
        result = run(idle([LONG]), [50_000 + number for number in range(5000)])
        assert 1000 <= len(result.curve) < 2000
        assert result.curve[0].at == START + timedelta(minutes=1)
        gaps = {after.at - before.at for before, after in zip(result.curve, result.curve[1:], strict=False)}
        assert len(gaps) == 1


BAD: dict[str, tuple[Any, type[AxisorError], str]] = {
    "an unknown type": ({"type": "moon"}, UnknownAutomationType, "Unsupported automation type: moon; installed: "),
    "a config that is refused": (entry(quantity=-1), InvalidConfig, "quantity: must be a whole number"),
    "a config for nothing": (guard({"action": "pray"}), InvalidConfig, "action: must be one of"),
    "an action that there is not": ({**guard(), "action": "pray"}, InvalidJob, "is none of margin_guard's"),
    "a job more often than candles": ({**entry(), "every": "30s"}, InvalidConfig, "it must be a multiple of that"),
    "a position that can't be paid": (
        idle([{**LONG, "quantity": 500_000}]),
        InvalidConfig,
        "positions: main: the exchange refuses: Insufficient balance",
    ),
    "a cross wallet that can't be filled": (
        idle([], cross={"deposit": 10**9}),
        InvalidConfig,
        "cross: the exchange refuses: Insufficient balance",
    ),
    "a dry run that is none": (guard({**CLOSE, "dry_run": "yes"}), InvalidConfig, "dry_run"),
}


class TestRefusing:
    @pytest.mark.parametrize("kind", BAD)
    def test_it_is_said_before_anything_is_played(self, run: Play, kind: str) -> None:
        scenario, error, message = BAD[kind]
        with pytest.raises(error) as caught:
            run(scenario, [50_000] * 3)
        assert message in caught.value.message

    def test_a_simulation_that_is_not_there(self, run: Play, registry: Registry) -> None:
        with pytest.raises(AxisorError) as caught:
            run(entry(), [50_000], plugins=replace(registry, simulations={}))
        assert caught.value.code == "simulation_missing"
        assert "installed: none; pip install axisor-paper-exchange" in caught.value.message

    def test_options_that_the_exchange_does_not_take(self, run: Play) -> None:
        with pytest.raises(AxisorError) as caught:
            run(entry(), [50_000], spread=Decimal("0.3"))
        assert caught.value.code == "simulation_options"

    def test_books_that_do_not_balance_are_no_result(
        self, run: Play, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from axisor_paper_exchange.simulation import PaperSimulation

        monkeypatch.setattr(PaperSimulation, "audit", lambda _: ["a sat is missing"])
        with pytest.raises(AxisorError, match="don't balance: a sat is missing") as caught:
            run(entry(), [50_000])
        assert caught.value.code == "simulation_unbalanced"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    volatility=st.sampled_from(["0.05", "0.5"]),
    leverage=st.integers(2, 100),
    side=st.sampled_from(["b", "s"]),
    path=st.sampled_from(["pessimistic", "low-first", "high-first"]),
)
def test_what_it_tells_adds_up(
    registry: Registry, tmp_path: Path, seed: int, volatility: str, leverage: int, side: str, path: Any
) -> None:
    """Whatever the market does: P&L is what the trades tell, and what the exchange's books say."""
    made = walk(seed=seed, minutes=300, start=START, price=Decimal(50_000), volatility=Decimal(volatility))
    file = tmp_path / "walk.csv"
    file.write_text("".join(f"{line}\n" for line in lines(made)), encoding="utf-8")
    scenario = parse_scenario(
        [
            {**entry(side=side, leverage=leverage, max_open_trades=3), "every": "20m"},
            {"type": "margin_guard", "every": "5m", "config": {**CLOSE, "scope": "all", "margin_threshold": 90}},
        ]
    )
    result = play(registry, scenario, CandleFile(file), Options(path=path))
    assert result.books.pl == sum(net(trade) for trade in result.trades if trade.filled_at is not None)
    assert result.books.fees == sum(trade.opening_fee + trade.closing_fee for trade in result.trades)
    assert result.books.funding == sum(trade.sum_funding_fees for trade in result.trades)
    assert result.count("closed") + result.count("running") == result.opened
    by_guard = result.automations[1].tally.sent["close_position"]
    assert result.events.get("liquidation", 0) + by_guard == result.count("closed")
    assert result.drawdown.sats >= max(0, -result.books.pl)
    assert result.automations[0].tally.jobs == 15


class Config(AutomationConfig):
    pass


class Greedy(AutomationHandler[Config]):
    """Replaces a trade by a larger one."""

    type = "greedy"
    title = "Greedy"
    actions: ClassVar[Mapping[str, Lane]] = {"grow": "default"}
    config_model = Config

    def decide(self, context: AccountContext[Config]) -> Decision:
        (trade,) = context.running_trades()
        larger = OpenPosition(trade.side, trade.quantity + 1, trade.leverage, replaces=trade.id)
        return acting(ClosePosition(trade.id), larger)


class Blunt(AutomationHandler[Config]):
    """Does to the job's trade what it was made for, without looking."""

    type = "blunt"
    title = "Blunt"
    actions: ClassVar[Mapping[str, Lane]] = {"go": "default"}
    config_model = Config

    def __init__(self, action: Callable[[str], Action]) -> None:
        self.action = action

    def decide(self, context: AccountContext[Config]) -> Decision:
        return acting(self.action(str(context.job.trade_id)))


class Turning(Greedy):
    """Takes a long cross position for a short."""

    type = "turning"
    title = "Turning"

    def decide(self, context: AccountContext[Config]) -> Decision:
        position = context.cross_position()
        return acting(ReduceCrossPosition(position.id, "sell", abs(position.quantity), 10))


class Broken(Greedy):
    """Raises something of its own."""

    type = "broken"
    title = "Broken"

    def decide(self, context: AccountContext[Config]) -> Decision:
        raise ZeroDivisionError("half way")


def with_handler(registry: Registry, handler: AutomationHandler[Any]) -> Registry:
    found = Found("test", "axisor-test", "1", lambda: None)
    return replace(registry, handlers={**registry.handlers, handler.type: Registered(handler, found)})
