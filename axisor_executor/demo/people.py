"""Two users with two accounts each: one active, one not; old-format credentials on one, sealed on the other.

Every secret is made up anew for each run and recognisable, so that it can be searched for afterwards: a canary.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from axisor_executor.credentials import Format, KeyRing, SecureCredentials, write_credentials
from axisor_executor.embedded.paper import Paper
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.models import AccountRow, ExchangeRow

CANARY = "canary"


@dataclass(frozen=True)
class Person:
    """A user of the monolith."""

    name: str
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(frozen=True)
class Holding:
    """A user's exchange account: its row, its keys, and (once opened) what the exchange calls it."""

    owner: Person
    name: str
    is_active: bool
    format: Format
    id: str = field(default_factory=lambda: str(uuid4()))
    key: str = field(default_factory=lambda: _canary("key"), repr=False)
    secret: str = field(default_factory=lambda: _canary("secret"), repr=False)
    passphrase: str = field(default_factory=lambda: _canary("passphrase"), repr=False)

    @property
    def secrets(self) -> tuple[str, str, str]:
        """What must be seen nowhere."""
        return self.key, self.secret, self.passphrase

    def client(self, url: str) -> LNMarketsClient:
        """Return a client with which the user trades by hand."""
        options = ExchangeOptions(slug="lnmarkets", base_url=url)
        return LNMarketsClient(options, SecureCredentials(self.key, self.secret, self.passphrase))


def holdings() -> dict[str, Holding]:
    """Return the accounts of both users by name."""
    alice, bob = Person("Alice"), Person("Bob")
    found = (
        Holding(alice, "Alice Main", is_active=True, format="monolith"),
        Holding(alice, "Alice Savings", is_active=False, format="sealed"),
        Holding(bob, "Bob Main", is_active=True, format="sealed"),
        Holding(bob, "Bob Trial", is_active=False, format="monolith"),
    )
    return {holding.name: holding for holding in found}


def open_accounts(paper: Paper, people: dict[str, Holding]) -> dict[str, str]:
    """Open the accounts on the paper exchange; return the exchange's account id for each account name."""
    return {
        name: str(paper.open_account(name.replace(" ", "-").lower(), *holding.secrets)["id"])
        for name, holding in people.items()
    }


def write_accounts(storage: Storage, people: dict[str, Holding], ring: KeyRing) -> None:
    """Write exchange and accounts as the monolith does."""
    exchange_id, now = str(uuid4()), datetime.now(UTC)
    with storage.write():
        ExchangeRow.create(id=exchange_id, name="LN Markets", slug="lnmarkets", is_active=True, api_version="v3")
        for holding in people.values():
            AccountRow.create(
                id=holding.id,
                user_id=holding.owner.id,
                exchange_id=exchange_id,
                account_name=holding.name,
                credentials=write_credentials(
                    *holding.secrets, False, account_id=holding.id, format=holding.format, ring=ring
                ),
                is_active=holding.is_active,
                is_verified=True,
                created_at=now,
                updated_at=now,
            )


def _canary(what: str) -> str:
    return f"{CANARY}-{what}-{secrets.token_hex(12)}"
