"""The exchange's rate limits."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

__all__ = ["RateLimits"]

_ROOM = 10_000


class RateLimits:
    """A sliding window for each caller: `rate` requests in any second or, below 1, one in any longer time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._windows: dict[str, deque[float]] = {}
        """When the requests were let in, oldest first."""
        self._forget_at = _ROOM

    def __len__(self) -> int:
        """Return how many callers are known."""
        return len(self._windows)

    def wait(self, caller: str, rate: float) -> int:
        """Let a request in and return 0, or return the seconds (rounded up) until there is room for one."""
        now = self._monotonic()
        count = max(1, math.floor(rate))
        begins = now - count / rate
        window = self._windows.setdefault(caller, deque())
        while window and window[0] <= begins:
            window.popleft()
        if len(window) >= count:
            return math.ceil(window[-count] - begins)
        window.append(now)
        if len(self._windows) > self._forget_at:
            self._forget(begins)
        return 0

    def _forget(self, before: float) -> None:
        """Drop the callers who were not let in since then: their windows are empty."""
        self._windows = {caller: window for caller, window in self._windows.items() if window[-1] > before}
        self._forget_at = max(_ROOM, 2 * len(self._windows))
