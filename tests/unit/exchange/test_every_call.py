"""Every call of the client: what it sends, and what every kind of failure of it means."""

from __future__ import annotations

import inspect
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import pytest
import requests
import responses

from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import CredentialsError, ExchangeError, OutcomeUnknown, Rejected, SettingsError, Unavailable
from axisor_executor.exchange import Answer, ExchangeClient, ExchangeOptions, LNMarketsClient, NewCrossOrder, connection
from axisor_executor.exchange.incoming import MAX_ANSWER_BYTES
from axisor_executor.exchange.signing import sign
from axisor_executor.exchange.transport import Transport
from tests.unit.exchange.calls import BY_NAME, CASES, Case
from tests.unit.exchange.samples import (
    BASE_URL,
    CREDENTIALS,
    DATE,
    DATE_INSTANT,
    KEY,
    OPTIONS,
    PASSPHRASE,
    SECRET,
    TRADE_ID,
    order_json,
    state,
    trade_json,
)
from tests.unit.exchange.served import Exchange, answer
from tests.unit.exchange.wire import Peer, Script

NOW = 1_795_334_400.0  # 2026-11-22T08:00:00Z
CHANGES = [case for case in CASES if case.mutating]
READS = [case for case in CASES if not case.mutating]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange() as exchange:
        yield exchange


@pytest.fixture
def wires() -> Iterator[Transport]:
    wires = Transport()
    yield wires
    wires.close()


@pytest.fixture
def client(exchange: Exchange, wires: Transport) -> LNMarketsClient:
    return LNMarketsClient(exchange.options, CREDENTIALS, transport=wires, now=lambda: NOW)


def register(exchange: Exchange, case: Case, **given: Any) -> None:
    exchange.register(case.method, case.target.partition("?")[0], answer(**given))


# What is sent


@pytest.mark.parametrize("case", CASES, ids=str)
def test_call_is_sent_once_exactly_as_signed(case: Case, exchange: Exchange, client: LNMarketsClient) -> None:
    register(exchange, case, value=case.answer)

    answer = case.call(client)

    assert isinstance(answer, Answer)
    assert answer.server_time == DATE_INSTANT
    (sent,) = exchange.calls
    assert (sent.method, sent.target) == (case.method, case.target)
    assert sent.body == case.body.encode()
    assert ("content-type" in sent.headers) == bool(case.body)
    assert not {"cookie", "authorization"} & set(sent.headers)
    if case.public:
        assert sent.auth == {}
        return
    path, question, query = case.target.partition("?")
    assert sent.auth == {
        "lnm-access-key": KEY,
        "lnm-access-passphrase": PASSPHRASE,
        "lnm-access-timestamp": str(int(NOW * 1000)),
        "lnm-access-signature": sign(SECRET, int(NOW * 1000), case.method, path, case.body or question + query),
    }


@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_change_is_signed_with_exactly_the_given_timestamp(
    case: Case, exchange: Exchange, client: LNMarketsClient
) -> None:
    register(exchange, case, value=case.answer)
    case.call(client, timestamp_ms=int(NOW * 1000) - 29_999)
    assert exchange.calls[0].auth["lnm-access-timestamp"] == str(int(NOW * 1000) - 29_999)


@pytest.mark.parametrize("case", CHANGES, ids=str)
def test_change_with_an_expired_timestamp_is_not_sent(case: Case, exchange: Exchange, client: LNMarketsClient) -> None:
    with pytest.raises(Unavailable) as raised:
        case.call(client, timestamp_ms=int(NOW * 1000) - 30_001)
    assert raised.value.code == "timestamp_expired"
    assert len(exchange.calls) == 0


def test_table_has_every_call_of_the_client() -> None:
    methods = {name for name, _ in inspect.getmembers(LNMarketsClient, inspect.isfunction) if not name.startswith("_")}
    assert {case.name for case in CASES} == methods - {"rehearse"}
    assert methods >= {name for name in vars(ExchangeClient) if not name.startswith("_")}


# What a failure means


