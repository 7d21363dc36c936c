"""Of a long line a process has a few messages at hand, which its threads take by themselves; none is lost over it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker
from redis.exceptions import ConnectionError as RedisIsAway

from axisor_executor import broker
from axisor_executor import consumer as consumer_module
from axisor_executor.automation import Lane
from axisor_executor.broker import LaneBroker, Queue, make_broker
from axisor_executor.consumer import LONG_LINE, THREADS_FOR_ONE_AHEAD, LaneConsumer
from axisor_executor.lanes import ACTORS
from axisor_executor.lifecycle import Lifecycle, _replace
from axisor_executor.queue_script import TURN
from axisor_executor.settings import Settings
from tests.harness.waiting import until
from tests.harness.world import ENCRYPTION_KEY

PREFIX = "ahead"
THREADS = 8
CAP = 6
"""Threads that ``default`` work may have."""
AHEAD = THREADS // THREADS_FOR_ONE_AHEAD
LONG = LONG_LINE * AHEAD
PLENTY = 2 * LONG
SECONDS = 10.0
"""How long anything may take."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment is no process whose threads are all busy."""
    monkeypatch.setattr(consumer_module, "LONGEST_AHEAD_SECONDS", 60.0)


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    made = Queue(Settings(redis_url=redis_url, encryption_key=ENCRYPTION_KEY, queue_prefix=PREFIX))
    for lane in ACTORS:
        made.broker.declare_queue(lane)
    made.broker.threads, made.broker.default_cap = THREADS, CAP
    yield made
    made.close()


@pytest.fixture
def lanes(queue: Queue) -> LaneBroker:
    return queue.broker


def fill(queue: Queue, count: int, lane: Lane = "default") -> None:
    for number in range(count):
        queue.announce(f"{lane}-{number}", lane)


def consume(lanes: LaneBroker, lane: Lane = "default") -> LaneConsumer:
    made = lanes.consume(lane, prefetch=2 * THREADS, timeout=10)
    assert isinstance(made, LaneConsumer)
    return made


def take(consumer: LaneConsumer) -> list[Any]:
    """Return what it hands to threads until it has to wait."""
    return list(iter(consumer.__next__, None))


def hear(lanes: LaneBroker, lane: Lane = "default") -> list[Any]:
    """Return a list of what is handed on from now on without the consumer's thread."""
    handed: list[Any] = []
    lanes.hand_on[lane] = handed.append
    return handed


def left(client: Any, lane: Lane = "default") -> dict[str, int]:
    """Return how many ids and messages are still somewhere on the queue."""
    line = f"{PREFIX}:{lane}"
    taken = [name for name in client.keys(f"{PREFIX}:__acks__.*") if name.decode().endswith(f".{lane}")]
    return {
        "in line": client.llen(line),
        "messages": client.hlen(f"{line}.msgs"),
        "taken": sum(client.scard(one) for one in taken),
    }


def names(messages: list[Any]) -> list[str]:
    return [one.args[0] for one in messages]


def first(count: int, begin: int = 0) -> list[str]:
    return [f"default-{number}" for number in range(begin, begin + count)]


@pytest.mark.parametrize(("lane", "threads"), [("default", CAP), ("protect", THREADS)])
@pytest.mark.parametrize(("behind", "ahead"), [(LONG, AHEAD), (LONG - 1, 0)])
def test_of_a_long_line_a_few_more_are_taken_than_threads_are_free(
    queue: Queue, lane: Lane, threads: int, behind: int, ahead: int
) -> None:
    fill(queue, threads + behind, lane)
    consumer = consume(queue.broker, lane)
    assert names(take(consumer)) == [f"{lane}-{number}" for number in range(threads)]
    assert left(queue.broker.client, lane)["taken"] == threads + ahead
    assert [take(consumer) for _ in range(3)] == [[]] * 3
    assert left(queue.broker.client, lane)["taken"] == threads + ahead, "and it stays at that"


