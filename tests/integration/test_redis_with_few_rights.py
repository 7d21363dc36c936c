"""A Redis that grants what queueing needs and little else, as managed ones do, or that is full."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from axisor_executor import standing
from axisor_executor.broker import Queue
from axisor_executor.embedded import PrivateRedis
from axisor_executor.lanes import ACTORS
from axisor_executor.settings import Settings
from axisor_executor.shared import AWAY_SECONDS, Shared
from tests.conftest import SHARED_TIMEOUT_SECONDS
from tests.harness.world import ENCRYPTION_KEY
from tests.unit.breaker_scene import Clock

PREFIX = "few"


@pytest.fixture
def admin(own_redis: PrivateRedis) -> Iterator[Any]:
    with redis.Redis.from_url(own_redis.url) as client:
        yield client


def url_of(server: PrivateRedis, admin: Any, *categories: str) -> str:
    """Return the URL for a user that may do everything but the categories."""
    admin.acl_setuser("app", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all", *categories], reset=True)
    return server.url.replace("redis://", "redis://app:pw@")


@pytest.fixture
def queue(own_redis: PrivateRedis, admin: Any) -> Iterator[Queue]:
    url = url_of(own_redis, admin, "-@dangerous", "-@blocking")
    made = Queue(Settings(redis_url=url, encryption_key=ENCRYPTION_KEY, queue_prefix=PREFIX))
    for lane in ACTORS:
        made.broker.declare_queue(lane)
    yield made
    made.close()


@pytest.mark.parametrize("refusal", ["forbidden", "without a run id"])
def test_without_info_the_marker_still_tells_a_wiped_redis(
    queue: Queue, admin: Any, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    """Recovery tends the queue behind this check: an error here would leave every lost message lost."""
    if refusal == "without a run id":  # as some proxies answer
        monkeypatch.setattr(queue.broker.client, "info", lambda _: {"redis_version": "7.2.0"})
    assert not queue.is_intact()
    queue.mark_intact()
    assert queue.is_intact()
    admin.flushall()
    assert not queue.is_intact()


def test_without_info_it_is_there_all_the_same(queue: Queue) -> None:
    queue.announce("an-execution", "protect")
    assert standing.redis(queue) == {"ok": True, "version": None, "queues": {"protect": 1, "default": 0}}


def test_what_a_dead_worker_had_is_put_back_without_keys(queue: Queue, admin: Any) -> None:
    """Dramatiq's own maintenance asks for KEYS, from the first worker on that has ever stopped."""
    queue.announce("an-execution", "protect")
    assert len(queue.broker.turn("protect", 1)) == 1
    admin.zadd(f"{PREFIX}:__heartbeats__", {queue.broker.broker_id: 1})
    queue.revive()
    assert admin.zcard(f"{PREFIX}:__heartbeats__") == 0
    assert [one.args for one in queue.broker.turn("protect", 1)] == [("an-execution",)]


def test_without_blocking_commands_messages_are_taken_all_the_same(queue: Queue) -> None:
    consumer = queue.broker.consume("protect", prefetch=1, timeout=10)
    assert next(consumer) is None
    queue.wake("an-execution", "protect")
    taken = next(consumer)
    assert taken is not None
    assert taken.args == ("an-execution",)


def test_a_redis_that_refuses_some_calls_does_not_flood_the_log(
    own_redis: PrivateRedis, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    shared = Shared(url_of(own_redis, admin, "-@scripting"), PREFIX, clock=clock)
    with caplog.at_level(logging.WARNING, "axisor_executor"):
        for _ in range(20):
            assert shared.ask(lambda client: client.ping())
            assert shared.ask(lambda client: client.eval("return 1", 0)) is None
            clock.time += AWAY_SECONDS
    shared.close()
    assert len(caplog.records) == 1


def test_a_call_that_may_have_been_carried_out_is_not_repeated(own_redis: PrivateRedis, admin: Any) -> None:
    """Done twice, a probe would be found taken, and an opening by another process, which has not told of it."""
    shared = Shared(own_redis.url, PREFIX)
    shared.ask(lambda client: client.ping())
    own_redis.pause()
    try:
        assert shared.ask(lambda client: client.incr("count")) is None
    finally:
        own_redis.resume()
    shared.close()
    assert int(admin.get("count") or 0) <= 1


def test_one_that_hangs_holds_nobody_up(own_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job asks what is shared on its way: a guard would stand still with it."""
    monkeypatch.setattr("axisor_executor.shared.TIMEOUT_SECONDS", SHARED_TIMEOUT_SECONDS)
    shared, answers = Shared(own_redis.url, PREFIX), list[object]()
    asking = threading.Thread(target=lambda: answers.append(shared.ask(lambda client: client.ping())))
    own_redis.pause()
    try:
        asking.start()
        asking.join(2.5)
        assert answers == [None]
    finally:
        own_redis.resume()
        asking.join()
    shared.close()
