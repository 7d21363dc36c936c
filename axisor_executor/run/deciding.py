"""Run a plugin's code within a time limit: one that hangs costs its own job a thread for that long, and no more."""

from __future__ import annotations

import contextvars
import decimal
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

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
        self._hung: defaultdict[str, list[_Hung]] = defaultdict(list)
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
    ) -> T:
        """Return what a plugin's ``call`` returns.

        Args:
            found: the plugin.
            what: it is asked, for the error's message.
            call: runs its code.
            seconds: that it has.
            is_ours: tells what the core raised below the plugin, which passes as it is.
            is_reading: tells whether the core is just reading for it.

        Raises:
            AxisorError: what it raised on purpose.
            Unavailable: the time was over while the core was reading for it.
            PluginError: it raised anything else, or was not back in time (``plugin_timeout``); the message begins with
                distribution and version.
        """
        plugin = found.display_name
        try:
            return self._ask(found, what, partial(told, plugin, what, call, is_ours), seconds, is_reading)
        except PluginError:
            metrics.plugin_errors.add(plugin, "decide")
            raise

    def _ask(self, found: Found, what: str, call: Callable[[], T], seconds: float, is_reading: Callable[[], bool]) -> T:
        plugin = found.display_name
        with self._lock:
            if sum(not one.is_reading() for one in self._hung[plugin]) >= MOST_HUNG:
                raise PluginError(f"{plugin}: {MOST_HUNG} earlier calls hang; not asked again", code="plugin_timeout")
            decider = self._idle.pop() if self._idle else None
        decider = decider or _Decider()
        future: Future[T] = Future()
        decider.work.put((contextvars.copy_context(), call, future))
        try:
            error = future.exception(seconds)
        except TimeoutError:
            was_reading = is_reading()
            self._give_up(plugin, decider, future, is_reading)
            if was_reading:
                raise Unavailable(f"What {plugin} reads took longer than {seconds:g} s") from None
            if decider.thread is not None and found.module:
                decider.thread.stop(future, found.module.partition(".")[0])
            raise PluginError(f"{plugin}: {what} took longer than {seconds:g} s", code="plugin_timeout") from None
        with self._lock:
            self._idle.append(decider)
        if error is not None:
            raise error
        return future.result()

    def _give_up(self, plugin: str, decider: _Decider, future: Future[Any], is_reading: Callable[[], bool]) -> None:
        hung = _Hung(is_reading)
        with self._lock:
            self._hung[plugin].append(hung)

        def back(_: Future[Any]) -> None:
            with self._lock:
                self._hung[plugin].remove(hung)
                if not decider.is_stopped:
                    self._idle.append(decider)  # else every slow call would cost a thread for good

        future.add_done_callback(back)


def told(plugin: str, what: str, call: Callable[[], T], is_ours: Callable[[BaseException], bool]) -> T:
    """Return what ``call`` returns, in this thread; what it raises is turned into an error of ours.

    Raises:
        AxisorError, PluginError: as :meth:`Deciders.ask` does, but for the time.
    """
    # Of its own: the caller's would be shared with the plugin, its precision with every sum of the core's after it.
    with decimal.localcontext(decimal.Context()):
        try:
            return call()
        except BaseException as error:
            if is_ours(error):
                raise
            raise _plain(plugin, what, error) from None


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


@dataclass(frozen=True, slots=True, eq=False)
class _Hung:
    is_reading: Callable[[], bool]


class _Decider:
    def __init__(self) -> None:
        self.work: SimpleQueue[tuple[contextvars.Context, Callable[[], Any], Future[Any]]] = SimpleQueue()
        self.thread: Stoppable | None = None
        threading.Thread(target=self._serve, name="axisor-decide", daemon=True).start()

    @property
    def is_stopped(self) -> bool:
        return self.thread is not None and self.thread.is_stopped

    def _serve(self) -> None:
        self.thread = Stoppable()
        while not self.is_stopped:
            context, call, future = self.work.get()
            try:
                future.set_result(self.thread.call(partial(context.run, call), future))
            except BaseException as error:  # noqa: BLE001  it is told where the answer is waited for
                future.set_exception(error)
            del context, call, future
