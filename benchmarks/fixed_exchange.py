"""An LN Markets that always gives the same answers, so fast that it is never what is measured.

A process of its own: one thread, one selector, answers made beforehand. Signatures are not checked and nothing is
kept but counts and, if wanted, when what arrived. Every account has one running trade, a long whose guard (90
percent) is due at the fixed price; its id is the account's key, written as a UUID (see `trade_id_of`). Closing it
changes nothing.

Besides ``/v3``: ``GET /bench/counts``, ``GET /bench/arrivals``, ``POST /bench/reset``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import selectors
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from axisor_executor.embedded import ChildProcess

ENTRY_PRICE, PRICE, LIQUIDATION = 54_500, 50_000, 49_545.5
GUARD_THRESHOLD = 90
_CREATED = "2026-01-02T03:04:05.678Z"
_TRADE: dict[str, Any] = {
    "id": "",
    "uid": "00000000-0000-4000-8000-000000000001",
    "type": "market",
    "side": "buy",
    "quantity": 100,
    "margin": 18_349,
    "leverage": 10,
    "price": ENTRY_PRICE,
    "entryPrice": ENTRY_PRICE,
    "entryMargin": 18_349,
    "exitPrice": None,
    "liquidation": LIQUIDATION,
    "maintenanceMargin": 400,
    "openingFee": 183,
    "closingFee": 0,
    "pl": -16_514,
    "stoploss": 0,
    "stoplossTrailingDistance": 0,
    "takeprofit": 0,
    "sumFundingFees": 0,
    "sumCashInMargin": 0,
    "sumCashInPl": 0,
    "createdAt": _CREATED,
    "filledAt": _CREATED,
    "closedAt": None,
    "clientId": None,
    "open": False,
    "running": True,
    "closed": False,
    "canceled": False,
}
_ENDED = {"running": False, "closed": True, "exitPrice": PRICE, "closingFee": 200, "closedAt": _CREATED}
_CANCELED = {"running": False, "canceled": True, "entryPrice": None, "filledAt": None}
_EMPTY_PAGE = b'{"data":[],"nextCursor":null}'
_ISOLATED = "/v3/futures/isolated"
ENTRY_PATH = f"{_ISOLATED}/trade"


def trade_id_of(key: str) -> str:
    """Return the id of the running trade of the account with this key (32 hexadecimal digits)."""
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:32]}"


@dataclass(frozen=True)
class Counts:
    """What the exchange has answered so far, and its CPU time in seconds. ``changes``: what was no GET."""

    requests: int
    changes: int
    cpu: float
    by_path: dict[str, int]


@dataclass(frozen=True)
class Arrival:
    """A request that would change something: when it had arrived (`time.time`), with which key, for which trade.

    ``name``: the trade's id, or the client id of a new one, which holds the execution's id.
    """

    at: float
    path: str
    key: str
    name: str


class FixedExchange:
    """The server in a process of its own on a free loopback port; a context manager.

    Args:
        folder: for its log.
        delay: seconds from a request to its answer.
        journal: whether `arrivals` are kept.
        lifeline: see `ChildProcess`.
    """

    def __init__(self, folder: Path, *, delay: float = 0.0, journal: bool = False, lifeline: int | None = None) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--delay", str(delay)]
        command += ["--journal"] if journal else []
        self.process = ChildProcess(
            command, output=folder / "exchange.log", cwd=folder, name="fixed exchange", lifeline=lifeline
        )
        self.url = ""

    def __enter__(self) -> Self:
        self.process.start()
        try:
            self.url = self.process.wait_for_line(r"^http://\S+$")[0]
        except BaseException:
            self.process.stop()
            raise
        self._control = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self.process.stop()

    def counts(self) -> Counts:
        """Return what was answered since the last `reset`."""
        return Counts(**self._ask("GET", "counts"))

    def arrivals(self) -> list[Arrival]:
        """Return the changes that arrived since the last `reset`, oldest first (with ``journal``)."""
        return [Arrival(*row) for row in self._ask("GET", "arrivals")]

    def reset(self) -> None:
        """Count from zero."""
        self._ask("POST", "reset")

    def _ask(self, method: str, path: str) -> Any:
        self._control.request(method, f"/bench/{path}")
        return json.loads(self._control.getresponse().read())


class _Client:
    """One connection, and what was received of its next request."""

    __slots__ = ("buffer", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.buffer = b""


class _Server:
    def __init__(self, *, delay: float, journal: bool) -> None:
        self.delay = delay
        self.journal = journal
        self.selector = selectors.DefaultSelector()
        self.late: deque[tuple[float, _Client, bytes]] = deque()
        self.made = 0
        self.second = 0
        self.head = self.ticker = b""
        self.reset()

    def reset(self) -> None:
        self.counts: Counter[str] = Counter()
        self.changes = 0
        self.arrivals: list[tuple[float, str, str, str]] = []

    def serve(self, listener: socket.socket) -> None:
        self.selector.register(listener, selectors.EVENT_READ, None)
        while True:
            wait = max(self.late[0][0] - time.monotonic(), 0.0) if self.late else None
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.selector.register(connection, selectors.EVENT_READ, _Client(connection))
                else:
                    self._receive(key.data)
            now = time.monotonic() if self.late else 0.0
            while self.late and self.late[0][0] <= now:
                _, client, answer = self.late.popleft()
                self._send(client, answer)

    def _receive(self, client: _Client) -> None:
        try:
            data = client.socket.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        client.buffer += data
        while (end := client.buffer.find(b"\r\n\r\n")) >= 0:
            head, rest = client.buffer[:end], client.buffer[end + 4 :]
            length = 0
            if not head.startswith(b"GET"):
                found = head.lower().find(b"\r\ncontent-length:")
                length = int(head[found + 17 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(rest) < length:
                return
            client.buffer = rest[length:]
            self._answer(client, head, rest[:length])

    def _answer(self, client: _Client, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        path = target.partition("?")[0]
        now = int(time.time())
        if now != self.second:
            self._turn(now)
        if path.startswith("/bench/"):
            self._send(client, self._whole(self._controlled(path[7:])))
            return
        self.counts[path] += 1
        try:
            answer = self._whole(self._found(method, path, head, body))
        except (ValueError, KeyError):
            answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        if self.delay:
            self.late.append((time.monotonic() + self.delay, client, answer))
        else:
            self._send(client, answer)

    def _turn(self, second: int) -> None:
        """Make anew what tells the time."""
        self.second = second
        date = formatdate(second, usegmt=True)
        self.head = (
            f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: "
        ).encode()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(second))
        self.ticker = json.dumps(
            {
                "time": stamp,
                "index": PRICE,
                "lastPrice": PRICE,
                "fundingRate": 0.0001,
                "fundingTime": stamp,
                "prices": [{"askPrice": PRICE, "bidPrice": PRICE, "minSize": 1, "maxSize": 500_000}],
                "priceChange24h": {"ratio": 0, "updatedAt": stamp},
                "exchangesWeights": {"bybit": 0.4, "binance": 0.4, "okx": 0.2},
            }
        ).encode()

    def _whole(self, body: bytes) -> bytes:
        return b"%b%d\r\n\r\n%b" % (self.head, len(body), body)

    def _found(self, method: str, path: str, head: bytes, body: bytes) -> bytes:
        if method != "GET":
            return self._changed(path, _key(head), json.loads(body) if body else {})
        match path:
            case "/v3/futures/ticker":
                return self.ticker
            case "/v3/account":
                return _ACCOUNT % trade_id_of(_key(head)).encode()
            case "/v3/futures/isolated/trades/running":
                return _RUNNING % trade_id_of(_key(head)).encode()
            case "/v3/futures/isolated/trades/open":
                return b"[]"
        return _EMPTY_PAGE

    def _changed(self, path: str, key: str, asked: dict[str, Any]) -> bytes:
        self.changes += 1
        if self.journal:
            self.arrivals.append((time.time(), path, key, str(asked.get("id") or asked.get("clientId") or "")))
        if path == ENTRY_PATH:
            self.made += 1
            return json.dumps(
                {
                    **_TRADE,
                    "id": f"{self.made:08x}-0000-4000-8000-000000000000",
                    "type": asked["type"],
                    "side": asked["side"],
                    "quantity": asked["quantity"],
                    "leverage": asked["leverage"],
                    "price": PRICE,
                    "entryPrice": PRICE,
                    "pl": 0,
                    "stoploss": asked.get("stoploss") or 0,
                    "takeprofit": asked.get("takeprofit") or 0,
                    "clientId": asked.get("clientId"),
                }
            ).encode()
        ends: dict[str, dict[str, Any]] = {"close": _ENDED, "cancel": _CANCELED}
        last = path.rpartition("/")[2]
        more: dict[str, Any] = ends.get(last) or ({last: asked["value"]} if "value" in asked else {})
        return json.dumps({**_TRADE, **more, "id": asked["id"]}).encode()

    def _controlled(self, name: str) -> bytes:
        if name == "reset":
            self.reset()
        if name == "arrivals":
            return json.dumps(self.arrivals).encode()
        counts = Counts(sum(self.counts.values()), self.changes, time.process_time(), dict(self.counts))
        return json.dumps(counts.__dict__).encode()

    def _send(self, client: _Client, answer: bytes) -> None:
        try:
            client.socket.sendall(answer)
        except OSError:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if client.socket.fileno() >= 0:
            self.selector.unregister(client.socket)
            client.socket.close()


_RUNNING = json.dumps([{**_TRADE, "id": "%s"}]).encode()
_ACCOUNT = json.dumps(
    {
        "id": "%s",
        "username": "bench",
        "email": None,
        "balance": 100_000_000,
        "syntheticUsdBalance": 0,
        "feeTier": 0,
        "linkingPublicKey": None,
    }
).encode()


def _key(head: bytes) -> str:
    """Return the account's key; that of a request without one is all zeros."""
    found = head.lower().find(b"\r\nlnm-access-key:")
    return head[found + 17 :].split(b"\r\n", 1)[0].strip().decode() if found >= 0 else "0" * 32


def main() -> None:
    """Serve until killed; the first line of output is the address."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--delay", type=float, default=0.0, help="seconds from a request to its answer")
    parser.add_argument("--journal", action="store_true", help="keep when which change arrived")
    asked = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        _Server(delay=asked.delay, journal=asked.journal).serve(listener)


if __name__ == "__main__":
    main()
