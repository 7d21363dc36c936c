"""Recovery: whatever was left behind goes back on the queue, once, by one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from axisor_executor.automation import Lane
from axisor_executor.recovery import Recovery
from axisor_executor.storage import executions
from axisor_executor.storage.connection import Storage
from tests.harness.world import World
from tests.integration.ledger import Ledger


class StubQueue:
    """A queue that remembers whom it woke; ``away`` stands for a Redis that is, ``intact`` for its marker."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.away = False
        self.intact = True
        self.revived = 0

    def wake(self, execution_id: str, lane: Lane) -> None:
        if self.away:
            raise redis.ConnectionError("away")
        self.woken.append(execution_id)

    def is_intact(self) -> bool:
        if self.away:
            raise redis.ConnectionError("away")
        return self.intact

    def mark_intact(self) -> None:
        self.intact = True

    def revive(self) -> None:
        self.revived += 1


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    storage = Storage(database_url)
    with storage.connection():
        yield Ledger(storage)
    storage.close()


@pytest.fixture
def queue() -> StubQueue:
    return StubQueue()


@pytest.fixture
def recovery(ledger: Ledger, queue: StubQueue) -> Recovery:
    return Recovery(ledger.storage, queue, every_seconds=5)  # type: ignore[arg-type]


def told(ledger: Ledger, execution_id: str, *, seconds_ago: float = 0.0, times: int = 1) -> str:
    """Note that the queue was told of an execution so long ago."""
    executions.mark_sent(ledger.storage, execution_id)
    ledger.storage.run(
        "UPDATE axisor_executions SET sent_at = {later}, created_at = {later}, sends = ? WHERE id = ?",
        -seconds_ago,
        -seconds_ago,
        times,
        execution_id,
    )
    return execution_id


def age(ledger: Ledger, seconds: float) -> None:
    """Let everything have been taken, and started, so long ago."""
    ledger.storage.run(
        "UPDATE axisor_executions SET created_at = {later}, started_at = CASE WHEN started_at IS NULL THEN NULL "
        "ELSE {later} END",
        -seconds,
        -seconds,
    )


