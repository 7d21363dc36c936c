"""Stop a plugin's code whose time is over, where Python can: in a loop of its own that never ends.

An exception that another thread raises arrives between any two instructions, also right behind the one that took a
lock. So it is raised only while the innermost code is the plugin's: a lock of the core's, of logging or of a library
is never left taken, and the thread is not used again.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOKS = 25
LOOK_SECONDS = 0.002


class Stopped(BaseException):
    """Raised in the middle of a plugin's code, whose time is over."""


class Stoppable:
    """The thread that makes it, which makes one call after the other, and may be stopped in one."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._gate = threading.Lock()
        self._calling: object = None
        self.is_stopped = False

    def call(self, function: Callable[[], T], token: object) -> T:
        """Return what ``function`` returns; once this has returned, nothing more arrives. ``token`` is this call's."""
        try:
            self._calling = token
            try:
                return function()
            finally:
                self._leave()
        except Stopped:
            self._leave()
            raise

    def stop(self, token: object, package: str) -> bool:
        """Raise :class:`Stopped` in a call, from another thread; return whether its code could be met.

        Args:
            token: of the call; the thread may have gone on to another one.
            package: the top-level package of the plugin's code.
        """
        for _ in range(LOOKS):
            if not self._gate.acquire(timeout=LOOK_SECONDS):
                return False
            try:
                if self._calling is not token:
                    return False
                if self._is_in(package):
                    self.is_stopped = True
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(Stopped))
                    return True
            finally:
                self._gate.release()
            time.sleep(LOOK_SECONDS)
        return False

    def _is_in(self, package: str) -> bool:
        frame = sys._current_frames().get(self._thread)
        name = frame.f_globals.get("__name__") if frame is not None else None
        return isinstance(name, str) and name.partition(".")[0] == package

    def _leave(self) -> None:
        held = self._gate.acquire(timeout=1.0)
        self._calling = None
        if held:
            self._gate.release()
        for _ in range(3):
            pass  # what was raised just before arrives here at the latest
