"""A consumer's turn: what it is done with and what it takes at once; beside Dramatiq's own producers and consumers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from dramatiq import Message
from dramatiq.brokers import redis as dramatiq_redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis
from redis.exceptions import ResponseError

from axisor_executor import broker
from axisor_executor.automation import Lane
from axisor_executor.broker import Queue, make_broker
from axisor_executor.consumer import id_of
from axisor_executor.embedded import PrivateRedis
from axisor_executor.lanes import ACTORS
from axisor_executor.queue_script import MOST_IN_A_TURN, TURN
from axisor_executor.settings import Settings
from tests.harness.world import ENCRYPTION_KEY

PREFIX = "turns"
LANE: Lane = "default"
MakeQueue = Callable[[str], Queue]


@pytest.fixture
def make() -> Iterator[MakeQueue]:
    made: list[Queue] = []

    def make(url: str) -> Queue:
        settings = Settings(redis_url=url, encryption_key=ENCRYPTION_KEY, queue_prefix=PREFIX)
        made.append(Queue(settings))
        for lane in ACTORS:
            made[-1].broker.declare_queue(lane)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def queue(make: MakeQueue, redis_url: str) -> Queue:
    return make(redis_url)


@pytest.fixture
def client(queue: Queue) -> Any:
    return queue.broker.client


@pytest.fixture
def stock(redis_url: str) -> Iterator[Any]:
    """Dramatiq's own broker, as a producer or worker that knows nothing of us."""
    made: Any = RedisBroker(url=redis_url, namespace=PREFIX, middleware=[])  # type: ignore[no-untyped-call]
    made.declare_queue(LANE)
    yield made
    made.client.close()


def ids(messages: list[Message[Any]]) -> list[Any]:
    return [message.args[0] for message in messages]


def left(client: Any) -> dict[str, int]:
    """Return how many ids and messages are still somewhere on the queue."""
    names = client.keys(f"{PREFIX}:*")
    return {
        "in line": client.llen(f"{PREFIX}:{LANE}"),
        "messages": client.hlen(f"{PREFIX}:{LANE}.msgs"),
        "taken": sum(client.scard(name) for name in names if b":__acks__." in name),
    }


NOTHING = {"in line": 0, "messages": 0, "taken": 0}


def test_what_is_done_with_is_told_with_the_next_turn(queue: Queue, client: Any) -> None:
    for number in range(3):
        queue.announce(f"execution-{number}", LANE)
    consumer = queue.broker.consume(LANE, prefetch=2, timeout=10)
    first, second = next(consumer), next(consumer)
    client.config_resetstat()
    consumer.ack(first)
    consumer.ack(second)
    assert left(client) == {"in line": 1, "messages": 3, "taken": 2}, "no command for itself"
    third = next(consumer)
    assert third.args == ("execution-2",)
    assert left(client) == {"in line": 0, "messages": 1, "taken": 1}
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    consumer.ack(third)
    consumer.close()
    assert left(client) == NOTHING


def test_a_consumer_that_closes_puts_back_what_nobody_has_begun(queue: Queue, client: Any) -> None:
    for number in range(3):
        queue.announce(f"execution-{number}", LANE)
    consumer = queue.broker.consume(LANE, prefetch=3, timeout=10)
    consumer.ack(next(consumer))
    consumer.close()
    assert left(client) == {"in line": 2, "messages": 2, "taken": 0}
    assert ids(queue.broker.turn(LANE, 5)) == ["execution-1", "execution-2"]


def test_more_is_done_with_than_one_turn_tells(queue: Queue, client: Any) -> None:
    for number in range(MOST_IN_A_TURN + 1):
        queue.announce(f"execution-{number}", LANE)
    for message in queue.broker.turn(LANE, MOST_IN_A_TURN + 1):
        queue.broker.done_with(LANE, id_of(message))
    queue.broker.turn(LANE, 0)
    assert left(client)["messages"] == 1
    queue.broker.turn(LANE, 0)
    assert left(client) == NOTHING


