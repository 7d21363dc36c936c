"""Spend guards: a job that fires every 30 s does not drain an account, and holds nothing else up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import pytest

from axisor_executor.automation import Act, AddMargin, Group, SetStopLoss, SpendGuards, act
from axisor_executor.settings import RetryPolicy
from tests.harness.world import Account, World
from tests.integration.puppet import Puppet, PuppetConfig

ADDING = "POST /v3/futures/isolated/trade/add-margin"
PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
AT_RISK = 45_900
DAY = 86_400


class GuardedConfig(SpendGuards, PuppetConfig):
    """A third party's config with the core's guards mixed in."""


class Guarded(Puppet):
    """A third party's handler whose config has the guards."""

    type = "guarded"
    config_model: ClassVar[Any] = GuardedConfig


@pytest.fixture
def puppet() -> Guarded:
    return Guarded()


@pytest.fixture
def account(world: World, puppet: Guarded) -> Account:
    world.restart(puppet.plugin, retries=dict.fromkeys(("margin_guard", "guarded"), PATIENT))
    return world.account()


@pytest.fixture
def trade_id(world: World, account: Account) -> str:
    return world.open_trade(account)


def guard(world: World, account: Account, amount: int = 100, **config: Any) -> str:
    return world.automation(account, "margin_guard", {"action": "add_margin", "add_margin_amount": amount, **config})


def margin(world: World, account: Account, trade_id: str) -> int:
    """What was added to a trade of 20 000 sats."""
    return int(world.trade(account, trade_id)["margin"]) - 20_000


def age(world: World, seconds: float) -> None:
    """Let everything that was sent have been sent so long ago."""
    world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE sent_at IS NOT NULL", -seconds)


def is_cool(result: dict[str, Any]) -> bool:
    return (result["status"], (result.get("result") or {}).get("reason")) == ("pending", "cooldown")


