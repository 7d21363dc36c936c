"""Every action of take profit / stop loss, carried out on the exchange."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.world import Account, World


@pytest.fixture
def account(world: World) -> Account:
    """The account in question, between another one of the same user and one of somebody else."""
    world.account(name="Second Account")
    world.account("user456", "Foreign Account")
    return world.account()


def tp_sl(world: World, account: Account, action: str, **config: Any) -> str:
    return world.automation(account, "tp_sl", {"action": action, **config})


class TestUpdates:
    @pytest.mark.parametrize(
        ("action", "key", "value", "field"),
        [
            ("update_tp", "new_takeprofit", 60_000, "takeprofit"),
            ("update_sl", "new_stoploss", "48000.5", "stoploss"),
        ],
    )
    def test_the_level_is_set_once_under_its_own_account(
        self, world: World, account: Account, action: str, key: str, value: Any, field: str
    ) -> None:
        trade_id = world.open_trade(account)
        with world.changes() as changes:
            result = world.run(tp_sl(world, account, action, **{key: value}), trade_id=trade_id)
        assert (result["status"], result["action"]) == ("completed", "tp_sl_executed")
        assert result["result"]["action"] == action
        assert result["tradeId"] == trade_id
        assert changes.effects == [("Main Account", f"set_{field}")]
        assert changes.asked == {"Main Account"}
        assert world.trade(account, trade_id)[field] == float(value)
        row = world.trade_log()[-1]
        assert (row.trade_id, row.status, row.action, row.price, row.pnl, row.amount) == (
            trade_id,
            "success",
            "tp_sl_executed",
            float(value),
            None,
            None,
        )

    @pytest.mark.parametrize(("action", "key"), [("update_tp", "new_takeprofit"), ("update_sl", "new_stoploss")])
    def test_the_same_value_again_sends_nothing(self, world: World, account: Account, action: str, key: str) -> None:
        trade_id = world.open_trade(account)
        update = tp_sl(world, account, action, **{key: 60_000 if action == "update_tp" else 48_000})
        world.run(update, trade_id=trade_id)
        rows = len(world.trade_log())
        with world.changes() as changes:
            again = world.run(update, trade_id=trade_id)
        assert again["status"] == "completed"
        assert again["result"]["alreadySet"] is True
        assert changes.sent == []
        assert len(world.trade_log()) == rows

    def test_the_jobs_action_chooses(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        both = tp_sl(world, account, "update_tp", new_takeprofit=60_000, new_stoploss=48_000)
        assert world.run(both, action="update_sl", trade_id=trade_id)["result"]["action"] == "update_sl"
        trade = world.trade(account, trade_id)
        assert (trade["stoploss"], trade["takeprofit"]) == (48_000, 0)

    def test_a_level_on_the_wrong_side_is_refused_before_anything_is_sent(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        with world.changes() as changes:
            result = world.run(tp_sl(world, account, "update_tp", new_takeprofit=49_000), trade_id=trade_id)
        assert (result["status"], result["error"]["code"]) == ("failed", "takeprofit_invalid")
        assert changes.sent == []


class TestCloses:
    @pytest.mark.parametrize("action", ["close_tp", "close_sl"])
    def test_the_trade_is_closed_once(self, world: World, account: Account, action: str) -> None:
        trade_id = world.open_trade(account)
        with world.changes() as changes:
            result = world.run(tp_sl(world, account, action), trade_id=trade_id)
        assert (result["status"], result["action"], result["result"]["action"]) == (
            "completed",
            "tp_sl_executed",
            action,
        )
        assert changes.effects == [("Main Account", "close")]
        assert world.trade_log()[-1].price == 50_000

    def test_a_closed_trade_is_a_completed_run_that_says_so(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        close = tp_sl(world, account, "close_tp")
        world.run(close, trade_id=trade_id)
        with world.changes() as changes:
            again = world.run(close, trade_id=trade_id)
        assert (again["status"], again["result"]["alreadyClosed"]) == ("completed", True)
        assert changes.sent == []

    def test_a_trade_that_someone_closes_meanwhile_is_completed_too(self, world: World, account: Account) -> None:
        """The exchange refuses to close a closed trade; that it is closed is what was wanted."""
        trade_id = world.open_trade(account)
        world.paper.add_fault("drop_after", route="POST /v3/futures/isolated/trade/close", count=1)
        close = tp_sl(world, account, "close_sl")
        world.run(close, trade_id=trade_id)
        result = world.run(close, trade_id=trade_id)
        assert (result["status"], result["result"]["alreadyClosed"]) == ("completed", True)


class TestConditions:
    @pytest.mark.parametrize(
        ("action", "side", "trigger", "reached", "not_reached"),
        [
            ("close_tp", "buy", 52_000, 52_000, 51_999.5),
            ("close_tp", "sell", 48_000, 48_000, 48_000.5),
            ("close_sl", "buy", 48_000, 48_000, 48_000.5),
            ("close_sl", "sell", 52_000, 52_000, 51_999.5),
        ],
    )
    def test_the_price_is_waited_for(
        self,
        world: World,
        account: Account,
        action: str,
        side: str,
        trigger: float,
        reached: float,
        not_reached: float,
    ) -> None:
        trade_id = world.open_trade(account, side=side)
        automation_id = tp_sl(world, account, action, trigger_price=trigger)
        rows = len(world.trade_log())
        world.move_price(not_reached)
        waiting = world.run(automation_id, trade_id=trade_id)
        assert waiting["status"] == "pending"
        assert waiting["result"]["reason"] == "price_not_triggered"
        assert (waiting["result"]["currentPrice"], waiting["result"]["triggerPrice"]) == (not_reached, trigger)
        assert len(world.trade_log()) == rows
        world.move_price(reached)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"

    def test_the_profit_is_waited_for(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        automation_id = tp_sl(world, account, "close_tp", trigger_pnl_percentage=50)
        waiting = world.run(automation_id, trade_id=trade_id)
        assert waiting["result"]["reason"] == "pnl_not_triggered"
        world.move_price(53_000)  # P&L 11 320 sats of a margin of 20 000
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"

    def test_all_conditions_must_hold(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        automation_id = tp_sl(world, account, "close_tp", trigger_price=51_000, trigger_pnl_percentage=50)
        world.move_price(51_500)
        assert world.run(automation_id, trade_id=trade_id)["result"]["reason"] == "pnl_not_triggered"


class TestWhichTrade:
    def test_the_one_running_trade_is_meant(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        result = world.run(tp_sl(world, account, "close_tp"))
        assert (result["status"], result["tradeId"]) == ("completed", trade_id)

    def test_several_running_trades_are_listed_and_none_is_touched(self, world: World, account: Account) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        with world.changes() as changes:
            result = world.run(tp_sl(world, account, "close_tp"))
        assert (result["error"]["status"], result["error"]["code"]) == (400, "trade_ambiguous")
        assert all(trade_id in result["error"]["message"] for trade_id in trades)
        assert changes.sent == []

    def test_no_running_trade_is_not_found(self, world: World, account: Account) -> None:
        result = world.run(tp_sl(world, account, "close_tp"))
        assert (result["error"]["status"], result["error"]["code"]) == (404, "trade_not_found")

    def test_only_this_accounts_trades_count(self, world: World, account: Account) -> None:
        world.open_trade(world.accounts[0])
        own = world.open_trade(account)
        assert world.run(tp_sl(world, account, "close_tp"))["tradeId"] == own
