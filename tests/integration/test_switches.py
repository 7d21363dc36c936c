"""Switches: stop means stop, what waits goes on at resume, and what reduces risk may be let through."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from axisor_executor.automation import AddMargin, CancelOrder, CashIn, OpenPosition, SetStopLoss, SetTakeProfit, act
from axisor_executor.errors import AxisorError, InvalidJob, NotFound
from axisor_executor.run import points
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage import connection, switches
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.switches import Scope
from axisor_executor.switching import CLOCK_TOLERANCE_SECONDS, Paused, begin, found, is_settled, pause, resume
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.puppet import CONFIG, Puppet

PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
ENTRY = {"side": "b", "quantity": 100}
SCOPES = ("all", "exchange", "account", "automation")


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    world.restart(puppet.plugin, retries=dict.fromkeys(("auto_entry", "margin_guard", "tp_sl", "puppet"), PATIENT))
    return world.account()


@pytest.fixture
def trade_id(world: World, account: Account) -> str:
    return world.open_trade(account)


@pytest.fixture
def halve(world: World, account: Account) -> str:
    return world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})


def is_held(result: dict[str, Any], code: str = "paused") -> bool:
    return (result["status"], result.get("waitingFor"), result["error"]["code"]) == ("waiting", "paused", code)


@contextmanager
def at(point: str, do: Callable[[], object], *, after: int = 0) -> Iterator[None]:
    """Do something when a run has reached a point, once, after it was passed so often."""
    passed = 0

    def listener(reached: str) -> None:
        nonlocal passed
        if reached == point:
            passed += 1
            if passed == after + 1:
                do()

    points.listeners.append(listener)
    try:
        yield
    finally:
        points.listeners.remove(listener)


def loosen(storage: Storage, scope: Scope, scope_id: str) -> None:
    switches.put(storage, scope, scope_id, "reduce_only", None)


def scope_id(scope: str, account: Account, automation_id: str) -> str:
    return {"all": "", "exchange": "lnmarkets", "account": account.id, "automation": automation_id}[scope]


class TestScopes:
    @pytest.mark.parametrize("scope", SCOPES)
    def test_nothing_is_sent_nor_even_read_in_it(self, world: World, account: Account, scope: Any) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        pause(world.storage, scope, scope_id(scope, account, entry))
        with world.changes() as changes:
            held = world.run(entry)
            assert is_held(held)
            assert is_held(world.go_on(held["executionId"]))
        assert (changes.asked, changes.sent) == (set(), [])
        assert resume(world.storage, scope, scope_id(scope, account, entry))
        assert world.go_on(held["executionId"])["status"] == "completed"

    @pytest.mark.parametrize("scope", ["exchange", "account", "automation"])
    def test_what_is_outside_goes_on(self, world: World, account: Account, scope: Any) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        switches.put(world.storage, scope, "another", "paused", None)
        assert world.run(entry)["status"] == "completed"

    def test_another_account_and_another_automation_go_on(self, world: World, account: Account) -> None:
        first, second = (world.automation(account, "auto_entry", ENTRY) for _ in range(2))
        other = world.automation(world.account(name="Other"), "auto_entry", ENTRY)
        pause(world.storage, "automation", first)
        assert is_held(world.run(first))
        assert world.run(second)["status"] == "completed"
        pause(world.storage, "account", account.id)
        assert is_held(world.run(second))
        assert world.run(other)["status"] == "completed"

    def test_several_switches_all_have_to_go(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        pause(world.storage, "all")
        pause(world.storage, "account", account.id)
        held = world.run(entry)
        assert resume(world.storage, "all")
        assert is_held(world.go_on(held["executionId"]))
        assert resume(world.storage, "account", account.id)
        assert world.go_on(held["executionId"])["status"] == "completed"

    def test_a_switch_that_is_set_again_takes_the_new_mode(self, world: World, account: Account) -> None:
        for mode in ("paused", "reduce_only"):
            pause(world.storage, "all", mode=mode, reason=mode)
        (found,) = switches.listed(world.storage)
        assert (found.scope, found.scope_id, found.mode, found.reason) == ("all", "", "reduce_only", "reduce_only")

    @pytest.mark.parametrize(("scope", "id_"), [("all", "x"), ("account", ""), ("exchange", ""), ("automation", "")])
    def test_a_scope_that_makes_no_sense(self, world: World, scope: Any, id_: str) -> None:
        with pytest.raises(InvalidJob) as caught:
            pause(world.storage, scope, id_)
        assert (caught.value.status, caught.value.code) == (400, "invalid_scope")
        assert switches.listed(world.storage) == []

    @pytest.mark.parametrize(
        ("scope", "id_", "told"),
        [
            ("Account", "a", "a scope is all, exchange, account or automation, not 'Account'"),
            ("user", "a", "not 'user'"),
            (["all"], "", "not ['all']"),
            ("account", "", "scope account needs an id"),
            ("all", "a", "scope all takes no id"),
        ],
    )
    def test_what_is_wrong_with_a_scope_is_told_before_anything_is_done(
        self, world: World, scope: Any, id_: str, told: str
    ) -> None:
        switches.put(world.storage, scope if isinstance(scope, str) else "all", id_, "paused", None)
        before = switches.listed(world.storage)
        for do in (pause, resume):
            with pytest.raises(InvalidJob, match=re.escape(told)) as caught:
                do(world.storage, scope, id_)
            assert (caught.value.status, caught.value.code) == (400, "invalid_scope")
        assert switches.listed(world.storage) == before

    @pytest.mark.parametrize("mode", ["pause", "Paused", "", None])
    def test_a_mode_that_there_is_not(self, world: World, mode: Any) -> None:
        with pytest.raises(InvalidJob, match="a mode is paused or reduce_only, not ") as caught:
            pause(world.storage, "all", mode=mode)
        assert (caught.value.status, caught.value.code) == (400, "invalid_mode")
        assert switches.listed(world.storage) == []

    def test_an_id_may_be_a_uuid(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        scopes: list[tuple[Any, str]] = [("account", account.id), ("automation", entry)]
        for scope, own in scopes:
            assert pause(world.storage, scope, UUID(own)).scope_id == own
            assert is_held(world.run(entry))
            assert resume(world.storage, scope, UUID(own))
        with pytest.raises(NotFound):
            pause(world.storage, "exchange", UUID(account.id))

    @pytest.mark.parametrize("scope", ["exchange", "account", "automation"])
    def test_an_id_may_be_nothing_else(self, world: World, scope: Any) -> None:
        wrong: Any
        for wrong in (7, None):
            for do in (pause, resume):
                with pytest.raises(InvalidJob, match="an id is a text or a UUID, got "):
                    do(world.storage, scope, wrong)
        assert switches.listed(world.storage) == []

    @pytest.mark.parametrize("scope", ["exchange", "account", "automation"])
    def test_what_is_not_there_is_not_paused(self, world: World, account: Account, scope: Any) -> None:
        del account  # with it, the exchange is there
        with pytest.raises(NotFound) as caught:
            pause(world.storage, scope, "another")
        assert (caught.value.status, caught.value.code) == (404, "scope_not_found")
        assert switches.listed(world.storage) == []

    def test_a_switch_is_on_disk_when_it_is_set_or_gone(self, world: World, commits: list[str]) -> None:
        pause(world.storage, "all")
        resume(world.storage, "all")
        assert commits == ["on"] * len(commits) != []

    def test_resuming_what_is_not_paused_changes_nothing(self, world: World, account: Account) -> None:
        pause(world.storage, "all")
        assert not resume(world.storage, "account", account.id)
        assert len(switches.listed(world.storage)) == 1


class TestWaiting:
    def test_it_is_due_at_once_when_the_switch_is_gone(self, world: World, account: Account) -> None:
        pause(world.storage, "all")
        held = world.run(world.automation(account, "auto_entry", ENTRY))["executionId"]
        world.storage.run("UPDATE axisor_executions SET due_at = {later} WHERE id = ?", 500, held)
        assert world.due_in(held) > 400
        assert world.parts.recovery.look() == 0
        resume(world.storage, "all")
        assert world.due_in(held) <= 0
        assert world.parts.recovery.look() == 1
        assert world.execution(held).status == "queued"
        world.parts.executor.run(held)
        assert world.execution(held).status == "completed"

    def test_it_spends_no_try_however_often_it_looks(self, world: World, account: Account) -> None:
        pause(world.storage, "all")
        held = world.run(world.automation(account, "auto_entry", ENTRY))["executionId"]
        for _ in range(10):
            assert is_held(world.go_on(held))
        assert world.execution(held).tries == 0
        assert world.alerts == []
        resume(world.storage, "all")
        assert world.go_on(held)["status"] == "completed"

    def test_it_expires_when_the_pause_lasts_too_long(self, world: World, account: Account) -> None:
        pause(world.storage, "account", account.id)
        held = world.run(world.automation(account, "auto_entry", ENTRY))["executionId"]
        world.make_older(held, seconds=301)
        with world.changes() as changes:
            result = world.go_on(held)
            resume(world.storage, "account", account.id)
            result = world.go_on(held) if result["status"] == "waiting" else result
        assert (result["status"], result["error"]["code"], result["error"]["status"]) == ("expired", "expired", 503)
        assert changes.sent == []

    def test_a_pause_behind_the_decision_holds_it_and_it_is_decided_again(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        puppet.decision = act(OpenPosition("buy", 100, Decimal(10)))
        entry = world.automation(account, "puppet", CONFIG)
        with at("planned", lambda: pause(world.storage, "all")), world.changes() as changes:
            held = world.run(entry)
        assert is_held(held)
        assert changes.sent == []
        puppet.decision = act(OpenPosition("buy", 7, Decimal(10)))
        resume(world.storage, "all")
        result = world.go_on(held["executionId"])
        assert world.trade(account, result["tradeId"])["quantity"] == 7

    def test_of_a_lost_answer_nothing_is_read_in_scope_and_it_is_settled_at_resume(
        self, world: World, account: Account
    ) -> None:
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))
        assert lost["waitingFor"] == "reconcile"
        paused = pause(world.storage, "all")
        assert [one.execution_id for one in paused.already_out] == [lost["executionId"]]
        resume(world.storage, "all")
        with world.changes() as changes:
            assert world.settle(lost["executionId"])["status"] == "completed"
        assert changes.sent == []


class TestReduceOnly:
    @pytest.fixture(autouse=True)
    def reduce_only(self, world: World, trade_id: str) -> None:
        pause(world.storage, "all", mode="reduce_only")

    @pytest.mark.parametrize(
        ("automation_type", "config", "effects"),
        [
            ("margin_guard", {"action": "close_position"}, ["close"]),
            ("margin_guard", {"action": "reduce_position", "reduce_percentage": 50}, ["close", "open"]),
            ("margin_guard", {"action": "add_margin", "add_margin_amount": 100}, ["add_margin"]),
            ("tp_sl", {"action": "update_sl", "new_stoploss": 48_000}, ["set_stoploss"]),
            ("tp_sl", {"action": "update_tp", "new_takeprofit": 60_000}, ["set_takeprofit"]),
        ],
        ids=lambda value: value.get("action", "") if isinstance(value, dict) else "",
    )
    def test_what_reduces_risk_passes(
        self,
        world: World,
        account: Account,
        trade_id: str,
        automation_type: str,
        config: dict[str, Any],
        effects: list[str],
    ) -> None:
        with world.changes() as changes:
            result = world.run(world.automation(account, automation_type, config), trade_id=trade_id)
        assert result["status"] == "completed", result
        assert changes.kinds == effects

    def test_entries_and_cash_ins_wait(self, world: World, account: Account, puppet: Puppet, trade_id: str) -> None:
        automation_id = world.automation(account, "puppet", CONFIG)
        for action in (OpenPosition("buy", 100, Decimal(10)), CashIn(trade_id, 100)):
            puppet.decision = act(action)
            with world.changes() as changes:
                held = world.run(automation_id)
            assert is_held(held, "reduce_only"), action
            assert changes.sent == []
        resume(world.storage, "all")
        assert world.go_on(held["executionId"])["status"] == "completed"

    def test_orders_may_be_cancelled(self, world: World, account: Account, puppet: Puppet) -> None:
        resume(world.storage, "all")
        order = world.open_trade(account, trigger_type="limit", trigger_price=40_000)
        pause(world.storage, "all", mode="reduce_only")
        puppet.decision = act(CancelOrder(order))
        assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "completed"

    def test_the_steps_before_one_that_is_held_are_carried_out(
        self, world: World, account: Account, puppet: Puppet, trade_id: str
    ) -> None:
        puppet.decision = act(
            SetStopLoss(trade_id, Decimal(48_000)),
            AddMargin(trade_id, 100),
            SetTakeProfit(trade_id, Decimal(60_000)),
            CashIn(trade_id, 100),
        )
        with world.changes() as changes:
            held = world.run(world.automation(account, "puppet", CONFIG))
            assert is_held(held, "reduce_only")
            resume(world.storage, "all")
            assert world.go_on(held["executionId"])["status"] == "completed"
        assert changes.kinds == ["set_stoploss", "add_margin", "set_takeprofit", "cash_in"]

    def test_a_full_pause_of_the_account_wins(self, world: World, account: Account, trade_id: str) -> None:
        pause(world.storage, "account", account.id)
        close = world.automation(account, "margin_guard", {"action": "close_position"})
        assert is_held(world.run(close, trade_id=trade_id))


class TestBetweenTheStepsOfAReduce:
    def hold(self, world: World, halve: str, trade_id: str) -> dict[str, Any]:
        """Run a reduce during which everything is paused when its close has been settled."""
        with at("settled", lambda: pause(world.storage, "all")):
            return world.run(halve, trade_id=trade_id)

    def test_the_reopen_waits_and_goes_on_at_resume(
        self, world: World, account: Account, halve: str, trade_id: str
    ) -> None:
        with world.changes() as changes:
            held = self.hold(world, halve, trade_id)
            assert is_held(held)
            assert changes is not None
            for _ in range(3):
                assert is_held(world.go_on(held["executionId"]))
            resume(world.storage, "all")
            result = world.go_on(held["executionId"])
        assert result["status"] == "completed"
        assert changes.kinds == ["close", "open"]
        assert world.trade(account, result["result"]["newTradeId"])["quantity"] == 50

    def test_it_is_alerted_once(self, world: World, halve: str, trade_id: str) -> None:
        held = self.hold(world, halve, trade_id)["executionId"]
        for _ in range(3):
            world.go_on(held)
        assert world.alerts == ["half_done_reduce"]
        (alert,) = world.watcher.alerts
        assert (alert.severity, alert.execution_id, alert.account_name) == ("critical", held, "Main Account")

    def test_also_where_the_job_had_been_held_before_it_began(self, world: World, halve: str, trade_id: str) -> None:
        pause(world.storage, "all")
        held = world.run(halve, trade_id=trade_id)["executionId"]
        assert world.alerts == []
        resume(world.storage, "all")
        with at("settled", lambda: pause(world.storage, "all")):
            assert is_held(world.go_on(held))
        for _ in range(3):
            world.go_on(held)
        assert world.alerts == ["half_done_reduce"]

    def test_the_jobs_own_deadline_does_not_count_any_more(self, world: World, halve: str, trade_id: str) -> None:
        held = self.hold(world, halve, trade_id)["executionId"]
        world.make_older(held, seconds=3_600)
        resume(world.storage, "all")
        assert world.go_on(held)["status"] == "completed"

    def test_behind_its_own_deadline_it_is_not_reopened(self, world: World, halve: str, trade_id: str) -> None:
        held = self.hold(world, halve, trade_id)["executionId"]
        world.make_older(held, seconds=3_600)
        world.storage.run("UPDATE axisor_actions SET created_at = {later} WHERE execution_id = ?", -301, held)
        resume(world.storage, "all")
        with world.changes() as changes:
            result = world.go_on(held)
        assert (result["status"], result["error"]["code"]) == ("failed", "reopen_too_late")
        assert result["result"]["reopened"] is False
        assert changes.sent == []
        assert world.alerts == ["half_done_reduce", "half_done_reduce"], "held, and then given up"

    def test_reduce_only_does_not_hold_it(self, world: World, halve: str, trade_id: str) -> None:
        with at("settled", lambda: pause(world.storage, "all", mode="reduce_only")):
            assert world.run(halve, trade_id=trade_id)["status"] == "completed"
        assert world.alerts == []


class TestReturnsWhenNothingCanLeave:
    @pytest.fixture
    def pool(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(4) as pool:
            yield pool

    @contextmanager
    def stopped_at(self, point: str, world: World, pool: ThreadPoolExecutor, entry: str) -> Iterator[tuple[Any, Any]]:
        """Start a run and stop it at a point; gives its future, and an event that lets it go on."""
        arrived, go_on = threading.Event(), threading.Event()

        def listener(reached: str) -> None:
            if reached == point:
                arrived.set()
                go_on.wait(30)

        points.listeners.append(listener)
        try:
            run = pool.submit(world.run, entry)
            assert arrived.wait(20)
            yield run, go_on
        finally:
            go_on.set()
            points.listeners.remove(listener)

    def wait_for_switch(self, world: World, paused: Future[Paused]) -> None:
        waiting = threading.Event()
        for _ in range(400):
            if switches.listed(world.storage):
                break
            waiting.wait(0.02)
        assert switches.listed(world.storage)
        assert not paused.done()

    @pytest.mark.parametrize("point", ["sending", "answered"])
    @pytest.mark.parametrize("scope", SCOPES)
    def test_it_waits_for_a_request_that_was_committed_and_lists_it(
        self, world: World, account: Account, pool: ThreadPoolExecutor, point: str, scope: Any
    ) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        with self.stopped_at(point, world, pool, entry) as (run, go_on):
            paused = pool.submit(pause, world.storage, scope, scope_id(scope, account, entry))
            self.wait_for_switch(world, paused)
            go_on.set()
            (out,) = paused.result(20).already_out
            assert run.result(20)["status"] == "completed"
        assert (out.status, out.kind, out.account_id) == ("confirmed", "open_position", account.id)

    @pytest.mark.parametrize(("change", "mode"), [(resume, None), (loosen, "reduce_only")], ids=["gone", "loosened"])
    @pytest.mark.parametrize("scope", ["all", "account"])
    def test_a_switch_that_somebody_else_changes_meanwhile_is_not_told_to_stand(
        self, world: World, account: Account, pool: ThreadPoolExecutor, scope: Any, change: Any, mode: str | None
    ) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        scoped = (scope, scope_id(scope, account, entry))
        with self.stopped_at("sending", world, pool, entry) as (run, go_on):
            paused = pool.submit(pause, world.storage, *scoped)
            self.wait_for_switch(world, paused)
            change(world.storage, *scoped)
            with pytest.raises(AxisorError, match="by somebody else") as caught:
                paused.result(20)
            go_on.set()
            sent = run.result(20)["executionId"]
        error = caught.value
        assert (error.status, error.code, error.details["mode"]) == (409, "switch_changed", mode)
        (out,) = error.details["alreadyOut"]
        assert (out["executionId"], out["action"], out["status"]) == (sent, "open_position", "sending")
        assert f"open_position of execution {sent} (sending)" in error.message

    def test_one_that_is_set_again_meanwhile_has_what_left_in_between_waited_for(
        self, world: World, account: Account, pool: ThreadPoolExecutor
    ) -> None:
        """The switch stands, but not all the time: what it did not hold back must not be called stopped."""
        entry = world.automation(account, "auto_entry", ENTRY)
        pausing = begin(world.storage, "all", "", mode="paused", reason=None, window_seconds=30)
        resume(world.storage, "all")
        with self.stopped_at("sending", world, pool, entry) as (run, go_on):
            switches.put(world.storage, "all", "", "paused", None)
            assert not is_settled(world.storage, pausing)
            assert found(world.storage, pausing) is None
            go_on.set()
            run.result(20)
        assert is_settled(world.storage, pausing)
        assert found(world.storage, pausing) == Paused((), "", None)

    def test_one_that_is_tightened_meanwhile_stands(
        self, world: World, account: Account, pool: ThreadPoolExecutor
    ) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        with self.stopped_at("sending", world, pool, entry) as (_, go_on):
            paused = pool.submit(pause, world.storage, "all", mode="reduce_only")
            self.wait_for_switch(world, paused)
            switches.put(world.storage, "all", "", "paused", None)
            go_on.set()
            assert [one.status for one in paused.result(20).already_out] == ["confirmed"]

    def test_what_is_not_committed_yet_does_not_leave_and_is_not_waited_for(
        self, world: World, account: Account, pool: ThreadPoolExecutor
    ) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        with self.stopped_at("planned", world, pool, entry) as (run, go_on):
            assert pool.submit(pause, world.storage, "all").result(20).already_out == ()
            with world.changes() as changes:
                go_on.set()
                assert is_held(run.result(20))
        assert changes.sent == []

    def test_a_slow_answer_is_waited_for(self, world: World, account: Account, pool: ThreadPoolExecutor) -> None:
        world.paper.add_fault("latency", mutating=True, seconds=4.0, count=1)
        entry = world.automation(account, "auto_entry", ENTRY)
        sent = threading.Event()
        with at("sending", sent.set):
            run = pool.submit(world.run, entry)
            assert sent.wait(20)
            (out,) = pause(world.storage, "all", window_seconds=30).already_out
        assert out.status == "confirmed"
        assert run.result(20)["status"] == "completed"

    def test_other_scopes_are_not_waited_for(self, world: World, account: Account, pool: ThreadPoolExecutor) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        other = world.account(name="Other")
        with self.stopped_at("sending", world, pool, entry):
            assert pool.submit(pause, world.storage, "account", other.id).result(20).already_out == ()

    def test_reduce_only_does_not_wait_for_what_it_lets_pass(
        self, world: World, account: Account, trade_id: str, puppet: Puppet, pool: ThreadPoolExecutor
    ) -> None:
        puppet.decision = act(AddMargin(trade_id, 100))
        with self.stopped_at("sending", world, pool, world.automation(account, "puppet", CONFIG)) as (run, go_on):
            paused = pool.submit(pause, world.storage, "all", mode="reduce_only").result(20)
            assert [one.status for one in paused.already_out] == ["sending"]
            go_on.set()
            assert run.result(20)["status"] == "completed"

    def test_a_request_whose_signature_has_expired_is_not_waited_for(
        self, world: World, account: Account, pool: ThreadPoolExecutor
    ) -> None:
        """Its sender may be frozen for good; what it holds is dead on arrival."""
        entry = world.automation(account, "auto_entry", ENTRY)
        with self.stopped_at("sending", world, pool, entry) as (run, go_on), world.changes() as changes:
            paused = pool.submit(pause, world.storage, "all", window_seconds=30)
            self.wait_for_switch(world, paused)
            # As if the request had been committed 36 s ago: a window of 30 s, and 5 s for clocks that differ.
            world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'sending'", -30)
            assert not paused.done()
            world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'sending'", -36)
            (out,) = paused.result(20).already_out
            assert out.status == "sending"
            threading.Event().wait(2.1)  # longer than a request may take to leave behind its commit
            go_on.set()
            late = run.result(20)
        assert (late["status"], late["error"]["code"]) == ("waiting", "held_up")
        assert changes.sent == [], "nothing left after the pause had returned"

    def test_a_sender_that_is_frozen_in_its_commit_is_waited_for(
        self, world: World, database_url: str, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Longer than anyone waits for a lock otherwise: the server ends its transaction after ten seconds."""
        if world.storage.is_sqlite:
            pytest.skip("SQLite's writers wait for each other")
        monkeypatch.setattr(connection, "BEGIN", connection.BEGIN.replace("'5s'", "'10ms'"))
        with closing(psycopg2.connect(database_url)) as frozen, frozen.cursor() as cursor:
            cursor.execute(f"SELECT {switches.held_still(is_sqlite=False)}")
            paused = pool.submit(pause, world.storage, "all")
            waits = (
                "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND NOT granted "
                "AND clock_timestamp() - query_start > interval '50 ms' AND datname = current_database()"
            )
            until(lambda: world.storage.rows(waits))
            assert not paused.done()
        assert paused.result(timeout=10).already_out == ()
        assert [one.scope for one in switches.listed(world.storage)] == ["all"]

    def test_a_lost_answer_is_listed_and_not_waited_for(self, world: World, account: Account) -> None:
        world.paper.add_fault("drop_before", mutating=True, count=1)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))
        (out,) = pause(world.storage, "all", window_seconds=600).already_out
        assert (out.execution_id, out.status) == (lost["executionId"], "unknown")

    def test_one_that_this_version_can_not_read_is_listed_too(self, world: World, account: Account) -> None:
        world.paper.add_fault("drop_before", mutating=True, count=1)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))["executionId"]
        world.storage.run("UPDATE axisor_actions SET kind = 'Hedge', params = ?", {"kind": "Hedge"})
        (out,) = pause(world.storage, "all", window_seconds=600).already_out
        assert (out.execution_id, out.account_id, out.kind, out.status) == (lost, account.id, "Hedge", "unknown")

    def test_and_it_is_waited_for_since_it_may_add_risk(self, world: World, account: Account) -> None:
        world.paper.add_fault("drop_before", mutating=True, count=1)
        world.run(world.automation(account, "auto_entry", ENTRY))
        sql = "UPDATE axisor_actions SET kind = 'Hedge', params = ?, status = 'sending', sent_at = {later}"
        world.storage.run(sql, {"kind": "Hedge"}, -CLOCK_TOLERANCE_SECONDS + 1)
        (out,) = pause(world.storage, "all", mode="reduce_only", window_seconds=0).already_out
        assert (world.storage.now() - out.sent_at).total_seconds() > CLOCK_TOLERANCE_SECONDS
