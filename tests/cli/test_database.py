"""`db init` and `db check`."""

from __future__ import annotations

import json
import re
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from axisor_executor.storage import schema
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow
from tests.cli.conftest import Commands
from tests.harness.world import World

GUARD = ("margin_guard", {"action": "close_position"})


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


def test_check_before_init(empty: Commands, database_url: str) -> None:
    storage = Storage(database_url)
    assert not storage.tables
    storage.close()
    found = empty.json("db", "check", code=1)
    assert [problem["kind"] for problem in found["problems"]] == ["tables_missing"]


def test_a_database_of_a_newer_version_is_told_from_an_older_one(commands: Commands, world: World) -> None:
    """`db init` would refuse it, so nobody is sent there."""
    newest = len(schema.MIGRATIONS)
    world.storage.run("UPDATE axisor_schema SET version = version + 1 WHERE version = ?", newest)
    why = f"the database is of a newer version (schema {newest + 1}, this one knows {newest}): upgrade axisor-executor"
    assert commands.json("status", code=1)["database"]["problem"] == why
    (problem,) = commands.json("db", "check", code=1)["problems"]
    assert (problem["kind"], problem["message"]) == ("schema", why)
    assert "Upgrade" in problem["advice"]
    assert commands.error("db", "prune").endswith(f"{why} [schema_too_new]\n")


@pytest.mark.parametrize("remembered", [True, False])
def test_one_of_an_older_version_is_sent_to_init(commands: Commands, world: World, remembered: bool) -> None:
    world.storage.run("DELETE FROM axisor_schema WHERE version > ?", int(remembered))
    assert "db init" in commands.json("status", code=1)["database"]["problem"]
    (problem,) = commands.json("db", "check", code=1)["problems"]
    assert (problem["kind"], problem["advice"]) == ("schema", "Run: axisor-executor db init")
    assert commands.error("db", "prune").endswith("db init [tables_missing]\n")


