"""A worker that keeps account of where its time goes: ``python -m benchmarks.layers``, used by the breakdown.

Every function of the package and its plugins is put behind one that looks at the thread's CPU clock when a call leads
from one layer into another; time belongs to the innermost layer. A layer is a set of modules, so the account needs no
names of functions and fits any version of the package. What third parties' code takes (driver, HTTP library, redis)
belongs to the layer that calls it. What threads do outside of all that is told by thread. What the looking itself
costs is measured at the start and taken off.

Commands on standard input: ``mark`` prints the account so far as one line of JSON; the end of the input stops it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from dramatiq import Worker
from dramatiq.worker import WorkerThread

LAYERS = {
    "axisor_executor": "flow",
    "axisor_executor.actors": "flow",
    "axisor_executor.shared": None,
    "axisor_executor.redis_client": None,
    "axisor_executor.redis_script": None,
    "axisor_executor.ids": None,
    "axisor_executor.arithmetic": None,
    "axisor_executor.errors": None,
    "axisor_executor.jobs": "resolve",
    "axisor_executor.run.resolve": "resolve",
    "axisor_executor.run.acting": "resolve",
    "axisor_executor.run.reading": "resolve",
    "axisor_executor.run.kept": "resolve",
    "axisor_executor.storage.accounts": "resolve",
    "axisor_executor.credentials": "resolve",
    "axisor_executor.automation": "decide",
    "axisor_executor.plugins": "decide",
    "axisor_executor.run.decide": "decide",
    "axisor_executor.run.deciding": "decide",
    "axisor_executor.run.stopping": "decide",
    "axisor_executor.run.plain": "decide",
    "axisor_executor.run.anew": "decide",
    "axisor_executor.run.lent": "decide",
    "axisor_executor.run.reads": "decide",
    "axisor_executor.run.spend": "decide",
    "axisor_auto_entry": "decide",
    "axisor_margin_guard": "decide",
    "axisor_tp_sl": "decide",
    "axisor_executor.storage": "ledger",
    "axisor_executor.storage.connection": "SQL",
    "axisor_executor.storage.postgres": "SQL",
    "axisor_executor.storage.models": "SQL",
    "axisor_executor.exchange": "client",
    "axisor_executor.exchange.transport": "HTTP",
    "axisor_executor.exchange.connection": "HTTP",
    "axisor_executor.exchange.incoming": "HTTP",
    "axisor_executor.exchange.names": "HTTP",
    "axisor_executor.exchange.prices": "price",
    "axisor_executor.exchange.price_board": "price",
    "axisor_executor.exchange.own_thread": "price",
    "axisor_executor.exchange.ticker_text": "price",
    "axisor_executor.limits": "rates",
    "axisor_executor.observe": "metrics",
    "axisor_executor.observe.logs": "logging",
    "axisor_executor.observe.gathering": "logging",
    "axisor_executor.observe.tracing": "logging",
    "axisor_executor.workers": "metrics",
    "axisor_executor.storage.counts": "metrics",
    "axisor_executor.broker": "queue",
    "axisor_executor.consumer": "queue",
    "axisor_executor.queue_script": "queue",
    "axisor_executor.unreadable": "queue",
    "axisor_executor.recovery": "background",
    "axisor_executor.lifecycle": "background",
}
"""The layer of each module and of those below it; the longest name that fits counts.

``None``: not looked at, its time is the caller's (the clock would cost more than what it measures).
"""

THREADS = {
    "axisor-decide": "decide",
    "axisor-log": "logging",
    "axisor-": "background",
    "": "queue",
}
"""The layer of what a thread does outside of all layers, by the begin of its name."""

_VALUE = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b|\bNULL\b")
_clock = time.thread_time_ns
_wall = time.perf_counter_ns


def layer_of(module: str) -> str | None:
    """Return a module's layer."""
    name = module
    while name:
        if name in LAYERS:
            return LAYERS[name]
        name = name.rpartition(".")[0]
    return None


