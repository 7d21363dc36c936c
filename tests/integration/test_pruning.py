"""What is old goes, with its actions; what a run may yet ask for stays. On both databases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from axisor_executor import api
from axisor_executor.automation import Action, AddMargin, CancelOrder, ClosePosition, OpenPosition
from axisor_executor.automation.handler import LONGEST_COOLDOWN
from axisor_executor.errors import LeaseLost, NotFound, Refused
from axisor_executor.interventions import resolve, retry
from axisor_executor.plugins import load
from axisor_executor.run.acting import Accounts
from axisor_executor.runtime import Runtime
from axisor_executor.settings import Settings
from axisor_executor.storage import actions, executions, history, lineage, pruning, sessions, taking, tokens
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.horizon import may_be_forgotten
from axisor_executor.storage.pruning import Pruned
from axisor_executor.storage.taking import NewExecution
from tests.harness.world import World
from tests.integration.ledger import ENTRY, Ledger

DAY = 86_400.0
OLD = 400 * DAY
"""Older than whatever sent something has to be."""
ENDED = "completed", "pending", "failed", "expired", "cancelled"


@dataclass
class Past(Ledger):
    """A ledger with old executions. ``trades`` counts the trades that were opened."""

    trades: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    @property
    def opener(self) -> Accounts:
        """Opens accounts, none of which has keys."""
        settings = Settings(database_url="sqlite:///not.used", redis_url="redis://127.0.0.1:1")
        return Runtime(settings, registry=load([]), storage=self.storage).opener

    def quiet(self, status: Any = "pending", *, days: float = 400, **more: Any) -> str:
        """Have an execution end that sent nothing."""
        run = self.running(**more)
        self.finish(run, status)
        self.age(run.id, days)
        return run.id

    def acted(self, *steps: Action, status: Any = "completed", days: float = 400, trade: str = "", **more: Any) -> str:
        """Have an execution end whose steps are all confirmed; entries open ``trade`` (or one of their own)."""
        run = self.running(**more)
        for planned in self.plan(run, *steps):
            opened = (trade or f"trade-{next(self.trades)}") if isinstance(planned.action, OpenPosition) else None
            actions.settle(self.storage, self.send(run, planned), "confirmed", new_trade_id=opened)
        self.finish(self.get(run.id), status)
        self.age(run.id, days)
        return run.id

    def uncertain(self, step: Action = ENTRY, *, days: float = 400, **more: Any) -> str:
        """Have an execution end of whose step nobody knows the outcome."""
        run = self.running(**more)
        actions.settle(self.storage, self.send(run, self.plan(run, step)[0]), "unknown")
        self.finish(self.get(run.id), "uncertain")
        self.age(run.id, days)
        return run.id

    def age(self, execution_id: str, days: float) -> None:
        """Have it all been done ``days`` before now."""
        then = self.storage.now() - timedelta(days=days)
        self.storage.run(
            "UPDATE axisor_executions SET created_at = ?, started_at = ?, finished_at = ?, expires_at = ? WHERE id = ?",
            *(then,) * 4,
            execution_id,
        )
        for column in ("sent_at", "settled_at"):
            self.storage.run(
                f"UPDATE axisor_actions SET {column} = ? WHERE execution_id = ? AND {column} IS NOT NULL",
                then,
                execution_id,
            )

    def prune(self, *, older: float = 90 * DAY, dry_run: bool = False, batch: int = 500, **ages: Any) -> Pruned:
        """Prune to the end."""
        wanted = pruning.ages(self.storage, older, **ages)
        *_, done = pruning.prune(self.storage, wanted, batch=batch, dry_run=dry_run, rest=lambda _: None)
        return done

    @property
    def ids(self) -> set[str]:
        """The executions that are there."""
        return {row[0] for row in self.storage.rows("SELECT id FROM axisor_executions")}


@pytest.fixture
def past(database_url: str) -> Iterator[Past]:
    with closing(Storage(database_url)) as storage, storage.connection():
        yield Past(storage)


class TestWhatSentNothing:
    @pytest.mark.parametrize("status", ENDED)
    def test_goes_when_it_is_old(self, past: Past, status: str) -> None:
        past.quiet(status, days=91)
        young = past.quiet(status, days=89)
        done = past.prune()
        assert past.ids == {young}
        assert (done.looked_at, done.executions, done.kept) == (1, 1, Counter())

    def test_goes_with_what_it_planned(self, past: Past) -> None:
        run = past.running()
        past.plan(run, ENTRY, AddMargin("t", 5))
        past.finish(past.get(run.id), "failed")
        past.age(run.id, 400)
        assert past.prune().actions == 2
        assert past.storage.rows("SELECT 1 FROM axisor_actions") == []

    def test_a_second_time_nothing_happens(self, past: Past) -> None:
        past.quiet()
        assert past.prune().executions == 1
        assert past.prune().looked_at == 0

    def test_nothing_of_the_last_day_goes_whatever_is_asked_for(self, past: Past) -> None:
        young = past.quiet(days=0.9)
        assert past.prune(older=0, acted_older_than=0, trades_older_than=0).looked_at == 0
        assert past.ids == {young}

    def test_what_lives_stays_however_old(self, past: Past) -> None:
        queued, waiting, running = past.queued(), past.running("account-2"), past.running("account-3")
        past.wait(waiting, seconds=1)
        for one in (queued, waiting.id, running.id):
            past.storage.run(
                "UPDATE axisor_executions SET created_at = ?, started_at = ? WHERE id = ?",
                *(past.storage.now() - timedelta(days=400),) * 2,
                one,
            )
        assert past.prune().looked_at == 0
        assert past.ids == {queued, waiting.id, running.id}

    @pytest.mark.parametrize("batch", [1, 2, 3, 7, 8])
    def test_in_batches_of_any_size_all_go(self, past: Past, batch: int) -> None:
        same = past.storage.now() - timedelta(days=200)
        ids = [past.quiet(days=100 + n % 3) for n in range(7)]
        for one in ids[:4]:  # ended at the same instant
            past.storage.run("UPDATE axisor_executions SET finished_at = ? WHERE id = ?", same, one)
        kept = past.uncertain()
        done = past.prune(batch=batch)
        assert (done.looked_at, done.executions) == (8, 7)
        assert past.ids == {kept}

    def test_a_dry_run_tells_the_same_and_changes_nothing(self, past: Past) -> None:
        past.acted(trade="trade-a", automation_id="a")
        past.acted(ClosePosition("trade-a"))
        past.quiet()
        past.uncertain()
        before = past.ids
        told = past.prune(dry_run=True, batch=1)
        assert past.ids == before
        assert not may_be_forgotten(past.storage, datetime.now(UTC) - timedelta(days=300))
        assert past.prune(batch=1) == told
        assert told.executions == 3


class TestWhatActed:
    def test_stays_for_a_year_for_the_cooldowns(self, past: Past) -> None:
        young = past.acted(AddMargin("t", 5), days=360)
        past.acted(AddMargin("t", 5), days=367)
        assert past.prune().kept == {"acted_lately": 1}
        assert past.ids == {young}
        assert past.prune(acted_older_than=100 * DAY).executions == 1

    def test_counts_from_when_it_was_settled(self, past: Past) -> None:
        one = past.uncertain(AddMargin("t", 5))
        resolve(past.opener, one, "executed")
        assert past.get(one).status == "completed"
        assert past.prune().kept == {"acted_lately": 1}
        past.age(one, 400)
        assert past.prune().executions == 1

    def test_an_uncertain_one_stays_until_it_is_resolved(self, past: Past) -> None:
        one = past.uncertain(AddMargin("t", 5))
        assert past.prune().kept == {"uncertain": 1}
        resolve(past.opener, one, "not_executed")
        assert past.prune().kept == {"acted_lately": 1}, "it was settled just now"
        past.age(one, 100)
        assert past.prune(acted_older_than=90 * DAY).executions == 1

    def test_an_action_whose_outcome_is_not_known_keeps_its_execution_whatever_that_says(self, past: Past) -> None:
        one = past.uncertain(AddMargin("t", 5))
        past.storage.run("UPDATE axisor_executions SET status = 'failed' WHERE id = ?", one)
        assert past.prune().kept == {"unsettled": 1}

    def test_the_close_of_a_trade_stays_beside_an_action_that_is_not_known(self, past: Past) -> None:
        past.uncertain(ClosePosition("t"))
        close = past.acted(ClosePosition("t"), account_id="account-1", automation_id="another")
        past.acted(ClosePosition("t"), account_id="account-2")
        assert past.prune().kept == {"uncertain": 1, "unsettled": 1}
        assert close in past.ids
        assert len(past.ids) == 2


def own(past: Past, automation_id: str, trade_id: str, account_id: str = "account-1") -> set[str]:
    """Return which of the trades an automation knows as its own, as a run asks."""
    trades = lineage.ancestors(past.storage, account_id, [trade_id])
    return history.opened_by(past.storage, automation_id, trade_ids=trades, client_ids={})


class TestEntries:
    def test_one_whose_trade_may_run_stays_for_ever(self, past: Past) -> None:
        past.acted(ENTRY, trade="trade-a", automation_id="a", days=4000)
        assert past.prune().kept == {"trade_open": 1}
        assert own(past, "a", "trade-a") == {"trade-a"}

    @pytest.mark.parametrize("end", [ClosePosition, CancelOrder])
    def test_goes_with_what_ended_its_trade(self, past: Past, end: Any) -> None:
        past.acted(ENTRY, trade="trade-a")
        past.acted(end("trade-a"), days=390)
        assert past.prune(batch=1).executions == 2
        assert past.ids == set()

    def test_the_proof_of_its_end_stays_as_long_as_the_entry(self, past: Past) -> None:
        close = past.acted(ClosePosition("trade-a"), days=500)
        entry = past.acted(ENTRY, trade="trade-a", days=100)
        assert past.prune().kept == {"closes_entry": 1, "acted_lately": 1}
        past.age(entry, 400)
        assert past.prune().executions == 1, "the entry, which ended later"
        assert past.prune().executions == 1
        assert close not in past.ids

    def test_a_trade_of_another_account_proves_nothing(self, past: Past) -> None:
        entry = past.acted(ENTRY, trade="trade-a", account_id="account-1")
        past.acted(ClosePosition("trade-a"), account_id="account-2")
        past.prune()
        assert past.ids == {entry}

    def test_a_close_that_was_refused_proves_nothing(self, past: Past) -> None:
        past.acted(ENTRY, trade="trade-a")
        run = past.running()
        sent = past.send(run, past.plan(run, ClosePosition("trade-a"))[0])
        actions.settle(past.storage, sent, "rejected", error={})
        past.finish(past.get(run.id), "failed")
        past.age(run.id, 390)
        assert past.prune().kept == {"trade_open": 1}

    def test_one_that_was_reduced_stays_with_its_remainder(self, past: Past) -> None:
        entry = past.acted(ENTRY, trade="trade-a", automation_id="a")
        reopen = OpenPosition("buy", 50, Decimal(10), replaces="trade-a")
        reduce = past.acted(ClosePosition("trade-a"), reopen, trade="trade-b", automation_id="guard", days=395)
        assert past.prune().kept == {"trade_open": 2}
        assert own(past, "a", "trade-b") == {"trade-b"}
        assert lineage.current_id(past.storage, "account-1", "trade-a") == "trade-b"

        past.acted(ClosePosition("trade-b"), days=390)
        assert {entry, reduce} <= past.ids
        assert past.prune(batch=1).executions == 3
        assert past.storage.rows("SELECT 1 FROM axisor_trade_lineage") == []

    def test_half_a_reduce_proves_nothing_its_remainder_may_be_reopened(self, past: Past) -> None:
        entry = past.acted(ENTRY, trade="trade-a", automation_id="a")
        run = past.running()
        close, reopen = past.plan(
            run, ClosePosition("trade-a"), OpenPosition("buy", 50, Decimal(10), replaces="trade-a")
        )
        actions.settle(past.storage, past.send(run, close), "confirmed")
        actions.settle(past.storage, past.send(run, reopen), "rejected", error={})
        past.finish(past.get(run.id), "failed")
        past.age(run.id, 390)
        assert past.prune().kept == {"trade_open": 1, "closes_entry": 1}
        assert past.ids == {entry, run.id}

    def test_goes_at_an_age_that_was_asked_for(self, past: Past) -> None:
        young = past.acted(ENTRY, trade="trade-a", days=700)
        past.acted(ENTRY, trade="trade-b", days=800)
        reduced = past.acted(ENTRY, trade="trade-c", days=800)
        reopen = OpenPosition("buy", 50, Decimal(10), replaces="trade-c")
        reduce = past.acted(ClosePosition("trade-c"), reopen, trade="trade-d", days=700)
        assert past.prune(trades_older_than=750 * DAY).executions == 1
        assert past.ids == {young, reduced, reduce}
        assert past.prune(trades_older_than=650 * DAY).executions == 3

    def test_one_that_was_refused_goes(self, past: Past) -> None:
        run = past.running()
        sent = past.send(run, past.plan(run, ENTRY)[0])
        actions.settle(past.storage, sent, "rejected", error={})
        past.finish(past.get(run.id), "failed")
        past.age(run.id, 400)
        assert past.prune().executions == 1

    def test_one_of_a_lost_answer_that_a_person_confirmed_stays(self, past: Past) -> None:
        one = past.uncertain()
        resolve(past.opener, one, "executed")
        past.age(one, 400)
        assert past.prune().kept == {"trade_open": 1}
        assert past.prune(trades_older_than=399 * DAY).executions == 1


class TestOthers:
    def test_what_else_is_over_goes(self, past: Past) -> None:
        storage = past.storage
        _, revoked = tokens.create(storage, "revoked", ["read"])
        tokens.create(storage, "expired", ["read"], days=1)
        _, kept = tokens.create(storage, "kept", ["read"])
        tokens.revoke(storage, revoked.id)
        sessions.begin(storage, kept)
        long_ago = storage.now() - timedelta(days=91)
        storage.run("UPDATE axisor_tokens SET revoked_at = ? WHERE id = ?", long_ago, revoked.id)
        storage.run("UPDATE axisor_tokens SET expires_at = ? WHERE name = 'expired'", long_ago)
        storage.run("UPDATE axisor_sessions SET expires_at = ?", long_ago)
        for name, at in (("dead", long_ago), ("alive", storage.now())):
            storage.run(
                "INSERT INTO axisor_workers (id, host, pid, started_at, heartbeat_at) VALUES (?,'h',1,?,?)",
                name,
                long_ago,
                at,
            )
            storage.run(
                "INSERT INTO axisor_leases (account_id, execution_id, fence, until) VALUES (?,'e',1,?)", name, at
            )
        assert (
            past.prune(dry_run=True).others
            == past.prune().others
            == dict.fromkeys(("sessions", "workers", "leases"), 1) | {"tokens": 2}
        )
        assert [token.name for token in tokens.listed(storage)] == ["kept"]
        assert storage.rows("SELECT id FROM axisor_workers") == [("alive",)]
        assert storage.rows("SELECT account_id FROM axisor_leases") == [("alive",)]
        assert past.prune().others == dict.fromkeys(("sessions", "tokens", "workers", "leases"), 0)


class TestBesideOthers:
    def test_one_that_is_tried_again_meanwhile_stays(self, past: Past, database_url: str) -> None:
        tried, gone = past.quiet("failed", days=200), past.quiet("failed", days=100)

        class Late(Storage):
            """Has a person try it again when it has been found and not been locked."""

            def rows(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
                found = super().rows(sql, *params)
                if sql.startswith("SELECT id, status, finished_at") and tried in {row[0] for row in found}:
                    retry(past.opener, tried, max_age_seconds=60)
                return found

        with closing(Late(database_url)) as storage, storage.connection():
            done = Past.prune(past_of(storage))
        assert done.kept == {"in_use": 1}
        assert past.ids == {tried}
        assert past.get(tried).status == "queued"
        assert gone not in past.ids

    def test_what_is_locked_is_left_for_the_next_time(self, past: Past, database_url: str) -> None:
        if past.storage.is_sqlite:
            pytest.skip("SQLite's writers wait for each other")
        one, other = past.quiet("failed"), past.quiet("failed")
        with closing(Storage(database_url)) as storage, storage.write():
            assert executions.lock(storage, one) is not None
            assert past.prune().kept == {"in_use": 1}
        assert past.ids == {one}
        assert other not in past.ids
        assert past.prune().executions == 1

    def test_two_at_once_forget_each_once(self, past: Past, database_url: str) -> None:
        for n in range(30):
            past.quiet(days=100 + n)
        for n in range(10):
            past.acted(ENTRY, trade=f"opened-{n}", days=500)
            past.acted(ClosePosition(f"opened-{n}"), days=450)
        kept = {past.acted(ENTRY, trade="still-open"), past.uncertain(account_id="account-9")}
        barrier = threading.Barrier(2)

        def run() -> Pruned:
            with closing(Storage(database_url)) as storage, storage.connection():
                barrier.wait(timeout=30)
                return past_of(storage).prune(batch=3)

        with ThreadPoolExecutor(2) as pool:
            both = [one.result(timeout=60) for one in [pool.submit(run), pool.submit(run)]]
        last = past.prune()
        assert sum(one.executions for one in both) + last.executions == 50
        assert sum(one.actions for one in both) + last.actions == 20
        assert past.ids == kept

    def test_an_interrupted_one_has_done_whole_batches(self, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
        for n in range(6):
            past.acted(AddMargin("t", 5), days=400 + n)
        batches = pruning.prune(past.storage, pruning.ages(past.storage, 90 * DAY), batch=2, rest=lambda _: None)
        next(batches)
        next(batches)
        delete = Storage.run

        def interrupted(self: Storage, sql: str, *params: Any) -> int:
            if sql.startswith("DELETE FROM axisor_executions"):
                raise KeyboardInterrupt
            return delete(self, sql, *params)

        monkeypatch.setattr(Storage, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        monkeypatch.undo()
        assert len(past.ids) == 4
        assert past.storage.one("SELECT COUNT(*) FROM axisor_actions") == (4,)
        assert past.prune().executions == 4

    def test_a_run_that_was_given_up_can_write_nothing_more(self, past: Past) -> None:
        run = past.running()
        planned = past.plan(run)[0]
        past.finish(run, "failed")
        past.age(run.id, 400)
        past.prune()
        assert past.claim(run.id) is None
        with pytest.raises(LeaseLost):
            past.finish(run)
        with pytest.raises(LeaseLost):
            actions.plan_again(past.storage, run, planned)
        with pytest.raises(NotFound):
            retry(past.opener, run.id, max_age_seconds=60)
        assert past.ids == set()


def past_of(storage: Storage) -> Past:
    """Return the short ways on another connection to a ledger that is set up."""
    found = Past.__new__(Past)
    found.storage = storage
    return found


def test_executions_are_carried_out_meanwhile(world: World) -> None:
    """Jobs of one account are run while another thread prunes: each has its effect, and none of them goes."""
    account = world.account()
    for n in range(40):
        old = world.run(world.automation(account, "auto_entry", {"side": "b", "quantity": 100, "trigger_price": 1}))
        assert old["status"] == "pending"
        world.storage.run(
            "UPDATE axisor_executions SET finished_at = ? WHERE id = ?",
            world.storage.now() - timedelta(days=91 + n),
            old["executionId"],
        )
    stop, pruned = threading.Event(), list[Pruned]()

    def prune() -> None:
        with closing(Storage(world.settings.require_database())) as storage, storage.connection():
            while not (stop.wait(0.05) and pruned):
                pruned.extend(pruning.prune(storage, pruning.ages(storage, 90 * DAY), batch=1))

    def ended(result: dict[str, Any]) -> dict[str, Any]:
        while result["status"] == "waiting":
            result = world.go_on(result["executionId"])  # a machine that is busy may have held it up before it was sent
        return result

    entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100, "max_open_trades": 5})
    with world.changes() as changes, ThreadPoolExecutor(1) as pool:
        pruning_on = pool.submit(prune)
        results = [ended(world.run(entry)) for _ in range(8)]
        stop.set()
        pruning_on.result(timeout=60)
    assert [one["status"] for one in results] == ["completed"] * 5 + ["pending"] * 3
    assert changes.kinds == ["open"] * 5
    assert sum(one.executions for one in {id(one): one for one in pruned}.values()) == 40
    assert {row[0] for row in world.storage.rows("SELECT id FROM axisor_executions")} == {
        one["executionId"] for one in results
    }


class TestOldMessages:
    def taken(self, world: World, automation_id: str, sent_at: datetime | None, message_id: str) -> dict[str, Any]:
        """Take a message as the actor does, carry it out, and return the result."""
        execution, _ = world.parts.intake.take(world.job(automation_id), message_id=message_id, sent_at=sent_at)
        world.parts.executor.run(execution.id)
        return api.get_result(execution.id)

    def test_one_that_may_have_been_carried_out_is_not_carried_out_again(self, world: World) -> None:
        account = world.account()
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
        now = datetime.now(UTC)
        past = past_of(world.storage)
        old = now - timedelta(days=91)
        assert self.taken(world, entry, old, "before pruning")["status"] == "completed"
        with world.storage.connection():
            past.prune()
        with world.changes() as changes:
            assert self.taken(world, entry, old, "before pruning")["status"] == "completed", "it is in the ledger still"
            assert self.taken(world, entry, old, "gone")["status"] == "expired"
        assert changes.effects == []
        for n, sent_at in enumerate((None, now, now - timedelta(days=89), datetime(1970, 1, 20, tzinfo=UTC))):
            assert self.taken(world, entry, sent_at, f"new {n}")["status"] == "completed"

    def test_the_horizon_never_goes_back(self, world: World) -> None:
        past = past_of(world.storage)
        sent_at = datetime.now(UTC) - timedelta(days=50)
        with world.storage.connection():
            past.prune(older=40 * DAY)
            past.prune(older=90 * DAY)
        assert may_be_forgotten(world.storage, sent_at)
        assert not may_be_forgotten(world.storage, sent_at + timedelta(days=20))


class TestLookingFurtherBack:
    """Than the ledger does: who asks is told so, and nothing acts on it."""

    def test_is_refused_for_what_may_have_been_forgotten(self, past: Past) -> None:
        past.acted(AddMargin("t", 5), automation_id="old", days=101)
        past.acted(AddMargin("t", 5), automation_id="young", days=99)
        for name, days in (("old", 200), ("young", 99)):
            made = past.storage.now() - timedelta(days=days)
            past.storage.run('UPDATE "Automation" SET created_at = ? WHERE id = ?', made, name)
        recent = partial(history.recent, past.storage, account_id="account-1")
        assert len(recent("old", seconds=300 * DAY)) == 1
        past.prune(acted_older_than=100 * DAY)
        assert len(recent("young", seconds=300 * DAY)) == 1
        assert recent("old", seconds=99 * DAY) == []
        with pytest.raises(Refused) as caught:
            recent("old", seconds=101 * DAY)
        assert caught.value.code == "ledger_pruned"
        with pytest.raises(Refused):
            recent("deleted meanwhile", seconds=101 * DAY)

    def test_a_cooldown_of_a_year_never_does_by_default(self, past: Past) -> None:
        past.acted(AddMargin("t", 5), automation_id="old", days=364)
        past.storage.run('UPDATE "Automation" SET created_at = ?', past.storage.now() - timedelta(days=900))
        past.prune()
        assert len(history.recent(past.storage, "old", account_id="account-1", seconds=LONGEST_COOLDOWN)) == 1

    def test_an_automation_whose_cooldown_can_not_be_known_does_nothing(self, world: World) -> None:
        account = world.account()
        trade = world.open_trade(account)
        guard = world.automation(
            account, "margin_guard", {"action": "add_margin", "add_margin_amount": 100, **COOLDOWN}
        )
        with world.storage.connection():
            past_of(world.storage).prune(acted_older_than=90 * DAY)
            long_ago = world.storage.now() - timedelta(days=100)
            world.storage.run('UPDATE "Automation" SET created_at = ? WHERE id = ?', long_ago, guard)
        with world.changes() as changes:
            result = world.run(guard, trade_id=trade)
        assert result["error"]["code"] == "ledger_pruned"
        assert changes.sent == []


COOLDOWN = {"cooldown_seconds": 95 * 86_400}


def test_the_first_of_a_key_that_is_pruned_while_it_is_looked_for(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    new = NewExecution(
        user_id="user123",
        automation_id="a",
        lane="default",
        job={"v": 1, "userId": "user123", "automationId": "a"},
        max_age_seconds=60,
        idempotency_key="key",
    )
    first, _ = taking.record(past.storage, new)
    look = taking._first_of

    def pruned_before(storage: Storage, wanted: NewExecution) -> Execution | None:
        storage.run("DELETE FROM axisor_executions WHERE id = ?", first.id)
        return look(storage, wanted)

    monkeypatch.setattr(taking, "_first_of", pruned_before)
    again, is_new = taking.record(past.storage, new)
    assert is_new
    assert again.id != first.id
