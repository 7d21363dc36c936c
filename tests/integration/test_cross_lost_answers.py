"""Answers about the cross position that get lost: once by the exchange's own list of effects, whatever is lost."""

from __future__ import annotations

from typing import Any

import pytest

from axisor_executor.settings import RetryPolicy
from tests.harness.cross import Owner, at
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.test_dying_runs import POINTS, die

PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
CLOSE = {"action": "close_position"}
HALVE = {"action": "reduce_position", "reduce_percentage": 50}
EFFECTS = {"close_position": "cross_close", "reduce_position": "cross_order"}
LEFT = {"close_position": 0, "reduce_position": 50}
FAR_APART: dict[str, Any] = {"signature_margin_seconds": 1, "max_clock_skew_seconds": 60}
"""Clocks that may differ by more than a request lives: what the owner did before it counts as that still where it has
been made older (``World.outlive``), which the exchange's list of orders has not."""
BOTH = pytest.mark.parametrize("config", [CLOSE, HALVE], ids=["close", "reduce"])


@pytest.fixture
def account(world: World) -> Account:
    world.restart(retries={"margin_guard": PATIENT}, **FAR_APART)
    return world.account()


@pytest.fixture
def owner(world: World, account: Account) -> Owner:
    """A long of 100 USD."""
    found = Owner(world, account)
    found.hold(100)
    return found


def guard(world: World, account: Account, config: dict[str, Any]) -> str:
    return world.automation(account, "margin_guard", {"margin_mode": "cross", **config})


def lose(world: World, account: Account, config: dict[str, Any], fault: str, **more: Any) -> str:
    """Let the guard act, lose the answer, and return the execution."""
    world.paper.add_fault(fault, mutating=True, count=1, **more)
    lost = world.run(guard(world, account, config))
    assert (lost["status"], lost["waitingFor"]) == ("waiting", "reconcile"), lost
    return str(lost["executionId"])


@BOTH
class TestOnce:
    @pytest.mark.parametrize("fault", ["drop_after", "status_after", "malformed"])
    def test_what_was_carried_out_is_recognised_and_not_sent_again(
        self, world: World, account: Account, owner: Owner, config: dict[str, Any], fault: str
    ) -> None:
        with world.changes() as changes:
            result = world.go_on(lose(world, account, config, fault))
        assert (result["status"], result["action"]) == ("completed", config["action"])
        assert changes.kinds == [EFFECTS[config["action"]]]
        assert len(changes.sent) == 1
        assert owner.held == LEFT[config["action"]]
        assert result["result"]["orderId"]
        (row,) = world.trade_log()
        assert (row.status, row.pnl, row.amount) == ("success", 0, 20_000 - 200 * owner.held)

    def test_what_never_arrived_is_decided_again_and_carried_out_once(
        self, world: World, account: Account, owner: Owner, config: dict[str, Any]
    ) -> None:
        with world.changes() as changes:
            lost = lose(world, account, config, "drop_before")
            assert world.settle(lost)["status"] == "completed"
        assert changes.kinds == [EFFECTS[config["action"]]]
        first, second = world.actions(lost)
        assert (first.status, second.status) == ("rejected", "confirmed")
        assert first.error is not None
        assert first.error["code"] == "not_executed"
        assert first.client_id == second.client_id
        assert owner.held == LEFT[config["action"]]

    def test_what_is_decided_again_starts_from_what_is_held_by_then(
        self, world: World, account: Account, owner: Owner, config: dict[str, Any]
    ) -> None:
        lost = lose(world, account, config, "drop_before")
        owner.trade(-80)
        assert world.settle(lost)["status"] == "completed"
        assert owner.held == (0 if config is CLOSE else 10)

    def test_what_the_exchange_does_late_is_still_ours(
        self, world: World, account: Account, owner: Owner, config: dict[str, Any]
    ) -> None:
        world.restart(request_timeout_seconds=1)
        with world.changes() as changes:
            lost = lose(world, account, config, "act_late", seconds=2.5)
            until(lambda: world.go_on(lost)["status"] == "completed")
        assert (changes.kinds, len(changes.sent)) == ([EFFECTS[config["action"]]], 1)
        assert owner.held == LEFT[config["action"]]

    @pytest.mark.parametrize("point", POINTS)
    def test_wherever_the_run_dies(
        self, world: World, account: Account, owner: Owner, config: dict[str, Any], point: str
    ) -> None:
        with world.changes() as changes:
            execution_id = die(world, guard(world, account, config), point)
            world.parts.recovery.look()
            result = world.settle(execution_id)
        assert result["status"] == "completed"
        assert changes.kinds == [EFFECTS[config["action"]]]
        assert owner.held == LEFT[config["action"]]
        assert len(world.trade_log()) == 1


