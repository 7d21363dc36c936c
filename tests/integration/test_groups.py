"""The groups of one decision are independent: what becomes of one neither holds up nor ends what another is owed."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from axisor_executor import interventions
from axisor_executor.automation import (
    AccountContext,
    Act,
    Action,
    AddMargin,
    ClosePosition,
    Decision,
    Group,
    OpenPosition,
    SetStopLoss,
    SpendGuards,
    act,
    wait,
)
from axisor_executor.credentials import SecureCredentials
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, NewTrade
from axisor_executor.exchange.base import Trade
from axisor_executor.run import points
from axisor_executor.run.acting import Acting
from axisor_executor.run.follow import HELD_RETRY_SECONDS
from axisor_executor.run.patience import Patience
from axisor_executor.run.send import Sender
from axisor_executor.settings import RetryPolicy
from tests.harness.world import Account, World
from tests.integration.puppet import CONFIG, Puppet, PuppetConfig

PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
OPENING = "POST /v3/futures/isolated/trade"
CLOSING = "POST /v3/futures/isolated/trade/close"
ADDING = "POST /v3/futures/isolated/trade/add-margin"
ASKING = "GET /v3/account"
HISTORY = "GET /v3/futures/isolated/trades/closed"
AT_RISK = 45_900


class GuardedConfig(SpendGuards, PuppetConfig):
    """Nothing to configure but how much it may spend."""


class Guarded(Puppet):
    """A third party's handler whose config has the guards."""

    config_model: ClassVar[Any] = GuardedConfig


@pytest.fixture
def puppet() -> Puppet:
    return Guarded()


def start(world: World, puppet: Puppet, policy: RetryPolicy = PATIENT) -> Account:
    """Return an account whose jobs are tried again by a policy."""
    world.restart(puppet.plugin, retries=dict.fromkeys(("auto_entry", "margin_guard", "tp_sl", "puppet"), policy))
    return world.account()


@pytest.fixture
def account(world: World, puppet: Puppet) -> Account:
    return start(world, puppet)


@pytest.fixture
def trades(world: World, account: Account) -> tuple[str, str]:
    return world.open_trade(account), world.open_trade(account)


def scope_all(world: World, account: Account, action: str, **config: Any) -> str:
    """Make a guard of all trades of an account, which are all at risk."""
    world.move_price(AT_RISK)
    more = {"scope": "all", "margin_threshold": 90, **config}
    return world.automation(account, "margin_guard", {"action": action, **more})


def reduce_and_top_up(first: str, second: str) -> Act:
    """Return the decision to reduce one trade to its half and to add margin to another."""
    reopen = OpenPosition("buy", 50, Decimal(10), replaces=first)
    groups = (
        Group("reduce", (ClosePosition(first), reopen), first),
        Group("top_up", (AddMargin(second, 100),), second),
    )
    return Act(groups=groups, action="both", lists_trades=True)


def top_ups(*trades: str) -> Act:
    groups = tuple(Group("top_up", (AddMargin(one, 100),), one) for one in trades)
    return Act(groups=groups, action="top_up", lists_trades=True)


