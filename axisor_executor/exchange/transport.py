"""HTTP to the exchange on ``requests``: a session per thread, one attempt per request, one deadline per attempt.

A session serves many accounts, so it keeps nothing of any of them: no cookies, no authentication, no proxies or
``.netrc`` from the environment, no redirects. A request is written at most once; a failure says whether it was.
Between ``requests`` and the socket stands a connection of our own, which knows.
"""

from __future__ import annotations

import functools
import http.cookiejar
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

from axisor_executor.exchange.connection import Attempt, Connection

FRESH_SECONDS = 2.0
"""A call that changes something uses a kept-alive connection only if it was used within so many seconds."""
READ_FRESH_SECONDS = 30.0
"""The same for reads, where a connection that a firewall forgot costs a time-out but no uncertainty."""

_MAX_CONNECTIONS = 16

if not hasattr(HTTPAdapter, "get_connection_with_tls_context"):
    # It would send on connections of its own, which keep no deadline and don't tell whether anything was written.
    raise ImportError(f"requests 2.32.2 or newer is needed, this is {requests.__version__}")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, byte for byte as it will be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    mutating: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer. ``sent_at`` and ``received_at`` are this machine's clock, seconds since the epoch."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent_at: float = 0.0
    received_at: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class NoReply:
    """No complete answer. ``unsent``: certainly no byte of the request left. ``cause``: an exception's class name."""

    unsent: bool
    cause: str


class Transport:
    """Sends requests. Shared by all threads of a process; each gets its own session and connections."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, tls: ssl.SSLContext | None = None) -> None:
        """Make a transport with a monotonic ``clock`` (seconds); ``tls`` replaces the usual trust in certifi."""
        self._clock = clock
        self._trust = _trust if tls is None else lambda: tls
        self._local = threading.local()

    def exchange(self, request: Request, *, timeout: float, connect_timeout: float) -> Reply | NoReply:
        """Send ``request`` once and return what came of it; never raises for anything the network does.

        Args:
            request: what to send.
            timeout: the deadline of the whole call, from name resolution to the last byte of the answer (seconds).
            connect_timeout: the part of it that may pass until the connection stands (seconds).
        """
        session = self._session()
        attempt: Attempt = self._local.attempt
        attempt.begin(
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_idle=FRESH_SECONDS if request.mutating else READ_FRESH_SECONDS,
        )
        sent_at = time.time()
        try:
            response = session.get_adapter(request.url).send(_prepared(request))  # the attempt keeps the time
        except Exception as error:  # noqa: BLE001 - whatever happened, the one question is whether the request left
            return NoReply(unsent=attempt.unsent, cause=_cause(error))
        return Reply(response.status_code, response.headers, response.content, sent_at, time.time())

    def close(self) -> None:
        """Close the calling thread's connections."""
        session = getattr(self._local, "session", None)
        if session is not None:
            session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None or self._local.pid != os.getpid():
            # After a fork, the parent's connections must not be written to; dropping them closes only our copies.
            self._local.attempt = Attempt(self._clock)
            self._local.session = session = _new_session(_Adapter(self._local.attempt, self._trust))
            self._local.pid = os.getpid()
        return session


class _Adapter(HTTPAdapter):
    """requests' adapter, sending on connections of our own."""

    def __init__(self, attempt: Attempt, trust: Callable[[], ssl.SSLContext]) -> None:
        self._attempt = attempt
        self._trust = trust
        self._connections: dict[str, Connection] = {}
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(  # type: ignore[override]
        self, request: requests.PreparedRequest, *_: Any, **__: Any
    ) -> Connection:
        """Return the connection to the request's origin; its TLS context verifies, always."""
        self._attempt.unsent = True
        origin = _divided(request.url or "")[0]
        connection = self._connections.get(origin)
        if connection is None:
            if len(self._connections) >= _MAX_CONNECTIONS:
                self._connections.pop(next(iter(self._connections))).close()
            connection = self._connections[origin] = Connection(origin, self._trust, self._attempt)
        return connection

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the connection's TLS context verifies."""

    def request_url(self, request: requests.PreparedRequest, *_: Any) -> str:
        """Return path and query as they were signed."""
        return _divided(request.url or "")[1]

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return a whole answer, of which nothing is kept elsewhere."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response._content = resp.data
        response.url = req.url or ""
        response.request = req
        return response

    def close(self) -> None:
        """Close all connections."""
        super().close()
        for connection in self._connections.values():
            connection.close()


@functools.cache
def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _new_session(adapter: HTTPAdapter) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _prepared(request: Request) -> requests.PreparedRequest:
    # Filled by hand: nothing may re-encode what was signed, and it costs a fraction of Session.request.
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(request.headers)
    prepared.body = request.body
    return prepared


def _divided(url: str) -> tuple[str, str]:
    """Return a URL's origin, and its path and query."""
    scheme, _, place = url.partition("://")
    authority, _, target = place.partition("/")
    return f"{scheme}://{authority}", f"/{target}"


def _cause(error: Exception) -> str:
    """Return the class of what happened, which ``requests`` wraps."""
    reason = error.args[0] if isinstance(error, requests.RequestException) and error.args else error
    return type(reason if isinstance(reason, Exception) else error).__name__
