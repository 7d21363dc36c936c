"""Every action of the margin guard, carried out on the exchange."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from axisor_executor.exchange import LNMarketsClient
from axisor_executor.exchange.base import Answer, Trade
from tests.harness.world import Account, World

# A long of 100 USD from 50 000 at 10x is liquidated at 45 454.5: at 90 percent of the way, the market is at 45 909.
SAFE, AT_RISK = 50_000, 45_900


@pytest.fixture
def account(world: World) -> Account:
    """The account in question, between another one of the same user and one of somebody else."""
    world.account(name="Second Account")
    world.account("user456", "Foreign Account")
    return world.account()


def guard(world: World, account: Account, action: str, **config: Any) -> str:
    return world.automation(account, "margin_guard", {"action": action, **config})


class TestClosePosition:
    def test_the_trade_is_closed_once_with_its_own_account_keys_only(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position"), trade_id=trade_id)
        assert result["status"] == "completed"
        assert changes.effects == [("Main Account", "close")]
        assert len(changes.sent) == 1
        assert changes.asked == {"Main Account"}

    def test_the_result_says_what_was_done_where(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        automation_id = guard(world, account, "close_position")
        result = world.run(automation_id, trade_id=trade_id)
        assert result.pop("timestamp").endswith("Z")
        assert result.pop("executionId")
        assert result == {
            "status": "completed",
            "action": "close_position",
            "automationId": automation_id,
            "userId": "user123",
            "accountId": account.id,
            "accountName": "Main Account",
            "tradeId": trade_id,
        }

    def test_the_trade_log_has_profit_margin_and_price(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        world.move_price(55_000)
        automation_id = guard(world, account, "close_position")
        world.run(automation_id, trade_id=trade_id)
        row = world.trade_log()[-1]
        assert (row.user_id, row.automation_id, row.trade_id) == ("user123", automation_id, trade_id)
        assert (row.status, row.action, row.error_message) == ("success", "close_position", None)
        assert (row.pnl, row.amount, row.price) == (18_181, 20_000, 55_000)
        assert row.executed_at is not None

    def test_a_closed_trade_is_a_completed_run_that_says_so(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        automation_id = guard(world, account, "close_position")
        world.run(automation_id, trade_id=trade_id)
        with world.changes() as changes:
            again = world.run(automation_id, trade_id=trade_id)
        assert again["status"] == "completed"
        assert again["result"]["alreadyClosed"] is True
        assert changes.sent == []

    def test_below_the_threshold_it_is_pending_and_leaves_no_trade_log(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        rows = len(world.trade_log())
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position", margin_threshold=90), trade_id=trade_id)
        assert result["status"] == "pending"
        assert result["result"]["reason"] == "margin_threshold_not_reached"
        assert result["result"]["currentPrice"] == SAFE
        assert changes.sent == []
        assert len(world.trade_log()) == rows

    def test_at_the_threshold_it_acts(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        world.move_price(AT_RISK)
        result = world.run(guard(world, account, "close_position", margin_threshold=90), trade_id=trade_id)
        assert result["status"] == "completed"
        assert world.trade(account, trade_id)["closed"]

    def test_a_short_is_guarded_from_above(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account, side="sell")
        automation_id = guard(world, account, "close_position", margin_threshold=90)
        world.move_price(AT_RISK)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "pending"
        world.move_price(55_000)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"


class TestAddMargin:
    def test_the_amount_goes_into_the_margin_once(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        before = world.paper.balance(account.paper)
        with world.changes() as changes:
            result = world.run(guard(world, account, "add_margin", add_margin_amount=5_000), trade_id=trade_id)
        assert (result["status"], result["action"], result["tradeId"]) == ("completed", "add_margin", trade_id)
        assert result["result"]["addedMargin"] == 5_000
        assert changes.effects == [("Main Account", "add_margin")]
        assert world.trade(account, trade_id)["margin"] == 25_000
        assert world.paper.balance(account.paper) == before - 5_000
        assert world.trade_log()[-1].amount == 5_000

    def test_the_jobs_action_goes_before_the_configs(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        automation_id = guard(world, account, "close_position", add_margin_amount=5_000)
        assert world.run(automation_id, action="add_margin", trade_id=trade_id)["action"] == "add_margin"
        assert world.run(automation_id, action="margin_guard", trade_id=trade_id)["action"] == "close_position"

    def test_a_balance_that_is_too_small_is_refused_before_anything_is_sent(self, world: World) -> None:
        poor = world.account(balance=21_000)
        trade_id = world.open_trade(poor)
        with world.changes() as changes:
            result = world.run(guard(world, poor, "add_margin", add_margin_amount=5_000), trade_id=trade_id)
        assert (result["status"], result["error"]["code"]) == ("failed", "insufficient_balance")
        assert changes.sent == []
        assert world.trade_log()[-1].status == "app_error"


class TestReducePosition:
    def test_the_remainder_is_reopened_and_named(self, world: World, account: Account) -> None:
        old = world.open_trade(account, stoploss=46_000, takeprofit=60_000)
        with world.changes() as changes:
            result = world.run(guard(world, account, "reduce_position", reduce_percentage=40), trade_id=old)
        assert (result["status"], result["action"]) == ("completed", "reduce_position")
        assert changes.effects == [("Main Account", "close"), ("Main Account", "open")]
        new = result["tradeId"]
        assert result["result"]["oldTradeId"] == old
        assert result["result"]["newTradeId"] == new
        trade = world.trade(account, new)
        assert (trade["running"], trade["side"], trade["quantity"], trade["leverage"]) == (True, "buy", 60, 10)
        assert (trade["stoploss"], trade["takeprofit"]) == (46_000, 60_000)
        assert world.trade(account, old)["closed"]

    def test_the_trade_log_names_the_new_trade(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        world.move_price(51_000)
        result = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        row = world.trade_log()[-1]
        assert (row.trade_id, row.status, row.price) == (result["tradeId"], "success", 51_000)
        assert row.pnl == 3_921

    def test_what_names_the_old_trade_means_the_new_one(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        second = world.run(halve, trade_id=old)["tradeId"]
        third = world.run(halve, trade_id=old)["tradeId"]
        assert world.trade(account, third)["quantity"] == 25
        with world.changes() as changes:
            closed = world.run(guard(world, account, "close_position"), trade_id=old)
        assert closed["tradeId"] == third
        assert changes.kinds == ["close"]
        assert world.trade(account, third)["closed"]
        assert world.trade(account, second)["closed"]

    def test_selected_positions_follow_the_trade_too(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        new = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)["tradeId"]
        scan = guard(world, account, "close_position", scope="selected", selected_positions=[old], margin_threshold=90)
        world.move_price(AT_RISK)
        result = world.run(scan)
        assert [(one["tradeId"], one["status"]) for one in result["trades"]] == [(new, "completed")]

    def test_an_unaffordable_remainder_is_refused_with_an_alert_before_the_close(self, world: World) -> None:
        poor = world.account(balance=20_500)
        trade_id = world.open_trade(poor)
        world.move_price(46_000)
        with world.changes() as changes:
            result = world.run(guard(world, poor, "reduce_position", reduce_percentage=1), trade_id=trade_id)
        assert (result["status"], result["error"]["code"]) == ("failed", "reduce_unaffordable")
        assert changes.sent == []
        assert world.alerts == ["reduce_unaffordable"]

    def test_or_closed_where_the_config_says_so(self, world: World) -> None:
        poor = world.account(balance=20_500)
        trade_id = world.open_trade(poor)
        world.move_price(46_000)
        config = {"reduce_percentage": 1, "if_unaffordable": "close"}
        with world.changes() as changes:
            result = world.run(guard(world, poor, "reduce_position", **config), trade_id=trade_id)
        assert (result["status"], result["action"]) == ("completed", "close_position")
        assert changes.kinds == ["close"]

    def test_less_than_a_dollar_is_closed_outright(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account, quantity=1, leverage=1)
        with world.changes() as changes:
            result = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=trade_id)
        assert result["action"] == "close_position"
        assert changes.kinds == ["close"]


class TestScope:
    @pytest.fixture
    def trades(self, world: World, account: Account) -> list[str]:
        """Three longs, the first two of which are at risk below 46 000."""
        return [world.open_trade(account, leverage=leverage) for leverage in (10, 10, 2)]

    def test_all_looks_at_every_running_trade_in_one_pass(
        self, world: World, account: Account, trades: list[str]
    ) -> None:
        world.move_price(AT_RISK)
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position", scope="all", margin_threshold=90))
        assert result["status"] == "completed"
        assert "tradeId" not in result
        listed = {one["tradeId"]: (one["status"], one["action"]) for one in result["trades"]}
        assert listed == {
            trades[0]: ("completed", "close_position"),
            trades[1]: ("completed", "close_position"),
            trades[2]: ("pending", "close_position"),
        }
        assert changes.kinds == ["close", "close"]

    def test_there_is_a_trade_log_row_for_each_trade_that_was_touched(
        self, world: World, account: Account, trades: list[str]
    ) -> None:
        world.move_price(AT_RISK)
        world.run(guard(world, account, "close_position", scope="all", margin_threshold=90))
        rows = [(row.trade_id, row.status) for row in world.trade_log() if row.action == "close_position"]
        assert sorted(rows) == sorted([(trades[0], "success"), (trades[1], "success")])

    def test_selected_looks_at_those_alone(self, world: World, account: Account, trades: list[str]) -> None:
        world.move_price(AT_RISK)
        config = {"scope": "selected", "selected_positions": [trades[1]], "margin_threshold": 90}
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position", **config))
        assert [one["tradeId"] for one in result["trades"]] == [trades[1]]
        assert changes.kinds == ["close"]
        assert world.trade(account, trades[0])["running"]

    def test_nothing_at_risk_is_pending(self, world: World, account: Account, trades: list[str]) -> None:
        result = world.run(guard(world, account, "close_position", scope="all", margin_threshold=90))
        assert result["status"] == "pending"
        assert [one["tradeId"] for one in result["result"]["trades"]] == trades

    def test_a_trade_that_the_exchange_refuses_to_touch_does_not_stop_the_others(
        self, world: World, account: Account, trades: list[str]
    ) -> None:
        world.move_price(AT_RISK)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade/close", status=400, count=1)
        result = world.run(guard(world, account, "close_position", scope="all", margin_threshold=90))
        assert result["status"] == "failed"
        assert sorted(one["status"] for one in result["trades"]) == ["completed", "failed", "pending"]
        rows = [row.status for row in world.trade_log() if row.action == "close_position"]
        assert sorted(rows) == ["exchange_error", "success"]


class TestTradesOfOthers:
    @pytest.mark.parametrize("user", ["user123", "user456"])
    def test_a_trade_of_another_account_is_not_found(self, world: World, account: Account, user: str) -> None:
        other = next(one for one in world.accounts if one is not account and one.user_id == user)
        foreign = world.open_trade(other)
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position"), trade_id=foreign)
        assert result["status"] == "failed"
        assert (result["error"]["status"], result["error"]["code"]) == (404, "trade_not_found")
        assert result["accountName"] == "Main Account"
        assert changes.sent == []
        assert changes.asked == {"Main Account"}

    def test_a_guard_without_a_trade_or_scope_asks_for_one(self, world: World, account: Account) -> None:
        world.open_trade(account)
        result = world.run(guard(world, account, "close_position"))
        assert (result["error"]["status"], result["error"]["code"]) == (400, "trade_id_missing")


class TestUnusableData:
    def test_a_stale_price_is_never_safe(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        world.forget_price()
        world.paper.settings(tickerAgeSeconds=60)
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position", margin_threshold=90), trade_id=trade_id)
        assert (result["status"], result["waitingFor"]) == ("waiting", "retry")
        assert result["error"]["code"] == "price_stale"
        assert changes.sent == []

    def test_a_close_at_once_needs_no_price(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        world.restart()
        world.paper.settings(tickerAgeSeconds=60)
        assert world.run(guard(world, account, "close_position"), trade_id=trade_id)["status"] == "completed"


class TestListedTwice:
    def listed(self, monkeypatch: pytest.MonkeyPatch, **second: Any) -> None:
        """Have the exchange list each running trade twice, the ``second`` time otherwise."""
        read = LNMarketsClient.running_trades

        def twice(client: LNMarketsClient) -> Answer[tuple[Trade, ...]]:
            answer = read(client)
            return replace(answer, value=(*answer.value, *(replace(trade, **second) for trade in answer.value)))

        monkeypatch.setattr(LNMarketsClient, "running_trades", twice)

    @pytest.mark.parametrize("more", [{}, {"scope": "all", "margin_threshold": 90}])
    def test_a_trade_that_is_listed_twice_is_one(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
    ) -> None:
        trade_id = world.open_trade(account)
        world.move_price(AT_RISK)
        self.listed(monkeypatch)
        with world.changes() as changes:
            named = {} if more else {"trade_id": trade_id}
            assert world.run(guard(world, account, "close_position", **more), **named)["status"] == "completed"
        assert changes.kinds == ["close"]

    def test_one_that_is_listed_in_two_ways_is_not_acted_on(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trade_id = world.open_trade(account)
        self.listed(monkeypatch, margin=1)
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position"), trade_id=trade_id)
        assert (result["status"], result["error"]["code"]) == ("waiting", "trades_contradict")
        assert changes.sent == []
