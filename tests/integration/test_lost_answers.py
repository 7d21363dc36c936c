"""Answers that get lost: executed exactly once, or proven not executed and decided again; never twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import pytest

from axisor_executor.automation import (
    Act,
    Action,
    AddMargin,
    CancelOrder,
    CashIn,
    ClosePosition,
    Group,
    OpenPosition,
    SetStopLoss,
    SetTakeProfit,
    act,
)
from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, NewTrade, clock
from axisor_executor.run import patience
from axisor_executor.settings import RetryPolicy
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.conftest import Said
from tests.integration.puppet import CONFIG, Puppet

PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
ENTRY = {"side": "b", "quantity": 100}
OPENING = "POST /v3/futures/isolated/trade"
CLOSING = "POST /v3/futures/isolated/trade/close"
ADDING = "POST /v3/futures/isolated/trade/add-margin"
AT_RISK = 45_900


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    world.restart(puppet.plugin, retries=dict.fromkeys(("auto_entry", "margin_guard", "tp_sl", "puppet"), PATIENT))
    return world.account()


def guard(world: World, account: Account, action: str, **config: Any) -> str:
    return world.automation(account, "margin_guard", {"action": action, **config})


def is_lost(result: dict[str, Any]) -> bool:
    return (result["status"], result.get("waitingFor")) == ("waiting", "reconcile")


@dataclass
class Kind:
    """A kind of action: what it needs on the exchange, and its effect there."""

    needs: str | None
    action: Callable[[str], Action]
    effect: str


KINDS = {
    "open": Kind(None, lambda _: OpenPosition("buy", 100, Decimal(10)), "open"),
    "limit order": Kind(
        None, lambda _: OpenPosition("buy", 100, Decimal(10), type="limit", price=Decimal(40_000)), "open"
    ),
    "close": Kind("trade", ClosePosition, "close"),
    "cancel": Kind("order", CancelOrder, "cancel"),
    "take profit": Kind("trade", lambda trade_id: SetTakeProfit(trade_id, Decimal(60_000)), "set_takeprofit"),
    "stop loss": Kind("trade", lambda trade_id: SetStopLoss(trade_id, Decimal(48_000)), "set_stoploss"),
    "add margin": Kind("trade", lambda trade_id: AddMargin(trade_id, 5_000), "add_margin"),
    "cash in": Kind("trade", lambda trade_id: CashIn(trade_id, 5_000), "cash_in"),
}


def prepared(world: World, account: Account, puppet: Puppet, kind: Kind) -> str:
    """Make an automation that does this one thing."""
    trade_id = ""
    if kind.needs == "trade":
        trade_id = world.open_trade(account)
    elif kind.needs == "order":
        trade_id = world.open_trade(account, trigger_type="limit", trigger_price=40_000)
    puppet.decision = act(kind.action(trade_id))
    return world.automation(account, "puppet", CONFIG)


class TestEveryKind:
    @pytest.mark.parametrize("name", KINDS)
    def test_what_was_carried_out_is_recognised_and_not_sent_again(
        self, world: World, account: Account, puppet: Puppet, name: str
    ) -> None:
        automation_id = prepared(world, account, puppet, KINDS[name])
        with world.changes() as changes:
            world.paper.add_fault("drop_after", mutating=True, count=1)
            lost = world.run(automation_id)
            assert is_lost(lost)
            result = world.go_on(lost["executionId"])
        assert result["status"] == "completed"
        assert changes.kinds == [KINDS[name].effect]
        assert len(changes.sent) == 1
        assert [action.status for action in world.actions(lost["executionId"])] == ["confirmed"]

    def test_what_never_arrived_is_decided_again_and_carried_out_once(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        lost: dict[str, tuple[str, Any]] = {}
        for name, kind in KINDS.items():
            automation_id = prepared(world, account, puppet, kind)
            world.paper.add_fault("drop_before", mutating=True, count=1)
            result = world.run(automation_id)
            assert is_lost(result), name
            lost[name] = (result["executionId"], puppet.decision)
            assert is_lost(world.go_on(result["executionId"])), "the request may still be accepted"
        for name, (execution_id, decision) in lost.items():
            puppet.decision, puppet.asked = decision, 0
            with world.changes() as changes:
                assert world.settle(execution_id)["status"] == "completed", name
            assert changes.kinds == [KINDS[name].effect]
            assert puppet.asked == 1, "decided again, never blindly resent"
            first, second = world.actions(execution_id)
            assert (first.status, second.status) == ("rejected", "confirmed")
            assert first.error is not None
            assert first.error["code"] == "not_executed"
            assert first.client_id == second.client_id

    @pytest.mark.parametrize("fault", ["status_after", "malformed", "truncated", "wrong_content_type"])
    def test_an_answer_that_says_nothing_is_a_lost_one(self, world: World, account: Account, fault: str) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        with world.changes() as changes:
            world.paper.add_fault(fault, mutating=True, count=1)
            lost = world.run(entry)
            assert is_lost(lost)
            result = world.go_on(lost["executionId"])
        assert result["status"] == "completed"
        assert (changes.kinds, len(changes.sent)) == (["open"], 1)
        assert world.trade(account, result["tradeId"])["running"]

    def test_what_the_exchange_does_late_is_still_ours(self, world: World, account: Account) -> None:
        world.restart(request_timeout_seconds=1)
        entry = world.automation(account, "auto_entry", ENTRY)
        with world.changes() as changes:
            world.paper.add_fault("act_late", mutating=True, count=1, seconds=2.5)
            lost = world.run(entry)
            assert is_lost(lost)
            until(lambda: world.go_on(lost["executionId"])["status"] == "completed")
        assert (changes.kinds, len(changes.sent)) == (["open"], 1)


class TestDecidedAgain:
    def test_a_condition_that_has_passed_is_not_acted_on(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", {**ENTRY, "trigger_price": 50_000})
        world.paper.add_fault("drop_before", mutating=True, count=1)
        lost = world.run(entry)
        world.move_price(51_000)
        with world.changes() as changes:
            result = world.settle(lost["executionId"])
        assert (result["status"], result["result"]["reason"]) == ("pending", "price_not_triggered")
        assert changes.sent == []

    def test_it_ends_as_failed_when_the_tries_are_used_up(self, world: World, account: Account) -> None:
        policy = replace(PATIENT, tries=1)
        world.restart(retries={"auto_entry": policy})
        world.paper.add_fault("drop_before", mutating=True)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))
        result = world.settle(lost["executionId"])
        assert (result["status"], result["error"]["code"]) == ("failed", "not_executed")
        assert result["error"]["status"] == 503
        assert [row.status for row in world.trade_log()] == ["exchange_error"]

    @pytest.mark.parametrize("action", ["add_margin", "reduce_position", "close_position"])
    def test_in_a_pass_over_several_trades_only_the_lost_one_is(
        self, world: World, account: Account, action: str
    ) -> None:
        """The others are done, though they may look as if they still needed it."""
        trades = [world.open_trade(account) for _ in range(2)]
        world.move_price(AT_RISK)
        config = {"add_margin_amount": 100, "reduce_percentage": 10, "scope": "all", "margin_threshold": 90}
        automation_id = guard(world, account, action, **config)
        route = ADDING if action == "add_margin" else CLOSING
        effects = {"add_margin": ["add_margin"], "reduce_position": ["close", "open"], "close_position": ["close"]}
        with world.changes() as changes:
            world.paper.add_fault("drop_before", route=route, count=1)
            lost = world.run(automation_id)
            assert is_lost(lost)
            result = world.settle(lost["executionId"])
        assert result["status"] == "completed"
        assert changes.kinds == effects[action] * 2
        if action == "add_margin":
            assert sorted(one["tradeId"] for one in result["trades"]) == sorted(trades)
        assert len(result["trades"]) == 2
        logged = [row.status for row in world.trade_log() if row.automation_id == automation_id]
        assert logged == ["success", "success"]

    def test_what_was_done_is_told_when_the_rest_is_not_needed_any_more(self, world: World, account: Account) -> None:
        for _ in range(2):
            world.open_trade(account)
        world.move_price(AT_RISK)
        automation_id = guard(world, account, "close_position", scope="all", margin_threshold=90)
        world.paper.add_fault("drop_before", route=CLOSING, count=1)
        lost = world.run(automation_id)
        world.move_price(50_000)
        result = world.settle(lost["executionId"])
        assert result["status"] == "completed"
        assert [one["status"] for one in result["trades"]][:1] == ["completed"]
        assert [row.status for row in world.trade_log() if row.automation_id == automation_id] == ["success"]

    def test_nor_is_it_forgotten_when_deciding_again_fails(self, world: World, account: Account) -> None:
        for _ in range(2):
            world.open_trade(account)
        world.move_price(AT_RISK)
        automation_id = guard(world, account, "close_position", scope="all", margin_threshold=90)
        world.paper.add_fault("drop_before", route=CLOSING, count=1)
        lost = world.run(automation_id)
        world.storage.run('UPDATE "Automation" SET config = ? WHERE id = ?', {"action": "nonsense"}, automation_id)
        result = world.settle(lost["executionId"])
        assert result["status"] == "failed"
        assert sorted(one["status"] for one in result["trades"]) == ["completed", "failed"]
        logged = [row.status for row in world.trade_log() if row.automation_id == automation_id]
        assert sorted(logged) == ["exchange_error", "success"]


class TestReduce:
    @pytest.fixture
    def old(self, world: World, account: Account) -> str:
        return world.open_trade(account)

    def lose(self, world: World, account: Account, old: str, fault: str, route: str = CLOSING) -> str:
        """Let a guard reduce the trade by half, lose an answer, and return the execution."""
        automation_id = guard(world, account, "reduce_position", reduce_percentage=50)
        world.paper.add_fault(fault, route=route, count=1)
        lost = world.run(automation_id, trade_id=old)
        assert is_lost(lost)
        return str(lost["executionId"])

    @pytest.mark.parametrize("route", [CLOSING, OPENING], ids=["of the close", "of the reopen"])
    @pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
    def test_the_remainder_is_reopened_once_whichever_answer_is_lost(
        self, world: World, account: Account, old: str, fault: str, route: str
    ) -> None:
        with world.changes() as changes:
            result = world.settle(self.lose(world, account, old, fault, route))
        assert (result["status"], result["action"]) == ("completed", "reduce_position")
        assert changes.kinds == ["close", "open"]
        new = result["result"]["newTradeId"]
        assert world.trade(account, new)["quantity"] == 50
        closed = world.run(guard(world, account, "close_position"), trade_id=old)
        assert closed["tradeId"] == new, "the lineage was kept"

    def test_a_reopen_that_the_exchange_refuses_is_an_alert(self, world: World, account: Account, old: str) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        result = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        assert (result["status"], result["result"]["reopened"]) == ("failed", False)
        assert world.alerts == ["half_done_reduce"]
        assert world.watcher.alerts[0].severity == "critical"

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_reopen_waits_while_its_keys_are_not_let_in(
        self, world: World, account: Account, old: str, status: int
    ) -> None:
        automation_id = guard(world, account, "reduce_position", reduce_percentage=50)
        world.paper.add_fault("status_before", route=OPENING, status=status, count=1)
        with world.changes() as changes:
            held = world.run(automation_id, trade_id=old)
            assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
            assert world.settle(held["executionId"])["status"] == "completed"
        assert changes.kinds == ["close", "open"]
        assert world.alerts == ["half_done_reduce"]

    def test_but_not_for_ever(self, world: World, account: Account, old: str) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=403)
        held = world.run(guard(world, account, "reduce_position", reduce_percentage=50), trade_id=old)
        world.storage.run("UPDATE axisor_actions SET created_at = {later}", -3_700)
        world.storage.run("UPDATE axisor_executions SET expires_at = {later}", -3_700)
        result = world.go_on(held["executionId"])
        assert (result["status"], result["result"]["reopened"]) == ("failed", False)
        assert result["error"]["code"] == "reopen_too_late"

    def test_a_reopen_waits_while_the_exchange_is_away(self, world: World, account: Account, old: str) -> None:
        automation_id = guard(world, account, "reduce_position", reduce_percentage=50)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=3)
        with world.changes() as changes:
            execution_id = world.run(automation_id, trade_id=old)["executionId"]
            result = world.settle(execution_id)
        assert result["status"] == "completed"
        assert changes.kinds == ["close", "open"]

    def test_a_market_that_ran_away_is_not_followed(self, world: World, account: Account, old: str) -> None:
        automation_id = guard(
            world, account, "reduce_position", reduce_percentage=50, max_reopen_slippage_percent="0.5"
        )
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        waiting = world.run(automation_id, trade_id=old)
        world.move_price(49_700)
        result = world.settle(waiting["executionId"])
        assert (result["status"], result["error"]["code"]) == ("failed", "reopen_slippage")
        assert world.alerts == ["half_done_reduce"]

    def test_a_close_that_someone_else_made_before_is_not_followed_by_a_reopen(
        self, world: World, account: Account, old: str
    ) -> None:
        halve = guard(world, account, "reduce_position", reduce_percentage=50)
        world.paper.add_fault("status_before", mutating=True, status=503, count=1)
        waiting = world.run(halve, trade_id=old)
        client_of(world, account).close_trade(old)
        with world.changes() as changes:
            result = world.settle(waiting["executionId"])
        assert result["status"] == "failed"
        assert result["error"]["code"] == "trade_not_running"
        assert changes.sent == []

    def test_nor_is_one_that_its_owner_made_when_our_request_had_expired(
        self, world: World, account: Account, old: str
    ) -> None:
        lost = self.lose(world, account, old, "drop_before")
        # Time flies; the owner's clock, and ours, do not.
        world.paper.settings(clockOffsetSeconds=70, windowSeconds=600)
        client_of(world, account).close_trade(old)
        with world.changes() as changes:
            result = world.settle(lost)
        assert changes.sent == []
        assert [action.status for action in world.actions(lost)][:1] == ["superseded"]
        assert "after our request had expired" in result["result"]["reason"]

    def test_our_own_is_ours_however_far_the_clocks_may_differ(self, world: World, account: Account, old: str) -> None:
        world.restart(max_clock_skew_seconds=20, signature_window_seconds=5)  # they differ by more than that
        world.paper.settings(clockOffsetSeconds=-10, windowSeconds=60)
        with world.changes() as changes:
            result = world.settle(self.lose(world, account, old, "drop_after"))
        assert (result["status"], changes.kinds) == ("completed", ["close", "open"])

    def test_nor_is_a_trailing_stop_loss_that_had_moved(self, world: World, account: Account, old: str) -> None:
        client_of(world, account).set_trailing_stoploss(old, Decimal("0.005"))
        lost = self.lose(world, account, old, "drop_before")
        world.move_price(50_100)
        world.move_price(49_849.5)
        with world.changes() as changes:
            result = world.settle(lost)
        assert changes.sent == []
        assert [action.status for action in world.actions(lost)][:1] == ["superseded"]
        assert "the stop loss closed the trade" in result["result"]["reason"]


class TestWhileUnknown:
    @pytest.fixture
    def trade_id(self, world: World, account: Account) -> str:
        return world.open_trade(account)

    @pytest.fixture
    def lost(self, world: World, account: Account, trade_id: str) -> str:
        """The execution of an added margin whose answer was lost."""
        world.paper.add_fault("drop_before", mutating=True, count=1)
        result = world.run(guard(world, account, "add_margin", add_margin_amount=100), trade_id=trade_id)
        assert is_lost(result)
        return str(result["executionId"])

    def test_the_account_is_free_for_others(self, world: World, account: Account, lost: str) -> None:
        assert world.run(world.automation(account, "auto_entry", ENTRY))["status"] == "completed"

    def test_money_to_the_same_trade_waits(self, world: World, account: Account, trade_id: str, lost: str) -> None:
        other = guard(world, account, "add_margin", add_margin_amount=200)
        with world.changes() as changes:
            held = world.run(other, trade_id=trade_id)
        assert is_lost(held)
        assert held["error"]["code"] == "unresolved_action"
        assert held["error"]["details"] == {"executionId": lost}
        assert changes.sent == []
        assert world.settle(lost)["status"] == "completed"
        assert world.settle(held["executionId"])["status"] == "completed"
        assert world.trade(account, trade_id)["margin"] == 20_300

    def test_closing_and_protecting_it_stay_allowed(
        self, world: World, account: Account, trade_id: str, lost: str
    ) -> None:
        stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 48_000})
        assert world.run(stop, trade_id=trade_id)["status"] == "completed"
        assert world.run(guard(world, account, "close_position"), trade_id=trade_id)["status"] == "completed"

    def test_a_second_entry_of_the_same_automation_waits(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        world.paper.add_fault("drop_before", mutating=True, count=1)
        world.run(entry)
        with world.changes() as changes:
            held = world.run(entry)
        assert (held["status"], held["error"]["code"]) == ("waiting", "unresolved_action")
        assert changes.sent == []
        assert world.run(world.automation(account, "auto_entry", ENTRY))["status"] == "completed"

    def test_it_is_looked_at_again_later_and_later_but_soon_when_the_request_is_dead(
        self, world: World, account: Account, said: Said
    ) -> None:
        world.paper.add_fault("drop_before", mutating=True, count=1)
        execution_id = world.run(world.automation(account, "auto_entry", ENTRY))["executionId"]
        said.clear()
        for _ in range(8):
            assert is_lost(world.go_on(execution_id))
        assert said.delays[:4] == [1, 2, 4, 8]
        lives = world.settings.signature_window_seconds + world.settings.signature_margin_seconds
        assert max(said.delays) <= lives + 1, "not much after the request is dead"

    def test_an_exchange_that_can_not_be_asked_leaves_it_unknown(
        self, world: World, account: Account, lost: str
    ) -> None:
        world.paper.add_fault("status_before", status=503)
        assert is_lost(world.go_on(lost))
        world.paper.clear_faults()
        assert world.settle(lost)["status"] == "completed"

    def test_nobody_gives_up_because_a_machines_clock_is_ahead(
        self, world: World, lost: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Ahead(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + timedelta(hours=2)

        monkeypatch.setattr(patience, "datetime", Ahead)
        world.paper.add_fault("status_before", status=503)
        assert is_lost(world.go_on(lost))


def client_of(world: World, account: Account) -> LNMarketsClient:
    """A client in the hand of the account's owner."""
    keys = account.paper
    credentials = SecureCredentials(keys.key, keys.secret, keys.passphrase)
    return LNMarketsClient(ExchangeOptions("paper", world.paper.url), credentials)


