"""A run that dies at any of its marked points: what it was to do is done exactly once in the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.automation import Act, AddMargin, ClosePosition, Group, OpenPosition, SetStopLoss, act
from axisor_executor.run import points
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage import executions
from axisor_executor.switching import pause, resume
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.puppet import CONFIG, Puppet

POINTS = ("claimed", "planned", "sending", "answered", "settled", "finished")
PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
ENTRY = OpenPosition("buy", 100, Decimal(10))


class Death(BaseException):
    """What no code of a run can catch or survive."""


@contextmanager
def dying(point: str, *, after: int = 0) -> Iterator[None]:
    """Let this process' runs die at a point, after they have passed it so often."""
    passed = 0

    def listener(reached: str) -> None:
        nonlocal passed
        if reached == point:
            passed += 1
            if passed == after + 1:
                raise Death(point)

    points.listeners.append(listener)
    try:
        yield
    finally:
        points.listeners.remove(listener)


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    world.restart(puppet.plugin, retries=dict.fromkeys(("puppet", "margin_guard"), PATIENT))
    return world.account()


def die(world: World, automation_id: str, point: str, *, after: int = 0, **job: Any) -> str:
    """Let the run of a new execution die at a point, find that it is dead, and return its id."""
    execution_id = world.enqueue(world.job(automation_id, **job))
    with dying(point, after=after), pytest.raises(Death):
        world.parts.executor.run(execution_id)
    world.storage.run("UPDATE axisor_leases SET until = {later}", -1)
    return execution_id


class TestEveryPoint:
    @pytest.mark.parametrize("point", POINTS)
    def test_an_entry_happens_once(self, world: World, account: Account, puppet: Puppet, point: str) -> None:
        puppet.decision = act(ENTRY)
        with world.changes() as changes:
            execution_id = die(world, world.automation(account, "puppet", CONFIG), point)
            world.parts.recovery.look()
            result = world.settle(execution_id)
        assert result["status"] == "completed"
        assert changes.kinds == ["open"]
        assert world.trade(account, result["tradeId"])["running"]
        assert len(world.trade_log()) == 1

    @pytest.mark.parametrize("after", [0, 1], ids=["of the close", "of the reopen"])
    @pytest.mark.parametrize("point", ["sending", "answered", "settled"])
    def test_a_reduce_happens_once(self, world: World, account: Account, point: str, after: int) -> None:
        trade_id = world.open_trade(account)
        guard = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        with world.changes() as changes:
            execution_id = die(world, guard, point, after=after, trade_id=trade_id)
            result = world.settle(execution_id)
        assert result["status"] == "completed"
        assert changes.kinds == ["close", "open"]
        assert world.trade(account, result["tradeId"])["quantity"] == 50

    @pytest.mark.parametrize("kind", [AddMargin, ClosePosition, SetStopLoss], ids=lambda kind: kind.__name__)
    @pytest.mark.parametrize("point", POINTS)
    def test_what_is_done_to_a_trade_happens_once(
        self, world: World, account: Account, puppet: Puppet, point: str, kind: type[Any]
    ) -> None:
        trade_id = world.open_trade(account)
        values = {AddMargin: (100,), ClosePosition: (), SetStopLoss: (Decimal(47_000),)}[kind]
        puppet.decision = act(kind(trade_id, *values))
        with world.changes() as changes:
            execution_id = die(world, world.automation(account, "puppet", CONFIG), point)
            world.parts.recovery.look()
            assert world.settle(execution_id)["status"] == "completed"
        assert len(changes.sent) == 1
        not_executed = ["rejected"] * (point == "sending")
        assert [one.status for one in world.actions(execution_id)] == [*not_executed, "confirmed"]

    def test_the_one_in_line_sees_what_the_dead_has_done(self, world: World, account: Account, puppet: Puppet) -> None:
        """Its margin is a baseline: it must be that after the effect whose answer died with the run."""
        trade_id = world.open_trade(account)
        puppet.decision = act(AddMargin(trade_id, 100))
        first, second = (world.automation(account, "puppet", CONFIG) for _ in range(2))
        with world.changes() as changes:
            execution_id = die(world, first, "settled")
            held = world.run(second)
            assert (held["status"], held["error"]["code"]) == ("waiting", "unresolved_action")
            assert world.settle(execution_id)["status"] == "completed"
            assert world.settle(held["executionId"])["status"] == "completed"
        assert len(changes.sent) == 2
        assert world.trade(account, trade_id)["margin"] == 20_200


