"""The paper exchange as a child, and its control surface: the world around the executor, to be seen and moved."""

from __future__ import annotations

import json
from typing import Any

import requests

from axisor_executor.embedded.process import ChildProcess
from axisor_executor.errors import EmbeddedServerError

Row = dict[str, Any]
MODULE = "axisor_paper_exchange"


def announced_url(server: ChildProcess, *, timeout: float, since: int = 0) -> str:
    """Wait until a paper exchange says that it is ready, and return its address.

    Raises:
        EmbeddedServerError: it ended first, or ``timeout`` seconds passed.
    """
    line = server.wait_for_line(r"^\{.*\}$", timeout=timeout, since=since)
    return str(json.loads(line[0])["url"])


class Paper:
    """``/paper/`` of a paper exchange at ``url``. Rows come back as the exchange wrote them (camelCase)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between here and loopback

    def open_account(self, username: str, key: str, secret: str, passphrase: str, **more: int) -> Row:
        """Open an account with these keys; ``balance`` (sats) is the only other thing it takes."""
        asked = {"username": username, "key": key, "secret": secret, "passphrase": passphrase, **more}
        return dict(self._call("POST", "accounts", asked))

    def accounts(self) -> list[Row]:
        """Return all accounts, without their secrets."""
        return list(self._call("GET", "accounts"))

    def move_price(self, price: int) -> list[Row]:
        """Move the last price (USD) and return what that set off."""
        return list(self._call("PUT", "price", {"price": str(price)})["triggered"])

    def trades(self, account_id: str) -> list[Row]:
        """Return all trades of an account, oldest first."""
        return list(self._call("GET", f"accounts/{account_id}/trades"))

    def effects(self) -> list[Row]:
        """Return every change that a request caused, oldest first."""
        return list(self._call("GET", "effects"))

    def requests(self) -> list[Row]:
        """Return every request that was to change something, oldest first."""
        return list(self._call("GET", "requests", None, mutating="true"))

    def audit(self) -> list[str]:
        """Return what is wrong with the exchange's own books."""
        return list(self._call("GET", "audit")["problems"])

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _call(self, method: str, path: str, body: Row | None = None, /, **query: str) -> Any:
        try:
            answer = self._session.request(method, f"{self.url}/paper/{path}", json=body, params=query, timeout=10)
        except requests.RequestException as error:
            raise EmbeddedServerError(f"the paper exchange does not answer: {type(error).__name__}") from None
        if not answer.ok:
            raise EmbeddedServerError(f"the paper exchange refused {method} /paper/{path}: {answer.status_code}")
        return answer.json()
