"""Running the server until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from axisor_paper_exchange.server import api, control
from axisor_paper_exchange.server.answer import error
from axisor_paper_exchange.server.delivery import json_response
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.world import World

__all__ = ["JOURNAL_SIZE", "run", "serving"]

JOURNAL_SIZE = 100_000
_SHUTDOWN_SECONDS = 0.2
_BACKLOG = 1024


class _NotTheClients(logging.Filter):
    """Lets through what went wrong here; a client that sends no HTTP, or hangs up halfway, is none of our errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError)


_logger = logging.getLogger("axisor_paper_exchange.http")
_logger.addFilter(_NotTheClients())


@contextlib.asynccontextmanager
async def serving(
    *, host: str = "127.0.0.1", port: int = 0, start: Settings | None = None, journal_size: int = JOURNAL_SIZE
) -> AsyncIterator[tuple[World, str]]:
    """Serve a new world while the context lasts; gives the world and the server's URL.

    Port 0 takes a free one. Raises `OSError` when the address can't be bound.
    """
    world = World(start or Settings(), journal_size)
    runner = web.ServerRunner(
        # Without handler cancellation a client that hangs up does not stop what it has asked for.
        web.Server(_handler(world), access_log=None, handler_cancellation=False, logger=_logger),
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        await site.start()
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield world, f"http://{shown}:{bound[1]}"
    finally:
        await runner.cleanup()


async def run(
    ready: Callable[[str], None], *, host: str, port: int, start: Settings, journal_size: int = JOURNAL_SIZE
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the URL once requests are accepted."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(host=host, port=port, start=start, journal_size=journal_size) as (_, url):
        ready(url)
        await stopped.wait()


def _handler(world: World) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    trading = api.Api(world).handle
    controlling = control.Control(world).handle
    trading_prefix = f"{api.PREFIX}/"

    async def handle(http: web.BaseRequest) -> web.StreamResponse:
        path = http.raw_path
        if path.startswith(trading_prefix):
            return await trading(http)
        if path.startswith(control.PREFIX):
            return await controlling(http)
        return json_response(error(404, "NOT_FOUND", "Not found"), world.clock)

    return handle