@dataclass(frozen=True)
class Failure:
    """A way in which a call fails: (type, status, code) expected of a change and of a read."""

    name: str
    change: tuple[type[ExchangeError], int, str]
    read: tuple[type[ExchangeError], int, str]
    answer: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Break(Failure):
    """A way in which no answer comes, on a real socket."""

    script: Script | None = None  # what the exchange does instead of answering
    arrange: Callable[[pytest.MonkeyPatch], None] = lambda _: None  # what is wrong on this side
    arrives: bool = True  # whether the exchange gets the request
    url: Callable[[str], str] = lambda url: url  # where the client believes the exchange to be

    __str__ = Failure.__str__


UNAVAILABLE = (Unavailable, 503, "exchange_unavailable")
UNREADABLE = (Unavailable, 503, "answer_unreadable")
UNKNOWN = (OutcomeUnknown, 504, "outcome_unknown")


def rejected(status: int, code: str = "exchange_rejected") -> tuple[type[ExchangeError], int, str]:
    return (Rejected, status, code)


def lost(name: str, **how: Any) -> Break:
    return Break(name, UNKNOWN, UNAVAILABLE, **how)


def unsent(name: str, **how: Any) -> Break:
    return Break(name, UNAVAILABLE, UNAVAILABLE, arrives=False, **how)


def raised(error: Exception) -> Failure:
    """Return what ``requests`` says of it, and no more: a change may have been sent."""
    return Failure(type(error).__name__, UNKNOWN, UNAVAILABLE, {"body": error})


def raising(place: Any, name: str, error: BaseException) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what makes a function raise."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return lambda monkeypatch: monkeypatch.setattr(place, name, fail)


def say_nothing(peer: Peer) -> None:
    peer.read()
    peer.wait_for_close()


def reset(peer: Peer) -> None:
    peer.read()
    peer.reset()


