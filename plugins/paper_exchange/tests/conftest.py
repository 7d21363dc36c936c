"""A real server process for the HTTP tests, and a client that signs for itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import requests

TRADE = "/futures/isolated/trade"
TRADES = "/futures/isolated/trades"


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark where these tests run without the executor's repository."""
    config.addinivalue_line("markers", "slow: fresh environments; run on the default Python only")


class Trader:
    """An account of the paper exchange and the calls that it makes."""

    def __init__(self, url: str, session: requests.Session, account: dict[str, Any]) -> None:
        self.url = url
        self.session = session
        self.id = account["id"]
        self.key = account["key"]
        self.secret = account["secret"]
        self.passphrase = account["passphrase"]

    def headers(self, method: str, target: str, body: str, *, skew: float = 0.0) -> dict[str, str]:
        timestamp = str(int((time.time() + skew) * 1000))
        signed = f"{timestamp}{method.lower()}{target}{body}"
        digest = hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).digest()
        return {
            "lnm-access-key": self.key,
            "lnm-access-passphrase": self.passphrase,
            "lnm-access-timestamp": timestamp,
            "lnm-access-signature": base64.b64encode(digest).decode(),
        }

    def send(
        self, method: str, path: str, body: Any = None, *, query: str = "", skew: float = 0.0, timeout: float = 10.0
    ) -> requests.Response:
        target = f"/v3{path}" + (f"?{query}" if query else "")
        data = "" if body is None else json.dumps(body, separators=(",", ":"))
        headers = self.headers(method, target, data, skew=skew)
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self.session.request(method, self.url + target, data=data or None, headers=headers, timeout=timeout)

    def get(self, path: str, query: str = "") -> Any:
        return self._good(self.send("GET", path, query=query))

    def post(self, path: str, body: Any = None) -> Any:
        return self._good(self.send("POST", path, body))

    def put(self, path: str, body: Any) -> Any:
        return self._good(self.send("PUT", path, body))

    def delete(self, path: str, query: str) -> Any:
        return self._good(self.send("DELETE", path, query=query))

    def buy(self, **order: Any) -> Any:
        return self.post(TRADE, {"type": "market", "side": "buy", "leverage": 10, "quantity": 10, **order})

    def limit(self, price: float, **order: Any) -> Any:
        return self.post(
            TRADE, {"type": "limit", "side": "buy", "leverage": 10, "quantity": 10, "price": price, **order}
        )

    def refused(self, method: str, path: str, body: Any = None, *, query: str = "", status: int = 400) -> Any:
        response = self.send(method, path, body, query=query)
        assert response.status_code == status, response.text
        error = response.json()
        assert set(error) == {"message", "code", "details"}
        return error

    @property
    def balance(self) -> int:
        return int(self.get("/account")["balance"])

    @staticmethod
    def _good(response: requests.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json()


class Paper:
    """The control surface of a running server."""

    process: subprocess.Popen[str]

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session

    def send(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self.session.request(method, f"{self.url}/paper/{path}", json=body, timeout=10)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        response = self.send(method, path, body)
        assert response.ok, response.text
        return response.json()

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def trader(self, **account: Any) -> Trader:
        return Trader(self.url, self.session, self.ask("POST", "accounts", account))

    def move(self, price: float) -> Any:
        return self.ask("PUT", "price", {"price": price})["triggered"]

    def set(self, **settings: Any) -> Any:
        return self.ask("PUT", "settings", settings)

    def fault(self, kind: str, **fault: Any) -> str:
        return str(self.ask("POST", "faults", {"kind": kind, **fault})["id"])

    def effects(self) -> list[tuple[str, str]]:
        return [(row["kind"], row["tradeId"]) for row in self.get("effects")]


@contextmanager
def running(*options: str) -> Iterator[Paper]:
    """A server of its own, killed in the end if it still runs then."""
    command = [sys.executable, "-m", "axisor_paper_exchange", "--port", "0", *options]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        requests.Session() as session,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            paper = Paper(json.loads(line)["url"], session)
            paper.process = process
            yield paper
        finally:
            process.kill()


@pytest.fixture
def start() -> Callable[..., AbstractContextManager[Paper]]:
    """Starts a server with options; a context manager."""
    return running


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    command = [sys.executable, "-m", "axisor_paper_exchange", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            assert process.wait(10) == 0


@pytest.fixture
def paper(server_url: str) -> Iterator[Paper]:
    with requests.Session() as session:
        paper = Paper(server_url, session)
        paper.ask("POST", "reset")
        yield paper
        assert paper.get("audit") == {"ok": True, "problems": []}


@pytest.fixture
def trader(paper: Paper) -> Trader:
    return paper.trader()
