"""Tell observers without waiting for them: one queue and one thread for each, so that none delays a run or another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, Full, Queue

from axisor_executor.observe.logs import message_of, say

MOST_WAITING = 1000


class Teller:
    """Calls one plugin's observers in order, in a thread of its own.

    What it can't take because too much is waiting is dropped, and said in the log: an observer that hangs must not
    grow without end either.
    """

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self._calls: Queue[tuple[str, Callable[[], object]]] = Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, hook: str, call: Callable[[], object]) -> None:
        """Have ``call`` made soon; return at once."""
        try:
            self._calls.put_nowait((hook, call))
        except Full:
            say.error(f"{self.plugin}: {hook} was not called, {MOST_WAITING} calls wait for it already")
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"axisor-tell {self.plugin}", daemon=True)
                self._thread.start()

    def flush(self, seconds: float) -> bool:
        """Wait until everything told so far has been heard; return whether it was in time."""
        heard = threading.Event()
        try:
            self._calls.put(("flush", heard.set), timeout=seconds)
        except Full:
            return False
        return self._thread is None or heard.wait(seconds)

    def _serve(self) -> None:
        while True:
            try:
                hook, call = self._calls.get(timeout=60)
            except Empty:
                continue
            try:
                call()
            except BaseException as error:  # noqa: BLE001  an observer must not disturb anything
                say.error(f"{self.plugin}: {hook} raised {type(error).__name__}: {message_of(error)}")
