"""Jobs run whole in a handler's tests: the real executor and ledger, on the paper exchange in this process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from axisor_auto_entry import AutoEntry
from axisor_executor.automation import (
    AutomationConfig,
    AutomationHandler,
    CloseCrossPosition,
    ClosePosition,
    OpenPosition,
    SetStopLoss,
    act,
    wait,
)
from axisor_executor.errors import AxisorError, InvalidConfig, PluginError
from axisor_executor.exchange.base import PRICE_STEP
from axisor_executor.storage.models import AccountRow
from axisor_executor.testing import make_cross_position, make_trade, run_automation, stage
from axisor_margin_guard import MarginGuard
from axisor_tp_sl import TpSl

D = Decimal


class Trailing(AutomationHandler[AutomationConfig]):
    """Keeps the stop loss 2 % behind the price of a long."""

    type = "trailing"
    title = "Trailing"
    actions = {"trail": "protect"}  # noqa: RUF012
    config_model = AutomationConfig

    def decide(self, context):
        trade = context.trade()
        stop = context.price() * D("0.98") // PRICE_STEP * PRICE_STEP
        if trade.state != "running" or (trade.stoploss is not None and trade.stoploss >= stop):
            return wait("stop_is_there", tradeId=trade.id)
        return act(SetStopLoss(trade.id, stop))


def test_a_job_runs_whole():
    run = run_automation(Trailing(), {}, trades=[make_trade()], trade_id="trade-1", price=52_000)
    assert (run.status, run.result["action"], run.result["tradeId"]) == ("completed", "set_stoploss", "trade-1")
    assert run.actions == (SetStopLoss("trade-1", D(50_960)),)
    assert run.trades["trade-1"].stoploss == 50_960
    assert run.plan is not None
    assert run.plan["groups"][0]["trade_id"] == "trade-1"
    assert run.plan["seen"]["trades"]["trade-1"]["state"] == "running"
    assert (run.balance, run.price, run.earlier, run.fired, run.alerts) == (1_000_000, 52_000, (), (), ())


def test_the_market_goes_on_and_the_job_runs_again():
    run = run_automation(
        Trailing, {}, trades=[make_trade()], trade_id="trade-1", price=52_000, then_price=[51_500, "54000", D(52_000)]
    )
    assert [one.status for one in (*run.earlier, run)] == ["completed", "pending", "completed", "pending"]
    assert [one.trades["trade-1"].stoploss for one in run.earlier] == [50_960, 50_960, 52_920]
    assert [(one.what, one.id, one.price) for one in run.fired] == [("stoploss", "trade-1", 52_920)]
    assert run.trades["trade-1"].state == "closed"
    assert run.earlier[-1].earlier == run.earlier[:-1]


def test_what_is_opened_gets_a_name():
    guard = {"action": "reduce_position", "reduce_percentage": 50}
    run = run_automation(MarginGuard, guard, trades=[make_trade()], trade_id="trade-1", then_price=50_500)
    first = run.earlier[0]
    assert first.result["result"]["newTradeId"] == first.result["tradeId"] == "new-1"
    assert [type(one) for one in first.actions] == [ClosePosition, OpenPosition]
    assert {name: (trade.state, trade.quantity) for name, trade in run.trades.items()} == {
        "trade-1": ("closed", 100),
        "new-1": ("closed", 50),
        "new-2": ("running", 25),
    }


def test_an_entry_spends_the_balance():
    run = run_automation(AutoEntry, {"side": "b", "quantity": 100, "takeprofit": 60_000}, balance=30_000)
    assert run.result["result"]["side"] == "b"
    assert run.trades["new-1"].takeprofit == 60_000
    assert 30_000 - 20_500 < run.balance < 30_000 - 20_000
    refused = run_automation(AutoEntry, {"side": "b", "quantity": 100}, balance=20_000)
    assert (refused.status, refused.result["error"]["code"]) == ("failed", "exchange_rejected")
    assert "Insufficient balance" in refused.result["error"]["message"]
    assert (refused.balance, refused.trades) == (20_000, {})


def test_names_stand_in_configs_and_are_told_in_errors_and_alerts():
    trades = [
        make_trade(id="far", leverage=2),
        make_trade(id="near"),
        make_trade(id="order", state="open", side="sell"),
    ]
    trades[2] = make_trade(id="order", state="open", entry_price=40_000)
    config = {"action": "close_position", "margin_threshold": 85, "scope": "selected"}
    run = run_automation(MarginGuard, config | {"selected_positions": ["near", "order"]}, trades=trades, price=46_000)
    assert [(one["tradeId"], one["status"]) for one in run.result["trades"]] == [
        ("near", "completed"),
        ("order", "pending"),
    ]
    assert {name: trade.state for name, trade in run.trades.items()} == {
        "far": "running",
        "near": "closed",
        "order": "open",
    }
    guard = {"action": "close_position", "margin_threshold": 85}
    failed = run_automation(MarginGuard, guard, trades=trades, trade_id="order")
    assert "Trade order is open" in failed.result["error"]["message"]
    assert [(alert.kind, alert.details["tradeId"]) for alert in failed.alerts] == [("unguarded_trade", "order")]


def test_protection_is_there_from_the_start():
    trades = [make_trade(stoploss=D(51_000), takeprofit=D(60_000))]
    run = run_automation(Trailing, {}, trades=trades, trade_id="trade-1", price=52_000, then_price=50_000)
    assert run.earlier[0].trades["trade-1"].takeprofit == 60_000
    assert [one.what for one in run.fired] == ["stoploss"]


@pytest.mark.parametrize(("side", "then"), [(1, 44_000), (-1, 58_000)])
def test_a_cross_position_is_held(side, then):
    config = {"action": "close_position", "margin_mode": "cross", "margin_threshold": 85}
    held = make_cross_position(quantity=100 * side, margin=30_000)
    run = run_automation(MarginGuard, config, cross_position=held, price=49_000, then_price=then)
    assert run.earlier[0].status == "pending"
    assert run.actions == (CloseCrossPosition("position-1", held.side, 100),)
    assert run.cross_position.quantity == 0


def test_trades_of_others_are_not_found():
    run = run_automation(TpSl, {"action": "close_tp"}, trades=[make_trade()], trade_id="another")
    assert (run.status, run.result["error"]["code"], run.actions) == ("failed", "trade_not_found", ())


def test_what_is_unsafe_is_not_tried_again():
    class Blind(Trailing):
        def decide(self, context):
            raise KeyError("nothing")

    run = run_automation(Blind, {})
    assert (run.status, run.result["error"]["code"]) == ("failed", "plugin_error")
    assert "KeyError" in run.result["error"]["message"]


def test_a_dry_run_sends_nothing():
    run = run_automation(Trailing, {"dry_run": True}, trades=[make_trade()], trade_id="trade-1")
    assert run.actions == ()
    assert run.trades["trade-1"].stoploss is None


@pytest.mark.parametrize(
    ("trade", "price", "says"),
    [
        (make_trade(), 45_000, "does not live to see the price of 45000"),
        (make_trade(liquidation=D(40_000)), 50_000, "the exchange makes it running with a liquidation at 45454.5"),
        (make_trade(state="closed"), 50_000, "only running trades and open orders"),
        (make_trade(), "50000.3", "0.5"),
        (make_trade(stoploss=D(51_000)), 50_000, "does not take what the test gives"),
    ],
)
def test_what_the_exchange_could_not_have_is_refused(trade, price, says):
    with pytest.raises(ValueError, match=says):
        run_automation(Trailing, {}, trades=[trade], price=price)


def test_a_cross_position_that_can_not_be_is_refused():
    with pytest.raises(ValueError, match=r"does not take .* Insufficient margin"):
        run_automation(Trailing, {}, cross_position=make_cross_position(margin=100))


def test_a_config_that_is_refused_is_told_at_once():
    with pytest.raises(InvalidConfig, match="unknown key"):
        run_automation(Trailing, {"distanc": 2})


def test_a_handler_that_is_refused_is_told_at_once():
    class Nameless(Trailing):
        title = ""

    with pytest.raises(PluginError, match="must set title"):
        run_automation(Nameless, {})


def test_without_the_paper_exchange_it_says_what_to_install(monkeypatch):
    stage._factory.cache_clear()
    monkeypatch.setattr(stage, "discover", list)
    with pytest.raises(AxisorError, match="pip install axisor-paper-exchange") as caught:
        run_automation(Trailing, {})
    assert caught.value.code == "simulation_missing"


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    run_automation(Trailing, {}, trades=[make_trade()], trade_id="trade-1")  # its thread for decisions is kept
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, threads = AccountRow._meta.database, set(threading.enumerate())
    for _ in range(3):
        run_automation(Trailing, {}, trades=[make_trade()], trade_id="trade-1", then_price=51_000)
    assert set(threading.enumerate()) <= threads
    assert AccountRow._meta.database is before
    assert list(tmp_path.iterdir()) == []


def test_the_machines_environment_does_not_matter(tmp_path):
    code = (
        "from axisor_executor.testing import run_automation; from axisor_auto_entry import AutoEntry;"
        "print(run_automation(AutoEntry, {'side': 'b', 'quantity': 1}).status)"
    )
    environment = {
        "AXISOR_MODE": "dry_run",
        "DATABASE_URL": "nonsense",
        "REDIS_URL": "nonsense",
        "AXISOR_RETRIES": "[",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "completed"
    assert list(Path(tmp_path).iterdir()) == []