def told(result: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return what a result tells of each trade: its status, and the code of its error."""
    return {one["tradeId"]: (one["status"], one.get("error", {}).get("code")) for one in result["trades"]}


def logged(world: World, trades: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return which of these trades the TradeLog has something of, but for how they were opened, and its status."""
    rows = [row for row in world.trade_log() if row.action != "auto_entry_executed"]
    return [(row.trade_id, row.status) for row in rows if row.trade_id in trades]


def enter_and_close_all_others(context: AccountContext[Any]) -> Act:
    others = (Group("close", (ClosePosition(one.id),), one.id) for one in context.running_trades())
    entry = Group("enter", (OpenPosition("buy", 10, Decimal(10)),))
    return Act(groups=(entry, *others), action="both", lists_trades=True)


class TestWhileOneIsUnknown:
    """Signatures outlive the test: nothing that was lost is ever proven not executed."""

    @pytest.fixture
    def guard(self, world: World, account: Account, trades: tuple[str, str]) -> str:
        return scope_all(world, account, "reduce_position", reduce_percentage=10)

    def test_a_remainder_that_is_owed_is_opened(self, world: World, guard: str) -> None:
        world.paper.add_fault("drop_before", route=CLOSING, count=1)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        with world.changes() as changes:
            lost = world.run(guard)
            result = world.go_on(lost["executionId"])
        assert changes.kinds == ["close", "open"]
        assert (result["status"], result["waitingFor"]) == ("waiting", "reconcile"), "for the other one"

    def lose_an_entry(self, world: World, account: Account, puppet: Puppet, fault: str) -> str:
        """Lose the answer to an entry, where one of the trades beside it is not closed either."""
        puppet.decision = enter_and_close_all_others
        world.paper.add_fault(fault, route=OPENING, count=1)
        world.paper.add_fault("status_before", route=CLOSING, status=503, count=1)
        return str(world.run(world.automation(account, "puppet", CONFIG))["executionId"])

    def test_nothing_is_decided_on_what_a_lost_entry_may_have_made(
        self, world: World, account: Account, trades: tuple[str, str], puppet: Puppet
    ) -> None:
        with world.changes() as changes:
            begun = self.lose_an_entry(world, account, puppet, "drop_after")
            world.paper.add_fault("status_before", route=HISTORY, status=503, count=1)
            assert world.go_on(begun)["waitingFor"] == "reconcile"
            assert world.settle(begun)["status"] == "completed"
        assert changes.kinds == ["open", "close", "close"]
        assert not any(world.trade(account, one)["running"] for one in trades)

    def test_nor_where_it_is_not_known_for_good(
        self, world: World, account: Account, trades: tuple[str, str], puppet: Puppet
    ) -> None:
        begun = self.lose_an_entry(world, account, puppet, "drop_before")
        world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -3_700)
        with world.changes() as changes:
            ended = world.go_on(begun)
        assert (ended["status"], changes.sent) == ("uncertain", [])
        (left,) = (one for one in trades if world.trade(account, one)["running"])
        assert told(ended)[left] == ("failed", "outcome_unknown")

    def test_and_so_is_that_of_a_close_that_was_lost_too_but_is_seen(self, world: World, guard: str) -> None:
        world.paper.add_fault("drop_after", route=CLOSING, count=1)
        world.paper.add_fault("drop_before", route=CLOSING, count=1)
        with world.changes() as changes:
            lost = world.run(guard)
            result = world.go_on(lost["executionId"])
        assert changes.kinds == ["close", "open"]
        assert (result["status"], result["waitingFor"]) == ("waiting", "reconcile")

    def test_a_remainder_that_can_not_be_opened_any_more_does_not_end_it(self, world: World, guard: str) -> None:
        world.paper.add_fault("drop_before", route=CLOSING, count=1)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        lost = world.run(guard)["executionId"]
        world.storage.run("UPDATE axisor_actions SET created_at = {later} WHERE execution_id = ?", -301, lost)
        world.make_older(lost, seconds=601)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", {})
        assert world.go_on(lost)["status"] == "waiting", "until that is known"


