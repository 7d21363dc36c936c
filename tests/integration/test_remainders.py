"""Between a reduce's close and its reopen: the old trade is not over, its money is spoken for, its stop loss kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor import interventions
from axisor_executor.automation import Act, AddMargin, CashIn, ClosePosition, OpenPosition, SetStopLoss, act
from axisor_executor.exchange.client import LNMarketsClient
from axisor_executor.reconcile import Verdict
from axisor_executor.run.settle import Settler
from axisor_executor.storage import actions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.lineage import REOPEN_SECONDS
from axisor_executor.switching import pause, resume
from tests.harness.cross import at
from tests.harness.world import Account, World
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet

OPENING = "POST /v3/futures/isolated/trade"
CLOSING = "POST /v3/futures/isolated/trade/close"
STOPPING = "PUT /v3/futures/isolated/trade/stoploss"
TAKING = "PUT /v3/futures/isolated/trade/takeprofit"
HISTORY = "GET /v3/futures/isolated/trades/closed"
AT_RISK = 45_900
OLD = 601.0
"""Older than a guard's job may be."""
WAITS = ("waiting", "reconcile", "unresolved_action")


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    world.restart(puppet.plugin)
    return world.account()


@pytest.fixture
def old(world: World, account: Account) -> str:
    return world.open_trade(account)


def guard(world: World, account: Account, action: str, **config: Any) -> str:
    return world.automation(account, "margin_guard", {"action": action, **config})


def halve(world: World, account: Account, trade_id: str, *, fault: str = "refused", route: str = OPENING) -> str:
    """Reduce a trade, of whose close or reopen the answer is lost, or the request is not processed."""
    fields = {"status": 503} if fault == "refused" else {}
    kind = "status_before" if fault == "refused" else fault
    world.paper.add_fault(kind, route=route, count=1, **fields)
    begun = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=trade_id)
    assert begun["status"] == "waiting", begun
    assert world.trade(account, trade_id)["closed"]
    return str(begun["executionId"])


def waiting(result: dict[str, Any], execution_id: str) -> bool:
    """Return whether a job waits for an execution."""
    error = result.get("error") or {}
    found = (result["status"], result.get("waitingFor"), error.get("code"))
    return found == WAITS and error["details"] == {"executionId": execution_id}


def give_up(world: World, execution_id: str) -> None:
    """Let an hour pass in which nothing can be found out."""
    world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -3_700)
    world.paper.add_fault("status_before", status=503)
    assert world.go_on(execution_id)["status"] == "uncertain"
    world.paper.clear_faults()


def too_late(world: World, execution_id: str) -> None:
    """Let the time pass in which a remainder is opened."""
    world.storage.run(
        "UPDATE axisor_actions SET created_at = {later} WHERE execution_id = ?", -REOPEN_SECONDS - 1, execution_id
    )
    world.make_older(execution_id, seconds=OLD)


NOT_KNOWN = pytest.mark.parametrize(
    ("fault", "route"),
    [("refused", OPENING), ("drop_after", OPENING), ("drop_after", CLOSING)],
    ids=["owed", "unknown", "close unknown"],
)


