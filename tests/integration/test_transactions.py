"""Transactions that begin with their first statement: whole or not at all, and what they look at is as it is now."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import peewee
import pytest

from axisor_executor.automation import Act, AddMargin, Group, act
from axisor_executor.errors import Changed, Held
from axisor_executor.run import points, send
from axisor_executor.storage import accounts, actions, claiming, executions, sending, tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.plans import Plan
from axisor_executor.switching import pause
from tests.harness.waiting import until
from tests.harness.world import Account, World
from tests.integration.conftest import _empty
from tests.integration.ledger import ENTRY, SENDING, Ledger
from tests.integration.puppet import CONFIG, Puppet

GIVE_REASON = "UPDATE axisor_switches SET reason = ? WHERE scope = ?"
SET = "INSERT INTO axisor_switches (scope, scope_id, mode, created_at) VALUES (?, '', 'paused', {now})"


def switches_set(storage: Storage) -> int:
    return len(storage.rows("SELECT 1 FROM axisor_switches"))


class Undone(Exception):
    """What a test breaks a transaction off with."""


class TestWholeOrNotAtAll:
    @pytest.mark.parametrize(
        "broken",
        ["SELECT FROM WHERE", "SELECT 1 FROM no_such_table", "INSERT INTO axisor_switches (scope) VALUES (NULL)"],
    )
    def test_also_where_the_first_statement_failed(self, ledger: Ledger, broken: str) -> None:
        with suppress(Undone), ledger.storage.write():
            with suppress(peewee.PeeweeException):
                ledger.storage.run(broken)
            with suppress(peewee.PeeweeException):  # of a transaction that has failed nothing more is taken
                ledger.storage.run(SET, "all")
            raise Undone
        assert switches_set(ledger.storage) == 0

    def test_also_where_the_first_statement_was_never_sent(self, ledger: Ledger) -> None:
        with suppress(Undone), ledger.storage.write():
            with suppress(peewee.PeeweeException):
                ledger.storage.run(SET, object())
            ledger.storage.run(SET, "all")
            raise Undone
        assert switches_set(ledger.storage) == 0

    def test_also_one_in_another(self, ledger: Ledger) -> None:
        with ledger.storage.write():
            with suppress(Undone), ledger.storage.write():
                ledger.storage.run(SET, "all")
                raise Undone
            ledger.storage.run(SET, "exchange")
        assert switches_set(ledger.storage) == 1

    def test_one_without_a_statement_leaves_nothing_behind(self, ledger: Ledger) -> None:
        for _ in range(2):
            with ledger.storage.write():
                pass
            with suppress(Undone), ledger.storage.write():
                raise Undone
        ledger.storage.run(SET, "all")
        other = Storage(ledger.storage._url)
        assert switches_set(other) == 1, "committed by itself"
        other.close()

    def test_a_statement_that_may_fail_takes_only_itself_back(self, ledger: Ledger) -> None:
        with ledger.storage.write():
            for scope in ("all", "all", "exchange"):
                with suppress(peewee.IntegrityError):
                    ledger.storage.attempt(SET, scope)
        assert switches_set(ledger.storage) == 2

    def test_signs_that_mean_something_to_the_driver_are_kept_as_they_are(self, ledger: Ledger) -> None:
        said = "100 % of %s, %(name)s? or ?; DROP TABLE x; --"
        ledger.storage.together((SET, "all"), (GIVE_REASON, said, "all"))
        assert ledger.storage.one("SELECT reason, 7 % 4 FROM axisor_switches WHERE reason = ?", said) == (said, 3)


def fill(storage: Storage) -> None:
    with storage.write():
        for _ in range(9):
            storage.run("INSERT INTO filled VALUES (?)", "x" * 4000)


def test_a_full_disk_is_told_as_what_it_is(tmp_path: Path) -> None:
    """SQLite has undone the transaction by itself then."""
    storage = Storage(f"sqlite:///{tmp_path / 'full.db'}")
    with storage.connection():
        storage.run("CREATE TABLE filled (text TEXT)")
        (pages,) = storage.one("PRAGMA page_count") or (0,)
        storage.one(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(peewee.OperationalError, match="disk is full"):
            fill(storage)
        assert storage.rows("SELECT 1 FROM filled") == []
        with storage.write():
            storage.run("INSERT INTO filled VALUES (?)", "x")
        assert storage.rows("SELECT text FROM filled") == [("x",)]
    storage.close()


def test_what_is_read_behind_a_lock_is_as_it_is_then(postgres_url: str) -> None:
    """Hand-over, switches and claims are made for it, whatever the server's default is."""
    strict = Storage(f"{postgres_url}?options=-c%20default_transaction_isolation%3Dserializable")
    with strict.write():
        assert strict.one("SHOW transaction_isolation") == ("read committed",)
    with strict.write(durable=True):
        assert strict.one("SHOW transaction_isolation") == ("read committed",)
    strict.close()