def break_off(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{")


def speak_no_tls(peer: Peer) -> None:
    peer.sock.recv(65536)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def closed_port(_: str) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def status(number: int, change: Any, read: Any) -> Failure:
    body = {"message": "no", "code": "SOME_CODE", "details": None}
    return Failure(f"HTTP {number}", change, read, {"status": number, "json": body})


def unreadable(name: str, **answer: Any) -> Failure:
    return Failure(name, UNKNOWN, UNREADABLE, answer)


JSON = "application/json"
BREAKS = [
    unsent("dns", arrange=raising(socket, "getaddrinfo", socket.gaierror(-2, "no"))),
    unsent("refused", url=closed_port),
    unsent("connect time-out", arrange=raising(socket.socket, "connect", TimeoutError("slow"))),
    unsent("tls", script=speak_no_tls, url=lambda url: url.replace("http:", "https:")),
    lost("read time-out", script=say_nothing),
    lost("reset", script=reset),
    lost("broken off", script=break_off),
    lost("never seen before", arrange=raising(connection, "read_answer", RuntimeError("else"))),
    lost("too large", answer={"body": b" " * (MAX_ANSWER_BYTES + 1), "content_type": JSON}),
]
FAILURES = [
    raised(requests.ConnectionError("broken")),
    raised(requests.ReadTimeout("slow")),
    raised(requests.exceptions.ChunkedEncodingError("broken")),
    raised(RuntimeError("something else")),
    *(status(number, UNAVAILABLE, UNAVAILABLE) for number in (429, 503)),
    *(status(number, rejected(number), rejected(number)) for number in (400, 402, 405, 409, 413, 418, 422, 425, 451)),
    status(401, rejected(401, "exchange_unauthorized"), rejected(401, "exchange_unauthorized")),
    status(403, rejected(403, "exchange_forbidden"), rejected(403, "exchange_forbidden")),
    status(404, rejected(404, "exchange_not_found"), rejected(404, "exchange_not_found")),
    *(
        status(number, UNKNOWN, UNAVAILABLE)
        for number in (300, 301, 302, 303, 304, 307, 308, 408, 500, 501, 502, 504, 505, 511, 520, 522, 524, 530, 599)
    ),
    Failure("HTTP 502 with HTML", UNKNOWN, UNAVAILABLE, {"status": 502, "body": "<html>", "content_type": "text/html"}),
    Failure("HTTP 400 with HTML", rejected(400), rejected(400), {"status": 400, "body": "<html>"}),
    Failure("HTTP 503 with nothing", UNAVAILABLE, UNAVAILABLE, {"status": 503, "body": ""}),
    unreadable("empty", body="", content_type=JSON),
    unreadable("HTTP 204", status=204, body="", content_type=JSON),
    unreadable("not JSON", body="<html>", content_type=JSON),
    unreadable("wrong content type", json={}, content_type="text/html"),
    unreadable("truncated", body='{"id": "b87e', content_type=JSON),
    unreadable("not UTF-8", body=b'{"id": "\xff"}', content_type=JSON),
    unreadable("deep", body="[" * 100_000, content_type=JSON),
    unreadable("null", json=None),
    unreadable("a number", json=7),
    unreadable("a foreign object", json={"ok": True}),
    unreadable("a foreign list", json=[[]]),
]


def assert_fails(case: Case, client: LNMarketsClient, failure: Failure) -> None:
    with pytest.raises(ExchangeError) as raised:
        case.call(client)

    error = raised.value
    expected = failure.change if case.mutating else failure.read
    assert (type(error), error.status, error.code) == expected, case
    assert f"lnmarkets {case.name}" in error.message
    assert error.__cause__ is None
    assert error.__context__ is None
    json.dumps(error.as_dict())


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_failure_means_the_same_for_every_call(failure: Failure, wires: Transport) -> None:
    client = LNMarketsClient(OPTIONS, CREDENTIALS, transport=wires, now=lambda: NOW)
    with responses.RequestsMock() as mock:
        for number, case in enumerate(CASES, start=1):
            url = BASE_URL + case.target.partition("?")[0]
            # With a clock that is right: a 401 may mean that else.
            mock.add(case.method, url, headers={"Date": formatdate(usegmt=True)}, **failure.answer)
            assert_fails(case, client, failure)
            assert len(mock.calls) == number  # never sent again


@pytest.mark.parametrize("failure", BREAKS, ids=str)
def test_missing_answer_means_the_same_for_every_call(failure: Break, wires: Transport) -> None:
    with Exchange(failure.script) as exchange, pytest.MonkeyPatch.context() as patch:
        seconds = 0.5 if failure.script is say_nothing else 10.0
        options = ExchangeOptions("lnmarkets", failure.url(exchange.url), request_timeout=seconds)
        client = LNMarketsClient(options, CREDENTIALS, transport=wires, now=lambda: NOW)
        failure.arrange(patch)
        for number, case in enumerate(CASES, start=1):
            register(exchange, case, **failure.answer)
            assert_fails(case, client, failure)
            if failure.arrives:
                exchange.await_call()
            assert len(exchange.calls) == (number if failure.arrives else 0)  # never sent again


@pytest.mark.parametrize("case", CASES, ids=str)
def test_answer_without_a_date_is_no_answer_to_a_read_but_one_to_a_change(
    case: Case, exchange: Exchange, client: LNMarketsClient
) -> None:
    register(exchange, case, value=case.answer, headers={"Date": "yesterday"})
    if case.mutating:
        answer = case.call(client, timestamp_ms=int(NOW * 1000) - 5000)
        assert answer.server_time.timestamp() == NOW - 5  # proves no deadline past
    else:
        with pytest.raises(Unavailable, match="Date"):
            case.call(client)
    assert client.last_skew_seconds is None


CONTRADICTIONS = [
    ("open_trade", {"clientId": "someone-else"}),
    ("open_trade", {"side": "buy"}),
    ("open_trade", {"quantity": 251}),
    ("open_trade", {"type": "market"}),
    ("close_trade", {"id": "00000000-0000-0000-0000-000000000000"}),
    ("close_trade", state("running")),
    ("cancel_trade", state("open")),
    ("add_margin", {"id": "00000000-0000-0000-0000-000000000000"}),
    ("cash_in", {"id": TRADE_ID.upper()}),
    ("set_takeprofit", {"takeprofit": 60_001}),
    ("set_stoploss", {"stoploss": 0}),
    ("remove_takeprofit", {"takeprofit": 60_000}),
    ("remove_stoploss", {"stoploss": 47_000}),
    ("remove_stoploss", {"stoplossTrailingDistance": 0.05}),
    ("set_trailing_stoploss", {"stoplossTrailingDistance": 0}),
    ("set_trailing_stoploss", {"stoplossTrailingDistance": 0.06}),
    ("set_trailing_stoploss", {"id": "00000000-0000-0000-0000-000000000000"}),
    ("open_cross_order", {"clientId": "someone-else"}),
    ("open_cross_order", {"side": "buy"}),
    ("open_cross_order", {"quantity": 249}),
    ("open_cross_order", {"type": "market"}),
    ("close_cross_position", order_json("open")),
    ("close_cross_position", order_json("canceled")),
    ("close_cross_position", {"type": "liquidation"}),
    ("cancel_cross_order", order_json("open")),
    ("cancel_cross_order", order_json("filled")),
    ("cancel_cross_order", {"id": TRADE_ID}),
    ("set_cross_leverage", {"leverage": 11}),
    ("deposit_cross", {"quantity": -500}),
    ("withdraw_cross", {"quantity": 1}),
]


@pytest.mark.parametrize(("name", "shown"), CONTRADICTIONS)
def test_answer_that_does_not_show_what_was_asked_for_leaves_the_outcome_unknown(
    name: str, shown: dict[str, Any], exchange: Exchange, client: LNMarketsClient
) -> None:
    case = BY_NAME[name]
    register(exchange, case, value={**case.answer, **shown})
    with pytest.raises(OutcomeUnknown):
        case.call(client)


@pytest.mark.parametrize("name", ["open_trade", "open_cross_order"])
@pytest.mark.parametrize("is_left_out", [False, True], ids=["null", "left out"])
def test_an_order_that_shows_no_client_id_in_the_answer_to_our_request_is_ours(
    name: str, is_left_out: bool, exchange: Exchange, client: LNMarketsClient
) -> None:
    case = BY_NAME[name]
    shown = {**case.answer, "clientId": None}
    if is_left_out:
        del shown["clientId"]
    register(exchange, case, value=shown)
    opened = case.call(client).value
    assert (opened.id, opened.client_id) == (shown["id"], None)


@pytest.mark.parametrize("name", ["open_trade", "open_cross_order"])
@pytest.mark.parametrize("junk", [1, ["run-1/step-2"], ""])
def test_what_is_no_client_id_is_not_taken_for_none(
    name: str, junk: Any, exchange: Exchange, client: LNMarketsClient
) -> None:
    case = BY_NAME[name]
    register(exchange, case, value={**case.answer, "clientId": junk})
    with pytest.raises(OutcomeUnknown):
        case.call(client)


@pytest.mark.parametrize("answer", [[], None, "opened"])
def test_what_is_no_order_at_all_leaves_the_outcome_unknown(
    answer: Any, exchange: Exchange, client: LNMarketsClient
) -> None:
    for name in ("open_trade", "open_cross_order"):
        register(exchange, BY_NAME[name], value=answer)
        with pytest.raises(OutcomeUnknown):
            BY_NAME[name].call(client)


def test_cancel_all_is_unknown_if_one_order_is_still_open(exchange: Exchange, client: LNMarketsClient) -> None:
    cross = [order_json("canceled"), order_json("open")]
    register(exchange, BY_NAME["cancel_all_cross_orders"], value=cross)
    with pytest.raises(OutcomeUnknown):
        client.cancel_all_cross_orders()
    orders = [trade_json(**state("canceled")), trade_json(**state("open"))]
    register(exchange, BY_NAME["cancel_all"], value=orders)
    with pytest.raises(OutcomeUnknown):
        client.cancel_all()


def test_market_order_is_unknown_if_it_is_not_filled(exchange: Exchange, client: LNMarketsClient) -> None:
    order = NewCrossOrder("market", "sell", 250)
    register(exchange, BY_NAME["open_cross_order"], value=order_json("open", type="market"))
    with pytest.raises(OutcomeUnknown):
        client.open_cross_order(order)
    register(exchange, BY_NAME["open_cross_order"], value=order_json())
    assert client.open_cross_order(order).value.state == "filled"
    assert exchange.calls[1].body == b'{"type":"market","side":"sell","quantity":250}'


def test_limit_order_may_be_filled_at_once_and_at_a_better_price(exchange: Exchange, client: LNMarketsClient) -> None:
    order = NewCrossOrder("limit", "sell", 250, price=Decimal("49000.5"))
    register(exchange, BY_NAME["open_cross_order"], value=order_json("filled", type="limit"))
    placed = client.open_cross_order(order).value
    assert (placed.state, placed.price) == ("filled", Decimal("50000.5"))


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity")])
def test_number_that_is_not_finite_is_never_sent(value: Decimal, exchange: Exchange, client: LNMarketsClient) -> None:
    with pytest.raises(ValueError, match="finite"):
        client.set_takeprofit(TRADE_ID, value)
    assert len(exchange.calls) == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("86400", 60),
        ("9" * 400, 60),
        ("Sun, 22 Nov 2026 08:00:30 GMT", 30),  # counted from the answer's own Date
        ("Sun, 22 Nov 2026 07:00:00 GMT", 0),
        ("Sun, 22 Nov 2099 07:00:00 GMT", 60),
        ("Sun, 22 Nov 2026 07:00:00 -0000", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("number", [429, 503])
def test_retry_after_is_kept_within_bounds(
    header: str | None, seconds: float | None, number: int, exchange: Exchange, client: LNMarketsClient
) -> None:
    headers = {"Date": DATE} | ({"Retry-After": header} if header is not None else {})
    register(exchange, BY_NAME["account"], status=number, headers=headers)
    with pytest.raises(Unavailable) as raised:
        client.account()
    assert raised.value.retry_after == seconds


def test_what_the_exchange_says_is_kept_short_and_printable(exchange: Exchange, client: LNMarketsClient) -> None:
    said = {"message": "You do\r\n not\x1b[31m own\u202e this " + "x" * 1000, "code": "NOT_OWNER", "details": {"a": 1}}
    register(exchange, BY_NAME["account"], status=400, value=said)
    with pytest.raises(Rejected) as raised:
        client.account()
    shown = raised.value.details["exchangeMessage"]
    assert shown.startswith("You do not [31m own this xxx")
    assert len(shown) == 300
    assert raised.value.details == {"httpStatus": 400, "exchangeCode": "NOT_OWNER", "exchangeMessage": shown}
    assert shown in raised.value.message


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"message": "Insufficient balance", "code": "BALANCE"}, ": Insufficient balance"),
        ({"message": None, "code": "BALANCE"}, ": BALANCE"),
        ({"message": "", "code": "BALANCE"}, ": BALANCE"),
        ({"message": None, "code": None}, ""),
    ],
)
def test_a_rejection_gives_the_exchanges_reason(
    said: dict[str, Any], reason: str, exchange: Exchange, client: LNMarketsClient
) -> None:
    register(exchange, BY_NAME["account"], status=400, value=said)
    with pytest.raises(Rejected) as raised:
        client.account()
    assert raised.value.message == f"lnmarkets account: rejected by the exchange{reason} (HTTP 400)"