def test_a_consumer_with_a_lot_of_room_takes_as_much_as_a_script_can_hand_on(queue: Queue, client: Any) -> None:
    """A delay queue's has a thousand times the threads."""
    for number in range(MOST_IN_A_TURN + 1):
        queue.announce(f"execution-{number}", LANE)
    consumer = queue.broker.consume(LANE, prefetch=65_535, timeout=10)
    taken = [next(consumer) for _ in range(MOST_IN_A_TURN + 1)]
    assert [one.args[0] for one in taken] == [f"execution-{number}" for number in range(MOST_IN_A_TURN + 1)]
    for one in taken:
        consumer.ack(one)
    assert next(consumer) is None
    assert left(client) == {"in line": 0, "messages": 1, "taken": 1}, "of so many a script can be told"
    consumer.close()
    assert left(client) == NOTHING


def test_what_could_not_be_told_is_told_later(make: MakeQueue, own_redis: PrivateRedis) -> None:
    queue = make(own_redis.url)
    lanes = queue.broker
    queue.announce("execution", LANE)
    (message,) = lanes.turn(LANE, 1)
    lanes.done_with(LANE, id_of(message))
    client: Any = lanes.client
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@scripting"])
    with pytest.raises(Exception, match="evalsha"):
        lanes.turn(LANE, 1)
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
    assert lanes.turn(LANE, 1) == []
    assert left(client) == NOTHING


def test_one_that_was_done_with_elsewhere_is_not_delivered_again(queue: Queue, client: Any) -> None:
    """A worker that was taken for dead, and was not: its message stands in line again when it is done with it."""
    queue.announce("execution", LANE)
    queue.announce("another", LANE)
    (message,) = queue.broker.turn(LANE, 1)
    client.rpush(f"{PREFIX}:{LANE}", "execution")
    queue.broker.done_with(LANE, id_of(message))
    assert ids(queue.broker.turn(LANE, 5)) == ["another"]
    assert left(client) == {"in line": 0, "messages": 1, "taken": 1}


def test_a_stock_producer_is_heard(queue: Queue, stock: Any, client: Any) -> None:
    stock.enqueue(Message(queue_name=LANE, actor_name="run_default", args=("theirs",), kwargs={}, options={}))
    consumer = queue.broker.consume(LANE, prefetch=1, timeout=10)
    taken = next(consumer)
    assert taken.args == ("theirs",)
    consumer.ack(taken)
    consumer.close()
    assert left(client) == NOTHING


def test_a_stock_consumer_understands_what_is_announced(queue: Queue, stock: Any, client: Any) -> None:
    queue.announce("execution", LANE)
    consumer = stock.consume(LANE, prefetch=1, timeout=10)
    taken = next(consumer)
    assert taken.args == ("execution",)
    consumer.ack(taken)
    assert left(client) == NOTHING


@pytest.mark.parametrize("name", [LANE, f"{LANE}.DQ"])
def test_what_a_dead_worker_had_is_put_back(queue: Queue, make: MakeQueue, redis_url: str, name: str) -> None:
    dead = make(redis_url).broker
    given: Message[Any] = Message(
        queue_name=name, actor_name="run_default", args=("x",), kwargs={}, options={"redis_message_id": "m"}
    )
    dead.do_enqueue(name, "m", given.encode())
    assert ids(dead.turn(name, 1)) == ["x"]
    queue.revive()
    assert queue.broker.turn(name, 1) == [], "it has just shown that it is alive"
    client: Any = queue.broker.client
    client.zadd(f"{PREFIX}:__heartbeats__", {dead.broker_id: 1})
    client.delete(f"{PREFIX}:{name}.bell")
    queue.revive()
    assert client.llen(f"{PREFIX}:{name}.bell") == 1
    assert ids(queue.broker.turn(name, 1)) == ["x"]
    assert client.zscore(f"{PREFIX}:__heartbeats__", dead.broker_id) is None


def test_it_goes_to_where_it_was_taken_from_but_what_is_done_with(
    queue: Queue, make: MakeQueue, redis_url: str
) -> None:
    dead = make(redis_url).broker
    for number in range(3):
        queue.announce(f"execution-{number}", LANE)
    assert ids(dead.turn(LANE, 2)) == ["execution-0", "execution-1"]
    client: Any = queue.broker.client
    client.hdel(f"{PREFIX}:{LANE}.msgs", "execution-1")
    client.zadd(f"{PREFIX}:__heartbeats__", {dead.broker_id: 1})
    queue.revive()
    assert ids(queue.broker.turn(LANE, 5)) == ["execution-0", "execution-2"]
    assert client.exists(f"{PREFIX}:__acks__.{dead.broker_id}.{LANE}") == 0


