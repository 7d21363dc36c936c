"""Calls that are held back before they leave: what waits for them costs nothing, comes back in time and ends."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from axisor_executor.errors import Unavailable
from axisor_executor.limits.breaker import AccountRef
from axisor_executor.run.flow import LONGEST_HELD_BACK_SECONDS
from axisor_executor.switching import pause
from tests.harness.waiting import until
from tests.harness.world import Account, World

ENTRY = {"side": "b", "quantity": 100}
CLOSE = {"action": "close_position"}
HALVE = {"action": "reduce_position", "reduce_percentage": 50}
OPENING = "POST /v3/futures/isolated/trade"
AWAY = Unavailable("the exchange can't be reached")


@pytest.fixture
def account(world: World) -> Account:
    world.restart(breaker_probe_seconds=0.1, breaker_probe_limit_seconds=0.1)
    return world.account()


def exchange(world: World) -> str:
    return f"lnmarkets@{urlsplit(world.paper.url).netloc}"


def take_away(world: World, *, changes_only: bool) -> None:
    """Let the breaker of the exchange open, or that of its changes alone."""
    for number in range(5):
        ref = AccountRef(f"acc{number}", "x", f"f{number}", f"d{number}")
        world.parts.opener.breakers.report(exchange(world), ref, mutating=changes_only, failure=AWAY)
        if changes_only:
            world.parts.opener.breakers.report(exchange(world), ref, mutating=False, failure=None)


def elsewhere(act: Any) -> None:
    """Do something in a thread of its own."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


class TestProbe:
    def test_a_run_that_sends_nothing_gives_its_probe_back(self, world: World, account: Account) -> None:
        """Else entries that a switch holds would take every probe, and no guard would ever find out."""
        trade_id = world.open_trade(account)
        pause(world.storage, "account", account.id, mode="reduce_only")
        entry = world.automation(account, "auto_entry", ENTRY)
        take_away(world, changes_only=True)
        held: list[dict[str, Any]] = []

        def enter() -> None:
            held.append(world.run(entry))
            until(lambda: world.go_on(held[0]["executionId"])["error"]["code"] == "reduce_only")

        elsewhere(enter)
        waiting = world.run(world.automation(account, "margin_guard", CLOSE), trade_id=trade_id)
        closed = world.settle(waiting["executionId"], timeout=5)
        assert closed["status"] == "completed", closed


class TestRefusedKeys:
    @staticmethod
    def run_until_held(world: World, guard: str) -> dict[str, Any]:
        """Run a guard until its calls are held back; it asks for two things at once, and either may be the last one."""
        for _ in range(3):
            result = world.run(guard)
            if result["status"] != "failed":
                return result
            assert result["error"]["code"] == "exchange_unauthorized"
        pytest.fail("it is not held back")

    def test_a_guard_looks_again_long_before_the_next_probe(self, world: World, account: Account) -> None:
        """Its keys may be right again at any time, and nobody tells those that wait."""
        world.restart(breaker_account_probe_seconds=3600)
        guard = world.automation(account, "margin_guard", {**CLOSE, "scope": "all", "margin_threshold": 90})
        world.paper.add_fault("status_before", status=401)
        held = self.run_until_held(world, guard)
        assert (held["waitingFor"], held["error"]["code"]) == ("paused", "account_circuit_open")
        assert world.due_in(held["executionId"]) <= 1.5 * LONGEST_HELD_BACK_SECONDS

    def test_and_goes_on_with_changed_ones(self, world: World, account: Account) -> None:
        world.restart(breaker_account_probe_seconds=3600)
        guard = world.automation(account, "margin_guard", {**CLOSE, "scope": "all", "margin_threshold": 90})
        world.paper.add_fault("status_before", status=401)
        held = self.run_until_held(world, guard)
        assert held["error"]["code"] == "account_circuit_open"
        world.paper.clear_faults()
        keys = world.account(name="Renewed").paper
        row = world.written(Account(account.id, account.user_id, account.name, keys))
        world.storage.run("UPDATE user_exchange_accounts SET credentials = ? WHERE id = ?", row, account.id)
        assert world.go_on(held["executionId"])["status"] == "pending"