@pytest.mark.parametrize("body", ['["message"]', '{"message": null, "code": {"a": 1}}', "{", '"' + "x" * 70_000 + '"'])
def test_a_rejection_that_says_nothing_readable_is_still_one(
    body: str, exchange: Exchange, client: LNMarketsClient
) -> None:
    register(exchange, BY_NAME["account"], status=400, body=body)
    with pytest.raises(Rejected) as raised:
        client.account()
    assert raised.value.details == {"httpStatus": 400}


# The client itself


@pytest.mark.parametrize("case", [case for case in CASES if not case.public], ids=str)
def test_private_call_without_usable_credentials_sends_nothing(case: Case, exchange: Exchange) -> None:
    with pytest.raises(CredentialsError) as raised:
        case.call(LNMarketsClient(exchange.options, None))
    assert raised.value.code == "credentials_missing"
    with pytest.raises(CredentialsError, match="API Key") as raised:
        case.call(LNMarketsClient(exchange.options, type(CREDENTIALS)("bad\nkey", SECRET, PASSPHRASE)))
    assert raised.value.code == "credentials_invalid"
    assert len(exchange.calls) == 0


@pytest.mark.parametrize("case", [case for case in CASES if case.public], ids=str)
def test_public_call_needs_no_credentials(case: Case, exchange: Exchange, wires: Transport) -> None:
    register(exchange, case, value=case.answer)
    client = LNMarketsClient(exchange.options, None, transport=wires)
    assert case.call(client).server_time == DATE_INSTANT


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://api.lnmarkets.com", "https://api.lnmarkets.com/v3"),
        ("https://api.lnmarkets.com/v3/", "https://api.lnmarkets.com/v3"),
        (" http://127.0.0.1:8089/ ", "http://127.0.0.1:8089/v3"),
        ("https://gateway.example/ln", "https://gateway.example/ln/v3"),
        ("https://API.example/V/v3", "https://api.example/V/v3"),
        ("http://[::1]:80", "http://[::1]:80/v3"),
    ],
)
def test_base_url_may_lack_its_version(given: str, used: str) -> None:
    assert repr(LNMarketsClient(ExchangeOptions("lnmarkets", given), CREDENTIALS)) == (
        f"LNMarketsClient('lnmarkets', '{used}')"
    )