class TestTheOldTrade:
    @NOT_KNOWN
    def test_it_is_not_over_and_what_is_meant_for_it_is_done_to_the_remainder(
        self, world: World, account: Account, old: str, fault: str, route: str
    ) -> None:
        execution_id = halve(world, account, old, fault=fault, route=route)
        held = world.run(guard(world, account, "close_position"), trade_id=old)
        assert waiting(held, execution_id)
        assert world.execution(held["executionId"]).tries == 0
        new = world.settle(execution_id)["tradeId"]
        assert world.trade(account, new)["running"]
        assert world.go_on(held["executionId"])["tradeId"] == new
        assert world.trade(account, new)["closed"]

    @pytest.mark.parametrize("config", [{"action": "close_sl"}, {"action": "update_sl", "new_stoploss": 48_000}])
    def test_its_stop_loss_waits_too(self, world: World, account: Account, old: str, config: dict[str, Any]) -> None:
        execution_id = halve(world, account, old)
        held = world.run(world.automation(account, "tp_sl", config), trade_id=old)
        assert waiting(held, execution_id)
        new = world.settle(execution_id)["tradeId"]
        done = world.go_on(held["executionId"])
        assert (done["status"], done["tradeId"]) == ("completed", new)
        assert "alreadyClosed" not in done["result"]

    def test_an_id_that_it_replaced_waits_as_well(self, world: World, account: Account, old: str) -> None:
        reduced = guard(world, account, "reduce_position", reduce_percentage=50)
        second = world.run(reduced, trade_id=old)["tradeId"]
        execution_id = halve(world, account, second)
        assert waiting(world.run(guard(world, account, "close_position"), trade_id=old), execution_id)

    def test_a_second_reduce_waits_as_well(self, world: World, account: Account, old: str) -> None:
        execution_id = halve(world, account, old)
        held = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        assert waiting(held, execution_id)
        new = world.settle(execution_id)["tradeId"]
        assert world.go_on(held["executionId"])["result"]["oldTradeId"] == new

    def test_nobody_waits_longer_than_the_job_is_good_for(self, world: World, account: Account, old: str) -> None:
        halve(world, account, old)
        held = world.run(guard(world, account, "close_position"), trade_id=old)
        world.make_older(held["executionId"], seconds=OLD)
        assert world.go_on(held["executionId"])["status"] == "expired"

    @pytest.mark.parametrize("executed", [True, False])
    def test_an_uncertain_remainder_is_waited_for_until_a_person_has_looked(
        self, world: World, account: Account, old: str, executed: bool
    ) -> None:
        execution_id = halve(world, account, old, fault="drop_after" if executed else "drop_before")
        running = [trade["id"] for trade in world.paper.trades(account.paper) if trade["running"]]
        give_up(world, execution_id)
        held = world.run(guard(world, account, "close_position"), trade_id=old)
        assert waiting(held, execution_id)
        if executed:
            interventions.resolve(world.parts.opener, execution_id, "executed", trade_id=running[0])
        else:
            interventions.resolve(world.parts.opener, execution_id, "not_executed")
        done = world.go_on(held["executionId"])
        assert (done["status"], done.get("result", {}).get("alreadyClosed", False)) == ("completed", not executed)
        assert [world.trade(account, one)["closed"] for one in running] == [True] * executed

    def test_it_is_over_when_it_is_too_late_for_a_remainder(self, world: World, account: Account, old: str) -> None:
        execution_id = halve(world, account, old)
        too_late(world, execution_id)
        assert world.go_on(execution_id)["error"]["code"] == "reopen_too_late"
        done = world.run(guard(world, account, "close_position"), trade_id=old)
        assert (done["status"], done["result"]["alreadyClosed"]) == ("completed", True)

    def test_a_trade_that_was_closed_for_good_is_over_at_once(
        self, world: World, account: Account, puppet: Puppet, old: str
    ) -> None:
        """What is opened behind a close is not always its remainder."""
        puppet.decision = act(ClosePosition(old), OpenPosition("sell", 50, Decimal(10)))
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "waiting"
        done = world.run(guard(world, account, "close_position"), trade_id=old)
        assert done["result"]["alreadyClosed"] is True

    def test_a_close_that_was_decided_before_is_not_taken_for_done(
        self, world: World, account: Account, puppet: Puppet, old: str
    ) -> None:
        execution_id = halve(world, account, old)
        puppet.decision = act(ClosePosition(old))
        assert waiting(world.run(world.automation(account, "puppet", CONFIG)), execution_id)


def reduces(trade_id: str) -> Act:
    return act(ClosePosition(trade_id), OpenPosition("buy", 50, Decimal(10), replaces=trade_id))


LEVELS = pytest.mark.parametrize(
    ("level", "value", "config", "route"),
    [
        ("stoploss", 48_000, {"action": "update_sl", "new_stoploss": 48_000}, STOPPING),
        ("takeprofit", 60_000, {"action": "update_tp", "new_takeprofit": 60_000}, TAKING),
    ],
    ids=["stop loss", "take profit"],
)


