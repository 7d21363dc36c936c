"""Consumers are woken by the message, not by looking again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed

from axisor_executor.broker import LaneBroker, make_broker
from axisor_executor.consumer import LaneConsumer
from axisor_executor.queue_script import MOST_TOKENS
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


def test_one_that_waits_has_the_message_with_the_bell(broker: LaneBroker) -> None:
    """The round trip in which it would be asked for is one that every job would wait for."""
    idle = consumer(broker)
    assert next(idle) is None
    client: Any = broker.client
    broker.enqueue(message())
    asked_before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert next(idle).args == ("0",)
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] == asked_before + 1
    assert client.llen(broker.bell("protect")) == 0


def test_a_redis_that_has_forgotten_the_script_is_told_it_again(broker: LaneBroker) -> None:
    idle = consumer(broker)
    assert next(idle) is None
    broker.enqueue(message())
    client: Any = broker.client
    client.script_flush()
    assert next(idle).args == ("0",)


def test_a_redis_that_refuses_counts_as_one_that_is_away(redis_url: str) -> None:
    """Dramatiq says that in a line, and tries again in some seconds; of any other error it logs the traceback."""
    url = f"{redis_url.rpartition('/')[0]}/99"
    refused = make_broker(Settings(redis_url=url, encryption_key=ENCRYPTION_KEY, queue_prefix="bell"))
    refused.declare_queue("protect")
    with pytest.raises(ConnectionClosed, match="DB index is out of range"):
        next(consumer(refused))
    refused.client.close()


def test_a_wait_whose_connection_is_cut_goes_on_with_another(broker: LaneBroker) -> None:
    idle = consumer(broker)
    assert next(idle) is None
    client: Any = broker.client
    client.client_kill_filter(_type="normal", skipme=False)
    broker.enqueue(message())
    assert next(idle).args == ("0",)


def test_what_a_frozen_process_is_given_goes_to_another_when_it_is_taken_for_dead(
    broker: LaneBroker, redis_url: str
) -> None:
    client: Any = broker.client
    broker.enqueue(message())
    now = str(current_millis())
    count, *_ = broker._turned(broker.keys("protect"), 1.0, broker.broker_id, now, 1, [])  # nobody hears of it
    assert count == 1
    other = make_broker(Settings(redis_url=redis_url, encryption_key=ENCRYPTION_KEY, queue_prefix="bell"))
    other.declare_queue("protect")
    assert other.turn("protect", 1) == []
    client.zadd("bell:__heartbeats__", {broker.broker_id: 0})
    other.maintenance_chance = 1_000_000
    other.do_fetch("protect", 0)
    assert [one.args for one in other.turn("protect", 1)] == [("0",)]
    other.client.close()


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
    busy = broker.consume("protect", prefetch=2, timeout=50)
    first, second = next(busy), next(busy)
    assert (first.args, second.args) == (("0",), ("1",))
    broker.client.delete(broker.bell("protect"))
    assert next(busy) is None
    busy.ack(first)
    assert [one.args for one in (next(busy) for _ in range(4)) if one] == [("2",)], "when room was made, and once"


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
    wait = client.execute_behind

    def meanwhile(*commands: Any) -> Any:
        client.execute_behind = wait
        broker.enqueue(Message(queue_name="default", actor_name="run_default", args=(), kwargs={}, options={}))
        assert next(default) is not None, "the last thread"
        broker.enqueue(message())
        return wait(*commands)

    client.execute_behind = meanwhile
    assert [next(protect), next(protect)] == [None, None]
    assert client.llen(broker.bell("protect")) == client.llen(broker.keys("protect").line) == 1
    assert not broker.taken["protect"]


def test_a_process_that_stops_takes_no_more_and_shows_that_it_is_alive(broker: LaneBroker) -> None:
    broker.threads = 2
    idle = broker.consume("protect", prefetch=2, timeout=10)
    client: Any = broker.client
    broker.enqueue(message())
    working = next(idle)
    wait = client.execute_behind

    def stopped_meanwhile(*commands: Any) -> Any:
        client.execute_behind = wait
        broker.threads = 0
        broker.enqueue(message(1))
        return wait(*commands)

    client.execute_behind = stopped_meanwhile
    while broker.threads:
        assert next(idle) is None
    assert client.llen(broker.bell("protect")) == 1, "another process is woken instead"
    idle.ack(working)
    broker._alive_until = 0.0
    client.delete("bell:__heartbeats__")
    assert [next(idle) for _ in range(4)] == [None] * 4
    assert client.zscore("bell:__heartbeats__", broker.broker_id) is not None
    assert client.llen(broker.keys("protect").line) == 1
    assert client.hlen(broker.keys("protect").messages) == 1, "it was told what is done with"
