"""The client of LN Markets REST v3: one account's view of the exchange."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from axisor_executor.errors import CredentialsError, ExchangeError, SettingsError, Unavailable
from axisor_executor.exchange import responses as read
from axisor_executor.exchange.base import Answer, ExchangeAccount, ExchangeOptions, NewTrade, Page, Ticker, Trade
from axisor_executor.exchange.clock import server_time, skew_seconds
from axisor_executor.exchange.echoes import said
from axisor_executor.exchange.failures import Call, failure_by_status, failure_of_reading, failure_without_reply
from axisor_executor.exchange.responses import FundingFee, UnreadableAnswer
from axisor_executor.exchange.signing import auth_headers, unusable_fields
from axisor_executor.exchange.transport import NoReply, Reply, Request, Transport

if TYPE_CHECKING:
    from axisor_executor.credentials import SecureCredentials

T = TypeVar("T")

_shared_transport = Transport()


class LNMarketsClient:
    """One account on LN Markets v3, or with no credentials, its public market data.

    Cheap to make, one per job. Connections belong to the thread that calls, not to the client.

    Every method may raise :class:`~axisor_executor.errors.Unavailable` (not processed, or only a read) and
    :class:`~axisor_executor.errors.Rejected` (a definite no; ``status`` is the exchange's); private ones also
    :class:`~axisor_executor.errors.CredentialsError` (none given, or unusable: nothing was sent). Those that change
    something are sent at most once and raise :class:`~axisor_executor.errors.OutcomeUnknown` whenever they may have
    been carried out without a clear answer. Amounts are sats, quantities USD, prices USD per BTC.

    An answer's ``server_time`` is its ``Date`` header. A read without one is ``Unavailable``. A change that was
    answered in full but without one is done, which is what matters: its ``server_time`` is then the instant it was
    signed with, which can't prove any deadline past.

    Attributes:
        options: where and how long.
        last_skew_seconds: by how much this machine's clock was certainly ahead of the exchange's (below 0: behind)
            at the last answer of this client; ``None`` before the first.
    """

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
        self.last_skew_seconds: float | None = None
        self._base_url, self._base_path = _base(options.base_url)
        self._credentials = credentials
        self._transport = transport or _shared_transport
        self._now = now

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.options.slug!r}, {self._base_url!r})"

    # Public market data

    def ping(self) -> Answer[str]:
        """Return ``"pong"`` if the exchange is there."""
        return self._read("ping", "/ping", read.pong, public=True)

    def server_time(self) -> Answer[datetime]:
        """Return the exchange's own time in UTC, with milliseconds."""
        return self._read("server_time", "/time", read.time, public=True)

    def ticker(self) -> Answer[Ticker]:
        """Return the market as it is. For a price that is fresh, ask a :class:`SharedTicker` instead."""
        return self._read("ticker", "/futures/ticker", read.ticker, public=True)

    # The account and its trades

    def account(self) -> Answer[ExchangeAccount]:
        """Return the exchange's view of the account: user id and free balance in sats."""
        return self._read("account", "/account", read.account)

    def running_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return all running isolated trades."""
        return self._read("running_trades", "/futures/isolated/trades/running", read.list_of(read.trade))

    def open_trades(self) -> Answer[tuple[Trade, ...]]:
        """Return all limit orders that are not filled yet."""
        return self._read("open_trades", "/futures/isolated/trades/open", read.list_of(read.trade))

    def closed_trades(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[Trade]]:
        """Return one page of closed trades, from ``since`` on; the next one is found by its ``next_cursor``."""
        query = _page_query(since, cursor, limit)
        return self._read("closed_trades", "/futures/isolated/trades/closed", read.page_of(read.trade), query)

    def canceled_trades(
        self, *, since: datetime | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Answer[Page[Trade]]:
        """Return one page of canceled orders, as :meth:`closed_trades`."""
        query = _page_query(since, cursor, limit)
        return self._read("canceled_trades", "/futures/isolated/trades/canceled", read.page_of(read.trade), query)

    def funding_fees(
        self,
        *,
        trade_id: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Answer[Page[FundingFee]]:
        """Return one page of funding fees, of one trade or all of them, as :meth:`closed_trades`."""
        query = {**_page_query(since, cursor, limit), "tradeId": trade_id}
        return self._read("funding_fees", "/futures/isolated/funding-fees", read.page_of(read.funding_fee), query)

    # What changes something

    def open_trade(self, order: NewTrade, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Place an order; the answer is the new trade, running or (a limit order) open."""
        asked: dict[str, Any] = {"type": order.type, "side": order.side, "quantity": order.quantity}
        if order.client_id is not None:
            asked["client_id"] = order.client_id
        body = {
            "type": order.type,
            "side": order.side,
            "leverage": _json_number(order.leverage),
            "quantity": order.quantity,
            "price": _json_number(order.price),
            "stoploss": _json_number(order.stoploss),
            "takeprofit": _json_number(order.takeprofit),
            "clientId": order.client_id,
        }
        return self._change("open_trade", "POST", "/trade", read.trade_showing(**asked), timestamp_ms, body)

    def close_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Close a running trade at the market; the answer is the closed trade."""
        closed = read.trade_showing(id=trade_id, state="closed")
        return self._change("close_trade", "POST", "/trade/close", closed, timestamp_ms, {"id": trade_id})

    def cancel_trade(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Cancel an open order; the answer is the canceled order."""
        canceled = read.trade_showing(id=trade_id, state="canceled")
        return self._change("cancel_trade", "POST", "/trade/cancel", canceled, timestamp_ms, {"id": trade_id})

    def cancel_all(self, *, timestamp_ms: int | None = None) -> Answer[tuple[Trade, ...]]:
        """Cancel all open orders; the answer lists those that were canceled."""
        canceled = read.list_of(read.trade_showing(state="canceled"))
        return self._change("cancel_all", "POST", "/trades/cancel-all", canceled, timestamp_ms)

    def add_margin(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Move ``amount`` sats from the balance into a running trade's margin."""
        body = {"id": trade_id, "amount": amount}
        return self._change(
            "add_margin", "POST", "/trade/add-margin", read.trade_showing(id=trade_id), timestamp_ms, body
        )

    def cash_in(self, trade_id: str, amount: int, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Take ``amount`` sats out of a running trade: first from its profit, then from its margin."""
        body = {"id": trade_id, "amount": amount}
        return self._change("cash_in", "POST", "/trade/cash-in", read.trade_showing(id=trade_id), timestamp_ms, body)

    def set_takeprofit(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set the take profit to the price ``value``; setting the one it has already is rejected."""
        shown = read.trade_showing(id=trade_id, takeprofit=value)
        body = {"id": trade_id, "value": _json_number(value)}
        return self._change("set_takeprofit", "PUT", "/trade/takeprofit", shown, timestamp_ms, body)

    def set_stoploss(self, trade_id: str, value: Decimal, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Set the (fixed) stop loss to the price ``value``; setting the one it has already is rejected."""
        shown = read.trade_showing(id=trade_id, stoploss=value)
        body = {"id": trade_id, "value": _json_number(value)}
        return self._change("set_stoploss", "PUT", "/trade/stoploss", shown, timestamp_ms, body)

    def remove_takeprofit(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Remove the take profit."""
        shown = read.trade_showing(id=trade_id, takeprofit=None)
        return self._change(
            "remove_takeprofit", "DELETE", "/trade/takeprofit", shown, timestamp_ms, query={"id": trade_id}
        )

    def remove_stoploss(self, trade_id: str, *, timestamp_ms: int | None = None) -> Answer[Trade]:
        """Remove the stop loss."""
        shown = read.trade_showing(id=trade_id, stoploss=None)
        return self._change("remove_stoploss", "DELETE", "/trade/stoploss", shown, timestamp_ms, query={"id": trade_id})

    # How a call is made

    def _read(
        self,
        name: str,
        path: str,
        reader: Callable[[Any], T],
        query: Mapping[str, str | None] | None = None,
        *,
        public: bool = False,
    ) -> Answer[T]:
        call = Call(self.options.slug, name, mutating=False, public=public)
        return self._perform(call, "GET", path + _query_string(query or {}), b"", reader, None)

    def _change(
        self,
        name: str,
        method: str,
        path: str,
        reader: Callable[[Any], T],
        timestamp_ms: int | None,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str | None] | None = None,
    ) -> Answer[T]:
        call = Call(self.options.slug, name, mutating=True)
        target = f"/futures/isolated{path}{_query_string(query or {})}"
        return self._perform(call, method, target, _json_body(body), reader, timestamp_ms)

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
        unusable = unusable_fields(self._credentials)
        if unusable:
            raise CredentialsError(f"{call}: blank, or with characters that can't be sent: {', '.join(unusable)}")
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
            headers.update(auth_headers(self._credentials, signed_ms, method, self._base_path + path, data))
        return Request(method, self._base_url + target, headers, body or None, call.mutating)

    def _judge(
        self, call: Call, request: Request, outcome: Reply | NoReply, reader: Callable[[Any], T], signed_ms: int
    ) -> Answer[T] | ExchangeError:
        if isinstance(outcome, NoReply):
            return failure_without_reply(call, outcome)
        clock = server_time(outcome.headers, cacheable=call.public)
        if clock is not None:
            self.last_skew_seconds = skew_seconds(outcome.sent_at, outcome.received_at, clock)
        if not outcome.is_success:
            return failure_by_status(call, outcome, said(outcome.body, self._credentials, request.headers))
        try:
            value = reader(read.decode(outcome.body, outcome.headers.get("Content-Type", "")))
        except UnreadableAnswer as unreadable:
            return failure_of_reading(call, outcome, str(unreadable))
        except Exception as error:  # noqa: BLE001 - an answer that breaks the reader was not read either
            return failure_of_reading(call, outcome, type(error).__name__)
        if clock is None:
            if not call.mutating:
                return failure_of_reading(call, outcome, "no Date header")
            clock = datetime.fromtimestamp(signed_ms / 1000, UTC)
        return Answer(value, clock)


_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "axisor-executor"}


# No user, query or fragment; nothing that would be sent in another form than it was signed in.
_BASE_URL = re.compile(
    r"(?P<origin>https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)(?P<path>(?:/[a-z0-9._~-]*)*)", re.IGNORECASE
)


@lru_cache(maxsize=64)
def _base(base_url: str) -> tuple[str, str]:
    """Return the base URL ending on ``/v3`` and its path."""
    match = _BASE_URL.fullmatch(base_url.strip())
    if match is None:
        raise SettingsError("the exchange's base URL must be http(s)://host[:port][/v3]")
    path = match["path"].rstrip("/").removesuffix("/v3") + "/v3"
    return match["origin"].lower() + path, path


def _query_string(query: Mapping[str, str | None]) -> str:
    given = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items() if value is not None]
    return "?" + "&".join(given) if given else ""


def _page_query(since: datetime | None, cursor: str | None, limit: int | None) -> dict[str, str | None]:
    return {
        "from": _iso(since) if since is not None else None,
        "limit": str(limit) if limit is not None else None,
        "cursor": cursor,
    }


def _iso(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_body(body: Mapping[str, Any] | None) -> bytes:
    if body is None:
        return b""
    given = {name: value for name, value in body.items() if value is not None}
    return json.dumps(given, separators=(",", ":"), allow_nan=False).encode()


def _json_number(value: Decimal | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)
