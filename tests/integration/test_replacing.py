"""Threads of a real Dramatiq worker are replaced, while the others go on; an upgrade may break this."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import dramatiq
import pytest
from dramatiq import Message
from dramatiq.middleware import Middleware
from dramatiq.worker import ConsumerThread, Worker, WorkerThread, _WorkQueueItem
from redis.exceptions import ConnectionError as RedisIsAway

from axisor_executor.automation import Lane
from axisor_executor.broker import LaneBroker, Queue, make_broker
from axisor_executor.consumer import LaneConsumer
from axisor_executor.lanes import ACTORS
from axisor_executor.lifecycle import STALLED_SECONDS, replace_dead, replace_stalled
from axisor_executor.settings import Settings
from tests.harness.waiting import until
from tests.harness.world import ENCRYPTION_KEY

LANE: Lane = "default"
SECONDS = 10.0
"""How long anything may take."""


class Acknowledged(Middleware):
    """Counts the messages of which a consumer was told that they are done with."""

    def __init__(self) -> None:
        self.messages = threading.Semaphore(0)

    def after_ack(self, broker: Any, message: Any) -> None:
        self.messages.release()


class Scene:
    """A worker whose messages are being worked on until they are let go, and whose consumer can be made to stall."""

    def __init__(self, url: str) -> None:
        # Of its own: a consumer that was replaced may wake up when its scene is over, and take the next one's messages.
        settings = Settings(redis_url=url, encryption_key=ENCRYPTION_KEY, queue_prefix=f"replacing-{uuid4().hex}")
        self.acknowledged = Acknowledged()
        self.queue = Queue(settings, make_broker(settings, [self.acknowledged]))
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.wake = threading.Event()
        self.stalls: dict[str, float] = {}
        self.done: list[str] = []
        dramatiq.actor(broker=self.queue.broker, actor_name=ACTORS[LANE], queue_name=LANE)(self._work)
        self.worker = Worker(self.queue.broker, worker_threads=2, worker_timeout=20)
        self.worker.start()
        until(lambda: all(one.consumer for one in self.worker.consumers.values()))

    def _work(self, execution_id: str) -> None:
        self.begun.release()
        assert self.let_go.wait(SECONDS)
        self.done.append(execution_id)

    @property
    def thread(self) -> ConsumerThread:
        return self.worker.consumers[LANE]

    def begin(self, *execution_ids: str) -> None:
        """Put messages on the queue, and wait until threads work on them."""
        for one in execution_ids:
            self.queue.announce(one, LANE)
        for _ in execution_ids:
            assert self.begun.acquire(timeout=SECONDS)

    def finish(self, count: int) -> None:
        """Let the threads be done with what they work on, and wait until a consumer was told."""
        self.let_go.set()
        for _ in range(count):
            assert self.acknowledged.messages.acquire(timeout=SECONDS), "a thread found no consumer to tell"

    def stall(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hold up the consumer, until it is woken."""
        consumer = self.thread.consumer
        assert isinstance(consumer, LaneConsumer)
        held, take = threading.Event(), consumer._take

        def hold() -> bool:
            held.set()
            assert self.wake.wait(2 * SECONDS)
            return take()

        monkeypatch.setattr(consumer, "_take", hold)
        assert held.wait(SECONDS)
        consumer.turned_at = time.monotonic() - STALLED_SECONDS - 1

    def look(self) -> list[str]:
        return replace_stalled(self.worker, self.stalls)

    def stop(self) -> None:
        self.let_go.set()
        self.wake.set()
        self.worker.stop(timeout=5_000)


@pytest.fixture
def scene(redis_url: str) -> Iterator[Scene]:
    made = Scene(redis_url)
    yield made
    made.stop()
    made.queue.close()