def test_a_full_redis_puts_back_what_a_dead_worker_had(make: MakeQueue, own_redis: PrivateRedis) -> None:
    queue, dead = make(own_redis.url), make(own_redis.url).broker
    queue.announce("execution", LANE)
    assert ids(dead.turn(LANE, 1)) == ["execution"]
    client: Any = queue.broker.client
    client.zadd(f"{PREFIX}:__heartbeats__", {dead.broker_id: 1})
    client.config_set("maxmemory", 1)
    queue.revive()
    assert ids(queue.broker.turn(LANE, 1)) == ["execution"]


def test_a_full_redis_takes_a_dead_letter(make: MakeQueue, own_redis: PrivateRedis) -> None:
    queue = make(own_redis.url)
    client: Any = queue.broker.client
    queue.announce("execution", LANE)
    consumer = queue.broker.consume(LANE, prefetch=1, timeout=10)
    taken = next(consumer)
    client.config_set("maxmemory", 1)
    consumer.nack(taken)
    assert client.hkeys(f"{PREFIX}:{LANE}.XQ.msgs") == [id_of(taken)]
    assert left(client) == NOTHING


def test_what_is_not_its_own_any_more_becomes_no_dead_letter(queue: Queue, client: Any) -> None:
    """It was put back when the worker was taken for dead, and is another one's to do."""
    queue.announce("execution", LANE)
    consumer = queue.broker.consume(LANE, prefetch=1, timeout=10)
    taken = next(consumer)
    client.srem(f"{PREFIX}:__acks__.{queue.broker.broker_id}.{LANE}", id_of(taken))
    consumer.nack(taken)
    assert client.exists(f"{PREFIX}:{LANE}.XQ", f"{PREFIX}:{LANE}.XQ.msgs") == 0
    assert client.hkeys(f"{PREFIX}:{LANE}.msgs") == [id_of(taken)]


def nack(queue: Queue) -> None:
    queue.broker.do_nack(LANE, "unknown")


@pytest.mark.parametrize("ask", [Queue.revive, Queue.sizes, nack])
def test_a_replica_refuses_what_is_asked_now_and_then(
    make: MakeQueue, own_redis: PrivateRedis, ask: Callable[[Queue], object]
) -> None:
    """Else the old master would go on to be asked after a failover, which believes that all is as it was."""
    queue = make(own_redis.url)
    client: Any = queue.broker.client
    client.replicaof("127.0.0.1", 1)
    with pytest.raises(redis.ConnectionError):
        ask(queue)


def test_dead_letters_are_kept_for_a_while(queue: Queue) -> None:
    client: Any = queue.broker.client
    now = current_millis()
    for name, at in (("old", now - queue.broker.dead_message_ttl - 1_000), ("new", now - 1_000)):
        client.zadd(f"{PREFIX}:{LANE}.XQ", {name: at})
        client.hset(f"{PREFIX}:{LANE}.XQ.msgs", name, "x")
    queue.revive()
    assert client.zrange(f"{PREFIX}:{LANE}.XQ", 0, -1) == client.hkeys(f"{PREFIX}:{LANE}.XQ.msgs") == [b"new"]


