"""Run a plugin's code within a time limit: one that hangs costs its own job a thread for that long, and no more."""

from __future__ import annotations

import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from axisor_executor.errors import AxisorError, PluginError
from axisor_executor.observe import metrics
from axisor_executor.observe.logs import message_of
from axisor_executor.plugins import Found

T = TypeVar("T")

MOST_HUNG = 3
LONGEST_MESSAGE = 500


class Deciders:
    """Threads that run plugins' code, reused while they come back in time.

    Python can't stop a thread: one that does not come back is given up (it holds nothing but itself, and what it
    still reads changes nothing), and another takes its place. A plugin with several such threads is not asked again
    until one of them has come back.
    """

    def __init__(self) -> None:
        self._idle: list[_Decider] = []
        self._hung: Counter[str] = Counter()
        self._lock = threading.Lock()

    def ask(self, found: Found, what: str, call: Callable[[], T], seconds: float) -> T:
        """Return what a plugin's ``call`` returns.

        Raises:
            AxisorError: what it raised on purpose.
            PluginError: it raised anything else, or was not back after ``seconds`` (``plugin_timeout``); the message
                begins with distribution and version.
        """
        try:
            return self._ask(found.display_name, what, call, seconds)
        except PluginError:
            metrics.plugin_errors.add(found.display_name, "decide")
            raise

    def _ask(self, plugin: str, what: str, call: Callable[[], T], seconds: float) -> T:
        with self._lock:
            if self._hung[plugin] >= MOST_HUNG:
                raise PluginError(f"{plugin}: {MOST_HUNG} earlier calls hang; not asked again", code="plugin_timeout")
            decider = self._idle.pop() if self._idle else None
        decider = decider or _Decider()
        future: Future[T] = Future()
        decider.work.put((contextvars.copy_context(), call, future))
        try:
            error = future.exception(seconds)
        except TimeoutError:
            self._give_up(plugin, decider, future)
            raise PluginError(f"{plugin}: {what} took longer than {seconds:g} s", code="plugin_timeout") from None
        with self._lock:
            self._idle.append(decider)
        if error is None:
            return future.result()
        if isinstance(error, AxisorError):
            raise error
        raise PluginError(f"{plugin}: {type(error).__name__}: {message_of(error, LONGEST_MESSAGE)}")

    def _give_up(self, plugin: str, decider: _Decider, future: Future[Any]) -> None:
        with self._lock:
            self._hung[plugin] += 1

        def back(_: Future[Any]) -> None:
            with self._lock:
                self._hung[plugin] -= 1
                self._idle.append(decider)  # else every slow call would cost a thread for good

        future.add_done_callback(back)


class _Decider:
    def __init__(self) -> None:
        self.work: SimpleQueue[tuple[contextvars.Context, Callable[[], Any], Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._serve, name="axisor-decide", daemon=True).start()

    def _serve(self) -> None:
        while True:
            context, call, future = self.work.get()
            try:
                future.set_result(context.run(call))
            except BaseException as error:  # noqa: BLE001  it is told where the answer is waited for
                future.set_exception(error)
            del context, call, future