@pytest.mark.parametrize("command", [("db", "check"), ("status",), ("automations", "validate")])
def test_a_file_that_is_not_there_is_not_made(
    alone: Commands, sqlite_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    shown = alone(*command, code=1, DATABASE_URL=sqlite_url, REDIS_URL="redis://127.0.0.1:1")
    assert f"there is no file {tmp_path / 'axisor.db'}" in shown.output.replace("\n", "")
    assert list(tmp_path.iterdir()) == []


def test_check_of_a_database_that_is_away(alone: Commands) -> None:
    found = alone.json("db", "check", code=1, DATABASE_URL="postgresql://u:canary-word@127.0.0.1:1/x")
    assert [problem["kind"] for problem in found["problems"]] == ["database"]
    assert "canary-word" not in json.dumps(found)


@pytest.mark.parametrize("command", ["db init", "db check", "status", "recover"])
def test_without_the_driver_of_postgresql_it_says_what_to_install(
    alone: Commands, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    told = alone.error(*command.split(), DATABASE_URL="postgresql://user:pass@localhost:5432/axisor?schema=public")
    assert told.endswith("pip install 'axisor-executor[postgres]' [extra_missing]\n")


@pytest.mark.parametrize("command", ["db check", "keys status", "plugins", "alerts list", "breakers"])
def test_what_is_odd_in_the_settings_is_said_by_quiet_commands_too(commands: Commands, command: str) -> None:
    shown = commands(*command.split(), AXISOR_DB_POL="3")
    assert "AXISOR_DB_POL is not a setting and has no effect; did you mean AXISOR_DB_POOL?" in shown.stderr
    assert "AXISOR_DB_POL" not in shown.stdout


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
    unbound = world.automation(None, *GUARD)
    foreign = world.automation(strangers, *GUARD, user_id=mine.user_id)
    world.automation(mine, *GUARD)
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


def test_two_accounts_with_one_key(world: World, commands: Commands) -> None:
    one, other = sorted((world.account(), world.account("user456", "Other")), key=lambda account: account.id)
    world.account(name="Third", is_active=False)
    row = AccountRow.get_by_id(one.id)
    AccountRow.update(credentials=row.credentials).where(AccountRow.id == other.id).execute()
    (item,) = _kinds(commands)["account_twice"]
    assert (item["accountId"], item["message"]) == (other.id, f"the API key of account {one.id}")


def test_credentials_are_listed_by_account_and_never_shown(world: World, commands: Commands) -> None:
    good = world.account("u0", "Good")
    canary = {"API Key": "canary-1", "API Secret": "canary-2", "Passphrase": "canary-3", "isTestnet": "false"}
    plain = world.account("u1", "Plain", credentials=canary)
    bare = world.account("u2", "Bare", credentials={})
    moved = world.account("u3", "Moved", format="sealed", credentials=world.written(good, "sealed"))
    pasted = world.account("u4", "Pasted", credentials={**canary, "API Key": "canary-1\u200b"})
    found = _kinds(commands)
    in_plain_text = {item["accountName"]: item["message"] for item in found["credentials_plain_text"]}
    assert in_plain_text == dict.fromkeys(("Plain", "Pasted"), "key, secret, passphrase")
    assert [item["accountId"] for item in found["credentials_missing"]] == [bare.id]
    assert [item["accountId"] for item in found["credentials_unreadable"]] == [moved.id]
    (invalid,) = found["credentials_invalid"]
    assert (invalid["accountId"], invalid["message"]) == (pasted.id, "API Key")
    assert plain.id != good.id
    shown = commands("db", "check", code=1).output + json.dumps(found)
    for secret in ("canary-1", "canary-2", "canary-3", good.paper.secret, world.written(good)["API Key"][:20]):
        assert secret not in shown


def test_rows_that_are_nested_too_deep_are_told_like_others(world: World, commands: Commands) -> None:
    account = world.account()
    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
    deep = "[" * 3000 + "]" * 3000
    world.storage.run("UPDATE user_exchange_accounts SET credentials = ?", deep)
    world.storage.run('UPDATE "Automation" SET config = ?', deep)
    found = _kinds(commands)
    assert [item["accountId"] for item in found["credentials_unreadable"]] == [account.id]
    assert [item["automationId"] for item in found["config_invalid"]] == [entry]
    (refused,) = commands.json("automations", "validate", code=1)["automations"]
    assert (refused["automationId"], refused["problem"]["code"]) == (entry, "invalid_config")
    (shown,) = commands.json("accounts", "list")
    assert shown["credentials"]["formats"] == ["unreadable"]


def test_another_key_reads_nothing(world: World, commands: Commands) -> None:
    account = world.account(format="sealed")
    found = _kinds(commands, ENCRYPTION_KEY="another key")
    assert [item["accountId"] for item in found["credentials_unreadable"]] == [account.id]
    assert "no_key" in _kinds(commands, ENCRYPTION_KEY="")


def test_exchanges(world: World, commands: Commands) -> None:
    world.account(exchange_id=world.exchange("kraken", "Kraken"))
    assert [item["message"] for item in _kinds(commands)["exchange_unknown"]] == ["exchange kraken"]


def test_many_are_cut_short_but_counted(world: World, commands: Commands) -> None:
    now = datetime.now(UTC)
    with world.storage.write():
        for number in range(1010):
            AccountRow.create(
                id=f"a{number}",
                user_id=f"u{number}",
                exchange_id="exchange-lnmarkets",
                account_name=f"Account {number}",
                credentials={},
                created_at=now,
                updated_at=now,
            )
    assert len(_kinds(commands)["credentials_missing"]) == 1000
    (problem,) = commands.json("db", "check", "--limit", "3", code=1)["problems"]
    assert (problem["count"], [item["accountId"] for item in problem["items"]]) == (1010, ["a0", "a1", "a10"])
    shown = commands("db", "check", code=1).stdout
    assert "lack credentials: 1010" in shown
    assert "and 1000 more" in shown


def test_what_belongs_to_a_user_who_is_gone(world: World, commands: Commands) -> None:
    there, gone = world.account("ann"), world.account("gone")
    world.automation(there, *GUARD)
    guard = world.automation(gone, *GUARD)
    world.storage.run('CREATE TABLE "User" (id TEXT PRIMARY KEY)')
    world.storage.run('INSERT INTO "User" VALUES (?)', "ann")
    assert [(item.get("accountId"), item.get("automationId")) for item in _kinds(commands)["user_missing"]] == [
        (gone.id, None),
        (None, guard),
    ]


class TestOurTables:
    def test_a_sound_ledger(self, world: World, commands: Commands) -> None:
        world.open_trade(world.account())
        found = commands.json("db", "check")
        assert found["counts"]["executions"] == 1

    def test_an_unknown_action_whose_account_is_gone(self, world: World, commands: Commands) -> None:
        account = world.account()
        world.open_trade(account)
        world.paper.add_fault("drop_after", route="POST /v3/futures/isolated/trade", count=1)
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
        execution_id = world.run(entry)["executionId"]
        assert "held_without_account" not in commands("db", "check", "--json").stdout
        world.storage.run('DELETE FROM "TradeLog"')
        world.storage.run('DELETE FROM "Automation"')
        world.storage.run("DELETE FROM user_exchange_accounts")
        (held,) = _kinds(commands)["held_without_account"]
        assert (held["executionId"], held["accountId"], held["action"]) == (execution_id, account.id, "OpenPosition")

    def test_actions_whose_execution_was_deleted(self, world: World, commands: Commands) -> None:
        account = world.account()
        world.open_trade(account)
        world.open_trade(account)
        world.storage.run("DELETE FROM axisor_executions")
        assert len(_kinds(commands)["action_without_execution"]) == 2

    def test_executions_that_nothing_takes_up(self, world: World, commands: Commands) -> None:
        account = world.account()
        guard = world.automation(account, *GUARD)
        damages = (
            "status = 'running', account_id = NULL, started_at = NULL",
            "status = 'waiting', wait_for = 'retry', due_at = NULL",
            "status = 'bogus'",
            "status = 'completed', finished_at = NULL",
            "status = 'running', started_at = {now}, finished_at = {now}",
        )
        sound = (
            "status = 'running', started_at = {now}",
            "status = 'waiting', wait_for = 'retry', due_at = {now}",
            "status = 'uncertain', finished_at = {now}",
            "status = 'queued'",
        )
        damaged = {}
        for number, change in enumerate((*damages, *sound)):
            execution_id = world.enqueue(world.job(guard, trade_id=f"t{number}"))
            world.storage.run(f"UPDATE axisor_executions SET {change} WHERE id = ?", execution_id)
            if change in damages:
                damaged[execution_id] = re.findall("'(.*?)'", change)[0]
        found = _kinds(commands)["execution_damaged"]
        assert {item["executionId"]: item["status"] for item in found} == damaged
        world.storage.run(
            "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL, sent_at = NULL, "
            "finished_at = NULL"
        )
        assert "execution_damaged" not in commands("db", "check", "--json").stdout, "as is advised"

    def test_a_lease_that_nobody_will_give_back(self, world: World, commands: Commands) -> None:
        account, other, busy = (world.account(f"u{number}") for number in range(3))
        lease = "INSERT INTO axisor_leases (account_id, execution_id, fence, until) VALUES (?, ?, 1, {later})"
        world.storage.run(lease, account.id, "no-such-execution", -4000)
        world.storage.run(lease, other.id, "no-such-execution", -10)
        live = world.enqueue(world.job(world.automation(busy, *GUARD), user_id="u2"))
        world.storage.run(lease, busy.id, live, -4000)
        world.storage.run(lease, "axisor:recovery", "a-worker", -4000)
        assert [item["accountId"] for item in _kinds(commands)["lease_of_nobody"]] == [account.id]


def test_a_plugin_that_trips_over_a_config_is_that_ones_problem(
    world: World, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    guard, entry = world.automation(account, *GUARD), world.automation(account, "auto_entry", {})

    def trip(self: Any, config: Any, action: str) -> Any:
        raise RuntimeError("canary-of-the-config")

    monkeypatch.setattr("axisor_margin_guard.MarginGuard.parse_config", trip)
    found = {item["automationId"]: item["message"] for item in _kinds(commands)["config_invalid"]}
    assert found[guard].startswith("axisor-margin-guard ")
    assert "RuntimeError" in found[guard]
    assert entry in found


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


class TestPrune:
    @pytest.fixture
    def old(self, world: World) -> str:
        """An execution that ended 91 days ago."""
        automation = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100, "trigger_price": 1})
        ended = str(world.run(automation)["executionId"])
        then = world.storage.now() - timedelta(days=91)
        world.storage.run("UPDATE axisor_executions SET finished_at = ? WHERE id = ?", then, ended)
        return ended

    def test_it_deletes_what_is_old(self, world: World, commands: Commands, old: str) -> None:
        told = commands.json("db", "prune", "--dry-run")
        assert (told["dryRun"], told["executions"], told["kept"]) == (True, 1, {})
        assert world.execution(old)
        assert commands.json("db", "prune", "--older-than", "92d")["lookedAt"] == 0
        assert commands("db", "prune").stdout.splitlines()[1] == "1 were deleted, with 0 actions"
        assert commands.json("db", "prune")["lookedAt"] == 0
        assert world.storage.one("SELECT COUNT(*) FROM axisor_executions") == (0,)
        assert world.storage.one('SELECT COUNT(*) FROM "Automation"') == (1,)

    def test_it_says_what_it_keeps(self, world: World, commands: Commands, old: str) -> None:
        world.storage.run("UPDATE axisor_executions SET status = 'uncertain' WHERE id = ?", old)
        assert "1 were kept: uncertain, until a person resolves them" in commands("db", "prune").stdout
        assert commands.json("db", "prune")["kept"] == {"uncertain": 1}

    @pytest.mark.parametrize("age", ["1h", "0d", "ninety", "-1d", "1e9d"])
    def test_an_age_that_is_none(self, commands: Commands, age: str) -> None:
        assert "is no time from 1d" in commands("db", "prune", f"--older-than={age}", code=2).stderr

    def test_before_init(self, empty: Commands, database_url: str) -> None:
        assert "[tables_missing]" in empty.error("db", "prune")
        with closing(Storage(database_url)) as storage:
            assert not storage.tables
