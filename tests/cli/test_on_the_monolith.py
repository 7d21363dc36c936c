"""`accounts` and `automations` on the monolith's own tables, with ids as text and as UUIDs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from axisor_executor import api, runtime
from tests.cli.conftest import Commands
from tests.harness.paper import PaperExchange
from tests.harness.world import ENCRYPTION_KEY
from tests.integration.test_monolith_schema import PRISMA, is_now

OF_UUIDS = re.sub(r'("(?:id|exchange_id|user_exchange_account_id|automation_id)") TEXT', r"\1 UUID", PRISMA).replace(
    'CREATE TABLE "User" ("id" UUID', 'CREATE TABLE "User" ("id" TEXT'
)
EXCHANGE = "5b9c2a52-9f0e-4a6e-8f0c-0d6f3f1f2a10"
ENTRY = ("--type", "auto_entry", "--config", '{"side": "b", "quantity": 100}')


@pytest.fixture(params=[PRISMA, OF_UUIDS], ids=["text", "uuid"])
def monolith(request: pytest.FixtureRequest, postgres_url: str) -> str:
    query(postgres_url, request.param)
    query(
        postgres_url,
        f"INSERT INTO exchanges (id, name, slug, updated_at) VALUES ('{EXCHANGE}', 'LN Markets', 'lnmarkets', now())",
    )
    return postgres_url


@pytest.fixture
def commands(monolith: str, redis_url: str, paper: PaperExchange) -> Commands:
    rates = {f"AXISOR_{whose}_CALLS_PER_SECOND": "1000" for whose in ("PRIVATE", "PUBLIC")}
    urls = {"DATABASE_URL": monolith, "REDIS_URL": redis_url, "LN_MARKETS_API_URL": paper.url}
    return Commands({**urls, **rates, "ENCRYPTION_KEY": ENCRYPTION_KEY})


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def world_of(commands: Commands) -> Iterator[Any]:
    """Carry jobs out in this process, with what the commands have set up."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in commands.env.items():
            patch.setenv(name, value)
        parts = runtime.Runtime()

        def run(automation_id: str) -> dict[str, Any]:
            runtime.use(parts)  # a command has one of its own
            return api.execute({"userId": "user123", "automationId": automation_id})

        yield SimpleNamespace(run=run)
        runtime.use(None)
        parts.close()


def added(commands: Commands, paper: PaperExchange, name: str = "Main Account") -> tuple[str, Any]:
    keys = json.dumps(paper.create_account(name).credentials())
    made = commands.json("accounts", "add", "--user", "user123", "--name", name, "--keys-file", "-", given=keys)
    return made["id"], made


def test_from_the_account_to_the_preview(commands: Commands, monolith: str, paper: PaperExchange) -> None:
    account_id, made = added(commands, paper)
    UUID(account_id)
    assert (made["isActive"], made["credentials"]["formats"]) == (True, ["monolith"])
    assert commands.json("accounts", "verify", account_id)["isVerified"]
    automation = commands.json("automations", "add", "--user", "user123", "--account", account_id[:8], *ENTRY)
    UUID(automation["id"])
    assert commands.json("automations", "preview", automation["id"])["decision"]["status"] == "act"
    with world_of(commands) as world:
        assert world.run(automation["id"])["status"] == "completed"
    commands("automations", "disable", automation["id"][:8])
    commands("accounts", "disable", account_id)
    ((is_active, is_verified, tested, created, updated),) = query(
        monolith, "SELECT is_active, is_verified, last_test, created_at, updated_at FROM user_exchange_accounts"
    )
    assert (is_active, is_verified) == (False, True)
    assert all(is_now(moment) for moment in (tested, created, updated))
    ((status, risk, is_on, created, updated),) = query(
        monolith, 'SELECT status, risk_level, is_active, created_at, updated_at FROM "Automation"'
    )
    assert (status, risk, is_on) == ("active", "medium", False)
    assert all(is_now(moment) for moment in (created, updated))