class TestWhatBinds:
    def test_what_a_run_died_of_between_two_plans_leaves_no_gap(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        puppet.decision = act(ENTRY)
        world.paper.add_fault("status_before", mutating=True, count=1, status=503)
        execution_id = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
        (kept,) = world.actions(execution_id)
        assert (kept.status, kept.seq, kept.plan_version) == ("planned", 1, 1)
        world.storage.run("UPDATE axisor_executions SET due_at = {later} WHERE id = ?", -1, execution_id)
        with dying("planned"), pytest.raises(Death):
            world.parts.executor.run(execution_id)
        assert world.actions(execution_id) == [kept]
        world.storage.run("UPDATE axisor_leases SET until = {later}", -1)
        with world.changes() as changes:
            assert world.settle(execution_id)["status"] == "completed"
        assert changes.kinds == ["open"]
        (done,) = world.actions(execution_id)
        assert (done.status, done.plan_version) == ("confirmed", 2)
        assert [old["version"] for old in executions.old_plans(world.storage, execution_id)] == [1]
        plan = world.execution(execution_id).plan
        assert plan is not None
        assert plan["version"] == 2

    def test_a_plan_of_which_nothing_was_sent_is_decided_again(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        puppet.decision = act(ENTRY)
        execution_id = die(world, world.automation(account, "puppet", CONFIG), "planned")
        puppet.decision = act(OpenPosition("sell", 7, Decimal(10)))
        result = world.settle(execution_id)
        trade = world.trade(account, result["tradeId"])
        assert (puppet.asked, trade["side"], trade["quantity"]) == (2, "sell", 7)
        assert world.execution(execution_id).plan_version == 1  # that of the dead was to be committed with its request

    def test_a_group_that_has_begun_is_carried_on_as_it_was_decided(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trade_id = world.open_trade(account)
        puppet.decision = act(AddMargin(trade_id, 100), ENTRY)
        execution_id = die(world, world.automation(account, "puppet", CONFIG), "settled")
        puppet.decision = RuntimeError("must not be asked")
        with world.changes() as changes:
            assert world.settle(execution_id)["status"] == "completed"
        assert changes.kinds == ["open"]
        assert puppet.asked == 1

    def test_also_where_the_automation_was_switched_off_since(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        """A closed position whose remainder is owed is worse than one job too many."""
        trade_id = world.open_trade(account)
        guard = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        execution_id = die(world, guard, "settled", trade_id=trade_id)
        world.storage.run('UPDATE "Automation" SET is_active = ? WHERE id = ?', False, guard)
        assert world.settle(execution_id)["status"] == "completed"

    def test_a_group_that_was_not_begun_is_decided_again_and_the_others_are_not(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        groups = tuple(Group("top_up", (AddMargin(trade_id, 100),), trade_id) for trade_id in trades)
        puppet.decision = Act(groups=groups, action="top_up", lists_trades=True)
        execution_id = die(world, world.automation(account, "puppet", CONFIG), "settled")
        with world.changes() as changes:
            result = world.settle(execution_id)
        assert result["status"] == "completed"
        assert len(changes.sent) == 1
        assert [world.trade(account, trade_id)["margin"] for trade_id in trades] == [20_100, 20_100]
        assert sorted(one["tradeId"] for one in result["trades"]) == sorted(trades)


class TestLongRuns:
    def test_a_run_that_takes_longer_than_its_lease_keeps_it(self, world: World, account: Account) -> None:
        world.restart(lease_seconds=2.0)
        slow, other = (world.automation(account, "auto_entry", {"side": "b", "quantity": 100}) for _ in range(2))
        world.paper.add_fault("latency", mutating=True, count=1, seconds=4.0)
        execution_id = world.enqueue(world.job(slow))
        with world.changes() as changes:
            runner = threading.Thread(target=world.parts.executor.run, args=(execution_id,))
            runner.start()
            in_flight = until(lambda: next((a for a in world.actions(execution_id) if a.status == "sending"), None))
            until(lambda: (world.storage.now() - in_flight.sent_at).total_seconds() > world.settings.lease_seconds)
            competitor = world.run(other)
            again = world.go_on(execution_id)
            runner.join(20)
        assert (competitor["status"], competitor["waitingFor"]) == ("waiting", "lease")
        assert again["status"] == "running"
        first, second = (world.execution(one) for one in (execution_id, competitor["executionId"]))
        assert (first.status, second.status) == ("completed", "completed"), "the one in line follows at once"
        assert first.finished_at < second.started_at
        assert changes.kinds == ["open", "open"]


class TestPaused:
    @pytest.mark.parametrize("scope", ["all", "account", "automation", "exchange"])
    def test_nothing_is_read_or_sent_until_it_is_over(self, world: World, account: Account, scope: Any) -> None:
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
        scope_id = {"all": "", "account": account.id, "automation": entry, "exchange": "lnmarkets"}[scope]
        pause(world.storage, scope, scope_id)
        with world.changes() as changes:
            held = world.run(entry)
        assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
        assert (changes.asked, changes.sent) == (set(), [])
        assert resume(world.storage, scope, scope_id)
        assert world.go_on(held["executionId"])["status"] == "completed"

    def test_reduce_only_holds_entries_and_lets_guards_act(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        pause(world.storage, "account", account.id, mode="reduce_only")
        held = world.run(world.automation(account, "auto_entry", {"side": "b", "quantity": 100}))
        assert (held["status"], held["error"]["code"]) == ("waiting", "reduce_only")
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        assert world.run(guard, trade_id=trade_id)["status"] == "completed"
