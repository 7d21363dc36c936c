"""One answer, read by ``http.client`` and taken only if it can be understood in one way.

A connection serves many accounts, so where an answer ends decides whose answer the next one is. Nothing here knows
of sockets or clocks.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from http.client import HTTPMessage, HTTPResponse, RemoteDisconnected
from typing import Any, NamedTuple, Self

MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Of a body, as sent and after unpacking."""

_MAX_RECEIVED = 2 * MAX_ANSWER_BYTES  # with heads, and what chunks cost
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


class BrokenAnswer(Exception):
    """What came is no complete HTTP answer. The message shows nothing of it."""


class AnswerTooLarge(Exception):
    """The body is larger than :data:`MAX_ANSWER_BYTES`."""


class Answer(NamedTuple):
    """A complete answer. The names of its headers are in lower case; ``ends``: the connection is of no more use."""

    status: int
    headers: dict[str, str]
    data: bytes
    ends: bool


def read_answer(receive: Callable[[], bytes], method: str) -> Answer:
    """Read the answer to a request.

    Args:
        receive: returns the next bytes that come; none at the end.
        method: of the request.

    Raises:
        BrokenAnswer, http.client.HTTPException, RemoteDisconnected: it is none, or ends too early.
        AnswerTooLarge: it is too large.
    """
    incoming = _Incoming(receive)
    response = _begun(incoming, method)
    while response.status < 200:  # the answer is still to come
        response = _begun(incoming, method)
    headers = _joined(response.headers)
    _check_framing(response, headers)
    ends = response.will_close
    data = _unpacked(_body(response), headers.get("content-encoding", ""))
    # What came beyond its end must not be taken for the next account's answer.
    return Answer(response.status, headers, data, ends or incoming.has_more)


class _Incoming:
    """What has come and is not used yet, as the socket and the file that ``http.client`` asks for."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._data = bytearray()
        self._received = 0

    @property
    def has_more(self) -> bool:
        """Whether anything is left."""
        return bool(self._data)

    def makefile(self, _mode: str) -> Self:
        return self

    def readline(self, limit: int) -> bytes:
        """Return a whole line, or ``limit`` bytes of one that is longer; one that is cut off is none."""
        while not (end := self._data.find(b"\n") + 1) and len(self._data) < limit:
            if not self._more():
                raise RemoteDisconnected("the connection ended first")
        return self._taken(min(end or limit, limit))

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer at the end of the connection."""
        if size < 0:
            raise BrokenAnswer("a length is less than nothing")
        while len(self._data) < size and self._more():
            pass
        return self._taken(size)

    def flush(self) -> None:
        """Do nothing, as files that are only read do."""

    def close(self) -> None:
        """Do nothing: the connection outlives its answers."""

    def _more(self) -> bool:
        received = self._receive()
        self._data += received
        self._received += len(received)
        if self._received > _MAX_RECEIVED:
            raise AnswerTooLarge
        return bool(received)

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken


def _begun(incoming: Any, method: str) -> HTTPResponse:
    response = HTTPResponse(incoming, method=method)
    response.begin()
    return response


def _joined(message: HTTPMessage) -> dict[str, str]:
    headers: dict[str, str] = {}
    for given, value in message.items():
        name = given.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _check_framing(response: HTTPResponse, headers: Mapping[str, str]) -> None:
    """Refuse what ``http.client`` guesses at."""
    if response.headers.defects:
        raise BrokenAnswer("a header is none")
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None and (length is not None or coding.lower() != "chunked"):
        raise BrokenAnswer("its length can't be told")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):
        raise BrokenAnswer("its length is no number")


def _body(response: HTTPResponse) -> bytes:
    if not response.length:  # none (0), one in chunks, or one that goes on to the end of the connection (None)
        return b"" if response.length == 0 else _checked(response.read(MAX_ANSWER_BYTES + 1))
    if response.length > MAX_ANSWER_BYTES:
        raise AnswerTooLarge
    return response.read()


def _checked(body: bytes) -> bytes:
    if len(body) > MAX_ANSWER_BYTES:
        raise AnswerTooLarge
    return body


def _unpacked(body: bytes, coding: str) -> bytes:
    """Return the body of an answer that was packed though nobody asked for it."""
    if coding.lower() in {"", "identity"}:
        return body
    if coding.lower() not in _PACKED:
        raise BrokenAnswer("its content is coded in another way than can be read")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, as its begin says
    try:
        plain = _checked(unpacking.decompress(body, MAX_ANSWER_BYTES + 1))
    except zlib.error:
        raise BrokenAnswer("its content can't be unpacked") from None
    if not unpacking.eof or unpacking.unused_data:
        raise BrokenAnswer("its content is not all there")
    return plain
