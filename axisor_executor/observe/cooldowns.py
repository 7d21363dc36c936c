"""What has been told is not told again for some time: over all processes through Redis, by process while it is away."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import redis

from axisor_executor.redis_script import Script
from axisor_executor.shared import Shared

MOST_REMEMBERED = 10_000
COUNT_SECONDS = 86_400
"""How long it is remembered how often something was held back."""

# A time that has no end, or a later one than it was given, is none of ours (or Redis' clock was set back since): it
# would silence an alert for good.
_BEGIN = Script("""
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
""")


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
        is_first = self._shared.ask(lambda client: bool(_BEGIN.run(client, (key,), milliseconds)))
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
                try:
                    commands.execute()
                except redis.ResponseError:  # no number, or one that is too large: not ours, and in the way for good
                    client.set(key, count, ex=COUNT_SECONDS)
            return True

        if self._shared.ask(add) is None:
            with self._lock:
                if name in self._held or len(self._held) < MOST_REMEMBERED:
                    self._held[name] += count

    def held_back(self, name: str) -> int:
        """Return how often ``name`` was held back since this was last asked, in all processes."""
        key = self._key(name, "held")
        elsewhere = _count(self._shared.ask(lambda client: client.getdel(key)))
        with self._lock:
            return elsewhere + self._held.pop(name, 0)

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


def _count(text: bytes | None) -> int:
    """Return a count that stands in Redis; what can be none of ours is not worth losing an alert for."""
    try:
        return max(int(text or 0), 0)
    except ValueError:
        return 0
