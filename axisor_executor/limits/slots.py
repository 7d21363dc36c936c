"""No exchange holds all threads of a process: where several are in use, a quarter is kept free of each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from axisor_executor.run.flow import Suspend

RETRY_SECONDS = 1.0


class Slots:
    """Counts the runs of a process on each exchange.

    Args:
        is_shared: whether several exchanges are in use; with only one there is nobody to starve.
    """

    def __init__(self, is_shared: Callable[[], bool]) -> None:
        self.threads = 0
        self._is_shared = is_shared
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def take(self, exchange: str) -> Iterator[None]:
        """Hold a slot of the exchange while the block runs.

        Raises:
            Suspend: its share of the threads is in use; the execution waits in the database.
        """
        limit = self.threads - max(self.threads // 4, 1)
        with self._lock:
            if 0 < limit <= self._taken[exchange] and self._is_shared():
                raise Suspend("rate", RETRY_SECONDS)
            self._taken[exchange] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[exchange] -= 1
