"""The request path of `/v3`: journal, fault, signature, endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from aiohttp import web

from axisor_paper_exchange.engine import Account, Rejected
from axisor_paper_exchange.server import cross, funding, isolated, market_data, public, wallet_api
from axisor_paper_exchange.server.answer import Answer, error, rejected
from axisor_paper_exchange.server.auth import ACCESS_KEY, TIMESTAMP, authenticate
from axisor_paper_exchange.server.call import Call, Route, Routes
from axisor_paper_exchange.server.calls import carry_out
from axisor_paper_exchange.server.commands import reserve_requests
from axisor_paper_exchange.server.delivery import Passage, plain, through
from axisor_paper_exchange.server.journal import Request
from axisor_paper_exchange.server.world import World

__all__ = ["PREFIX", "Api", "routes"]

PREFIX = "/v3"
routes: Routes = {
    (method, PREFIX + path): route
    for module in (public, market_data, funding, wallet_api, isolated, cross)
    for (method, path), route in module.routes.items()
}
_RESERVED = 10_000
_NOT_FOUND = error(404, "NOT_FOUND", "Not found")
_TOO_MANY = error(429, "RATE_LIMIT_EXCEEDED", "Too many requests")
_RESET = error(503, "UNAVAILABLE", "The exchange was reset")


class Api:
    """The API of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to `/v3`, through the fault that befalls it if one does."""
        target = http.raw_path
        body = await http.read() if http.can_read_body else b""
        world = self._world
        headers = http.headers
        key = headers.get(ACCESS_KEY)
        path, _, query = target.partition("?")
        request = world.journal.arrive(
            at=world.clock.now(),
            key=key,
            method=http.method,
            path=path,
            query=query,
            body=body,
            timestamp=headers.get(TIMESTAMP),
        )
        if world.recorder is not None and request.seq > world.reserved:
            world.do(reserve_requests, last=request.seq + _RESERVED)
        credentials = world.keys.get(key) if key is not None else None
        if credentials is not None:
            request.account_id = credentials.account.id
        if len(world.faults) and (fault := world.faults.strike(http.method, path, request.account_id)):
            request.fault = fault.kind
            return await through(Passage(fault, request, world.clock, http, lambda: self._admit(request, http)))
        return plain(self._admit(request, http)(), request, world.clock)

    def _admit(self, request: Request, http: web.BaseRequest) -> Callable[[], Answer]:
        """Find the endpoint and who signed, now; what is returned carries the request out, then or later."""
        route = routes.get((request.method, request.path))
        if route is None:
            return partial(_answer, request, _NOT_FOUND)
        wait = self._wait(route, request, http)
        if wait:
            return partial(_answer, request, _TOO_MANY._replace(retry_after=wait))
        headers = http.headers
        try:
            _check_content_type(request, headers)
            account = self._signer(route, request, headers) if route.private else None
        except Rejected as reason:
            return partial(_answer, request, rejected(reason))
        return partial(self._carry_out, route, Call(self._world, request, account))

    def _carry_out(self, route: Route, call: Call) -> Answer:
        if call.exchange is not self._world.exchange:
            return _answer(call.request, _RESET)
        call.at = self._world.clock.now()
        return _answer(call.request, carry_out(route, call))

    def _wait(self, route: Route, request: Request, http: web.BaseRequest) -> int:
        """Return for how many seconds the caller has to wait, 0 when the rate limits let the request in."""
        settings = self._world.settings
        rate = settings.private_rate if route.private else settings.public_rate
        if not rate:
            return 0
        caller = f"key {request.key}" if route.private else f"address {http.remote}"
        return self._world.limits.wait(caller, rate)

    def _signer(self, route: Route, request: Request, headers: Mapping[str, str]) -> Account:
        world = self._world
        return authenticate(
            world.keys.get(request.key) if request.key is not None else None,
            headers,
            method=request.method,
            path=request.path,
            query=request.query,
            body=request.body,
            now=world.clock.now(),
            window=world.settings.window,
            permission=route.needs(request.method),
        )


def _answer(request: Request, answer: Answer) -> Answer:
    """Write down what the exchange answers."""
    request.outcome = answer.status
    request.answer = answer.body
    return answer


def _check_content_type(request: Request, headers: Mapping[str, str]) -> None:
    kind = headers.get("Content-Type", "")
    if request.method == "GET" and (request.body or kind):
        raise Rejected("A GET request must have neither a body nor a Content-Type")
    if request.body and kind.partition(";")[0].strip().lower() != "application/json":
        raise Rejected("Content-Type must be application/json", code="UNSUPPORTED_MEDIA_TYPE", status=415)