def test_new_keys_are_written_as_the_monolith_reads_them(
    commands: Commands, monolith: str, paper: PaperExchange
) -> None:
    account_id, _ = added(commands, paper)
    other = json.dumps(paper.create_account("other").credentials())
    rotate = ("accounts", "rotate", account_id, "--keys-file", "-", "--other-user")
    assert commands.json(*rotate, given=other)["isVerified"]
    ((row,),) = query(monolith, "SELECT credentials FROM user_exchange_accounts")
    assert row.keys() == {"API Key", "API Secret", "Passphrase", "isTestnet"}
    assert all(re.fullmatch(r"[0-9a-f]{32}:[0-9a-f]+", row[name]) for name in row if name != "isTestnet")


def test_what_its_constraints_forbid_is_refused_without_its_words(
    commands: Commands, monolith: str, paper: PaperExchange
) -> None:
    account_id, _ = added(commands, paper)
    keys = json.dumps(paper.create_account("x").credentials())
    nobody = ("accounts", "add", "--user", "nobody", "--name", "n", "--keys-file", "-")
    told = commands.error(*nobody, given=keys)
    assert told.endswith("[row_refused]\n")
    assert "DETAIL" not in told
    query(monolith, "DELETE FROM \"AutomationType\" WHERE slug = 'auto_entry'")
    told = commands.error("automations", "add", "--user", "user123", "--account", account_id, *ENTRY)
    assert told.endswith("[row_refused]\n")


def test_its_exchanges_are_its_own(commands: Commands, monolith: str, paper: PaperExchange) -> None:
    query(monolith, "DELETE FROM exchanges")
    keys = json.dumps(paper.create_account("x").credentials())
    own = ("accounts", "add", "--user", "user123", "--name", "n", "--keys-file", "-")
    assert commands.error(*own, given=keys).endswith("[exchange_missing]\n")
    assert query(monolith, "SELECT 1 FROM exchanges") == []


def test_it_is_looked_at_as_a_whole(commands: Commands, monolith: str, paper: PaperExchange) -> None:
    account_id, _ = added(commands, paper)
    commands.json("automations", "add", "--user", "user123", "--account", account_id, *ENTRY)
    assert commands.json("db", "check")["problems"] == []
    for whose, count in ((), 1), (("--account", account_id), 1), (("--user", "x", "--account", "no uuid"), 0):
        assert commands.json("automations", "validate", *whose)["counts"]["automations"] == count
    assert commands.json("keys", "status")["accounts"] == 1
    commands("keys", "rotate")
    assert commands.json("migrate", "automations", "--all")["users"] == []


@pytest.mark.parametrize("monolith", [OF_UUIDS], ids=["uuid"], indirect=True)
def test_uuids_may_be_in_capitals(commands: Commands, monolith: str, paper: PaperExchange) -> None:
    given, own = f"{'A' * 8}-AAAA-4AAA-8AAA-{'A' * 12}", f"{'a' * 8}-aaaa-4aaa-8aaa-{'a' * 12}"
    keys = json.dumps(paper.create_account("Main").credentials())
    add = ("accounts", "add", "--user", "user123", "--name", "Main", "--keys-file", "-", "--id", given)
    sealed = {"AXISOR_CREDENTIALS_FORMAT": "sealed"}
    for is_new in (True, False):
        made = commands.json(*add, given=keys, **sealed)
        assert (made["id"], made["added"]) == (own, is_new)
    assert commands.json("accounts", "verify", given[:9])["isVerified"]
    add = ("automations", "add", "--user", "user123", "--account", given, *ENTRY, "--id", given)
    for is_new in (True, False):
        made = commands.json(*add)
        assert (made["id"], made["account"]["id"], made["added"]) == (own, own, is_new)
    with world_of(commands) as world:
        for scope in ("--account", "--automation"):
            assert commands.json("pause", scope, given)["id"] == own
            assert world.run(given)["waitingFor"] == "paused"
            assert commands("resume", scope, given).stdout == f"{scope[2:].capitalize()} {given} goes on.\n"
        assert world.run(given)["automationId"] == own
    assert len(commands.json("executions", "list", "--automation", given, "--account", given)) == 3