def test_a_token_is_on_disk_when_it_is_made_or_revoked(world: World, commits: list[str]) -> None:
    _, made = tokens.create(world.storage, "one", ["read"])
    tokens.revoke(world.storage, made.id)
    assert commits == ["on", "on"]


class TestSending:
    @pytest.fixture
    def database_url(self, migrated_postgres: str) -> str:
        """Of PostgreSQL: SQLite's writers are alone."""
        _empty(migrated_postgres)
        return migrated_postgres

    @pytest.mark.parametrize("held", ["axisor_leases WHERE account_id = 'account-1'", "axisor_executions"])
    @pytest.mark.parametrize("is_known", [True, False])
    @pytest.mark.parametrize("change", ["credentials", "pause"])
    def test_what_is_changed_while_a_sender_waits_for_a_lock_counts(
        self, ledger: Ledger, database_url: str, held: str, is_known: bool, change: str
    ) -> None:
        """Whether it sends what it has just decided, all at once, or what it finds in the ledger."""
        storage, run = ledger.storage, ledger.running(automation_id="automation-a")
        account = accounts.account(storage, "account-1")
        automation = accounts.automation(storage, "automation-a")
        assert account is not None
        assert automation is not None
        plan = Plan(storage, run, act(ENTRY), {}, [], config_text=automation.config_text) if is_known else None
        (planned,) = plan.actions if plan else ledger.plan(run)
        other = Storage(database_url)

        def send() -> None:
            with other.connection():
                sending.begin(other, run, planned, SENDING, account=account, plan=plan)

        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        with ThreadPoolExecutor(1) as pool:
            with storage.write():
                storage.run(f"SELECT 1 FROM {held} FOR UPDATE")
                sender = pool.submit(send)
                third = Storage(database_url)
                until(lambda: third.one(waits))
                if "leases" not in held:
                    third.rows("SELECT 1 FROM axisor_leases FOR UPDATE NOWAIT")  # that is for later: no deadlock
                if change == "pause":
                    third.run(SET, "all")  # nobody waits for its lock: a pause that has not begun to wait
                else:
                    accounts.set_credentials(third, "account-1", {"key": "another"})
                third.close()
            with pytest.raises(Held if change == "pause" else Changed):
                sender.result(30)
        other.close()
        assert [one.status for one in ledger.actions(run)] == ([] if is_known else ["planned"])

    def test_a_first_run_is_three_statements_to_the_database(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is on the way of every job: claimed, begun, ended."""
        execution_id = ledger.queued(automation_id="automation-a")
        storage = ledger.storage
        asked: list[str] = []
        ask = storage.database.execute_sql

        def listening(sql: str, params: Any = None) -> Any:
            if not sql.startswith("PREPARE"):
                asked.append(sql)
            return ask(sql, params)

        storage.type_of("Automation", "id")
        monkeypatch.setattr(storage.database, "execute_sql", listening)
        claimed = claiming.claim(storage, execution_id, worker_id="worker-1", lease_seconds=60)
        assert claimed is not None
        assert claimed.automation is not None
        assert claimed.automation.account is not None
        run, found = claimed.run, claimed.automation
        plan = Plan(storage, run, act(ENTRY), {}, [], config_text=found.config_text)
        sent = sending.begin(storage, run, plan.actions[0], SENDING, account=found.account, plan=plan)
        plan.confirmed(sent, {"id": "trade-1"}, "trade-1")
        assert plan.owed is not None
        end = actions.settlement_at_end(run, plan.owed, "completed")
        executions.finish(storage, run, "completed", result={}, lease_seconds=60, behind=(end,))
        assert len(asked) == 3
        assert (ledger.get(run.id).status, [one.status for one in ledger.actions(run)]) == ("completed", ["confirmed"])


class TestManyWorkers:
    def test_each_message_twice_at_once_makes_one_run_and_leaves_nobody_in_line(self, ledger: Ledger) -> None:
        """Without recovery: a claim that joins the line is seen by the end that it waits for."""
        ids = [ledger.queued(f"account-{number % 2}") for number in range(16)]
        messages: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        for execution_id in ids:
            messages.put(execution_id)
            messages.put(execution_id)
        acting: dict[str, str] = {}
        runs: list[str] = []
        problems: list[str] = []
        storage = ledger.storage

        def work() -> None:
            while (execution_id := messages.get()) is not None:
                with storage.connection():
                    run = ledger.claim(execution_id, worker_id=threading.current_thread().name)
                    if run is None:
                        continue
                    assert run.account_id is not None
                    if acting.setdefault(run.account_id, run.id) != run.id:
                        problems.append(f"{run.id} beside {acting[run.account_id]}")
                    runs.append(run.id)
                    del acting[run.account_id]
                    following = ledger.finish(run)
                if following is not None:
                    messages.put(following.id)

        workers = [threading.Thread(target=work) for _ in range(6)]
        for worker in workers:
            worker.start()
        try:
            until(lambda: all(ledger.get(one).is_over for one in ids), timeout=60)
        finally:
            for _ in workers:
                messages.put(None)
            for worker in workers:
                worker.join(30)
        assert problems == []
        assert sorted(runs) == sorted(ids)
        assert {ledger.get(one).fence for one in ids} == {1}
        assert ledger.storage.rows("SELECT account_id FROM axisor_leases") == []


def test_a_plan_and_its_first_sending_are_committed_together_or_not_at_all(ledger: Ledger) -> None:
    run = ledger.running(automation_id="automation-a")
    account = accounts.account(ledger.storage, "account-1")
    assert account is not None
    plan = Plan(ledger.storage, run, act(ENTRY), {}, [])
    with pytest.raises(Changed):
        sending.begin(
            ledger.storage,
            run,
            plan.actions[0],
            SENDING,
            account=replace(account, credentials={"key": "old"}),
            plan=plan,
        )
    assert (plan.is_kept, ledger.actions(run), ledger.get(run.id).plan_version) == (False, [], 0)
    sending.begin(ledger.storage, run, plan.actions[0], SENDING, account=account, plan=plan)
    assert (plan.is_kept, ledger.get(run.id).plan_version) == (True, 1)
    assert [one.status for one in ledger.actions(run)] == ["sending"]


def test_plans_of_ever_other_sizes_leave_nothing_in_memory(ledger: Ledger) -> None:
    run = ledger.running()
    ledger.plan(run, ENTRY)
    ledger.plan(run, ENTRY)
    kept = len(ledger.storage._translated)
    for size in range(2, 5):
        assert len(ledger.plan(run, *[ENTRY] * size)) == size
    assert len(ledger.storage._translated) == kept


class TestPlans:
    @pytest.fixture
    def puppet(self) -> Puppet:
        return Puppet()

    @pytest.fixture
    def account(self, world: World, puppet: Puppet) -> Account:
        world.restart(puppet.plugin)
        return world.account()

    def test_what_a_sender_reads_later_is_not_what_the_decision_has_seen(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trades = [world.open_trade(account) for _ in range(2)]
        seen: list[dict[str, int]] = []

        def decide(context: Any) -> Act:
            seen.append({trade.id: trade.pl for trade in context.reads.running()})
            groups = tuple(Group("top_up", (AddMargin(one, 100),), one) for one in trades)
            return Act(groups=groups, action="top_up", lists_trades=True)

        def planned(point: str) -> None:
            if point == "planned":
                pause(world.storage, "all")
                world.move_price(51_000)

        puppet.decision = decide
        monkeypatch.setattr(send, "OLDEST_READ_SECONDS", -1.0)
        monkeypatch.setattr(points, "listeners", [planned])
        held = world.run(world.automation(account, "puppet", CONFIG))
        assert held["waitingFor"] == "paused"
        plan = world.execution(held["executionId"]).plan
        assert plan is not None
        assert {one: trade["pl"] for one, trade in plan["seen"]["trades"].items()} == seen[0]


class TestEnds:
    """An answer is committed together with the end of its execution; where that fails, it is kept all the same."""

    @pytest.fixture
    def puppet(self) -> Puppet:
        return Puppet()

    @pytest.fixture
    def account(self, world: World, puppet: Puppet) -> Account:
        world.restart(puppet.plugin)
        return world.account()

    def test_where_the_end_has_to_wait_too_long_for_a_lock(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        puppet.decision = act(ENTRY)
        execution_id = world.enqueue(world.job(world.automation(account, "puppet", CONFIG)))

        def locked(*_: object, **__: object) -> None:
            raise peewee.OperationalError("canceling statement due to lock timeout")

        with monkeypatch.context() as patched:
            patched.setattr(executions, "finish", locked)
            with pytest.raises(peewee.OperationalError):
                world.parts.executor.run(execution_id)
        (answered,) = world.actions(execution_id)
        assert (answered.status, answered.new_trade_id is not None) == ("confirmed", True)
        world.storage.run("UPDATE axisor_leases SET until = {later}", -1)
        with world.changes() as changes:
            assert world.settle(execution_id)["tradeId"] == answered.new_trade_id
        assert (changes.asked, changes.sent) == (set(), [])

    def test_where_another_run_has_the_execution_and_the_result_can_not_be_written(
        self, world: World, account: Account, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        puppet.decision = act(ENTRY)
        execution_id = world.enqueue(world.job(world.automation(account, "puppet", CONFIG)))
        finish = executions.finish

        def lost_after_a_result_that_is_no_json(storage: Storage, run: Execution, *args: Any, **more: Any) -> None:
            if "internal_error" not in str(more["error"]):
                raise TypeError("not JSON serializable")
            storage.run("UPDATE axisor_executions SET fence = fence + 1 WHERE id = ?", run.id)
            finish(storage, run, *args, **more)

        with monkeypatch.context() as patched:
            patched.setattr(executions, "finish", lost_after_a_result_that_is_no_json)
            world.parts.executor.run(execution_id)
        (answered,) = world.actions(execution_id)
        assert answered.status == "confirmed"