class TestUncertain:
    @pytest.fixture
    def uncertain(self, world: World, account: Account) -> dict[str, Any]:
        """An entry that the exchange shows twice."""
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))
        (action,) = world.actions(lost["executionId"])
        order = NewTrade("market", "buy", 100, Decimal(10), client_id=action.client_id)
        client_of(world, account).open_trade(order)
        return world.go_on(lost["executionId"])

    def test_it_is_told_alerted_and_logged(self, world: World, uncertain: dict[str, Any]) -> None:
        assert uncertain["status"] == "uncertain"
        assert (uncertain["error"]["code"], uncertain["error"]["status"]) == ("uncertain", 504)
        assert "more than one trade" in uncertain["error"]["message"]
        assert world.alerts == ["uncertain_outcome"]
        assert [row.status for row in world.trade_log()] == ["exchange_error"]

    def test_further_entries_of_its_automation_are_held(
        self, world: World, account: Account, uncertain: dict[str, Any]
    ) -> None:
        with world.changes() as changes:
            held = world.run(uncertain["automationId"])
        assert held["error"]["code"] == "unresolved_action"
        assert changes.sent == []

    def test_it_does_not_change_by_itself(self, world: World, uncertain: dict[str, Any]) -> None:
        assert world.go_on(uncertain["executionId"]) == uncertain

    def test_the_key_of_another_exchange_user_can_not_answer(self, world: World, account: Account) -> None:
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))
        other = world.account(name="Other")
        row = {**world.written(replace(account, paper=other.paper))}
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)
        result = world.go_on(lost["executionId"])
        assert result["status"] == "uncertain"
        assert "another exchange user" in result["error"]["message"]

    def test_a_new_key_of_the_same_exchange_user_can(self, world: World, account: Account) -> None:
        """Only the owner matters: here the key is the same, but the row was written anew, in the other format."""
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(world.automation(account, "auto_entry", ENTRY))
        row = world.written(account, "sealed")
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)
        assert world.go_on(lost["executionId"])["status"] == "completed"

    def test_after_a_rebind_the_recorded_account_is_asked(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        world.paper.add_fault("drop_after", mutating=True, count=1)
        lost = world.run(entry)
        other = world.account(name="Other")
        world.storage.run('UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', other.id, entry)
        with world.changes() as changes:
            result = world.go_on(lost["executionId"])
        assert (result["status"], result["accountName"]) == ("completed", "Main Account")
        assert changes.asked == {"Main Account"}


class TestWhatPluginsMayAskFor:
    def test_steps_on_one_trade_start_from_what_the_step_before_left(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        trade_id = world.open_trade(account)
        puppet.decision = act(
            AddMargin(trade_id, 100), SetTakeProfit(trade_id, Decimal(60_000)), AddMargin(trade_id, 100)
        )
        automation_id = world.automation(account, "puppet", CONFIG)
        # Only the last of the three requests gets lost.
        world.paper.add_fault("latency", route=ADDING, count=1, seconds=0)
        world.paper.add_fault("drop_before", route=ADDING, count=1)
        with world.changes() as changes:
            lost = world.run(automation_id)
            assert is_lost(lost)
            assert world.settle(lost["executionId"])["status"] == "completed"
        assert changes.kinds == ["add_margin", "set_takeprofit", "add_margin"]
        assert world.trade(account, trade_id)["margin"] == 20_200

    def test_a_rejected_step_stops_its_group_and_no_other(self, world: World, account: Account, puppet: Puppet) -> None:
        first, second = (world.open_trade(account) for _ in range(2))
        puppet.decision = Act(
            groups=tuple(
                Group("both", (AddMargin(trade_id, 100), SetTakeProfit(trade_id, Decimal(60_000))), trade_id)
                for trade_id in (first, second)
            ),
            action="both",
            lists_trades=True,
        )
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        with world.changes() as changes:
            result = world.run(world.automation(account, "puppet", CONFIG))
        assert changes.kinds == ["add_margin", "set_takeprofit"]
        assert {one["tradeId"]: one["status"] for one in result["trades"]} == {first: "failed", second: "completed"}

    def test_two_groups_for_one_trade_are_no_decision(self, world: World, account: Account, puppet: Puppet) -> None:
        """Their new trades would carry one client id, so nobody could tell them apart."""
        entry = OpenPosition("buy", 100, Decimal(10))
        puppet.decision = Act(groups=(Group("one", (entry,)), Group("two", (entry,))), action="both")
        with world.changes() as changes:
            result = world.run(world.automation(account, "puppet", CONFIG))
        assert (result["status"], result["error"]["code"]) == ("failed", "plugin_error")
        assert changes.sent == []

    def test_two_entries_in_one_group_are_told_apart(self, world: World, account: Account, puppet: Puppet) -> None:
        entry = OpenPosition("buy", 100, Decimal(10))
        puppet.decision = act(entry, entry)
        world.paper.add_fault("latency", route=OPENING, count=1, seconds=0)
        world.paper.add_fault("drop_after", route=OPENING, count=1)
        with world.changes() as changes:
            lost = world.run(world.automation(account, "puppet", CONFIG))
            assert world.settle(lost["executionId"])["status"] == "completed"
        assert changes.kinds == ["open", "open"]

    def test_nothing_is_sent_while_the_clocks_differ(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where the handler read nothing from which the difference could be told."""
        puppet.decision = act(OpenPosition("buy", 100, Decimal(10)))
        automation_id = world.automation(account, "puppet", CONFIG)
        assert world.run(automation_id)["status"] == "completed"
        world.paper.settings(windowSeconds=60, clockOffsetSeconds=20)
        monkeypatch.setattr(clock, "_compared", {})  # it is this machine that was set, in truth
        with world.changes() as changes:
            result = world.run(automation_id)
        assert (result["status"], result["error"]["code"]) == ("waiting", "clock_skew")
        assert changes.sent == []

    def test_an_answer_to_another_account_that_is_off_holds_nobody_back(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        puppet.decision = act(OpenPosition("buy", 100, Decimal(10)))
        other = world.account(name="Other")
        world.paper.settings(windowSeconds=60, clockOffsetSeconds=20)
        assert world.run(world.automation(other, "puppet", CONFIG))["error"]["code"] == "clock_skew"
        world.paper.settings(clockOffsetSeconds=0)
        assert world.run(world.automation(account, "puppet", CONFIG))["status"] == "completed"
