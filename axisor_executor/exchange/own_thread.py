"""A thread of its own for what nobody is to wait for."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from contextvars import Context
from queue import Empty, SimpleQueue

IDLE_SECONDS = 10.0
"""How long a thread waits for the next job."""


class OwnThread:
    """Runs jobs in a daemon thread, one after the other; it is there while there are any, and a little longer.

    A job that is to run later waits for its time, and for the one that runs then.

    One thread and not one for each job, since the exchange's client keeps a connection for each thread. Nothing of
    the caller's context gets into it.
    """

    def __init__(self, name: str, idle_seconds: float = IDLE_SECONDS) -> None:
        """Start nothing yet; the thread, of this name, ends when no job has come for ``idle_seconds``."""
        self._name = name
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._jobs: SimpleQueue[tuple[float, int, Callable[[], None]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__(self, job: Callable[[], None]) -> None:
        """Have a job run.

        Raises:
            RuntimeError: there is no thread left for it.
        """
        self.later(0.0, job)

    def later(self, seconds: float, job: Callable[[], None]) -> None:
        """Have a job run after so many seconds.

        Raises:
            RuntimeError: there is no thread left for it.
        """
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # it isn't in a process that was forked
                self._thread = threading.Thread(target=Context().run, args=(self._serve,), name=self._name, daemon=True)
                self._thread.start()
            self._jobs.put((time.monotonic() + seconds, next(self._numbers), job))

    def _serve(self) -> None:
        waiting: list[tuple[float, int, Callable[[], None]]] = []  # a heap: first who is due first
        while True:
            pause = waiting[0][0] - time.monotonic() if waiting else self._idle_seconds
            if pause > 0:
                try:
                    heapq.heappush(waiting, self._jobs.get(timeout=pause))
                except Empty:
                    if waiting:
                        continue
                    with self._lock:
                        if self._jobs.empty():
                            self._thread = None
                            return
            elif waiting:
                heapq.heappop(waiting)[2]()