class Account:
    """One thread's time by layer: nanoseconds of CPU and of wall, calls into it, calls from it into others."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.stack: list[str] = []
        self.times: dict[str, list[int]] = {}
        self.cpu = self.wall = 0

    def enter(self, layer: str) -> None:
        """Go into another layer."""
        self._charge()
        if self.stack:
            self.times[self.stack[-1]][3] += 1
        self.stack.append(layer)
        self.times.setdefault(layer, [0, 0, 0, 0])[2] += 1

    def leave(self) -> None:
        """Come back from it."""
        self._charge()
        self.stack.pop()

    def _charge(self) -> None:
        cpu, wall = _clock(), _wall()
        if self.stack:
            times = self.times[self.stack[-1]]
            times[0] += cpu - self.cpu
            times[1] += wall - self.wall
        self.cpu, self.wall = cpu, wall


class _Accounts(threading.local):
    def __init__(self) -> None:
        self.account = Account()
        _all.append(self.account)


_all: list[Account] = []
_mine = _Accounts()


class _Watched:
    """A context manager whose entry and exit belong to a layer, and whose block does not."""

    def __init__(self, inner: Any, layer: str) -> None:
        self._inner = inner
        self._layer = layer

    def __enter__(self) -> Any:
        return watched(self._inner.__enter__, self._layer)()

    def __exit__(self, *error: Any) -> Any:
        return watched(self._inner.__exit__, self._layer)(*error)


def watched(function: Callable[..., Any], layer: str) -> Callable[..., Any]:
    """Return the function with its time kept account of."""

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        account = _mine.account
        stack = account.stack
        if stack and stack[-1] == layer:
            result = function(*given, **named)
        else:
            account.enter(layer)
            try:
                result = function(*given, **named)
            finally:
                account.leave()
        if isinstance(result, contextlib._GeneratorContextManager):
            return _Watched(result, layer)
        return result

    return call


class Overhead(NamedTuple):
    """What a call into another layer costs for being looked at, in nanoseconds of CPU: the one called, the caller."""

    called: float
    calling: float


def overhead(calls: int = 20_000) -> Overhead:
    """Measure what looking costs."""

    def nothing() -> None:
        pass

    inner = watched(nothing, "called")

    def call_watched() -> None:
        for _ in range(calls):
            inner()

    def call_plainly() -> None:
        for _ in range(calls):
            nothing()

    watched(call_watched, "calling")()
    watched(call_plainly, "plain")()
    times = _mine.account.times
    called, calling, plain = (times.pop(name)[0] / calls for name in ("called", "calling", "plain"))
    return Overhead(called, max(calling - plain, 0.0))


def watch() -> None:
    """Put everything that is imported by now behind the clock."""
    replaced: dict[Any, Any] = {}
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("axisor_")]
    for module in modules:
        layer = layer_of(module.__name__)
        if layer is not None:
            _watch_module(module, layer, replaced)
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, FunctionType) and value in replaced:
                setattr(module, name, replaced[value])


def _watch_module(module: ModuleType, layer: str, replaced: dict[Any, Any]) -> None:
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, FunctionType) and _is_plain(value):
            replaced[value] = watched(value, layer)
        elif isinstance(value, type) and not hasattr(value, "model_fields"):
            _watch_class(value, layer)


def _watch_class(kind: type, layer: str) -> None:
    for name, value in list(vars(kind).items()):
        if name.startswith("__") and name not in {"__call__", "__next__"}:
            continue
        made: Any = None
        if isinstance(value, FunctionType) and _is_plain(value):
            made = watched(value, layer)
        elif isinstance(value, staticmethod | classmethod) and _is_plain(value.__func__):
            made = type(value)(watched(value.__func__, layer))
        if made is not None:
            setattr(kind, name, made)


def _is_plain(function: Callable[..., Any]) -> bool:
    return not (inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function))


class Statements:
    """Counts what SQLite is asked; PostgreSQL counts itself."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._connect = sqlite3.connect
        sqlite3.connect = sqlite3.dbapi2.connect = self.connect  # type: ignore[assignment]

    def connect(self, *given: Any, **named: Any) -> sqlite3.Connection:
        """Connect, and listen."""
        connection: sqlite3.Connection = self._connect(*given, **named)
        connection.set_trace_callback(self._count)
        return connection

    def _count(self, statement: str) -> None:
        if not statement.startswith("--"):
            text = " ".join(_VALUE.sub("?", statement).split())
            self.counts[text] = self.counts.get(text, 0) + 1


def marked(statements: Statements | None, looking: Overhead) -> dict[str, Any]:
    """Return the account so far by layer: seconds of CPU of all threads, of wall of the one that carries jobs out."""
    layers: dict[str, list[float]] = {}
    for account in _all.copy():
        inside = 0.0
        carries_out = isinstance(account.thread, WorkerThread)  # others wait for work, which is no job's time
        for layer, (cpu, wall, calls, left) in list(account.times.items()):
            sums = layers.setdefault(layer, [0.0, 0.0, 0])
            sums[0] += (cpu - calls * looking.called - left * looking.calling) / 1e9
            sums[1] += wall / 1e9 if carries_out else 0.0
            sums[2] += calls
            inside += cpu / 1e9
        _add_rest(layers, account.thread, inside)
    known = {account.thread for account in _all}
    for thread in threading.enumerate():
        if thread not in known:
            _add_rest(layers, thread, 0.0)
    own = time.thread_time()
    return {"cpu": time.process_time() - own, "layers": layers, "statements": statements.counts if statements else {}}


def _add_rest(layers: dict[str, list[float]], thread: threading.Thread, inside: float) -> None:
    """Add what a thread did outside of all layers."""
    if thread is threading.main_thread() or thread.ident is None or not thread.is_alive():
        return
    clock = time.pthread_getcpuclockid(thread.ident)
    layer = next(layer for begin, layer in THREADS.items() if thread.name.startswith(begin))
    layers.setdefault(layer, [0.0, 0.0, 0])[0] += time.clock_gettime(clock) - inside


def main() -> None:
    """Run one worker thread on the queues of the environment's settings, until the input ends."""
    statements = Statements() if "--statements" in sys.argv else None
    from axisor_executor import actors, runtime

    _ = runtime.current().registry  # the plugins are imported
    looking = Overhead(0.0, 0.0)
    if "--watch" in sys.argv:
        looking = overhead()
        watch()
    worker = Worker(actors.broker, worker_threads=1)
    worker.start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "mark":
            print(json.dumps(marked(statements, looking)), flush=True)
    worker.stop(timeout=10_000)


if __name__ == "__main__":
    main()
