"""Consumers are woken by the message, not by looking again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from dramatiq import Message

from axisor_executor.broker import MOST_TOKENS, LaneBroker, LaneConsumer, make_broker
from axisor_executor.settings import Settings
from tests.harness.world import ENCRYPTION_KEY

SLOW_POLL_MS = 2_500
"""How long an idle consumer waits for the bell; Redis connections give up after three seconds."""


@pytest.fixture
def broker(redis_url: str) -> Iterator[LaneBroker]:
    made = make_broker(Settings(redis_url=redis_url, encryption_key=ENCRYPTION_KEY, queue_prefix="bell"))
    made.declare_queue("protect")
    yield made
    made.client.close()


def message(number: int = 0) -> Message[Any]:
    return Message(queue_name="protect", actor_name="run_protect", args=(str(number),), kwargs={}, options={})


def consumer(broker: LaneBroker, prefetch: int = 1) -> LaneConsumer:
    made = broker.consume("protect", prefetch=prefetch, timeout=SLOW_POLL_MS)
    assert isinstance(made, LaneConsumer)
    return made


def test_an_idle_consumer_is_woken_at_once(broker: LaneBroker) -> None:
    idle = consumer(broker)
    turns: list[Any] = []

    def turn() -> None:
        turns.extend((next(idle), next(idle)))

    thread = threading.Thread(target=turn)
    thread.start()
    client: Any = broker.client
    while not client.client_list(_type="normal") or not any(
        one["cmd"] == "blpop" and "b" in one["flags"] for one in client.client_list(_type="normal")
    ):
        pass
    broker.enqueue(message())
    thread.join(timeout=SLOW_POLL_MS / 1000 * 0.8)  # two slow polls would take longer
    assert not thread.is_alive()
    assert turns[0] is None
    assert turns[1].args == ("0",)


def test_one_token_a_message_up_to_a_limit(broker: LaneBroker) -> None:
    client: Any = broker.client
    for number in range(MOST_TOKENS + 5):
        broker.enqueue(message(number))
        assert client.llen(broker.bell("protect")) == min(number + 1, MOST_TOKENS)


def test_what_nobody_rang_for_is_found_too(broker: LaneBroker) -> None:
    broker.enqueue(message())
    client: Any = broker.client
    client.delete(broker.bell("protect"))
    assert next(consumer(broker)).args == ("0",)


def test_a_bell_that_can_not_ring_loses_no_message(broker: LaneBroker) -> None:
    """Else recovery would put the same execution on the queue at every look, for it is never told that it is there."""
    client: Any = broker.client
    client.set(broker.bell("protect"), "no list")
    broker.enqueue(message())
    quick = broker.consume("protect", prefetch=2, timeout=10)
    assert next(quick).args == ("0",)
    assert next(quick) is None, "it looks now and then instead"


def test_a_worker_that_polls_slowly_is_not_taken_for_one_without_redis(broker: LaneBroker) -> None:
    idle = broker.consume("protect", prefetch=1, timeout=60_000)
    assert next(idle) is None


def test_it_takes_no_more_than_it_may(broker: LaneBroker) -> None:
    for number in range(3):
        broker.enqueue(message(number))
    busy = consumer(broker, prefetch=2)
    taken = [next(busy), next(busy)]
    assert all(taken)
    broker.client.delete(broker.bell("protect"))
    acked = threading.Timer(0.05, busy.ack, (taken[0],))
    acked.start()
    assert next(busy) is None, "room was made, nothing was taken before"
    assert next(busy).args == ("2",)
    acked.join()


def test_it_takes_no_more_than_there_are_threads_free(broker: LaneBroker, redis_url: str) -> None:
    """What waits behind busy threads could be carried out by another process that has nothing to do."""
    broker.declare_queue("default")
    broker.threads = 2
    for number in range(4):
        broker.enqueue(message(number))
    broker.enqueue(Message(queue_name="default", actor_name="run_default", args=("x",), kwargs={}, options={}))
    protect = broker.consume("protect", prefetch=4, timeout=10)
    default = broker.consume("default", prefetch=4, timeout=10)
    first, second = next(protect), next(protect)
    assert (first.args, second.args) == (("0",), ("1",))
    assert (next(protect), next(default)) == (None, None)

    other = make_broker(Settings(redis_url=redis_url, encryption_key=ENCRYPTION_KEY, queue_prefix="bell"))
    other.declare_queue("protect")
    assert next(other.consume("protect", prefetch=4, timeout=10)).args == ("2",)
    other.client.close()

    waiting = broker.consume("default", prefetch=4, timeout=60_000)
    turns: list[Any] = []
    thread = threading.Thread(target=lambda: turns.extend((next(waiting), next(waiting))))
    thread.start()
    protect.ack(first)
    thread.join(timeout=30)
    assert not thread.is_alive(), "room that one lane makes wakes the other"
    assert [one.args for one in turns if one is not None] == [("x",)]


def test_who_is_woken_and_has_no_room_any_more_passes_it_on(broker: LaneBroker) -> None:
    """Else another process, which has room, would find the message a second later only."""
    broker.declare_queue("default")
    broker.threads = 1
    protect, default = (broker.consume(lane, prefetch=1, timeout=10) for lane in ("protect", "default"))
    client: Any = broker.client
    blpop = client.blpop

    def meanwhile(*args: Any) -> Any:
        client.blpop = blpop
        broker.enqueue(Message(queue_name="default", actor_name="run_default", args=(), kwargs={}, options={}))
        assert next(default) is not None, "the last thread"
        broker.enqueue(message())
        return blpop(*args)

    client.blpop = meanwhile
    assert next(protect) is None
    assert client.llen(broker.bell("protect")) == 1