class TestWhatWasLostBefore:
    """It was meant for a trade that another automation reduces, before anybody knows that it never arrived."""

    @pytest.fixture
    def reduced(self, world: World, account: Account) -> str:
        return guard(world, account, "reduce_position", reduce_percentage=50)

    def lose(
        self, world: World, automation_id: str, trade_id: str, *, route: str = CLOSING, fault: str = "drop_before"
    ) -> str:
        """Lose the answer to a request of a job."""
        world.paper.add_fault(fault, route=route, count=1)
        lost = world.run(automation_id, trade_id=trade_id)
        assert (lost["status"], lost["waitingFor"]) == ("waiting", "reconcile")
        return str(lost["executionId"])

    def test_a_close_is_that_of_the_remainder(self, world: World, account: Account, old: str, reduced: str) -> None:
        lost = self.lose(world, guard(world, account, "close_position"), old)
        new = world.run(reduced, trade_id=old)["tradeId"]
        done = world.go_on(lost)
        assert (done["status"], done["tradeId"], world.trade(account, new)["closed"]) == ("completed", new, True)

    def test_a_reduce_is_that_of_the_remainder(self, world: World, account: Account, old: str, reduced: str) -> None:
        lost = self.lose(world, reduced, old)
        new = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)["tradeId"]
        done = world.go_on(lost)
        assert (done["status"], done["result"]["oldTradeId"]) == ("completed", new)
        assert world.trade(account, done["tradeId"])["quantity"] == 25

    @LEVELS
    def test_a_level_is_that_of_the_remainder(
        self, world: World, account: Account, old: str, reduced: str, level: str, value: int, config: Any, route: str
    ) -> None:
        lost = self.lose(world, world.automation(account, "tp_sl", config), old, route=route)
        new = world.run(reduced, trade_id=old)["tradeId"]
        done = world.go_on(lost)
        assert (done["status"], done["tradeId"], world.trade(account, new)[level]) == ("completed", new, value)

    @LEVELS
    def test_so_is_one_that_was_set_and_that_the_remainder_was_opened_without(
        self, world: World, account: Account, puppet: Puppet, old: str, level: str, value: int, config: Any, route: str
    ) -> None:
        lost = self.lose(world, world.automation(account, "tp_sl", config), old, route=route, fault="drop_after")
        puppet.decision = reduces(old)
        new = world.run(world.automation(account, "puppet", CONFIG))["tradeId"]
        assert (world.trade(account, old)[level], world.trade(account, new)[level]) == (value, 0)
        done = world.go_on(lost)
        assert (done["status"], done["tradeId"], world.trade(account, new)[level]) == ("completed", new, value)

    @LEVELS
    def test_a_remainder_that_no_list_has_for_a_moment_is_waited_for(
        self,
        world: World,
        account: Account,
        puppet: Puppet,
        old: str,
        level: str,
        value: int,
        config: Any,
        route: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        lost = self.lose(world, world.automation(account, "tp_sl", config), old, route=route, fault="drop_after")
        puppet.decision = reduces(old)
        new = world.run(world.automation(account, "puppet", CONFIG))["tradeId"]
        with monkeypatch.context() as patch:
            read = LNMarketsClient.running_trades
            patch.setattr(LNMarketsClient, "running_trades", lambda client: replace(read(client), value=()))
            held = world.go_on(lost)
        assert (held["status"], held["waitingFor"], world.trade(account, new)[level]) == ("waiting", "reconcile", 0)
        done = world.go_on(lost)
        assert (done["status"], done["tradeId"], world.trade(account, new)[level]) == ("completed", new, value)

    @LEVELS
    def test_one_that_another_has_replaced_before_the_reduce_is_left(
        self, world: World, account: Account, old: str, reduced: str, level: str, value: int, config: Any, route: str
    ) -> None:
        lost = self.lose(world, world.automation(account, "tp_sl", config), old, route=route)
        other = {**config, f"new_{level}": value + 10}
        assert world.run(world.automation(account, "tp_sl", other), trade_id=old)["status"] == "completed"
        new = world.run(reduced, trade_id=old)["tradeId"]
        with world.changes() as changes:
            assert world.go_on(lost)["status"] == "completed"
        assert (changes.sent, world.trade(account, new)[level]) == ([], value + 10)
        assert world.actions(lost)[-1].status == "superseded"

    @LEVELS
    def test_one_that_was_set_and_that_the_remainder_has_is_not_set_again(
        self, world: World, account: Account, old: str, reduced: str, level: str, value: int, config: Any, route: str
    ) -> None:
        lost = self.lose(world, world.automation(account, "tp_sl", config), old, route=route, fault="drop_after")
        new = world.run(reduced, trade_id=world.run(reduced, trade_id=old)["tradeId"])["tradeId"]
        assert world.trade(account, new)[level] == value
        with world.changes() as changes:
            assert world.go_on(lost)["status"] == "completed"
        assert (changes.sent, world.actions(lost)[-1].status) == ([], "confirmed")

    @pytest.mark.parametrize("had_it", [True, False])
    def test_nor_where_somebody_has_set_another_on_the_remainder(
        self, world: World, account: Account, puppet: Puppet, old: str, reduced: str, had_it: bool
    ) -> None:
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        lost = self.lose(world, stop, old, route=STOPPING, fault="drop_after")
        puppet.decision = reduces(old)
        new = world.run(reduced if had_it else world.automation(account, "puppet", CONFIG), trade_id=old)["tradeId"]
        other = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 49_000})
        assert world.run(other, trade_id=new)["status"] == "completed"
        newest = world.run(reduced, trade_id=new)["tradeId"] if had_it else new
        with world.changes() as changes:
            done = world.go_on(lost)
        assert (done["status"], done["result"]["superseded"], changes.sent) == ("completed", True, [])
        assert world.trade(account, newest)["stoploss"] == 49_000

    @pytest.mark.parametrize("is_reduced", [True, False])
    def test_nor_is_one_on_a_trade_that_is_over(
        self, world: World, account: Account, old: str, reduced: str, is_reduced: bool
    ) -> None:
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        lost = self.lose(world, stop, old, route=STOPPING, fault="drop_after")
        last = world.run(reduced, trade_id=old)["tradeId"] if is_reduced else old
        assert world.run(guard(world, account, "close_position"), trade_id=last)["status"] == "completed"
        with world.changes() as changes:
            assert world.go_on(lost)["status"] == "completed"
        assert (changes.sent, world.actions(lost)[-1].status) == ([], "confirmed")

    @pytest.mark.parametrize("is_reduced", [True, False])
    def test_nor_as_long_as_the_remainder_is_owed(
        self, world: World, account: Account, old: str, reduced: str, is_reduced: bool
    ) -> None:
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        lost = self.lose(world, stop, old, route=STOPPING, fault="drop_after")
        execution_id = halve(world, account, world.run(reduced, trade_id=old)["tradeId"] if is_reduced else old)
        held = world.go_on(lost)
        assert (held["status"], held["waitingFor"]) == ("waiting", "reconcile")
        world.settle(execution_id)
        with world.changes() as changes:
            assert world.go_on(lost)["status"] == "completed"
        assert changes.sent == []

    def test_one_that_was_set_is_not_unknown_for_good_where_the_remainder_is(
        self, world: World, account: Account, old: str
    ) -> None:
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        lost = self.lose(world, stop, old, route=STOPPING, fault="drop_after")
        halve(world, account, old)
        world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE execution_id = ?", -3_700, lost)
        assert world.go_on(lost)["status"] == "completed"

    @pytest.mark.parametrize(
        ("config", "route"),
        [({"action": "close_sl"}, CLOSING), ({"action": "update_sl", "new_stoploss": 48_000}, STOPPING)],
    )
    def test_it_is_not_known_as_long_as_the_remainder_is_owed(
        self, world: World, account: Account, old: str, config: dict[str, Any], route: str
    ) -> None:
        lost = self.lose(world, world.automation(account, "tp_sl", config), old, route=route)
        execution_id = halve(world, account, old)
        held = world.go_on(lost)
        assert (held["status"], held["waitingFor"]) == ("waiting", "reconcile")
        new = world.settle(execution_id)["tradeId"]
        assert world.go_on(lost)["tradeId"] == new

    @pytest.mark.parametrize("is_first", [True, False])
    def test_of_two_closes_that_are_lost_the_reduce_counts_if_it_is_known_first(
        self, world: World, account: Account, old: str, reduced: str, is_first: bool
    ) -> None:
        lost = self.lose(world, guard(world, account, "close_position"), old)
        reduce = self.lose(world, reduced, old, fault="drop_after")
        first, second = (reduce, lost) if is_first else (lost, reduce)
        assert world.go_on(first)["status"] == "completed"
        done = world.go_on(second)
        assert (done["status"], done.get("result", {}).get("alreadyClosed", False)) == ("completed", not is_first)
        assert not any(trade["running"] for trade in world.paper.trades(account.paper))

    def test_what_becomes_of_the_remainder_is_told_however_long_it_takes(
        self, world: World, account: Account, old: str, reduced: str
    ) -> None:
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        lost = self.lose(world, stop, old, route=STOPPING)
        new = world.run(reduced, trade_id=old)["tradeId"]
        world.paper.add_fault("status_before", route=STOPPING, count=1, status=503)
        assert world.go_on(lost)["status"] == "waiting"
        assert (world.settle(lost)["status"], world.trade(account, new)["stoploss"]) == ("completed", 48_000)

    @pytest.mark.parametrize("by_a_person", [False, True])
    def test_and_where_its_answer_is_lost_as_well(
        self, world: World, account: Account, old: str, reduced: str, by_a_person: bool
    ) -> None:
        lost = self.lose(world, guard(world, account, "close_position"), old)
        new = world.run(reduced, trade_id=old)["tradeId"]
        world.paper.add_fault("drop_after", route=CLOSING, count=1)
        assert world.go_on(lost)["waitingFor"] == "reconcile"
        if by_a_person:
            give_up(world, lost)
            done = interventions.resolve(world.parts.opener, lost, "executed")
        else:
            world.make_older(lost, seconds=OLD)  # it may not begin anything any more
            done = world.settle(lost)
        assert (done["status"], world.trade(account, new)["closed"]) == ("completed", True)
        assert "unguarded_trade" not in world.alerts

    def test_two_reduces_do_not_wait_for_each_other(
        self, world: World, account: Account, puppet: Puppet, old: str
    ) -> None:
        puppet.decision = reduces(old)
        lost = [self.lose(world, world.automation(account, "puppet", CONFIG), old) for _ in range(2)]
        assert world.run(guard(world, account, "close_position"), trade_id=old)["status"] == "completed"
        assert [world.go_on(one)["result"]["alreadyClosed"] for one in lost] == [True, True]

    def test_a_close_behind_another_step_is_not_taken_for_done(
        self, world: World, account: Account, puppet: Puppet, old: str, reduced: str
    ) -> None:
        puppet.decision = act(SetStopLoss(old, Decimal(48_000)), ClosePosition(old))
        lost = self.lose(world, world.automation(account, "puppet", CONFIG), old)
        new = world.run(reduced, trade_id=old)["tradeId"]
        assert world.go_on(lost)["error"]["code"] == "trade_not_found"
        assert world.trade(account, new)["running"]


