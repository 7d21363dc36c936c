"""Collapse: of the same guard's jobs that pile up, one waits; none is dropped for one that has begun to decide."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from axisor_executor import api
from axisor_executor.automation import AddMargin, act
from axisor_executor.run import points
from axisor_executor.storage.connection import Storage
from axisor_executor.switching import pause, resume
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.puppet import CONFIG, Puppet


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    world.restart(puppet.plugin)
    return world.account()


@pytest.fixture
def guard(world: World, account: Account) -> str:
    return world.automation(account, "margin_guard", {"action": "add_margin", "add_margin_amount": 100})


def statuses(world: World, ids: list[str]) -> list[str]:
    return [world.execution(one).status for one in ids]


class TestDuplicates:
    def test_a_second_job_is_cancelled_while_the_first_waits(self, world: World, guard: str) -> None:
        first = world.enqueue(world.job(guard, trade_id="t1"))
        second = world.enqueue(world.job(guard, trade_id="t1"))
        result = api.get_result(second)
        assert (result["status"], result["reason"], result["duplicateOf"]) == ("cancelled", "duplicate", first)
        assert (result["executionId"], result["automationId"], result["tradeId"]) == (second, guard, "t1")
        assert result["accountName"] == "Main Account"
        assert first in result["message"]
        assert world.execution(first).status == "queued"
        assert world.execution(second).finished_at is not None

    def test_however_many_come_they_name_the_one_that_waits(self, world: World, guard: str) -> None:
        first, *others = (world.enqueue(world.job(guard, trade_id="t1")) for _ in range(5))
        assert {api.get_result(one)["duplicateOf"] for one in others} == {first}

    def test_the_one_that_waits_is_carried_out_once(self, world: World, account: Account, guard: str) -> None:
        trade_id = world.open_trade(account)
        ids = [world.enqueue(world.job(guard, trade_id=trade_id)) for _ in range(4)]
        with world.changes() as changes:
            ends = [world.go_on(one)["status"] for one in ids]
        assert ends == ["completed", "cancelled", "cancelled", "cancelled"]
        assert changes.kinds == ["add_margin"]

    def test_a_duplicate_that_is_retried_by_its_key_stays_one(self, world: World, guard: str) -> None:
        world.enqueue(world.job(guard, trade_id="t1"))
        second = world.enqueue(world.job(guard, trade_id="t1"), "key")
        assert world.enqueue(world.job(guard, trade_id="t1"), "key") == second
        assert world.execution(second).status == "cancelled"

    def test_a_duplicate_runs_in_no_worker(self, world: World, guard: str) -> None:
        first = world.enqueue(world.job(guard, trade_id="t1"))
        second = api.execute(world.job(guard, trade_id="t1"))
        assert second["duplicateOf"] == first
        assert world.execution(str(second["executionId"])).started_at is None


class TestWhatIsNotTheSame:
    @pytest.mark.parametrize(
        "more",
        [{"trade_id": "t2"}, {}, {"trade_id": "t1", "action": "close_position"}],
        ids=["another trade", "no trade", "another action"],
    )
    def test_other_jobs_of_the_automation(self, world: World, guard: str, more: dict[str, Any]) -> None:
        ids = [world.enqueue(world.job(guard, trade_id="t1")), world.enqueue(world.job(guard, **more))]
        assert statuses(world, ids) == ["queued", "queued"]

    def test_other_automations(self, world: World, account: Account, guard: str) -> None:
        other = world.automation(account, "margin_guard", {"action": "add_margin", "add_margin_amount": 100})
        ids = [world.enqueue(world.job(one, trade_id="t1")) for one in (guard, other)]
        assert statuses(world, ids) == ["queued", "queued"]

    def test_a_job_for_the_account_that_it_is_bound_to_now(self, world: World, guard: str) -> None:
        """The one that waits is for the account before, and will be refused."""
        world.enqueue(world.job(guard, trade_id="t1"))
        other = world.account(name="Second Account")
        world.storage.run('UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', other.id, guard)
        assert world.execution(world.enqueue(world.job(guard, trade_id="t1"))).status == "queued"

    def test_another_users_job_neither_drops_nor_is_dropped(self, world: World, guard: str) -> None:
        stranger = world.enqueue(world.job(guard, trade_id="t1", user_id="user456"))
        owner = world.enqueue(world.job(guard, trade_id="t1"))
        again = world.enqueue(world.job(guard, trade_id="t1", user_id="user456"))
        assert statuses(world, [stranger, owner, again]) == ["queued"] * 3
        assert world.go_on(again)["error"]["code"] == "automation_not_found"

    def test_other_types_do_not_collapse(self, world: World, account: Account) -> None:
        for type_, config in (
            ("auto_entry", {"side": "b", "quantity": 100}),
            ("tp_sl", {"action": "close_tp"}),
            ("puppet", CONFIG),
        ):
            automation_id = world.automation(account, type_, config)
            ids = [world.enqueue(world.job(automation_id)) for _ in range(2)]
            assert statuses(world, ids) == ["queued", "queued"], type_

    def test_a_third_party_may_ask_for_it(self, world: World, account: Account, puppet: Puppet) -> None:
        type(puppet).collapses = True
        try:
            automation_id = world.automation(account, "puppet", CONFIG)
            ids = [world.enqueue(world.job(automation_id)) for _ in range(2)]
            assert statuses(world, ids) == ["queued", "cancelled"]
        finally:
            del type(puppet).collapses


class TestWhatHasBegun:
    def test_none_is_dropped_for_one_that_has_begun_to_decide(self, world: World, account: Account, guard: str) -> None:
        """It may have looked at the market before the job came."""
        trade_id = world.open_trade(account)
        taken: list[str] = []

        def another_comes(point: str) -> None:
            if point == "claimed" and not taken:
                taken.extend(world.enqueue(world.job(guard, trade_id=trade_id)) for _ in range(2))

        points.listeners.append(another_comes)
        try:
            assert world.run(guard, trade_id=trade_id)["status"] == "completed"
        finally:
            points.listeners.remove(another_comes)
        assert statuses(world, taken) == ["queued", "cancelled"], "at most one runs and one is queued"
        assert api.get_result(taken[1])["duplicateOf"] == taken[0]

    def test_one_that_waits_for_another_try_has_begun(self, world: World, account: Account, guard: str) -> None:
        world.paper.add_fault("status_before", status=503)
        waiting = world.run(guard, trade_id="t1")
        assert waiting["waitingFor"] == "retry"
        fresh = world.enqueue(world.job(guard, trade_id="t1"))
        assert world.execution(fresh).status == "queued"

    def test_one_that_is_over_is_none(self, world: World, account: Account, guard: str) -> None:
        trade_id = world.open_trade(account)
        ends = [world.run(guard, trade_id=trade_id)["status"] for _ in range(2)]
        assert ends == ["completed", "completed"]

    def test_one_that_is_too_old_is_none(self, world: World, guard: str) -> None:
        first = world.enqueue(world.job(guard, trade_id="t1"))
        world.make_older(first, seconds=601)
        second = world.enqueue(world.job(guard, trade_id="t1"))
        assert world.execution(second).status == "queued"

    def test_one_that_waits_for_the_account_is_one(self, world: World, account: Account, guard: str) -> None:
        world.storage.run(
            "INSERT INTO axisor_leases (account_id, execution_id, worker_id, fence, until) VALUES (?,?,?,?,{later})",
            account.id,
            "another",
            "worker",
            1,
            60,
        )
        first = world.run(guard, trade_id="t1")
        assert first["waitingFor"] == "lease"
        second = api.get_result(world.enqueue(world.job(guard, trade_id="t1")))
        assert second["duplicateOf"] == first["executionId"]

    def test_so_is_one_that_a_pause_holds_before_it_looked_at_anything(
        self, world: World, account: Account, guard: str
    ) -> None:
        """Else jobs pile up behind a pause, and all of them act when it ends."""
        trade_id = world.open_trade(account)
        pause(world.storage, "all")
        held = world.run(guard, trade_id=trade_id)
        assert held["waitingFor"] == "paused"
        others = [world.enqueue(world.job(guard, trade_id=trade_id)) for _ in range(3)]
        assert statuses(world, others) == ["cancelled"] * 3
        resume(world.storage, "all")
        with world.changes() as changes:
            assert world.go_on(held["executionId"])["status"] == "completed"
        assert changes.kinds == ["add_margin"]

    def test_so_is_one_that_waits_for_the_remainder_of_its_trade(
        self, world: World, account: Account, guard: str
    ) -> None:
        trade_id = world.open_trade(account)
        world.paper.add_fault("status_before", route="POST /v3/futures/isolated/trade", status=503, count=1)
        half = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        reduced = world.run(half, trade_id=trade_id)
        held = world.run(guard, trade_id=trade_id)
        assert (held["waitingFor"], world.actions(held["executionId"])) == ("reconcile", [])
        others = [world.enqueue(world.job(guard, trade_id=trade_id)) for _ in range(3)]
        assert statuses(world, others) == ["cancelled"] * 3
        assert world.settle(reduced["executionId"])["status"] == "completed"
        with world.changes() as changes:
            assert world.go_on(held["executionId"])["status"] == "completed"
        assert changes.kinds == ["add_margin"]

    def test_so_is_one_that_is_held_before_it_has_sent_anything(
        self, world: World, account: Account, puppet: Puppet, guard: str
    ) -> None:
        """It is decided again when it goes on, as if it had not been decided before."""
        trade_id = world.open_trade(account)
        puppet.decision = act(AddMargin(trade_id, 100))
        world.paper.add_fault("drop_before", mutating=True, count=1)
        assert world.run(world.automation(account, "puppet", CONFIG))["waitingFor"] == "reconcile"
        held = world.run(guard, trade_id=trade_id)
        (planned,) = world.actions(held["executionId"])
        assert (held["waitingFor"], planned.status) == ("reconcile", "planned")
        others = [world.enqueue(world.job(guard, trade_id=trade_id)) for _ in range(3)]
        assert {api.get_result(one).get("duplicateOf") for one in others} == {held["executionId"]}

    def test_one_that_has_sent_something_is_none(self, world: World, account: Account, guard: str) -> None:
        trade_id = world.open_trade(account)
        world.paper.add_fault("drop_before", mutating=True, count=1)
        begun = world.run(guard, trade_id=trade_id)
        assert (begun["status"], begun["waitingFor"]) == ("waiting", "reconcile")
        fresh = world.enqueue(world.job(guard, trade_id=trade_id))
        assert world.execution(fresh).status == "queued"

    def test_one_that_sends_something_while_it_is_looked_at_is_none(
        self, world: World, account: Account, guard: str
    ) -> None:
        if world.storage.is_sqlite:
            pytest.skip("SQLite's writers wait for each other")
        trade_id = world.open_trade(account)
        held = world.enqueue(world.job(guard, trade_id=trade_id))
        world.storage.run(
            "UPDATE axisor_executions SET status = 'waiting', wait_for = 'reconcile', started_at = {now}, "
            "plan_version = 1 WHERE id = ?",
            held,
        )
        taken: list[str] = []
        comes = threading.Thread(target=lambda: taken.append(world.enqueue(world.job(guard, trade_id=trade_id))))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        run = Storage(world.settings.require_database())
        with run.write():
            run.run("UPDATE axisor_executions SET looks = looks + 1 WHERE id = ?", held)
            run.run(
                "INSERT INTO axisor_actions (execution_id, seq, plan_version, group_index, step_index, kind, params, "
                "automation_id, account_id, status, created_at) VALUES (?,1,1,0,0,'AddMargin','{}',?,?,?,{now})",
                *(held, guard, account.id, "unknown"),
            )
            comes.start()
            until(lambda: world.storage.one(waits))
        comes.join(30)
        run.close()
        assert statuses(world, taken) == ["queued"]


class TestDeadline:
    def test_the_one_that_waits_lives_as_long_as_the_one_it_stands_for(self, world: World, guard: str) -> None:
        first = world.enqueue(world.job(guard, trade_id="t1"))
        world.make_older(first, seconds=590)
        before = world.execution(first).expires_at
        second = world.enqueue(world.job(guard, trade_id="t1"))
        after = world.execution(first).expires_at
        assert before is not None
        assert after is not None
        assert timedelta(seconds=580) < after - before < timedelta(seconds=600)
        assert abs((after - (world.execution(second).expires_at or before)).total_seconds()) < 5

    def test_it_is_never_shortened(self, world: World, guard: str) -> None:
        first = world.enqueue(world.job(guard, trade_id="t1"))
        before = world.execution(first).expires_at
        world.enqueue(world.job(guard, trade_id="t1", max_age=5))
        assert world.execution(first).expires_at == before


class TestAtOnce:
    def test_of_many_that_come_at_once_one_is_queued(self, world: World, guard: str) -> None:
        start = threading.Barrier(8)
        ids: list[str] = []
        errors: list[BaseException] = []

        def take() -> None:
            try:
                start.wait(10)
                ids.extend(world.enqueue(world.job(guard, trade_id="t1")) for _ in range(3))
            except BaseException as error:  # noqa: BLE001  shown by the test
                errors.append(error)

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert len(ids) == 24
        assert sorted(statuses(world, ids)) == ["cancelled"] * 23 + ["queued"]
        (queued,) = (one for one in ids if world.execution(one).status == "queued")
        assert {api.get_result(one)["duplicateOf"] for one in ids if one != queued} == {queued}
