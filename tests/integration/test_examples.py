"""The example plugins on the paper exchange: what they promise holds with answers lost in the middle, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage import accounts
from tests.harness.world import Account, World

PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
OPENING = "POST /v3/futures/isolated/trade"
CLOSING = "POST /v3/futures/isolated/trade/close"
WEEK = 7 * 86_400


@pytest.fixture
def account(world: World) -> Account:
    types = ("auto_entry", "trailing_stop", "laddered_take_profit", "dca_entry")
    world.restart(retries=dict.fromkeys(types, PATIENT))
    return world.account()


def is_lost(result: dict[str, Any]) -> bool:
    return (result["status"], result.get("waitingFor")) == ("waiting", "reconcile")


def found(world: World, account: Account) -> accounts.Account:
    row = accounts.account(world.storage, account.id)
    assert row is not None
    return row


def reason(result: dict[str, Any]) -> str:
    assert result["status"] == "pending", result
    return str(result["result"]["reason"])


class TestTrailingStop:
    def trail(self, world: World, account: Account, **config: Any) -> str:
        return world.automation(account, "trailing_stop", {"distance_percent": 2, **config})

    @pytest.mark.parametrize(
        ("side", "path", "stops", "stopped_at"),
        [
            ("buy", [50_000, 51_000, 50_500, 52_000, 52_020], [49_000, 49_980, 49_980, 50_960, 50_960], 50_900),
            ("sell", [50_000, 49_000, 49_500, 48_000, 47_980], [51_000, 49_980, 49_980, 48_960, 48_960], 49_000),
        ],
    )
    def test_the_stop_follows_the_price_until_the_exchange_closes_there(
        self, world: World, account: Account, side: str, path: list[int], stops: list[int], stopped_at: int
    ) -> None:
        trade_id = world.open_trade(account, side=side)
        automation_id = self.trail(world, account)
        seen = []
        with world.changes() as changes:
            for price in path:
                world.move_price(price)
                world.run(automation_id, trade_id=trade_id)
                seen.append(world.trade(account, trade_id)["stoploss"])
        assert seen == stops
        assert changes.kinds == ["set_stoploss"] * 3, "not every tick sends a request"
        world.move_price(stopped_at)
        assert world.trade(account, trade_id)["closed"]
        over = world.run(automation_id, trade_id=trade_id)
        assert (over["status"], over["result"]["alreadyClosed"]) == ("completed", True)

    def test_all_trades_are_followed_in_one_pass_and_those_of_the_exchange_left_alone(
        self, world: World, account: Account
    ) -> None:
        long, short, trailed = (world.open_trade(account, side=side) for side in ("buy", "sell", "buy"))
        keys = account.paper
        credentials = SecureCredentials(keys.key, keys.secret, keys.passphrase)
        owner = LNMarketsClient(ExchangeOptions("paper", world.paper.url), credentials)
        owner.set_trailing_stoploss(trailed, Decimal("0.04"))
        before = world.trade(account, trailed)
        result = world.run(self.trail(world, account, scope="all"))
        assert result["status"] == "completed"
        listed = {one["tradeId"]: one for one in result["trades"]}
        assert [world.trade(account, one)["stoploss"] for one in (long, short)] == [49_000, 51_000]
        assert listed[trailed]["reason"] == "exchange_trailing_stop"
        assert world.trade(account, trailed) == before

        replacing = self.trail(world, account, replace_exchange_trailing=True)
        replaced = world.run(replacing, trade_id=trailed)
        assert replaced["result"]["replacedTrailingDistance"] == 0.04
        after = world.trade(account, trailed)
        assert (after["stoploss"], after["stoplossTrailingDistance"]) == (49_000, 0)

    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_a_lost_answer_moves_it_once(self, world: World, account: Account, fault: str) -> None:
        trade_id = world.open_trade(account)
        automation_id = self.trail(world, account)
        world.paper.add_fault(fault, mutating=True, count=1)
        with world.changes() as changes:
            lost = world.run(automation_id, trade_id=trade_id)
            assert is_lost(lost)
            assert world.settle(lost["executionId"])["status"] == "completed"
        assert changes.kinds == ["set_stoploss"]
        assert world.trade(account, trade_id)["stoploss"] == 49_000


LADDER = {
    "rungs": [
        {"pnl_percent": 20, "sell_percent": 25},
        {"pnl_percent": 50, "sell_percent": 25},
        {"price": 60_000, "sell_percent": 50},
    ]
}
"""For a long at 10x from 50 000: at 51 020.41, at 52 631.58 and at 60 000."""


class TestLadder:
    @pytest.fixture
    def first(self, world: World, account: Account) -> str:
        return world.open_trade(account, stoploss=49_500)

    @pytest.fixture
    def ladder(self, world: World, account: Account) -> str:
        return world.automation(account, "laddered_take_profit", LADDER)

    def held(self, world: World, account: Account) -> list[int]:
        return [row["quantity"] for row in world.paper.trades(account.paper) if row["running"]]

    def test_each_rung_is_sold_once_however_often_and_by_whatever_id_it_is_asked(
        self, world: World, account: Account, first: str, ladder: str
    ) -> None:
        ids = [first]
        for price, left in ((51_000, 100), (51_100, 75), (50_000, 75), (51_100, 75), (53_000, 50)):
            world.move_price(price)
            result = world.run(ladder, trade_id=first)
            if result["status"] == "completed":
                assert result["result"]["oldTradeId"] == ids[-1]
                ids.append(result["result"]["newTradeId"])
            with world.changes() as changes:
                for named in ids:
                    assert reason(world.run(ladder, trade_id=named)) == "rung_not_reached"
            assert changes.sent == []
            assert self.held(world, account) == [left]
        assert len(ids) == 3
        assert world.trade(account, ids[-1])["stoploss"] == 49_500

        world.move_price(60_000)
        last = world.run(ladder, trade_id=first)
        assert (last["status"], last["action"]) == ("completed", "take_profit")
        assert (last["result"]["reducedQuantity"], last["result"]["originalTradeId"]) == (50, first)
        assert self.held(world, account) == []
        over = world.run(ladder, trade_id=first)
        assert (over["status"], over["result"]["alreadyClosed"]) == ("completed", True)

    def test_a_job_that_is_delivered_again_sells_nothing_more(
        self, world: World, account: Account, first: str, ladder: str
    ) -> None:
        world.move_price(51_100)
        with world.changes() as changes:
            once = world.run(ladder, trade_id=first, key="tick-1")
            again = world.run(ladder, trade_id=first, key="tick-1")
            world.go_on(once["executionId"])
        assert again == once
        assert changes.kinds == ["close", "open"]
        assert self.held(world, account) == [75]

    @pytest.mark.parametrize("route", [CLOSING, OPENING], ids=["of the close", "of the reopen"])
    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_an_answer_lost_in_the_middle_takes_no_rung_twice(
        self, world: World, account: Account, first: str, ladder: str, fault: str, route: str
    ) -> None:
        world.move_price(51_100)
        world.paper.add_fault(fault, route=route, count=1)
        with world.changes() as changes:
            lost = world.run(ladder, trade_id=first)
            assert is_lost(lost)
            second = world.run(ladder, trade_id=first)
            results = [world.settle(one["executionId"]) for one in (lost, second)]
        sold = [one["result"] for one in results if one["status"] == "completed"]
        assert [one["reducedQuantity"] for one in sold if not one.get("alreadyClosed")] == [25]
        assert changes.kinds == ["close", "open"]
        assert self.held(world, account) == [75]

        world.move_price(53_000)
        assert world.run(ladder, trade_id=first)["result"]["reducedQuantity"] == 25
        assert self.held(world, account) == [50]

    def test_a_remainder_that_the_exchange_refuses_is_an_alert_and_nothing_more_is_sold(
        self, world: World, account: Account, first: str, ladder: str
    ) -> None:
        world.move_price(51_100)
        world.paper.add_fault("status_before", route=OPENING, status=400)
        result = world.run(ladder, trade_id=first)
        assert (result["status"], result["result"]["reopened"]) == ("failed", False)
        assert world.alerts == ["half_done_reduce"]
        with world.changes() as changes:
            over = world.run(ladder, trade_id=first)
        assert (over["status"], over["result"]["alreadyClosed"]) == ("completed", True)
        assert changes.sent == []

    def test_what_the_margin_guard_sold_is_not_sold_again(
        self, world: World, account: Account, first: str, ladder: str
    ) -> None:
        guard = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 40})
        world.run(guard, trade_id=first)
        world.move_price(51_100)
        assert reason(world.run(ladder, trade_id=first)) == "rung_not_reached"
        world.move_price(53_000)
        assert world.run(ladder, trade_id=first)["result"]["reducedQuantity"] == 10
        assert self.held(world, account) == [50]

    def test_margin_that_was_added_moves_no_rung(self, world: World, account: Account, first: str, ladder: str) -> None:
        """20 percent of what it has now, at 8x, would be reached at 51 282 only."""
        guard = world.automation(account, "margin_guard", {"action": "add_margin", "add_margin_amount": 5_000})
        assert world.run(guard, trade_id=first)["status"] == "completed"
        assert world.trade(account, first)["leverage"] == 8
        for price, left in ((51_100, 75), (52_700, 50)):
            world.move_price(price)
            assert world.run(ladder, trade_id=first)["status"] == "completed"
            assert self.held(world, account) == [left]

    def test_a_short_is_sold_downwards(self, world: World, account: Account, ladder: str) -> None:
        config = {"rungs": [*LADDER["rungs"][:2], {"price": 40_000, "sell_percent": 50}]}
        short = world.open_trade(account, side="sell")
        ladder = world.automation(account, "laddered_take_profit", config)
        for price, left in ((48_900, [75]), (47_500, [50]), (40_000, [])):
            world.move_price(price)
            assert world.run(ladder, trade_id=short)["status"] == "completed"
            assert self.held(world, account) == left

    def test_without_the_original_nothing_is_sold(
        self, world: World, account: Account, first: str, ladder: str
    ) -> None:
        world.move_price(51_100)
        assert world.run(ladder, trade_id=first)["status"] == "completed"
        world.storage.run("UPDATE axisor_trade_lineage SET old_id = 'gone'")
        world.move_price(60_000)
        (rest,) = (row["id"] for row in world.paper.trades(account.paper) if row["running"])
        with world.changes() as changes:
            result = world.run(ladder, trade_id=rest)
        assert result["error"]["code"] == "original_trade_missing"
        assert changes.sent == []


class TestDcaEntry:
    def dca(self, world: World, account: Account, **config: Any) -> str:
        return world.automation(account, "dca_entry", {"quantity": 100, "leverage": 10, **config})

    def age(self, world: World, seconds: float) -> None:
        """Let everything that was sent have been sent so long ago."""
        world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE sent_at IS NOT NULL", -seconds)

    def test_it_buys_up_to_the_weeks_budget_which_rolls(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=250)
        with world.changes() as changes:
            results = [world.run(automation_id) for _ in range(3)]
        assert [one["status"] for one in results] == ["completed", "completed", "pending"]
        assert [one["action"] for one in results[:2]] == ["dca_entry_executed"] * 2
        assert [one["result"]["boughtInWeek"] for one in results] == [100, 200, 200]
        assert changes.kinds == ["open", "open"]
        self.age(world, WEEK - 60)
        assert reason(world.run(automation_id)) == "weekly_budget_reached"
        self.age(world, WEEK + 60)
        assert world.run(automation_id)["status"] == "completed"

    def test_the_margin_that_the_exchange_took_counts(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_sats=40_000)
        assert [world.run(automation_id)["status"] for _ in range(2)] == ["completed", "completed"]
        waiting = world.run(automation_id)
        assert reason(waiting) == "weekly_budget_reached"
        assert waiting["result"]["marginInWeek"] == 40_000

    def test_what_others_bought_counts_for_nothing(self, world: World, account: Account) -> None:
        world.open_trade(account)
        first, second = (self.dca(world, account, weekly_budget_usd=100) for _ in range(2))
        assert [world.run(one)["status"] for one in (first, second, first)] == ["completed", "completed", "pending"]

    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_a_lost_answer_counts_until_it_is_known(self, world: World, account: Account, fault: str) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=100)
        world.paper.add_fault(fault, mutating=True, count=1)
        with world.changes() as changes:
            lost = world.run(automation_id)
            assert is_lost(lost)
            assert reason(world.run(automation_id)) == "weekly_budget_reached"
            assert world.settle(lost["executionId"])["status"] == "completed"
            assert reason(world.run(automation_id)) == "weekly_budget_reached"
        assert changes.kinds == ["open"]

    def test_while_one_is_unknown_the_core_holds_further_ones(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=200)
        world.paper.add_fault("drop_before", mutating=True, count=1)
        lost = world.run(automation_id)
        held = world.run(automation_id)
        assert (held["status"], held["error"]["code"]) == ("waiting", "unresolved_action")
        assert [world.settle(one["executionId"])["status"] for one in (lost, held)] == ["completed"] * 2
        assert reason(world.run(automation_id)) == "weekly_budget_reached"

    def test_one_that_the_exchange_refused_counts_for_nothing(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=100)
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        assert world.run(automation_id)["status"] == "failed"
        assert world.run(automation_id)["status"] == "completed"

    def test_it_waits_for_a_drop_from_where_it_entered(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=1_000, drop_percent=3)
        assert world.run(automation_id)["status"] == "completed"
        world.move_price(48_600)
        waiting = world.run(automation_id)
        assert reason(waiting) == "price_not_dropped"
        assert waiting["result"]["lastEntryPrice"] == 50_000
        world.move_price(48_500)
        assert world.run(automation_id)["status"] == "completed"

    def test_what_it_counted_stands_in_the_plan(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=1_000)
        first = world.run(automation_id)
        plan = world.execution(world.run(automation_id)["executionId"]).plan
        assert plan is not None
        (seen,) = plan["seen"]["ownEntries"]
        assert (seen["tradeId"], seen["quantity"], seen["status"]) == (first["tradeId"], 100, "confirmed")
        assert (seen["price"], seen["margin"]) == ("50000", 20_000)

    def test_the_remainder_of_a_reduce_is_no_entry(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        guard = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        assert world.run(guard, trade_id=trade_id)["status"] == "completed"
        buyer = self.dca(world, account, weekly_budget_usd=100)
        bought = world.run(buyer)["tradeId"]
        for automation_id, expected in ((guard, []), (buyer, [bought])):
            with world.storage.connection():
                reads = world.parts.opener.open(found(world, account), automation_id, "protect").reads
                entries = reads.own_entries(datetime.now(UTC) - timedelta(days=7))
            assert [entry.trade_id for entry in entries] == expected

    def test_an_inactive_account_buys_nothing(self, world: World, account: Account) -> None:
        automation_id = self.dca(world, account, weekly_budget_usd=100)
        world.storage.run("UPDATE user_exchange_accounts SET is_active = ? WHERE id = ?", False, account.id)
        with world.changes() as changes:
            assert world.run(automation_id)["error"]["code"] == "account_inactive"
        assert changes.asked == set()