def test_a_sign_of_life_now_and_then_is_enough(queue: Queue, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(value=1_000.0)
    monkeypatch.setattr(broker, "time", SimpleNamespace(monotonic=lambda: clock.value))
    shown = []
    for passed in (0.0, 0.9, 0.1, 5.0, 0.5):
        clock.value += passed
        client.delete(f"{PREFIX}:__heartbeats__")
        queue.broker.turn(LANE, 1)
        shown.append(client.zscore(f"{PREFIX}:__heartbeats__", queue.broker.broker_id) is not None)
    assert shown == [True, False, True, True, False]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_is_off_is_neither_dead_nor_immortal(
    queue: Queue, make: MakeQueue, redis_url: str, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Signs of life are by the clock of Redis."""
    other, client = make(redis_url).broker, queue.broker.client
    queue.announce("execution", LANE)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "current_millis", lambda: current_millis() + hours * 3_600_000)
        assert ids(other.turn(LANE, 1)) == ["execution"]
    queue.revive()
    assert queue.broker.turn(LANE, 1) == [], "it lives"
    silent = -2 * queue.broker.heartbeat_timeout
    client.zincrby(f"{PREFIX}:__heartbeats__", silent, other.broker_id)
    queue.revive()
    assert ids(queue.broker.turn(LANE, 1)) == ["execution"]


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("ask", ["a dead letter", "sizes"])
def test_nor_does_anything_else_show_it_by_its_own_clock(
    queue: Queue, client: Any, monkeypatch: pytest.MonkeyPatch, hours: int, ask: str
) -> None:
    off = lambda: current_millis() + hours * 3_600_000  # noqa: E731  in the place of a function
    monkeypatch.setattr(broker, "current_millis", off)
    monkeypatch.setattr(dramatiq_redis, "current_millis", off)
    queue.announce("execution", LANE)
    (message,) = queue.broker.turn(LANE, 1)
    if ask == "sizes":
        assert queue.sizes() == {"protect": 0, "default": 1}, "what is being worked on is there once"
    else:
        queue.broker.consume(LANE, prefetch=1, timeout=10).nack(message)
        assert left(client) == NOTHING
        assert client.zscore(f"{PREFIX}:{LANE}.XQ", id_of(message)) == pytest.approx(current_millis(), abs=60_000)
        assert client.hkeys(f"{PREFIX}:{LANE}.XQ.msgs") == [id_of(message)]
    shown = client.zscore(f"{PREFIX}:__heartbeats__", queue.broker.broker_id)
    assert shown == pytest.approx(current_millis(), abs=60_000)


def test_where_redis_does_not_tell_its_time_the_workers_does(make: MakeQueue, own_redis: PrivateRedis) -> None:
    queue = make(own_redis.url)
    client: Any = queue.broker.client
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-time"])
    queue.announce("execution", LANE)
    assert ids(queue.broker.turn(LANE, 1)) == ["execution"]
    queue.revive()
    assert client.zscore(f"{PREFIX}:__heartbeats__", queue.broker.broker_id) == pytest.approx(current_millis(), abs=5e3)


class TestLostAnswers:
    """What Redis gave to this process in an answer that never arrived would stay taken as long as the process lives."""

    @pytest.mark.parametrize("ways", ["a turn that fails", "a turn that redis-py repeats"])
    def test_what_was_in_it_goes_back_at_once(self, queue: Queue, client: Any, ways: str) -> None:
        for number in range(3):
            queue.announce(f"execution-{number}", LANE)
        lanes = queue.broker
        ask = TURN.run(client, lanes.keys(LANE), lanes.broker_id, "", 2, 0)
        assert ask[0] == 2
        client.delete(lanes.bell(LANE))
        room = 0 if ways == "a turn that fails" else 1
        taken = ids(lanes.turn(LANE, room))
        assert taken == ["execution-2"][:room]
        assert client.llen(lanes.bell(LANE)) == 2, "another process may have room for them"
        assert sorted(ids(lanes.turn(LANE, 5)) + taken) == [f"execution-{number}" for number in range(3)]

    @pytest.mark.parametrize("is_heard", [True, False])
    def test_one_that_may_be_a_dead_letter_hides_none_of_them(
        self, queue: Queue, client: Any, monkeypatch: pytest.MonkeyPatch, is_heard: bool
    ) -> None:
        lanes = queue.broker
        lanes.do_enqueue(LANE, "unreadable", b"{")
        drop = lanes.do_nack

        def cut_off(queue_name: str, message_id: bytes) -> None:
            if is_heard:
                drop(queue_name, message_id)
            raise redis.TimeoutError

        with monkeypatch.context() as patch:
            patch.setattr(lanes, "do_nack", cut_off)
            assert lanes.turn(LANE, 1) == []
        queue.announce("execution", LANE)
        assert TURN.run(client, lanes.keys(LANE), lanes.broker_id, "", 1, 0)[0] == (1 if is_heard else 2)
        lanes.turn(LANE, 0)
        assert ids(lanes.turn(LANE, 2)) == ["execution"]
        assert client.hkeys(f"{PREFIX}:{LANE}.XQ.msgs") == [b"unreadable"]

    def test_nothing_is_asked_where_nothing_was_lost(self, queue: Queue, client: Any) -> None:
        for number in range(4):
            queue.announce(f"execution-{number}", LANE)
        client.config_resetstat()
        for message in queue.broker.turn(LANE, 3):
            queue.broker.done_with(LANE, id_of(message))
        queue.broker.turn(LANE, 3)
        queue.broker.turn(LANE, 0)
        assert "cmdstat_smembers" not in client.info("commandstats")

    def test_what_is_put_back_or_dead_is_not_had_any_more(self, queue: Queue, client: Any) -> None:
        for number in range(3):
            queue.announce(f"execution-{number}", LANE)
        consumer = queue.broker.consume(LANE, prefetch=3, timeout=10)
        taken = [next(consumer) for _ in range(3)]
        consumer.nack(taken[0])
        consumer.requeue(taken[1:])
        assert (len(queue.broker.taken[LANE]), consumer.outstanding_message_count) == (0, 0)
        assert sorted(ids(queue.broker.turn(LANE, 5))) == ["execution-1", "execution-2"]

    def test_what_could_not_be_put_back_is_with_the_next_turn(self, make: MakeQueue, own_redis: PrivateRedis) -> None:
        queue = make(own_redis.url)
        queue.announce("execution", LANE)
        queue.announce("another", LANE)
        consumer = queue.broker.consume(LANE, prefetch=2, timeout=10)
        next(consumer)
        client: Any = queue.broker.client
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@scripting"])
        consumer.close()
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
        assert ids(queue.broker.turn(LANE, 0) + queue.broker.turn(LANE, 5)) == ["another"], "not what is worked on"

    def test_what_a_stalled_consumer_never_handed_on_goes_to_the_next(self, queue: Queue) -> None:
        for number in range(3):
            queue.announce(f"execution-{number}", LANE)
        stalled = queue.broker.consume(LANE, prefetch=3, timeout=10)
        assert next(stalled).args == ("execution-0",)
        consumer = queue.broker.consume(LANE, prefetch=3, timeout=10)
        taken = [one.args[0] for one in (next(consumer), next(consumer), next(consumer)) if one is not None]
        assert sorted(taken) == ["execution-1", "execution-2"]

    def test_a_new_consumer_counts_what_threads_are_at_work_on(self, queue: Queue) -> None:
        """Else it would take as much again after a lost connection, and leave no thread to guards."""
        for number in range(4):
            queue.announce(f"execution-{number}", LANE)
        first = queue.broker.consume(LANE, prefetch=2, timeout=10)
        working = [next(first), next(first)]
        second = queue.broker.consume(LANE, prefetch=2, timeout=10)
        assert next(second) is None
        second.ack(working[0])
        assert [one.args[0] for one in (next(second), next(second)) if one is not None] == ["execution-2"]

    def test_delayed_messages_outlive_the_consumer_that_has_them(self, queue: Queue) -> None:
        """After a lost connection, Dramatiq throws away what waits in its consumer's memory."""
        name = f"{LANE}.DQ"
        delayed: Message[Any] = Message(
            queue_name=name, actor_name="run_default", args=("x",), kwargs={}, options={"redis_message_id": "m"}
        )
        queue.broker.do_enqueue(name, "m", delayed.encode())
        first = queue.broker.consume(name, prefetch=2_000, timeout=10)
        assert next(first).args == ("x",)
        second = queue.broker.consume(name, prefetch=2_000, timeout=10)
        assert [one.args for one in (next(second), next(second)) if one is not None] == [("x",)]


def test_delayed_messages_are_not_capped(queue: Queue) -> None:
    """One that is due far in the future would hold up those that are due now."""
    queue.broker.default_cap = queue.broker.threads = 1
    name = f"{LANE}.DQ"
    consumer = queue.broker.consume(name, prefetch=2_000, timeout=10)
    for number in range(3):
        one: Message[Any] = Message(
            queue_name=name, actor_name="x", args=(number,), kwargs={}, options={"redis_message_id": f"m{number}"}
        )
        queue.broker.do_enqueue(name, f"m{number}", one.encode())
    assert [next(consumer).args[0] for _ in range(3)] == [0, 1, 2]


def test_a_full_redis_can_be_worked_off(make: MakeQueue, own_redis: PrivateRedis) -> None:
    queue = make(own_redis.url)
    client: Any = queue.broker.client
    for number in range(3):
        queue.announce(f"execution-{number}", LANE)
    client.config_set("maxmemory", 1)
    with pytest.raises(ResponseError):
        queue.announce("one too many", LANE)
    for message in queue.broker.turn(LANE, 3):
        queue.broker.done_with(LANE, id_of(message))
    queue.broker.turn(LANE, 0)
    assert left(client) == NOTHING


def test_a_sign_of_life_that_was_not_heard_is_repeated(make: MakeQueue, own_redis: PrivateRedis) -> None:
    queue = make(own_redis.url)
    client: Any = queue.broker.client
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all", "-@scripting"])
    with pytest.raises(ResponseError):
        queue.broker.turn(LANE, 0)
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
    queue.broker.turn(LANE, 0)
    assert client.zscore(f"{PREFIX}:__heartbeats__", queue.broker.broker_id) is not None


class TestHolding:
    def test_what_is_in_line_or_taken(self, queue: Queue) -> None:
        for name in ("in line", "taken", "over"):
            queue.announce(name, "protect")
        taken = {message.args[0]: message for message in queue.broker.turn("protect", 3)}
        queue.broker.do_requeue("protect", "in line")
        queue.broker.done_with("protect", id_of(taken["over"]))
        queue.broker.turn("protect", 0)
        asked = ["over", "taken", "never announced", "in line"]
        assert queue.holding(asked, "protect") == {"in line", "taken"}
        assert queue.holding(asked, "default") == set()

    def test_one_that_is_woken_again_survives_the_end_of_its_first_message(self, queue: Queue) -> None:
        queue.announce("execution", LANE)
        (first,) = queue.broker.turn(LANE, 1)
        queue.wake("execution", LANE)
        queue.broker.done_with(LANE, id_of(first))
        assert ids(queue.broker.turn(LANE, 1)) == ["execution"]


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"[]", b'{"queue_name": "default"}', b"{}"],
    ids=["bytes", "a list", "a part of one", "nothing"],
)
def test_what_is_no_message_becomes_a_dead_letter(queue: Queue, client: Any, data: bytes) -> None:
    for message_id in ("good", b"\xff\xfeid", "other"):
        queue.broker.do_enqueue(LANE, message_id, data)  # type: ignore[arg-type]
    queue.announce("execution", LANE)
    assert ids(queue.broker.turn(LANE, 5)) == ["execution"]
    assert client.zcard(f"{PREFIX}:{LANE}.XQ") == 3
    assert left(client) == {"in line": 0, "messages": 1, "taken": 1}


