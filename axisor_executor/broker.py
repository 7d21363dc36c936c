"""The queue: Dramatiq on Redis, used for one thing only, to wake workers.

Retries, deadlines, delays and results live in the ledger, so the middleware that would do them here is left out on
purpose: Retries (20 tries up to 7 days), TimeLimit (an exception thrown into a thread at any line), AgeLimit, Results,
Pipelines, ShutdownNotifications.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import q_name
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import CurrentMessage, Middleware
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from axisor_executor.automation import Lane
from axisor_executor.observe.logs import say
from axisor_executor.settings import Settings
from axisor_executor.unreadable import TolerantBroker

ACTORS: dict[Lane, str] = {"protect": "run_protect", "default": "run_default"}
"""The actor of each lane; its queue has the lane's name."""

HEARTBEAT_TIMEOUT_MS = 5_000
MOST_TOKENS = 64
"""Tokens on a bell at most: those that nobody waited for cost a fetch in vain each, later."""

SOCKET_TIMEOUT_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 0.9 * SOCKET_TIMEOUT_SECONDS
"""A wait that Redis ends after the socket's time-out looks like a Redis that hangs."""

_ALWAYS = 1_000_000
QUEUE_ERRORS = (redis.RedisError, OSError)
"""What a Redis that is away, hangs or refuses looks like."""


def make_broker(settings: Settings, middleware: Sequence[Middleware] = ()) -> LaneBroker:
    """Return a broker for ``REDIS_URL``; nothing connects yet."""
    return LaneBroker(
        client=redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
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
    """A Redis broker that wakes consumers, and never hands ``default`` work to more than ``default_cap`` threads.

    A queue's consumer takes no more messages than may be outstanding, so the rest of the threads stay free for
    ``protect``. What does not fit stays on the queue, and every row in the database.

    No process takes more messages than it has threads free: one that has to wait here may find one elsewhere.

    Beside each message it puts a token on the queue's bell, a short list on which idle consumers block: one token
    wakes one consumer of one process.
    """

    default_cap: int | None = None
    threads: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._consumers: dict[str, LaneConsumer] = {}

    def bell(self, queue_name: str) -> str:
        """Return the key of the list that wakes the consumers of a queue."""
        return f"{self.namespace}:{queue_name}.bell"

    def do_enqueue(self, queue_name: str, message_id: str, data: bytes) -> None:
        """Put a message on its queue, and ring."""
        self._dispatch("enqueue")(queue_name, message_id, data)  # type: ignore[no-untyped-call]
        self.ring(queue_name)

    def ring(self, queue_name: str) -> None:
        """Wake one idle consumer of a queue, if Redis lets us."""
        client: Any = self.client
        try:
            with client.pipeline(transaction=False) as commands:
                commands.lpush(self.bell(queue_name), b"")
                commands.ltrim(self.bell(queue_name), 0, MOST_TOKENS - 1)
                commands.execute()
        except QUEUE_ERRORS as error:
            # The message is on its queue: to say that it is not would have it put there again and again.
            say.debug(f"The bell of queue {queue_name} did not ring: {type(error).__name__}")

    @property
    def consumer_class(self) -> type[LaneConsumer]:
        return LaneConsumer

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        if self.default_cap is not None and q_name(queue_name) == "default":
            prefetch = min(prefetch, self.default_cap)
        consumer = super().consume(queue_name, prefetch, timeout)
        assert isinstance(consumer, LaneConsumer)
        self._consumers[queue_name] = consumer
        return consumer

    def free_threads(self) -> float:
        """Return how many threads of this process have nothing to do."""
        if self.threads is None:
            return math.inf
        lanes = [consumer for queue, consumer in tuple(self._consumers.items()) if queue in ACTORS]
        return self.threads - sum(int(consumer.outstanding_message_count) for consumer in lanes)

    def made_room(self) -> None:
        """Hear that a message is done with."""
        for consumer in tuple(self._consumers.values()):
            consumer.room.set()


class LaneConsumer(_RedisConsumer):
    """A consumer that takes new work the moment it is there and there is room for it, and shows that it is alive.

    The stock one sleeps, up to a second, while the queue is empty or all that it may take is outstanding. This one
    is woken; what nobody rang for (another producer's message, what a dead worker had) it finds a second later.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.turned_at = time.monotonic()
        self.room = threading.Event()
        self._pause = min(self.timeout / 1000, LONGEST_PAUSE_SECONDS)

    def ack(self, message: Any) -> None:
        try:
            super().ack(message)  # type: ignore[no-untyped-call]
        finally:
            self.broker.made_room()

    def nack(self, message: Any) -> None:
        try:
            super().nack(message)  # type: ignore[no-untyped-call]
        finally:
            self.broker.made_room()

    def __next__(self) -> Any:
        self.turned_at = time.monotonic()
        if not self.message_cache:
            room = self._messages_wanted()
            if room <= 0:
                self.room.wait(self._pause)
                self.room.clear()
                return None
            try:
                self.message_cache = self.broker.do_fetch(self.queue_name, room)
                if not self.message_cache:
                    self._wait_for_bell()
                    return None
            except (redis.ConnectionError, redis.TimeoutError) as error:
                raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        return super().__next__()  # type: ignore[no-untyped-call]

    def _messages_wanted(self) -> int:
        wanted = self.prefetch - self.outstanding_message_count
        return int(min(wanted, self.broker.free_threads())) if self.queue_name in ACTORS else wanted

    def _wait_for_bell(self) -> None:
        try:
            token = self.broker.client.blpop(self.broker.bell(self.queue_name), self._pause)
            if token is not None and self._messages_wanted() <= 0:  # the other lane has taken the last free thread
                self.broker.ring(self.queue_name)
        except redis.ResponseError:  # refused to this user, or no list: then it looks now and then, as the stock one
            time.sleep(self._pause)


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
        try:
            return str(client.info("server")["run_id"]).encode()
        except NoPermissionError:  # INFO counts as dangerous; then the marker tells a wiped Redis only
            return b"unknown"

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
