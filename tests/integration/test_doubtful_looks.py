"""What an exchange shows that is not to be believed as it stands: no name, a list out of a cache, a wrong clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest

from axisor_executor.exchange import LNMarketsClient
from axisor_executor.exchange.answers.fields import UnreadableAnswer
from axisor_executor.exchange.base import Answer, Trade
from axisor_executor.exchange.calls import isolated
from axisor_executor.run import settle
from axisor_executor.settings import RetryPolicy
from tests.harness.cross import Owner
from tests.harness.world import Account, World
from tests.integration.conftest import Said

PATIENT = RetryPolicy(tries=5, first_delay_seconds=1, limit_seconds=5, max_age_seconds=300)
ENTRY = {"side": "b", "quantity": 100}
OPENING = "POST /v3/futures/isolated/trade"
HALVE = {"action": "reduce_position", "reduce_percentage": 50}


@pytest.fixture
def account(world: World) -> Account:
    world.restart(retries=dict.fromkeys(("auto_entry", "margin_guard"), PATIENT))
    return world.account()


def is_lost(result: dict[str, Any]) -> bool:
    return (result["status"], result.get("waitingFor")) == ("waiting", "reconcile")


def lose(world: World, account: Account, fault: str, *, route: str = OPENING) -> str:
    """Let an entry be sent, lose the answer, and return the execution."""
    world.paper.add_fault(fault, route=route, count=1)
    lost = world.run(world.automation(account, "auto_entry", ENTRY))
    assert is_lost(lost)
    return str(lost["executionId"])


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange shows no trade's client id, and trades as much older as ``World.outlive`` makes what was sent."""
    read, outlive = isolated.trade, World.outlive
    older = timedelta(0)

    def shown(value: dict[str, Any]) -> Trade:
        found = read({**value, "clientId": None})
        return replace(found, created_at=found.created_at - older)

    def outlived(world: World, execution_id: str) -> None:
        nonlocal older
        older = timedelta(seconds=62)
        outlive(world, execution_id)

    monkeypatch.setattr(isolated, "trade", shown)
    monkeypatch.setattr(World, "outlive", outlived)


@pytest.mark.usefixtures("nameless")
class TestNames:
    def test_the_answer_to_our_own_request_needs_none(self, world: World, account: Account) -> None:
        with world.changes() as changes:
            result = world.run(world.automation(account, "auto_entry", ENTRY))
        assert result["status"] == "completed"
        assert changes.kinds == ["open"]
        assert world.trade(account, result["tradeId"])["running"]

    def test_a_reduce_goes_through(self, world: World, account: Account) -> None:
        old = world.open_trade(account)
        with world.changes() as changes:
            result = world.run(world.automation(account, "margin_guard", HALVE), trade_id=old)
        assert (result["status"], changes.kinds) == ("completed", ["close", "open"])

    def test_a_lost_entry_is_never_told_as_not_executed(self, world: World, account: Account) -> None:
        with world.changes() as changes:
            lost = lose(world, account, "drop_after")
            assert is_lost(world.go_on(lost)), "the request lives"
            result = world.settle(lost)
        assert changes.kinds == ["open"]
        assert (result["status"], result["error"]["code"]) == ("uncertain", "uncertain")
        (trade,) = world.paper.trades(account.paper)
        assert trade["id"] in result["error"]["message"], "a person is told which"

    def test_nor_is_a_lost_reopen_sent_again(self, world: World, account: Account) -> None:
        old = world.open_trade(account, quantity=200)
        with world.changes() as changes:
            world.paper.add_fault("drop_after", route=OPENING, count=1)
            lost = world.run(world.automation(account, "margin_guard", HALVE), trade_id=old)
            assert world.settle(lost["executionId"])["status"] == "uncertain"
        assert changes.kinds == ["close", "open"]

    def test_what_never_arrived_is_still_proven_so(self, world: World, account: Account) -> None:
        world.open_trade(account, quantity=200)  # another's, and unlike ours
        with world.changes() as changes:
            assert world.settle(lose(world, account, "drop_before"))["status"] == "completed"
        assert changes.kinds == ["open"]


