"""How many requests a second the paper exchange answers: python benchmarks/paper_exchange.py [--help]

Each case starts a server of its own and sends it requests that were signed beforehand, over a few connections that are
kept alive, each with some requests on the way. Signatures are checked, rate limits are on (too high to refuse anything)
and the journal is written. Shown are requests a second of wall time, and the server's own CPU time for one request,
from which follows what one core could do if this script did not share the machine with it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import platform
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

CONNECTIONS = 8
ON_THE_WAY = 8
"""Requests that a connection has sent and not seen answered."""
ORDER = {"type": "market", "side": "buy", "leverage": 10, "quantity": 1}
TRADE = "/v3/futures/isolated/trade"


class Result(NamedTuple):
    """Requests a second, and microseconds of the server's CPU time for one."""

    rate: float
    cpu: float


class Server:
    """A paper exchange in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.pid = process.pid
        self.url = url
        host, port = url.removeprefix("http://").split(":")
        self.address = (host, int(port))

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the control surface."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/paper/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def cpu(self) -> float:
        """Return the seconds of CPU time that the server has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the MiB of memory that the server has in use."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """Run a server while the context lasts."""
    command = [sys.executable, "-m", "axisor_paper_exchange", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process, json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


def signed(account: dict[str, Any], method: str, path: str, body: str = "") -> bytes:
    """Return a request as it goes over the wire."""
    timestamp = str(int(time.time() * 1000))
    text = f"{timestamp}{method.lower()}{path}{body}"
    digest = hmac.digest(account["secret"].encode(), text.encode(), hashlib.sha256)
    head = [
        f"{method} {path} HTTP/1.1",
        "Host: paper",
        f"lnm-access-key: {account['key']}",
        f"lnm-access-passphrase: {account['passphrase']}",
        f"lnm-access-timestamp: {timestamp}",
        f"lnm-access-signature: {base64.b64encode(digest).decode()}",
    ]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


def measure(server: Server, requests: list[bytes]) -> Result:
    """Send the requests, and see to it that every answer is a 200."""
    began, cpu = time.perf_counter(), server.cpu()
    with selectors.DefaultSelector() as selector:
        for number in range(CONNECTIONS):
            connection = socket.create_connection(server.address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            own = requests[number::CONNECTIONS]
            client = _Client(connection, own)
            selector.register(connection, selectors.EVENT_READ, client)
            client.send(min(ON_THE_WAY, len(own)))
        while selector.get_map():
            for key, _ in selector.select():
                if key.data.receive():
                    selector.unregister(key.fileobj)
                    key.data.connection.close()
    wall = time.perf_counter() - began
    return Result(len(requests) / wall, (server.cpu() - cpu) / len(requests) * 1e6)


class _Client:
    """One connection and the requests that are left for it."""

    def __init__(self, connection: socket.socket, requests: list[bytes]) -> None:
        self.connection = connection
        self._requests = requests
        self._sent = self._answered = 0
        self._tail = b""

    def send(self, count: int) -> None:
        self.connection.sendall(b"".join(self._requests[self._sent : self._sent + count]))
        self._sent += count

    def receive(self) -> bool:
        """Take answers in and send as many requests; tell whether that was all."""
        data = self.connection.recv(1 << 18)
        assert data, "the server closed the connection"
        found = self._tail + data
        answers = found.count(b"HTTP/1.1 ")
        assert found.count(b"HTTP/1.1 200") >= answers - 1, found[:2000]
        # What could be the begin of a status line is looked at again with what follows it.
        cut = max(found.rfind(b"HTTP/1.1 "), len(found) - 12)
        self._tail = found[cut:]
        if self._tail.startswith(b"HTTP/1.1 ") and len(self._tail) < 12:
            answers -= 1
        else:
            self._tail = self._tail[1:]
        self._answered += answers
        self.send(min(answers, len(self._requests) - self._sent))
        return self._answered == len(self._requests)


def populate(server: Server, accounts: int, trades: int) -> list[dict[str, Any]]:
    """Open accounts and trades."""
    made = [server.control("POST", "accounts", {"balance": 10**9}) for _ in range(accounts)]
    body = json.dumps(ORDER)
    for begin in range(0, trades, 5000):
        batch = range(begin, min(begin + 5000, trades))
        measure(server, [signed(made[at % accounts], "POST", TRADE, body) for at in batch])
    return made


def case(name: str, count: int, accounts: int, trades: int, *options: str) -> None:
    """Measure one server and print what came out."""
    with serving(*options) as server:
        server.control("PUT", "settings", {"privateRequestsPerSecond": 10**6, "publicRequestsPerSecond": 10**6})
        made = populate(server, accounts, trades)
        reads = measure(server, [signed(made[at % accounts], "GET", "/v3/account") for at in range(count)])
        body = json.dumps(ORDER)
        orders = measure(server, [signed(made[at % accounts], "POST", TRADE, body) for at in range(count)])
        assert server.control("GET", "audit")["ok"]
        for what, result in (("GET /account", reads), ("POST new trade", orders)):
            print(f"{name:40}{what:16}{result.rate:>10.0f}{result.cpu:>12.0f}{1e6 / result.cpu:>12.0f}")
        print(f"{'':40}{server.memory()} MiB of memory")


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="requests of each kind (default: %(default)s)")
    parser.add_argument("--accounts", type=int, default=5_000, help="accounts of the large cases")
    parser.add_argument("--trades", type=int, default=20_000, help="trades of the large cases")
    asked = parser.parse_args()
    print(
        f"{platform.platform()}, {os.cpu_count()} CPUs, {platform.python_implementation()} {platform.python_version()}"
    )
    print(f"aiohttp {version('aiohttp')}, axisor-paper-exchange {version('axisor-paper-exchange')}")
    print(f"{asked.requests} requests of each kind, {CONNECTIONS} connections x {ON_THE_WAY} requests on the way\n")
    print(f"{'':40}{'':16}{'requests/s':>10}{'CPU us/req':>12}{'1 core /s':>12}")
    large = f"{asked.accounts} accounts, {asked.trades} trades"
    with tempfile.TemporaryDirectory() as folder:
        case("1 account", asked.requests, 1, 0)
        case("1 account, --state", asked.requests, 1, 0, "--state", f"{folder}/small")
        case(large, asked.requests, asked.accounts, asked.trades)
        case(f"{large}, --state", asked.requests, asked.accounts, asked.trades, "--state", f"{folder}/large")


if __name__ == "__main__":
    main()
