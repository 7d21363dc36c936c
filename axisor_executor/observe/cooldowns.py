"""What has been told is not told again for some time: over all processes through Redis, by process while it is away."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from axisor_executor.shared import Shared

MOST_REMEMBERED = 10_000
COUNT_SECONDS = 86_400
"""How long it is remembered how often something was held back."""


class Cooldowns:
    """Remembers names for a time.

    Args:
        shared: Redis.
        clock: monotonic, in seconds.
    """

    def __init__(self, shared: Shared, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._clock = clock
        self._until: dict[str, float] = {}
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, name: str, seconds: float) -> bool:
        """Begin the time of ``name``; return whether it had not begun yet, in any process."""
        key, milliseconds = self._key(name), max(round(seconds * 1000), 1)
        is_first = self._shared.ask(lambda client: bool(client.set(key, "1", nx=True, px=milliseconds)))
        if is_first is None:
            with self._lock:
                is_first = self._until.get(name, 0.0) <= self._clock()
        if is_first:
            self._remember(name, seconds)
        return is_first

    def prolong(self, name: str, seconds: float) -> None:
        """Have the time of ``name`` end in ``seconds``."""
        key, milliseconds = self._key(name), max(round(seconds * 1000), 1)
        self._shared.ask(lambda client: bool(client.set(key, "1", px=milliseconds)))
        self._remember(name, seconds)

    def end(self, name: str) -> None:
        """End the time of ``name``, for all processes."""
        with self._lock:
            self._until.pop(name, None)
        key = self._key(name)
        self._shared.ask(lambda client: client.delete(key))

    def hold_back(self, name: str, count: int) -> None:
        """Count what was not told of ``name``."""
        key = self._key(name, "held")

        def add(client: Any) -> bool:
            with client.pipeline() as commands:
                commands.incrby(key, count)
                commands.expire(key, COUNT_SECONDS)
                commands.execute()
            return True

        if self._shared.ask(add) is None:
            with self._lock:
                if name in self._held or len(self._held) < MOST_REMEMBERED:
                    self._held[name] += count

    def held_back(self, name: str) -> int:
        """Return how often ``name`` was held back since this was last asked, in all processes."""
        key = self._key(name, "held")
        elsewhere = self._shared.ask(lambda client: int(client.getdel(key) or 0))
        with self._lock:
            return (elsewhere or 0) + self._held.pop(name, 0)

    def _remember(self, name: str, seconds: float) -> None:
        now = self._clock()
        with self._lock:
            self._until[name] = now + seconds
            if len(self._until) > MOST_REMEMBERED:
                self._until = {one: until for one, until in self._until.items() if until > now}
                while len(self._until) > MOST_REMEMBERED // 2:
                    del self._until[next(iter(self._until))]

    def _key(self, name: str, *more: str) -> str:
        # Names hold what others chose (ids of rows): a digest is short, whatever they are.
        return self._shared.key("alerts", hashlib.sha256(name.encode()).hexdigest()[:32], *more)
