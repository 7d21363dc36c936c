"""HTTP to the exchange on ``requests``: one session per thread, one attempt per request, one deadline per attempt.

A session serves many accounts, so it keeps nothing of any of them: no cookies, no authentication, no proxies or
``.netrc`` from the environment, no redirects. A request is written at most once; a failure says whether it was.
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
from requests.exceptions import ConnectTimeout, InvalidURL, SSLError
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import MaxRetryError, NewConnectionError

from axisor_executor.exchange.connection import Attempt, GuardedPools

MAX_ANSWER_BYTES = 8 * 1024 * 1024
FRESH_SECONDS = 2.0
"""A call that changes something uses a kept-alive connection only if it was used within so many seconds."""
READ_FRESH_SECONDS = 30.0
"""The same for reads, where a connection that a firewall forgot costs a time-out but no uncertainty."""

_CHUNK = 65536


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
        self._tls = tls
        self._local = threading.local()

    def exchange(self, request: Request, *, timeout: float, connect_timeout: float) -> Reply | NoReply:
        """Send ``request`` once and return what came of it; never raises for anything the network does.

        Args:
            request: what to send.
            timeout: the deadline of the whole call, from name resolution to the last byte of the answer (seconds).
            connect_timeout: the part of it that may pass until the connection stands (seconds).
        """
        session = self._session()
        adapter = session.get_adapter(request.url)
        attempt = self._local.attempt
        attempt.begin(
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_idle=FRESH_SECONDS if request.mutating else READ_FRESH_SECONDS,
        )
        sent_at = time.time()
        try:
            response = adapter.send(_prepared(request), stream=True, timeout=(connect_timeout, timeout))
            try:
                body = _read(response)
            finally:
                response.raw.close()  # gives a fully read connection nothing to close: it is back in the pool
        except Exception as error:  # noqa: BLE001 - whatever happened, the one question is whether the request left
            return NoReply(unsent=_certainly_unsent(error, attempt), cause=type(error).__name__)
        if body is None:
            return NoReply(unsent=False, cause="AnswerTooLarge")
        return Reply(response.status_code, response.headers, body, sent_at, time.time())

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
            self._local.session = session = _new_session(_Adapter(self._local.attempt, self._tls))
            self._local.pid = os.getpid()
        return session


class _Adapter(HTTPAdapter):
    """requests' adapter on guarded connections, with a TLS context made once instead of once per connection."""

    def __init__(self, attempt: Attempt, tls: ssl.SSLContext | None) -> None:
        self._attempt = attempt
        self._tls = tls
        super().__init__(pool_connections=16, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        self.poolmanager = GuardedPools(self._attempt, num_pools=connections, maxsize=maxsize, block=block, **kwargs)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._tls or _trust()} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the TLS context verifies, always."""


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())


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
    if request.body is not None:
        prepared.headers["Content-Length"] = str(len(request.body))  # else it would be sent in chunks
    return prepared


def _read(response: requests.Response) -> bytes | None:
    """Return the body, or ``None`` if it is larger than allowed."""
    body = b""
    while chunk := response.raw.read(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return None
    return body


def _certainly_unsent(error: Exception, attempt: Attempt) -> bool:
    if attempt.written:
        return False
    return attempt.connecting or isinstance(error, (ConnectTimeout, SSLError, InvalidURL)) or _no_connection(error)


def _no_connection(error: Exception) -> bool:
    reason = error.args[0] if error.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)
