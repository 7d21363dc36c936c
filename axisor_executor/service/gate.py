"""The gate that every request passes: who asks, how often, how much; and what no answer may lack or hold."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from axisor_executor.errors import AxisorError, StorageError
from axisor_executor.observe.logs import say
from axisor_executor.service.callers import CALLER, Caller, identify
from axisor_executor.service.console.refusals import refusal
from axisor_executor.service.parts import Parts
from axisor_executor.service.rates import Rates
from axisor_executor.storage.connection import BROKEN

OPEN = frozenset({"/healthz", "/login", "/console/console.css", "/console/icon.svg"})
"""The paths that need no token: the login page with what it looks like, and whether the process answers."""
PAUSE = ("POST", "/api/switches")
"""The method and the path that stop things."""
MAX_BODY = 32_768
"""Bytes of the largest body; a job has at most 16 384."""
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FAILED = "the request failed; the log has the reason"


class Gate:
    """Stands before the routes, so that what they forget is refused: an unknown path needs a token, too."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self.app = app
        self.parts = parts
        self._rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # start and stop; there are no websockets
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        caller: Caller | None = None
        try:
            path = _path(scope)
            if path not in OPEN:
                caller = await run_in_threadpool(self._admit, scope, path)
                scope[CALLER] = caller
            await self.app(scope, _bounded(scope, receive), answer.send)
        except ClientDisconnect:  # nobody is there to be answered, and nothing of ours failed
            return
        except Exception as error:
            if answer.has_begun:
                raise
            await refusal(scope, _path(scope), _told(error, caller))(scope, receive, answer.send)

    def _admit(self, scope: Scope, path: str) -> Caller:
        parts = self.parts.runtime
        with parts.storage.connection():
            caller = identify(parts.storage, scope, path)
        # Counted apart: whoever has asked too often must still be able to stop.
        what = "pauses" if (scope["method"], path) == PAUSE else "requests"
        most = parts.settings.http_requests_per_minute
        self._rates.take(f"{caller.token.id} {what}", most, f"{what} a minute with this token")
        return caller


class _Answer:
    """Puts the security headers on, and knows whether anything has left yet."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _path(scope: MutableMapping[str, Any]) -> str:
    """Return the path within this application, wherever it is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Return ``receive``, but with a limit to the body, whatever its announced length."""
    announced = Headers(scope=scope).get("content-length", "0")
    if not announced.isdecimal() or int(announced) > MAX_BODY:
        raise _too_large()
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY:
            raise _too_large()
        return message

    return bounded


def _too_large() -> AxisorError:
    return AxisorError(f"a body may have at most {MAX_BODY} bytes", code="body_too_large", status=413)


def _told(error: Exception, caller: Caller | None) -> AxisorError:
    """Return what is told of an error: ours as it is, the rest without a word of it.

    Before anybody has shown a token, what is not the request's own fault may name hosts and settings: its code alone.
    """
    if isinstance(error, AxisorError):
        if caller is not None or error.status < 500:
            return error
        say.warning(f"A request failed before its token was looked at: {error}")
        return AxisorError(_FAILED, code=error.code, status=error.status)
    if isinstance(error, BROKEN):
        say.warning(f"The database failed during a request: {type(error).__name__}")
        return StorageError("the database is away; try again", code="database_unavailable", status=503)
    say.crash(f"A request failed: {type(error).__name__}")
    return AxisorError(_FAILED)