class TestALostReopen:
    """Its request is proven never to have been carried out: it is owed still, whatever keeps it from being sent."""

    @pytest.fixture
    def account(self, world: World, puppet: Puppet) -> Account:
        world.restart(puppet.plugin)
        return world.account(balance=21_500)

    def test_it_is_seen_by_others_at_once(self, world: World, account: Account, old: str) -> None:
        execution_id = halve(world, account, old, fault="drop_before")
        reducing = world.execution(execution_id).automation_id
        pause(world.storage, "automation", reducing, window_seconds=0)
        world.outlive(execution_id)
        world.go_on(execution_id)
        assert world.actions(execution_id)[1].status == "rejected"
        assert waiting(world.run(guard(world, account, "close_position"), trade_id=old), execution_id)
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 90})
        assert waiting(world.run(entry), execution_id)
        resume(world.storage, "automation", reducing)
        done = world.settle(execution_id)
        assert (done["status"], world.trade(account, done["tradeId"])["quantity"]) == ("completed", 50)

    def test_it_is_not_opened_again_where_its_answer_comes_after_all(
        self, world: World, account: Account, old: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its sender was frozen, and wakes up while it is judged."""
        execution_id = halve(world, account, old, fault="drop_after")
        (new,) = (trade["id"] for trade in world.paper.trades(account.paper) if trade["running"])

        def look(_: Settler, sent: LedgerAction) -> Verdict:
            actions.settle(world.storage, sent, "confirmed", new_trade_id=new)
            return Verdict("not_executed", "it was not seen")

        monkeypatch.setattr(Settler, "_look", look)
        with world.changes() as changes:
            done = world.go_on(execution_id)
        assert (done["status"], done["tradeId"], changes.sent) == ("completed", new, [])


class TestAPass:
    def test_the_other_trades_are_not_held_up(self, world: World, account: Account, old: str) -> None:
        other = world.open_trade(account)
        execution_id = halve(world, account, old)
        selected = {"scope": "selected", "selected_positions": [old, other], "margin_threshold": 90}
        scan = guard(world, account, "close_position", **selected)
        safe = world.run(scan)
        assert safe["status"] == "pending"
        world.move_price(AT_RISK)
        acted = world.run(scan)
        assert acted["status"] == "completed"
        assert world.trade(account, other)["closed"]
        for trades in (safe["result"]["trades"], acted["trades"]):
            (listed,) = (trade for trade in trades if trade["tradeId"] == old)
            assert (listed["status"], listed["reason"]) == ("pending", "unresolved_action")
            assert listed["executionId"] == execution_id

    def test_alone_it_is_waited_for(self, world: World, account: Account, old: str) -> None:
        execution_id = halve(world, account, old)
        selected = {"scope": "selected", "selected_positions": [old], "margin_threshold": 90}
        held = world.run(guard(world, account, "close_position", **selected))
        assert waiting(held, execution_id)
        new = world.settle(execution_id)["tradeId"]
        world.move_price(AT_RISK)
        world.go_on(held["executionId"])
        assert world.trade(account, new)["closed"]


class TestItsMoney:
    def test_an_entry_of_another_does_not_take_what_the_close_freed(self, world: World) -> None:
        poor = world.account(balance=21_500)
        execution_id = halve(world, poor, world.open_trade(poor))
        held = world.run(world.automation(poor, "auto_entry", {"side": "b", "quantity": 90}))
        assert waiting(held, execution_id)
        done = world.settle(execution_id)
        assert (done["status"], world.trade(poor, done["tradeId"])["quantity"]) == ("completed", 50)
        assert world.go_on(held["executionId"])["error"]["code"] == "exchange_rejected"

    @NOT_KNOWN
    def test_a_trade_that_is_open_only_twice_counts_once(
        self, world: World, account: Account, fault: str, route: str
    ) -> None:
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100, "max_open_trades": 1})
        execution_id = halve(world, account, world.run(entry)["tradeId"], fault=fault, route=route)
        held = world.run(entry)
        assert waiting(held, execution_id)
        assert world.settle(execution_id)["status"] == "completed"
        assert world.go_on(held["executionId"])["result"]["reason"] == "max_open_trades_reached"

    def test_another_trade_is_protected_meanwhile(
        self, world: World, account: Account, puppet: Puppet, old: str
    ) -> None:
        """A trade that is liquidated for want of margin is worse than a remainder that stays closed for want of it."""
        other = world.open_trade(account)
        halve(world, account, old)
        moves = AddMargin(other, 200), CashIn(other, 100)
        for action in (*moves, SetStopLoss(other, Decimal(48_000)), ClosePosition(other)):
            puppet.decision = act(action)
            assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "completed"

    def test_neither_does_another_remainder_wait_nor_another_account(
        self, world: World, account: Account, old: str
    ) -> None:
        other = world.open_trade(account)
        halve(world, account, old)
        reduced = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=other)
        assert reduced["status"] == "completed"
        world.open_trade(world.account(name="Second Account"))

    def test_too_late_for_the_remainder_nothing_is_held_any_more(
        self, world: World, account: Account, old: str
    ) -> None:
        execution_id = halve(world, account, old)
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
        too_late(world, execution_id)
        assert world.run(entry)["status"] == "completed", "whether its execution has heard of that or not"
        assert world.go_on(execution_id)["error"]["code"] == "reopen_too_late"
        assert world.run(entry)["status"] == "completed"
        interventions.retry(world.parts.opener, execution_id, max_age_seconds=300)
        assert waiting(world.run(entry), execution_id), "a person wants it after all"

    def test_an_uncertain_one_holds_only_those_for_whom_it_may_be_one_trade_more(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100, "max_open_trades": 1})
        execution_id = halve(world, account, world.run(entry)["tradeId"], fault="drop_before")
        puppet.decision = act(OpenPosition("buy", 10, Decimal(10)))
        other = world.run(world.automation(account, "puppet", CONFIG))
        assert waiting(other, execution_id)
        give_up(world, execution_id)
        assert world.go_on(other["executionId"])["status"] == "completed"
        own = world.run(entry)
        assert waiting(own, execution_id)
        interventions.resolve(world.parts.opener, execution_id, "not_executed")
        assert world.go_on(own["executionId"])["status"] == "completed"

    def test_a_dry_run_owes_nothing(self, world: World, account: Account, old: str) -> None:
        rehearsed = guard(world, account, "reduce_position", reduce_percentage=50, dry_run=True)
        assert world.run(rehearsed, trade_id=old)["status"] == "completed"
        world.open_trade(account)
        assert world.run(guard(world, account, "close_position"), trade_id=old)["status"] == "completed"


class TestItsProtection:
    @pytest.fixture
    def protected(self, world: World, account: Account) -> str:
        return world.open_trade(account, stoploss=49_900, takeprofit=60_000)

    def test_what_is_lost_on_the_way_is_said(self, world: World, account: Account, protected: str, said: Said) -> None:
        execution_id = halve(world, account, protected)
        world.move_price(49_850)
        done = world.settle(execution_id)
        assert done["status"] == "completed"
        assert world.trade(account, done["tradeId"])["stoploss"] == 0
        assert set(done["result"]["dropped"]) == {"stoploss"}
        assert "49900" in done["result"]["dropped"]["stoploss"]
        assert world.alerts == ["unguarded_trade"]
        (alert,) = world.watcher.alerts
        assert (alert.details, alert.severity) == ({"tradeId": done["tradeId"]}, "error")
        assert any(line.startswith("⚠️") and protected in line and "49900" in line for line in said.lines)

    @pytest.mark.parametrize(
        ("levels", "price", "lost"),
        [
            ({"takeprofit": 60_000}, 59_999, {"takeprofit"}),
            ({"stoploss": 46_000}, 50_599, {"stoploss"}),
            ({"stoploss": 48_000, "takeprofit": 51_000}, 50_999, {"takeprofit"}),
            ({"stoploss": 46_000, "takeprofit": 60_000}, 50_599, {"stoploss", "takeprofit"}),
        ],
    )
    def test_what_the_exchange_refuses_at_its_own_price_costs_nobody_the_position(
        self, world: World, account: Account, levels: dict[str, int], price: int, lost: set[str]
    ) -> None:
        """It judges the levels at the ask or bid, here half a spread beside the last price."""
        old = world.open_trade(account, **levels)
        world.paper.settings(spread=4)
        world.move_price(price)
        with world.changes() as changes:
            done = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        assert (done["status"], changes.kinds) == ("completed", ["close", "open"])
        trade = world.trade(account, done["tradeId"])
        kept = {name: 0 if name in lost else value for name, value in levels.items()}
        assert {name: trade[name] for name in levels} == kept
        assert set(done["result"]["dropped"]) == lost
        assert world.alerts == (["unguarded_trade"] if "stoploss" in lost else [])

    def test_a_lost_take_profit_is_no_alert(self, world: World, account: Account, said: Said) -> None:
        execution_id = halve(world, account, world.open_trade(account, takeprofit=50_100))
        world.move_price(50_150)
        assert set(world.settle(execution_id)["result"]["dropped"]) == {"takeprofit"}
        assert world.alerts == []
        assert any(line.startswith("⚠️") and "50100" in line for line in said.lines)

    def test_a_pass_says_it_of_the_trade(self, world: World, account: Account) -> None:
        old = world.open_trade(account, stoploss=49_700)
        world.move_price(49_750)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        scan = guard(world, account, "reduce_position", reduce_percentage=50, scope="all", margin_threshold=5)
        begun = world.run(scan)
        world.move_price(49_650)
        (listed,) = world.settle(begun["executionId"])["trades"]
        assert (listed["tradeId"], set(listed["dropped"])) == (old, {"stoploss"})
        assert world.alerts == ["unguarded_trade"]

    def test_what_could_not_be_kept_at_one_attempt_is_kept_at_the_next(
        self, world: World, account: Account, protected: str
    ) -> None:
        execution_id = halve(world, account, protected)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        world.move_price(49_850)
        assert world.go_on(execution_id)["status"] == "waiting"
        world.move_price(50_000)
        done = world.settle(execution_id)
        trade = world.trade(account, done["tradeId"])
        assert (trade["stoploss"], trade["takeprofit"]) == (49_900, 60_000)
        assert "dropped" not in done["result"]
        assert world.alerts == []


class TestAnOrderThatIsFilledMeanwhile:
    """The market reaches it right after the running trades were read."""

    @pytest.fixture
    def entry(self, world: World, account: Account) -> str:
        limit = {"trigger_type": "limit", "trigger_price": 49_000, "max_open_trades": 1}
        return world.automation(account, "auto_entry", {"side": "b", "quantity": 100, **limit})

    @pytest.fixture
    def order(self, world: World, entry: str, monkeypatch: pytest.MonkeyPatch) -> str:
        placed = world.run(entry)
        assert placed["result"]["order"] == "open"
        read = LNMarketsClient.running_trades

        def running_trades(client: LNMarketsClient) -> Any:
            found = read(client)
            world.paper.set_price(49_000)
            return found

        monkeypatch.setattr(LNMarketsClient, "running_trades", running_trades)
        return str(placed["tradeId"])

    def test_no_second_one_is_placed(self, world: World, account: Account, entry: str, order: str) -> None:
        again = world.run(entry)
        assert (again["status"], again["result"]["reason"]) == ("pending", "max_open_trades_reached")
        assert world.trade(account, order)["running"]

    def test_it_is_found(self, world: World, account: Account, order: str) -> None:
        closed = world.run(guard(world, account, "close_position"), trade_id=order)
        assert (closed["status"], closed["tradeId"]) == ("completed", order)
        assert world.trade(account, order)["closed"]

    def test_it_is_found_when_it_is_to_be_changed(
        self, world: World, account: Account, puppet: Puppet, order: str
    ) -> None:
        puppet.decision = act(SetStopLoss(order, Decimal(48_000)))
        assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "completed"

    def test_it_is_none_to_look_for_in_the_history(self, world: World, account: Account, order: str) -> None:
        selected = {"scope": "selected", "selected_positions": [order], "margin_threshold": 90}
        found = world.run(guard(world, account, "close_position", **selected))
        (listed,) = found["result"]["trades"]
        assert (found["status"], listed["status"], listed["reason"]) == ("pending", "pending", "just_filled")

    def test_what_was_read_before_the_orders_is_not_held_against_them(
        self, world: World, account: Account, puppet: Puppet, order: str
    ) -> None:
        found: list[int] = []

        def decide(context: Any) -> Any:
            found.extend((len(context.running_trades()), len(context.open_orders()), len(context.running_trades())))
            raise AssertionError

        puppet.decision = decide
        failed = world.run(world.automation(account, "puppet", CONFIG))
        assert failed["error"]["code"] == "plugin_error"
        assert found == [0, 0, 1]


class TestAStopLossThatIsFirst:
    @pytest.mark.parametrize("more", [{}, {"scope": "all", "margin_threshold": 5}])
    def test_nothing_was_reduced_and_nothing_is_left(
        self, world: World, account: Account, more: dict[str, Any]
    ) -> None:
        old = world.open_trade(account, quantity=100, stoploss=48_000)
        reducing = guard(world, account, "reduce_position", reduce_percentage=50, **more)
        if more:
            world.move_price(49_000)
        with at("sending", lambda: world.paper.set_price(47_900)):
            done = world.run(reducing, **({} if more else {"trade_id": old}))
        told = done["trades"][0] if more else done["result"]
        assert (done["status"], told["alreadyClosed"]) == ("completed", True)
        assert (told["reducedQuantity"], told["remainingQuantity"]) == (0, 0)


class TestAHistoryThatCanNotBeRead:
    def test_a_close_is_tried_again(self, world: World, account: Account, puppet: Puppet, old: str) -> None:
        assert world.run(guard(world, account, "close_position"), trade_id=old)["status"] == "completed"
        puppet.decision = act(ClosePosition(old))
        world.paper.add_fault("status_before", route=HISTORY, status=503, count=1)
        waits = world.run(world.automation(account, "puppet", CONFIG))
        assert (waits["status"], waits["waitingFor"]) == ("waiting", "retry")
        done = world.go_on(waits["executionId"])
        assert (done["status"], done["result"]["alreadyClosed"]) == ("completed", True)