def test_of_what_is_late_none_are_taken_ahead(queue: Queue) -> None:
    """It is in no lane: it goes to the end of one when its time has come."""
    queue.broker.taken["default.DQ"].left = LONG
    assert not queue.broker.consume("default.DQ")._may_take_ahead()


def test_entries_get_no_thread_while_guards_are_at_hand(queue: Queue, lanes: LaneBroker) -> None:
    fill(queue, PLENTY)
    fill(queue, PLENTY, "protect")
    guards, entries = consume(lanes, "protect"), consume(lanes)
    handed = {lane: hear(lanes, lane) for lane in ACTORS}
    guarding = take(guards)
    guards.ack(guarding[0])
    assert take(entries) == []
    assert (names(handed["protect"]), handed["default"]) == ([f"protect-{THREADS}"], [])


def test_a_thread_that_is_done_gets_the_next_one_without_anybody(queue: Queue, lanes: LaneBroker) -> None:
    fill(queue, PLENTY)
    consumer, handed = consume(lanes), hear(lanes)
    working = take(consumer)
    client: Any = lanes.client
    client.config_resetstat()
    consumer.room.clear()
    consumer.ack(working[0])
    assert names(handed) == first(1, CAP)
    assert not consumer.room.is_set(), "the consumer's thread sleeps on"
    assert "cmdstat_evalsha" not in client.info("commandstats")


