"""The exchange's rate limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["RateLimits"]

_FORGET_AT = 10_000


class RateLimits:
    """A token bucket for each caller: `rate` requests a second, and as many at once."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, caller: str, rate: float) -> int:
        """Take a token; 0 when there was one, else the seconds (rounded up) until there will be one."""
        now = self._monotonic()
        room = max(1.0, rate)
        tokens, at = self._buckets.get(caller, (room, now))
        tokens = min(room, tokens + (now - at) * rate)
        if len(self._buckets) >= _FORGET_AT:
            self._buckets.clear()
        if tokens < 1:
            self._buckets[caller] = (tokens, now)
            return math.ceil((1 - tokens) / rate)
        self._buckets[caller] = (tokens - 1, now)
        return 0
