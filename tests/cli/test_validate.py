"""`automations validate`: what the plugins that are installed here make of the automations of a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from axisor_executor.automation import AccountContext, AutomationConfig, AutomationHandler, Decision, Lane, wait
from axisor_executor.cli import validation_told
from axisor_executor.errors import InvalidConfig
from axisor_executor.hookspecs import hookimpl
from axisor_executor.storage.models import AutomationRow
from tests.cli.conftest import Commands
from tests.harness.world import Account, World, plugin

GUARD = {"action": "close_position"}
ENTRY = {"side": "b", "quantity": 100}


class NextConfig(AutomationConfig):
    """The next form of an entry's config: a budget instead of a quantity."""

    side: str
    budget: int


class NextEntry(AutomationHandler[NextConfig]):
    """The next version of the entries' handler, which is not deployed yet."""

    type = "auto_entry"
    title = "Auto Entry"
    actions: ClassVar[Mapping[str, Lane]] = {"open_position": "default"}
    config_model = NextConfig
    config_version = 2

    def upgrade_config(self, raw: dict[str, Any], version: int) -> Mapping[str, Any]:
        if raw["quantity"] > 1000:
            raise InvalidConfig("quantity: above 1000; give a budget and config_version 2")
        raw["budget"] = raw.pop("quantity")
        return raw

    def decide(self, context: AccountContext[NextConfig]) -> Decision:
        return wait("nothing")

    @hookimpl
    def axisor_register_automations(self, register: Callable[[AutomationHandler[Any]], None]) -> None:
        """Register the type."""
        register(self)


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


@pytest.fixture
def deployed_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run where the next version of the entries' plugin is installed, and no other."""
    monkeypatch.setattr(validation_told, "discover", lambda: [plugin("auto-entry", NextEntry(), version="2.0")])


def counts(automations: int, refused: int = 0, upgraded: int = 0, ignored: int = 0) -> dict[str, int]:
    return {"automations": automations, "refused": refused, "upgraded": upgraded, "ignoredKeys": ignored}


def test_all_is_well(world: World, commands: Commands, account: Account) -> None:
    world.automation(account, "margin_guard", GUARD)
    world.automation(account, "auto_entry", ENTRY)
    found = commands.json("automations", "validate")
    assert (found["ok"], found["counts"], found["automations"]) == (True, counts(2), [])
    assert {"axisor-margin-guard", "axisor-tp-sl"} <= {one["plugin"].split()[0] for one in found["plugins"]}
    assert "2 automations: 0 would be refused" in commands("automations", "validate").stdout


def test_each_one_with_what_becomes_of_it(world: World, commands: Commands, account: Account) -> None:
    refused = world.automation(account, "margin_guard", {"action": "explode"})
    ignoring = world.automation(account, "margin_guard", {**GUARD, "enabled": True}, is_active=False)
    unknown = world.automation(None, "grid_bot", {})
    found = commands.json("automations", "validate", code=1)
    assert found["counts"] == counts(3, refused=2, ignored=1)
    rows = {row.pop("automationId"): row for row in found["automations"]}
    assert rows[ignoring] == {
        "userId": "user123",
        "accountId": account.id,
        "accountName": "Main Account",
        "type": "margin_guard",
        "isActive": False,
        "problem": None,
        "ignored": ["enabled"],
        "configVersion": 1,
        "upgradedTo": None,
    }
    assert rows[refused]["problem"]["code"] == "invalid_config"
    assert (rows[unknown]["problem"]["code"], rows[unknown]["accountName"]) == ("unknown_automation_type", None)
    told = commands("automations", "validate", code=1).stdout
    assert "ignores enabled" in told
    assert "3 automations: 2 would be refused, 0 upgraded, 1 have keys that nothing acts on" in told


