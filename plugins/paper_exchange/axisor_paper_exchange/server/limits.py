"""The exchange's rate limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["RateLimits"]

_ROOM = 10_000


class RateLimits:
    """A token bucket for each caller: `rate` requests a second, and as many at once."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}
        """Tokens, and when there were so many."""
        self._forget_at = _ROOM

    def __len__(self) -> int:
        """Return how many callers are known."""
        return len(self._buckets)

    def wait(self, caller: str, rate: float) -> int:
        """Take a token; 0 when there was one, else the seconds (rounded up) until there will be one."""
        now = self._monotonic()
        room = max(1.0, rate)
        tokens, at = self._buckets.get(caller, (room, now))
        tokens = min(room, tokens + (now - at) * rate)
        if tokens < 1:
            self._buckets[caller] = (tokens, now)
            return math.ceil((1 - tokens) / rate)
        self._buckets[caller] = (tokens - 1, now)
        if len(self._buckets) > self._forget_at:
            self._forget(now - room / rate)
        return 0

    def _forget(self, before: float) -> None:
        """Drop the buckets that nothing was taken from since then: they would be full."""
        self._buckets = {caller: bucket for caller, bucket in self._buckets.items() if bucket[1] > before}
        self._forget_at = max(_ROOM, 2 * len(self._buckets))
