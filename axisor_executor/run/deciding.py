"""Run a plugin's code within a time limit: one that hangs costs its own job a thread for that long, and no more."""

from __future__ import annotations

import contextvars
import decimal
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from axisor_executor.errors import AxisorError, PluginError, Unavailable
from axisor_executor.observe import metrics
from axisor_executor.observe.logs import message_of
from axisor_executor.plugins import Found
from axisor_executor.run.plain import Junk, plain_error
from axisor_executor.run.stopping import Stoppable

T = TypeVar("T")

MOST_HUNG = 3
LONGEST_MESSAGE = 500


class Deciders:
    """Threads that run plugins' code, reused while they come back in time.

    One that does not come back is stopped where its code is in a loop of its own. Python can't do more: else it is
    given up (it holds nothing but itself, and its reads are over), and another takes its place. A plugin with several
    such threads is not asked again until one of them has come back. Those that wait for what the core reads for them
    don't count: an exchange that is slow for one account is no fault of a plugin that serves all.
    """

    def __init__(self) -> None:
        self._idle: list[_Decider] = []
        self._hung: defaultdict[str, list[_Call[Any]]] = defaultdict(list)
        self._lock = threading.Lock()

    def ask(
        self,
        found: Found,
        what: str,
        call: Callable[[], T],
        seconds: float,
        *,
        is_ours: Callable[[BaseException], bool] = lambda _: False,
        is_reading: Callable[[], bool] = lambda: False,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> T:
        """Return what a plugin's ``call`` returns.

        Args:
            found: the plugin.
            what: it is asked, for the error's message.
            call: runs its code.
            seconds: that it has.
            is_ours: tells what the core raised below the plugin, which passes as it is.
            is_reading: tells whether the core is just reading for it.
            meanwhile: what the core does in the caller's thread while the plugin is at it; its time counts as well.

        Raises:
            AxisorError: what it raised on purpose; or what ``meanwhile`` raised, where it raised nothing.
            Unavailable: the time was over while the core was reading for it.
            PluginError: it raised anything else, or was not back in time (``plugin_timeout``); the message begins with
                distribution and version.
        """
        plugin = found.display_name
        try:
            made = _Call(plugin, partial(told, plugin, what, call, is_ours), is_reading)
            return self._ask(found, what, made, seconds, meanwhile)
        except PluginError:
            metrics.plugin_errors.add(plugin, "decide")
            raise

    def _ask(self, found: Found, what: str, call: _Call[T], seconds: float, meanwhile: Callable[[], object]) -> T:
        decider = self._take(call.plugin)
        until = time.monotonic() + seconds
        decider.begin(call)
        failure = _failure_of(meanwhile)
        if not call.back.acquire(timeout=max(until - time.monotonic(), 0.0)):
            was_reading = call.is_reading()
            if self._gives_up(call):
                if was_reading:
                    raise Unavailable(f"What {call.plugin} reads took longer than {seconds:g} s")
                if decider.thread is not None and found.module:
                    decider.thread.stop(call, found.module.partition(".")[0])
                raise PluginError(f"{call.plugin}: {what} took longer than {seconds:g} s", code="plugin_timeout")
        try:
            outcome = call.outcome()
            if failure is not None:
                raise failure
            return outcome
        finally:
            del failure  # its traceback leads here: it must not keep itself

    def _take(self, plugin: str) -> _Decider:
        with self._lock:
            hung = self._hung.get(plugin)
            if hung and sum(not one.is_reading() for one in hung) >= MOST_HUNG:
                raise PluginError(f"{plugin}: {MOST_HUNG} earlier calls hang; not asked again", code="plugin_timeout")
            if self._idle:
                return self._idle.pop()
        return _Decider(self._came_back)

    def _gives_up(self, call: _Call[Any]) -> bool:
        """Let nobody wait for a call any more; false where it has come back in this very moment."""
        with self._lock:
            if not call.is_over:
                self._hung[call.plugin].append(call)
            return not call.is_over

    def _came_back(self, decider: _Decider, call: _Call[Any]) -> None:
        with self._lock:
            call.is_over = True
            hung = self._hung.get(call.plugin)
            if hung and call in hung:
                hung.remove(call)
            if not decider.is_stopped:
                self._idle.append(decider)  # one that was given up, too: else every slow call would cost a thread


def _failure_of(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  raised when the plugin is back: nobody would wait for it any more
        return error
    return None


def told(plugin: str, what: str, call: Callable[[], T], is_ours: Callable[[BaseException], bool]) -> T:
    """Return what ``call`` returns, in this thread; what it raises is turned into an error of ours.

    Raises:
        AxisorError, PluginError: as :meth:`Deciders.ask` does, but for the time.
    """
    # Of its own: the caller's would be shared with the plugin, its precision with every sum of the core's after it.
    with decimal.localcontext(decimal.Context()):
        try:
            return _in_one_process(call)
        except BaseException as error:
            if is_ours(error):
                raise
            raise _plain(plugin, what, error) from None


def _in_one_process(call: Callable[[], T]) -> T:
    """Return what ``call`` returns, to the process that makes it.

    A child that it forks ends where it comes back, whatever it comes back with: it has this one thread of the worker's
    and copies of its locks and connections, and would wait for work for good.
    """
    process = os.getpid()
    try:
        return call()
    finally:
        if os.getpid() != process:
            os._exit(1)


def _plain(plugin: str, what: str, error: BaseException) -> AxisorError:
    try:
        if isinstance(error, AxisorError):
            return plain_error(error)
        junk = error if isinstance(error, Junk) else None
    except Junk as found:
        junk = found
    except BaseException as worse:  # noqa: BLE001  its class is the plugin's
        return PluginError(f"{plugin}: {type(error).__name__} (it can't be told: {type(worse).__name__})")
    head = what if junk else f"{type(error).__name__}:"
    return PluginError(f"{plugin}: {head} {message_of(junk or error, LONGEST_MESSAGE)}")


class _Call(Generic[T]):
    """One call of a plugin's code, and what came of it.

    Its hand-over is two bare locks, the thread's own and ``back``: a future, with its condition and its callbacks, is
    as much work as most decisions.
    """

    __slots__ = ("back", "context", "error", "function", "is_over", "is_reading", "plugin", "result")

    def __init__(self, plugin: str, function: Callable[[], T], is_reading: Callable[[], bool]) -> None:
        self.plugin = plugin
        self.function = function
        self.is_reading = is_reading
        self.context = contextvars.copy_context()
        self.result: T
        self.error: BaseException | None = None
        self.is_over = False
        self.back = threading.Lock()
        self.back.acquire()

    def make(self, thread: Stoppable) -> None:
        """Make it, in its thread, and keep what comes of it."""
        try:
            self.result = thread.call(partial(self.context.run, self.function), self)
        except BaseException as error:  # noqa: BLE001  it is raised where the answer is waited for
            self.error = error

    def outcome(self) -> T:
        """Return what it returned, or raise what it raised."""
        if self.error is None:
            return self.result
        try:
            raise self.error
        finally:
            self.error = None  # its traceback leads here: it must not keep itself


class _Decider:
    """A thread that makes one call after the other, and tells ``came_back`` after each."""

    def __init__(self, came_back: Callable[[_Decider, _Call[Any]], None]) -> None:
        self.thread: Stoppable | None = None
        self._came_back = came_back
        self._next: _Call[Any] | None = None
        self._work = threading.Lock()
        self._work.acquire()
        threading.Thread(target=self._serve, name="axisor-decide", daemon=True).start()

    @property
    def is_stopped(self) -> bool:
        return self.thread is not None and self.thread.is_stopped

    def begin(self, call: _Call[Any]) -> None:
        """Have the thread make a call; only while it is idle."""
        self._next = call
        self._work.release()

    def _serve(self) -> None:
        self.thread = Stoppable()
        while not self.is_stopped:
            self._work.acquire()
            call, self._next = self._next, None
            assert call is not None
            call.make(self.thread)
            self._came_back(self, call)
            call.back.release()  # last of all: who waits needs what this thread holds until it waits, too
            del call
