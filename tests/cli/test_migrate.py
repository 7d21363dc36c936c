"""`migrate automations`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Commands
from tests.harness.world import World

GUARD = ("margin_guard", {"action": "close_position"})


def bindings(world: World) -> dict[str, str | None]:
    return dict(world.storage.rows('SELECT id, user_exchange_account_id FROM "Automation"'))


def test_a_users_automations_are_bound_to_the_active_account(commands: Commands, world: World) -> None:
    account = world.account()
    world.account(name="Second", is_active=False)
    unbound = world.automation(None, *GUARD)
    foreign = world.automation(None, *GUARD, user_id="user456")
    migrate = ("migrate", "automations", "--user", "user123")
    assert commands(*migrate).stdout == "1 automations were bound to the active account of user user123\n"
    assert commands.json(*migrate) == {"success": True, "migratedCount": 0, "errors": []}
    assert bindings(world) == {unbound: account.id, foreign: None}


def test_without_an_active_account(commands: Commands, world: World) -> None:
    world.account(is_active=False)
    migrate = ("migrate", "automations", "--user", "user123")
    assert commands.error(*migrate).endswith("has no active exchange account [not_migrated]\n")
    assert commands.json(*migrate, code=1)["success"] is False


def test_several_active_accounts_are_named(commands: Commands, world: World) -> None:
    first, second = world.account(name="One"), world.account(name="Two")
    message = commands.error("migrate", "automations", "--user", "user123")
    assert all(word in message for word in ("One", first.id, "Two", second.id))


def test_a_dry_run_changes_nothing(commands: Commands, world: World) -> None:
    world.account()
    unbound = world.automation(None, *GUARD)
    shown = commands("migrate", "automations", "--user", "user123", "--dry-run").stdout
    assert shown == "1 automations would be bound to the active account of user user123\n"
    found = commands.json("migrate", "automations", "--all", "--dry-run")
    assert (found["migratedCount"], found["dryRun"]) == (1, True)
    assert bindings(world) == {unbound: None}


class TestAll:
    @pytest.fixture
    def unbound(self, world: World) -> list[str]:
        """Ann has an active account, Bob two, Cid none; each has automations without one."""
        world.account("ann", "Ann's")
        world.account("bob", "Bob's first")
        world.account("bob", "Bob's second")
        return [world.automation(None, *GUARD, user_id=user) for user in ("ann", "ann", "bob", "cid")]

    def test_each_user_is_told(self, commands: Commands, world: World, unbound: list[str]) -> None:
        shown = commands("migrate", "automations", "--all", code=1).stdout
        assert "2 automations of 1 users were bound; 2 users were left" in shown
        lines = [line.split()[0] for line in shown.splitlines() if line.startswith(("ann", "bob", "cid"))]
        assert sorted(lines[:2]) == ["bob", "cid"], "those that were left come first"
        account = world.accounts[0].id
        assert bindings(world) == {unbound[0]: account, unbound[1]: account, unbound[2]: None, unbound[3]: None}

    def test_machines_get_all_of_it(self, commands: Commands, world: World, unbound: list[str]) -> None:
        found = commands.json("migrate", "automations", "--all", code=1)
        assert (found["success"], found["migratedCount"], len(found["errors"])) == (False, 2, 2)
        users = {one["userId"]: one for one in found["users"]}
        assert sorted(users["ann"]["automationIds"]) == sorted(unbound[:2])
        assert users["ann"]["accountName"] == "Ann's"
        assert "Bob's second" in users["bob"]["error"]
        again = commands.json("migrate", "automations", "--all", code=1)
        assert {one["userId"] for one in again["users"]} == {"bob", "cid"}

    def test_nothing_to_do(self, commands: Commands, world: World) -> None:
        world.automation(world.account(), *GUARD)
        assert commands("migrate", "automations", "--all").stdout == "No automation is without an account\n"


@pytest.mark.parametrize("wrong", [(), ("--all", "--user", "u")])
def test_one_of_both_is_needed(alone: Commands, wrong: tuple[str, ...]) -> None:
    assert "either --user or --all" in alone("migrate", "automations", *wrong, code=2).stderr
