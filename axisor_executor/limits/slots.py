"""No exchange holds all threads of a process: where several are in use, a quarter is kept free of each.

Entries keep out of another quarter, which is for the guards on their exchange. Of two threads both can't be had: there
an entry and a guard of one exchange may hold both, for a guard must not wait for entries.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from axisor_executor.automation import Lane
from axisor_executor.run.flow import Suspend

FEWEST_THREADS = 2
RETRY_SECONDS = 1.0
KNOWN_SECONDS = 10.0
"""How long it is known whether several exchanges are in use: where all threads are busy, each run would ask."""


class Slots:
    """Counts the runs of a process on each exchange.

    Args:
        is_shared: whether several exchanges are in use; with one there is nobody to starve. Asked where an exchange
            has its share, without holding up other runs.
        clock: monotonic, in seconds.
    """

    def __init__(self, is_shared: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.threads = 0
        self._is_shared = is_shared
        self._clock = clock
        self._known: tuple[bool, float] = (False, -math.inf)
        self._taken: Counter[tuple[str, Lane]] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def take(self, exchange: str, lane: Lane) -> Iterator[None]:
        """Hold a slot of the exchange while the block runs.

        Raises:
            Suspend: its share of the threads is in use; the execution waits in the database.
        """
        if not self._enter(exchange, lane, is_free=self.threads < FEWEST_THREADS):
            is_free = not self._must_share()
            if not self._enter(exchange, lane, is_free=is_free):
                raise Suspend("rate", RETRY_SECONDS)
        try:
            yield
        finally:
            with self._lock:
                self._taken[exchange, lane] -= 1

    def _enter(self, exchange: str, lane: Lane, *, is_free: bool) -> bool:
        with self._lock:
            if not (is_free or self._has_room(exchange, lane)):
                return False
            self._taken[exchange, lane] += 1
            return True

    def _has_room(self, exchange: str, lane: Lane) -> bool:
        quarter = max(self.threads // 4, 1)
        guards, entries = self._taken[exchange, "protect"], self._taken[exchange, "default"]
        if lane == "protect" and guards < quarter:
            return True  # entries never keep these out
        if guards + entries >= self.threads - quarter:
            return False
        # Entries have three quarters of the threads at most: of those a quarter is for other exchanges' ones.
        return lane == "protect" or entries < max(self.threads * 3 // 4 - quarter, 1)

    def _must_share(self) -> bool:
        known, since = self._known
        if self._clock() - since > KNOWN_SECONDS:
            known = self._is_shared()
            self._known = known, self._clock()
        return known
