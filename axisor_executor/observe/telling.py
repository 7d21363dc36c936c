"""Tell observers without waiting for them: one queue and one thread for each, so that none delays a run or another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from axisor_executor.observe import metrics
from axisor_executor.observe.logs import message_of, say

MOST_WAITING = 1_000
MOST_URGENT = 10_000


class Teller:
    """Calls one plugin's observers in order, what is urgent first, in a thread of its own.

    What it can't take because too much is waiting is dropped, and said in the log: an observer that hangs must not
    grow without end either. What is urgent waits in a line of its own, which other calls can't fill.
    """

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self._urgent: deque[tuple[str, Callable[[], object]]] = deque()
        self._others: deque[tuple[str, Callable[[], object]]] = deque()
        self._is_calling = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def tell(self, hook: str, call: Callable[[], object], *, urgent: bool = False) -> None:
        """Have ``call`` made soon; return at once."""
        line, most = (self._urgent, MOST_URGENT) if urgent else (self._others, MOST_WAITING)
        with self._changed:
            has_room = len(line) < most
            if has_room:
                line.append((hook, call))
                self._changed.notify_all()
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name=f"axisor-tell {self.plugin}", daemon=True)
                thread.start()
                self._thread = thread
        if not has_room:
            say.error(f"{self.plugin}: {hook} was not called, {most} calls wait for it already")

    def flush(self, seconds: float) -> bool:
        """Wait until everything told so far has been heard; return whether it was in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._urgent or self._others or self._is_calling), seconds)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._is_calling = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._urgent or self._others)
                hook, call = (self._urgent or self._others).popleft()
                self._is_calling = True
            try:
                call()
            except BaseException as error:  # noqa: BLE001  an observer must not disturb anything
                metrics.plugin_errors.add(self.plugin, "observer")
                say.error(f"{self.plugin}: {hook} raised {type(error).__name__}: {message_of(error)}")
            del call
