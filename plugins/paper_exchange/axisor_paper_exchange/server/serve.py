"""Running the server until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from axisor_paper_exchange.server import api, control
from axisor_paper_exchange.server.answer import error
from axisor_paper_exchange.server.delivery import json_response
from axisor_paper_exchange.server.living import Living
from axisor_paper_exchange.server.opening import Opening
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.state import Keeper, StateError
from axisor_paper_exchange.server.world import World

__all__ = ["JOURNAL_SIZE", "Served", "run", "serving"]

JOURNAL_SIZE = 100_000
_SHUTDOWN_SECONDS = 0.2
_BACKLOG = 1024


class Served(NamedTuple):
    """A world that is served at a URL, and what keeps it in a file, if something does."""

    world: World
    url: str
    keeper: Keeper | None


class _NotTheClients(logging.Filter):
    """Lets through what went wrong here; a client that sends no HTTP, or hangs up halfway, is none of our errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


_logger = logging.getLogger("axisor_paper_exchange.http")
_logger.addFilter(_NotTheClients())


@contextlib.asynccontextmanager
async def serving(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    start: Settings | None = None,
    opening: Opening | None = None,
    journal_size: int = JOURNAL_SIZE,
    state: str | None = None,
    tls: ssl.SSLContext | None = None,
    stop: Callable[[], None] = lambda: None,
) -> AsyncIterator[Served]:
    """Serve a world while the context lasts: a new one, or the one that is in the file `state`.

    Port 0 takes a free one; with `tls` it speaks https and nothing else. `stop` is called when it can't go on; the
    context then ends with the reason. Raises `OSError` when the address can't be bound, `StateError` when the file
    can't be used.
    """
    world = World(start or Settings(), journal_size, opening)
    async with contextlib.AsyncExitStack() as stack:
        keeper = None if state is None else Keeper(state, world, api.routes, stop)
        if keeper is not None:
            stack.callback(keeper.close)
        living = Living(world)
        runner = web.ServerRunner(
            # Without handler cancellation a client that hangs up does not stop what it has asked for.
            web.Server(_handler(world, living), access_log=None, handler_cancellation=False, logger=_logger),
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG).start()
        await stack.enter_async_context(_background(living, stop))
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield Served(world, f"http{'s' if tls else ''}://{shown}:{bound[1]}", keeper)
    if keeper is not None and keeper.broken is not None:
        raise keeper.broken


async def run(
    ready: Callable[[Served], None],
    *,
    host: str,
    port: int,
    start: Settings,
    opening: Opening | None = None,
    journal_size: int = JOURNAL_SIZE,
    state: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once requests are accepted. Raises what `serving` does."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(
        host=host,
        port=port,
        start=start,
        opening=opening,
        journal_size=journal_size,
        state=state,
        tls=tls,
        stop=stopped.set,
    ) as served:
        ready(served)
        await stopped.wait()


@contextlib.asynccontextmanager
async def _background(living: Living, stop: Callable[[], None]) -> AsyncIterator[None]:
    """Let the market live while the context lasts; a market that dies stops the server."""
    task = asyncio.create_task(living.run())
    task.add_done_callback(lambda _: stop())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, StateError):
            await task


def _handler(world: World, living: Living) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    trading = api.Api(world).handle
    controlling = control.Control(world, living).handle
    trading_prefix = f"{api.PREFIX}/"

    async def handle(http: web.BaseRequest) -> web.StreamResponse:
        path = http.raw_path
        try:
            if path.startswith(trading_prefix):
                return await trading(http)
            if path.startswith(control.PREFIX):
                return await controlling(http)
        except StateError:
            return json_response(error(500, "STATE_NOT_WRITTEN", "The exchange's state can't be written"), world.clock)
        except web.HTTPRequestEntityTooLarge:
            return json_response(error(413, "BODY_TOO_LARGE", "The body is too large"), world.clock)
        return json_response(error(404, "NOT_FOUND", "Not found"), world.clock)

    return handle