class TestAbandoned:
    def test_a_run_whose_lease_has_ended_is_taken_up(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        dead, alive = ledger.running("account-1"), ledger.running("account-2")
        ledger.storage.run("UPDATE axisor_leases SET until = {later} WHERE account_id = 'account-1'", -1)
        assert recovery.look() == 1
        assert queue.woken == [dead.id]
        assert ledger.get(dead.id).status == "queued"
        assert ledger.get(alive.id).status == "running"

    def test_and_only_once(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        ledger.running()
        ledger.let_lease_end()
        assert [recovery.look() for _ in range(3)] == [1, 0, 0]
        assert len(queue.woken) == 1

    def test_a_run_whose_account_another_one_has_by_now_is_taken_up_too(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        dead = ledger.running()
        ledger.let_lease_end()
        assert ledger.claim(ledger.queued()) is not None
        recovery.look()
        assert dead.id in queue.woken

    def test_one_without_an_account_is_given_more_time(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        run = ledger.running(account_id=None)
        assert recovery.look() == 0
        age(ledger, 60)
        assert recovery.look() == 1
        assert queue.woken == [run.id]


class TestDue:
    def test_what_is_due_is_woken_guards_first(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        lanes: list[Lane] = ["default", "protect", "default"]
        runs = [ledger.running(f"account-{number}", lane=lane) for number, lane in enumerate(lanes)]
        for run in runs:
            ledger.wait(run, "retry", seconds=-1)
        later = ledger.running("account-9")
        ledger.wait(later, "retry", seconds=60)
        assert recovery.look() == 3
        assert queue.woken == [runs[1].id, runs[0].id, runs[2].id]
        assert ledger.get(later.id).status == "waiting"

    def test_a_redis_that_is_away_leaves_them_to_the_next_look(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        run = ledger.running()
        ledger.wait(run, "retry", seconds=-1)
        age(ledger, 5)
        queue.away = True
        assert recovery.look() == 0
        queue.away = False
        assert recovery.look() == 1
        assert queue.woken == [run.id]


class TestQueue:
    def test_what_the_queue_was_never_told_is_sent(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        fresh = ledger.queued()
        assert recovery.look() == 0, "its producer is about to tell the queue"
        age(ledger, 5)
        assert recovery.look() == 1
        assert queue.woken == [fresh]

    def test_an_intact_queue_is_not_told_again(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        for _ in range(20):
            told(ledger, ledger.queued(), seconds_ago=20)
        assert [recovery.look() for _ in range(3)] == [0, 0, 0]
        assert queue.woken == []

    def test_a_wiped_one_is_told_everything_once(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        lost = [told(ledger, ledger.queued(), seconds_ago=5) for _ in range(20)]
        running = ledger.running("account-9")
        queue.intact = False
        assert [recovery.look() for _ in range(3)] == [20, 0, 0]
        assert sorted(queue.woken) == sorted(lost)
        assert ledger.get(running.id).status == "running"

    def test_what_is_long_overdue_is_told_again_ever_more_rarely(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        execution_id = told(ledger, ledger.queued(), seconds_ago=70)
        assert recovery.look() == 1
        told(ledger, execution_id, seconds_ago=35, times=2)
        assert recovery.look() == 0
        told(ledger, execution_id, seconds_ago=130, times=2)
        assert recovery.look() == 1

    def test_what_dead_workers_had_taken_is_put_back_by_the_queue(self, queue: StubQueue, recovery: Recovery) -> None:
        recovery.look()
        assert queue.revived == 1

    def test_a_redis_that_is_away_is_no_trouble(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        ledger.queued()
        age(ledger, 5)
        queue.away = True
        assert recovery.look() == 0
        queue.away = False
        assert recovery.look() == 1


class TestRealRedis:
    def test_flushing_it_loses_no_job_and_carries_none_out_twice(self, world: World, redis_url: str) -> None:
        account = world.account()
        entry = world.automation(account, "auto_entry", {"side": "b", "quantity": 100})
        ids = [world.enqueue(world.job(entry)) for _ in range(5)]
        world.parts.recovery.look()  # sets the marker by which a wiped queue is told
        assert world.parts.queue.sizes()["default"] == 5
        assert world.parts.recovery.look() == 0
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        for execution_id in ids:
            world.make_older(execution_id, seconds=5)
        assert world.parts.recovery.look() == 5
        assert world.parts.queue.sizes()["default"] == 5
        with world.changes() as changes:
            assert [world.go_on(one)["status"] for one in (*ids, *ids)] == ["completed"] * 10
        assert len(changes.sent) == 5


class TestElection:
    @pytest.fixture
    def two(self, ledger: Ledger) -> Iterator[list[tuple[Recovery, StubQueue]]]:
        """Two processes' recoveries, both started."""
        pairs = [(Recovery(ledger.storage, queue, every_seconds=0.5), queue) for queue in (StubQueue(), StubQueue())]  # type: ignore[arg-type]
        for recovery, _ in pairs:
            recovery.start()
        yield pairs
        for recovery, _ in pairs:
            recovery.stop()

    def test_one_process_looks_and_another_takes_over_when_it_stops(
        self, ledger: Ledger, two: list[tuple[Recovery, StubQueue]]
    ) -> None:
        woken = self.wake(ledger, two)
        elected = next(pair for pair in two if pair[1].woken)
        other = next(pair for pair in two if pair is not elected)
        assert elected[1].woken == woken
        assert other[1].woken == []
        elected[0].stop()
        again = self.wake(ledger, two)
        assert other[1].woken == again
        assert elected[1].woken == woken

    def wake(self, ledger: Ledger, two: list[tuple[Recovery, StubQueue]]) -> list[str]:
        """Let five executions be due, wait until each was woken, and return them."""
        runs = [ledger.running(f"account-{number}") for number in range(5)]
        before = sum(len(queue.woken) for _, queue in two)
        for run in runs:
            ledger.wait(run, "retry", seconds=-1)
        until(lambda: sum(len(queue.woken) for _, queue in two) == before + 5)
        for run in runs:
            claimed = ledger.claim(run.id)
            assert claimed is not None
            ledger.finish(claimed)
        return [run.id for run in runs]


def until(condition: Callable[[], bool], *, timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