class TestCooldown:
    def test_a_second_run_leaves_the_trade_alone(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, cooldown_seconds=300)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        with world.changes() as changes:
            second = world.run(automation_id, trade_id=trade_id)
        assert is_cool(second), second
        assert second["result"] == {
            "status": "pending",
            "reason": "cooldown",
            "tradeId": trade_id,
            "cooldownSeconds": 300,
        }
        assert (changes.sent, second["tradeId"]) == ([], trade_id)
        assert margin(world, account, trade_id) == 100

    def test_without_the_key_there_is_none(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account)
        assert [world.run(automation_id, trade_id=trade_id)["status"] for _ in range(2)] == ["completed"] * 2
        assert margin(world, account, trade_id) == 200

    def test_it_expires(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, cooldown_seconds=300)
        world.run(automation_id, trade_id=trade_id)
        age(world, 290)
        assert is_cool(world.run(automation_id, trade_id=trade_id))
        age(world, 301)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        assert is_cool(world.run(automation_id, trade_id=trade_id)), "it begins anew"

    def test_another_trade_and_another_automation_are_not_held(
        self, world: World, account: Account, trade_id: str
    ) -> None:
        other = world.open_trade(account)
        automation_id = guard(world, account, cooldown_seconds=300)
        world.run(automation_id, trade_id=trade_id)
        assert world.run(automation_id, trade_id=other)["status"] == "completed"
        assert world.run(guard(world, account, cooldown_seconds=300), trade_id=trade_id)["status"] == "completed"

    def test_it_follows_a_trade_to_what_replaced_it(self, world: World, account: Account, trade_id: str) -> None:
        config = {"action": "reduce_position", "reduce_percentage": 50, "cooldown_seconds": 300}
        automation_id = world.automation(account, "margin_guard", config)
        first = world.run(automation_id, trade_id=trade_id)
        assert first["status"] == "completed"
        for named in (trade_id, first["result"]["newTradeId"]):
            with world.changes() as changes:
                assert is_cool(world.run(automation_id, trade_id=named)), named
            assert changes.sent == []

    def test_also_where_another_automation_replaced_it(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, cooldown_seconds=300)
        world.run(automation_id, trade_id=trade_id)
        halve = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        new = world.run(halve, trade_id=trade_id)["result"]["newTradeId"]
        assert is_cool(world.run(automation_id, trade_id=new))

    def test_what_may_have_been_done_counts(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, cooldown_seconds=300)
        world.paper.add_fault("drop_after", route=ADDING, count=1)
        lost = world.run(automation_id, trade_id=trade_id)
        assert lost["waitingFor"] == "reconcile"
        with world.changes() as changes:
            assert is_cool(world.run(automation_id, trade_id=trade_id))
        assert changes.sent == []

    def test_what_was_proven_not_done_does_not(self, world: World, account: Account, trade_id: str) -> None:
        """Nor does it hold its own execution, which decides again."""
        automation_id = guard(world, account, cooldown_seconds=300)
        world.paper.add_fault("drop_before", route=ADDING, count=1)
        lost = world.run(automation_id, trade_id=trade_id)
        assert world.settle(lost["executionId"])["status"] == "completed"
        assert margin(world, account, trade_id) == 100

    def test_nor_what_was_refused(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, cooldown_seconds=300)
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "failed"
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"

    def test_in_a_pass_only_the_cooled_trade_is_left_alone(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, scope="all", margin_threshold=90, cooldown_seconds=300)
        world.move_price(AT_RISK)
        assert world.run(automation_id)["status"] == "completed"
        world.move_price(50_000)
        fresh = world.open_trade(account)
        world.move_price(45_600)
        with world.changes() as changes:
            second = world.run(automation_id)
        assert second["status"] == "completed"
        assert changes.kinds == ["add_margin"]
        listed = {one["tradeId"]: one for one in second["trades"]}
        assert (listed[trade_id]["status"], listed[trade_id]["reason"]) == ("pending", "cooldown")
        assert listed[fresh]["status"] == "completed"
        assert [margin(world, account, one) for one in (trade_id, fresh)] == [100, 100]
        third = world.run(automation_id)
        assert is_cool(third)
        assert {one["reason"] for one in third["result"]["trades"]} == {"cooldown"}

    def test_in_a_pass_the_cooled_trade_takes_nothing_of_the_balance(self, world: World, account: Account) -> None:
        poor = world.account(name="Poor", balance=43_300)
        first, second = (world.open_trade(poor, leverage=10), world.open_trade(poor, leverage=9, quantity=90))
        passing = {"scope": "all", "margin_threshold": 50, "cooldown_seconds": 3600}
        automation_id = guard(world, poor, 1_000, **passing)
        world.move_price(47_700)
        listed = {one["tradeId"]: one["status"] for one in world.run(automation_id)["trades"]}
        assert listed == {first: "completed", second: "pending"}
        assert 1_000 <= world.paper.balance(poor.paper) < 2_000, "enough for one more"
        world.move_price(45_500)
        result = world.run(automation_id)
        listed = {one["tradeId"]: (one["status"], one.get("reason")) for one in result["trades"]}
        assert (result["status"], listed) == (
            "completed",
            {first: ("pending", "cooldown"), second: ("completed", None)},
        )
        assert world.alerts == []

    def test_what_is_cooling_down_is_refused_nothing(self, world: World) -> None:
        poor = world.account(name="Poor", balance=26_000)
        trade_id = world.open_trade(poor)
        automation_id = guard(world, poor, 3_000, cooldown_seconds=3600)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        assert world.paper.balance(poor.paper) < 3_000
        second = world.run(automation_id, trade_id=trade_id)
        assert is_cool(second), second
        assert ({row.status for row in world.trade_log()}, world.alerts) == ({"success"}, [])
        plan = world.execution(second["executionId"]).plan
        assert plan is not None
        assert plan["seen"]["actedOn"] == [trade_id]

    def test_a_third_partys_automation_is_guarded_too(
        self, world: World, account: Account, puppet: Guarded, trade_id: str
    ) -> None:
        puppet.decision = act(AddMargin(trade_id, 100))
        automation_id = world.automation(
            account, "guarded", {"action": "go", "cooldown_seconds": 300, "max_daily_add_margin": 150}
        )
        assert world.run(automation_id)["status"] == "completed"
        assert is_cool(world.run(automation_id))
        age(world, 301)
        assert world.run(automation_id)["error"]["code"] == "daily_add_margin_exceeded"


