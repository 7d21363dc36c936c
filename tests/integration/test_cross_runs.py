"""The margin guard of a cross position, carried out on the exchange."""

from __future__ import annotations

from typing import Any

import pytest

from axisor_executor.switching import pause, resume
from tests.harness.cross import Owner, at
from tests.harness.world import Account, World
from tests.integration.conftest import Said
from tests.integration.test_cross_lost_answers import FAR_APART
from tests.integration.test_dying_runs import die

SAFE, AT_RISK = 50_000, 44_000


@pytest.fixture
def account(world: World) -> Account:
    """The account in question, beside another one of the same user."""
    world.account(name="Second Account")
    return world.account()


@pytest.fixture
def owner(world: World, account: Account) -> Owner:
    return Owner(world, account)


@pytest.fixture
def position_id(owner: Owner) -> str:
    """A long of 100 USD from 50 000."""
    return owner.hold(100)


def guard(world: World, account: Account, action: str, **config: Any) -> str:
    return world.automation(account, "margin_guard", {"action": action, "margin_mode": "cross", **config})


class TestClose:
    def test_it_is_closed_once_with_its_own_account_keys_only(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        isolated = world.open_trade(account)
        with world.changes() as changes:
            result = world.run(guard(world, account, "close_position"))
        assert (result["status"], result["action"], result["tradeId"]) == ("completed", "close_position", position_id)
        assert changes.effects == [("Main Account", "cross_close")]
        assert len(changes.sent) == 1
        assert changes.asked == {"Main Account"}
        assert owner.held == 0
        assert world.trade(account, isolated)["running"]

    def test_the_result_and_the_log_say_what_was_done(
        self, world: World, account: Account, position_id: str, said: Said
    ) -> None:
        world.move_price(51_000)
        result = world.run(guard(world, account, "close_position"))
        nested = result["result"]
        order_id = nested.pop("orderId")
        assert nested == {
            "status": "completed",
            "tradeId": position_id,
            "marginMode": "cross",
            "side": "buy",
            "quantity": 100,
        }
        assert (
            "🛑 AUTOMATION EXECUTOR - Closing cross position of LONG 100 USD for user user123 on account Main Account"
            in (said.lines)
        )
        assert (
            f"✅ AUTOMATION EXECUTOR - Successfully closed position {position_id} on account Main Account" in said.lines
        )
        row = world.trade_log()[-1]
        assert (row.trade_id, row.status, row.action) == (position_id, "success", "close_position")
        assert (row.pnl, row.amount, row.price) == (3_921, 20_000, 51_000)
        (action,) = world.actions(result["executionId"])
        assert action.answer is not None
        assert (action.answer["id"], action.answer["quantity"]) == (order_id, 100)

    def test_the_plan_keeps_what_was_seen(self, world: World, account: Account, position_id: str) -> None:
        result = world.run(guard(world, account, "close_position"))
        plan = world.execution(result["executionId"]).plan
        assert plan is not None
        seen = plan["seen"]["crossPosition"]
        assert (seen["id"], seen["side"], seen["quantity"], seen["entryPrice"]) == (position_id, "buy", 100, "50000")

    def test_a_short_is_closed_by_buying(self, world: World, account: Account, owner: Owner) -> None:
        owner.hold(-100)
        assert world.run(guard(world, account, "close_position"))["status"] == "completed"
        assert owner.held == 0

    def test_without_a_position_there_is_nothing_to_do(self, world: World, account: Account, owner: Owner) -> None:
        rows = len(world.trade_log())
        for _ in range(2):
            with world.changes() as changes:
                result = world.run(guard(world, account, "close_position"))
            assert (result["status"], result["result"]["reason"]) == ("pending", "no_cross_position")
            assert changes.sent == []
            owner.hold(100)
            owner.close()
        assert len(world.trade_log()) == rows


class TestReduce:
    @pytest.mark.parametrize(("quantity", "percentage", "left"), [(100, 40, 60), (-100, 50, -50), (3, 34, 1)])
    def test_one_order_takes_the_part(
        self, world: World, account: Account, owner: Owner, quantity: int, percentage: int, left: int
    ) -> None:
        position_id = owner.hold(quantity)
        with world.changes() as changes:
            result = world.run(guard(world, account, "reduce_position", reduce_percentage=percentage))
        assert (result["status"], result["action"], result["tradeId"]) == ("completed", "reduce_position", position_id)
        assert result["result"]["remainingQuantity"] == abs(left)
        assert changes.effects == [("Main Account", "cross_order")]
        assert owner.held == left

    def test_the_trade_log_counts_the_part(self, world: World, account: Account, position_id: str) -> None:
        world.move_price(48_000)
        world.run(guard(world, account, "reduce_position", reduce_percentage=25))
        row = world.trade_log()[-1]
        assert (row.trade_id, row.status, row.action) == (position_id, "success", "reduce_position")
        assert (row.pnl, row.amount, row.price) == (-2_084, 5_000, 48_000)

    @pytest.mark.parametrize("percentage", [100, 99.5])
    def test_all_of_it_is_a_close(
        self, world: World, account: Account, owner: Owner, position_id: str, percentage: float
    ) -> None:
        with world.changes() as changes:
            result = world.run(guard(world, account, "reduce_position", reduce_percentage=percentage))
        assert (result["status"], result["action"]) == ("completed", "close_position")
        assert changes.kinds == ["cross_close"]
        assert owner.held == 0

    def test_every_execution_has_a_client_id_of_its_own(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        found = [world.actions(world.run(halve)["executionId"])[0].client_id for _ in range(3)]
        assert len(set(found)) == 3
        assert owner.held == 12

    def test_a_cooldown_counts_for_the_position(self, world: World, account: Account, position_id: str) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50, cooldown_seconds=300)
        assert world.run(halve)["status"] == "completed"
        again = world.run(halve)
        assert (again["status"], again["result"]["reason"]) == ("pending", "cooldown")


class TestReduceByMoreThanAnOrderTakes:
    """Of 1 200 000 USD, half is a full order and another of 100 000."""

    @pytest.fixture
    def account(self, world: World) -> Account:
        world.restart(**FAR_APART)
        return world.account(balance=10**10)

    @pytest.fixture
    def position_id(self, owner: Owner) -> str:
        position_id = owner.hold(500_000, wallet=5 * 10**9)
        owner.trade(500_000)
        owner.trade(200_000)
        return position_id

    def test_several_orders_take_it_one_after_the_other(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        with world.changes() as changes:
            result = world.run(guard(world, account, "reduce_position", reduce_percentage=50))
        assert (result["status"], result["result"]["orders"]) == ("completed", 2)
        assert changes.kinds == ["cross_order", "cross_order"]
        assert owner.held == 600_000
        first, second = world.actions(result["executionId"])
        assert first.client_id != second.client_id
        assert second.answer is not None
        assert result["result"]["orderId"] == second.answer["id"]
        row = world.trade_log()[-1]
        assert (row.trade_id, row.status, row.pnl, row.amount) == (position_id, "success", 0, 120_000_000)

    @pytest.mark.parametrize("fault", ["drop_after", "status_after"])
    def test_one_whose_answer_is_lost_is_recognised_before_the_next_is_sent(
        self, world: World, account: Account, owner: Owner, position_id: str, fault: str
    ) -> None:
        world.paper.add_fault(fault, mutating=True, count=1)
        with world.changes() as changes:
            lost = world.run(guard(world, account, "reduce_position", reduce_percentage=50))
            assert (lost["status"], lost["waitingFor"], owner.held) == ("waiting", "reconcile", 700_000)
            assert world.go_on(lost["executionId"])["status"] == "completed"
        assert changes.kinds == ["cross_order", "cross_order"]
        assert owner.held == 600_000

    @pytest.mark.parametrize("after", [0, 1], ids=["of the first", "of the second"])
    @pytest.mark.parametrize("point", ["sending", "answered", "settled"])
    def test_wherever_the_run_dies(
        self, world: World, account: Account, owner: Owner, position_id: str, point: str, after: int
    ) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        with world.changes() as changes:
            execution_id = die(world, halve, point, after=after)
            world.parts.recovery.look()
            assert world.settle(execution_id)["status"] == "completed"
        assert changes.kinds == ["cross_order", "cross_order"]
        assert owner.held == 600_000

    def test_a_dry_run_records_all_of_them(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        result = world.run(guard(world, account, "reduce_position", reduce_percentage=50, dry_run=True))
        assert [one["action"] for one in result["requests"]] == ["reduce_cross_position"] * 2
        assert owner.held == 1_200_000

    def test_what_others_have_changed_between_two_is_for_the_next_job_to_decide_on(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        with at("settled", lambda: owner.trade(-100_000)):
            result = world.run(halve)
        assert (result["status"], result["error"]["code"]) == ("failed", "position_changed")
        assert owner.held == 600_000
        row = world.trade_log()[-1]
        assert (row.status, row.amount) == ("app_error", 100_000_000)
        assert world.run(halve)["status"] == "completed"
        assert owner.held == 300_000


class TestThreshold:
    def test_above_it_nothing_is_sent(self, world: World, account: Account, position_id: str) -> None:
        automation_id = guard(world, account, "close_position", margin_threshold=90)
        world.move_price(44_500)
        with world.changes() as changes:
            result = world.run(automation_id)
        assert (result["status"], result["tradeId"]) == ("pending", position_id)
        assert result["result"]["reason"] == "margin_threshold_not_reached"
        assert result["result"]["liquidation"] == 43_573
        assert changes.sent == []

    def test_at_it_the_guard_acts(self, world: World, account: Account, owner: Owner, position_id: str) -> None:
        automation_id = guard(world, account, "reduce_position", reduce_percentage=50, margin_threshold=90)
        world.move_price(AT_RISK)
        assert world.run(automation_id)["status"] == "completed"
        assert owner.held == 50

    def test_a_short_whose_wallet_covers_all_is_not_at_risk(self, world: World, account: Account, owner: Owner) -> None:
        owner.hold(-100, wallet=300_000, leverage=1)
        automation_id = guard(world, account, "close_position", margin_threshold=90)
        world.move_price(500_000)
        assert world.run(automation_id)["result"]["reason"] == "margin_threshold_not_reached"


class TestRefused:
    @pytest.mark.parametrize(
        ("config", "job", "code"),
        [
            ({"action": "add_margin", "add_margin_amount": 100}, {}, "invalid_config"),
            ({"scope": "all", "margin_threshold": 90}, {}, "invalid_config"),
            ({}, {"trade_id": "b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"}, "trade_id_unexpected"),
        ],
    )
    def test_what_is_meant_for_isolated_trades(
        self, world: World, account: Account, position_id: str, config: Any, job: Any, code: str
    ) -> None:
        with world.changes() as changes:
            result = world.run(guard(world, account, **({"action": "close_position"} | config)), **job)
        assert (result["status"], result["error"]["status"], result["error"]["code"]) == ("failed", 400, code)
        assert changes.sent == []

    def test_what_the_exchange_refuses_fails(self, world: World, account: Account, position_id: str) -> None:
        world.paper.add_fault("status_before", route="POST /v3/futures/cross/order", status=400, count=1)
        result = world.run(guard(world, account, "reduce_position", reduce_percentage=50))
        assert (result["status"], result["error"]["code"]) == ("failed", "exchange_rejected")
        assert world.trade_log()[-1].status == "exchange_error"


class TestChangedMeanwhile:
    """Between the decision and the request somebody else acts on the position."""

    @pytest.mark.parametrize(("change", "left"), [(-20, 40), (-170, -35)], ids=["smaller", "turned"])
    def test_a_reduce_is_decided_again(
        self, world: World, account: Account, owner: Owner, position_id: str, change: int, left: int
    ) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        with world.changes() as changes, at("planned", lambda: owner.trade(change)):
            held = world.run(halve)
            assert (held["status"], held["waitingFor"]) == ("waiting", "retry")
            assert held["error"]["code"] == "position_changed"
            assert world.go_on(held["executionId"])["status"] == "completed"
        assert changes.kinds == ["cross_order", "cross_order"], "theirs, and ours once"
        assert owner.held == left

    def test_a_larger_position_is_reduced_as_decided(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        with at("planned", lambda: owner.trade(10)):
            assert world.run(halve)["status"] == "completed"
        assert owner.held == 60

    def test_a_close_takes_what_is_left(self, world: World, account: Account, owner: Owner, position_id: str) -> None:
        with at("planned", lambda: owner.trade(-20)):
            assert world.run(guard(world, account, "close_position"))["status"] == "completed"
        assert owner.held == 0

    def test_a_position_that_was_turned_is_another_decision(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        with at("planned", lambda: owner.trade(-150)):
            held = world.run(guard(world, account, "close_position"))
        assert held["error"]["code"] == "position_changed"
        assert owner.held == -50
        assert world.go_on(held["executionId"])["status"] == "completed"
        assert owner.held == 0

    @pytest.mark.parametrize("action", ["close_position", "reduce_position"])
    def test_one_that_was_closed_is_done(
        self, world: World, account: Account, owner: Owner, position_id: str, action: str
    ) -> None:
        with world.changes() as changes, at("planned", owner.close):
            result = world.run(guard(world, account, action, reduce_percentage=50))
        assert result["status"] == "completed"
        assert result["result"]["alreadyClosed" if action == "close_position" else "superseded"] is True
        assert changes.kinds == ["cross_close"]
        assert len(changes.sent) == 1, "theirs alone"

    def test_also_where_only_the_exchange_saw_it(
        self, world: World, account: Account, owner: Owner, position_id: str
    ) -> None:
        with world.changes() as changes, at("sending", owner.close):
            result = world.run(guard(world, account, "close_position"))
        assert (result["status"], result["result"]["alreadyClosed"]) == ("completed", True)
        assert changes.kinds == ["cross_close"]
        assert len(changes.sent) == 2


class TestSwitches:
    def test_a_pause_holds_it(self, world: World, account: Account, owner: Owner, position_id: str) -> None:
        pause(world.storage, "account", account.id)
        with world.changes() as changes:
            held = world.run(guard(world, account, "close_position"))
        assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
        assert (changes.asked, changes.sent) == (set(), [])
        assert resume(world.storage, "account", account.id)
        assert world.go_on(held["executionId"])["status"] == "completed"
        assert owner.held == 0

    @pytest.mark.parametrize("action", ["close_position", "reduce_position"])
    def test_reduce_only_lets_it_pass(
        self, world: World, account: Account, owner: Owner, position_id: str, action: str
    ) -> None:
        pause(world.storage, "account", account.id, mode="reduce_only")
        assert world.run(guard(world, account, action, reduce_percentage=50))["status"] == "completed"
        assert owner.held < 100

    def test_an_inactive_accounts_position_stays_guarded(self, world: World) -> None:
        inactive = world.account(name="Inactive", is_active=False)
        owner = Owner(world, inactive)
        owner.hold(100)
        assert world.run(guard(world, inactive, "close_position"))["status"] == "completed"
        assert owner.held == 0
