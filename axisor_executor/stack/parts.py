"""What a stack runs: Redis, the paper exchange, workers, the HTTP API, and who brings paper jobs."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from axisor_executor.automation import Lane
from axisor_executor.embedded import ChildProcess, PrivateRedis
from axisor_executor.embedded.paper import MODULE as PAPER
from axisor_executor.embedded.paper import announced_url
from axisor_executor.errors import EmbeddedServerError, StorageError
from axisor_executor.storage.connection import Storage

START_SECONDS: Final = 60.0
HTTP_EXTRA: Final = ("fastapi", "jinja2", "limits", "prometheus_client", "uvicorn")
_PROBE_SECONDS = 2.0
_MARKET = ("--walk", "--volatility", "0.05", "--interval", "1", "--speed", "60")
"""A day of market time in 24 minutes, so that there is something to see."""


@dataclass(frozen=True)
class Home:
    """What all children of a stack have in common.

    Attributes:
        logs: the folder of their output.
        env: their environment.
        grace: seconds that they get to stop.
        lifeline: of the guard that stops them should this process die.
    """

    logs: Path
    env: Mapping[str, str]
    grace: float
    lifeline: int


class Redis:
    """A private Redis; it comes back on the same port, empty, and nothing in it is needed."""

    name = "redis"

    def __init__(self, server: PrivateRedis) -> None:
        self.server = server

    @property
    def pid(self) -> int | None:
        try:
            return self.server.pid
        except EmbeddedServerError:
            return None

    @property
    def ending(self) -> str | None:
        return None if self.server.running else "has ended"

    def start(self, stopping: threading.Event) -> None:  # noqa: ARG002  a part's signature; it takes no time
        self.server.start()

    def stop(self) -> None:
        self.server.stop()


class Program:
    """A Python module in a process of its own.

    Args:
        name: what people call it; its log is called so, too.
        home: what it has in common with the others.
        arguments: the module and its arguments.
        ready: is asked, with the process and where its output of this run begins, until it says yes.
    """

    def __init__(
        self, name: str, home: Home, *arguments: str, ready: Callable[[ChildProcess, int], bool] = lambda *_: True
    ) -> None:
        self.name = name
        self._home = home
        self._arguments = arguments
        self._ready = ready
        self._child: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.running else None

    @property
    def ending(self) -> str | None:
        if self._child is None:
            return "is not there"
        status = self._child.returncode
        if status is None:
            return None
        return f"was ended by {_signal_name(-status)}" if status < 0 else f"has ended with status {status}"

    def start(self, stopping: threading.Event) -> None:
        home = self._home
        self._child = child = ChildProcess(
            [sys.executable, "-m", *self._arguments],
            output=home.logs / f"{self.name}.log",
            env=home.env,
            cwd=home.logs.parent,
            name=self.name,
            grace=home.grace,
            lifeline=home.lifeline,
        )
        try:
            written = child.mark()
            child.start()
            child.wait_until(
                lambda: stopping.is_set() or self._ready(child, written),
                timeout=START_SECONDS,
                what="the point where it is ready",
            )
        except BaseException:
            child.stop()  # one that hangs would pass for one that runs
            raise

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()


def paper_exchange(home: Home, port: int, state: Path) -> Program:
    """Return the paper exchange with a market that walks, and a state that it keeps."""

    def announced(child: ChildProcess, written: int) -> bool:
        return '{"url"' in child.text(written) and bool(announced_url(child, timeout=1.0, since=written))

    market = () if state.exists() else _MARKET  # a state knows its market
    return Program("paper-exchange", home, PAPER, "--port", str(port), "--state", str(state), *market, ready=announced)


def worker(home: Home, lane: Lane, storage: Storage, *, processes: int, threads: int) -> Program:
    """Return the workers of a lane; ready when each process has announced itself in the database."""

    def announced(child: ChildProcess, written: int) -> bool:  # noqa: ARG001  a level may hide every line of its log
        try:
            with storage.explained():
                found = storage.rows("SELECT pid FROM axisor_workers WHERE host = ?", socket.gethostname())
        except StorageError:
            return False
        return sum(_is_of_group(pid, child.pid) for (pid,) in found) >= processes

    options = ("--queues", lane, "--processes", str(processes), "--threads", str(threads))
    return Program(f"worker-{lane}", home, "dramatiq", "axisor_executor.actors", *options, ready=announced)


def http_api(home: Home, port: int) -> Program:
    """Return the HTTP API on a loopback port; ready when it answers there."""

    def answers(child: ChildProcess, written: int) -> bool:  # noqa: ARG001  as above
        return _answers(f"http://127.0.0.1:{port}/healthz")

    return Program("http-api", home, "axisor_executor.cli", "serve", "--port", str(port), ready=answers)


def paper_jobs(home: Home, every_seconds: float) -> Program:
    """Return what brings a job for each paper automation again and again."""
    return Program("paper-jobs", home, "axisor_executor.stack.paper_jobs", str(every_seconds))


def http_extra_missing() -> str | None:
    """Return a module of the extra ``http`` that is not installed."""
    return next((name for name in HTTP_EXTRA if importlib.util.find_spec(name) is None), None)


def require_paper() -> None:
    """Raise where the paper exchange is not installed."""
    if importlib.util.find_spec(PAPER) is None:
        raise EmbeddedServerError(
            "--paper needs axisor-paper-exchange, which is not installed: pip install 'axisor-executor[demo]'"
        )


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_PROBE_SECONDS) as answer:
            return int(answer.status) == HTTPStatus.NO_CONTENT
    except (OSError, urllib.error.URLError):
        return False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have none
        return f"signal {number}"


def _is_of_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False
