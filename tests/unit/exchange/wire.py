"""A server on a real socket that does exactly what a test tells it to, byte by byte."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.unit.exchange.samples import DATE

PATIENCE = 10.0  # no wait of a test's server lasts longer


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server

    def read(self) -> bytes:
        """Return the next whole request (and record it); empty if the client closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (received := self.sock.recv(65536)):
                return b""
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += self.sock.recv(65536)
        self.server.requests.append(head + b"\r\n\r\n" + body)
        return self.server.requests[-1]

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """Send a byte now and then until the client is gone."""
        for number in range(100_000):
            self.send(data[number % len(data) : number % len(data) + 1])
            if self.server.over.wait(0.02):
                return

    def wait_for_close(self) -> None:
        """Wait until the client closes its end."""
        while self.sock.recv(65536):
            pass
        self.server.client_closed.set()

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], None]


class Server:
    """Runs one script per accepted connection, the last one for all further ones. A context manager.

    Attributes:
        requests: every whole request read, over all connections, in order.
        connections: how many were accepted.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = scripts
        self.tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self.client_closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            self._peers.append(sock)
            self._threads.append(threading.Thread(target=self._run, args=(script, sock)))
            self._threads[-1].start()

    def _run(self, script: Script, sock: socket.socket) -> None:
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._peers.append(sock)
            script(Peer(sock, self))
        except OSError:
            pass  # the client went away, or the test is over
        finally:
            sock.close()


def http(value: Any, status: str = "200 OK", **headers: str) -> bytes:
    """Return a whole answer with ``value`` as JSON."""
    body = json.dumps(value).encode()
    given = {"Date": DATE, "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def answering(*answers: bytes) -> Script:
    """Return a script that answers each request on one connection, and then waits for the client to close."""

    def script(peer: Peer) -> None:
        for answer in answers:
            if not peer.read():
                return
            peer.send(answer)
        peer.wait_for_close()

    return script
