"""The first users of a paper stack: an account each on the paper exchange, and automations of both lanes.

The keys of the accounts are derived from the stack's encryption key, so that a paper exchange which has lost its state
gets the same accounts again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from axisor_executor import accounts, automations
from axisor_executor.credentials import SecureCredentials
from axisor_executor.embedded.paper import Paper
from axisor_executor.runtime import Runtime
from axisor_executor.storage import account_rows

BALANCE: Final = 10_000_000
"""What each account begins with, in sats."""


@dataclass(frozen=True)
class PaperAccount:
    """A user's account; ``automations``: (name, type, config) of each that acts on it."""

    user: str
    name: str
    automations: tuple[tuple[str, str, Mapping[str, Any]], ...]

    @property
    def id(self) -> str:
        """The same for each paper stack."""
        return _id(self.name)


def _all_from(threshold: int) -> dict[str, Any]:
    return {"scope": "all", "margin_threshold": threshold}


ACCOUNTS: Final = (
    PaperAccount(
        "paper-alice",
        "Alice Main",
        (
            ("guard", "margin_guard", {"action": "add_margin", "add_margin_amount": 2000, **_all_from(60)}),
            ("entry", "auto_entry", {"side": "b", "quantity": 100, "leverage": 20, "max_open_trades": 2}),
        ),
    ),
    PaperAccount(
        "paper-bob",
        "Bob Main",
        (
            ("guard", "margin_guard", {"action": "close_position", **_all_from(70)}),
            ("entry", "auto_entry", {"side": "s", "quantity": 200, "leverage": 50, "max_open_trades": 1}),
        ),
    ),
)
USERS: Final = tuple(account.user for account in ACCOUNTS)


def open_on_exchange(paper: Paper, encryption_key: str) -> None:
    """Open those of the accounts that the paper exchange does not know."""
    known = {row["key"] for row in paper.accounts()}
    for account in ACCOUNTS:
        key, secret, passphrase = _keys(account, encryption_key)
        if key not in known:
            paper.open_account(account.name.replace(" ", "-").lower(), key, secret, passphrase, balance=BALANCE)


def write_rows(parts: Runtime, encryption_key: str) -> None:
    """Write the accounts and automations that are not in the database yet; those that are stay as they are."""
    for account in ACCOUNTS:
        with parts.storage.connection():
            there = account_rows.by_id(parts.storage, account.id, 1)
        if not there:
            accounts.add(
                parts,
                user_id=account.user,
                name=account.name,
                exchange="lnmarkets",
                keys=SecureCredentials(*_keys(account, encryption_key)),
                account_id=account.id,
            )
        for name, kind, config in account.automations:
            automations.add(
                parts,
                user_id=account.user,
                account=account.id,
                type=kind,
                config=config,
                automation_id=_id(f"{account.name}/{name}"),
            )


def _keys(account: PaperAccount, encryption_key: str) -> tuple[str, str, str]:
    key, secret, passphrase = (
        hmac.new(encryption_key.encode(), f"{account.id} {what}".encode(), hashlib.sha256).hexdigest()[:32]
        for what in ("key", "secret", "passphrase")
    )
    return f"paper-{key}", secret, passphrase


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"axisor-executor/paper/{name}"))
