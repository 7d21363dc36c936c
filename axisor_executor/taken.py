"""What this process knows that it has taken from a queue; what Redis has beyond it was lost on the way."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable


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
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def to_tell(self, most: int) -> list[bytes]:
        """Return, and leave to the caller, the ids that the queue is told next."""
        with self._lock:
            return [self.done.popleft() for _ in range(min(len(self.done), most))]

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

    def beyond(self, message_ids: Collection[bytes]) -> list[bytes]:
        """Return those of these ids that this process knows nothing of."""
        with self._lock:
            return [one for one in message_ids if one not in self._held]
