"""What a person may do: try again what did not end well, or say what became of it. Never twice, never by guessing."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor import api, interventions
from axisor_executor.automation import Act, AddMargin, ClosePosition, Group, OpenPosition, act
from axisor_executor.errors import AxisorError, Changed, CircuitOpen, InvalidJob, NotFound, SettingsError, Unavailable
from axisor_executor.exchange.client import LNMarketsClient
from axisor_executor.run import by_hand
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage import actions
from axisor_executor.switching import pause, resume
from tests.harness.cross import Owner
from tests.harness.world import Account, World
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet

ONCE = RetryPolicy(tries=1, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
ENTRY = {"side": "b", "quantity": 100}
OPENING = "POST /v3/futures/isolated/trade"
CLOSING = "POST /v3/futures/isolated/trade/close"
ADDING = "POST /v3/futures/isolated/trade/add-margin"
AT_RISK = 45_900


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    """An account of which nothing is tried again by itself."""
    world.restart(puppet.plugin, retries=dict.fromkeys(("auto_entry", "margin_guard", "tp_sl", "puppet"), ONCE))
    return world.account()


def retry(world: World, execution_id: str) -> dict[str, Any]:
    """Try an execution again, and let it go on to its end."""
    again = interventions.retry(world.parts.opener, execution_id, max_age_seconds=300)
    assert (again.id, again.status, again.result, again.error) == (execution_id, "queued", None, None)
    return world.settle(execution_id)


def guard(world: World, account: Account, action: str, **config: Any) -> str:
    return world.automation(account, "margin_guard", {"action": action, **config})


@pytest.fixture
def entry(world: World, account: Account) -> str:
    return world.automation(account, "auto_entry", ENTRY)


def make_uncertain(world: World, automation_id: str, *, fault: str, route: str | None = None, **job: Any) -> str:
    """Lose an answer, and give up looking for what became of it."""
    where = {"route": route} if route else {"mutating": True}
    world.paper.add_fault(fault, count=1, **where)
    lost = world.run(automation_id, **job)
    assert lost.get("waitingFor") == "reconcile", lost
    # An hour has passed in which the exchange could not be asked.
    world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -3_700)
    world.paper.add_fault("status_before", status=503)
    result = world.go_on(lost["executionId"])
    world.paper.clear_faults()
    assert result["status"] == "uncertain", result
    return str(lost["executionId"])


def running(world: World, account: Account) -> list[str]:
    """Return the trades that run on the exchange."""
    return [trade["id"] for trade in world.paper.trades(account.paper) if trade["running"]]


def lifetime(world: World) -> float:
    """Return for how many seconds a request may be carried out, at most."""
    settings = world.settings
    window = settings.signature_window_seconds + settings.signature_margin_seconds
    return window + settings.max_clock_skew_seconds + 1.0  # an instant by which clocks are compared is of whole seconds


@contextmanager
def others_keys(world: World, account: Account) -> Iterator[None]:
    """Give an account the keys of another exchange user while the block runs."""
    other = world.paper.create_account("Other")
    keys = "UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?"
    world.storage.run(keys, world.written(dataclasses.replace(account, paper=other)), account.id)
    yield
    world.storage.run(keys, world.written(account), account.id)


def refused(error: type[AxisorError], code: str, call: Callable[[], object]) -> AxisorError:
    """Have something refused with a code, and return the error."""
    with pytest.raises(error) as caught:
        call()
    assert caught.value.code == code
    return caught.value


class TestRetry:
    def test_one_that_failed(self, world: World, entry: str) -> None:
        world.paper.add_fault("status_before", status=503, mutating=True, count=1)
        failed = world.run(entry)
        assert failed["status"] == "failed"
        with world.changes() as changes:
            assert retry(world, failed["executionId"])["status"] == "completed"
        assert changes.kinds == ["open"]

    def test_one_that_expired_gets_a_fresh_deadline(self, world: World, entry: str) -> None:
        taken = world.enqueue(world.job(entry))
        world.make_older(taken, seconds=301)
        assert world.go_on(taken)["status"] == "expired"
        assert retry(world, taken)["status"] == "completed"

    def test_one_that_was_cancelled(self, world: World, account: Account, entry: str) -> None:
        world.storage.run('UPDATE "Automation" SET is_active = ? WHERE id = ?', False, entry)
        cancelled = world.run(entry)
        assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "disabled")
        assert retry(world, cancelled["executionId"])["status"] == "cancelled", "it is switched off still"
        world.storage.run('UPDATE "Automation" SET is_active = ? WHERE id = ?', True, entry)
        assert retry(world, cancelled["executionId"])["status"] == "completed"

    def test_a_duplicate(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        automation_id = guard(world, account, "add_margin", add_margin_amount=100)
        ids = [world.enqueue(world.job(automation_id, trade_id=trade_id)) for _ in range(2)]
        assert world.go_on(ids[0])["status"] == "completed"
        assert retry(world, ids[1])["status"] == "completed"
        assert world.trade(account, trade_id)["margin"] == 20_200

    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_an_uncertain_one_is_reconciled_first(self, world: World, entry: str, fault: str) -> None:
        with world.changes() as changes:
            execution_id = make_uncertain(world, entry, fault=fault)
            world.paper.clear_faults()
            # What the exchange shows now decides.
            world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -1)
            result = retry(world, execution_id)
            if fault == "drop_before":  # shown not to have been carried out; its only try is spent
                assert (result["status"], result["error"]["code"]) == ("failed", "not_executed")
                result = retry(world, execution_id)
        assert result["status"] == "completed", result
        assert changes.kinds == ["open"]

    def test_what_took_effect_is_not_done_again(self, world: World, account: Account, puppet: Puppet) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        puppet.decision = Act(
            groups=tuple(Group("top_up", (AddMargin(one, 100),), one) for one in trades),
            action="top_up",
            lists_trades=True,
        )
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        failed = world.run(world.automation(account, "puppet", CONFIG))
        assert sorted(one["status"] for one in failed["trades"]) == ["completed", "failed"]
        with world.changes() as changes:
            result = retry(world, failed["executionId"])
        assert result["status"] == "completed"
        assert len(changes.sent) == 1
        assert [world.trade(account, one)["margin"] for one in trades] == [20_100, 20_100]
        assert {one["tradeId"] for one in result["trades"]} == set(trades)

    def test_nor_does_it_stand_for_what_could_not_be_tried_again(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        groups = tuple(Group("top_up", (AddMargin(one, 100),), one) for one in trades)
        puppet.decision = Act(groups=groups, action="top_up", lists_trades=True)
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        failed = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
        interventions.retry(world.parts.opener, failed, max_age_seconds=300)
        world.make_older(failed, seconds=301)
        assert world.go_on(failed)["status"] == "expired"
        with world.changes() as changes:
            assert retry(world, failed)["status"] == "completed"
        assert len(changes.sent) == 1

    def test_of_a_half_done_reduce_the_remainder_is_opened(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        with world.changes() as changes:
            failed = world.run(halve, trade_id=old)
            assert failed["result"]["reopened"] is False
            world.storage.run("UPDATE axisor_actions SET created_at = {later}", -400)  # nor is it too late for a person
            result = retry(world, failed["executionId"])
        assert result["status"] == "completed"
        assert changes.kinds == ["close", "open"]
        new = result["result"]["newTradeId"]
        assert world.trade(account, new)["quantity"] == 50
        assert world.run(guard(world, account, "close_position"), trade_id=old)["tradeId"] == new

    @pytest.mark.parametrize("why", ["the reopen is refused", "a person has resolved the close"])
    def test_and_the_steps_behind_it_are_carried_out(
        self, world: World, account: Account, puppet: Puppet, why: str
    ) -> None:
        old, other = (world.open_trade(account) for _ in range(2))
        reopen = OpenPosition("buy", 50, Decimal(10), replaces=old)
        group = Group("halve", (ClosePosition(old), reopen, AddMargin(other, 100)), old)
        puppet.decision = Act(groups=(group,), action="halve", lists_trades=False)
        automation_id = world.automation(account, "puppet", CONFIG)
        with world.changes() as changes:
            if why == "the reopen is refused":
                world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
                failed = str(world.run(automation_id)["executionId"])
            else:
                failed = make_uncertain(world, automation_id, fault="drop_after", route=CLOSING)
                interventions.resolve(world.parts.opener, failed, "executed")
            assert retry(world, failed)["status"] == "completed"
        assert changes.kinds == ["close", "open", "add_margin"]

    def test_groups_that_failed_beside_it_are_decided_anew_by_the_next_retry(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        old, other = (world.open_trade(account) for _ in range(2))
        reopen = OpenPosition("buy", 50, Decimal(10), replaces=old)
        groups = Group("halve", (ClosePosition(old), reopen), old), Group("top_up", (AddMargin(other, 100),), other)
        puppet.decision = Act(groups=groups, action="both", lists_trades=True)
        for route in (OPENING, ADDING):
            world.paper.add_fault("status_before", route=route, status=400, count=1)
        told = []
        with world.changes() as changes:
            result = world.run(world.automation(account, "puppet", CONFIG))
            for _ in range(2):
                result = retry(world, result["executionId"])
                told.append([one["status"] for one in result["trades"]])
        assert told == [["completed", "failed"], ["completed", "completed"]]
        assert changes.kinds == ["close", "open", "add_margin"]

    def test_but_not_in_a_market_that_ran_away(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        failed = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        world.move_price(52_000)
        with world.changes() as changes:
            result = retry(world, failed["executionId"])
        assert (result["status"], result["error"]["code"]) == ("failed", "reopen_slippage")
        assert changes.sent == []

    def test_of_a_reduce_the_trade_log_counts_the_profit_once(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        world.move_price(49_000)
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        failed = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        new = retry(world, failed["executionId"])["tradeId"]
        half_done, reopened = [row for row in world.trade_log() if row.action == "reduce_position"]
        assert (half_done.trade_id, half_done.status) == (old, "exchange_error")
        assert half_done.pnl == world.trade(account, old)["pl"] < 0
        assert (reopened.trade_id, reopened.status, reopened.pnl) == (new, "success", None)
        assert reopened.amount == world.trade(account, new)["margin"]

    @pytest.mark.parametrize("times", [1, 2])
    def test_of_several_trades_only_those_with_something_new_are_logged_again(
        self, world: World, account: Account, times: int
    ) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        world.move_price(AT_RISK)
        world.paper.add_fault("status_before", route=CLOSING, status=400, count=1)
        result = world.run(guard(world, account, "close_position", scope="all", margin_threshold=90))
        for _ in range(times - 1):
            world.paper.add_fault("status_before", route=CLOSING, status=400, count=1)
            result = retry(world, result["executionId"])
        result = retry(world, result["executionId"])
        assert result["status"] == "completed"
        assert {one["tradeId"] for one in result["trades"]} == set(trades)
        rows = [row for row in world.trade_log() if row.action == "close_position"]
        assert [row.status for row in rows].count("exchange_error") == times
        done = [row for row in rows if row.status == "success"]
        assert sorted(row.trade_id for row in done) == sorted(trades)
        assert sum(row.pnl for row in rows if row.pnl) == sum(world.trade(account, one)["pl"] for one in trades)

    def test_what_was_uncertain_is_logged_with_its_profit_when_it_is_known(
        self, world: World, account: Account
    ) -> None:
        trade_id = world.open_trade(account)
        world.move_price(49_000)
        close = guard(world, account, "close_position")
        uncertain = make_uncertain(world, close, fault="drop_after", trade_id=trade_id)
        world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -1)
        assert retry(world, uncertain)["status"] == "completed"
        rows = [(row.status, row.pnl) for row in world.trade_log() if row.action == "close_position"]
        assert rows == [("exchange_error", None), ("success", world.trade(account, trade_id)["pl"])]

    def test_what_is_over_or_goes_on_is_refused(self, world: World, entry: str) -> None:
        done = world.run(entry)["executionId"]
        pause(world.storage, "all")
        held = world.run(entry)["executionId"]
        resume(world.storage, "all")
        queued = world.enqueue(world.job(entry))
        for execution_id in (done, held, queued):
            before = world.execution(execution_id)
            with pytest.raises(InvalidJob) as caught:
                interventions.retry(world.parts.opener, execution_id, max_age_seconds=300)
            assert (caught.value.status, caught.value.code) == (400, "not_retryable")
            assert world.execution(execution_id) == before

    def test_one_that_is_not_there(self, world: World) -> None:
        with pytest.raises(NotFound):
            interventions.retry(world.parts.opener, "nothing", max_age_seconds=300)

    def test_two_at_once_have_one_effect(self, world: World, entry: str) -> None:
        world.paper.add_fault("status_before", status=400, mutating=True, count=1)
        failed = world.run(entry)["executionId"]
        start, told = threading.Barrier(4), list[str]()

        def try_again() -> None:
            start.wait(10)
            try:
                interventions.retry(world.parts.opener, failed, max_age_seconds=300)
                told.append("again")
            except InvalidJob as error:
                told.append(error.code)
            world.parts.executor.run(failed)

        threads = [threading.Thread(target=try_again) for _ in range(4)]
        with world.changes() as changes:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        assert sorted(told) == ["again"] + ["not_retryable"] * 3
        assert changes.kinds == ["open"]
        assert api.get_result(failed)["status"] == "completed"


@pytest.mark.parametrize("verdict", [None, "executed", "not_executed"])
def test_what_a_person_was_told_is_on_disk(world: World, entry: str, commits: list[str], verdict: Any) -> None:
    uncertain = make_uncertain(world, entry, fault="drop_before" if verdict == "not_executed" else "drop_after")
    commits.clear()
    if verdict is None:
        interventions.retry(world.parts.opener, uncertain, max_age_seconds=300)
    else:
        interventions.resolve(world.parts.opener, uncertain, verdict)
    assert commits == ["on"] * len(commits) != []


class TestResolve:
    @pytest.fixture
    def uncertain(self, world: World, entry: str) -> str:
        return make_uncertain(world, entry, fault="drop_after")

    @pytest.fixture
    def lost(self, world: World, entry: str) -> str:
        """An entry that has not come to the exchange, which nobody knows."""
        return make_uncertain(world, entry, fault="drop_before")

    def test_executed(self, world: World, account: Account, uncertain: str) -> None:
        (trade,) = world.paper.trades(account.paper)
        with world.changes() as changes:
            result = interventions.resolve(world.parts.opener, uncertain, "executed", trade_id=trade["id"])
        assert (result["status"], result["tradeId"]) == ("completed", trade["id"])
        assert "error" not in result
        assert api.get_result(uncertain) == result
        (action,) = world.actions(uncertain)
        assert (action.status, action.new_trade_id) == ("confirmed", trade["id"])
        assert changes.sent == []

    def test_the_trade_is_that_of_the_entry_alone(self, world: World, account: Account, puppet: Puppet) -> None:
        old = world.open_trade(account)
        groups = Group("close", (ClosePosition(old),), old), Group("enter", (OpenPosition("buy", 100, Decimal(10)),))
        puppet.decision = Act(groups=groups, action="both", lists_trades=True)
        world.paper.add_fault("drop_after", route=OPENING, count=1)
        automation_id = world.automation(account, "puppet", CONFIG)
        uncertain = make_uncertain(world, automation_id, fault="drop_after", route=CLOSING)
        (new,) = running(world, account)
        interventions.resolve(world.parts.opener, uncertain, "executed", trade_id=new)
        assert [(one.status, one.new_trade_id) for one in world.actions(uncertain)] == [
            ("confirmed", None),
            ("confirmed", new),
        ]

    def test_what_was_rehearsed_stays_so(self, world: World, account: Account, puppet: Puppet) -> None:
        old = world.open_trade(account)
        groups = Group("close", (ClosePosition(old),), old), Group("enter", (OpenPosition("buy", 100, Decimal(10)),))
        puppet.decision = Act(groups=groups, action="both", lists_trades=True)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        automation_id = world.automation(account, "puppet", CONFIG)
        uncertain = make_uncertain(world, automation_id, fault="drop_after", route=CLOSING)
        rehearse = "UPDATE axisor_actions SET dry_run = ?, request = ?, status = 'planned' WHERE kind = ? "
        world.storage.run(rehearse + "AND execution_id = ?", True, {"side": "buy"}, "OpenPosition", uncertain)
        interventions.resolve(world.parts.opener, uncertain, "executed")
        assert [(one.status, one.is_rehearsed) for one in world.actions(uncertain)] == [
            ("confirmed", False),
            ("planned", True),
        ]

    def refuses_a_trade(self, world: World, uncertain: str, verdict: Any = "executed") -> None:
        before = (world.execution(uncertain), world.actions(uncertain))
        with pytest.raises(InvalidJob) as caught:
            interventions.resolve(world.parts.opener, uncertain, verdict, trade_id="new")
        assert (caught.value.status, caught.value.code) == (400, "not_one_entry")
        assert (world.execution(uncertain), world.actions(uncertain)) == before

    def test_no_trade_is_named_for_several(self, world: World, account: Account, puppet: Puppet) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        groups = tuple(
            Group("halve", (ClosePosition(one), OpenPosition("buy", 50, Decimal(10), replaces=one)), one)
            for one in trades
        )
        puppet.decision = Act(groups=groups, action="halve", lists_trades=True)
        world.paper.add_fault("drop_after", route=OPENING, count=1)
        automation_id = world.automation(account, "puppet", CONFIG)
        uncertain = make_uncertain(world, automation_id, fault="drop_after", route=OPENING)
        self.refuses_a_trade(world, uncertain)
        result = interventions.resolve(world.parts.opener, uncertain, "executed")
        assert result["status"] == "completed"
        rows = world.storage.rows("SELECT old_id, new_id FROM axisor_trade_lineage")
        assert sorted(old for old, _ in rows) == sorted(trades)
        assert sorted(new for _, new in rows) == sorted(running(world, account)), "each is found by its client id"

    def test_nor_for_what_opens_none(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        close = guard(world, account, "close_position")
        self.refuses_a_trade(world, make_uncertain(world, close, fault="drop_after", trade_id=trade_id))

    def test_nor_for_what_was_not_executed(self, world: World, uncertain: str) -> None:
        self.refuses_a_trade(world, uncertain, "not_executed")

    def test_not_executed(self, world: World, lost: str) -> None:
        result = interventions.resolve(world.parts.opener, lost, "not_executed")
        assert (result["status"], result["error"]["code"]) == ("failed", "resolved_by_hand")
        assert world.execution(lost).status == "failed"
        assert [one.status for one in world.actions(lost)] == ["rejected"]

    @pytest.mark.parametrize(("verdict", "fault"), [("executed", "drop_after"), ("not_executed", "drop_before")])
    def test_entries_are_held_until_then_and_free_again(
        self, world: World, entry: str, verdict: Any, fault: str
    ) -> None:
        uncertain = make_uncertain(world, entry, fault=fault)
        with world.changes() as changes:
            held = world.run(entry)
        assert (held["waitingFor"], held["error"]["code"]) == ("reconcile", "unresolved_action")
        assert held["error"]["details"] == {"executionId": uncertain}
        assert changes.sent == []
        interventions.resolve(world.parts.opener, uncertain, verdict)
        assert world.go_on(held["executionId"])["status"] == "completed"

    def test_money_to_the_trade_is_held_and_closing_and_protecting_it_are_not(
        self, world: World, account: Account
    ) -> None:
        trade_id = world.open_trade(account)
        top_up = guard(world, account, "add_margin", add_margin_amount=100)
        uncertain = make_uncertain(world, top_up, fault="drop_after", trade_id=trade_id)
        held = world.run(guard(world, account, "add_margin", add_margin_amount=200), trade_id=trade_id)
        assert held["error"]["code"] == "unresolved_action"
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        assert world.run(stop, trade_id=trade_id)["status"] == "completed"
        interventions.resolve(world.parts.opener, uncertain, "executed")
        assert world.go_on(held["executionId"])["status"] == "completed"
        assert world.trade(account, trade_id)["margin"] == 20_300
        assert world.run(guard(world, account, "close_position"), trade_id=trade_id)["status"] == "completed"

    def test_a_trade_of_unknown_fate_may_be_closed(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        top_up = guard(world, account, "add_margin", add_margin_amount=100)
        make_uncertain(world, top_up, fault="drop_before", trade_id=trade_id)
        assert world.run(guard(world, account, "close_position"), trade_id=trade_id)["status"] == "completed"

    def test_steps_behind_the_unknown_one_are_not_carried_out(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        uncertain = make_uncertain(world, halve, fault="drop_after", route=CLOSING, trade_id=old)
        with world.changes() as changes:
            result = interventions.resolve(world.parts.opener, uncertain, "executed")
            assert (result["status"], result["result"]["reopened"]) == ("failed", False)
            assert world.go_on(uncertain) == result
        assert changes.sent == []
        assert [one.status for one in world.actions(uncertain)] == ["confirmed", "rejected"]
        with world.changes() as changes:
            assert retry(world, uncertain)["status"] == "completed", "unless a person wants them"
        assert changes.kinds == ["open"]

    def test_an_executed_one_can_not_be_retried_and_a_failed_one_can(self, world: World, lost: str) -> None:
        interventions.resolve(world.parts.opener, lost, "not_executed")
        with world.changes() as changes:
            assert retry(world, lost)["status"] == "completed"
        assert changes.kinds == ["open"]
        with pytest.raises(InvalidJob):
            interventions.retry(world.parts.opener, lost, max_age_seconds=300)

    def test_what_is_not_uncertain_is_refused(self, world: World, entry: str) -> None:
        done = world.run(entry)["executionId"]
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(entry)["executionId"]
        for execution_id in (done, lost):
            before = (world.execution(execution_id), world.actions(execution_id))
            with pytest.raises(InvalidJob) as caught:
                interventions.resolve(world.parts.opener, execution_id, "executed")
            assert (caught.value.status, caught.value.code) == (400, "not_uncertain")
            assert (world.execution(execution_id), world.actions(execution_id)) == before

    def test_resolving_twice_is_refused(self, world: World, uncertain: str) -> None:
        interventions.resolve(world.parts.opener, uncertain, "executed")
        with pytest.raises(InvalidJob):
            interventions.resolve(world.parts.opener, uncertain, "not_executed")
        assert world.execution(uncertain).status == "completed"

    def test_of_several_groups_only_the_unknown_one_is_touched(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trade_id = world.open_trade(account)
        groups = (
            Group("top_up", (AddMargin(trade_id, 100),), trade_id),
            Group("enter", (OpenPosition("buy", 100, Decimal(10)),)),
        )
        puppet.decision = Act(groups=groups, action="both", lists_trades=True)
        automation_id = world.automation(account, "puppet", CONFIG)
        uncertain = make_uncertain(world, automation_id, fault="drop_before", route=OPENING)
        result = interventions.resolve(world.parts.opener, uncertain, "not_executed")
        assert [one["status"] for one in result["trades"]] == ["completed", "failed"]
        puppet.decision = act(AddMargin(trade_id, 100))
        with world.storage.connection():
            assert [one.status for one in actions.of(world.storage, uncertain)] == ["confirmed", "rejected"]


class TestWhatAWordIsHeldAgainst:
    @pytest.fixture
    def old(self, world: World, account: Account) -> str:
        return world.open_trade(account)

    def halved(self, world: World, account: Account, old: str, *, fault: str = "drop_after") -> str:
        """Reduce a trade, and have nobody know whether its remainder was opened."""
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        return make_uncertain(world, halve, fault=fault, route=OPENING, trade_id=old)

    def resolve(self, world: World, execution_id: str, verdict: Any, **more: Any) -> Callable[[], object]:
        return lambda: interventions.resolve(world.parts.opener, execution_id, verdict, **more)

    def retry(self, world: World, execution_id: str) -> Callable[[], object]:
        return lambda: interventions.retry(world.parts.opener, execution_id, max_age_seconds=300)

    @pytest.fixture
    def on_its_way(self, world: World, account: Account, entry: str) -> str:
        """An entry that is uncertain at once, for the keys were changed while it is on its way."""
        world.paper.add_fault("drop_before", mutating=True, count=1)
        sent = str(world.run(entry)["executionId"])
        with others_keys(world, account):
            assert world.go_on(sent)["status"] == "uncertain"
        return sent

    def test_what_may_still_be_carried_out_was_not_not_executed(self, world: World, on_its_way: str) -> None:
        before = (world.execution(on_its_way), world.actions(on_its_way))
        error = refused(AxisorError, "request_alive", self.resolve(world, on_its_way, "not_executed"))
        assert error.status == 409
        (sent,) = world.actions(on_its_way)
        assert sent.sent_at is not None
        until = datetime.fromisoformat(error.details["until"])
        assert (until - sent.sent_at).total_seconds() == pytest.approx(lifetime(world), abs=0.01)
        assert (world.execution(on_its_way), world.actions(on_its_way)) == before

    @pytest.mark.parametrize("left", [1.0, -1.0])
    def test_until_its_signature_is_dead_by_the_databases_clock(
        self, world: World, on_its_way: str, left: float
    ) -> None:
        world.storage.run("UPDATE axisor_actions SET sent_at = {later}", left - lifetime(world))
        resolve = self.resolve(world, on_its_way, "not_executed")
        if left > 0:
            refused(AxisorError, "request_alive", resolve)
        else:
            resolve()
            assert world.execution(on_its_way).status == "failed"

    def test_nor_was_any_other_change(self, world: World, account: Account, old: str) -> None:
        world.paper.add_fault("drop_before", mutating=True, count=1)
        close = str(world.run(guard(world, account, "close_position"), trade_id=old)["executionId"])
        with others_keys(world, account):
            assert world.go_on(close)["status"] == "uncertain"
        refused(AxisorError, "request_alive", self.resolve(world, close, "not_executed"))

    def test_what_the_exchange_shows_was_executed(self, world: World, account: Account, entry: str) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_after")
        (trade_id,) = running(world, account)
        before = (world.execution(uncertain), world.actions(uncertain))
        error = refused(AxisorError, "was_executed", self.resolve(world, uncertain, "not_executed"))
        assert (error.status, error.details) == (409, {"tradeIds": [trade_id]})
        assert (world.execution(uncertain), world.actions(uncertain)) == before

    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_so_was_a_reduce_of_the_cross_position(self, world: World, account: Account, fault: str) -> None:
        owner = Owner(world, account)
        owner.hold(100)
        halve = guard(world, account, "reduce_position", margin_mode="cross", reduce_percentage=50)
        resolve = self.resolve(world, make_uncertain(world, halve, fault=fault), "not_executed")
        if fault == "drop_after":
            error = refused(AxisorError, "was_executed", resolve)
            assert len(error.details["orderIds"]) == 1
        else:
            assert resolve()

    def test_a_trade_like_it_without_a_client_id_proves_nothing(
        self, world: World, account: Account, entry: str, said: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_after")
        running_trades = LNMarketsClient.running_trades

        def nameless(client: LNMarketsClient) -> Any:
            answer = running_trades(client)
            return dataclasses.replace(
                answer, value=tuple(dataclasses.replace(one, client_id=None) for one in answer.value)
            )

        monkeypatch.setattr(LNMarketsClient, "running_trades", nameless)
        assert self.resolve(world, uncertain, "not_executed")()
        assert any("there is one like ours" in line for line in said.problems)

    @pytest.mark.parametrize("code", ["account_circuit_open", "exchange_circuit_open"])
    def test_keys_that_are_refused_stay_so_and_an_exchange_comes_back(
        self, world: World, entry: str, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_before")

        def held_back(*_: Any) -> Any:
            raise CircuitOpen("held back", code=code)

        monkeypatch.setattr(world.parts.opener, "open", held_back)
        resolve = self.resolve(world, uncertain, "not_executed")
        if code == "exchange_circuit_open":
            refused(CircuitOpen, code, resolve)
        else:
            assert resolve()

    def test_nor_is_it_sent_again_where_it_was_seen_too_late(self, world: World, account: Account, entry: str) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_after")
        with others_keys(world, account):
            assert self.resolve(world, uncertain, "not_executed")()
        failed = world.execution(uncertain)
        error = refused(AxisorError, "was_executed", self.retry(world, uncertain))
        assert error.details == {"tradeIds": running(world, account)}
        assert world.execution(uncertain) == failed

    def test_one_that_was_sent_again_since_is_not_looked_for(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trade_id = world.open_trade(account)
        groups = (
            Group("enter", (OpenPosition("buy", 100, Decimal(10)),)),
            Group("top_up", (AddMargin(trade_id, 100),), trade_id),
        )
        puppet.decision = Act(groups=groups, action="both", lists_trades=True)
        world.paper.add_fault("status_before", route=ADDING, status=400, count=2)
        uncertain = make_uncertain(
            world, world.automation(account, "puppet", CONFIG), fault="drop_before", route=OPENING
        )
        assert self.resolve(world, uncertain, "not_executed")()
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        assert [one["status"] for one in retry(world, uncertain)["trades"]] == ["completed", "failed"]
        assert retry(world, uncertain)["status"] == "completed"

    @pytest.mark.parametrize("verdict", ["executed", "not_executed"])
    def test_an_exchange_that_does_not_answer_is_asked_later(self, world: World, entry: str, verdict: Any) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_before")
        world.paper.add_fault("status_before", status=503, count=1)
        refused(Unavailable, "exchange_unavailable", self.resolve(world, uncertain, verdict))
        assert world.execution(uncertain).status == "uncertain"
        assert self.resolve(world, uncertain, verdict)()

    @pytest.mark.parametrize("why", ["the keys are another user's", "there are none", "the account is gone"])
    @pytest.mark.parametrize("verdict", ["executed", "not_executed"])
    def test_where_it_can_not_be_asked_the_word_is_taken(
        self, world: World, account: Account, entry: str, said: Said, verdict: Any, why: str
    ) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_before")
        resolve = self.resolve(world, uncertain, verdict)
        if why == "the keys are another user's":
            with others_keys(world, account):
                resolve()
        elif why == "there are none":
            world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", {})
            resolve()
        else:
            for table in ('"TradeLog"', '"Automation"', "user_exchange_accounts"):
                world.storage.run(f"DELETE FROM {table}")
            resolve()
        assert world.execution(uncertain).status == ("completed" if verdict == "executed" else "failed")
        assert any("was not looked for to the end" in line for line in said.problems)

    def test_where_it_is_only_this_process_that_can_not_ask_another_one_is_to(self, world: World, entry: str) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_after")
        world.restart(encryption_key=None)
        with pytest.raises(SettingsError):
            self.resolve(world, uncertain, "not_executed")()
        assert world.execution(uncertain).status == "uncertain"

    def test_a_remainder_is_found_by_its_client_id(self, world: World, account: Account, old: str) -> None:
        uncertain = self.halved(world, account, old)
        (new,) = running(world, account)
        result = interventions.resolve(world.parts.opener, uncertain, "executed")
        assert (result["status"], result["result"]["newTradeId"]) == ("completed", new)
        closed = world.run(guard(world, account, "close_position"), trade_id=old)
        assert (closed["tradeId"], running(world, account)) == (new, [])

    @pytest.mark.parametrize("why", ["it is not there", "it can't be asked for"])
    def test_a_remainder_needs_its_trade(self, world: World, account: Account, old: str, why: str) -> None:
        fault = "drop_before" if why == "it is not there" else "drop_after"
        uncertain = self.halved(world, account, old, fault=fault)
        resolve = self.resolve(world, uncertain, "executed")
        if why == "it is not there":
            error = refused(InvalidJob, "trade_id_missing", resolve)
        else:
            with others_keys(world, account):
                error = refused(InvalidJob, "trade_id_missing", resolve)
        assert (error.status, world.execution(uncertain).status) == (400, "uncertain")
        assert old in str(error)
        assert world.storage.rows("SELECT * FROM axisor_trade_lineage") == []

    @pytest.mark.parametrize("named", ["junk!", " ", "x" * 201, "two words"])
    def test_what_is_no_id_of_a_trade_is_none(self, world: World, account: Account, old: str, named: str) -> None:
        uncertain = self.halved(world, account, old)
        with others_keys(world, account):
            refused(InvalidJob, "invalid_job", self.resolve(world, uncertain, "executed", trade_id=named))
        assert world.execution(uncertain).status == "uncertain"

    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_nor_is_another_trade_its_own(self, world: World, account: Account, old: str, fault: str) -> None:
        other = world.open_trade(account)
        uncertain = self.halved(world, account, old, fault=fault)
        for named in (other, old, "b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3"):
            refused(InvalidJob, "not_our_trade", self.resolve(world, uncertain, "executed", trade_id=named))
        assert world.execution(uncertain).status == "uncertain"

    def test_where_it_can_not_be_asked_for_a_named_one_is_believed(
        self, world: World, account: Account, old: str
    ) -> None:
        uncertain = self.halved(world, account, old)
        (new,) = running(world, account)
        with others_keys(world, account):
            refused(InvalidJob, "not_our_trade", self.resolve(world, uncertain, "executed", trade_id=old))
            assert self.resolve(world, uncertain, "executed", trade_id=new)()
        assert world.run(guard(world, account, "close_position"), trade_id=old)["tradeId"] == new

    def test_what_goes_on_while_the_exchange_is_asked_is_not_settled(
        self, world: World, entry: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uncertain = make_uncertain(world, entry, fault="drop_after")
        look = by_hand.look

        def slow(*given: Any) -> by_hand.Shown:
            world.storage.run("UPDATE axisor_actions SET timestamp_ms = timestamp_ms + 1")
            return look(*given)

        monkeypatch.setattr(by_hand, "look", slow)
        refused(Changed, "changed_meanwhile", self.resolve(world, uncertain, "executed"))
        assert world.execution(uncertain).status == "uncertain"
