"""The queue: Dramatiq on Redis, used for one thing only, to wake workers.

Retries, deadlines, delays and results live in the ledger, so the middleware that would do them here is left out on
purpose: Retries (20 tries up to 7 days), TimeLimit (an exception thrown into a thread at any line), AgeLimit, Results,
Pipelines, ShutdownNotifications.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import q_name
from dramatiq.middleware import CurrentMessage, Middleware
from redis.backoff import NoBackoff
from redis.retry import Retry

from axisor_executor.automation import Lane
from axisor_executor.settings import Settings
from axisor_executor.unreadable import TolerantBroker

ACTORS: dict[Lane, str] = {"protect": "run_protect", "default": "run_default"}
"""The actor of each lane; its queue has the lane's name."""

HEARTBEAT_TIMEOUT_MS = 10_000
_ALWAYS = 1_000_000
QUEUE_ERRORS = (redis.RedisError, OSError)
"""What a Redis that is away, hangs or refuses looks like."""


def make_broker(settings: Settings, middleware: Sequence[Middleware] = ()) -> LaneBroker:
    """Return a broker for ``REDIS_URL``; nothing connects yet."""
    return LaneBroker(  # type: ignore[no-untyped-call]
        client=redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=3,
            socket_connect_timeout=2,
            health_check_interval=15,
            # One more try, for a connection that went stale; the stock three with back-off would hold up whoever
            # enqueues for half a minute, and recovery sends what the queue was not told anyway.
            retry=Retry(NoBackoff(), 1),
        ),
        namespace=settings.queue_prefix,
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        middleware=[CurrentMessage(), *middleware],
    )


class LaneBroker(TolerantBroker):
    """A Redis broker that never hands ``default`` work to more than ``default_cap`` threads of its process.

    A queue's consumer takes no more messages than may be outstanding, so the rest of the threads stay free for
    ``protect``. What does not fit stays on the queue, and every row in the database.
    """

    default_cap: int | None = None

    @property
    def consumer_class(self) -> type[LaneConsumer]:
        return LaneConsumer

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        if self.default_cap is not None and q_name(queue_name) == "default":
            prefetch = min(prefetch, self.default_cap)
        return super().consume(queue_name, prefetch, timeout)


class LaneConsumer(_RedisConsumer):
    """A consumer that takes new work the moment there is room for it, and shows that it is alive.

    The stock one sleeps, up to a second, while all that it may take is outstanding.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.turned_at = time.monotonic()
        self._room = threading.Event()

    def ack(self, message: Any) -> None:
        super().ack(message)  # type: ignore[no-untyped-call]
        self._room.set()

    def nack(self, message: Any) -> None:
        super().nack(message)  # type: ignore[no-untyped-call]
        self._room.set()

    def __next__(self) -> Any:
        self.turned_at = time.monotonic()
        if not self.message_cache and self.outstanding_message_count >= self.prefetch:
            self._room.wait(self.timeout / 1000)
            self._room.clear()
            return None
        return super().__next__()  # type: ignore[no-untyped-call]


class Queue:
    """Wakes workers, and knows whether the queue in Redis is the one that it was."""

    def __init__(self, settings: Settings, broker: RedisBroker | None = None) -> None:
        self.broker = broker or make_broker(settings)
        self.prefix = settings.queue_prefix
        self._marker = f"{settings.queue_prefix}:intact"
        self._keeper = make_broker(settings)
        self._keeper.maintenance_chance = _ALWAYS
        self._keeper.broker_id = f"keeper-{self._keeper.broker_id}"

    def wake(self, execution_id: str, lane: Lane) -> None:
        """Put an execution's id on its lane's queue.

        Raises:
            redis.RedisError, OSError: Redis is away; the row in the ledger stays, and recovery sends it later.
        """
        self.broker.enqueue(
            Message(queue_name=lane, actor_name=ACTORS[lane], args=(execution_id,), kwargs={}, options={})
        )

    def is_intact(self) -> bool:
        """Return whether Redis is the one that it was: neither wiped nor started anew, from whatever snapshot."""
        return self.broker.client.get(self._marker) == self._run_id()

    def mark_intact(self) -> None:
        """Set the marker that a wiped Redis loses together with the queue, and that a new one does not match."""
        self.broker.client.set(self._marker, self._run_id())

    def _run_id(self) -> bytes:
        client: Any = self.broker.client
        return str(client.info("server")["run_id"]).encode()

    def revive(self) -> None:
        """Put back at once what dead workers had taken (Dramatiq does so only now and then, by chance)."""
        for lane in ACTORS:
            self._keeper.do_qsize(lane)

    def sizes(self) -> dict[str, int]:
        """Return how many messages each lane's queue holds, those being worked on included."""
        return {lane: int(self.broker.do_qsize(lane)) for lane in ACTORS}

    def close(self) -> None:
        """Close the connections."""
        for broker in (self.broker, self._keeper):
            client: Any = broker.client
            client.close()
