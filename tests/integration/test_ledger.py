"""The ledger's executions and leases: who may run what, in which order, and what a dead run can't do any more."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest

from axisor_executor.automation import Lane, act
from axisor_executor.errors import LeaseLost
from axisor_executor.storage import actions, leases, leftover
from axisor_executor.storage.executions import KEPT_BRIEFLY_SECONDS, Execution, Next
from axisor_executor.storage.plans import Plan
from axisor_executor.storage.values import instant
from tests.integration.ledger import ENTRY, LEASE_SECONDS, Ledger


class TestClaim:
    def test_a_queued_one_runs(self, ledger: Ledger) -> None:
        run = ledger.claim(ledger.queued())
        assert run is not None
        assert (run.status, run.fence) == ("running", 1)
        assert run.started_at is not None

    def test_an_unknown_one_does_not(self, ledger: Ledger) -> None:
        assert ledger.claim("no-such-execution") is None

    def test_one_that_runs_is_not_run_again(self, ledger: Ledger) -> None:
        run = ledger.running()
        assert ledger.claim(run.id, worker_id="worker-2") is None
        assert ledger.get(run.id).fence == run.fence

    @pytest.mark.parametrize("status", ["completed", "pending", "failed", "uncertain", "expired", "cancelled"])
    def test_one_that_is_over_is_not_run_again(self, ledger: Ledger, status: str) -> None:
        run = ledger.running()
        ledger.finish(run, status)
        assert ledger.claim(run.id) is None
        assert ledger.get(run.id).status == status

    def test_one_that_waits_runs_when_it_is_due(self, ledger: Ledger) -> None:
        early, due = ledger.running("account-1"), ledger.running("account-2")
        ledger.wait(early, seconds=30)
        ledger.wait(due, seconds=-1)
        assert ledger.claim(early.id) is None
        assert ledger.claim(due.id) is not None

    def test_of_many_threads_exactly_one_has_it(self, ledger: Ledger) -> None:
        for number in range(5):
            won = race(ledger, ledger.queued(f"account-{number}"))
            assert len(won) == 1

    def test_without_an_account_to_lease_the_last_one_counts(self, ledger: Ledger) -> None:
        """Such a run can only fail: there is nothing that it could be sent for."""
        execution_id = ledger.queued(account_id=None)
        won = race(ledger, execution_id)
        last = max(won, key=lambda run: run.fence)
        for run in won:
            if run is not last:
                with pytest.raises(LeaseLost):
                    ledger.finish(run)
        ledger.finish(last, "failed")
        assert ledger.get(execution_id).status == "failed"

    def test_of_two_processes_exactly_one_has_each(self, ledger: Ledger, database_url: str) -> None:
        ids = [ledger.queued(f"account-{number}") for number in range(20)]
        claims = (
            "import sys; from axisor_executor.storage import claiming; "
            "from axisor_executor.storage.connection import Storage; storage = Storage(sys.argv[1]); "
            "input(); [print(one) for one in sys.argv[3:] "
            "if claiming.claim(storage, one, worker_id=sys.argv[2], lease_seconds=60)]"
        )
        command = [sys.executable, "-c", claims, database_url]
        racers = [
            subprocess.Popen([*command, name, *ids], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for name in ("worker-1", "worker-2")
        ]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        won = [racer.communicate(timeout=60)[0].split() for racer in racers]
        assert sorted(won[0] + won[1]) == sorted(ids)


def race(ledger: Ledger, execution_id: str) -> list[Execution]:
    """Let four threads claim an execution at once, and return the runs that were started."""
    barrier = threading.Barrier(4)
    won: list[Execution] = []

    def claim() -> None:
        with ledger.storage.connection():
            barrier.wait()
            run = ledger.claim(execution_id, worker_id=threading.current_thread().name)
            if run is not None:
                won.append(run)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return won


class TestAccountLease:
    def test_a_second_run_on_the_account_waits_in_line(self, ledger: Ledger) -> None:
        first, second = ledger.running(), ledger.queued()
        assert ledger.claim(second) is None
        waiting = ledger.get(second)
        assert (waiting.status, waiting.wait_for) == ("waiting", "lease")
        assert ledger.get(first.id).status == "running"

    def test_another_account_is_not_held_up(self, ledger: Ledger) -> None:
        ledger.running("account-1")
        assert ledger.claim(ledger.queued("account-2")) is not None

    def test_the_end_of_a_run_hands_the_account_to_the_first_in_line(self, ledger: Ledger) -> None:
        run = ledger.running()
        line = [ledger.queued(lane=lane) for lane in ("default", "default", "protect", "protect")]
        for execution_id in line:
            assert ledger.claim(execution_id) is None
        served = []
        for _ in line:
            following = ledger.finish(run)
            assert following is not None
            served.append(following.id)
            claimed = ledger.claim(following.id)
            assert claimed is not None
            run = claimed
        assert served == [line[2], line[3], line[0], line[1]], "protect first, then the older"
        assert ledger.finish(run) is None

    def test_who_is_next_has_the_account_kept_until_it_comes(self, ledger: Ledger) -> None:
        run, following = ledger.running(), ledger.queued(lane="protect")
        ledger.claim(following)
        assert ledger.finish(run) == Next(following, "protect", fence=0)
        assert ledger.claim(ledger.queued(lane="protect")) is None
        assert ledger.claim(following) is not None

    @pytest.mark.parametrize(("lane", "seconds"), [("default", KEPT_BRIEFLY_SECONDS), ("protect", LEASE_SECONDS)])
    def test_for_an_entry_that_may_be_far_behind_in_its_queue_only_a_moment(
        self, ledger: Ledger, lane: Lane, seconds: float
    ) -> None:
        """A guard of the account would wait there with it."""
        run, following = ledger.running(), ledger.queued(lane=lane)
        ledger.claim(following)
        began = ledger.storage.now()
        ledger.finish(run)
        (until,) = ledger.storage.one("SELECT until FROM axisor_leases") or (None,)
        short, long = (instant(until) - at for at in (ledger.storage.now(), began))
        assert short <= timedelta(seconds=seconds) <= long + timedelta(milliseconds=1)

    def test_who_stands_in_line_is_put_back_as_soon_as_nobody_holds_the_account(self, ledger: Ledger) -> None:
        run, waiting = ledger.running(), ledger.queued(lane="protect")
        ledger.storage.run("UPDATE axisor_leases SET until = {later}", 30)
        ledger.claim(waiting)
        due_at = ledger.get(waiting).due_at
        assert due_at is not None
        assert (due_at - ledger.storage.now()).total_seconds() <= 30
        ledger.storage.run("UPDATE axisor_executions SET due_at = {later} WHERE id = ?", -1, waiting)
        assert leftover.due(ledger.storage, 10) == [], "it is prolonged as long as its run goes on"
        ledger.let_lease_end()
        assert [one.id for one in leftover.due(ledger.storage, 10)] == [waiting]
        assert ledger.get(run.id).status == "running"

    def test_but_not_for_ever(self, ledger: Ledger) -> None:
        run, following = ledger.running(), ledger.queued()
        ledger.claim(following)
        ledger.finish(run)
        ledger.let_lease_end()
        assert ledger.claim(ledger.queued()) is not None

    def test_nor_for_as_long_as_the_databases_clock_was_set_back(self, ledger: Ledger) -> None:
        ledger.running(), ledger.running("account-2")
        ledger.storage.run("UPDATE axisor_leases SET until = {later}", 302)
        waiting = ledger.queued(lane="protect")
        assert ledger.claim(waiting) is not None
        ledger.storage.run("UPDATE axisor_leases SET until = {later}", 299)
        assert ledger.claim(ledger.queued("account-2")) is None

    def test_a_run_that_waits_hands_the_account_over_too(self, ledger: Ledger) -> None:
        run, following = ledger.running(), ledger.queued()
        ledger.claim(following)
        assert ledger.wait(run, "reconcile", seconds=60) == Next(following, "default", fence=0)

    def test_one_in_line_whose_row_is_held_is_woken_where_it_stands(self, ledger: Ledger, database_url: str) -> None:
        """A job that comes holds it for a moment, to be cancelled as its duplicate."""
        if ledger.storage.is_sqlite:
            pytest.skip("SQLite's writers wait for each other")
        run, following = ledger.running(), ledger.queued(lane="protect")
        ledger.claim(following)
        with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM axisor_executions WHERE id = %s FOR UPDATE", (following,))
            assert ledger.finish(run) == Next(following, "protect", fence=0)
        assert ledger.claim(ledger.queued(lane="protect")) is None, "the account is kept for it"
        assert ledger.storage.rows("SELECT 1 FROM axisor_leases WHERE until > {later}", KEPT_BRIEFLY_SECONDS) == []
        assert ledger.claim(following) is not None

    def test_nobody_in_line_frees_it(self, ledger: Ledger) -> None:
        assert ledger.finish(ledger.running()) is None
        assert ledger.storage.one("SELECT 1 FROM axisor_leases") is None

    def test_only_those_who_wait_for_it_are_in_line(self, ledger: Ledger) -> None:
        retrying = ledger.running()
        ledger.wait(retrying, "retry", seconds=60)
        assert ledger.finish(ledger.running()) is None

    def test_renewing_keeps_it_and_does_not_revive_it(self, ledger: Ledger) -> None:
        alive, dead = ledger.running("account-1"), ledger.running("account-2")
        ledger.storage.run("UPDATE axisor_leases SET until = {later} WHERE account_id = 'account-2'", -1)
        ledger.storage.run("UPDATE axisor_leases SET until = {later} WHERE account_id = 'account-1'", 5)
        leases.renew(ledger.storage, "worker-1", [alive.id, dead.id], seconds=LEASE_SECONDS)
        assert ledger.claim(ledger.queued("account-2")) is not None
        ledger.storage.run("UPDATE axisor_leases SET until = {later} WHERE until < {later}", -1, 10)
        assert leases.is_live(ledger.storage, alive.id, alive.fence)

    def test_one_whose_row_is_held_keeps_no_other_from_being_renewed(self, ledger: Ledger, database_url: str) -> None:
        if ledger.storage.is_sqlite:
            pytest.skip("SQLite's writers wait for each other")
        held, other = ledger.running("account-1"), ledger.running("account-2")
        ledger.storage.run("UPDATE axisor_leases SET until = {later}", 30)
        with closing(psycopg2.connect(database_url)) as frozen, frozen.cursor() as cursor:
            cursor.execute("SELECT 1 FROM axisor_leases WHERE account_id = 'account-1' FOR UPDATE")
            leases.renew(ledger.storage, "worker-1", [held.id, other.id], seconds=LEASE_SECONDS)
        long = "SELECT account_id FROM axisor_leases WHERE until > {later}"
        assert ledger.storage.rows(long, 45) == [("account-2",)]

    def test_another_worker_can_not_renew_it(self, ledger: Ledger) -> None:
        run = ledger.running()
        ledger.storage.run("UPDATE axisor_leases SET until = {later}", 5)
        leases.renew(ledger.storage, "worker-2", [run.id], seconds=1_000)
        row = ledger.storage.one("SELECT 1 FROM axisor_leases WHERE until < {later}", 10)
        assert row is not None


class TestFence:
    """A run that was given up for dead finds everything closed to it."""

    @pytest.fixture
    def dead(self, ledger: Ledger) -> Execution:
        return ledger.running()

    @pytest.fixture
    def successor(self, ledger: Ledger, dead: Execution) -> Execution:
        ledger.let_lease_end()
        run = ledger.claim(dead.id, worker_id="worker-2")
        assert run is not None
        return run

    def test_the_successor_has_a_higher_number(self, dead: Execution, successor: Execution) -> None:
        assert successor.fence > dead.fence
        assert successor.started_at == dead.started_at

    def test_it_can_not_finish(self, ledger: Ledger, dead: Execution, successor: Execution) -> None:
        with pytest.raises(LeaseLost):
            ledger.finish(dead, "failed")
        assert ledger.get(dead.id).status == "running"
        ledger.finish(successor)
        assert ledger.get(dead.id).status == "completed"

    def test_it_can_not_wait(self, ledger: Ledger, dead: Execution, successor: Execution) -> None:
        with pytest.raises(LeaseLost):
            ledger.wait(dead, seconds=60)
        assert ledger.get(dead.id).status == "running"

    def test_it_can_not_plan(self, ledger: Ledger, dead: Execution, successor: Execution) -> None:
        with pytest.raises(LeaseLost):
            Plan(ledger.storage, dead, act(ENTRY), {}, []).keep()
        assert ledger.actions(dead) == []
        assert ledger.get(dead.id).plan is None

    def test_it_can_not_send(self, ledger: Ledger, dead: Execution) -> None:
        (planned,) = ledger.plan(dead)
        ledger.let_lease_end()
        assert ledger.claim(dead.id, worker_id="worker-2") is not None
        with pytest.raises(LeaseLost):
            ledger.send(dead, planned)
        assert ledger.actions(dead)[0].status == "planned"

    def test_it_can_not_send_after_its_lease_has_ended_even_if_nobody_took_it(
        self, ledger: Ledger, dead: Execution
    ) -> None:
        (planned,) = ledger.plan(dead)
        ledger.let_lease_end()
        with pytest.raises(LeaseLost):
            ledger.send(dead, planned)

    def test_it_can_not_send_while_another_execution_has_the_account(self, ledger: Ledger, dead: Execution) -> None:
        (planned,) = ledger.plan(dead)
        ledger.let_lease_end()
        assert ledger.claim(ledger.queued()) is not None
        with pytest.raises(LeaseLost):
            ledger.send(dead, planned)

    def test_what_the_exchange_answered_it_is_true_all_the_same(self, ledger: Ledger, dead: Execution) -> None:
        sent = ledger.send(dead, ledger.plan(dead)[0])
        ledger.let_lease_end()
        assert ledger.claim(dead.id, worker_id="worker-2") is not None
        actions.settle(ledger.storage, sent, "confirmed", new_trade_id="trade-9")
        assert ledger.actions(dead)[0].status == "confirmed"
