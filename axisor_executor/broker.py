"""The queue: Dramatiq on Redis, used for one thing only, to wake workers.

Retries, deadlines, delays and results live in the ledger, so the middleware that would do them here is left out on
purpose: Retries (20 tries up to 7 days), TimeLimit (an exception thrown into a thread at any line), AgeLimit, Results,
Pipelines, ShutdownNotifications.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import uuid4

from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name, xq_name
from dramatiq.middleware import CurrentMessage, Middleware
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ResponseError
from redis.retry import Retry

from axisor_executor.automation import Lane
from axisor_executor.consumer import LaneConsumer
from axisor_executor.lanes import ACTORS
from axisor_executor.observe.logs import say
from axisor_executor.queue_script import DROP, HELD, MOST_IN_A_TURN, PUT, PUT_BACK, REVIVE, TURN, Keys
from axisor_executor.redis_client import AWAY_ERRORS, QUEUE_ERRORS, SOCKET_TIMEOUT_SECONDS, Client
from axisor_executor.settings import Settings
from axisor_executor.taken import Taken
from axisor_executor.unreadable import read

HEARTBEAT_TIMEOUT_MS = 5_000
SIGN_SECONDS = 1.0
"""How often a worker shows a queue that it is alive."""


def make_broker(settings: Settings, middleware: Sequence[Middleware] = ()) -> LaneBroker:
    """Return a broker for ``REDIS_URL``; nothing connects yet."""
    return LaneBroker(
        client=Client.from_url(
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
        maintenance_chance=0,  # recovery does it, without commands that may be forbidden
        middleware=[CurrentMessage(), *middleware],
    )


class LaneBroker(RedisBroker):
    """A Redis broker that wakes consumers, and never hands ``default`` work to more than ``default_cap`` threads.

    A queue's consumer takes no more messages than may be outstanding, so the rest of the threads stay free for
    ``protect``. What does not fit stays on the queue, and every row in the database.

    No process takes more messages than it has threads free: one that has to wait here may find one elsewhere. Only
    where many wait in line it takes a few ahead, so that a thread that is done has the next one at once; entries only
    while no guard waits.

    Beside each message it puts a token on the queue's bell, a short list on which idle consumers block: one token
    wakes one consumer of one process.

    Attributes:
        default_cap: threads that ``default`` work may have.
        threads: of this process; none while it stops, so that it takes no more.
        taken: by queue, what this process has of it.
        hand_on: by lane, what gives a message to a thread of this process.
    """

    default_cap: int | None = None
    threads: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._consumers: dict[str, LaneConsumer] = {}
        self.taken: defaultdict[str, Taken] = defaultdict(Taken)
        self.hand_on: dict[str, Callable[[Any], None]] = {}
        self.handing = threading.Lock()
        self._alive_until = 0.0

    def keys(self, queue_name: str) -> Keys:
        """Return the names of a queue's keys."""
        return Keys.of(self.namespace, queue_name, self.broker_id)

    def bell(self, queue_name: str) -> str:
        """Return the key of the list that wakes the consumers of a queue."""
        return self.keys(queue_name).bell

    def do_enqueue(self, queue_name: str, message_id: str, data: bytes) -> None:
        """Put a message on its queue, and ring."""
        PUT.run(self.client, self.keys(queue_name), message_id, data)

    def do_requeue(self, queue_name: str, *message_ids: str | bytes) -> None:
        """Put messages that this process has taken back to the head of their queue, and ring."""
        PUT_BACK.run(self.client, self.keys(queue_name), *message_ids)

    def do_nack(self, queue_name: str, message_id: str | bytes) -> None:
        """Make a message that this process has taken a dead letter."""
        keys, letters = self.keys(queue_name), f"{self.namespace}:{xq_name(queue_name)}"
        DROP.run(
            self.client, (keys.messages, keys.taken, letters, f"{letters}.msgs"), message_id, str(current_millis())
        )

    def do_qsize(self, queue_name: str) -> int:
        """Return how many messages a queue holds, delayed ones and those being worked on included."""
        client: Any = self.client
        client.srem(self.keys(queue_name).taken, "")  # what is refused by a replica, as all else would be
        return sum(int(client.hlen(self.keys(name).messages)) for name in (queue_name, dq_name(queue_name)))

    def turn(
        self, queue_name: str, room: int, *, bell_seconds: float = 0.0, consumer: LaneConsumer | None = None
    ) -> list[Message[Any]]:
        """Tell a queue which messages are done with, and take up to ``room`` others; what is none is a dead letter.

        Args:
            queue_name: of the queue.
            room: for how many.
            bell_seconds: how long Redis waits for the queue's bell before it does all that, if at all. A process that
                is frozen meanwhile is given what was rung for all the same, and keeps it until it is taken for dead:
                the price for a round trip less before every job.
            consumer: whose turn it is. One that was given up while it asked gets nothing, and puts nothing back: the
                one after it does, which alone knows what it asks for itself.
        """
        taken = self.taken[queue_name]
        number, told = taken.begin(MOST_IN_A_TURN)
        now = time.monotonic()
        sign = str(current_millis()) if now >= self._alive_until else ""
        try:
            count, left, *answer = self._turned(self.keys(queue_name), bell_seconds, self.broker_id, sign, room, told)
        except BaseException as error:
            taken.done.extend(told)
            if told:
                say.warning(f"Queue {queue_name} was not told that {len(told)} are done with: {type(error).__name__}")
            raise
        if sign:
            self._alive_until = now + SIGN_SECONDS
        with self.handing:
            if consumer is not None and consumer is not self.consumer_of(queue_name):
                taken.turned(told, (), left)
                return []
            taken.turned(told, answer[::2], left)
            has_lost = count > len(taken)
        if has_lost:
            self._put_back_lost(queue_name, number)
        found = zip(answer[::2], answer[1::2], strict=True)
        return [message for one in found if (message := self._read(queue_name, *one)) is not None]

    def _turned(self, keys: Keys, bell_seconds: float, worker_id: str, sign: str, room: int, told: list[bytes]) -> Any:
        if not bell_seconds:
            return TURN.run(self.client, keys, worker_id, sign, room, 0, *told)
        bell = ("BLPOP", keys.bell, bell_seconds)
        rung, (count, left, *found) = TURN.run_behind(bell, self.client, keys, worker_id, sign, room, 1, *told)
        if isinstance(rung, ResponseError) and not found:
            time.sleep(bell_seconds)  # refused to this user, or no list: it looks now and then, as the stock one
        return count, left, *found

    def _put_back_lost(self, queue_name: str, turn: int) -> None:
        """Put back what Redis gave to this process in an answer that never arrived; else nobody would have it."""
        client: Any = self.client
        try:
            taken = client.smembers(self.keys(queue_name).taken)
            with self.taken[queue_name].lost(taken, turn) as lost:
                if lost:
                    self.do_requeue(queue_name, *lost)
                    say.warning(f"Queue {queue_name} got back {len(lost)} messages that were lost on the way here")
        except QUEUE_ERRORS as error:
            say.debug(f"What queue {queue_name} lost is put back with the next turn: {type(error).__name__}")

    def _read(self, queue_name: str, message_id: bytes, data: bytes) -> Message[Any] | None:
        message = read(data, queue_name=queue_name, message_id=message_id)
        if message is None:
            say.error(f"A message on queue {queue_name} can't be read and was dropped")
            try:
                self.do_nack(queue_name, message_id)
            except AWAY_ERRORS as error:  # it has become one or not: if not, it is put back, and comes again
                say.warning(f"It may not have become a dead letter: {type(error).__name__}")
                self.taken[queue_name].drop((message_id,))
            except QUEUE_ERRORS as error:  # the others of its turn must go on; it lies until this process ends
                say.warning(f"It did not become a dead letter: {type(error).__name__}")
            else:
                self.taken[queue_name].drop((message_id,))
        return message

    def done_with(self, queue_name: str, message_id: bytes) -> None:
        """Hear that a message is done with; the queue is told with the next turn of its consumer.

        A process that dies before leaves it to be delivered again, and its execution refuses to be carried out twice.
        """
        self.taken[queue_name].done.append(message_id)
        self.made_room()

    def made_room(self) -> None:
        """Hear that a thread has nothing to do any more."""
        for consumer in tuple(self._consumers.values()):
            consumer.made_room()

    def stop_taking(self) -> None:
        """Take no more messages, and put back what no thread has begun."""
        self.threads = 0
        for queue_name in ACTORS:
            consumer = self._consumers.get(queue_name)
            if consumer is not None:
                consumer.requeue(consumer.empty())

    def ring(self, queue_name: str) -> None:
        """Wake one idle consumer of a queue."""
        client: Any = self.client
        client.lpush(self.bell(queue_name), b"")

    @property
    def consumer_class(self) -> type[LaneConsumer]:
        return LaneConsumer

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        if self.default_cap is not None and queue_name == "default":
            prefetch = min(prefetch, self.default_cap)
        consumer = super().consume(queue_name, prefetch, timeout)
        assert isinstance(consumer, LaneConsumer)
        before = self._consumers.get(queue_name)
        if before is not None and queue_name in ACTORS:  # threads go on with theirs, and count from the first moment
            consumer.queued_message_ids = before.queued_message_ids
        with self.handing:
            self._consumers[queue_name] = consumer
        if before is not None:
            self._give_up(queue_name, before)
        return consumer

    def _give_up(self, queue_name: str, before: LaneConsumer) -> None:
        """Give up what the consumer before has in memory: the first turn of the next one puts it back."""
        if queue_name in ACTORS:
            before.give_up()
        else:  # Dramatiq throws delayed messages away with the consumer that has them
            self.taken[queue_name].keep_only_done()

    def consumer_of(self, queue_name: str) -> LaneConsumer | None:
        """Return the consumer of a queue: the last one, where one was replaced."""
        return self._consumers.get(queue_name)

    def free_threads(self, lane: str) -> float:
        """Return how many threads of this process have nothing to do, and no guard here that waits for one."""
        if self.threads is None:
            return math.inf
        lanes = [consumer for queue, consumer in tuple(self._consumers.items()) if queue in ACTORS]
        guards = self._consumers.get("protect") if lane == "default" else None
        waiting = len(guards.message_cache) if guards is not None else 0
        return self.threads - waiting - sum(len(consumer.queued_message_ids) for consumer in lanes)


