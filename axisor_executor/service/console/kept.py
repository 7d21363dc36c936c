"""Figures that all open pages ask for every few seconds: worked out once for all, less often the longer it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

KEPT_TIMES = 20
"""A value that took a second to work out is kept for this many: open pages cost a twentieth of a core at most."""


class Kept:
    """What was worked out lately, for the threads of a process.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._values: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """Return the value that is kept for a key; else work it out. Two that come at once may both do that."""
        began = self._clock()
        with self._lock:
            until, value = self._values.get(key, (began, None))
        if until > began:
            return value
        value = work()
        now = self._clock()
        with self._lock:
            self._values = {one: kept for one, kept in self._values.items() if kept[0] > now}
            self._values[key] = (now + (now - began) * KEPT_TIMES, value)
        return value