def test_a_message_that_stands_under_another_id_is_none(queue: Queue, client: Any) -> None:
    """It would be acknowledged under its own, and be delivered again for ever."""
    given: Message[Any] = Message(
        queue_name=LANE, actor_name="run_default", args=("x",), kwargs={}, options={"redis_message_id": "mine"}
    )
    queue.broker.do_enqueue(LANE, "theirs", given.encode())
    assert queue.broker.turn(LANE, 1) == []
    assert left(client) == NOTHING


@pytest.mark.parametrize("message_id", [[], {}, None, 5])
def test_a_message_whose_id_is_no_text_is_none(queue: Queue, client: Any, message_id: Any) -> None:
    given: Message[Any] = Message(
        queue_name=LANE,
        actor_name="run_default",
        args=("x",),
        kwargs={},
        options={"redis_message_id": "m"},
        message_id=message_id,
    )
    queue.broker.do_enqueue(LANE, "m", given.encode())
    queue.announce("execution", LANE)
    assert ids(queue.broker.turn(LANE, 5)) == ["execution"]
    assert client.zcard(f"{PREFIX}:{LANE}.XQ") == 1


def test_one_that_can_not_even_become_a_dead_letter_keeps_nobody_else(queue: Queue, client: Any) -> None:
    client.set(f"{PREFIX}:{LANE}.XQ", "no sorted set")
    queue.announce("before", LANE)
    queue.broker.do_enqueue(LANE, "junk", b"junk")
    queue.announce("after", LANE)
    assert ids(queue.broker.turn(LANE, 5)) == ["before", "after"]
    assert [queue.broker.turn(LANE, 5) for _ in range(3)] == [[]] * 3, "nor is it tried again and again"


