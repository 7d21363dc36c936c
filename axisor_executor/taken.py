"""What this process knows that it has taken from a queue; what Redis has beyond it was lost on the way."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager


class Taken:
    """The ids of one queue's messages that this process has, and those of them that the queue must be told about.

    Attributes:
        done: ids of the messages that are done with and of which the queue was not told yet.
        left: how many others were in line after the last turn.
    """

    def __init__(self) -> None:
        self.done: deque[bytes] = deque()
        self.left = 0
        self._held: set[bytes] = set()
        self._going_back: set[bytes] = set()
        self._turn = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def begin(self, most: int) -> tuple[int, list[bytes]]:
        """Begin a turn: return its number, and the ids that the queue is told in it, which are left to the caller."""
        with self._lock:
            self._turn += 1
            return self._turn, [self.done.popleft() for _ in range(min(len(self.done), most))]

    def turned(self, told: Iterable[bytes], found: Iterable[bytes], left: int) -> None:
        """Hear of a turn that succeeded: what it told, what it took, and how many it left in line."""
        with self._lock:
            self.left = left
            self._held.difference_update(told)
            self._held.update(found)

    def drop(self, message_ids: Iterable[bytes]) -> None:
        """Give messages up: the queue was told, or this process has lost them."""
        with self._lock:
            self._held.difference_update(message_ids)

    def keep_only_done(self) -> None:
        """Give up all that this process is not done with."""
        with self._lock:
            self._held = set(self.done)

    @contextmanager
    def lost(self, message_ids: Collection[bytes], turn: int) -> Iterator[list[bytes]]:
        """Give the block those of these ids to put back that this process knows nothing of.

        None where another turn has begun since that ``turn``: what it takes is not known here before its answer is.
        Whoever was given up and wakes up late must not put that back, and the other one finds by itself what is lost.
        """
        with self._lock:
            known = self._held | self._going_back
            lost = [one for one in message_ids if one not in known] if turn == self._turn else []
            self._going_back.update(lost)
        with self._back(lost):
            yield lost

    @contextmanager
    def going_back(self, message_ids: Collection[bytes]) -> Iterator[None]:
        """Give messages up while the block puts them back; whoever takes one again before it ends has it."""
        with self._lock:
            self._held.difference_update(message_ids)
            self._going_back.update(message_ids)
        with self._back(message_ids):
            yield

    @contextmanager
    def _back(self, message_ids: Collection[bytes]) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._going_back.difference_update(message_ids)