class TestPilingUp:
    @pytest.mark.parametrize("changes_only", [False, True], ids=["before the decision", "behind it"])
    def test_a_guards_jobs_do_not_pile_up_while_the_exchange_is_away(
        self, world: World, account: Account, changes_only: bool
    ) -> None:
        trade_id = world.open_trade(account)
        world.restart(breaker_probe_seconds=60, breaker_probe_limit_seconds=60)
        take_away(world, changes_only=changes_only)
        guard = world.automation(account, "margin_guard", CLOSE)
        held, second, third = (world.run(guard, trade_id=trade_id) for _ in range(3))
        assert (held["waitingFor"], held["error"]["code"]) == ("retry", "exchange_circuit_open")
        assert world.execution(held["executionId"]).tries == 0
        assert world.execution(held["executionId"]).plan_version == int(changes_only)
        assert {second["duplicateOf"], third["duplicateOf"]} == {held["executionId"]}, "nothing was sent yet"

    def test_one_that_has_spent_a_try_is_no_ones_twin(self, world: World, account: Account) -> None:
        trade_id = world.open_trade(account)
        guard = world.automation(account, "margin_guard", CLOSE)
        world.paper.add_fault("status_before", status=503, count=2)
        first, second = (world.run(guard, trade_id=trade_id) for _ in range(2))
        assert (first["status"], second["status"]) == ("waiting", "waiting")


class TestHalfDone:
    @pytest.fixture
    def half_done(self, world: World, account: Account) -> str:
        """A reduce whose position is closed, and whose reopen was not processed."""
        trade_id = world.open_trade(account)
        world.paper.add_fault("status_before", route=OPENING, status=503, count=1)
        reduce = world.run(world.automation(account, "margin_guard", HALVE), trade_id=trade_id)
        assert reduce["status"] == "waiting"
        assert world.alerts == []
        return str(reduce["executionId"])

    @pytest.mark.parametrize("changes_only", [False, True])
    def test_a_breaker_that_holds_it_is_an_alert_and_one_only(
        self, world: World, account: Account, half_done: str, changes_only: bool
    ) -> None:
        world.restart(breaker_probe_seconds=60, breaker_probe_limit_seconds=60)  # nothing is known of the account
        take_away(world, changes_only=changes_only)
        for _ in range(2):
            assert world.go_on(half_done)["error"]["code"] == "exchange_circuit_open"
        assert world.alerts.count("half_done_reduce") == 1

    def test_it_ends_when_it_is_too_late_though_nobody_can_be_asked(
        self, world: World, account: Account, half_done: str
    ) -> None:
        world.restart(breaker_probe_seconds=60, breaker_probe_limit_seconds=60)
        take_away(world, changes_only=False)
        world.make_older(half_done, seconds=3600)
        for action in world.actions(half_done):
            world.storage.run(
                "UPDATE axisor_actions SET created_at = ? WHERE execution_id = ? AND seq = ?",
                action.created_at - timedelta(seconds=3600),
                half_done,
                action.seq,
            )
        result = world.go_on(half_done)
        assert (result["status"], result["result"]["reopened"]) == ("failed", False)
        assert world.alerts.count("half_done_reduce") == 1


class TestRate:
    def test_a_run_that_reads_much_is_not_sent_away_in_the_middle(self, world: World, account: Account) -> None:
        """It would begin anew, read as much, and be sent away at the same place again."""
        closer = world.automation(account, "margin_guard", CLOSE)
        trades = [world.open_trade(account) for _ in range(4)]
        for trade_id in trades:
            assert world.run(closer, trade_id=trade_id)["status"] == "completed"
        world.restart(private_calls_per_second=5)
        scan = {**CLOSE, "scope": "selected", "selected_positions": trades, "margin_threshold": 90}
        result = world.run(world.automation(account, "margin_guard", scan))
        if result["status"] == "waiting":  # for what was called before; its time comes when nothing else has called
            until(lambda: world.due_in(result["executionId"]) < 0)
            result = world.go_on(result["executionId"])
        assert result["status"] == "completed", result
        assert [one["state"] for one in result["trades"]] == ["closed"] * 4