class TestWhenOneCanNotGoOn:
    @pytest.fixture
    def automation_id(self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]) -> str:
        puppet.decision = reduce_and_top_up(*trades)
        return world.automation(account, "puppet", CONFIG)

    @pytest.mark.parametrize("fault", ["the reopen is not processed", "the answer to the close is lost"])
    def test_one_that_is_too_late_is_no_end_of_the_others(
        self,
        world: World,
        account: Account,
        automation_id: str,
        trades: tuple[str, str],
        fault: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # The job's time is up as soon as the first trade is closed.
        monkeypatch.setattr(Patience, "_is_late", lambda *_: bool(world.trade(account, trades[0])["closed"]))
        if fault == "the reopen is not processed":
            world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        else:
            world.paper.add_fault("drop_after", route=CLOSING, count=1)
        with world.changes() as changes:
            begun = world.run(automation_id)
            assert begun["status"] == "waiting"
            result = world.go_on(begun["executionId"])
        assert changes.kinds == ["close", "open"]
        assert told(result) == {trades[0]: ("completed", None), trades[1]: ("failed", "expired")}
        assert "half_done_reduce" not in world.alerts

    def test_nor_is_a_mistake_in_another(
        self, world: World, automation_id: str, trades: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = Sender._target

        def trip(sender: Sender, action: Action, acting: Acting) -> Trade | Any:
            if action.kind == "add_margin":
                raise ValueError("a mistake")
            return find(sender, action, acting)

        monkeypatch.setattr(Sender, "_target", trip)
        world.paper.add_fault("drop_after", route=CLOSING, count=1)
        with world.changes() as changes:
            begun = world.run(automation_id)
            assert (begun["status"], begun["waitingFor"]) == ("waiting", "reconcile")
            result = world.go_on(begun["executionId"])
        assert changes.kinds == ["close", "open"]
        assert told(result) == {trades[0]: ("completed", None), trades[1]: ("failed", "internal_error")}

    def test_keys_that_fail_in_between_keep_a_remainder_owed(
        self, world: World, account: Account, automation_id: str, trades: tuple[str, str]
    ) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        with world.changes() as changes:
            begun = world.run(automation_id)["executionId"]
            world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", {}, account.id)
            held = world.go_on(begun)
            assert (held["status"], held["waitingFor"], world.alerts) == ("waiting", "paused", ["half_done_reduce"])
            row = world.written(account)
            world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)
            assert world.go_on(begun)["status"] == "completed"
        assert sorted(changes.kinds) == ["add_margin", "close", "open"]

    @pytest.mark.parametrize("reading", ["whose the key is", "the clock"])
    def test_so_does_a_read_that_is_refused_in_between(
        self,
        world: World,
        puppet: Puppet,
        automation_id: str,
        trades: tuple[str, str],
        reading: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        with world.changes() as changes:
            begun = world.run(automation_id)["executionId"]
            if reading == "the clock":
                monkeypatch.setattr(LNMarketsClient, "last_skew_seconds", None)
            else:
                world.restart(puppet.plugin)  # another process, which has not asked for it yet
            world.paper.add_fault("status_before", route=ASKING, status=403, count=1)
            held = world.go_on(begun)
            assert (held["status"], held["waitingFor"], world.alerts) == ("waiting", "paused", ["half_done_reduce"])
            assert held["error"]["code"] == "exchange_forbidden"
            assert told(world.go_on(begun)) == dict.fromkeys(trades, ("completed", None))
        assert sorted(changes.kinds) == ["add_margin", "close", "open"]

    def test_that_one_is_held_half_done_is_told_though_another_waits_shorter(
        self, world: World, automation_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(reached: str) -> None:
            if reached == "settled":
                monkeypatch.undo()
                monkeypatch.setattr(LNMarketsClient, "last_skew_seconds", None)
                world.paper.add_fault("status_before", route=ASKING, status=403, count=1)

        monkeypatch.setattr(points, "listeners", [refuse])
        world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        held = world.run(automation_id)
        assert (held["waitingFor"], world.alerts) == ("paused", ["half_done_reduce"])
        assert world.due_in(held["executionId"]) < 2.0
        assert world.go_on(held["executionId"])["status"] == "completed"

    def test_none_waits_for_the_longer_delay_of_another(self, world: World, puppet: Puppet) -> None:
        patient = RetryPolicy(tries=5, first_delay_seconds=60, limit_seconds=120, max_age_seconds=600)
        account = start(world, puppet, patient)
        first, second = world.open_trade(account), world.open_trade(account)
        both = reduce_and_top_up(second, first)
        puppet.decision = dataclasses.replace(both, groups=both.groups[::-1])
        for route in (ADDING, OPENING):
            world.paper.add_fault("status_before", route=route, status=503, count=1)
        begun = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
        assert world.due_in(begun) <= HELD_RETRY_SECONDS, "the remainder is owed now"
        assert world.execution(begun).tries == 1, "and the other one has spent its try"
        assert told(world.go_on(begun)) == dict.fromkeys((first, second), ("completed", None))

    def test_what_is_uncertain_is_gone_on_with_when_a_person_has_it_tried_again(
        self, world: World, automation_id: str, trades: tuple[str, str]
    ) -> None:
        world.paper.add_fault("drop_after", route=CLOSING, count=1)
        world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        with world.changes() as changes:
            lost = world.run(automation_id)["executionId"]
            # An hour has passed in which the exchange could not be asked.
            world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -3_700)
            world.make_older(lost, seconds=3_700)
            world.paper.add_fault("status_before", status=503)
            assert told(world.go_on(lost)) == {
                trades[0]: ("uncertain", "uncertain"),
                trades[1]: ("failed", "expired"),
            }
            world.paper.clear_faults()
            world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -1)
            interventions.retry(world.parts.opener, lost, max_age_seconds=300)
            assert told(world.go_on(lost))[trades[0]] == ("completed", None)
        assert changes.kinds == ["close", "open"]


class TestOfAnEarlierPlan:
    """One is done by half, and what is left of it is still known after another one has been decided again."""

    @pytest.fixture
    def automation_id(self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]) -> str:
        puppet.decision = reduce_and_top_up(*trades)
        world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        return world.automation(account, "puppet", CONFIG)

    @pytest.fixture
    def uncertain(self, world: World, automation_id: str, trades: tuple[str, str]) -> str:
        """An hour in which the history could not be read: the first was closed, the second topped up by a new plan."""
        world.paper.add_fault("drop_after", route=CLOSING, count=1)
        begun = str(world.run(automation_id)["executionId"])
        world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -3_700)
        world.paper.add_fault("status_before", route=HISTORY, status=503, count=1)
        assert told(world.go_on(begun)) == {trades[0]: ("uncertain", "uncertain"), trades[1]: ("completed", None)}
        assert world.execution(begun).plan_version == 2
        return begun

    @pytest.fixture
    def retried(self, world: World, uncertain: str) -> str:
        """The history can be read again, and a person has it tried again."""
        world.storage.run("UPDATE axisor_actions SET sent_at = {later} WHERE status = 'unknown'", -1)
        interventions.retry(world.parts.opener, uncertain, max_age_seconds=300)
        return uncertain

    def test_it_is_gone_on_with(self, world: World, account: Account, retried: str, trades: tuple[str, str]) -> None:
        with world.changes() as changes:
            result = world.go_on(retried)
        assert told(result) == dict.fromkeys(trades, ("completed", None))
        assert changes.kinds == ["open"]
        (first,) = (one for one in result["trades"] if one["tradeId"] == trades[0])
        assert world.trade(account, first["newTradeId"])["quantity"] == 50

    def test_a_remainder_that_is_refused_is_told(self, world: World, retried: str, trades: tuple[str, str]) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        assert told(world.go_on(retried))[trades[0]] == ("failed", "exchange_rejected")
        assert "half_done_reduce" in world.alerts

    def test_keys_that_fail_keep_a_remainder_owed(
        self, world: World, account: Account, retried: str, trades: tuple[str, str]
    ) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        assert world.go_on(retried)["status"] == "waiting"
        row = world.written(account)
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", {}, account.id)
        held = world.go_on(retried)
        assert (held["status"], held["waitingFor"]) == ("waiting", "paused")
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)
        assert told(world.go_on(retried)) == dict.fromkeys(trades, ("completed", None))

    def test_it_is_told_when_a_person_says_what_happened(
        self, world: World, uncertain: str, trades: tuple[str, str]
    ) -> None:
        result = interventions.resolve(world.parts.opener, uncertain, "executed")
        assert told(result) == {trades[0]: ("failed", "resolved_by_hand"), trades[1]: ("completed", None)}
        assert [one.get("reopened") for one in result["trades"]] == [False, None]

    def test_a_remainder_that_was_refused_is_opened_when_a_person_has_it_tried_again(
        self, world: World, automation_id: str, trades: tuple[str, str]
    ) -> None:
        world.paper.add_fault("status_before", route=OPENING, status=400, count=1)
        begun = world.run(automation_id)["executionId"]
        assert told(world.go_on(begun)) == {trades[0]: ("failed", "exchange_rejected"), trades[1]: ("completed", None)}
        assert world.execution(begun).plan_version == 2
        interventions.retry(world.parts.opener, begun, max_age_seconds=300)
        with world.changes() as changes:
            assert told(world.go_on(begun)) == dict.fromkeys(trades, ("completed", None))
        assert changes.kinds == ["open"]


