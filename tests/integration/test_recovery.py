"""Recovery: whatever was left behind goes back on the queue, once, by one process."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator

import pytest
import redis

from axisor_executor.automation import Lane
from axisor_executor.broker import Queue
from axisor_executor.consumer import id_of
from axisor_executor.embedded import PrivateRedis
from axisor_executor.errors import AxisorError
from axisor_executor.recovery import Recovery
from axisor_executor.storage import claiming, executions
from tests.harness.waiting import until
from tests.harness.world import World
from tests.integration.ledger import Ledger

ENTRY = {"side": "b", "quantity": 100}


class StubQueue:
    """A queue that remembers whom it woke; ``away`` stands for a Redis that is, ``intact`` for its marker.

    One that goes away in the middle of a look still ``answers`` the first question. It may ``refuse`` calls by name.
    """

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.away = self.answers = False
        self.asked = threading.Event()
        self.refuses: Collection[str] = ()
        self.intact = True
        self.revived = 0
        self.held: set[str] = set()
        self.first: dict[Lane, str] = {}

    def ping(self) -> None:
        self.asked.set()
        self._be_refused("ping")
        if self.away and not self.answers:
            raise redis.ConnectionError("away")

    def _be_refused(self, name: str) -> None:
        if name in self.refuses:
            raise redis.ResponseError("no rights")

    def wake(self, execution_id: str, lane: Lane) -> None:
        self._be_refused("wake")
        if self.away:
            raise redis.ConnectionError("away")
        self.woken.append(execution_id)

    def holding(self, execution_ids: Collection[str], lane: Lane) -> set[str]:
        if self.away:
            raise redis.ConnectionError("away")
        return self.held & set(execution_ids)

    def first_in_line(self, lane: Lane) -> str | None:
        return self.first.get(lane)

    def is_intact(self) -> bool:
        self._be_refused("is_intact")
        if self.away:
            raise redis.ConnectionError("away")
        return self.intact

    def unmark(self) -> None:
        self._be_refused("unmark")
        self.intact = False

    def mark_intact(self) -> None:
        self.intact = True

    def revive(self) -> None:
        self._be_refused("revive")
        self.revived += 1


@pytest.fixture
def queue() -> StubQueue:
    return StubQueue()


@pytest.fixture
def recovery(ledger: Ledger, queue: StubQueue) -> Recovery:
    return Recovery(ledger.storage, queue, every_seconds=5)  # type: ignore[arg-type]


def told(ledger: Ledger, execution_id: str, *, seconds_ago: float = 0.0, times: int = 1) -> str:
    """Note that the queue was told of an execution so long ago, and how often."""
    executions.mark_sent(ledger.storage, execution_id)
    ledger.storage.run(
        "UPDATE axisor_executions SET sent_at = {later}, created_at = {later}, sends = ? WHERE id = ?",
        -seconds_ago,
        -seconds_ago,
        times + 1,
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


def look_and_be_refused(recovery: Recovery) -> None:
    """Look; who asked for it is told of what was refused once all else was done."""
    with pytest.raises(AxisorError, match="no rights") as raised:
        recovery.look()
    assert (raised.value.code, raised.value.status) == ("redis_unavailable", 503)


ENDED = pytest.mark.parametrize("ends_in", [-1, 302], ids=["over", "of before the clock was set back"])


class TestAbandoned:
    @ENDED
    def test_a_run_whose_lease_has_ended_is_taken_up(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery, ends_in: float
    ) -> None:
        dead, alive = ledger.running("account-1"), ledger.running("account-2")
        ledger.storage.run("UPDATE axisor_leases SET until = {later} WHERE account_id = 'account-1'", ends_in)
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
        with pytest.raises(AxisorError):
            recovery.look()
        assert ledger.get(run.id).status == "waiting", "as this process can't wake it, perhaps another one can"
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

    def test_what_it_holds_is_not_sent_again(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        lanes: list[Lane] = ["default", "protect", "default"]
        ids = [ledger.queued(lane=lane) for lane in lanes]
        age(ledger, 5)
        queue.held = set(ids[:2])
        assert [recovery.look() for _ in range(2)] == [1, 0]
        assert queue.woken == ids[2:]
        assert ledger.storage.rows("SELECT sends FROM axisor_executions WHERE sent_at IS NOT NULL") == [(2,)] * 3

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

    @pytest.mark.parametrize("put_back", ["due", "abandoned", "handed over", "reopened", "the queue was wiped"])
    def test_of_what_was_put_back_the_queue_is_told_whatever_it_holds(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery, put_back: str
    ) -> None:
        """It holds the message before, which is done with: it only was not told yet, for a second or while away."""
        run = ledger.running()
        if put_back == "due":
            ledger.wait(run, "retry", seconds=-1)
        elif put_back == "abandoned":
            ledger.let_lease_end()
        elif put_back == "handed over":
            second = ledger.queued()
            assert ledger.claim(second) is None, "it stands in line"
            ledger.finish(run)
        elif put_back == "reopened":
            ledger.finish(run)
            with ledger.storage.write():
                executions.reopen(ledger.storage, ledger.get(run.id), max_age_seconds=60, keeps_plan=False)
        else:
            ledger.queued()
            queue.intact = False
        age(ledger, 5)
        queue.away = queue.answers = True
        with pytest.raises(AxisorError):
            recovery.look()
        queue.away = False
        (row,) = ledger.storage.rows("SELECT id FROM axisor_executions WHERE status = 'queued'")
        queue.held = {row[0]}
        assert [recovery.look() for _ in range(2)] == [1, 0]
        assert queue.woken == [row[0]]

    def test_one_that_goes_on_again_and_again_is_not_overdue_the_later_for_it(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        execution_id = ledger.queued()
        for _ in range(4):
            run = ledger.claim(execution_id)
            assert run is not None
            ledger.wait(run, "retry", seconds=-1)
            assert recovery.look() == 1
        ledger.storage.run("UPDATE axisor_executions SET sent_at = {later}", -35)
        assert [recovery.look() for _ in range(2)] == [1, 0]

    def test_before_it_looks_for_what_is_overdue_the_rest_is_told(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("axisor_executor.recovery.BATCH", 2)
        overdue = told(ledger, ledger.queued(lane="protect"), seconds_ago=70)
        fresh = [ledger.queued() for _ in range(3)]
        ledger.storage.run("UPDATE axisor_executions SET created_at = {later}", -5)
        assert [recovery.look() for _ in range(3)] == [2, 2, 0]
        assert queue.woken == [*fresh, overdue]

    def test_a_long_line_that_the_queue_holds_hides_no_overdue_one(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("axisor_executor.recovery.BATCH", 2)
        overdue = told(ledger, ledger.queued(lane="protect"), seconds_ago=70)
        recovery.look()
        queue.woken.clear()
        ledger.storage.run("UPDATE axisor_executions SET sent_at = {later} WHERE id = ?", -300, overdue)
        held = [ledger.queued() for _ in range(6)]
        queue.held.update(held)
        ledger.storage.run("UPDATE axisor_executions SET created_at = {later} WHERE sent_at IS NULL", -5)
        monkeypatch.setattr(recovery, "_overdue_at", 0.0)
        assert recovery.look() == 1
        assert queue.woken == [overdue]

    def test_who_stands_behind_the_first_in_line_is_not_overdue(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        """Under a flood nearly all are old, and to be told of them again would make the flood a larger one."""
        lost, first, behind = (told(ledger, ledger.queued(), seconds_ago=70) for _ in range(3))
        guard = told(ledger, ledger.queued(lane="protect"), seconds_ago=70)
        for one in (lost, first, behind, guard):
            ledger.storage.run("UPDATE axisor_executions SET sent_at = {later} WHERE id = ?", -5, one)
        queue.first["default"] = first
        assert recovery.look() == 0
        for one in (lost, first, behind, guard):
            told(ledger, one, seconds_ago=70)
        queue.first["default"] = behind
        assert recovery.look() == 2
        assert queue.woken == [guard, lost], "the first one of the look before may be at hand somewhere by now"
        told(ledger, lost)
        assert recovery.look() == 1
        assert queue.woken[2:] == [first]

    def test_but_no_place_in_line_is_believed_for_ever(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        """Ids come from clocks of several machines, and an old execution that goes on stands behind younger ones."""
        queue.first["default"] = ledger.queued()
        lost = told(ledger, ledger.queued(), seconds_ago=590)
        assert recovery.look() == 0
        told(ledger, lost, seconds_ago=610)
        assert recovery.look() == 1
        assert queue.woken == [lost]

    def test_what_dead_workers_had_taken_is_put_back_by_the_queue(self, queue: StubQueue, recovery: Recovery) -> None:
        recovery.look()
        assert queue.revived == 1

    @pytest.mark.parametrize("refused", ["is_intact", "revive"])
    def test_what_redis_refuses_keeps_nothing_else_back(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery, refused: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        queue.refuses = {refused}
        overdue, fresh = told(ledger, ledger.queued(), seconds_ago=70), ledger.queued()
        ledger.storage.run("UPDATE axisor_executions SET created_at = {later}", -70)
        run = ledger.running()
        ledger.wait(run, "retry", seconds=-1)
        look_and_be_refused(recovery)
        assert queue.woken == [run.id, fresh, overdue]
        assert queue.revived == (refused != "revive")
        assert "Redis refused: ResponseError" in caplog.text

    def test_what_it_takes_no_message_for_is_told_later(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        """It is full, for one."""
        run = ledger.running()
        ledger.wait(run, "retry", seconds=-1)
        age(ledger, 5)
        queue.refuses = {"wake"}
        look_and_be_refused(recovery)
        assert queue.revived == 1
        queue.refuses = ()
        assert recovery.look() == 1
        assert queue.woken == [run.id]

    def test_what_was_sent_is_not_forgotten_where_the_marker_can_not_be_set(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery
    ) -> None:
        """Else all of it would be sent again at each look."""
        for _ in range(3):
            told(ledger, ledger.queued(), seconds_ago=20)
        queue.intact, queue.refuses = False, {"unmark"}
        for _ in range(2):
            look_and_be_refused(recovery)
        assert queue.woken == []

    def test_a_redis_that_is_away_is_no_trouble(self, ledger: Ledger, queue: StubQueue, recovery: Recovery) -> None:
        ledger.queued()
        age(ledger, 5)
        queue.away = True
        with pytest.raises(AxisorError) as raised:
            recovery.look()
        assert (raised.value.code, raised.value.status) == ("redis_unavailable", 503)
        queue.away = False
        assert recovery.look() == 1

    def test_who_is_refused_by_redis_lets_another_be_elected(
        self, ledger: Ledger, queue: StubQueue, recovery: Recovery, caplog: pytest.LogCaptureFixture
    ) -> None:
        queue.refuses = {"ping"}
        recovery._tick()
        assert "Recovery can't use Redis: ResponseError: no rights" in caplog.text
        queue.refuses = ()
        other = Recovery(ledger.storage, queue, every_seconds=5)  # type: ignore[arg-type]
        other._tick()
        assert queue.revived == 1


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

    def test_a_replica_gets_nothing_sent_again(self, world: World, own_redis: PrivateRedis) -> None:
        """A process that reaches only that one believes at each of its terms that the queue was wiped."""
        good = world.parts.recovery
        good.look()
        entry = world.automation(world.account(), "auto_entry", ENTRY)
        for _ in range(3):
            world.make_older(world.enqueue(world.job(entry)), seconds=5)
        assert good.look() == 0
        with redis.Redis.from_url(own_redis.url) as replica:
            replica.replicaof("127.0.0.1", 1)
        there = Queue(world.settings.model_copy(update={"redis_url": own_redis.url}))
        for _ in range(2):
            with pytest.raises(AxisorError, match="replica"):
                Recovery(world.storage, there, every_seconds=5).look()
            assert good.look() == 0
        there.close()

    def test_what_is_in_line_is_not_sent_again_and_what_was_lost_is(self, world: World) -> None:
        world.parts.recovery.look()
        entry = world.automation(world.account(), "auto_entry", {"side": "b", "quantity": 100})
        ids = [world.enqueue(world.job(entry)) for _ in range(3)]
        queue = world.parts.queue
        (taken,) = queue.broker.turn("default", 1)
        assert taken.args == (ids[0],)
        queue.broker.client.hdel(queue.broker.keys("default").messages, ids[2])
        for execution_id in ids:
            world.make_older(execution_id, seconds=5)
        assert [world.parts.recovery.look() for _ in range(2)] == [1, 0]
        again = [message.args[0] for message in queue.broker.turn("default", 5)]
        assert again == [ids[1], ids[2]], "and nothing of one that is being worked on"

    def test_one_that_restarted_with_its_data_is_told_of_what_only_it_believes_to_be_taken(self, world: World) -> None:
        """Its answer to the last turn may have got lost with it."""
        world.parts.recovery.look()
        execution_id = world.enqueue(world.job(world.automation(world.account(), "auto_entry", ENTRY)))
        queue = world.parts.queue
        assert len(queue.broker.turn("default", 1)) == 1
        queue.broker.client.set(queue._marker, b"another run")
        world.make_older(execution_id, seconds=5)
        assert [world.parts.recovery.look() for _ in range(2)] == [1, 0]
        assert [message.args[0] for message in queue.broker.turn("default", 5)] == [execution_id]

    def test_a_hand_over_that_the_queue_was_not_told_of_outlives_the_end_of_the_first_message(
        self, world: World
    ) -> None:
        world.parts.recovery.look()
        account = world.account()
        first, second = (world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY))) for _ in range(2))
        queue = world.parts.queue
        with world.parts.storage.connection():
            storage = world.parts.storage
            claimed = claiming.claim(storage, first, worker_id="w", lease_seconds=30)
            assert claimed is not None
            assert claiming.claim(storage, second, worker_id="w", lease_seconds=30) is None
            for message in queue.broker.turn("default", 2):
                queue.broker.done_with("default", id_of(message))
            assert executions.finish(storage, claimed.run, "completed", result={}, lease_seconds=30) is not None
        world.make_older(second, seconds=5)
        assert world.parts.recovery.look() == 1, "Redis was away when it was handed over"
        assert [message.args[0] for message in queue.broker.turn("default", 5)] == [second]


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

    def test_one_that_can_not_reach_redis_leaves_it_to_another(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("axisor_executor.recovery.TERM_SECONDS", 60.0)
        queues, watched = (StubQueue(), StubQueue()), threading.Event()
        queues[0].away = True
        lonely, other = (
            Recovery(ledger.storage, queue, every_seconds=0.5, watch=watched.set)  # type: ignore[arg-type]
            for queue in queues
        )
        run = ledger.running()
        ledger.wait(run, "retry", seconds=-1)
        lonely.start()
        try:
            assert queues[0].asked.wait(10)
            assert watched.wait(10), "a queue that backs up shows in the database"
            assert ledger.get(run.id).status == "waiting"
            other.start()
            until(lambda: queues[1].woken == [run.id])
        finally:
            lonely.stop()
            other.stop()

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