def test_when_half_of_them_are_gone_as_many_are_taken_again(queue: Queue, lanes: LaneBroker) -> None:
    fill(queue, PLENTY)
    consumer, handed = consume(lanes), hear(lanes)
    working = take(consumer)
    consumer.room.clear()
    for one in range(AHEAD // 2):
        assert not consumer.room.is_set()
        consumer.ack(working[one])
    assert consumer.room.is_set()
    assert take(consumer) == []
    assert (len(handed), len(consumer.message_cache)) == (AHEAD // 2, AHEAD)
    assert left(lanes.client)["taken"] == CAP + AHEAD


class TestNoThreadComesFree:
    def test_they_go_back_to_the_head_of_the_line(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(queue, PLENTY)
        client: Any = queue.broker.client
        consumer = consume(queue.broker)
        take(consumer)
        client.delete(queue.broker.bell("default"))
        assert left(client)["taken"] == CAP + AHEAD
        take(consumer)
        assert left(client)["taken"] == CAP + AHEAD, "not at once"
        monkeypatch.setattr(consumer_module, "LONGEST_AHEAD_SECONDS", 0)
        take(consumer)
        assert [one.decode() for one in client.lrange(f"{PREFIX}:default", 0, AHEAD)] == first(AHEAD + 1, CAP)
        assert client.llen(queue.broker.bell("default")) == AHEAD, "others hear of it"
        take(consumer)
        assert left(client)["taken"] == CAP, "and are not taken again before one comes free"

    def test_where_one_comes_free_now_and_then_they_stay(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(value=1_000.0)
        monkeypatch.setattr(consumer_module, "LONGEST_AHEAD_SECONDS", 1.0)
        monkeypatch.setattr(consumer_module, "time", SimpleNamespace(monotonic=lambda: clock.value, sleep=time.sleep))
        fill(queue, PLENTY)
        consumer, handed = consume(queue.broker), hear(queue.broker)
        working = take(consumer)
        for passed, at_hand in ((0.9, AHEAD - 1), (0.9, AHEAD - 1), (0.2, 0)):
            clock.value += passed
            if not handed:
                consumer.ack(working[0])
            take(consumer)
            assert len(consumer.message_cache) == at_hand
        assert names(handed) == first(1, CAP)
        assert left(queue.broker.client) == {"in line": PLENTY - CAP - 1, "messages": PLENTY - 1, "taken": CAP}


class TestThreads:
    def test_no_more_are_at_work_than_entries_may_have_nor_than_there_are(
        self, queue: Queue, lanes: LaneBroker
    ) -> None:
        fill(queue, PLENTY)
        fill(queue, 3, "protect")
        guards, entries, handed = consume(lanes, "protect"), consume(lanes), hear(lanes)
        guarding, working = take(guards), take(entries)
        assert (len(guarding), len(working), len(entries.message_cache)) == (3, CAP - 1, AHEAD)
        guards.ack(guarding[0])
        assert len(handed) == 1, "six of eight threads"
        guards.ack(guarding[1])
        assert len(handed) == 1, "the others are none of theirs"
        for one in working[: AHEAD - 1]:
            entries.ack(one)
            assert len(entries.queued_message_ids) == CAP

    def test_two_that_are_done_at_once_are_one_after_the_other(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else both would see the same free thread."""
        fill(queue, PLENTY)
        consumer = consume(lanes)
        consumer.queued_message_ids.discard(take(consumer)[0].message_id)
        free, both, got = consumer._free, threading.Barrier(2), []

        def at_once() -> int:
            found = free()
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=0.1)
            return found

        monkeypatch.setattr(consumer, "_free", at_once)
        threads = [threading.Thread(target=lambda: got.append(consumer._next())) for _ in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(SECONDS)
        assert len([one for one in got if one is not None]) == 1

    def test_a_guard_that_is_here_comes_before_what_was_taken_ahead(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lanes.default_cap = None
        fill(queue, PLENTY)
        entries, guards = consume(lanes), consume(lanes, "protect")
        handed = {lane: hear(lanes, lane) for lane in ACTORS}
        working = take(entries)
        entries.ack(working[0])
        handed["default"].clear()
        lanes.threads = THREADS + 1
        fill(queue, 1, "protect")
        turn = lanes.turn

        def meanwhile(*given: Any, **named: Any) -> Any:
            monkeypatch.setattr(lanes, "turn", turn)
            found = turn(*given, **named)
            lanes.made_room()
            return found

        monkeypatch.setattr(lanes, "turn", meanwhile)
        assert next(guards) is None, "the last thread was taken while it asked"
        assert len(handed["default"]) == 1
        entries.ack(working[1])
        assert (names(handed["protect"]), len(handed["default"])) == (["protect-0"], 1)

    def test_while_guards_wait_in_line_none_are_taken_ahead(self, queue: Queue, lanes: LaneBroker) -> None:
        """A thread that comes free would get the next entry before a guard was asked for."""
        fill(queue, PLENTY)
        fill(queue, THREADS, "protect")
        lanes.threads = 2
        guards, entries = consume(lanes, "protect"), consume(lanes)
        guarding = take(guards)
        guards.ack(guarding.pop())
        assert len(take(entries)) == 1
        assert left(lanes.client)["taken"] == 1

    def test_a_process_that_stops_takes_none(self, queue: Queue, lanes: LaneBroker) -> None:
        fill(queue, PLENTY)
        consumer, handed = consume(lanes), hear(lanes)
        working = take(consumer)
        lanes.threads = 0
        for one in working:
            consumer.ack(one)
            assert take(consumer) == []
        assert handed == []
        consumer.empty()
        assert take(consumer) == []
        assert left(lanes.client)["in line"] == PLENTY - CAP - AHEAD
        assert consumer.message_cache == []


def test_a_process_that_is_told_to_stop_puts_back_at_once_what_it_has_at_hand(queue: Queue, lanes: LaneBroker) -> None:
    fill(queue, PLENTY, "protect")
    consumer, handed = consume(lanes, "protect"), hear(lanes, "protect")
    working = take(consumer)
    lanes.stop_taking()
    assert left(lanes.client, "protect") == {"in line": PLENTY - THREADS, "messages": PLENTY, "taken": THREADS}
    consumer.ack(working[0])
    assert (take(consumer), handed) == ([], [])


def test_without_a_hand_the_consumer_is_woken(queue: Queue, lanes: LaneBroker) -> None:
    """A worker without our middleware: nobody else would give a thread what is here."""
    fill(queue, PLENTY)
    consumer = consume(lanes)
    working = take(consumer)
    consumer.room.clear()
    consumer.ack(working[0])
    assert consumer.room.is_set()
    assert names([next(consumer)]) == first(1, CAP)


@pytest.mark.parametrize("state", ["nothing in line", "all threads busy", "given back", "stopping"])
def test_a_consumer_that_can_do_nothing_waits(queue: Queue, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    lanes, turns, pause = queue.broker, 3, 0.1
    fill(queue, 0 if state == "nothing in line" else PLENTY)
    consumer: Any = lanes.consume("default", prefetch=2 * THREADS, timeout=int(pause * 1000))
    if state == "given back":
        monkeypatch.setattr(consumer_module, "LONGEST_AHEAD_SECONDS", 0)
    take(consumer)
    if state == "stopping":
        lanes.threads = 0
    for _ in range(2):
        assert next(consumer) is None
    began = time.monotonic()
    assert [next(consumer) for _ in range(turns)] == [None] * turns
    assert time.monotonic() - began > 0.9 * turns * pause


class TestReplaced:
    def test_what_it_had_at_hand_goes_to_the_next(self, queue: Queue, lanes: LaneBroker) -> None:
        fill(queue, PLENTY)
        before = consume(lanes)
        working = take(before)
        after = consume(lanes)
        handed = hear(lanes)
        before.ack(working[0])
        assert handed == [], "it has nothing any more"
        assert take(before) == []
        done = working[1:] + take(after)
        while done:
            after.ack(done.pop())
            done += take(after)
            done += handed
            working += handed
            handed.clear()
        after.close()
        assert left(lanes.client) == {"in line": 0, "messages": 0, "taken": 0}

    def test_its_threads_count_from_the_first_moment(self, queue: Queue, lanes: LaneBroker) -> None:
        fill(queue, PLENTY)
        take(consume(lanes))
        counted: list[float] = []

        class Consumers(dict[str, LaneConsumer]):
            def __setitem__(self, name: str, consumer: LaneConsumer) -> None:
                super().__setitem__(name, consumer)
                counted.append(lanes.free_threads("protect"))

        lanes._consumers = Consumers(lanes._consumers)
        consume(lanes)
        assert counted == [THREADS - CAP]

    def test_an_answer_that_comes_too_late_takes_nothing_from_the_next(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(queue, CAP)
        before, taken = consume(lanes), []

        def late(*given: Any) -> Any:
            monkeypatch.setattr(broker, "TURN", TURN)
            answer = TURN.run(*given)
            after = consume(lanes)
            taken.extend(take(after) + take(after))
            return answer

        monkeypatch.setattr(broker, "TURN", SimpleNamespace(run=late))
        assert take(before) == []
        assert sorted(names(taken)) == first(CAP)
        assert lanes.turn("default", 0) == []
        assert left(lanes.client) == {"in line": 0, "messages": CAP, "taken": CAP}

    def test_it_takes_nothing_from_an_answer_that_the_next_waits_for(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(queue, CAP)
        before, after = consume(lanes), consume(lanes)

        def meanwhile(*given: Any) -> Any:
            monkeypatch.setattr(broker, "TURN", TURN)
            answer = TURN.run(*given)
            lanes.threads = 0
            assert next(before) is None
            lanes.threads = THREADS
            return answer

        monkeypatch.setattr(broker, "TURN", SimpleNamespace(run=meanwhile))
        assert len(take(after)) == CAP
        assert left(lanes.client) == {"in line": 0, "messages": CAP, "taken": CAP}

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_one_that_is_just_putting_back_what_was_lost_takes_nothing_from_the_next(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        fill(queue, CAP)
        before, requeue, taken = consume(lanes), lanes.do_requeue, []
        assert TURN.run(lanes.client, lanes.keys("default"), lanes.broker_id, "", 2, 0)[0] == 2

        def putting_back(*given: Any) -> None:
            monkeypatch.setattr(lanes, "do_requeue", requeue)
            if moment == "after":
                requeue(*given)
            after = consume(lanes)
            taken.extend(take(after) + take(after))
            if moment == "before":
                requeue(*given)

        monkeypatch.setattr(lanes, "do_requeue", putting_back)
        assert take(before) == []
        consumer = lanes.consumer_of("default")
        assert consumer is not None
        consumer.prefetch = lanes.threads = PLENTY
        for _ in range(3):
            taken += take(consumer)
        assert sorted(names(taken)) == first(CAP), "each once"

    def test_what_the_next_one_is_just_getting_was_not_lost(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Redis has given it out already, and the answer is on its way."""
        fill(queue, 2)
        client: Any = lanes.client
        before, smembers = consume(lanes), client.smembers
        assert TURN.run(client, lanes.keys("default"), lanes.broker_id, "", 1, 0)[0] == 1
        asked, given_out = threading.Event(), threading.Event()

        def asking(name: str) -> Any:
            monkeypatch.setattr(client, "smembers", smembers)
            asked.set()
            assert given_out.wait(SECONDS)
            return smembers(name)

        def on_its_way(*given: Any) -> Any:
            monkeypatch.setattr(broker, "TURN", TURN)
            answer = TURN.run(*given)
            given_out.set()
            late.join(SECONDS)
            return answer

        monkeypatch.setattr(client, "smembers", asking)
        late = threading.Thread(target=take, args=(before,))
        late.start()
        assert asked.wait(SECONDS)
        queue.announce("new", "default")
        after = consume(lanes)
        monkeypatch.setattr(broker, "TURN", SimpleNamespace(run=on_its_way))
        taken = take(after)
        for _ in range(3):
            taken += take(after)
        assert sorted(names(taken)) == [*first(2), "new"], "each once"

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_nor_does_one_that_is_just_putting_back_what_waits(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        fill(queue, AHEAD)
        before, requeue, taken = consume(lanes), lanes.do_requeue, []

        def putting_back(*given: Any) -> None:
            if moment == "after":
                requeue(*given)
            consume(lanes)
            taken.extend(lanes.turn("default", AHEAD))
            if moment == "before":
                requeue(*given)

        monkeypatch.setattr(lanes, "do_requeue", putting_back)
        before.requeue(lanes.turn("default", AHEAD))
        monkeypatch.setattr(lanes, "do_requeue", requeue)
        for _ in range(2):
            taken += lanes.turn("default", AHEAD)
        assert sorted(names(taken)) == first(AHEAD), "each once"

    def test_what_comes_when_it_was_just_given_up_is_not_put_back_by_itself(
        self, queue: Queue, lanes: LaneBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next consumer may take it at that moment, and a thread begin with it."""
        fill(queue, CAP)
        before, turn, requeue, taken = consume(lanes), lanes.turn, lanes.do_requeue, []

        def replaced(*given: Any, **named: Any) -> Any:
            found = turn(*given, **named)
            monkeypatch.setattr(lanes, "turn", turn)
            after = consume(lanes)

            def retaken(*given: Any) -> None:
                requeue(*given)
                taken.extend(take(after))

            monkeypatch.setattr(lanes, "do_requeue", retaken)
            return found

        monkeypatch.setattr(lanes, "turn", replaced)
        assert next(before) is None
        monkeypatch.setattr(lanes, "do_requeue", requeue)
        consumer = lanes.consumer_of("default")
        assert consumer is not None
        taken += take(consumer) + take(consumer)
        assert sorted(names(taken)) == first(CAP), "each once"


class Handing(Middleware):
    """What a worker of ours has of :class:`Lifecycle` for this."""

    after_consumer_thread_boot = Lifecycle.after_consumer_thread_boot


class Scene:
    """A real worker with a long line, whose threads wait until they are let go."""

    def __init__(self, url: str) -> None:
        settings = Settings(redis_url=url, encryption_key=ENCRYPTION_KEY, queue_prefix=PREFIX)
        self.queue = Queue(settings, make_broker(settings, [Handing()]))
        self.lanes = self.queue.broker
        self.lanes.threads, self.lanes.default_cap = THREADS, CAP
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Event()
        self.lock = threading.Lock()
        self.at_work = self.most_at_work = 0
        self.done: Counter[str] = Counter()
        for lane in ACTORS:
            dramatiq.actor(broker=self.lanes, actor_name=ACTORS[lane], queue_name=lane)(self._work)
        fill(self.queue, PLENTY)
        self.worker = Worker(self.lanes, worker_threads=THREADS, worker_timeout=20)

    def _work(self, execution_id: str) -> None:
        with self.lock:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
        self.begun.release()
        assert self.let_go.wait(SECONDS)
        with self.lock:
            self.at_work -= 1
            self.done[execution_id] += 1

    @property
    def consumer(self) -> LaneConsumer:
        found = self.lanes.consumer_of("default")
        assert found is not None
        return found

    def start(self) -> None:
        """Wait until the threads work, and the next ones are at hand."""
        self.worker.start()
        for _ in range(CAP):
            assert self.begun.acquire(timeout=SECONDS)
        until(lambda: len(self.consumer.message_cache) == AHEAD)

    def stop(self) -> None:
        self.let_go.set()
        self.worker.stop(timeout=5_000)


@pytest.fixture
def scene(redis_url: str) -> Iterator[Scene]:
    made = Scene(redis_url)
    yield made
    made.stop()
    made.queue.close()


EACH_ONCE = Counter(first(PLENTY))


class TestRealWorker:
    def test_threads_go_on_while_the_consumer_waits_for_redis(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.start()
        asked, answered = threading.Event(), threading.Event()

        def hang(*given: Any) -> Any:
            asked.set()
            assert answered.wait(SECONDS)
            return TURN.run(*given)

        monkeypatch.setattr(broker, "TURN", SimpleNamespace(run=hang))
        assert asked.wait(SECONDS)
        scene.let_go.set()
        for _ in range(AHEAD):
            assert scene.begun.acquire(timeout=SECONDS)
        answered.set()

    def test_each_is_carried_out_once(self, scene: Scene) -> None:
        scene.start()
        scene.let_go.set()
        until(lambda: scene.lanes.client.hlen(f"{PREFIX}:default.msgs") == 0)
        assert scene.done == EACH_ONCE
        assert scene.most_at_work == CAP

    def test_each_is_carried_out_once_where_consumers_are_replaced(self, scene: Scene) -> None:
        scene.start()
        scene.let_go.set()
        while scene.lanes.client.llen(f"{PREFIX}:default"):
            old = scene.worker.consumers["default"]
            _replace(scene.worker, "default", old)
            old.join(SECONDS)
        until(lambda: scene.lanes.client.hlen(f"{PREFIX}:default.msgs") == 0)
        assert scene.done == EACH_ONCE
        assert scene.most_at_work == CAP

    @pytest.mark.parametrize("arrived", [True, False], ids=["answer lost", "question lost"])
    def test_each_is_carried_out_once_where_the_connection_is_lost(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, arrived: bool
    ) -> None:
        monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0)
        scene.start()
        lost = threading.Event()

        def lose(client: Any, keys: Any, *given: Any) -> Any:
            if keys.line != f"{PREFIX}:default" or given[2] == 0:
                return TURN.run(client, keys, *given)
            monkeypatch.setattr(broker, "TURN", TURN)
            if arrived:
                TURN.run(client, keys, *given)
            lost.set()
            raise RedisIsAway

        monkeypatch.setattr(broker, "TURN", SimpleNamespace(run=lose))
        scene.let_go.set()
        assert lost.wait(SECONDS)
        until(lambda: scene.lanes.client.hlen(f"{PREFIX}:default.msgs") == 0)
        assert scene.done == EACH_ONCE

    def test_what_is_not_begun_when_it_stops_is_in_line_again(self, scene: Scene) -> None:
        scene.start()
        scene.lanes.threads = 0
        scene.stop()
        assert sorted(scene.done) == first(CAP)
        rest = PLENTY - CAP
        assert left(scene.lanes.client) == {"in line": rest, "messages": rest, "taken": 0}
        line: Any = scene.lanes.client.lrange(f"{PREFIX}:default", 0, -1)
        assert [one.decode() for one in line] == first(rest, CAP)
