"""The monolith's PostgreSQL schema as Prisma makes it: used as it is, with not a column of it altered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from pydantic import SecretStr

from axisor_executor import (
    enqueue,
    explain,
    get_automation_config,
    get_result,
    get_user_credentials,
    migrate_existing_automations,
    set_user_credentials,
    switching,
)
from axisor_executor.bindings import users_with_unbound
from axisor_executor.credentials import KeyRing
from axisor_executor.credentials.census import take_census
from axisor_executor.credentials.rotation import Target, rotate
from axisor_executor.errors import NotFound
from axisor_executor.explain import Wanted
from axisor_executor.integrity import look
from axisor_executor.preview import preview
from axisor_executor.settings import Settings
from axisor_executor.storage import account_search, paging, tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import owns_monolith_tables
from axisor_executor.storage.switches import Scope
from tests.harness.paper import PaperExchange
from tests.harness.world import ENCRYPTION_KEY, Account, World

PRISMA = """
CREATE TABLE "User" ("id" TEXT NOT NULL, "email" TEXT NOT NULL, CONSTRAINT "User_pkey" PRIMARY KEY ("id"));
CREATE TABLE "AutomationType" ("slug" TEXT NOT NULL, CONSTRAINT "AutomationType_pkey" PRIMARY KEY ("slug"));
CREATE TABLE "exchanges" (
    "id" TEXT NOT NULL, "name" TEXT NOT NULL, "slug" TEXT NOT NULL, "description" TEXT, "website" TEXT,
    "is_active" BOOLEAN NOT NULL DEFAULT true, "api_version" TEXT,
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" TIMESTAMP(3),
    CONSTRAINT "exchanges_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "exchanges_slug_key" ON "exchanges"("slug");
CREATE TABLE "user_exchange_accounts" (
    "id" TEXT NOT NULL, "user_id" TEXT NOT NULL, "exchange_id" TEXT NOT NULL, "account_name" TEXT NOT NULL,
    "credentials" JSONB NOT NULL, "is_active" BOOLEAN NOT NULL DEFAULT false,
    "is_verified" BOOLEAN NOT NULL DEFAULT false, "last_test" TIMESTAMP(3),
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "user_exchange_accounts_pkey" PRIMARY KEY ("id"));
CREATE TABLE "Automation" (
    "id" TEXT NOT NULL, "user_id" TEXT NOT NULL, "user_exchange_account_id" TEXT, "type" TEXT NOT NULL,
    "config" JSONB NOT NULL, "is_active" BOOLEAN NOT NULL DEFAULT true, "status" TEXT NOT NULL DEFAULT 'active',
    "risk_level" TEXT NOT NULL DEFAULT 'medium',
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updated_at" TIMESTAMP(3) NOT NULL,
    CONSTRAINT "Automation_pkey" PRIMARY KEY ("id"));
CREATE TABLE "TradeLog" (
    "id" TEXT NOT NULL, "user_id" TEXT NOT NULL, "automation_id" TEXT, "trade_id" TEXT NOT NULL,
    "status" TEXT NOT NULL, "action" TEXT, "pnl" DOUBLE PRECISION, "amount" DOUBLE PRECISION,
    "price" DOUBLE PRECISION, "error_message" TEXT, "executed_at" TIMESTAMP(3),
    "created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "TradeLog_pkey" PRIMARY KEY ("id"));
ALTER TABLE "user_exchange_accounts" ADD CONSTRAINT "user_exchange_accounts_user_id_fkey"
    FOREIGN KEY ("user_id") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "user_exchange_accounts" ADD CONSTRAINT "user_exchange_accounts_exchange_id_fkey"
    FOREIGN KEY ("exchange_id") REFERENCES "exchanges"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Automation" ADD CONSTRAINT "Automation_user_id_fkey"
    FOREIGN KEY ("user_id") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Automation" ADD CONSTRAINT "Automation_user_exchange_account_id_fkey"
    FOREIGN KEY ("user_exchange_account_id") REFERENCES "user_exchange_accounts"("id")
    ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Automation" ADD CONSTRAINT "Automation_type_fkey"
    FOREIGN KEY ("type") REFERENCES "AutomationType"("slug") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "TradeLog" ADD CONSTRAINT "TradeLog_user_id_fkey"
    FOREIGN KEY ("user_id") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "TradeLog" ADD CONSTRAINT "TradeLog_automation_id_fkey"
    FOREIGN KEY ("automation_id") REFERENCES "Automation"("id") ON DELETE SET NULL ON UPDATE CASCADE;
INSERT INTO "User" VALUES ('user123', 'a@example.com'), ('user456', 'b@example.com');
INSERT INTO "AutomationType" VALUES ('margin_guard'), ('tp_sl'), ('auto_entry');
"""
ENTRY = {"side": "b", "quantity": 100}
SCHEMA = """
SELECT 'column', table_name, column_name, data_type, datetime_precision::text, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'axisor%'
UNION ALL SELECT 'index', tablename, indexname, indexdef, NULL, NULL, NULL
FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'axisor%'
UNION ALL SELECT 'constraint', c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), NULL, NULL, NULL
FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
WHERE n.nspname = 'public' AND c.conrelid::regclass::text NOT LIKE 'axisor%'
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, NULL, NULL, NULL, NULL
FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2, 3
"""


@pytest.fixture
def prisma_url(postgres_url: str) -> str:
    """A database with the monolith's tables; the session's time zone is not UTC."""
    query(postgres_url, PRISMA)
    assert query(postgres_url, "SHOW timezone") == [("Asia/Tokyo",)]
    return postgres_url


@pytest.fixture
def world(prisma_url: str, redis_url: str, paper: PaperExchange) -> Iterator[World]:
    settings = Settings(
        database_url=prisma_url,
        redis_url=redis_url,
        exchange_url=paper.url,
        encryption_key=ENCRYPTION_KEY,
        queue_prefix=f"test-{uuid4().hex[:8]}",
    )
    made = World(settings, Storage(prisma_url), paper)
    yield made
    made.close()


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def is_now(stored: datetime) -> bool:
    """Whether an instant without a zone is the present one in UTC."""
    return abs(stored - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=5)


def test_nothing_of_it_is_altered(world: World, prisma_url: str) -> None:
    account = world.account()
    trade_id = world.open_trade(account)
    guard = world.automation(account, "margin_guard", {"action": "close_position"})
    assert world.run(guard, trade_id=trade_id)["status"] == "completed"
    untouched = query(prisma_url, SCHEMA)

    with closing(psycopg2.connect(prisma_url)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        cursor.execute(PRISMA)
        cursor.execute(SCHEMA)
        assert cursor.fetchall() == untouched
        connection.rollback()


def test_it_is_known_not_to_be_ours(world: World) -> None:
    """Then credentials are written as the monolith can read them."""
    assert owns_monolith_tables(world.storage) is False


def test_every_type_of_job_runs_on_it(world: World) -> None:
    account = world.account()
    entry = world.run(world.automation(account, "auto_entry", ENTRY))
    stop = world.automation(account, "tp_sl", {"action": "update_sl", "new_stoploss": 47_000})
    guard = world.automation(account, "margin_guard", {"action": "reduce_position", "reduce_percentage": 50})
    results = [world.run(automation_id, trade_id=entry["tradeId"]) for automation_id in (stop, guard)]
    assert [result["status"] for result in results] == ["completed", "completed"]
    assert [row.status for row in world.trade_log()] == ["success"] * 3


def test_times_are_stored_in_utc(world: World, prisma_url: str) -> None:
    world.account()
    unbound = world.automation(None, "auto_entry", ENTRY)
    before = query(prisma_url, 'SELECT created_at FROM "Automation"')
    assert world.run(unbound)["status"] == "completed"
    ((executed_at, created_at),) = query(prisma_url, 'SELECT executed_at, created_at FROM "TradeLog"')
    assert is_now(executed_at)
    assert is_now(created_at)
    ((updated_at, bound_to),) = query(prisma_url, 'SELECT updated_at, user_exchange_account_id FROM "Automation"')
    assert is_now(updated_at)
    assert bound_to is not None
    assert query(prisma_url, 'SELECT created_at FROM "Automation"') == before


def test_our_own_instants_know_their_zone(world: World) -> None:
    result = world.run(world.automation(world.account(), "auto_entry", ENTRY))
    execution = world.execution(result["executionId"])
    moments = [execution.created_at, execution.started_at, execution.finished_at]
    for moment in moments:
        assert moment is not None
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)
    assert execution.expires_at is not None
    assert round((execution.expires_at - execution.created_at).total_seconds(), 1) == 60


def test_a_user_who_is_not_there_leaves_no_trade_log_but_a_ledger_row(world: World) -> None:
    entry = world.automation(world.account(), "auto_entry", ENTRY)
    result = world.run(entry, user_id="nobody")
    assert (result["status"], result["error"]["code"]) == ("failed", "automation_not_found")
    assert world.trade_log() == []
    assert world.execution(result["executionId"]).status == "failed"


def test_what_the_foreign_keys_forbid_does_not_keep_a_run_from_ending(world: World, prisma_url: str) -> None:
    """The user, with all that is theirs, is deleted while a job waits."""
    world.account()
    execution_id = enqueue(world.job(world.automation(world.accounts[0], "auto_entry", ENTRY)))
    query(prisma_url, "DELETE FROM \"User\" WHERE id = 'user123'")
    result = world.go_on(execution_id)
    assert result["status"] in ("cancelled", "failed")
    assert world.trade_log() == []
    assert world.paper.effects() == []


def test_unbound_automations_are_migrated(world: World, prisma_url: str) -> None:
    account = world.account()
    for _ in range(3):
        world.automation(None, "auto_entry", ENTRY)
    assert migrate_existing_automations("user123")["migratedCount"] == 3
    rows = query(prisma_url, 'SELECT DISTINCT user_exchange_account_id FROM "Automation"')
    assert rows == [(account.id,)]


def test_nor_is_there_anything_to_migrate_where_the_binding_is_required(world: World, prisma_url: str) -> None:
    """Newer schemas have no automation without an account."""
    query(prisma_url, 'ALTER TABLE "Automation" ALTER COLUMN "user_exchange_account_id" SET NOT NULL')
    bound = world.automation(world.account(name="Idle", is_active=False), "auto_entry", ENTRY)
    before = query(prisma_url, 'SELECT * FROM "Automation"')
    assert migrate_existing_automations("user123")["success"] is False
    world.account(name="Active")
    for _ in range(2):
        assert migrate_existing_automations("user123") == {"success": True, "migratedCount": 0, "errors": []}
    assert query(prisma_url, 'SELECT * FROM "Automation"') == before
    stop = world.automation(world.accounts[1], "auto_entry", ENTRY)
    assert world.run(stop)["status"] == "completed"
    assert world.run(bound)["error"]["code"] == "account_inactive"


def test_it_is_found_sound(world: World) -> None:
    """`db check` knows the monolith's own table of users, and reads its JSON columns."""
    account = world.account()
    world.automation(account, "auto_entry", ENTRY)
    assert look(world.storage, world.settings, world.parts.registry).problems == []


@pytest.mark.parametrize("kind", ["json", "jsonb", "text"])
def test_credentials_are_rotated_whatever_the_columns_type(world: World, prisma_url: str, kind: str) -> None:
    account = world.account()
    query(
        prisma_url,
        f'ALTER TABLE user_exchange_accounts ALTER COLUMN "credentials" TYPE {kind} USING credentials::text::{kind}',
    )
    newest = SecretStr("the new key")
    ring = KeyRing([newest, SecretStr(ENCRYPTION_KEY)])
    assert rotate(world.storage, ring, Target(ring.key_ids[0], "monolith")).rotated == 1
    world.restart(encryption_key=newest)
    entry = world.automation(account, "auto_entry", ENTRY)
    assert world.run(entry)["status"] == "completed"


UUIDS = """
ALTER TABLE "Automation" DROP CONSTRAINT "Automation_user_exchange_account_id_fkey";
ALTER TABLE "TradeLog" DROP CONSTRAINT "TradeLog_automation_id_fkey";
ALTER TABLE "Automation" ALTER id TYPE UUID USING id::UUID,
    ALTER user_exchange_account_id TYPE UUID USING user_exchange_account_id::UUID;
ALTER TABLE user_exchange_accounts ALTER id TYPE UUID USING id::UUID;
ALTER TABLE "TradeLog" ALTER automation_id TYPE UUID USING automation_id::UUID;
"""
USER = "8a6f2c1e-5d3b-4f7a-9c0e-1b2d3f4a5c6d"
USERS_TOO = f"""
{UUIDS}
ALTER TABLE user_exchange_accounts DROP CONSTRAINT "user_exchange_accounts_user_id_fkey";
ALTER TABLE "Automation" DROP CONSTRAINT "Automation_user_id_fkey";
ALTER TABLE "TradeLog" DROP CONSTRAINT "TradeLog_user_id_fkey";
DELETE FROM "User"; INSERT INTO "User" VALUES ('{USER}', 'a@example.com');
ALTER TABLE "User" ALTER id TYPE UUID USING id::UUID;
ALTER TABLE user_exchange_accounts ALTER user_id TYPE UUID USING user_id::UUID;
ALTER TABLE "Automation" ALTER user_id TYPE UUID USING user_id::UUID;
ALTER TABLE "TradeLog" ALTER user_id TYPE UUID USING user_id::UUID;
"""
ADD = {"action": "add_margin", "add_margin_amount": 1000}


class TestIdsThatAreUuids:
    @pytest.fixture
    def world(self, world: World, prisma_url: str) -> World:
        query(prisma_url, UUIDS)
        world.storage.forget_tables()
        return world

    @pytest.fixture
    def account(self, world: World) -> Account:
        return world.account()

    @pytest.fixture
    def entry(self, world: World, account: Account) -> str:
        return world.automation(account, "auto_entry", ENTRY)

    def test_what_is_none_names_nothing_here(self, world: World, entry: str) -> None:
        """It is no reason for an error of the database's."""
        for text in ("no uuid", entry.replace("-", ""), f"{{{entry}}}"):
            result = world.run(text)
            assert (result["status"], result["error"]["code"]) == ("failed", "automation_not_found")
            with pytest.raises(NotFound):
                get_automation_config(text)
            with pytest.raises(NotFound):
                get_user_credentials("user123", text)

    def test_an_application_may_have_them_as_such(self, world: World, account: Account, entry: str) -> None:
        assert get_automation_config(UUID(entry))["id"] == entry
        assert get_user_credentials("user123", UUID(account.id)).reveal_key() == account.paper.key
        set_user_credentials("user123", UUID(account.id), key="k", secret="s", passphrase="p")
        assert get_user_credentials("user123", account.id).reveal_key() == "k"
        assert get_result(UUID(enqueue(world.job(entry))))["automationId"] == entry
        scopes: list[tuple[Scope, str]] = [("account", account.id), ("automation", entry)]
        for scope, own in scopes:
            assert switching.pause(world.storage, scope, UUID(own)).scope_id == own
            assert switching.resume(world.storage, scope, UUID(own))

    def test_what_is_one_is_found_however_it_is_written(self, world: World, account: Account, entry: str) -> None:
        """And is kept as its row has it, by which everything else finds it."""
        for written in (entry, entry.upper(), entry):
            result = world.run(written)
            assert (result["status"], result["automationId"]) == ("completed", entry)
            execution = world.execution(result["executionId"])
            assert (execution.automation_id, execution.job["automationId"]) == (entry, entry)
            assert [one.automation_id for one in world.actions(execution.id)] == [entry]
        found = explain.select(world.storage, Wanted(automation=entry.upper(), account=account.id.upper()), limit=9)
        assert len(found) == 3

    def test_and_costs_no_more(self, world: World, entry: str, asked: list[str]) -> None:
        enqueue(world.job(entry))
        for written in (entry, entry.upper()):
            asked.clear()
            enqueue(world.job(written))
            assert len(asked) == 1

    def test_also_where_it_is_not_there_yet(self, world: World, account: Account) -> None:
        unbound = world.automation(None, "auto_entry", ENTRY)
        world.account(name="Second")  # which of the two is meant?
        taken = enqueue(world.job(unbound.upper()))
        assert world.execution(taken).automation_id == unbound
        world.storage.run('UPDATE "Automation" SET user_exchange_account_id = ? WHERE id = ?', account.id, unbound)
        switching.pause(world.storage, "automation", unbound)
        world.go_on(taken)
        assert world.go_on(taken)["waitingFor"] == "paused"
        assert world.paper.effects() == []

    def test_a_job_of_a_process_that_took_them_for_texts_meets_the_same_switches(
        self, world: World, prisma_url: str, entry: str
    ) -> None:
        switching.pause(world.storage, "automation", entry)
        taken = enqueue(world.job(entry))
        world.storage.run(
            "UPDATE axisor_executions SET automation_id = upper(automation_id), job = ?", world.job(entry.upper())
        )
        assert world.go_on(taken)["waitingFor"] == "paused"

    @pytest.mark.parametrize("scope", ["account", "automation"])
    def test_a_pause_holds_however_it_is_written(
        self, world: World, account: Account, entry: str, scope: Scope
    ) -> None:
        own = {"account": account.id, "automation": entry}[scope]
        for paused in (own, own.upper()):
            assert switching.pause(world.storage, scope, paused).scope_id == own
            for written in (entry, entry.upper()):
                assert world.run(written)["waitingFor"] == "paused"
            for written, removed in ((own.upper(), True), (own, False)):
                assert switching.resume(world.storage, scope, written) is removed
        assert world.paper.effects() == []

    @pytest.mark.parametrize(
        ("guards", "code"),
        [({"cooldown_seconds": 3600}, "cooldown"), ({"max_daily_add_margin": 1000}, "daily_add_margin_exceeded")],
    )
    def test_spend_guards_count_it(self, world: World, account: Account, guards: Any, code: str) -> None:
        trade_id = world.open_trade(account)
        guard = world.automation(account, "margin_guard", {**ADD, **guards})
        assert world.run(guard.upper(), trade_id=trade_id)["status"] == "completed"
        for written in (guard, guard.upper()):
            result = world.run(written, trade_id=trade_id)
            assert code in (result.get("result", {}).get("reason"), result.get("error", {}).get("code"))
        assert [one["kind"] for one in world.paper.effects()].count("add_margin") == 1

    def test_so_does_max_open_trades(self, world: World, account: Account) -> None:
        entry = world.automation(account, "auto_entry", {**ENTRY, "max_open_trades": 1})
        statuses = [world.run(written)["status"] for written in (entry.upper(), entry, entry.upper())]
        assert statuses == ["completed", "pending", "pending"]

    @pytest.mark.parametrize("message_id", [None, "of another producer"])
    def test_twins_are_twins(self, world: World, account: Account, message_id: str | None) -> None:
        guard = world.automation(account, "margin_guard", ADD)
        first = enqueue(world.job(guard, trade_id="t"))
        twin, _ = world.parts.intake.take(world.job(guard.upper(), trade_id="t"), message_id=message_id)
        assert (twin.status, twin.automation_id) == ("cancelled", guard)
        assert twin.result is not None
        assert twin.result["duplicateOf"] == first

    def test_a_key_belongs_to_the_same_job(self, world: World, entry: str) -> None:
        first = enqueue(world.job(entry), "key")
        world.storage.run('DELETE FROM "Automation" WHERE id = ?', entry)
        assert enqueue(world.job(entry.upper()), "key") == first

    def test_credentials_are_bound_to_the_account(self, world: World, account: Account) -> None:
        world.restart(credentials_format="sealed")
        keys = {"key": "k", "secret": "s", "passphrase": "p"}
        set_user_credentials("user123", account.id.upper(), **keys)
        assert get_user_credentials("user123", account.id).reveal_key() == "k"

    def test_it_is_found_sound(
        self, world: World, account: Account, entry: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Page by page."""
        monkeypatch.setattr(paging.paged, "__kwdefaults__", {"page_rows": 1})
        world.account(name="Second", is_active=False)
        assert world.run(entry)["status"] == "completed"
        ring = KeyRing.from_settings(world.settings)
        assert take_census(world.storage, ring).accounts == 2
        assert rotate(world.storage, ring, Target(ring.key_ids[0], "sealed")).rotated == 2
        assert look(world.storage, world.settings, world.parts.registry).problems == []

    def test_what_is_held_for_nobody_is_found(self, world: World, account: Account, entry: str) -> None:
        result = world.run(entry)
        world.storage.run("UPDATE axisor_actions SET status = 'unknown', account_id = 'gone'")
        (problem,) = look(world.storage, world.settings, world.parts.registry).problems
        assert problem.kind == "held_without_account"
        assert problem.items[0]["executionId"] == result["executionId"]


class TestUsersThatAreUuids:
    @pytest.fixture
    def world(self, world: World, prisma_url: str) -> World:
        query(prisma_url, USERS_TOO)
        world.storage.forget_tables()
        return world

    def test_a_job_is_its_users_however_they_are_written(self, world: World) -> None:
        entry = world.automation(world.account(user_id=USER), "auto_entry", ENTRY)
        result = world.run(entry, user_id=USER.upper())
        assert (result["status"], result["userId"]) == ("completed", USER)
        assert world.run(entry, user_id="user123")["error"]["code"] == "automation_not_found"
        (logged,) = world.trade_log()
        assert logged.user_id == USER

    def test_so_is_a_preview(self, world: World) -> None:
        entry = world.automation(world.account(user_id=USER), "auto_entry", ENTRY)
        shown = preview(world.parts, {"userId": USER.upper(), "automationId": entry.upper()})
        assert [one["action"] for one in shown["actions"]] == ["open_position"]

    def test_credentials_are_their_users(self, world: World) -> None:
        account = world.account(user_id=USER)
        for written in (USER, USER.upper()):
            for account_id in (None, account.id):
                assert get_user_credentials(written, account_id).reveal_key() == account.paper.key
        for account_id in (None, account.id):
            with pytest.raises(NotFound):
                get_user_credentials("user123", account_id)

    def test_automations_are_migrated(self, world: World) -> None:
        world.account(user_id=USER)
        world.automation(None, "auto_entry", ENTRY, user_id=USER)
        assert [user for user, _ in users_with_unbound(world.storage)] == [USER]
        assert migrate_existing_automations("user123")["success"] is False
        assert migrate_existing_automations(USER.upper())["migratedCount"] == 1
        world.automation(None, "auto_entry", ENTRY, user_id=USER)
        assert migrate_existing_automations(UUID(USER))["migratedCount"] == 1

    def test_they_are_looked_for(self, world: World) -> None:
        account = world.account(user_id=USER)
        for text, user_id in (("main", None), (USER[:8].upper(), None), ("", USER.upper())):
            (known,) = account_search.matching(world.storage, text, user_id=user_id, limit=9)
            assert (known.id, known.user_id) == (account.id, USER)
        assert account_search.matching(world.storage, "", user_id="user123", limit=9) == []
        assert [one.id for one in account_search.by_ids(world.storage, ["of old", account.id])] == [account.id]

    def test_a_token_is_bound_to_them(self, world: World) -> None:
        _, token = tokens.create(world.storage, "theirs", tokens.SCOPES, user_id=USER.upper())
        assert token.user_id == USER

    def test_it_is_found_sound(self, world: World) -> None:
        world.automation(world.account(user_id=USER), "auto_entry", ENTRY)
        assert look(world.storage, world.settings, world.parts.registry).problems == []
        world.storage.run('DELETE FROM "User"')
        found = look(world.storage, world.settings, world.parts.registry).problems
        assert {problem.kind for problem in found} == {"user_missing"}
