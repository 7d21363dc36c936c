"""`db init` and `db check`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from axisor_executor.storage import schema
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow
from tests.cli.conftest import Commands
from tests.harness.world import World


def test_init_sets_an_empty_database_up_and_does_nothing_twice(empty: Commands) -> None:
    first, second = empty("db", "init").stdout, empty("db", "init").stdout
    assert "Created the monolith-shaped tables" in first
    assert "schema" in first
    assert second.startswith("Nothing to do")
    assert empty.json("db", "check")["ok"]


def test_init_in_the_monoliths_database_makes_only_our_tables(empty: Commands, database_url: str) -> None:
    storage = Storage(database_url)
    with storage.write():
        schema._run_script(storage, schema._MONOLITH_SHAPED)
    assert "monolith-shaped" not in empty("db", "init").stdout
    storage.forget_tables()
    assert storage.tables >= {"Automation", "axisor_executions"}
    assert not schema.owns_monolith_tables(storage)
    storage.close()


def test_init_leaves_a_strangers_database_alone(empty: Commands, database_url: str) -> None:
    storage = Storage(database_url)
    storage.run("CREATE TABLE customers (id TEXT)")
    assert "customers" in empty.error("db", "init")
    storage.forget_tables()
    assert storage.tables == {"customers"}
    storage.close()


def test_init_shows_no_password(postgres_url: str, alone: Commands) -> None:
    password = urlsplit(postgres_url).password
    shown = (
        alone("db", "init", DATABASE_URL=postgres_url).output
        + alone("db", "check", DATABASE_URL=postgres_url, code=1).output
    )
    assert password
    assert password not in shown


def test_check_before_init(empty: Commands) -> None:
    found = empty.json("db", "check", code=1)
    assert [problem["kind"] for problem in found["problems"]] == ["tables_missing"]


def test_check_of_a_database_that_is_away(alone: Commands) -> None:
    found = alone.json("db", "check", code=1, DATABASE_URL="postgresql://u:canary-word@127.0.0.1:1/x")
    assert [problem["kind"] for problem in found["problems"]] == ["database"]
    assert "canary-word" not in json.dumps(found)


def test_a_sound_database(world: World, commands: Commands) -> None:
    account = world.account()
    world.account("another", "Sealed", format="sealed")
    world.automation(account, "margin_guard", {"action": "close_position", "enabled": True})
    found = commands.json("db", "check")
    assert found["ok"]
    assert found["counts"] == {"users": 2, "accounts": 2, "automations": 1, "executions": 0}
    assert "No problem found" in commands("db", "check").stdout


def _kinds(commands: Commands, **env: str) -> dict[str, list[dict[str, Any]]]:
    found = commands.json("db", "check", code=1, **env)
    shown = commands("db", "check", code=1, **env).stdout
    for problem in found["problems"]:
        assert problem["message"] in shown
        assert problem["advice"].split(":")[0] in shown
    return {problem["kind"]: problem["items"] for problem in found["problems"]}


def test_automations_without_the_right_account(world: World, commands: Commands) -> None:
    mine, strangers = world.account(), world.account("stranger", "Stranger's Account")
    guard = ("margin_guard", {"action": "close_position"})
    unbound = world.automation(None, *guard)
    foreign = world.automation(strangers, *guard, user_id=mine.user_id)
    world.automation(mine, *guard)
    found = _kinds(commands)
    assert [item["automationId"] for item in found["automation_unbound"]] == [unbound]
    assert [item["automationId"] for item in found["account_foreign"]] == [foreign]
    assert "Stranger's Account" in found["account_foreign"][0]["message"]


def test_an_account_that_is_gone(world: World, commands: Commands) -> None:
    account = world.account()
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    _without_foreign_keys(world, 'UPDATE "Automation" SET user_exchange_account_id = ?', "no-such-account")
    found = _kinds(commands)
    assert [item["automationId"] for item in found["account_missing"]] == [guard]


def test_types_and_configs(world: World, commands: Commands) -> None:
    account = world.account()
    unknown = world.automation(account, "grid_bot", {})
    wrong = world.automation(account, "margin_guard", {"action": "close_position", "margin_threshold": 0.85})
    no_action = world.automation(account, "tp_sl", {})
    text = world.automation(account, "auto_entry", "buy low, sell high")
    found = _kinds(commands)
    assert [item["automationId"] for item in found["type_unknown"]] == [unknown]
    problems = {item["automationId"]: item["message"] for item in found["config_invalid"]}
    assert set(problems) == {wrong, no_action, text}
    assert "margin_threshold: is ambiguous" in problems[wrong]
    assert "object" in problems[text]


def test_several_active_accounts(world: World, commands: Commands) -> None:
    world.account(name="First")
    world.account(name="Second")
    world.account(name="Third", is_active=False)
    (item,) = _kinds(commands)["several_active_accounts"]
    assert item["userId"] == "user123"
    assert "First" in item["message"]
    assert "Third" not in item["message"]


def test_credentials_are_listed_by_account_and_never_shown(world: World, commands: Commands) -> None:
    good = world.account("u0", "Good")
    canary = {"API Key": "canary-1", "API Secret": "canary-2", "Passphrase": "canary-3", "isTestnet": "false"}
    plain = world.account("u1", "Plain", credentials=canary)
    bare = world.account("u2", "Bare", credentials={})
    moved = world.account("u3", "Moved", format="sealed", credentials=world.written(good, "sealed"))
    found = _kinds(commands)
    assert {item["accountName"] for item in found["credentials_plain_text"]} == {"Plain"}
    assert len(found["credentials_plain_text"]) == 3
    assert [item["accountId"] for item in found["credentials_missing"]] == [bare.id]
    assert [item["accountId"] for item in found["credentials_unreadable"]] == [moved.id]
    assert plain.id != good.id
    shown = commands("db", "check", code=1).output + json.dumps(found)
    for secret in ("canary-1", "canary-2", "canary-3", good.paper.secret, world.written(good)["API Key"][:20]):
        assert secret not in shown


def test_another_key_reads_nothing(world: World, commands: Commands) -> None:
    account = world.account(format="sealed")
    found = _kinds(commands, ENCRYPTION_KEY="another key")
    assert [item["accountId"] for item in found["credentials_unreadable"]] == [account.id]
    assert "no_key" in _kinds(commands, ENCRYPTION_KEY="")


def test_exchanges(world: World, commands: Commands) -> None:
    world.account(exchange_id=world.exchange("kraken", "Kraken"))
    assert [item["message"] for item in _kinds(commands)["exchange_unknown"]] == ["exchange kraken"]


def test_many_are_cut_short_for_people_only(world: World, commands: Commands) -> None:
    now = datetime.now(UTC)
    with world.storage.write():
        for number in range(25):
            AccountRow.create(
                id=f"a{number}",
                user_id=f"u{number}",
                exchange_id="exchange-lnmarkets",
                account_name=f"Account {number}",
                credentials={},
                created_at=now,
                updated_at=now,
            )
    assert len(_kinds(commands)["credentials_missing"]) == 25
    assert "and 15 more" in commands("db", "check", code=1).stdout


def _without_foreign_keys(world: World, sql: str, *params: Any) -> None:
    """Write what the monolith's foreign keys forbid here, and not in each of its databases."""
    if world.storage.is_sqlite:
        with world.storage.connection():
            world.storage.run("PRAGMA foreign_keys = 0")
            world.storage.run(sql, *params)
            world.storage.run("PRAGMA foreign_keys = 1")
    else:
        world.storage.run('ALTER TABLE "Automation" DROP CONSTRAINT "Automation_user_exchange_account_id_fkey"')
        world.storage.run(sql, *params)


@pytest.mark.parametrize("command", [("db", "check"), ("status",)])
def test_looking_changes_nothing(empty: Commands, database_url: str, command: tuple[str, ...]) -> None:
    empty(*command, code=1)
    storage = Storage(database_url)
    assert not storage.tables
    storage.close()
