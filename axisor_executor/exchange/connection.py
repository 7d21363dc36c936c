"""Connections that keep a total deadline, are reused only while fresh, and know whether anything was written.

urllib3's time-outs are per socket operation: a server that sends one byte now and then holds a thread for ever. Here
every single receive gets no more than what is left of the call's deadline, so nothing has to watch from outside.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from axisor_executor.exchange.names import resolve


class Attempt:
    """The request a thread has under way: its limits, and how far it came.

    Attributes:
        connecting: a connection was looked for; from here on ``written`` is known for certain.
        written: the first byte of the request may have left.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Make an attempt that ``begin`` starts; ``clock`` is monotonic, in seconds."""
        self.clock = clock
        self.deadline = self.connect_timeout = self.max_idle = 0.0
        self.connecting = self.written = False

    def begin(self, *, timeout: float, connect_timeout: float, max_idle: float) -> None:
        """Start the clock: ``timeout`` for the whole call, ``max_idle`` for a kept-alive connection (seconds)."""
        self.deadline = self.clock() + timeout
        self.connect_timeout = connect_timeout
        self.max_idle = max_idle
        self.connecting = self.written = False

    def remaining(self) -> float:
        """Return the seconds left until the deadline.

        Raises:
            TimeoutError: none are left.
        """
        left = self.deadline - self.clock()
        if left <= 0:
            raise TimeoutError("the call's deadline has passed")
        return left


class _GuardedConnection(HTTPConnection):
    """One connection to the exchange, obeying the attempt under way in its thread."""

    def __init__(self, *args: Any, attempt: Attempt, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.attempt = attempt
        self.last_used = 0.0
        self.has_surplus = False

    def connect(self) -> None:
        self.attempt.connecting = True
        super().connect()
        self.last_used = self.attempt.clock()
        self.has_surplus = False

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request; a socket that was idle for too long, or that sent more than its answer, is replaced first."""
        self.attempt.connecting = True
        idle = self.attempt.clock() - self.last_used
        if self.sock is not None and (self.has_surplus or idle > self.attempt.max_idle):
            self.close()
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.attempt.remaining())
        self.attempt.written = True
        super().send(data)

    def response_class(  # type: ignore[override]
        self, sock: socket.socket, *args: Any, **kwargs: Any
    ) -> http.client.HTTPResponse:
        """Make the response object, its file replaced by one that keeps the deadline."""
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        response.fp = _AnswerFile(_GuardedReader(response.fp.detach(), sock, self))
        return response

    def _new_conn(self) -> socket.socket:
        """Try the host's addresses in turn, all within the time to connect."""
        attempt = self.attempt
        patience = min(attempt.connect_timeout, attempt.remaining())
        until = attempt.clock() + patience
        try:
            addresses = resolve(self.host, self.port, patience)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"{self.host} can't be resolved") from error
        failure: OSError = OSError("no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            patience = max(until - attempt.clock(), 0.001) / (len(addresses) - tried)
            try:
                sock = _open(family, kind, protocol, address, patience, self.socket_options or ())
            except OSError as error:
                failure = error
            else:
                sock.settimeout(max(until - attempt.clock(), 0.001))  # what is left is for the TLS handshake
                return sock
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from failure
        raise NewConnectionError(self, f"no connection to {self.host}") from failure


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    """The same over TLS."""


class GuardedPools(PoolManager):
    """urllib3's pools, making connections that obey ``attempt``. For one thread."""

    def __init__(self, attempt: Attempt, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attempt = attempt

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        connection = _GuardedTLSConnection if scheme == "https" else _GuardedConnection
        pool.ConnectionCls = partial(connection, attempt=self.attempt)  # type: ignore[assignment]
        return pool


class _GuardedReader(io.RawIOBase):
    """The receiving side of a socket: each receive waits for what is left of the deadline and no longer."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, connection: _GuardedConnection) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._connection = connection
        self._ended = False

    def end(self) -> None:
        """Receive nothing more."""
        self._ended = True

    def note_surplus(self) -> None:
        """Keep the connection from being used again."""
        self._connection.has_surplus = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ended:
            return 0
        attempt = self._connection.attempt
        self._sock.settimeout(attempt.remaining())
        received: int | None = self._raw.readinto(buffer)
        self._connection.last_used = attempt.clock()
        return received

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _AnswerFile(io.BufferedReader):
    """One answer as it is read. What was received beyond its end must not be taken for the next account's answer."""

    def __init__(self, raw: _GuardedReader) -> None:
        super().__init__(raw)
        self._guarded = raw

    def close(self) -> None:
        if not self.closed:
            self._guarded.end()
            if self.peek(1):
                self._guarded.note_surplus()
        super().close()


def _open(family: int, kind: int, protocol: int, address: Any, timeout: float, options: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.settimeout(timeout)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
