"""The paper exchange as a process of its own, and its control surface as methods."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from axisor_executor.embedded import ChildProcess

Row = dict[str, Any]


@dataclass(frozen=True)
class PaperAccount:
    """An account on the paper exchange with its keys; balance in sats at its opening."""

    id: str
    username: str
    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)
    balance: int

    def credentials(self) -> dict[str, str]:
        """Return the keys as the monolith's rows name them, not encrypted."""
        return {"API Key": self.key, "API Secret": self.secret, "Passphrase": self.passphrase, "isTestnet": "false"}


class PaperExchange:
    """``axisor-paper-exchange`` on a free loopback port; a context manager.

    The methods are those of ``/paper/``; rows come back as the exchange wrote them (camelCase).
    """

    def __init__(self, output: Path) -> None:
        self.process = ChildProcess(
            [sys.executable, "-m", "axisor_paper_exchange", "--port", "0"], output=output, name="paper exchange"
        )
        self.url = ""
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between here and loopback

    def __enter__(self) -> Self:
        self.process.start()
        try:
            self.url = json.loads(self.process.wait_for_line(r"^\{.*\}$")[0])["url"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the process. May be called again."""
        self._session.close()
        self.process.stop()

    def reset(self) -> None:
        """Remove accounts, trades, faults and journals; put price and settings back."""
        self._call("POST", "reset")

    def create_account(self, username: str | None = None, *, balance: int = 1_000_000, **keys: str) -> PaperAccount:
        """Open an account with ``balance`` sats; ``key``, ``secret``, ``passphrase`` are made up where not given."""
        asked = {"username": username, "balance": balance, **keys}
        made = self._call("POST", "accounts", {name: value for name, value in asked.items() if value is not None})
        return PaperAccount(**{name: made[name] for name in PaperAccount.__dataclass_fields__})

    def add_keys(self, account: PaperAccount, *permissions: str) -> PaperAccount:
        """Give an account one more key, with these permissions or all, and return the account with it."""
        asked = {"permissions": list(permissions)} if permissions else {}
        made = self._call("POST", f"accounts/{account.id}/keys", asked)
        return replace(account, key=made["key"], secret=made["secret"], passphrase=made["passphrase"])

    def revoke_keys(self, account: PaperAccount) -> None:
        """Make an account's key invalid."""
        self._call("DELETE", f"accounts/{account.id}/keys/{account.key}")

    def account(self, account: PaperAccount | str) -> Row:
        """Return balance, counts and ledger of an account."""
        return dict(self._call("GET", f"accounts/{_id(account)}"))

    def balance(self, account: PaperAccount | str) -> int:
        """Return an account's balance in sats."""
        return int(self.account(account)["balance"])

    def trades(self, account: PaperAccount | str, *, client_id: str | None = None) -> list[Row]:
        """Return an account's trades in all states, oldest first."""
        return list(self._call("GET", f"accounts/{_id(account)}/trades", clientId=client_id))

    def trade(self, account: PaperAccount | str, trade_id: str) -> Row:
        """Return one trade."""
        return next(row for row in self.trades(account) if row["id"] == trade_id)

    def set_price(self, price: Decimal | float) -> list[Row]:
        """Move the last price (USD, steps of 0.5); return the triggers that this set off."""
        return list(self._call("PUT", "price", {"price": str(price)})["triggered"])

    def requests(
        self,
        *,
        since: int = 0,
        account: PaperAccount | str | None = None,
        path: str | None = None,
        mutating: bool = False,
    ) -> list[Row]:
        """Return the requests to ``/v3``, oldest first."""
        asked: Row = {"account": account and _id(account), "path": path, "mutating": "true" if mutating else None}
        return list(self._call("GET", "requests", None, since=since, **asked))

    def effects(self, *, since: int = 0, account: PaperAccount | str | None = None) -> list[Row]:
        """Return the changes of state that requests caused, oldest first."""
        return list(self._call("GET", "effects", since=since, account=account and _id(account)))

    def audit(self) -> list[str]:
        """Return what is wrong with the exchange's own books: nothing, if it is sound."""
        return list(self._call("GET", "audit")["problems"])

    def add_fault(self, kind: str, **options: Any) -> str:
        """Set a fault (``route``, ``account``, ``mutating``, ``rate``, ``count``, ``seconds``, ...); return its id."""
        account = options.get("account")
        if isinstance(account, PaperAccount):
            options["account"] = account.id
        return str(self._call("POST", "faults", {"kind": kind, **options})["id"])

    def faults(self) -> list[Row]:
        """Return the faults that are set, with how often each has struck."""
        return list(self._call("GET", "faults"))

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._call("DELETE", "faults")

    def settings(self, **changes: Any) -> Row:
        """Change settings (``windowSeconds``, ``feeRate``, ``spread``, ...), if any are given, and return them all."""
        return dict(self._call("PUT", "settings", changes) if changes else self._call("GET", "settings"))

    def _call(self, method: str, path: str, body: Row | None = None, /, **query: Any) -> Any:
        answer = self._session.request(method, f"{self.url}/paper/{path}", json=body, params=query, timeout=10)
        assert answer.ok, f"{method} /paper/{path}: {answer.status_code} {answer.text}"
        return answer.json()


def _id(account: PaperAccount | str) -> str:
    return account if isinstance(account, str) else account.id
