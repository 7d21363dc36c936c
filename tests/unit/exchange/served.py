"""An exchange on a real socket that answers each request as its test has registered, and keeps what arrived."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from axisor_executor.exchange import ExchangeOptions
from tests.unit.exchange.samples import DATE
from tests.unit.exchange.wire import PATIENCE, Peer, Script, Server

_WITHOUT_BODY = (204, 304)


@dataclass(frozen=True)
class Sent:
    """A request as it arrived; the names of its headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, request: bytes) -> Self:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(": ") for line in lines)
        return cls(method, target, {name.lower(): value for name, _, value in pairs}, body)

    @property
    def auth(self) -> dict[str, str]:
        """The headers that sign it."""
        return {name: value for name, value in self.headers.items() if name.startswith("lnm-")}


Answer = Callable[[Sent], bytes]


def answer(
    *,
    status: int = 200,
    value: Any = ...,
    body: str | bytes = b"",
    content_type: str = "text/plain",
    headers: dict[str, str] | None = None,
) -> bytes:
    """Return a whole answer: with ``value`` as JSON, or with this ``body``."""
    if value is not ...:
        body, content_type = json.dumps(value), "application/json" if content_type == "text/plain" else content_type
    sent = b"" if status in _WITHOUT_BODY else body.encode() if isinstance(body, str) else body
    given = {"Content-Type": content_type, **({"Date": DATE} if headers is None else headers)}
    given |= {} if status in _WITHOUT_BODY else {"Content-Length": str(len(sent))}
    lines = "".join(f"{name}: {text}\r\n" for name, text in given.items())
    return f"HTTP/1.1 {status} As Asked\r\n{lines}\r\n".encode() + sent


class Exchange(Server):
    """Answers what is registered, or does to every connection what a ``script`` says. A context manager.

    Attributes:
        calls: every request that arrived, in order.
    """

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(self._record(script) if script else self._serve)
        self._answers: dict[tuple[str, str], Answer] = {}
        self._arrived = threading.Semaphore(0)

    @property
    def options(self) -> ExchangeOptions:
        return ExchangeOptions("lnmarkets", self.url)

    @property
    def calls(self) -> list[Sent]:
        return [Sent.of(request) for request in self.requests]

    def register(self, method: str, path: str, given: bytes | Answer) -> None:
        """Answer such requests, whatever their query, from now on."""
        self._answers[method, path] = given if callable(given) else lambda _: given

    def await_call(self) -> None:
        """Wait until one more request has arrived."""
        assert self._arrived.acquire(timeout=PATIENCE)

    def _serve(self, peer: Peer) -> None:
        while request := peer.read():
            sent = Sent.of(request)
            self._arrived.release()
            peer.send(self._answers[sent.method, sent.target.partition("?")[0]](sent))

    def _record(self, script: Script) -> Script:
        def recording(peer: Peer) -> None:
            read = peer.read

            def reading() -> bytes:
                request = read()
                self._arrived.release()
                return request

            peer.read = reading  # type: ignore[method-assign]
            script(peer)

        return recording
