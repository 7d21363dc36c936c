"""Watch what a call does: files, network, processes, threads, the clock and chance are found out, and stopped.

A profile function sees the calls of C functions that Python code makes in its own thread, and what leads to the world
outside is among them. So nothing is patched: other threads, tracers and coverage go on undisturbed, and it is gone with
the call. What C code calls by itself it does not see.
"""

from __future__ import annotations

import gc
import io
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_CLOCKS = frozenset(
    name + suffix
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
    for suffix in ("", "_ns")
) | {"localtime", "gmtime", "ctime", "asctime", "sleep"}
_OUTSIDE = {
    "_socket": "the network",
    "socket": "the network",
    "_ssl": "the network",
    "ssl": "the network",
    "_uuid": "clock and chance",
    "select": "the network",
    "_sqlite3": "a database",
    "sqlite3": "a database",
    "_posixsubprocess": "another process",
    "_winapi": "another process",
    "_multiprocessing": "another process",
    "_signal": "signals",
    "fcntl": "files",
    "mmap": "files",
}
_THREADS = frozenset({"start_new_thread", "start_new", "start_joinable_thread"})
_TERMINAL = frozenset({"print", "input"})
_KIT = __name__.partition(".")[0]
_IMPORTS = ("<frozen importlib", "<frozen zipimport")


class Impure(BaseException):
    """A handler reached for something other than its context. No ``Exception``: handlers may catch those."""


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect no garbage during the block: finalizers and callbacks are none of the watched call's doing.

    It belongs around whoever waits for the call, not into it: one that hangs must not leave it off.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Watch:
    """What a watched call was found to do, as sentences without a full stop."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def call(self, function: Callable[[], T]) -> T:
        """Return what ``function`` returns.

        Raises:
            Impure: it reached for the outside; :attr:`found` says so even where it caught this.
        """
        before = sys.getprofile()
        sys.setprofile(self._profile)
        try:
            return function()
        finally:
            sys.setprofile(before)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            what = _reached(argument)
        elif event == "call":
            what = "chance (random.Random without a seed)" if _seeds_by_chance(frame) else None
        else:
            return
        if what is not None and not _is_importing(frame):
            self.found.append(f"{what} {_where(frame)}")
            raise Impure(self.found[-1])


def _reached(function: Any) -> str | None:
    """Return what of the outside a C function reaches for, and its name; ``None``: nothing."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    module = owner.__name__ if isinstance(owner, type(sys)) else getattr(function, "__module__", None) or ""
    if isinstance(owner, type) and issubclass(owner, date):
        return f"the clock ({owner.__name__}.{name}())" if name in ("now", "utcnow", "today") else None
    if isinstance(owner, random.Random):
        return f"chance (random.{name}())" if _is_shared(owner) else None
    if isinstance(owner, io.IOBase):
        return None if isinstance(owner, (io.StringIO, io.BytesIO)) else f"a file (.{name}())"
    if owner is not None and not isinstance(owner, (type, type(sys))):
        module = type(owner).__module__
    return _of_module(module, name)


def _of_module(module: str, name: str) -> str | None:
    called = f"({module.lstrip('_')}.{name}())"
    if module == "time":
        return f"the clock {called}" if name in _CLOCKS else None
    if module in ("posix", "nt"):
        return None if name == "fspath" or name.startswith("_path_") else _of_system(name)
    if module in ("io", "_io") and name in ("open", "open_code"):
        return f"a file ({name}())"
    if module in ("_thread", "thread") and name in _THREADS:
        return "a new thread"
    if module == "builtins" and name in _TERMINAL:
        return f"the terminal ({name}())"
    outside = _OUTSIDE.get(module)
    return f"{outside} {called}" if outside else None


def _of_system(name: str) -> str:
    return "chance (os.urandom())" if name in ("urandom", "getrandom") else f"the operating system (os.{name}())"


def _is_shared(chance: random.Random) -> bool:
    """Whether it is not a generator that the handler has seeded itself, which gives the same every time."""
    return isinstance(chance, random.SystemRandom) or chance is getattr(random.random, "__self__", None)


def _seeds_by_chance(frame: FrameType) -> bool:
    return frame.f_code is random.Random.seed.__code__ and frame.f_locals.get("a") is None


def _is_importing(frame: FrameType) -> bool:
    return any(one.f_code.co_filename.startswith(_IMPORTS) for one in _callers(frame))


def _where(frame: FrameType) -> str:
    """Return the line of the handler's own code that leads there."""
    callers = list(_callers(frame))
    below = [one for one in callers[: _depth(callers)] if _package(one) != _KIT] or callers
    own = next(one for one in below if _package(one) == _package(below[-1]))
    return f"in {own.f_code.co_name}() at {Path(own.f_code.co_filename).name}:{own.f_lineno}"


def _depth(callers: Sequence[FrameType]) -> int:
    return next((index for index, one in enumerate(callers) if one.f_code is Watch.call.__code__), len(callers))


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
