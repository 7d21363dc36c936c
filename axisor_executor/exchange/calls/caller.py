"""How a call is made, whatever it asks for: checked, signed, sent once, and its outcome judged."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from axisor_executor.errors import CredentialsError, ExchangeError, Unavailable
from axisor_executor.exchange.answers.fields import UnreadableAnswer, decode
from axisor_executor.exchange.base import Answer, ExchangeOptions
from axisor_executor.exchange.calls.encoding import Body, Query, json_body, query_string
from axisor_executor.exchange.clock import compared, recently_compared, server_time, shown_at, skew_seconds
from axisor_executor.exchange.echoes import said
from axisor_executor.exchange.failures import (
    Call,
    failure_by_status,
    failure_of_clock,
    failure_of_reading,
    failure_without_reply,
)
from axisor_executor.exchange.networks import address_of, require_key_of
from axisor_executor.exchange.rehearsal import Rehearsal, UnsentRequest
from axisor_executor.exchange.signing import auth_headers
from axisor_executor.exchange.transport import NoReply, Reply, Request, Transport

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials

T = TypeVar("T")

_UNAUTHORIZED = 401

_shared_transport = Transport()
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "axisor-executor"}


class Caller:
    """What all areas of the client share: one account at one address. See :class:`~..client.LNMarketsClient`."""

    def __init__(
        self,
        options: ExchangeOptions,
        credentials: SecureCredentials | None,
        *,
        transport: Transport | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make a client; nothing is sent.

        Args:
            options: the base URL may lack its ``/v3``.
            credentials: the account's keys; ``None`` for public calls only.
            transport: the process's own if left out.
            now: this machine's clock, seconds since the epoch.

        Raises:
            SettingsError: the base URL can't be used.
        """
        self.options = options
        self._skew: float | None = None
        self._address = address_of(options.base_url)
        self._credentials = credentials
        self._transport = transport or _shared_transport
        self._now = now

    @property
    def last_skew_seconds(self) -> float | None:
        """By how many seconds this machine's clock was certainly ahead of the exchange's (below 0: behind).

        At the last answer of this client; before the first, at the last one of this process to a signed call to the
        same address, if that is not long ago; else ``None``.
        """
        return recently_compared(self._address.base_url, self._now()) if self._skew is None else self._skew

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.options.slug!r}, {self._address.base_url!r})"

    def rehearse(self, call: Callable[[Self], object]) -> UnsentRequest:
        """Return what ``call`` would send through this client; nothing leaves.

        Raises:
            CredentialsError, Unavailable: it would not have left.
            ValueError: it sends nothing.
        """
        rehearsal = Rehearsal()
        stand_in = copy.copy(self)
        stand_in._transport = rehearsal
        try:
            call(stand_in)
        except Unavailable:
            if rehearsal.kept is None:
                raise
        if rehearsal.kept is None:
            raise ValueError("the call sends nothing")
        return rehearsal.kept

    def _read(
        self, name: str, path: str, reader: Callable[[Any], T], query: Query | None = None, *, public: bool = False
    ) -> Answer[T]:
        """Ask for something; ``name`` is the method's, ``path`` what follows ``/v3``."""
        call = Call(self.options.slug, name, mutating=False, public=public)
        return self._perform(call, "GET", path + query_string(query or {}), b"", reader, None)

    def _change(
        self,
        name: str,
        method: str,
        path: str,
        reader: Callable[[Any], T],
        timestamp_ms: int | None,
        body: Body | None = None,
        *,
        query: Query | None = None,
    ) -> Answer[T]:
        """Change something; ``reader`` refuses an answer that does not show what was asked for."""
        call = Call(self.options.slug, name, mutating=True)
        sent = b"" if body is None else json_body(body)
        return self._perform(call, method, path + query_string(query or {}), sent, reader, timestamp_ms)

    def _perform(
        self, call: Call, method: str, target: str, body: bytes, reader: Callable[[Any], T], timestamp_ms: int | None
    ) -> Answer[T]:
        signed_ms = int(self._now() * 1000) if timestamp_ms is None else timestamp_ms
        if not call.public:
            self._check_private(call, signed_ms)
        request = self._request(call, method, target, body, signed_ms)
        outcome = self._transport.exchange(
            request, timeout=self.options.request_timeout, connect_timeout=self.options.connect_timeout
        )
        # Errors are made below and raised here, outside any handler: no other exception (whose frames and requests
        # hold the headers) is in their context, and no local of this frame shows a secret.
        result = self._judge(call, request, outcome, reader, signed_ms)
        if isinstance(result, ExchangeError):
            raise result
        return result

    def _check_private(self, call: Call, signed_ms: int) -> None:
        if self._credentials is None:
            raise CredentialsError(f"{call} needs the account's credentials", code="credentials_missing")
        unusable = self._credentials.unusable()
        if unusable:
            named = ", ".join(unusable)
            raise CredentialsError(f"{call}: blank, too long, or with characters that can't be sent: {named}")
        require_key_of(self._address.network, testnet=self._credentials.testnet)
        if self._now() - signed_ms / 1000 > self.options.window_seconds:
            # The exchange would refuse it for its age, which looks like wrong keys.
            raise Unavailable(f"{call}: not sent: its timestamp has expired", code="timestamp_expired")

    def _request(self, call: Call, method: str, target: str, body: bytes, signed_ms: int) -> Request:
        headers = dict(_HEADERS)
        if body:
            headers["Content-Type"] = "application/json"
        if not call.public and self._credentials is not None:
            path, question, query = target.partition("?")
            data = body.decode() if body else question + query
            headers.update(auth_headers(self._credentials, signed_ms, method, self._address.path + path, data))
        return Request(method, self._address.base_url + target, headers, body or None, call.mutating)

    def _judge(
        self, call: Call, request: Request, outcome: Reply | NoReply, reader: Callable[[Any], T], signed_ms: int
    ) -> Answer[T] | ExchangeError:
        if isinstance(outcome, NoReply):
            return failure_without_reply(call, outcome)
        clock = server_time(outcome.headers, cacheable=call.public)
        if clock is not None:
            self._skew = skew = skew_seconds(outcome.sent_at, outcome.received_at, clock)
            if not call.public:  # a cache may have kept that one, and not say so
                compared(self._address.base_url, skew, self._now())
            is_far_off = abs(skew) > self.options.window_seconds / 2
            if outcome.status == _UNAUTHORIZED and is_far_off and not call.public:
                return failure_of_clock(call, skew)
        if not outcome.is_success:
            return failure_by_status(call, outcome, said(outcome.body, self._credentials, request.headers))
        try:
            value = reader(decode(outcome.body, outcome.headers.get("Content-Type", "")))
        except UnreadableAnswer as unreadable:
            return failure_of_reading(call, outcome, str(unreadable))
        except Exception as error:  # noqa: BLE001 - an answer that breaks the reader was not read either
            return failure_of_reading(call, outcome, type(error).__name__)
        if clock is None:
            if not call.mutating:
                return failure_of_reading(call, outcome, "no Date header")
            clock = datetime.fromtimestamp(signed_ms / 1000, UTC)
        return Answer(value, clock if call.public else shown_at(clock, outcome.headers))