class TestCaches:
    def test_a_list_of_before_proves_nothing(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The others of the same look are fresh."""
        trade_id = world.open_trade(account)
        fresh, kept = LNMarketsClient.running_trades, list[Answer[tuple[Trade, ...]]]()

        def cached(client: LNMarketsClient) -> Answer[tuple[Trade, ...]]:
            if not kept:  # from long before what is sent now
                now = fresh(client)
                kept.append(replace(now, server_time=now.server_time - timedelta(minutes=5)))
            return kept[0]

        config = {"action": "add_margin", "add_margin_amount": 5_000}
        with world.changes() as changes:
            world.paper.add_fault("drop_after", mutating=True, count=1)
            with monkeypatch.context() as patched:
                patched.setattr(LNMarketsClient, "running_trades", cached)
                lost = world.run(world.automation(account, "margin_guard", config), trade_id=trade_id)
                assert is_lost(lost)
                world.outlive(lost["executionId"])
                assert is_lost(world.go_on(lost["executionId"]))
            assert world.go_on(lost["executionId"])["status"] == "completed"
        assert changes.kinds == ["add_margin"]

    @pytest.mark.parametrize("name", ["cross_position", "cross_open_orders", "cross_filled_orders"])
    def test_nor_does_any_of_the_cross_position(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        Owner(world, account).hold(100)
        world.paper.add_fault("drop_before", mutating=True, count=1)
        guard = world.automation(account, "margin_guard", {"margin_mode": "cross", **HALVE})
        lost = world.run(guard)["executionId"]
        world.outlive(lost)
        fresh: Callable[..., Answer[Any]] = getattr(LNMarketsClient, name)

        def stale(client: LNMarketsClient, **asked: Any) -> Answer[Any]:
            answer = fresh(client, **asked)
            return replace(answer, server_time=answer.server_time - timedelta(minutes=5))

        with monkeypatch.context() as patched:
            patched.setattr(LNMarketsClient, name, stale)
            assert is_lost(world.go_on(lost))
        assert world.go_on(lost)["status"] == "completed"


class TestClocks:
    def test_a_wrong_date_proves_nothing(self, world: World, account: Account) -> None:
        with world.changes() as changes:
            lost = lose(world, account, "drop_before")
            world.paper.settings(clockOffsetSeconds=120, windowSeconds=600)
            assert is_lost(world.go_on(lost))
            (action,) = world.actions(lost)
            assert action.status == "unknown"
        assert len(changes.sent) == 1

    def test_a_request_that_is_dead_by_our_clocks_too_is_settled(self, world: World, account: Account) -> None:
        """Clocks that differ for good leave nothing unknown for ever."""
        lost = lose(world, account, "drop_before")
        world.paper.settings(clockOffsetSeconds=120, windowSeconds=600)
        world.outlive(lost)
        assert is_lost(world.go_on(lost)), "ours may be ahead"
        world.storage.run("UPDATE axisor_actions SET timestamp_ms = timestamp_ms - 10000 WHERE execution_id = ?", lost)
        waiting = world.go_on(lost)
        assert [action.status for action in world.actions(lost)][:1] == ["rejected"]
        assert (waiting["status"], waiting["error"]["code"]) == ("waiting", "clock_skew"), "nothing is sent by it"

    def test_a_machine_that_is_behind_goes_by_the_databases_clock(
        self, world: World, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if world.storage.is_sqlite:
            pytest.skip("its clock is the machine's")

        class Behind(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) - timedelta(minutes=10)

        lost = lose(world, account, "drop_before")
        world.outlive(lost)
        monkeypatch.setattr(settle, "datetime", Behind)
        assert world.go_on(lost)["status"] == "completed"


def test_what_can_not_be_read_is_asked_for_later_and_later(
    world: World, account: Account, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an answer does not pass by itself, unlike an exchange that is away."""

    def unreadable(value: Any) -> Trade:
        raise UnreadableAnswer("maintenanceMargin is missing")

    lost = lose(world, account, "drop_after")
    world.open_trade(account)  # something to be listed
    said.clear()
    with monkeypatch.context() as patched:
        patched.setattr(isolated, "trade", unreadable)
        for _ in range(4):
            assert is_lost(world.go_on(lost))
    assert said.delays == [1, 2, 4, 8]
    assert world.go_on(lost)["status"] == "completed"
