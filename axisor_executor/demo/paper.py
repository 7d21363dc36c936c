"""The paper exchange's control surface: what the demo sees and moves as the world around the executor."""

from __future__ import annotations

from typing import Any

import requests

from axisor_executor.errors import AxisorError

Row = dict[str, Any]


class Paper:
    """``/paper/`` of a paper exchange at ``url``. Rows come back as the exchange wrote them (camelCase)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between here and loopback

    def open_account(self, username: str, key: str, secret: str, passphrase: str) -> Row:
        """Open an account with these keys."""
        asked = {"username": username, "key": key, "secret": secret, "passphrase": passphrase}
        return dict(self._call("POST", "accounts", asked))

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
            raise AxisorError(f"the paper exchange does not answer: {type(error).__name__}", code="demo") from None
        if not answer.ok:
            raise AxisorError(f"the paper exchange refused {method} /paper/{path}: {answer.status_code}", code="demo")
        return answer.json()
