"""What an application that embeds the library calls."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
import redis

from axisor_executor import (
    SecureCredentials,
    accounts,
    automations,
    enqueue,
    execute,
    get_automation_config,
    get_result,
    get_user_credentials,
    intake,
    migrate_existing_automations,
    runtime,
    set_user_credentials,
)
from axisor_executor.embedded import PrivateRedis
from axisor_executor.errors import AxisorError, CredentialsError, IdempotencyConflict, InvalidJob, NotFound
from axisor_executor.preview import preview
from tests.harness.world import World

ENTRY = {"side": "b", "quantity": 100}


def executions(world: World) -> int:
    row = world.storage.one("SELECT COUNT(*) FROM axisor_executions")
    assert row is not None
    return int(row[0])


def bindings(world: World) -> dict[str, str | None]:
    return dict(world.storage.rows('SELECT id, user_exchange_account_id FROM "Automation"'))


class TestEnqueue:
    @pytest.mark.parametrize("job", [None, {}, {"userId": "u"}, {"userId": "u", "automationId": 3}])
    def test_a_malformed_job_raises_at_once_and_writes_nothing(self, world: World, job: Any) -> None:
        with pytest.raises(InvalidJob):
            enqueue(job)
        assert executions(world) == 0
        assert world.parts.queue.sizes() == {"protect": 0, "default": 0}

    def test_an_unknown_automation_ends_its_execution_instead(self, world: World) -> None:
        execution_id = enqueue(world.job("no-such-automation"))
        result = world.go_on(execution_id)
        assert (result["status"], result["error"]["code"]) == ("failed", "automation_not_found")

    def test_it_waits_as_queued_on_its_lane(self, world: World) -> None:
        account = world.account()
        entry = enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
        guard = world.automation(account, "margin_guard", {"action": "close_position"})
        enqueue(world.job(guard, trade_id="t"))
        assert world.parts.queue.sizes() == {"protect": 1, "default": 1}
        assert get_result(entry) == {
            "status": "queued",
            "executionId": entry,
            "automationId": world.execution(entry).automation_id,
            "userId": "user123",
            "accountId": account.id,
            "accountName": "Main Account",
            "tradeId": None,
        }

    def test_a_guard_that_waits_already_is_not_queued_twice(self, world: World) -> None:
        guard = world.automation(world.account(), "margin_guard", {"action": "close_position"})
        first = enqueue(world.job(guard, trade_id="trade-1"))
        second = get_result(enqueue(world.job(guard, trade_id="trade-1")))
        assert (second["status"], second["reason"], second["duplicateOf"]) == ("cancelled", "duplicate", first)
        other = get_result(enqueue(world.job(guard, trade_id="trade-2")))
        assert other["status"] == "queued"

    def test_no_credential_leaves_for_redis(self, world: World, redis_url: str) -> None:
        account = world.account()
        enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
        with redis.Redis.from_url(redis_url) as client:
            stored = b"".join(client.dump(key) or b"" for key in client.scan_iter())
        assert stored
        assert account.paper.secret.encode() not in stored


class TestIdempotencyKey:
    def test_the_same_job_again_is_the_first_execution(self, world: World) -> None:
        job = world.job(world.automation(world.account(), "auto_entry", ENTRY))
        assert enqueue(job, "key-1") == enqueue(job, "key-1")
        assert executions(world) == 1

    def test_also_after_it_has_run(self, world: World) -> None:
        job = world.job(world.automation(world.account(), "auto_entry", ENTRY))
        with world.changes() as changes:
            first = execute(job, "key-1")
            again = execute(job, "key-1")
        assert again == first
        assert changes.kinds == ["open"]

    def test_another_job_is_refused(self, world: World) -> None:
        account = world.account()
        first = enqueue(world.job(world.automation(account, "auto_entry", ENTRY)), "key-1")
        other = world.job(world.automation(account, "auto_entry", ENTRY))
        with pytest.raises(IdempotencyConflict, match=first) as caught:
            enqueue(other, "key-1")
        assert (caught.value.status, caught.value.code) == (409, "idempotency_conflict")
        assert executions(world) == 1

    def test_another_users_key_is_another_key(self, world: World) -> None:
        for user in ("user123", "user456"):
            entry = world.automation(world.account(user), "auto_entry", ENTRY)
            enqueue(world.job(entry, user_id=user), "key-1")
        assert executions(world) == 2

    @pytest.mark.parametrize("key", ["", "  ", "x" * 201, "x" + " " * 200, 17, "z\0", "\ud800", "\ud83d\ude00"])
    def test_one_that_can_not_be_kept_is_refused(self, world: World, key: Any) -> None:
        with pytest.raises(InvalidJob) as caught:
            enqueue(world.job("a"), key)
        assert caught.value.code == "invalid_key"
        assert executions(world) == 0

    def test_one_that_looks_like_what_is_refused_is_a_key(self, world: World) -> None:
        """A key that was kept as another text would be another one's: its job would not be done."""
        job = world.job(world.automation(world.account(), "auto_entry", ENTRY))
        ids = {enqueue(job, key) for key in ("z\ufffd", "?", "\N{GRINNING FACE}", "z\n")}
        assert len(ids) == executions(world) == 4

    def test_many_at_once_make_one_execution(self, world: World) -> None:
        job = world.job(world.automation(world.account(), "auto_entry", ENTRY))
        ids: list[str] = []
        threads = [threading.Thread(target=lambda: ids.append(enqueue(job, "key-1"))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == 6
        assert len(set(ids)) == executions(world) == 1


class TestRedisAway:
    def test_a_job_is_taken_all_the_same_and_sent_when_it_is_back(self, world: World, own_redis: PrivateRedis) -> None:
        world.restart(redis_url=own_redis.url)
        entry = world.automation(world.account(), "auto_entry", ENTRY)
        own_redis.kill()
        started = time.monotonic()
        execution_id = enqueue(world.job(entry))
        assert time.monotonic() - started < 10
        assert world.execution(execution_id).status == "queued"
        own_redis.start()
        world.make_older(execution_id, seconds=3)
        assert world.parts.recovery.look() == 1
        assert world.parts.queue.sizes()["default"] == 1
        assert world.go_on(execution_id)["status"] == "completed"

    def test_a_burst_does_not_wait_for_it_job_by_job(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that hangs holds up whoever tells it anything for seconds."""
        entry, clock = world.automation(world.account(), "auto_entry", ENTRY), SimpleNamespace(now=1_000.0)
        told: list[str] = []
        error: Exception = redis.TimeoutError("it hangs")
        hangs = 6.0

        def fail(execution_id: str, lane: str) -> None:
            told.append(execution_id)
            clock.now += hangs
            raise error

        monkeypatch.setattr(intake, "time", SimpleNamespace(monotonic=lambda: clock.now))
        monkeypatch.setattr(world.parts.queue, "announce", fail)
        ids = [enqueue(world.job(entry)) for _ in range(5)]
        assert executions(world) == 5
        assert told == ids[:1]
        clock.now += hangs * intake.AWAY_SHARE - 1
        ids.append(enqueue(world.job(entry)))
        assert told == ids[:1]
        clock.now += 1
        hangs = 0
        ids.append(enqueue(world.job(entry)))
        assert told == [ids[0], ids[-1]]
        clock.now += intake.AWAY_SECONDS
        error = redis.ResponseError("it is full, which it says at once")
        ids += [enqueue(world.job(entry)) for _ in range(2)]
        assert told == [ids[0], *ids[6:]]


class TestGetResult:
    def test_an_unknown_one_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFound) as caught:
            get_result("no-such-execution")
        assert (caught.value.status, caught.value.code) == (404, "execution_not_found")

    def test_waiting_ends_with_the_execution(self, world: World) -> None:
        execution_id = enqueue(world.job(world.automation(world.account(), "auto_entry", ENTRY)))
        runner = threading.Thread(target=world.parts.executor.run, args=(execution_id,))
        runner.start()
        result = get_result(execution_id, wait=20)
        runner.join()
        assert result["status"] == "completed"

    def test_waiting_ends_with_its_time_too(self, world: World) -> None:
        execution_id = enqueue(world.job(world.automation(world.account(), "auto_entry", ENTRY)))
        assert get_result(execution_id, wait=0.05)["status"] == "queued"


class TestExecute:
    def test_what_has_to_wait_tells_what_for(self, world: World) -> None:
        world.paper.add_fault("status_before", mutating=True, status=503)
        result = execute(world.job(world.automation(world.account(), "auto_entry", ENTRY)))
        assert (result["status"], result["waitingFor"]) == ("waiting", "retry")
        assert result["error"]["code"] == "exchange_unavailable"
        assert result["error"]["status"] == 503


class TestGetUserCredentials:
    def test_of_an_account(self, world: World) -> None:
        account = world.account(is_active=False)
        found = get_user_credentials("user123", account.id)
        assert found.reveal_key() == account.paper.key
        assert found.reveal_secret() == account.paper.secret
        assert found.reveal_passphrase() == account.paper.passphrase

    def test_of_the_active_account_where_none_is_named(self, world: World) -> None:
        world.account(name="Idle", is_active=False)
        active = world.account(name="Active")
        assert get_user_credentials("user123").reveal_key() == active.paper.key

    def test_several_active_ones_are_an_error_that_names_them(self, world: World) -> None:
        world.account(name="One")
        world.account(name="Two")
        with pytest.raises(AxisorError, match=r"One .*Two ") as caught:
            get_user_credentials("user123")
        assert (caught.value.status, caught.value.code) == (400, "several_active_accounts")

    def test_no_active_one_is_not_found(self, world: World) -> None:
        world.account(is_active=False)
        with pytest.raises(NotFound):
            get_user_credentials("user123")

    def test_anothers_account_looks_just_like_an_unknown_one(self, world: World) -> None:
        foreign = world.account("user456")
        errors = []
        for account_id in (foreign.id, "no-such-account"):
            with pytest.raises(NotFound) as caught:
                get_user_credentials("user123", account_id)
            errors.append(repr(caught.value.as_dict()).replace(account_id, "ID"))
        assert errors[0] == errors[1]

    def test_missing_ones_are_an_error(self, world: World) -> None:
        account = world.account(credentials={})
        with pytest.raises(CredentialsError) as caught:
            get_user_credentials("user123", account.id)
        assert (caught.value.status, caught.value.account_id) == (400, account.id)

    def test_the_second_time_they_come_from_the_cache(self, world: World) -> None:
        account = world.account()
        get_user_credentials("user123", account.id)
        get_user_credentials("user123", account.id)
        cache = world.parts.vault.cache
        assert (cache.hits, cache.misses) == (1, 1)


class TestGetAutomationConfig:
    def test_with_its_account_and_no_secret(self, world: World) -> None:
        account = world.account()
        automation_id = world.automation(account, "auto_entry", ENTRY)
        assert get_automation_config(automation_id) == {
            "id": automation_id,
            "userId": "user123",
            "type": "auto_entry",
            "isActive": True,
            "config": ENTRY,
            "account": {"id": account.id, "name": "Main Account", "exchange": "lnmarkets", "isActive": True},
        }

    def test_an_unbound_one_has_none(self, world: World) -> None:
        assert get_automation_config(world.automation(None, "auto_entry", ENTRY))["account"] is None

    def test_an_unknown_one_is_not_found(self, world: World) -> None:
        with pytest.raises(NotFound, match="automation_x not found"):
            get_automation_config("automation_x")


class TestMigrateExistingAutomations:
    def test_the_unbound_ones_go_to_the_active_account(self, world: World) -> None:
        world.account(name="Idle", is_active=False)
        active = world.account(name="Active")
        unbound = [world.automation(None, "auto_entry", ENTRY) for _ in range(3)]
        assert migrate_existing_automations("user123") == {"success": True, "migratedCount": 3, "errors": []}
        assert bindings(world) == dict.fromkeys(unbound, active.id)

    def test_bound_ones_and_those_of_others_are_not_touched(self, world: World) -> None:
        idle = world.account(name="Idle", is_active=False)
        world.account(name="Active")
        bound = world.automation(idle, "auto_entry", ENTRY)
        foreign = world.automation(None, "auto_entry", ENTRY, user_id="user456")
        assert migrate_existing_automations("user123")["migratedCount"] == 0
        assert bindings(world) == {bound: idle.id, foreign: None}

    def test_a_second_time_changes_nothing_more(self, world: World) -> None:
        world.account()
        world.automation(None, "auto_entry", ENTRY)
        migrate_existing_automations("user123")
        before = bindings(world)
        assert migrate_existing_automations("user123") == {"success": True, "migratedCount": 0, "errors": []}
        assert bindings(world) == before

    def test_without_an_active_account_nothing_changes(self, world: World) -> None:
        world.account(is_active=False)
        unbound = world.automation(None, "auto_entry", ENTRY)
        result = migrate_existing_automations("user123")
        assert (result["success"], result["migratedCount"]) == (False, 0)
        assert "user123" in result["errors"][0]
        assert bindings(world) == {unbound: None}

    def test_nor_with_several(self, world: World) -> None:
        world.account(name="One")
        world.account(name="Two")
        unbound = world.automation(None, "auto_entry", ENTRY)
        result = migrate_existing_automations("user123")
        assert result["success"] is False
        assert "One" in result["errors"][0]
        assert bindings(world) == {unbound: None}

    def test_a_failure_in_the_middle_leaves_all_as_it_was(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        from axisor_executor.storage import accounts

        world.account()
        unbound = [world.automation(None, "auto_entry", ENTRY) for _ in range(2)]
        bind = accounts.bind

        def bind_once(storage: Any, automation_id: str, account_id: str) -> bool:
            monkeypatch.setattr(accounts, "bind", fail)
            return bind(storage, automation_id, account_id)

        def fail(*_: Any) -> bool:
            raise RuntimeError("the power is out")

        monkeypatch.setattr(accounts, "bind", bind_once)
        with pytest.raises(RuntimeError):
            migrate_existing_automations("user123")
        assert bindings(world) == dict.fromkeys(unbound)

    def test_migrated_ones_run_where_they_were_bound_to(self, world: World) -> None:
        world.account(name="Idle", is_active=False)
        world.account(name="Active")
        unbound = world.automation(None, "auto_entry", ENTRY)
        migrate_existing_automations("user123")
        assert world.run(unbound)["accountName"] == "Active"


class TestIds:
    """Of whichever type an application keeps them."""

    def test_a_uuid_is_its_text(self, world: World) -> None:
        account = world.account()
        user_id, account_id = UUID(int=7), UUID(account.id)
        world.storage.run("UPDATE user_exchange_accounts SET user_id = ?", str(user_id))
        entry = world.automation(None, "auto_entry", ENTRY, user_id=str(user_id))
        assert migrate_existing_automations(user_id)["migratedCount"] == 1
        assert get_automation_config(UUID(entry))["account"]["id"] == account.id
        assert get_user_credentials(user_id).reveal_key() == account.paper.key
        set_user_credentials(user_id, account_id, key="k", secret="s", passphrase="p")
        assert get_user_credentials(user_id, account_id).reveal_key() == "k"
        execution_id = enqueue(world.job(entry, user_id=str(user_id)))
        assert get_result(UUID(execution_id))["executionId"] == execution_id

    @pytest.mark.parametrize(
        "ask",
        [
            get_result,
            get_automation_config,
            get_user_credentials,
            migrate_existing_automations,
            lambda wrong: set_user_credentials("user123", wrong, key="k", secret="s", passphrase="p"),
            lambda wrong: accounts.find(runtime.current(), wrong),
            lambda wrong: automations.find(runtime.current(), wrong),
        ],
    )
    def test_what_is_neither_is_refused(self, world: World, ask: Callable[[Any], Any]) -> None:
        del world
        for wrong in (7, None, b"a", ["a"]):
            with pytest.raises(InvalidJob, match=f"an id is a text or a UUID, got {type(wrong).__name__}") as caught:
                ask(wrong)
            assert (caught.value.status, caught.value.code) == (400, "invalid_job")

    def test_accounts_and_automations_are_kept_by_them(self, world: World) -> None:
        user_id, account_id, automation_id = UUID(int=7), UUID(int=8), UUID(int=9)
        keys = SecureCredentials("k", "s", "p")
        added, _ = accounts.add(
            world.parts, user_id=user_id, name="A", exchange="lnmarkets", keys=keys, account_id=account_id
        )
        assert accounts.find(world.parts, account_id).account.id == added["id"] == str(account_id)
        assert accounts.listed(world.parts, user_id) == [added]
        made, _ = automations.add(
            world.parts,
            user_id=user_id,
            account=account_id,
            type="auto_entry",
            config=ENTRY,
            automation_id=automation_id,
        )
        assert automations.find(world.parts, automation_id).automation.id == made["id"] == str(automation_id)
        assert automations.listed(world.parts, user_id=user_id, account_id=account_id) == [made]


def test_a_preview_takes_a_job_as_enqueue_does(world: World) -> None:
    job = world.job(world.automation(world.account(), "auto_entry", ENTRY))
    assert preview(runtime.current(), job)["actions"][0]["action"] == "open_position"
    with pytest.raises(InvalidJob, match="automationId: missing"):
        preview(runtime.current(), {"userId": "user123"})


class TestWithAWorker:
    def test_jobs_of_many_accounts_are_each_carried_out_on_their_own(self, world: World, tmp_path: Path) -> None:
        """Two users with two accounts each, all at once, on every thread of a worker."""
        accounts = [world.account(user, f"{user}'s {name}") for user in ("ann", "bob") for name in ("first", "second")]
        ids: dict[str, str] = {}
        with world.worker(tmp_path / "worker.log", threads=8), world.changes() as changes:
            for _ in range(3):
                for account in accounts:
                    entry = world.automation(account, "auto_entry", ENTRY)
                    ids[enqueue(world.job(entry, user_id=account.user_id))] = account.id
            results = [get_result(one, wait=30) for one in ids]
        assert {result["status"] for result in results} == {"completed"}
        assert [result["accountId"] for result in results] == list(ids.values())
        assert Counter(changes.effects) == {(account.name, "open"): 3 for account in accounts}
        for account in accounts:
            own = {result["tradeId"] for result in results if result["accountId"] == account.id}
            assert {trade["id"] for trade in world.paper.trades(account.paper)} == own
