"""A queue's consumer: what this process takes from a lane, when, and which of its threads gets it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import redis
from dramatiq import Message
from dramatiq.broker import MessageProxy
from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.errors import ConnectionClosed

from axisor_executor.lanes import ACTORS
from axisor_executor.observe.logs import say
from axisor_executor.queue_script import MOST_IN_A_TURN
from axisor_executor.redis_client import QUEUE_ERRORS, SOCKET_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from axisor_executor.broker import LaneBroker

GATHER_SECONDS = 0.001
"""How long a process whose threads were all busy waits for others to come free, too: one turn instead of many."""
THREADS_FOR_ONE_AHEAD = 2
"""For so many threads a process has one message of a long line at hand: some come free at the same moment."""
LONG_LINE = 10
"""Where so many times as much is left in line, what a process takes ahead keeps no other one idle."""
LONGEST_AHEAD_SECONDS = 1.0
"""How long a message waits here for a thread, before it goes back to where others find it."""
LONGEST_PAUSE_SECONDS = 0.9 * SOCKET_TIMEOUT_SECONDS
"""A wait that Redis ends after the socket's time-out looks like a Redis that hangs."""


def id_of(message: Any) -> bytes:
    """Return the id under which a message stands in Redis; another producer's may be no text of Unicode."""
    own: str = message.options["redis_message_id"]
    return own.encode(errors="replace")


class LaneConsumer(_RedisConsumer):
    """A consumer that takes new work the moment it is there and there is room for it, and shows that it is alive.

    The stock one sleeps, up to a second, while the queue is empty or all that it may take is outstanding. This one
    is woken; what nobody rang for (another producer's message) it finds a second later.
    """

    broker: LaneBroker
    queue_name: str
    message_cache: list[Message[Any]]
    queued_message_ids: set[str]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.turned_at = time.monotonic()
        self.room = threading.Event()
        self._pause = min(self.timeout / 1000, LONGEST_PAUSE_SECONDS)
        self._moved_at = self.turned_at
        self._ahead = 0
        self._has_all = False

    def ack(self, message: Any) -> None:
        self.queued_message_ids.discard(message.message_id)
        self.broker.done_with(self.queue_name, id_of(message))

    def nack(self, message: Any) -> None:
        try:
            self.broker.do_nack(self.queue_name, id_of(message))
        except redis.ConnectionError as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        finally:
            self.queued_message_ids.discard(message.message_id)
            self.broker.taken[self.queue_name].drop((id_of(message),))
            self.broker.made_room()

    def requeue(self, messages: Iterable[Any]) -> None:
        """Put messages back; should that fail, the next turn does."""
        given = list(messages)
        message_ids = [id_of(message) for message in given]
        try:
            if given:
                with self.broker.taken[self.queue_name].going_back(message_ids):
                    self.broker.do_requeue(self.queue_name, *message_ids)
        except QUEUE_ERRORS as error:
            say.debug(f"{len(given)} messages are put back on queue {self.queue_name} later: {type(error).__name__}")
        self.queued_message_ids.difference_update([message.message_id for message in given])

    def close(self) -> None:
        """Put back what nobody has begun, and tell the queue what is done with."""
        try:
            self.requeue(self.empty())
            if self.broker.taken[self.queue_name].done:
                self.broker.turn(self.queue_name, 0, consumer=self)
        except QUEUE_ERRORS as error:
            say.debug(f"Queue {self.queue_name} could not be told what is done with: {type(error).__name__}")

    def __next__(self) -> Any:
        self.turned_at = time.monotonic()
        try:
            return self._next() or (self._next() if self._take() else None)
        except QUEUE_ERRORS as error:  # as this one Dramatiq says it in a line, as any other in a traceback
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def _next(self) -> MessageProxy | None:
        """Return the next message that is here, if there is a thread for it."""
        with self.broker.handing:
            if not self.message_cache or self._free() <= 0:
                return None
            message = self.message_cache.pop(0)
            self.queued_message_ids.add(message.message_id)
            self._moved_at = time.monotonic()
        return MessageProxy(message)

    def empty(self) -> list[Message[Any]]:
        """Give up, and return, what is here and not begun."""
        with self.broker.handing:
            unbegun, self.message_cache = self.message_cache, []
        return unbegun

    def give_up(self) -> None:
        """Leave what is here to the next consumer's turn: put back beside that one, it may be taken from a thread."""
        self.broker.taken[self.queue_name].drop(map(id_of, self.empty()))

    def made_room(self) -> None:
        """Hear that a thread has nothing to do any more: it gets the next message, or the queue is asked for one."""
        hand_on = self.broker.hand_on.get(self.queue_name)
        while hand_on is not None and (message := self._next()) is not None:
            hand_on(message)
        if not self.room.is_set() and (hand_on is None or self._messages_wanted() > 0):
            self.room.set()

    def _take(self) -> bool:
        """Take messages, or wait for them or for room."""
        room = min(self._messages_wanted(), MOST_IN_A_TURN)
        if room <= 0:
            self._wait_for_room()
            return False
        is_idle = self._has_all
        if is_idle:
            self._put_back_what_waits()
            found = self.broker.turn(self.queue_name, 1, bell_seconds=self._pause, consumer=self)  # a token, a message
        else:
            found = self.broker.turn(self.queue_name, room, consumer=self)
        with self.broker.handing:
            self.message_cache += found
            self._moved_at = time.monotonic()
        if self.broker.consumer_of(self.queue_name) is not self:  # it was given up while it waited
            self.give_up()
            return False
        self._has_all = not self.broker.taken[self.queue_name].left
        self._ahead = self._most_ahead() if self._may_take_ahead() else 0
        if is_idle and self._free() <= 0:  # the other lane has taken the last free thread
            self.requeue(self.empty())
            return False
        return bool(found)

    def _wait_for_room(self) -> None:
        if not self.room.wait(self._pause):
            self._put_back_what_waits()
            self.broker.turn(self.queue_name, 0, consumer=self)
        elif self.queued_message_ids and not self.message_cache:
            time.sleep(GATHER_SECONDS)
        self.room.clear()

    def _put_back_what_waits(self) -> None:
        """Give others what was taken ahead, when no thread of this process came free for it."""
        if self.message_cache and time.monotonic() - self._moved_at > LONGEST_AHEAD_SECONDS:
            self._ahead = 0
            self.requeue(self.empty())

    def _may_take_ahead(self) -> bool:
        """Return whether many wait in line, and beside entries no guard, who would find each thread taken."""
        taken = self.broker.taken
        is_long = self.queue_name in ACTORS and taken[self.queue_name].left >= LONG_LINE * self._most_ahead()
        return is_long and (self.queue_name == "protect" or not taken["protect"].left)

    def _most_ahead(self) -> int:
        return (self.broker.threads or 0) // THREADS_FOR_ONE_AHEAD

    def _free(self) -> int:
        """Return how many more messages threads may work on."""
        free = self.prefetch - len(self.queued_message_ids)
        return int(min(free, self.broker.free_threads(self.queue_name))) if self.queue_name in ACTORS else free

    def _messages_wanted(self) -> int:
        """Return how many to take: for the threads that are free, and ahead once half of those are gone."""
        if self.broker.threads == 0:
            return 0
        here, free = len(self.message_cache), self._free()
        return 0 if here > max(free, self._ahead // 2) else free + self._ahead - here

    @property
    def outstanding_message_count(self) -> int:
        return len(self.queued_message_ids) + len(self.message_cache)
