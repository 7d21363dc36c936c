"""What a server can do to a connection, and what the client makes of it."""

from __future__ import annotations

import base64
import gc
import gzip
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from axisor_executor.errors import ExchangeError, OutcomeUnknown, Rejected, Unavailable
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient, connection, names
from axisor_executor.exchange.transport import FRESH_SECONDS, READ_FRESH_SECONDS, NoReply, Request, Transport
from tests.unit.exchange.calls import CASES, Case
from tests.unit.exchange.samples import ACCOUNT, CREDENTIALS, SECRET, TRADE_ID, state, trade_json
from tests.unit.exchange.wire import Peer, Script, Server, answering, http

CLOSED = http(trade_json(**state("closed")))
MINE = http(ACCOUNT)
DEADLINE = 0.5
WRITTEN_BY_THEN = 2.0  # a deadline before which a busy machine, too, has connected and written
LONG = 10.0
TOLERANCE = 5.0  # far from the 10 s for which the servers here would go on


class Clock:
    """A monotonic clock that the test moves; real time passes for the deadlines all the same."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wires(clock: Clock) -> Iterator[Transport]:
    wires = Transport(clock=clock)
    yield wires
    wires.close()


Connect = Callable[..., LNMarketsClient]


@pytest.fixture
def connect(wires: Transport) -> Connect:
    """Makes a client for a server; ``seconds`` is its deadline."""

    def client(server: Server | str, seconds: float = 5.0, connecting: float = 3.0) -> LNMarketsClient:
        url = server if isinstance(server, str) else server.url
        return LNMarketsClient(ExchangeOptions("wire", url, seconds, connecting), CREDENTIALS, transport=wires)

    return client


def closing(client: LNMarketsClient) -> Any:
    return client.close_trade(TRADE_ID)


def reading(client: LNMarketsClient) -> Any:
    return client.account()


def seconds_of(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


# Byte for byte


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bytes_on_the_wire_are_the_bytes_signed(case: Case, connect: Connect) -> None:
    with Server(answering(http(case.answer))) as server:
        case.call(connect(server))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    request_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert request_line == f"{case.method} {case.target} HTTP/1.1"
    assert body == case.body.encode()
    assert len(headers) == len(lines)
    expected = {"host", "accept", "accept-encoding", "user-agent"}
    if case.body:
        expected |= {"content-type"}
    if case.method in {"POST", "PUT"}:
        expected |= {"content-length"}
    if not case.public:
        expected |= {f"lnm-access-{part}" for part in ("key", "passphrase", "timestamp", "signature")}
        path, question, query = case.target.partition("?")
        signed = headers["lnm-access-timestamp"] + case.method.lower() + path + (case.body or question + query)
        digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
        assert headers["lnm-access-signature"] == base64.b64encode(digest).decode()
    assert set(headers) == expected


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/v3/account", {"X-Key": "a\r\nX-More: b"}),
        Request("GET", "/v3/account", {"X-Key\nX-More": "b"}),
        Request("GET", "/v3/account\r\nX-More: b", {}),
        Request("GET", "/v3/account HTTP/1.1", {}),
        Request("GET", "/v3/account", {"X-Key": "\u2603"}),
    ],
    ids=["value", "name", "target", "space", "not Latin"],
)
def test_request_with_more_than_its_own_lines_is_never_written(
    request_: Request, wires: Transport, connect: Connect
) -> None:
    with Server(answering(MINE, MINE)) as server:
        reading(connect(server))
        request_ = replace(request_, url=server.url + request_.url)
        outcome = wires.exchange(request_, timeout=5, connect_timeout=5)
        assert isinstance(outcome, NoReply)
        assert outcome.unsent
        reading(connect(server))
        assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8089", "127.0.0.1:8089"),
        ("http://api.example:80", "api.example"),
        ("https://api.example", "api.example"),
        ("https://api.example.:443", "api.example"),
        ("https://api.example:80", "api.example:80"),
        ("http://[::1]:80", "[::1]"),
        ("http://[::1]:8089", "[::1]:8089"),
    ],
)
def test_host_is_named_without_the_port_that_goes_without_saying(origin: str, host: str) -> None:
    assert connection.Connection(origin, ssl.create_default_context, time.monotonic).host == host


# The deadline


def drip_status_line(peer: Peer) -> None:
    peer.read()
    peer.drip(b"HTTP/1.1 200 OK and so on and so on")


def drip_headers(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.drip(b"X-Slow: very\r\n")


def drip_interim_answers(peer: Peer) -> None:
    peer.read()
    peer.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def drip_body(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    peer.drip(b" ")


def drip_body_of_a_closing_connection(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    peer.drip(b" ")


def drip_chunks(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.drip(b"1\r\n \r\n")


def drip_a_chunk_header(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;")
    peer.drip(b"x")


def drip_after_an_error(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    peer.drip(b" ")


def say_nothing(peer: Peer) -> None:
    peer.read()
    peer.wait_for_close()


def once_written(script: Script, clock: Clock) -> Script:
    """Return the script; once it has the request, of a call's LONG time no more than DEADLINE is left.

    However long a busy machine takes to connect and to write, that is never what the call fails by.
    """

    def run(peer: Peer) -> None:
        read = peer.read

        def read_late() -> bytes:
            request = read()
            clock.ahead += LONG - DEADLINE
            return request

        peer.read = read_late  # type: ignore[method-assign]
        script(peer)

    return run


@pytest.mark.parametrize("call", [closing, reading])
@pytest.mark.parametrize(
    "script",
    [
        drip_status_line,
        drip_headers,
        drip_interim_answers,
        drip_body,
        drip_body_of_a_closing_connection,
        drip_chunks,
        drip_a_chunk_header,
        drip_after_an_error,
    ],
)
def test_no_server_holds_a_call_beyond_its_deadline(
    script: Script, call: Callable[[LNMarketsClient], Any], connect: Connect, clock: Clock
) -> None:
    with Server(once_written(script, clock), answering(MINE)) as server:
        client = connect(server, LONG, LONG)

        def fails() -> None:
            with pytest.raises(OutcomeUnknown if call is closing else Unavailable):
                call(client)

        assert DEADLINE - 0.05 < seconds_of(fails) < DEADLINE + TOLERANCE
        assert connect(server).account().value.id  # the thread is free, the next call unharmed
        assert server.connections == 2


@pytest.mark.parametrize("call", [closing, reading])
def test_no_silent_server_does_either(call: Callable[[LNMarketsClient], Any], connect: Connect) -> None:
    with Server(say_nothing, answering(MINE)) as server:
        client = connect(server, WRITTEN_BY_THEN)

        def fails() -> None:
            with pytest.raises(OutcomeUnknown if call is closing else Unavailable):
                call(client)

        assert WRITTEN_BY_THEN - 0.05 < seconds_of(fails) < WRITTEN_BY_THEN + TOLERANCE
        assert server.client_closed.wait(5)
        assert connect(server).account().value.id
        assert server.connections == 2


def test_a_server_that_reads_nothing_holds_no_call(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts in the kernel and never reads
        client = connect(f"http://127.0.0.1:{listener.getsockname()[1]}", WRITTEN_BY_THEN)

        def fails() -> None:
            with pytest.raises(OutcomeUnknown):
                closing(client)

        assert seconds_of(fails) < WRITTEN_BY_THEN + TOLERANCE


# Connections that break


def reset_at_once(peer: Peer) -> None:
    peer.reset()


def reset_after_the_request(peer: Peer) -> None:
    peer.read()
    peer.reset()


def close_after_the_request(peer: Peer) -> None:
    peer.read()


def truncate(peer: Peer) -> None:
    peer.read()
    peer.send(CLOSED[:-7])


def truncate_chunks(peer: Peer) -> None:
    peer.read()
    body = json.dumps(trade_json(**state("closed"))).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer.send(head + b"%x\r\n%b\r\n" % (len(body), body))  # and no last chunk: more was to come


def no_http(peer: Peer) -> None:
    peer.read()
    peer.send(b"SSH-2.0-OpenSSH\r\n")


def too_many_headers(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n")


def too_large(peer: Peer) -> None:
    peer.read()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
    peer.send(b" " * 9_000_000)


def inflate(peer: Peer) -> None:
    peer.read()
    body = gzip.compress(b" " * 40_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    peer.send(head.encode() + body)


@pytest.mark.parametrize("call", [closing, reading])
@pytest.mark.parametrize(
    "script",
    [
        reset_after_the_request,
        close_after_the_request,
        truncate,
        truncate_chunks,
        no_http,
        too_many_headers,
        too_large,
        inflate,
    ],
)
def test_connection_that_breaks_leaves_a_change_unknown_and_sends_it_no_second_time(
    script: Callable[[Peer], None], call: Callable[[LNMarketsClient], Any], connect: Connect
) -> None:
    with Server(script, answering(MINE)) as server:
        client = connect(server)
        with pytest.raises(OutcomeUnknown if call is closing else Unavailable):
            call(client)
        assert server.connections == 1
        assert len(server.requests) <= 1
        assert client.account().value.id
        assert server.connections == 2


def truncate_the_answer(case: Case) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.read()
        peer.send(http(case.answer)[:-1])

    return script


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_call_that_breaks_is_sent_once_and_only_a_change_is_unknown(case: Case, connect: Connect) -> None:
    with Server(truncate_the_answer(case), reset_after_the_request) as server:
        client = connect(server)
        for attempt in (1, 2):
            with pytest.raises(OutcomeUnknown if case.mutating else Unavailable):
                case.call(client)
            assert len(server.requests) == attempt


def test_reset_before_the_request_is_unknown_unless_nothing_was_written_yet(connect: Connect) -> None:
    with Server(reset_at_once) as server:
        with pytest.raises((OutcomeUnknown, Unavailable)):  # whichever was first, the reset or the writing
            closing(connect(server))
        assert (server.connections, server.requests) == (1, [])


def test_writing_that_breaks_may_have_written(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(self: socket.socket, data: bytes) -> None:
        self.send(data[:100])
        raise ConnectionResetError

    monkeypatch.setattr(socket.socket, "sendall", break_off)
    with Server(say_nothing) as server, pytest.raises(OutcomeUnknown):
        closing(connect(server))


def test_nobody_listening_any_more_is_unavailable(connect: Connect, clock: Clock) -> None:
    with Server(answering(MINE)) as server:
        reading(connect(server))
    clock.ahead += FRESH_SECONDS + 0.1
    with pytest.raises(Unavailable):
        closing(connect(server))


@pytest.mark.parametrize("call", [closing, reading])
def test_nobody_listening_is_unavailable(call: Callable[[LNMarketsClient], Any], connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable) as raised:
        call(connect(f"http://127.0.0.1:{port}"))
    assert raised.value.details == {"cause": "ConnectionRefusedError"}


def test_no_answer_to_connecting_is_unavailable_in_the_time_to_connect(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(self: socket.socket, address: object) -> None:
        threading.Event().wait(self.gettimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", hang)

    def fails() -> None:
        with pytest.raises(Unavailable):
            closing(connect("http://127.0.0.1:1", 5.0, 0.2))

    assert 0.15 < seconds_of(fails) < 4.0


# Kept-alive connections


def test_connection_is_kept_between_accounts_and_calls(connect: Connect) -> None:
    with Server(answering(MINE, CLOSED, MINE)) as server:
        reading(connect(server))
        closing(connect(server))
        reading(connect(server))
        assert server.connections == 1


@pytest.mark.parametrize(
    ("idle", "call", "connections"),
    [
        (FRESH_SECONDS / 4, closing, 1),
        (FRESH_SECONDS + 0.5, closing, 2),
        (FRESH_SECONDS + 0.5, reading, 1),
        (READ_FRESH_SECONDS + 0.5, reading, 2),
    ],
)
def test_change_is_not_sent_on_a_connection_that_was_idle(
    idle: float, call: Callable[[LNMarketsClient], Any], connections: int, connect: Connect, clock: Clock
) -> None:
    answer = CLOSED if call is closing else MINE
    with Server(answering(MINE, answer), answering(answer)) as server:
        client = connect(server)
        reading(client)
        clock.ahead += idle
        call(client)
        assert server.connections == connections
        assert len(server.requests) == 2


@pytest.mark.parametrize("case", [case for case in CASES if case.mutating], ids=str)
def test_no_change_of_any_kind_is_sent_on_a_connection_that_was_idle(
    case: Case, connect: Connect, clock: Clock
) -> None:
    with Server(answering(MINE), answering(http(case.answer))) as server:
        client = connect(server)
        reading(client)
        clock.ahead += FRESH_SECONDS + 0.1
        case.call(client)
        assert server.connections == 2


def test_connection_that_died_unseen_while_idle_never_makes_a_change_unknown(connect: Connect, clock: Clock) -> None:
    """A firewall that drops an idle connection sends no FIN: whatever is written to it is lost."""

    def answer_once_then_swallow(peer: Peer) -> None:
        peer.read()
        peer.send(MINE)
        say_nothing(peer)

    with Server(answer_once_then_swallow, answering(CLOSED)) as server:
        client = connect(server)
        reading(client)
        clock.ahead += FRESH_SECONDS + 0.1
        assert closing(client).value.state == "closed"
        assert len(server.requests) == 2


def test_connection_that_the_server_closed_is_noticed_before_writing(connect: Connect) -> None:
    closed = threading.Event()

    def answer_and_close(peer: Peer) -> None:
        peer.read()
        peer.send(MINE)
        peer.sock.shutdown(socket.SHUT_WR)
        closed.set()

    with Server(answer_and_close, answering(CLOSED)) as server:
        client = connect(server)
        reading(client)
        assert closed.wait(5)
        assert closing(client).value.state == "closed"
        assert len(server.requests) == 2


@pytest.mark.parametrize("ending", [Peer.reset, lambda peer: peer.sock.close()], ids=["reset", "close"])
@pytest.mark.parametrize("call", [closing, reading])
def test_kept_alive_connection_that_breaks_after_writing_sends_nothing_twice(
    call: Callable[[LNMarketsClient], Any], ending: Callable[[Peer], None], connect: Connect
) -> None:
    """The classic double send: many clients silently repeat a request that broke on a kept-alive connection."""

    def answer_then_break(peer: Peer) -> None:
        peer.read()
        peer.send(MINE)
        peer.read()
        ending(peer)

    with Server(answer_then_break, answering(CLOSED)) as server:
        client = connect(server)
        reading(client)
        with pytest.raises(OutcomeUnknown if call is closing else Unavailable):
            call(client)
        assert server.connections == 1
        assert len(server.requests) == 2


@pytest.mark.parametrize("parts", [1, 2])
def test_answer_beyond_its_length_spoils_the_connection_not_the_next_answer(parts: int, connect: Connect) -> None:
    sent = threading.Event()
    surplus = http({**ACCOUNT, "username": "somebody else"})

    def say_too_much(peer: Peer) -> None:
        peer.read()
        for part in [MINE + surplus] if parts == 1 else [MINE, surplus]:
            peer.send(part)
        sent.set()
        peer.wait_for_close()

    with Server(say_too_much, answering(MINE)) as server:
        client = connect(server)
        reading(client)
        assert sent.wait(5)
        assert reading(client).value.id
        assert server.connections == 2


def test_surplus_over_tls_spoils_the_connection_too(server_tls: ssl.SSLContext, trusting: Transport) -> None:
    sent = threading.Event()

    def say_too_much(peer: Peer) -> None:
        peer.read()
        peer.send(MINE)
        peer.send(http({**ACCOUNT, "username": "somebody else"}))
        sent.set()
        peer.wait_for_close()

    with Server(say_too_much, answering(MINE), tls=server_tls) as server:
        reading(over_tls(server, trusting))
        assert sent.wait(5)
        assert reading(over_tls(server, trusting)).value.username == ACCOUNT["username"]
        assert server.connections == 2


def test_call_that_is_interrupted_leaves_its_answer_to_nobody(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupt(BaseException):
        pass

    answered = threading.Event()

    def interrupt(*_: object) -> None:
        assert answered.wait(5)
        raise Interrupt

    def twice(peer: Peer) -> None:
        for _ in range(2):
            assert peer.read()
            peer.send(MINE)
        answered.set()
        peer.wait_for_close()

    with Server(twice, answering(MINE)) as server:
        client = connect(server)
        reading(client)
        with monkeypatch.context() as patch:
            patch.setattr(connection, "read_answer", interrupt)
            with pytest.raises(Interrupt):
                reading(client)
        assert reading(client).value.id
        assert (server.connections, len(server.requests)) == (2, 3)


def test_connections_to_many_exchanges_are_not_all_kept(connect: Connect) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(answering(*[MINE] * (1 + (n == 16))))) for n in range(17)]
        for server in servers:
            reading(connect(server))
        assert servers[0].client_closed.wait(5)
        reading(connect(servers[16]))
        assert [server.connections for server in servers] == [1] * 17


def test_ended_thread_leaves_no_connection_open(wires: Transport, connect: Connect) -> None:
    with Server(answering(MINE)) as server:
        thread = threading.Thread(target=lambda: reading(connect(server)))
        thread.start()
        thread.join()
        del thread
        gc.collect()
        assert server.client_closed.wait(5)


def test_each_thread_has_its_own_connection(connect: Connect) -> None:
    with Server(answering(MINE, MINE)) as server:
        reading(connect(server))
        thread = threading.Thread(target=lambda: reading(connect(server)))
        thread.start()
        thread.join()
        assert server.connections == 2


def test_connection_is_not_used_after_a_fork(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(answering(MINE)) as server:
        reading(connect(server))
        monkeypatch.setattr(os, "getpid", lambda: -1)
        reading(connect(server))
        assert server.connections == 2


# Nothing is kept or taken from elsewhere


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirect_is_not_followed(status: str, connect: Connect) -> None:
    with Server(answering(CLOSED)) as elsewhere:
        away = http({}, status, Location=f"{elsewhere.url}/v3/account")
        with Server(answering(away, away)) as server:
            with pytest.raises(OutcomeUnknown):
                closing(connect(server))
            with pytest.raises(Unavailable):
                reading(connect(server))
            assert len(server.requests) == 2
        assert elsewhere.connections == 0


def test_cookies_are_neither_kept_nor_sent(connect: Connect) -> None:
    with Server(answering(http(ACCOUNT, Set_Cookie="session=someone; Path=/"), CLOSED)) as server:
        reading(connect(server))
        closing(connect(server))
    assert len(server.requests) == 2
    assert not [request for request in server.requests if b"cookie" in request.lower()]


def test_environment_sets_neither_proxy_nor_login_nor_trust(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Server(answering(MINE)) as proxy, Server(answering(MINE)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        reading(connect(server))
        assert proxy.connections == 0
        assert server.requests[0].startswith(b"GET /v3/account HTTP/1.1\r\n")
        assert b"authorization" not in server.requests[0].lower()


# Names


def test_name_that_does_not_exist_is_unavailable(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unavailable):
        closing(connect("http://exchange.invalid"))


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "-", "1.2.3.4.5", "127.0.0.1:99999"])
def test_host_that_is_no_name_is_unavailable(host: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, *args: object, **kwargs: object) -> Any:
        name.encode("idna")
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(Unavailable):
        closing(connect(f"http://{host}"))


def test_name_server_that_is_silent_holds_no_call_and_is_asked_once(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, asked = threading.Event(), []
    real = socket.getaddrinfo

    def silent(host: str, port: int, **kwargs: Any) -> Any:
        asked.append(host)
        answered.wait(10)
        return real("127.0.0.1", port, **kwargs)

    with Server(answering(CLOSED)) as server:
        url = f"http://exchange.example:{server.port}"
        monkeypatch.setattr(socket, "getaddrinfo", silent)

        def fails() -> None:
            with pytest.raises(Unavailable):
                closing(connect(url, 5.0, 0.2))

        assert seconds_of(fails) < 4.0
        assert seconds_of(fails) < 4.0
        assert asked == ["exchange.example"]  # the second call waited for the first one's lookup
        answered.set()
        assert closing(connect(url)).value.state == "closed"
        assert names._pending == {}


def test_next_address_is_tried(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dead = listener.getsockname()[1]
    with Server(answering(CLOSED)) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (dead, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert closing(connect(f"http://exchange.example:{server.port}")).value.state == "closed"


def test_address_that_does_not_answer_leaves_time_for_the_next(
    connect: Connect, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shares = socket.socket.connect, list[float]()

    def hang_on_the_first(self: socket.socket, address: Any) -> None:
        if address[1] == 1:
            shares.append(self.gettimeout() or 0.0)
            clock.ahead += shares[-1]
            raise TimeoutError("timed out")
        real(self, address)

    with Server(answering(CLOSED)) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (1, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket.socket, "connect", hang_on_the_first)
        client = connect(f"http://exchange.example:{server.port}", 40.0, 20.0)
        assert closing(client).value.state == "closed"
        assert 5.0 < shares[0] <= 10.0, "half of the time to connect"


def test_names_are_looked_up_anew_after_a_fork() -> None:
    names._pending["h", 1] = Future()
    names._after_fork()
    assert names._pending == {}


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a self-signed certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False),
            True,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path, clock: Clock) -> Iterator[Transport]:
    wires = Transport(clock=clock, tls=ssl.create_default_context(cafile=str(certificate)))
    yield wires
    wires.close()


def over_tls(server: Server, wires: Transport | None, seconds: float = 5.0) -> LNMarketsClient:
    return LNMarketsClient(ExchangeOptions("wire", server.url, seconds, seconds), CREDENTIALS, transport=wires)


def test_tls_works_and_is_kept_alive(server_tls: ssl.SSLContext, trusting: Transport) -> None:
    with Server(answering(MINE, CLOSED), tls=server_tls) as server:
        reading(over_tls(server, trusting))
        assert closing(over_tls(server, trusting)).value.state == "closed"
        assert server.connections == 1


def test_change_is_not_sent_on_a_tls_connection_that_was_idle(
    server_tls: ssl.SSLContext, trusting: Transport, clock: Clock
) -> None:
    with Server(answering(MINE), answering(CLOSED), tls=server_tls) as server:
        reading(over_tls(server, trusting))
        clock.ahead += FRESH_SECONDS + 0.1
        assert closing(over_tls(server, trusting)).value.state == "closed"
        assert (server.connections, len(server.requests)) == (2, 2)


def test_unknown_certificate_is_unavailable_and_sees_no_request(
    server_tls: ssl.SSLContext, wires: Transport, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):  # must not make it trusted
        monkeypatch.setenv(name, str(certificate))
    with Server(answering(CLOSED), tls=server_tls) as server:
        with pytest.raises(Unavailable) as raised:
            closing(over_tls(server, wires))
        assert raised.value.details == {"cause": "SSLCertVerificationError"}
    assert server.requests == []


def test_certificate_of_another_host_is_unavailable_and_sees_no_request(
    server_tls: ssl.SSLContext, trusting: Transport
) -> None:
    with Server(answering(CLOSED), tls=server_tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(Unavailable):
            closing(LNMarketsClient(ExchangeOptions("wire", url), CREDENTIALS, transport=trusting))
    assert server.requests == []


def test_environment_sets_no_proxy_for_tls_either(
    server_tls: ssl.SSLContext, trusting: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Server(say_nothing) as proxy, Server(answering(CLOSED), tls=server_tls) as server:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert closing(over_tls(server, trusting)).value.state == "closed"
        assert (proxy.connections, server.connections) == (0, 1)


@pytest.mark.parametrize("script", [drip_headers, drip_body, drip_body_of_a_closing_connection])
def test_no_tls_server_holds_a_call_beyond_its_deadline(
    script: Script, server_tls: ssl.SSLContext, trusting: Transport, clock: Clock
) -> None:
    with Server(once_written(script, clock), tls=server_tls) as server:

        def fails() -> None:
            with pytest.raises(OutcomeUnknown):
                closing(over_tls(server, trusting, LONG))

        assert DEADLINE - 0.05 < seconds_of(fails) < DEADLINE + TOLERANCE


def test_no_silent_tls_server_does_either(server_tls: ssl.SSLContext, trusting: Transport) -> None:
    with Server(say_nothing, tls=server_tls) as server:

        def fails() -> None:
            with pytest.raises(OutcomeUnknown):
                closing(over_tls(server, trusting, WRITTEN_BY_THEN))

        assert WRITTEN_BY_THEN - 0.05 < seconds_of(fails) < WRITTEN_BY_THEN + TOLERANCE


def test_handshake_that_drips_is_unavailable_in_time(trusting: Transport) -> None:
    with Server(lambda peer: peer.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 1000)) as server:
        client = LNMarketsClient(
            ExchangeOptions("wire", server.url.replace("http:", "https:"), 5.0, DEADLINE),
            CREDENTIALS,
            transport=trusting,
        )

        def fails() -> None:
            with pytest.raises(Unavailable):
                closing(client)

        assert seconds_of(fails) < DEADLINE + TOLERANCE


def test_tls_connection_that_breaks_after_writing_is_unknown(server_tls: ssl.SSLContext, trusting: Transport) -> None:
    with Server(reset_after_the_request, tls=server_tls) as server, pytest.raises(OutcomeUnknown):
        closing(over_tls(server, trusting))
    assert len(server.requests) == 1


def test_rejection_over_a_real_socket_is_final(connect: Connect) -> None:
    with Server(answering(http({"message": "no"}, "400 Bad Request"))) as server:
        with pytest.raises(Rejected) as raised:
            closing(connect(server))
        assert isinstance(raised.value, ExchangeError)
        assert server.connections == 1
