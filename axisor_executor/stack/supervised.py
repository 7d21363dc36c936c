"""One part of the stack, kept running by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol

from axisor_executor.errors import EmbeddedServerError
from axisor_executor.stack.backoff import Backoff

State = Literal["starting", "running", "restarting", "stopped", "failed"]
_POLL_SECONDS = 0.1


class Part(Protocol):
    """What can be started, asked whether it runs, and stopped; always by the same thread."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""

    @property
    def ending(self) -> str | None:
        """How it ended, in words; ``None`` while it runs."""

    def start(self, stopping: threading.Event) -> None:
        """Start it and wait until it is ready, or until ``stopping`` is set.

        Raises:
            Exception: it can't be started, for this reason.
        """

    def stop(self) -> None:
        """Stop it. May be called again."""


class Supervised:
    """A part with its thread: started, started again with growing delays whenever it ends, and stopped.

    A part that does not even come up the first time is not tried again: :meth:`wait_until_up` raises.

    Args:
        part: what is kept running.
        say: is told when it ends unexpectedly, and when it is back.
        changed: is told when :attr:`state` or the process id have changed.
    """

    def __init__(self, part: Part, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.part = part
        self.state: State = "starting"
        self.restarts = 0
        self._say = say
        self._changed = changed
        self._stopping = threading.Event()
        self._settled = threading.Event()
        self._failure: EmbeddedServerError | None = None
        self._thread = threading.Thread(target=self._run, name=f"axisor-{part.name}", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait_until_up(self, stop: threading.Event) -> None:
        """Wait until the part is ready, or until ``stop`` is set.

        Raises:
            EmbeddedServerError: it can't be started.
        """
        while not self._settled.wait(_POLL_SECONDS) and not stop.is_set():
            pass
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Ask the thread to stop the part; :meth:`join` waits for it."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until the part has stopped."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        backoff = Backoff()
        try:
            if not self._first_start():
                return
            began = time.monotonic()
            while not self._stopping.wait(_POLL_SECONDS):
                if self.part.ending is None:
                    continue
                delay = backoff.after(time.monotonic() - began)
                self._restart(delay)
                began = time.monotonic()
        finally:
            self.part.stop()
            self._enter("failed" if self._failure else "stopped")
            self._settled.set()

    def _first_start(self) -> bool:
        self._failure = self._start()
        if self._failure is not None:
            return False
        self._enter("running")
        self._settled.set()
        return True

    def _restart(self, delay: float) -> None:
        self._enter("restarting")
        self._say(f"{self.part.name} {self.part.ending}; starting it again in {delay:g} s")
        if self._stopping.wait(delay):
            return
        self.restarts += 1
        self.part.stop()
        if (failure := self._start()) is not None:
            self._say(f"{self.part.name} did not come back: {failure.message.splitlines()[0]}")
            return
        if not self._stopping.is_set():
            self._enter("running")
            self._say(f"{self.part.name} is back (process {self.part.pid})")

    def _start(self) -> EmbeddedServerError | None:
        """Start the part and return why it can't be started; whatever that is, this thread has to go on."""
        try:
            self.part.start(self._stopping)
        except EmbeddedServerError as error:
            return error
        except Exception as error:  # noqa: BLE001  such as a full disk, or no file descriptor that is free
            return EmbeddedServerError(f"{self.part.name} can't be started: {type(error).__name__}: {error}")
        return None

    def _enter(self, state: State) -> None:
        self.state = state
        self._changed()