@pytest.mark.parametrize(
    "url",
    [
        "api.lnmarkets.com",
        "ftp://x",
        "https://",
        "https://user:pw@x",
        "https://x?y=1",
        "https://x#y",
        "https://[x",
        "https://x:y",
        "https://x/\ny",
        "https://x/%2e",
    ],
)
def test_unusable_base_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        LNMarketsClient(ExchangeOptions("lnmarkets", url), None)
    assert "user:pw" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "testnet"), [("https://api.lnmarkets.com", True), ("https://API.signet.lnmarkets.com./v3", False)]
)
@pytest.mark.parametrize("case", [case for case in CASES if not case.public], ids=str)
def test_key_of_another_network_is_never_sent(case: Case, url: str, testnet: bool, exchange: Exchange) -> None:
    credentials = SecureCredentials(KEY, SECRET, PASSPHRASE, testnet)
    with pytest.raises(CredentialsError) as raised:
        case.call(LNMarketsClient(ExchangeOptions("lnmarkets", url), credentials))
    assert (raised.value.code, raised.value.status) == ("wrong_network", 400)
    assert len(exchange.calls) == 0


def test_instant_without_time_zone_is_refused(client: LNMarketsClient) -> None:
    with pytest.raises(ValueError, match="time zone"):
        client.closed_trades(since=DATE_INSTANT.replace(tzinfo=None))
    with pytest.raises(ValueError, match="time zone"):
        client.candles(until=DATE_INSTANT.replace(tzinfo=None))


