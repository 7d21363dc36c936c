"""Every fault as it is on the wire: bytes, and whether the exchange has acted."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from axisor_paper_exchange.server.faults import kinds

TRADE = "/v3/futures/isolated/trade"
BODY = '{"type":"market","side":"buy","leverage":10,"quantity":10}'


class Wire:
    """A bare connection."""

    def __init__(self, paper: Any, trader: Any) -> None:
        self.paper = paper
        self.trader = trader
        host, port = paper.url.removeprefix("http://").split(":")
        self.connection = socket.create_connection((host, int(port)), timeout=20)

    def order(self) -> None:
        head = [f"POST {TRADE} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(BODY)}"]
        head += [f"{name}: {value}" for name, value in self.trader.headers("POST", TRADE, BODY).items()]
        self.connection.sendall(("\r\n".join(head) + "\r\n\r\n" + BODY).encode())

    def until_closed(self) -> bytes:
        """Everything that comes until the server closes the connection."""
        data = b""
        while more := self.connection.recv(4096):
            data += more
        return data

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One whole answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self.more()
        return int(first.split()[1]), headers, body

    def more(self) -> bytes:
        data = self.connection.recv(4096)
        assert data, "the connection was closed"
        return data

    @property
    def acted(self) -> bool:
        return len(self.paper.effects()) == 1


@pytest.fixture
def wire(paper: Any, trader: Any) -> Iterator[Wire]:
    wire = Wire(paper, trader)
    with wire.connection:
        yield wire


def strike(wire: Wire, kind: str, **fault: Any) -> None:
    wire.paper.fault(kind, route="POST " + TRADE, count=1, **fault)
    wire.order()


def still_serves(wire: Wire) -> bool:
    """The connection is good for another request."""
    wire.order()
    return wire.answer()[0] == 200


def test_latency(wire: Wire) -> None:
    began = time.monotonic()
    strike(wire, "latency", seconds=0.2)
    assert wire.answer()[0] == 200
    assert time.monotonic() - began >= 0.2
    assert wire.acted
    assert still_serves(wire)


def test_latency_with_jitter_differs_from_strike_to_strike(paper: Any, wire: Wire) -> None:
    paper.fault("latency", route="POST " + TRADE, seconds=0, jitter=0.2, seed=4)
    durations = []
    for _ in range(6):
        began = time.monotonic()
        wire.order()
        wire.answer()
        durations.append(time.monotonic() - began)
    assert max(durations) - min(durations) > 0.05


def test_stall(wire: Wire) -> None:
    began = time.monotonic()
    strike(wire, "stall", seconds=0.3)
    assert wire.until_closed() == b""
    assert time.monotonic() - began >= 0.3
    assert not wire.acted


def test_drop_before(wire: Wire) -> None:
    strike(wire, "drop_before")
    assert wire.until_closed() == b""
    assert not wire.acted


def test_drop_after(wire: Wire) -> None:
    strike(wire, "drop_after")
    assert wire.until_closed() == b""
    assert wire.acted


def test_act_late(wire: Wire) -> None:
    strike(wire, "act_late", seconds=3)
    assert not wire.acted
    assert wire.answer()[0] == 200
    assert wire.acted
    assert still_serves(wire)


def test_act_late_without_a_client(wire: Wire) -> None:
    strike(wire, "act_late", seconds=0.3)
    # Its arrival is written down at once; then the client goes.
    while not any(row["fault"] for row in wire.paper.get("requests")):
        pass
    wire.connection.close()
    deadline = time.monotonic() + 20
    while not wire.acted:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("kind", "acts"), [("status_before", False), ("status_after", True)])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_errors(wire: Wire, kind: str, acts: bool, status: int) -> None:
    strike(wire, kind, status=status, retryAfter=7)
    answered, headers, body = wire.answer()
    assert (answered, headers["retry-after"]) == (status, "7")
    assert set(json.loads(body)) == {"message", "code", "details"}
    assert wire.acted is acts
    assert still_serves(wire)


def test_rate_limit(wire: Wire) -> None:
    strike(wire, "rate_limit")
    status, headers, body = wire.answer()
    assert (status, headers["retry-after"], json.loads(body)["code"]) == (429, "1", "RATE_LIMIT_EXCEEDED")
    assert not wire.acted
    strike(wire, "rate_limit", retryAfter=30)
    assert wire.answer()[1]["retry-after"] == "30"


def test_malformed(wire: Wire) -> None:
    strike(wire, "malformed")
    status, headers, body = wire.answer()
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert wire.acted
    assert still_serves(wire)


def test_truncated(wire: Wire) -> None:
    strike(wire, "truncated")
    head, _, body = wire.until_closed().partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length"))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(body) == length // 2
    assert wire.acted


def test_wrong_content_type(wire: Wire) -> None:
    strike(wire, "wrong_content_type")
    status, headers, body = wire.answer()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!doctype html>")
    assert wire.acted
    assert still_serves(wire)


def test_slow_bytes(wire: Wire) -> None:
    began = time.monotonic()
    strike(wire, "slow_bytes", seconds=0.4)
    status, _, body = wire.answer()
    assert (status, json.loads(body)["running"]) == (200, True)
    assert time.monotonic() - began >= 0.4
    assert wire.acted
    assert still_serves(wire)


def test_every_fault_is_tested_here() -> None:
    tested = {name for name in globals() if name.startswith("test_")}
    for kind in kinds:
        assert f"test_{kind}" in tested or kind in {"status_before", "status_after"}, kind
