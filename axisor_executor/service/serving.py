"""Serve the application with uvicorn, and stop it so that no client is left hanging."""

from __future__ import annotations

import socket
from types import FrameType

import uvicorn

from axisor_executor.errors import AxisorError
from axisor_executor.observe.logs import say
from axisor_executor.runtime import Runtime
from axisor_executor.service.app import create_app
from axisor_executor.service.waiting import Waiting


class Server(uvicorn.Server):
    """A server that lets nobody wait any more once it has been told to stop."""

    def __init__(self, config: uvicorn.Config, waiting: Waiting) -> None:
        super().__init__(config)
        self._waiting = waiting

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, on a signal; a second one stops at once.

        Unlike uvicorn's own, it does not kill the process with the signal in the end: the runtime is closed first.
        """
        del sig, frame
        self._waiting.release()
        self.force_exit, self.should_exit = self.should_exit, True


def run(runtime: Runtime, host: str, port: int) -> None:
    """Serve the HTTP API until a signal ends it; requests that have begun are answered.

    Raises:
        AxisorError: the address can't be had (500, ``address_unavailable``).
    """
    app = create_app(runtime)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,  # a query may name people
        server_header=False,
        timeout_graceful_shutdown=max(int(runtime.settings.shutdown_seconds), 1),
    )
    with _listening(host, port) as listener:
        address = f"[{host}]" if ":" in host else host
        say.info(f"HTTP API ready on http://{address}:{listener.getsockname()[1]}", mark="🌐")
        Server(config, app.state.parts.waiting).run([listener])
    say.info("HTTP API stopped")


def _listening(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise AxisorError(f"can't listen on {host} port {port}: {error}", code="address_unavailable") from None
    # asyncio does this for listeners of its own only; without it each answer on a kept-alive connection takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
