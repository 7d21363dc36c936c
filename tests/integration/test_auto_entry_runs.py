"""Every way to enter, carried out on the exchange."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.exchange import LNMarketsClient, NewTrade
from tests.harness.cross import Owner
from tests.harness.world import Account, World


@pytest.fixture
def account(world: World) -> Account:
    """The account in question, between another one of the same user and one of somebody else."""
    world.account(name="Second Account")
    world.account("user456", "Foreign Account")
    return world.account()


def entry(world: World, account: Account, **config: Any) -> str:
    return world.automation(account, "auto_entry", {"side": "b", "quantity": 100, **config})


class TestAtTheMarket:
    @pytest.mark.parametrize(
        ("side", "letter", "word"),
        [("b", "b", "buy"), ("buy", "b", "buy"), ("s", "s", "sell"), ("sell", "s", "sell")],
    )
    def test_both_sides_in_both_spellings(
        self, world: World, account: Account, side: str, letter: str, word: str
    ) -> None:
        with world.changes() as changes:
            result = world.run(entry(world, account, side=side))
        trade = world.trade(account, result["tradeId"])
        assert (trade["side"], trade["running"], trade["type"]) == (word, True, "market")
        assert result["result"]["side"] == letter
        assert changes.effects == [("Main Account", "open")]
        assert len(changes.sent) == 1
        assert changes.asked == {"Main Account"}

    def test_the_result_says_what_was_opened(self, world: World, account: Account) -> None:
        automation_id = entry(world, account)
        result = world.run(automation_id)
        assert result.pop("timestamp").endswith("Z")
        assert result.pop("executionId")
        trade_id = result["tradeId"]
        assert result == {
            "status": "completed",
            "action": "auto_entry_executed",
            "automationId": automation_id,
            "userId": "user123",
            "accountId": account.id,
            "accountName": "Main Account",
            "tradeId": trade_id,
            "result": {
                "status": "completed",
                "tradeId": trade_id,
                "side": "b",
                "quantity": 100,
                "leverage": 10,
                "market": "btcusd",
            },
        }

    def test_the_trade_log_has_margin_and_price(self, world: World, account: Account) -> None:
        result = world.run(entry(world, account))
        (row,) = world.trade_log()
        assert (row.trade_id, row.status, row.action) == (result["tradeId"], "success", "auto_entry_executed")
        assert (row.pnl, row.amount, row.price) == (None, 20_000, 50_000)

    def test_stop_loss_take_profit_and_leverage_are_set(self, world: World, account: Account) -> None:
        result = world.run(entry(world, account, leverage=5, stoploss=45_000, takeprofit="60000.5"))
        trade = world.trade(account, result["tradeId"])
        assert (trade["leverage"], trade["stoploss"], trade["takeprofit"]) == (5, 45_000, 60_000.5)

    def test_the_account_is_the_automations_not_the_active_one(self, world: World) -> None:
        world.account(name="Selected", is_active=True)
        bound = world.account(name="Bound", is_active=True)
        with world.changes() as changes:
            world.run(entry(world, bound))
        assert changes.effects == [("Bound", "open")]


class TestTriggers:
    @pytest.mark.parametrize(("side", "far", "near"), [("b", 50_000.5, 50_000), ("s", 49_999.5, 50_000)])
    def test_the_price_is_waited_for(self, world: World, account: Account, side: str, far: float, near: float) -> None:
        automation_id = entry(world, account, side=side, trigger_price=50_000)
        world.move_price(far)
        waiting = world.run(automation_id)
        assert (waiting["status"], waiting["tradeId"]) == ("pending", None)
        assert waiting["result"] == {
            "status": "pending",
            "reason": "price_not_triggered",
            "currentPrice": far,
            "triggerPrice": 50_000,
        }
        assert world.trade_log() == []
        world.move_price(near)
        assert world.run(automation_id)["status"] == "completed"

    def test_a_limit_order_below_the_market_stays_open(self, world: World, account: Account) -> None:
        result = world.run(entry(world, account, trigger_type="limit", trigger_price=49_000))
        assert (result["status"], result["result"]["order"]) == ("completed", "open")
        assert world.trade(account, result["tradeId"])["price"] == 49_000

    def test_a_limit_order_that_fills_at_once_is_running(self, world: World, account: Account) -> None:
        world.paper.settings(crossingLimitsFill=True)
        result = world.run(entry(world, account, trigger_type="limit", trigger_price=51_000))
        assert result["result"]["order"] == "running"


class TestMaxOpenTrades:
    def test_a_tick_too_many_waits(self, world: World, account: Account) -> None:
        automation_id = entry(world, account, max_open_trades=1)
        world.run(automation_id)
        with world.changes() as changes:
            waiting = world.run(automation_id)
        assert (waiting["status"], waiting["result"]["reason"]) == ("pending", "max_open_trades_reached")
        assert changes.sent == []

    def test_orders_that_wait_to_be_filled_count(self, world: World, account: Account) -> None:
        automation_id = entry(world, account, max_open_trades=1, trigger_type="limit", trigger_price=49_000)
        world.run(automation_id)
        assert world.run(automation_id)["status"] == "pending"

    def test_trades_of_others_do_not_count(self, world: World, account: Account) -> None:
        world.open_trade(account)
        assert world.run(entry(world, account, max_open_trades=1))["status"] == "completed"

    def test_a_trade_that_the_exchange_lists_late_counts(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        automation_id = entry(world, account, max_open_trades=1)
        assert world.run(automation_id)["status"] == "completed"
        read = LNMarketsClient.running_trades
        monkeypatch.setattr(LNMarketsClient, "running_trades", lambda client: replace(read(client), value=()))
        with world.changes() as changes:
            assert world.run(automation_id)["result"]["reason"] == "max_open_trades_reached"
        assert changes.sent == []

    def test_a_closed_trade_makes_room(self, world: World, account: Account) -> None:
        automation_id = entry(world, account, max_open_trades=1)
        first = world.run(automation_id)["tradeId"]
        world.run(world.automation(account, "margin_guard", {"action": "close_position"}), trade_id=first)
        assert world.run(automation_id)["status"] == "completed"

    def test_a_trade_that_a_guard_reduced_still_counts(self, world: World, account: Account) -> None:
        automation_id = entry(world, account, max_open_trades=1)
        first = world.run(automation_id)["tradeId"]
        halve = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        assert world.run(halve, trade_id=first)["tradeId"] != first
        assert world.run(automation_id)["status"] == "pending"

    def test_a_trade_whose_answer_was_lost_counts(self, world: World, account: Account) -> None:
        automation_id = entry(world, account, max_open_trades=1)
        world.paper.add_fault("drop_after", route="POST /v3/futures/isolated/trade", count=1)
        assert world.run(automation_id)["status"] == "waiting"
        with world.changes() as changes:
            again = world.run(automation_id)
        assert (again["status"], again["result"]["reason"]) == ("pending", "max_open_trades_reached")
        assert changes.sent == []

    def test_nor_does_what_another_program_writes_into_its_trades_keep_it_from_counting(
        self, world: World, account: Account
    ) -> None:
        odd = NewTrade("market", "buy", 100, Decimal(10), client_id="a\x00b\u202e")
        Owner(world, account).client.open_trade(odd)
        automation_id = entry(world, account, max_open_trades=1)
        assert world.run(automation_id)["status"] == "completed"
        assert world.run(automation_id)["status"] == "pending"


class TestRateBudget:
    @pytest.mark.parametrize("config", [{}, {"trigger_price": 49_000, "trigger_type": "limit"}])
    def test_an_entry_takes_one_request(self, world: World, account: Account, config: dict[str, Any]) -> None:
        world.run(entry(world, account, trigger_price=90_000))  # the price and whose account it is are known now
        automation_id = entry(world, account, **config)
        last = max(row["seq"] for row in world.paper.requests())
        assert world.run(automation_id)["status"] == "completed"
        requests = [(row["method"], row["path"]) for row in world.paper.requests(since=last)]
        assert requests == [("POST", "/v3/futures/isolated/trade")]


class TestRefusals:
    def test_a_balance_that_is_too_small(self, world: World) -> None:
        poor = world.account(balance=1_000)
        with world.changes() as changes:
            result = world.run(entry(world, poor))
        error = result["error"]
        assert (result["status"], error["status"], error["code"]) == ("failed", 400, "exchange_rejected")
        assert error["message"] == "lnmarkets open_trade: rejected by the exchange: Insufficient balance (HTTP 400)"
        assert error["details"]["exchangeCode"] == "INSUFFICIENT_BALANCE"
        assert (len(changes.sent), changes.effects) == (1, [])
        assert [row.status for row in world.trade_log()] == ["exchange_error"]

    def test_a_stop_loss_on_the_wrong_side(self, world: World, account: Account) -> None:
        result = world.run(entry(world, account, stoploss=51_000))
        assert (result["error"]["status"], result["error"]["code"]) == (400, "stoploss_invalid")