class Queue:
    """Wakes workers, and knows whether the queue in Redis is the one that it was."""

    def __init__(self, settings: Settings, broker: LaneBroker | None = None) -> None:
        self.broker = broker or make_broker(settings)
        self.prefix = settings.queue_prefix
        self._marker = f"{settings.queue_prefix}:intact"

    def announce(self, execution_id: str, lane: Lane) -> None:
        """Put a new execution's id on its lane's queue, in a way that :meth:`holding` recognises.

        Raises:
            redis.RedisError, OSError: Redis is away; the row in the ledger stays, and recovery sends it later.
        """
        self._put(execution_id, lane, execution_id)

    def wake(self, execution_id: str, lane: Lane) -> None:
        """Put an execution's id on its lane's queue again, whatever is there of it or is just being done with.

        Raises:
            redis.RedisError, OSError: as :meth:`announce`.
        """
        self._put(execution_id, lane, str(uuid4()))

    def _put(self, execution_id: str, lane: Lane, message_id: str) -> None:
        message: Message[Any] = Message(
            queue_name=lane,
            actor_name=ACTORS[lane],
            args=(execution_id,),
            kwargs={},
            options={"redis_message_id": message_id},
            message_id=message_id,
        )
        self.broker.do_enqueue(lane, message_id, message.encode())

    def holding(self, execution_ids: Collection[str], lane: Lane) -> set[str]:
        """Return of which new executions a lane's queue was told and has not heard yet that they are done with."""
        keys = self.broker.keys(lane)
        held = HELD.run(self.broker.client, (keys.messages,), *execution_ids)
        return {one for one, is_held in zip(execution_ids, held, strict=True) if is_held}

    def first_in_line(self, lane: Lane) -> str | None:
        """Return the execution that is next in a lane's line, ``None`` where none is, or its message can't be read."""
        client: Any = self.broker.client
        keys = self.broker.keys(lane)
        message_id = client.lindex(keys.line, 0)
        data = None if message_id is None else client.hget(keys.messages, message_id)
        message = None if data is None else read(data, queue_name=lane, message_id=message_id)
        return next((one for one in message.args if isinstance(one, str)), None) if message is not None else None

    def ping(self) -> None:
        """Make sure that Redis answers.

        Raises:
            redis.RedisError, OSError: it is away.
        """
        self.broker.client.ping()

    def is_intact(self) -> bool:
        """Return whether Redis is the one that it was: neither wiped nor started anew, from whatever snapshot."""
        return self.broker.client.get(self._marker) == self._run_id()

    def unmark(self) -> None:
        """Set the marker so that it matches no Redis: one that refuses this refuses :meth:`mark_intact`, too."""
        self.broker.client.set(self._marker, b"-")

    def mark_intact(self) -> None:
        """Set the marker that a wiped Redis loses together with the queue, and that a new one does not match."""
        self.broker.client.set(self._marker, self._run_id())

    def _run_id(self) -> bytes:
        # Where Redis does not tell it, or a proxy in front of it, the marker tells a wiped Redis only.
        return str(self.server().get("run_id", "unknown")).encode()

    def server(self) -> dict[str, Any]:
        """Return what Redis tells of itself; nothing to a user who may not ask, since INFO counts as dangerous.

        Raises:
            redis.RedisError, OSError: it is away, or refuses for another reason.
        """
        client: Any = self.broker.client
        try:
            told: dict[str, Any] = client.info("server")
        except NoPermissionError:
            return {}
        return told

    def revive(self) -> None:
        """Put back at once what dead workers had taken (Dramatiq does so only now and then, by chance)."""
        broker = self.broker
        names = [name for lane in ACTORS for name in (lane, dq_name(lane))]
        ages = (broker.heartbeat_timeout, broker.dead_message_ttl)
        REVIVE.run(broker.client, (broker.keys(names[0]).heartbeats,), self.prefix, current_millis(), *ages, *names)

    def sizes(self) -> dict[str, int]:
        """Return how many messages each lane's queue holds, those being worked on included."""
        return {lane: self.broker.do_qsize(lane) for lane in ACTORS}

    def close(self) -> None:
        """Close the connections."""
        client: Any = self.broker.client
        client.close()
