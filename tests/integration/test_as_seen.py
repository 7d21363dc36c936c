"""An automation whose jobs come again: one round trip for each, and nothing goes by what is not so any more."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from axisor_executor.errors import IdempotencyConflict
from axisor_executor.intake import LONGEST_SEEN
from axisor_executor.run.kept import Kept
from axisor_executor.storage.executions import Execution
from tests.harness.world import Account, World
from tests.integration.puppet import Puppet

GUARD = {"action": "close_position", "margin_threshold": 90}
ENTRY = {"side": "b", "quantity": 100, "leverage": 10}
SET = 'UPDATE "Automation" SET {} = ? WHERE id = ?'


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


@pytest.fixture
def entry(world: World, account: Account) -> str:
    """An automation that was seen already."""
    automation_id = world.automation(account, "auto_entry", ENTRY)
    world.enqueue(world.job(automation_id))
    return automation_id


@pytest.fixture
def guard(world: World, account: Account) -> str:
    """A guard that was seen already: its jobs collapse."""
    automation_id = world.automation(account, "margin_guard", GUARD)
    world.enqueue(world.job(automation_id, trade_id="seen"))
    return automation_id


def taken(world: World, automation_id: str, key: str | None = None, **more: Any) -> Execution:
    return world.execution(world.enqueue(world.job(automation_id, **more), key))


class TestTheUsualCase:
    def test_is_one_round_trip(self, world: World, entry: str, asked: list[str]) -> None:
        world.enqueue(world.job(entry))
        assert len(asked) == 1

    def test_and_says_the_same_as_the_first_time(self, world: World, account: Account, guard: str) -> None:
        world.restart()
        for one in [taken(world, guard, trade_id=name) for name in ("t1", "t2")]:
            assert (one.automation_type, one.account_id, one.account_name) == ("margin_guard", account.id, account.name)
            assert (one.exchange, one.lane, one.status) == ("lnmarkets", "protect", "queued")
            assert one.expires_at is not None
            assert (one.expires_at - one.created_at).total_seconds() == pytest.approx(600, abs=0.1)

    def test_nothing_that_was_seen_holds_credentials(self, world: World, entry: str) -> None:
        seen = world.parts.intake._seen.get(entry)
        assert seen is not None
        assert seen.account is not None
        assert seen.account.credentials is None


class TestWhatHasChanged:
    def test_it_was_bound_to_another_account(self, world: World, entry: str) -> None:
        other = world.account(name="Other Account")
        world.storage.run(SET.format("user_exchange_account_id"), other.id, entry)
        for _ in range(2):
            assert taken(world, entry).account_id == other.id

    def test_it_is_of_another_type(self, world: World, entry: str) -> None:
        world.storage.run(SET.format("type"), "margin_guard", entry)
        world.storage.run(SET.format("config"), json.dumps(GUARD), entry)
        assert taken(world, entry, trade_id="t1").lane == "protect"

    def test_its_config_means_another_lane(self, world: World, account: Account) -> None:
        guard = world.automation(account, "margin_guard", GUARD)
        assert taken(world, guard, trade_id="t1").lane == "protect"
        world.storage.run(SET.format("config"), json.dumps({"action": "no such action"}), guard)
        assert taken(world, guard, trade_id="t2").lane == "default", "nobody knows what it means"

    def test_its_account_has_another_name(self, world: World, account: Account, entry: str) -> None:
        world.storage.run("UPDATE user_exchange_accounts SET account_name = ? WHERE id = ?", "Renamed", account.id)
        assert taken(world, entry).account_name == "Renamed"

    def test_it_is_bound_to_none(self, world: World, entry: str) -> None:
        world.storage.run(SET.format("user_exchange_account_id"), None, entry)
        world.account(name="Other Account")  # or it would be bound to the user's only one
        one = taken(world, entry)
        assert (one.account_id, one.lane) == (None, "default")

    def test_it_is_gone(self, world: World, entry: str) -> None:
        world.storage.run('DELETE FROM "Automation" WHERE id = ?', entry)
        one = taken(world, entry)
        assert (one.account_id, one.automation_type) == (None, None)
        assert world.go_on(one.id)["error"]["code"] == "automation_not_found"

    def test_it_is_another_users(self, world: World, entry: str) -> None:
        world.storage.run(SET.format("user_id"), "somebody", entry)
        assert taken(world, entry).account_id is None

    @pytest.mark.parametrize("change", [lambda text: text.replace("100", "200"), lambda text: text + " "])
    def test_what_changes_nothing_here_is_taken_as_before(
        self, world: World, entry: str, change: Callable[[str], str]
    ) -> None:
        world.storage.run(SET.format("config"), change(json.dumps(ENTRY)), entry)
        assert taken(world, entry).status == "queued"

    def test_another_users_job_learns_nothing_of_it(self, world: World, entry: str) -> None:
        one = taken(world, entry, user_id="somebody")
        assert (one.automation_type, one.account_id, one.account_name) == (None, None, None)


class Chooser(Puppet):
    """A plugin that chooses the action itself, and spoils the config while it is at it."""

    def __init__(self) -> None:
        super().__init__()
        self.chosen = 0

    def choose_action(self, job_action: str | None, config: Mapping[str, Any]) -> str:
        self.chosen += 1
        assert isinstance(config, dict)
        return str(config.pop("mode"))


class TestAPluginsOwnChoice:
    @pytest.fixture
    def chooser(self, world: World) -> Chooser:
        chooser = Chooser()
        world.restart(chooser.plugin)
        return chooser

    @pytest.fixture
    def puppet(self, world: World, account: Account, chooser: Chooser) -> str:
        automation_id = world.automation(account, chooser.type, {"mode": "guard"})
        world.enqueue(world.job(automation_id), "key")
        return automation_id

    def test_what_it_does_to_a_config_stays_with_it(self, world: World, puppet: str) -> None:
        assert [taken(world, puppet).lane for _ in range(2)] == ["protect"] * 2

    def test_it_is_made_once_for_a_job(self, world: World, puppet: str, chooser: Chooser) -> None:
        before = chooser.chosen
        world.enqueue(world.job(puppet), "key")
        assert chooser.chosen == before + 1

    def test_a_long_config_is_not_remembered(self, world: World, puppet: str, asked: list[str]) -> None:
        config = {"mode": "guard", "note": "x" * LONGEST_SEEN}
        world.storage.run(SET.format("config"), json.dumps(config), puppet)
        assert taken(world, puppet).lane == "protect"
        asked.clear()
        world.enqueue(world.job(puppet))
        assert len(asked) == 2


class TestWhatStandsInItsWay:
    def test_a_duplicate_is_one_still(self, world: World, guard: str) -> None:
        first, second = (taken(world, guard, trade_id="t1") for _ in range(2))
        assert second.status == "cancelled"
        assert second.result is not None
        assert second.result["duplicateOf"] == first.id

    def test_a_duplicate_is_not_tried_twice(self, world: World, guard: str, asked: list[str]) -> None:
        world.enqueue(world.job(guard, trade_id="seen"))
        as_seen = len(asked)
        asked.clear()
        world.parts.intake._seen = Kept(1)
        world.enqueue(world.job(guard, trade_id="seen"))
        assert len(asked) == as_seen

    def test_of_many_at_once_one_waits(self, world: World, guard: str) -> None:
        ends: list[str] = []
        threads = [
            threading.Thread(target=lambda: ends.append(taken(world, guard, trade_id="t1").status)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(ends) == ["cancelled"] * 7 + ["queued"]

    def test_the_same_key_is_the_same_execution(self, world: World, entry: str) -> None:
        assert taken(world, entry, "key").id == taken(world, entry, "key").id

    def test_the_same_key_for_another_job_is_refused(self, world: World, entry: str) -> None:
        taken(world, entry, "key")
        with pytest.raises(IdempotencyConflict):
            world.enqueue(world.job(entry, action="open_position"), "key")