@pytest.mark.parametrize(("ahead", "shown"), [(0, 0), (0.9, 0), (-0.4, -0.4), (1.5, 0.5), (7, 6), (-7, -7)])
def test_skew_is_what_is_certain_after_the_date_was_cut_to_seconds(
    ahead: float, shown: float, exchange: Exchange, client: LNMarketsClient, monkeypatch: Any
) -> None:
    monkeypatch.setattr("axisor_executor.exchange.transport.time.time", lambda: NOW + ahead)
    register(exchange, BY_NAME["account"], value=BY_NAME["account"].answer)
    client.account()
    assert client.last_skew_seconds == pytest.approx(shown, abs=1e-3)


def test_skew_is_measured_on_rejections_too(exchange: Exchange, client: LNMarketsClient) -> None:
    register(exchange, BY_NAME["account"], status=400)
    with pytest.raises(Rejected):
        client.account()
    assert client.last_skew_seconds is not None


def test_what_a_cache_may_have_kept_tells_other_clients_nothing_about_the_clock(
    exchange: Exchange, wires: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that does not say how old its answer is would hold every account's requests back."""
    monkeypatch.setattr("axisor_executor.exchange.transport.time.time", lambda: NOW + 7)
    public, first, second = (
        LNMarketsClient(exchange.options, keys, transport=wires, now=lambda: NOW + 7)
        for keys in (None, CREDENTIALS, CREDENTIALS)
    )
    for name in ("ticker", "account"):
        register(exchange, BY_NAME[name], value=BY_NAME[name].answer)
    public.ticker()
    assert first.last_skew_seconds is None
    first.account()
    assert second.last_skew_seconds == pytest.approx(6, abs=1e-3)


def test_age_of_a_cached_answer_counts(exchange: Exchange, client: LNMarketsClient) -> None:
    for name in ("ticker", "account"):
        register(exchange, BY_NAME[name], value=BY_NAME[name].answer, headers={"Date": DATE, "Age": "4"})
    assert (client.ticker().server_time - DATE_INSTANT).total_seconds() == 4
    # Of a private one it is taken off: too early proves too little, never too much.
    assert (client.account().server_time - DATE_INSTANT).total_seconds() == -4