class TestDailyMargin:
    def test_what_would_exceed_it_is_refused(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, max_daily_add_margin=250)
        assert [world.run(automation_id, trade_id=trade_id)["status"] for _ in range(2)] == ["completed"] * 2
        with world.changes() as changes:
            third = world.run(automation_id, trade_id=trade_id)
        assert (third["status"], third["error"]["code"]) == ("failed", "daily_add_margin_exceeded")
        assert third["error"]["status"] == 400
        for number in ("100", "250", "200"):
            assert number in third["error"]["message"]
        assert changes.sent == []
        assert margin(world, account, trade_id) == 200

    def test_up_to_the_limit_exactly(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, max_daily_add_margin=200)
        ends = [world.run(automation_id, trade_id=trade_id)["status"] for _ in range(3)]
        assert ends == ["completed", "completed", "failed"]

    def test_24_hours_roll(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, max_daily_add_margin=100)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        age(world, DAY - 60)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "failed"
        age(world, DAY + 1)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        assert world.run(automation_id, trade_id=trade_id)["status"] == "failed"

    def test_all_trades_of_the_automation_share_it_and_no_other_automation(
        self, world: World, account: Account, trade_id: str
    ) -> None:
        other = world.open_trade(account)
        automation_id = guard(world, account, max_daily_add_margin=150)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        assert world.run(automation_id, trade_id=other)["status"] == "failed"
        assert world.run(guard(world, account, max_daily_add_margin=150), trade_id=other)["status"] == "completed"

    def test_on_another_account_it_begins_anew(self, world: World, account: Account, trade_id: str) -> None:
        second = world.account(name="Second")
        elsewhere = world.open_trade(second)
        automation_id = guard(world, account, max_daily_add_margin=100)
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"
        world.storage.run('UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', second.id, automation_id)
        assert world.run(automation_id, trade_id=elsewhere)["status"] == "completed"
        assert world.run(automation_id, trade_id=elsewhere)["status"] == "failed"

    def test_what_may_have_been_added_counts(self, world: World, account: Account, trade_id: str) -> None:
        other = world.open_trade(account)
        automation_id = guard(world, account, max_daily_add_margin=150)
        world.paper.add_fault("drop_after", route=ADDING, count=1)
        lost = world.run(automation_id, trade_id=trade_id)
        assert lost["waitingFor"] == "reconcile"
        assert world.run(automation_id, trade_id=other)["error"]["code"] == "daily_add_margin_exceeded"
        assert world.go_on(lost["executionId"])["status"] == "completed"

    def test_what_was_definitely_refused_does_not(self, world: World, account: Account, trade_id: str) -> None:
        automation_id = guard(world, account, max_daily_add_margin=100)
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        assert world.run(automation_id, trade_id=trade_id)["error"]["code"] == "exchange_rejected"
        assert world.run(automation_id, trade_id=trade_id)["status"] == "completed"

    def test_a_retry_of_the_same_execution_does_not_count_itself(
        self, world: World, account: Account, trade_id: str
    ) -> None:
        automation_id = guard(world, account, max_daily_add_margin=100)
        world.paper.add_fault("drop_before", route=ADDING, count=1)
        lost = world.run(automation_id, trade_id=trade_id)
        assert world.settle(lost["executionId"])["status"] == "completed"
        assert margin(world, account, trade_id) == 100

    def test_a_pass_adds_in_order_up_to_the_limit_and_lists_the_rest_as_failed(
        self, world: World, account: Account
    ) -> None:
        # The higher the leverage, the nearer the liquidation: the most endangered come first.
        for leverage in (10, 11, 12):
            world.open_trade(account, leverage=leverage)
        world.move_price(47_000)
        automation_id = guard(world, account, scope="all", margin_threshold=5, max_daily_add_margin=250)
        with world.changes() as changes:
            result = world.run(automation_id)
        assert (result["status"], result["error"]["code"]) == ("failed", "daily_add_margin_exceeded")
        assert [one["status"] for one in result["trades"]] == ["completed", "completed", "failed"]
        assert [one["tradeId"] for one in result["trades"]] == [
            row["id"] for row in sorted(world.paper.trades(account.paper), key=lambda row: -float(row["leverage"]))
        ]
        assert result["trades"][2]["error"]["code"] == "daily_add_margin_exceeded"
        assert changes.kinds == ["add_margin"] * 2

    def test_a_smaller_amount_behind_one_that_is_too_much_still_fits(
        self, world: World, account: Account, puppet: Guarded
    ) -> None:
        trades = [world.open_trade(account) for _ in range(3)]
        amounts = (200, 100, 50)
        puppet.decision = Act(
            groups=tuple(
                Group("top_up", (AddMargin(one, amount),), one) for one, amount in zip(trades, amounts, strict=True)
            ),
            action="top_up",
            lists_trades=True,
        )
        result = world.run(world.automation(account, "guarded", {"action": "go", "max_daily_add_margin": 150}))
        assert [one["status"] for one in result["trades"]] == ["failed", "completed", "completed"]
        assert [margin(world, account, one) for one in trades] == [0, 100, 50]

    def test_all_that_a_group_adds_counts(self, world: World, account: Account, puppet: Guarded, trade_id: str) -> None:
        puppet.decision = act(AddMargin(trade_id, 100), AddMargin(trade_id, 100))
        with world.changes() as changes:
            result = world.run(world.automation(account, "guarded", {"action": "go", "max_daily_add_margin": 150}))
        assert result["error"]["code"] == "daily_add_margin_exceeded"
        assert changes.sent == []

    def test_what_adds_no_margin_passes(self, world: World, account: Account, puppet: Guarded, trade_id: str) -> None:
        automation_id = world.automation(account, "guarded", {"action": "go", "max_daily_add_margin": 100})
        puppet.decision = act(AddMargin(trade_id, 100))
        assert world.run(automation_id)["status"] == "completed"
        puppet.decision = act(SetStopLoss(trade_id, Decimal(48_000)))
        assert world.run(automation_id)["status"] == "completed"