@pytest.mark.usefixtures("deployed_next")
def test_what_the_next_version_would_refuse_and_upgrade(world: World, commands: Commands, account: Account) -> None:
    upgraded = world.automation(account, "auto_entry", ENTRY)
    refused = world.automation(account, "auto_entry", {**ENTRY, "quantity": 5000})
    tripped = world.automation(account, "auto_entry", {})
    newest = world.automation(account, "auto_entry", {"side": "b", "budget": 5, "config_version": 2})
    later = world.automation(account, "auto_entry", {"config_version": 3})
    found = commands.json("automations", "validate", "--type", "auto_entry", code=1)
    assert found["counts"] == counts(5, refused=3, upgraded=1)
    rows = {row["automationId"]: row for row in found["automations"]}
    assert (rows[upgraded]["configVersion"], rows[upgraded]["upgradedTo"]) == (1, 2)
    codes = {row["automationId"]: row["problem"]["code"] for row in found["automations"] if row["problem"]}
    assert codes == {refused: "invalid_config", tripped: "plugin_error", later: "config_too_new"}
    assert newest not in rows
    told = commands("automations", "validate", code=1).stdout
    assert "axisor-auto-entry 2.0" in told
    assert "upgraded from 1 to 2" in told
    assert commands.json("automations", "enable", upgraded)["config"] == ENTRY, "no row is rewritten"


def test_a_type_that_is_none(commands: Commands) -> None:
    assert commands.error("automations", "validate", "--type", "margin_gard").endswith("[unknown_automation_type]\n")


def test_only_some(world: World, commands: Commands, account: Account) -> None:
    other = world.account("another", "Other Account")
    world.automation(account, "margin_guard", {})
    world.automation(other, "margin_guard", GUARD)
    world.automation(other, "auto_entry", {})
    for options, looked_at, refused in (
        (("--user", "another"), 2, 1),
        (("--account", other.id), 2, 1),
        (("--type", "margin_guard"), 2, 1),
        (("--type", "margin_guard", "--account", other.id), 1, 0),
        (("--user", "nobody"), 0, 0),
    ):
        found = commands.json("automations", "validate", *options, code=int(bool(refused)))
        assert found["counts"] == counts(looked_at, refused=refused), options


def test_the_first_of_many_are_named_and_refused_ones_before(
    world: World, commands: Commands, account: Account
) -> None:
    for _ in range(5):
        world.automation(account, "margin_guard", {**GUARD, "enabled": True})
        world.automation(account, "margin_guard", {})
    found = commands.json("automations", "validate", "--limit", "6", code=1)
    assert found["counts"] == counts(10, refused=5, ignored=5)
    assert [row["problem"] is None for row in found["automations"]] == [False] * 5 + [True]
    assert "and 7 more (--limit shows more)" in commands("automations", "validate", "--limit", "3", code=1).stdout


def test_the_database_is_only_read(world: World, commands: Commands, account: Account) -> None:
    """As the user of a production database who may read, or one that says so itself."""
    automation = world.automation(account, "auto_entry", ENTRY)
    if world.storage.is_sqlite:
        before = world.storage.one("PRAGMA data_version")
        assert commands.json("automations", "validate")["counts"] == counts(1)
        assert world.storage.one("PRAGMA data_version") == before
    else:
        url = f"{world.settings.require_database()}?options=-c%20default_transaction_read_only%3Don"
        assert commands.json("automations", "validate", DATABASE_URL=url)["counts"] == counts(1)
        assert "read-only transaction" in commands.error("automations", "disable", automation, DATABASE_URL=url)
    with world.storage.connection():
        assert AutomationRow.get_by_id(automation).is_active


def test_it_needs_nothing_but_the_database(world: World, alone: Commands, account: Account) -> None:
    world.automation(account, "auto_entry", ENTRY)
    url = world.settings.require_database()
    assert alone.json("automations", "validate", DATABASE_URL=url)["counts"] == counts(1)


def test_a_database_without_automations(empty: Commands) -> None:
    assert "[tables_missing]" in empty.error("automations", "validate")