def test_an_id_that_is_no_unicode_can_be_done_with(queue: Queue, client: Any) -> None:
    given: Message[Any] = Message(
        queue_name=LANE, actor_name="run_default", args=("x",), kwargs={}, options={"redis_message_id": "\ud800"}
    )
    queue.broker.do_enqueue(LANE, "?", given.encode())
    (message,) = queue.broker.turn(LANE, 1)
    queue.broker.done_with(LANE, id_of(message))
    assert queue.broker.turn(LANE, 0) == []
    assert left(client) == NOTHING


def test_ids_whose_messages_are_gone_take_no_place(queue: Queue, client: Any) -> None:
    """What is behind them would else lie until somebody looks again."""
    client.rpush(f"{PREFIX}:{LANE}", "gone-1", "gone-2")
    queue.announce("execution-1", LANE)
    queue.announce("execution-2", LANE)
    assert ids(queue.broker.turn(LANE, 2)) == ["execution-1", "execution-2"]
    assert left(client) == {"in line": 0, "messages": 2, "taken": 2}


@pytest.mark.parametrize("way", ["nack", "requeue"])
def test_an_id_that_is_no_unicode_can_be_given_back(queue: Queue, client: Any, way: str) -> None:
    message: Any = Message(
        queue_name=LANE, actor_name=ACTORS[LANE], args=("1",), kwargs={}, options={"redis_message_id": "\ud800"}
    )
    client.hset(f"{PREFIX}:{LANE}.msgs", b"?", message.encode())
    client.rpush(f"{PREFIX}:{LANE}", b"?")
    consumer = queue.broker.consume(LANE, prefetch=2, timeout=10)
    taken = next(consumer)
    consumer.nack(taken) if way == "nack" else consumer.requeue([taken])
    assert left(client)["taken"] == 0
    assert left(client)["in line"] == (1 if way == "requeue" else 0)