class TestWhileUnknown:
    @BOTH
    def test_what_may_still_be_accepted_is_waited_for(
        self, world: World, account: Account, owner: Owner, config: dict[str, Any]
    ) -> None:
        lost = lose(world, account, config, "drop_before")
        with world.changes() as changes:
            waiting = world.go_on(lost)
        assert (waiting["status"], waiting["waitingFor"]) == ("waiting", "reconcile")
        assert changes.sent == []

    def test_a_further_reduce_waits_and_a_close_does_not(self, world: World, account: Account, owner: Owner) -> None:
        lost = lose(world, account, HALVE, "drop_before")
        with world.changes() as changes:
            held = world.run(guard(world, account, HALVE))
        assert (held["status"], held["error"]["code"]) == ("waiting", "unresolved_action")
        assert held["error"]["details"] == {"executionId": lost}
        assert changes.sent == []
        assert world.run(guard(world, account, CLOSE))["status"] == "completed"
        assert owner.held == 0

    def test_it_goes_on_when_the_first_is_known(self, world: World, account: Account, owner: Owner) -> None:
        lost = lose(world, account, HALVE, "drop_before")
        held = world.run(guard(world, account, HALVE))
        assert world.settle(lost)["status"] == "completed"
        assert world.settle(held["executionId"])["status"] == "completed"
        assert owner.held == 25

    def test_isolated_trades_are_not_held(self, world: World, account: Account, owner: Owner) -> None:
        lose(world, account, HALVE, "drop_before")
        trade_id = world.open_trade(account)
        add = world.automation(account, "margin_guard", {"action": "add_margin", "add_margin_amount": 100})
        assert world.run(add, trade_id=trade_id)["status"] == "completed"


class TestOthers:
    @pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first first", "second first"])
    def test_one_close_is_not_counted_twice(
        self, world: World, account: Account, owner: Owner, order: tuple[int, int]
    ) -> None:
        """Two executions send one, and neither hears an answer; the exchange closed the position once."""
        with world.changes() as changes:
            lost = [lose(world, account, CLOSE, fault) for fault in ("drop_before", "drop_after")]
            results = [world.settle(lost[index]) for index in order]
        assert changes.kinds == ["cross_close"]
        assert [result["status"] for result in results] == ["completed", "completed"]
        assert results[0]["result"]["orderId"]
        assert results[1]["result"]["alreadyClosed"] is True
        assert [row.pnl for row in world.trade_log()] == [0, None]

    def test_each_of_two_closes_is_known_by_its_own_order(self, world: World, account: Account, owner: Owner) -> None:
        first = lose(world, account, CLOSE, "drop_after")
        owner.trade(100)
        second = lose(world, account, CLOSE, "drop_after")
        orders = [world.settle(one)["result"]["orderId"] for one in (first, second)]
        assert orders[0] != orders[1]

    def test_a_liquidation_is_not_our_close(self, world: World, account: Account, owner: Owner) -> None:
        lost = lose(world, account, CLOSE, "drop_before")
        world.move_price(40_000)
        assert owner.held == 0
        result = world.settle(lost)
        assert (result["status"], result["result"]["alreadyClosed"]) == ("completed", True)
        assert "liquidated" in result["result"]["reason"]
        assert [action.status for action in world.actions(lost)] == ["superseded"]

    def test_a_late_reduce_that_turned_the_position_is_an_alert(
        self, world: World, account: Account, owner: Owner
    ) -> None:
        """Nothing could keep it from that: its owner closed the position while it was under way."""
        with at("sending", owner.close):
            world.paper.add_fault("drop_after", route="POST /v3/futures/cross/order", count=1)
            lost = world.run(guard(world, account, HALVE))
        assert lost["waitingFor"] == "reconcile"
        result = world.settle(lost["executionId"])
        assert owner.held == -50
        assert (result["status"], result["error"]["code"]) == ("uncertain", "uncertain")
        assert "turned the cross position" in result["error"]["message"]
        assert world.alerts == ["uncertain_outcome"]
        held = world.run(guard(world, account, HALVE))
        assert held["error"]["code"] == "unresolved_action"
        assert world.run(guard(world, account, CLOSE))["status"] == "completed"
        assert owner.held == 0

    def test_orders_that_can_not_be_read_leave_it_unknown(self, world: World, account: Account, owner: Owner) -> None:
        lost = lose(world, account, CLOSE, "drop_after")
        world.paper.add_fault("status_before", route="GET /v3/futures/cross/orders/filled", status=503, count=1)
        waiting = world.go_on(lost)
        assert (waiting["status"], waiting["waitingFor"]) == ("waiting", "reconcile")
        world.paper.clear_faults()
        assert world.settle(lost)["status"] == "completed"
