"""A connection that keeps a total deadline, is reused only while fresh, and knows whether anything was written.

A socket's time-out is per operation: a server that sends one byte now and then would hold a thread for ever. Here
every single receive gets no more than what is left of the call's deadline, so nothing has to watch from outside.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from axisor_executor.exchange.incoming import Answer, read_answer
from axisor_executor.exchange.names import resolve

_PORTS = {"http": 80, "https": 443}
_RECEIVED_AT_ONCE = 65536
_WITH_BODY = frozenset({"POST", "PUT"})


class Attempt:
    """The request that a thread has under way: its limits, and how far it came.

    Attributes:
        unsent: certainly no byte of it has left.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Make an attempt that ``begin`` starts; ``clock`` is monotonic, in seconds."""
        self.clock = clock
        self.ends_at = self.connect_timeout = self.max_idle = 0.0
        self.unsent = False

    def begin(self, *, timeout: float, connect_timeout: float, max_idle: float) -> None:
        """Start the clock.

        Args:
            timeout: for the whole call (seconds).
            connect_timeout: the part of it that may pass until a new connection stands (seconds).
            max_idle: how long a kept connection may have been idle (seconds); else a new one is opened.
        """
        self.ends_at = self.clock() + timeout
        self.connect_timeout = connect_timeout
        self.max_idle = max_idle
        self.unsent = False  # it isn't certain before a connection says so

    def remaining(self) -> float:
        """Return the seconds left.

        Raises:
            TimeoutError: none are left.
        """
        return _left(self.ends_at - self.clock())


class Connection:
    """A connection to one origin, opened when it is needed and kept while that is safe. For one thread.

    To ``requests`` it is one of urllib3's pools.

    Attributes:
        host: as the ``Host`` header names it.
    """

    def __init__(self, origin: str, trust: Callable[[], ssl.SSLContext], attempt: Attempt) -> None:
        """Open nothing yet.

        Args:
            origin: ``http`` or ``https``, host and perhaps port.
            trust: makes the TLS context.
            attempt: what its thread has under way.

        Raises:
            ValueError: the origin can't be used.
        """
        self._sock: socket.socket | None = None
        self._last_used = 0.0
        parts = urlsplit(origin)
        self._name = (parts.hostname or "").rstrip(".")  # no certificate has the dot
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls = trust() if parts.scheme == "https" else None
        self._attempt = attempt
        shown = f"[{self._name}]" if ":" in self._name else self._name
        self.host = shown if self._port == _PORTS[parts.scheme] else f"{shown}:{self._port}"

    def urlopen(
        self, *, method: str, url: str, body: bytes | None, headers: Mapping[str, str], **_asked_otherwise: object
    ) -> Answer:
        """Write a request, once, and read the answer. Nothing else is done, whatever ``requests`` asks for.

        Args:
            method: the verb.
            url: path and query.
            body: sent as it is.
            headers: without those that this connection adds.

        Raises:
            ValueError: the request would be more than one.
            OSError, UnicodeError: there is no connection, or it broke.
            BrokenAnswer, AnswerTooLarge, http.client.HTTPException: the answer can't be read.
        """
        attempt = self._attempt
        request = _bytes_of(method, url, {"Host": self.host, **headers}, body or b"")
        sock = self._kept() or self._opened()
        try:
            sock.settimeout(attempt.remaining())
            attempt.unsent = False
            sock.sendall(request)

            def receive() -> bytes:
                sock.settimeout(attempt.remaining())
                return sock.recv(_RECEIVED_AT_ONCE)

            answer = read_answer(receive, method)
        except BaseException:  # what was not read must not be taken for the next account's answer
            sock.close()
            raise
        if answer.ends:
            sock.close()
        else:
            self._sock, self._last_used = sock, attempt.clock()
        return answer

    def close(self) -> None:
        """Close what is open."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __del__(self) -> None:
        """Close what an ended thread leaves."""
        self.close()

    def _kept(self) -> socket.socket | None:
        """Return the kept socket, unless it was idle for too long, is closed, or has more to read than its answer."""
        sock, self._sock = self._sock, None
        if sock is None:
            return None
        if self._attempt.clock() - self._last_used <= self._attempt.max_idle and not _is_readable(sock):
            return sock
        sock.close()
        return None

    def _opened(self) -> socket.socket:
        """Try the host's addresses in turn, all within the time to connect."""
        clock = self._attempt.clock
        until = clock() + min(self._attempt.connect_timeout, self._attempt.remaining())
        addresses = resolve(self._name, self._port, _left(until - clock()))
        failure: OSError = OSError("no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            try:
                sock = _open(family, kind, protocol, address, _left(until - clock()) / (len(addresses) - tried))
            except OSError as error:
                failure = error
            else:
                return sock if self._tls is None else self._secured(sock, self._tls, _left(until - clock()))
        raise failure

    def _secured(self, sock: socket.socket, tls: ssl.SSLContext, timeout: float) -> ssl.SSLSocket:
        try:
            sock.settimeout(timeout)  # of the whole handshake
            return tls.wrap_socket(sock, server_hostname=self._name)
        except BaseException:
            sock.close()
            raise


def _left(seconds: float) -> float:
    if seconds <= 0:
        raise TimeoutError("the call's deadline has passed")
    return seconds


def _bytes_of(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the request as it is written, in one piece: what was signed, and nothing re-encoded."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in _WITH_BODY:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if not head.count("\r") == head.count("\n") == len(lines) - 1 or target.count(" "):
        raise ValueError("a line of the request holds more than itself")
    return f"{head}\r\n\r\n".encode("latin-1") + body


def _is_readable(sock: socket.socket) -> bool:
    """Whether anything came, were it the end, that nobody asked for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _open(family: int, kind: int, protocol: int, address: Any, timeout: float) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock
