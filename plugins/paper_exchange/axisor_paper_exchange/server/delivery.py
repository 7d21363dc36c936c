"""How an answer reaches the client, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple, NoReturn

from aiohttp import web

from axisor_paper_exchange.server.answer import Answer, error
from axisor_paper_exchange.server.clock import Clock
from axisor_paper_exchange.server.faults import Fault, FaultKind
from axisor_paper_exchange.server.journal import Request

__all__ = ["Passage", "json_response", "plain", "through"]

_JSON = "application/json; charset=utf-8"
_SERVER = "axisor-paper-exchange"


class Passage(NamedTuple):
    """A request on its way through a fault: `admit` authenticates it now, what that returns carries it out."""

    fault: Fault
    request: Request
    clock: Clock
    http: web.BaseRequest
    admit: Callable[[], Callable[[], Answer]]

    def act(self) -> Answer:
        """Authenticate the request and carry it out, now."""
        return self.admit()()

    def plain(self, answer: Answer) -> web.Response:
        """Return the answer as it should be."""
        return plain(answer, self.request, self.clock)


def plain(answer: Answer, request: Request, clock: Clock) -> web.Response:
    """Return the answer as it should be."""
    request.status = answer.status
    return json_response(answer, clock)


def json_response(answer: Answer, clock: Clock) -> web.Response:
    """Return an answer that is in no journal."""
    headers = _headers(clock)
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def through(passage: Passage) -> web.StreamResponse:
    """Carry a request out, and answer it, as its fault wants it."""
    return await _faults[passage.fault.kind](passage)


async def _latency(passage: Passage) -> web.StreamResponse:
    answer = passage.act()
    await asyncio.sleep(passage.fault.duration())
    return passage.plain(answer)


async def _stall(passage: Passage) -> web.StreamResponse:
    await asyncio.sleep(passage.fault.duration())
    return _Cut()


async def _drop_before(_: Passage) -> web.StreamResponse:
    return _Cut()


async def _drop_after(passage: Passage) -> web.StreamResponse:
    passage.act()
    return _Cut()


async def _act_late(passage: Passage) -> web.StreamResponse:
    carry_out = passage.admit()
    await asyncio.sleep(passage.fault.duration())
    return passage.plain(carry_out())


async def _status_before(passage: Passage) -> web.StreamResponse:
    return _status(passage)


async def _status_after(passage: Passage) -> web.StreamResponse:
    passage.act()
    return _status(passage)


async def _rate_limit(passage: Passage) -> web.StreamResponse:
    fault = passage.fault
    answer = error(fault.status, "RATE_LIMIT_EXCEEDED", "Too many requests")
    return passage.plain(answer._replace(retry_after=1 if fault.retry_after is None else fault.retry_after))


async def _malformed(passage: Passage) -> web.StreamResponse:
    body = passage.act().body
    passage.request.status = 200
    return web.Response(body=body[: len(body) // 2], headers=_headers(passage.clock))


async def _truncated(passage: Passage) -> web.StreamResponse:
    answer = passage.act()
    passage.request.status = answer.status
    head = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    head += [f"{name}: {value}" for name, value in _headers(passage.clock).items()]
    head += [f"Content-Length: {len(answer.body)}", "", ""]
    return _Cut("\r\n".join(head).encode() + answer.body[: len(answer.body) // 2])


async def _wrong_content_type(passage: Passage) -> web.StreamResponse:
    passage.act()
    passage.request.status = 200
    headers = _headers(passage.clock) | {"Content-Type": "text/html; charset=utf-8"}
    return web.Response(body=b"<!doctype html><title>One moment</title><p>Please wait.", headers=headers)


async def _slow_bytes(passage: Passage) -> web.StreamResponse:
    answer = passage.act()
    passage.request.status = answer.status
    response = web.StreamResponse(status=answer.status, headers=_headers(passage.clock))
    response.content_length = len(answer.body)
    pause = passage.fault.duration() / max(1, len(answer.body))
    try:
        await response.prepare(passage.http)
        for at in range(len(answer.body)):
            await response.write(answer.body[at : at + 1])
            await asyncio.sleep(pause)
    except ConnectionError:
        return _Cut()
    return response


_faults: dict[FaultKind, Callable[[Passage], Awaitable[web.StreamResponse]]] = {
    "latency": _latency,
    "stall": _stall,
    "drop_before": _drop_before,
    "drop_after": _drop_after,
    "act_late": _act_late,
    "status_before": _status_before,
    "status_after": _status_after,
    "rate_limit": _rate_limit,
    "malformed": _malformed,
    "truncated": _truncated,
    "wrong_content_type": _wrong_content_type,
    "slow_bytes": _slow_bytes,
}


class _Cut(web.StreamResponse):
    """No answer, or the beginning of one, and then the end of the connection."""

    def __init__(self, sent: bytes = b"") -> None:
        super().__init__()
        self._sent = sent

    async def prepare(self, request: web.BaseRequest) -> NoReturn:
        """Write what is to be sent, and close; the exception tells aiohttp that the connection is gone."""
        transport = request.transport
        if transport is not None:
            transport.write(self._sent)
            transport.close()
        raise ConnectionResetError


def _status(passage: Passage) -> web.Response:
    fault = passage.fault
    answer = error(fault.status, "PAPER_FAULT", HTTPStatus(fault.status).phrase)
    return passage.plain(answer._replace(retry_after=fault.retry_after))


def _headers(clock: Clock) -> dict[str, str]:
    return {"Content-Type": _JSON, "Date": clock.http_date(), "Server": _SERVER}
