"""Decide within a time limit: a handler that hangs costs its own job a thread for that long, and no more."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class TooSlow(Exception):
    """The handler did not come back in time (not to be mistaken for a ``TimeoutError`` of its own)."""


class Deciders:
    """Threads that run handlers, reused while they come back in time.

    Python can't stop a thread: one that does not come back is given up (it holds nothing but itself, and what it
    still reads changes nothing), and another takes its place.
    """

    def __init__(self) -> None:
        self._idle: list[_Decider] = []
        self._lock = threading.Lock()

    def run(self, decide: Callable[[], T], seconds: float) -> T:
        """Return what ``decide`` returns, or raise what it raises.

        Raises:
            TooSlow: it took longer than ``seconds``.
        """
        with self._lock:
            decider = self._idle.pop() if self._idle else None
        decider = decider or _Decider()
        future: Future[T] = Future()
        decider.work.put((contextvars.copy_context(), decide, future))
        try:
            error = future.exception(seconds)
        except TimeoutError:
            raise TooSlow from None
        with self._lock:
            self._idle.append(decider)
        if error is not None:
            raise error
        return future.result()


class _Decider:
    def __init__(self) -> None:
        self.work: SimpleQueue[tuple[contextvars.Context, Callable[[], Any], Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._serve, name="axisor-decide", daemon=True).start()

    def _serve(self) -> None:
        while True:
            context, decide, future = self.work.get()
            try:
                future.set_result(context.run(decide))
            except BaseException as error:  # noqa: BLE001  it is raised again where the decision is waited for
                future.set_exception(error)
            del context, decide, future