def test_what_comes_to_a_consumer_that_was_given_up_goes_to_the_next(
    queue: Queue, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood still with its question under way, and nobody looks into its memory any more."""
    queue.announce("execution-1", LANE)
    queue.announce("execution-2", LANE)
    old = queue.broker.consume(LANE, prefetch=2, timeout=10)
    turn = queue.broker.turn

    def held_up(*given: Any, **named: Any) -> Any:
        found = turn(*given, **named)
        monkeypatch.setattr(queue.broker, "turn", turn)
        queue.broker.consume(LANE, prefetch=2, timeout=10)
        return found

    monkeypatch.setattr(queue.broker, "turn", held_up)
    assert next(old) is None
    assert queue.broker.turn(LANE, 0) == []
    assert left(client) == {"in line": 2, "messages": 2, "taken": 0}


class TestFirstInLine:
    def test_is_the_one_that_is_taken_next(self, queue: Queue) -> None:
        queue.announce("new", LANE)
        queue.wake("woken", LANE)
        found = []
        for _ in range(3):
            found.append(queue.first_in_line(LANE))
            queue.broker.turn(LANE, 1)
        assert found == ["new", "woken", None]
        assert queue.first_in_line("protect") is None

    @pytest.mark.parametrize("args", [(), ({"automationId": "a1"},)])
    def test_a_job_of_another_producer_names_none(self, queue: Queue, stock: Any, args: tuple[Any, ...]) -> None:
        stock.enqueue(Message(LANE, ACTORS[LANE], args, {}, {}))
        queue.announce("behind it", LANE)
        assert queue.first_in_line(LANE) is None

    @pytest.mark.parametrize("data", [None, b"garbage"], ids=["gone", "none"])
    def test_nor_does_what_can_not_be_read(self, queue: Queue, client: Any, data: bytes | None) -> None:
        client.rpush(f"{PREFIX}:{LANE}", b"\xff")
        if data is not None:
            client.hset(f"{PREFIX}:{LANE}.msgs", b"\xff", data)
        assert queue.first_in_line(LANE) is None


def test_make_broker_asks_nothing_of_redis() -> None:
    make_broker(Settings(redis_url="redis://127.0.0.1:1/0", encryption_key=ENCRYPTION_KEY))