class TestLost:
    def test_one_attempt_each_ends_none_of_them(self, world: World, puppet: Puppet) -> None:
        account = start(
            world, puppet, RetryPolicy(tries=3, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
        )
        trades = [world.open_trade(account) for _ in range(3)]
        world.paper.add_fault("drop_before", route=CLOSING, count=3)
        with world.changes() as changes:
            lost = world.run(scope_all(world, account, "close_position"))
            result = world.settle(lost["executionId"])
        assert told(result) == dict.fromkeys(trades, ("completed", None))
        assert (changes.kinds, len(changes.sent)) == (["close"] * 3, 6)

    def test_one_that_is_known_to_be_lost_later_than_the_others_is_decided_again_as_well(
        self, world: World, account: Account
    ) -> None:
        trades = [world.open_trade(account) for _ in range(3)]
        world.paper.add_fault("drop_before", route=CLOSING, count=3)
        dies = "UPDATE axisor_actions SET timestamp_ms = timestamp_ms - 100000 WHERE seq {} 3 AND status = 'unknown'"
        with world.changes() as changes:
            lost = world.run(scope_all(world, account, "close_position"))["executionId"]
            world.storage.run(dies.format("<"))
            assert world.go_on(lost)["waitingFor"] == "reconcile", "for the last one"
            world.storage.run(dies.format("="))
            result = world.go_on(lost)
        assert told(result) == dict.fromkeys(trades, ("completed", None))
        assert (changes.kinds, len(changes.sent)) == (["close"] * 3, 6)

    def test_one_whose_tries_are_spent_is_told_and_not_sent_again(self, world: World, puppet: Puppet) -> None:
        account = start(
            world, puppet, RetryPolicy(tries=3, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
        )
        trades = (world.open_trade(account), world.open_trade(account))
        puppet.decision = top_ups(*trades)
        for _ in range(2):
            world.paper.add_fault("drop_before", route=ADDING, count=1)
            world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        with world.changes() as changes:
            lost = world.run(world.automation(account, "puppet", CONFIG))
            result = world.settle(lost["executionId"])
        assert told(result) == {trades[0]: ("failed", "not_executed"), trades[1]: ("completed", None)}
        assert changes.kinds == ["add_margin"]
        assert sorted(logged(world, trades)) == sorted([(trades[0], "exchange_error"), (trades[1], "success")])

    def test_a_late_effect_of_an_attempt_is_known_whichever_step_it_is_of(
        self, world: World, account: Account, puppet: Puppet
    ) -> None:
        protected = world.open_trade(account)
        puppet.decision = act(SetStopLoss(protected, Decimal(48_000)), OpenPosition("buy", 10, Decimal(10)))
        world.paper.add_fault("drop_before", route=OPENING, count=2)
        lost = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
        world.outlive(lost)
        world.go_on(lost)
        first, second = world.actions(lost)[1:]
        assert (first.status, second.status) == ("rejected", "unknown")
        assert first.client_id == second.client_id
        keys = account.paper
        credentials = SecureCredentials(keys.key, keys.secret, keys.passphrase)
        late = NewTrade("market", "buy", 10, Decimal(10), client_id=first.client_id)
        LNMarketsClient(ExchangeOptions("paper", world.paper.url), credentials).open_trade(late)
        with world.changes() as changes:
            assert world.go_on(lost)["status"] == "completed"
        assert changes.sent == []


class TestReducedMeanwhile:
    """A trade that was done goes on under another id, while others of the same pass are decided again."""

    def test_it_is_not_done_again(self, world: World, account: Account, puppet: Puppet) -> None:
        for _ in range(2):
            world.open_trade(account)
        puppet.decision = lambda context: top_ups(*sorted(one.id for one in context.running_trades()))
        world.paper.add_fault("drop_before", route=ADDING, count=1)
        begun = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
        (done,) = (one.action.target for one in world.actions(begun) if one.status == "confirmed")
        halving = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
        new = world.run(halving, trade_id=done)["tradeId"]
        result = world.settle(begun)
        assert set(told(result).values()) == {("completed", None)}
        assert new not in {one.action.target for one in world.actions(begun)}


class TestRejectedBefore:
    """One was refused by a plan, and another is decided on by the plans that follow."""

    @pytest.fixture
    def waiting(self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]) -> str:
        puppet.decision = top_ups(*trades)
        world.paper.add_fault("status_before", route=ADDING, status=400, count=1)
        world.paper.add_fault("status_before", route=ADDING, status=503, count=2)
        begun = world.run(world.automation(account, "puppet", CONFIG))["executionId"]
        assert world.go_on(begun)["status"] == "waiting"
        return str(begun)

    def test_it_is_told_and_not_sent_again(self, world: World, waiting: str, trades: tuple[str, str]) -> None:
        with world.changes() as changes:
            result = world.go_on(waiting)
        assert told(result) == {trades[0]: ("failed", "exchange_rejected"), trades[1]: ("completed", None)}
        assert len(changes.sent) == 1
        assert logged(world, trades) == [(trades[0], "exchange_error"), (trades[1], "success")]
        assert world.alerts == ["api_error"]

    @pytest.mark.parametrize("decision", [wait("not_any_more"), ValueError("a plugin's mistake")])
    def test_also_where_nothing_more_is_done(
        self, world: World, puppet: Puppet, waiting: str, trades: tuple[str, str], decision: Decision | Exception
    ) -> None:
        puppet.decision = decision
        result = world.go_on(waiting)
        assert (result["status"], told(result)[trades[0]]) == ("failed", ("failed", "exchange_rejected"))
        assert logged(world, trades)[0] == (trades[0], "exchange_error")

    def test_a_person_has_it_decided_anew(
        self, world: World, puppet: Puppet, waiting: str, trades: tuple[str, str]
    ) -> None:
        world.go_on(waiting)
        interventions.retry(world.parts.opener, waiting, max_age_seconds=300)
        with world.changes() as changes:
            result = world.go_on(waiting)
        assert told(result) == dict.fromkeys(trades, ("completed", None))
        assert len(changes.sent) == 1


class TestDoneBefore:
    """One was done by a plan without a list of trades, and the next is decided on without it."""

    @pytest.fixture
    def groups(self, trades: tuple[str, str]) -> tuple[Group, ...]:
        return tuple(Group("top_up", (AddMargin(one, 100),), one) for one in trades)

    def begin(self, world: World, account: Account, puppet: Puppet, groups: tuple[Group, ...], **config: Any) -> str:
        """Have the first done and the second wait."""
        puppet.decision = Act(groups=groups, action="top_up")
        world.paper.add_fault("latency", route=ADDING, count=1, seconds=0)
        world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        begun = world.run(world.automation(account, "puppet", {**CONFIG, **config}))
        assert begun["status"] == "waiting"
        return str(begun["executionId"])

    def test_what_has_nothing_left_to_be_done_is_no_matter_for_the_spend_guards(
        self, world: World, account: Account, puppet: Puppet, groups: tuple[Group, ...]
    ) -> None:
        begun = self.begin(world, account, puppet, groups, cooldown_seconds=60)
        puppet.decision = Act(groups=groups[:1], action="top_up")
        result = world.go_on(begun)
        assert told(result) == {groups[0].trade_id: ("completed", None)}

    def test_the_result_lists_both(
        self, world: World, account: Account, puppet: Puppet, groups: tuple[Group, ...]
    ) -> None:
        begun = self.begin(world, account, puppet, groups)
        puppet.decision = Act(groups=groups[1:], action="top_up")
        result = world.go_on(begun)
        assert told(result) == {group.trade_id: ("completed", None) for group in groups}
        assert "tradeId" not in result


class TestDoneUnderAnotherName:
    """What is done is recognised by what the actions are about, however a later decision puts and names its groups."""

    ENTRY = OpenPosition("buy", 100, Decimal(10))

    def begin(self, world: World, account: Account, puppet: Puppet, first: Group, second: Group) -> str:
        """Have the first done and the second, which adds margin, wait."""
        puppet.decision = Act((first, second), "go", lists_trades=True)
        if any(isinstance(action, AddMargin) for action in first.actions):
            world.paper.add_fault("latency", route=ADDING, count=1, seconds=0)
        world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        with world.changes() as changes:
            begun = world.run(world.automation(account, "puppet", CONFIG))
        assert begun["status"] == "waiting"
        assert len(changes.kinds) == 1
        return str(begun["executionId"])

    def test_margin_is_not_added_again_in_a_group_with_another_trade(
        self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]
    ) -> None:
        done, waiting = trades
        top_up = [Group("top_up", (AddMargin(one, 100),), one) for one in trades]
        begun = self.begin(world, account, puppet, top_up[0], top_up[1])
        puppet.decision = act(AddMargin(waiting, 100), AddMargin(done, 100))
        with world.changes() as changes:
            result = world.go_on(begun)
        assert (result["status"], changes.kinds) == ("completed", [])
        assert told(result) == {done: ("completed", None)}

    def test_an_entry_is_not_made_again_beside_what_is_for_a_trade(
        self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]
    ) -> None:
        top_up = AddMargin(trades[0], 100)
        begun = self.begin(world, account, puppet, Group("enter", (self.ENTRY,)), Group("top_up", (top_up,), trades[0]))
        puppet.decision = act(self.ENTRY, top_up)
        with world.changes() as changes:
            result = world.go_on(begun)
        assert (result["status"], changes.kinds) == ("completed", [])

    def test_nor_what_was_done_beside_an_entry(
        self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]
    ) -> None:
        both = Group("both", (SetStopLoss(trades[0], Decimal(48_000)), self.ENTRY), trades[0])
        top_up = Group("top_up", (AddMargin(trades[1], 100),), trades[1])
        puppet.decision = Act((both, top_up), "go", lists_trades=True)
        world.paper.add_fault("status_before", route=ADDING, status=503, count=1)
        with world.changes() as changes:
            begun = world.run(world.automation(account, "puppet", CONFIG))
        assert (begun["status"], changes.kinds) == ("waiting", ["set_stoploss", "open"])
        puppet.decision = Act((Group("enter", (self.ENTRY,)), top_up), "go", lists_trades=True)
        with world.changes() as changes:
            result = world.go_on(str(begun["executionId"]))
        assert (result["status"], changes.kinds) == ("completed", ["add_margin"])

    def test_a_name_that_changes_ends_it_with_nothing_done_twice(
        self, world: World, account: Account, puppet: Puppet, trades: tuple[str, str]
    ) -> None:
        entry, top_up = Group("enter", (self.ENTRY,)), Group("top_up", (AddMargin(trades[0], 100),), trades[0])
        begun = self.begin(world, account, puppet, entry, top_up)
        puppet.decision = Act((dataclasses.replace(entry, trade_id="ladder-2"), top_up), "go", lists_trades=True)
        with world.changes() as changes:
            result = world.go_on(begun)
        assert (result["status"], result["error"]["code"], changes.kinds) == ("failed", "plugin_error", [])