def before_first(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, act: Callable[[], None]) -> None:
    """Let something happen right before a method is called the next time."""
    method, first = getattr(owner, name), iter([act])

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for one in first:
            one()
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        pytest.param(ConsumerThread, "__init__", id="before there is a new thread"),
        pytest.param(LaneBroker, "consume", id="before there is a new consumer"),
        pytest.param(ConsumerThread, "stop", id="while both are there"),
        pytest.param(ConsumerThread, "start", id="before the new thread starts"),
        pytest.param(ConsumerThread, "run", id="before the new thread has built its own consumer"),
    ],
)
def test_threads_find_a_consumer_whenever_they_are_done(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: type, name: str
) -> None:
    scene.begin("one", "two")
    scene.stall(monkeypatch)
    old = scene.thread
    assert scene.look() == []
    finished = threading.Event()

    def finish() -> None:
        scene.finish(2)
        finished.set()

    before_first(monkeypatch, owner, name, finish)
    assert scene.look() == [LANE]
    assert finished.wait(SECONDS), "a thread found no consumer to tell"
    assert scene.thread is not old
    assert all(one.is_alive() for one in scene.worker.workers)
    scene.begin("three")
    scene.finish(1)
    assert sorted(scene.done) == ["one", "three", "two"]
    scene.wake.set()
    old.join(SECONDS)
    assert not old.is_alive()
    scene.stop()
    assert scene.queue.broker.client.hlen(f"{scene.queue.prefix}:{LANE}.msgs") == 0, "the queue heard of all of them"
    assert [one.getMessage() for one in caplog.records if one.name.startswith("dramatiq")] == []


def test_one_that_wakes_up_after_the_first_look_goes_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.stall(monkeypatch)
    old = scene.thread
    assert scene.look() == []
    scene.wake.set()
    scene.begin("one")
    assert (scene.look(), scene.thread) == ([], old)


def test_one_that_could_not_be_replaced_goes_on_where_it_wakes_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene.begin("one")
    scene.stall(monkeypatch)
    old = scene.thread

    def fail() -> None:
        raise RedisIsAway

    before_first(monkeypatch, LaneBroker, "consume", fail)
    assert (scene.look(), scene.look()) == ([], [])
    assert "and can't be replaced yet: ConnectionError" in caplog.text
    assert (scene.thread, old.running) == (old, True)
    scene.wake.set()
    scene.begin("two")
    scene.finish(2)
    assert (scene.look(), scene.thread) == ([], old)


def test_a_new_thread_that_can_not_start_is_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scene.begin("one")
    scene.stall(monkeypatch)

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    before_first(monkeypatch, ConsumerThread, "start", fail)
    assert (scene.look(), scene.look()) == ([], [])
    assert "and can't be replaced yet: RuntimeError" in caplog.text
    scene.finish(1)
    assert scene.look() == [LANE]
    scene.begin("two")
    scene.finish(1)
    assert scene.done == ["one", "two"]


def test_no_option_of_a_message_ends_a_thread(scene: Scene) -> None:
    """What Dramatiq finds in ``throws`` it asks an exception about, and dies of an answer that is none."""
    for _ in scene.worker.workers:
        scene.queue.broker.enqueue(
            Message(
                queue_name=LANE, actor_name=ACTORS[LANE], args=(), kwargs={"self": 1}, options={"throws": "everything"}
            )
        )
    scene.finish(2)
    scene.begin("one", "two")
    scene.finish(2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_died_is_replaced(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("can't start new thread")

    before = list(scene.worker.workers)
    replace_dead(scene.worker)
    assert scene.worker.workers == before
    nothing: Any = None
    scene.worker.work_queue.put(_WorkQueueItem(0, nothing))
    dead = until(lambda: next((one for one in before if not one.is_alive()), None))
    before_first(monkeypatch, WorkerThread, "start", fail)
    replace_dead(scene.worker)
    assert "A worker thread has died and can't be replaced yet: can't start new thread" in caplog.text
    replace_dead(scene.worker)
    assert "A worker thread has died and is replaced" in caplog.text
    assert len(set(before) & set(scene.worker.workers)) == 1
    assert dead not in scene.worker.workers
    scene.begin("one", "two")
    scene.finish(2)


def test_threads_that_were_told_to_end_are_not_replaced(scene: Scene) -> None:
    before = list(scene.worker.workers)
    scene.stop()
    replace_dead(scene.worker)
    assert scene.worker.workers == before
