"""What all credentials of a database are written with: keys, formats, plain text, and what can't be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import SecretStr

from axisor_executor.credentials.ciphers import Format
from axisor_executor.credentials.entries import Opened, RowEntries
from axisor_executor.credentials.keyring import KeyRing
from axisor_executor.errors import CredentialsError
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.paging import paged

LISTED = 100
"""How many accounts of a kind are named; all are counted."""

_ROWS = """
SELECT id, user_id, account_name, CAST(credentials AS TEXT) FROM user_exchange_accounts
WHERE {behind} ORDER BY id LIMIT ?
"""


class Standing(NamedTuple):
    """How one secret stands in a row; no format and no key is plain text."""

    format: Format | None
    key_id: str | None


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account and the text of its column ``credentials``."""

    id: str
    user_id: str
    name: str
    text: SecretStr


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An account that was left as it is, and why; no secret stands in it."""

    account_id: str
    account_name: str
    user_id: str
    message: str


@dataclass
class Listing:
    """Accounts of one kind: how many there are, and the first :data:`LISTED` of them."""

    count: int = 0
    first: list[Unsettled] = field(default_factory=list)

    def add(self, row: AccountRow, message: str) -> None:
        """Count an account."""
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(Unsettled(row.id, row.name, row.user_id, message))


@dataclass
class Census:
    """How the credentials of all accounts stand.

    Attributes:
        accounts: all of them.
        makeups: of those that can be read: how many have secrets that stand so (an empty set: no secret at all).
        unreadable: those with a secret that no key reads.
        kept_by: the keys that read something of those: a worker, which needs one spelling only, may do with it.
    """

    accounts: int = 0
    makeups: Counter[frozenset[Standing]] = field(default_factory=Counter)
    unreadable: Listing = field(default_factory=Listing)
    kept_by: set[str] = field(default_factory=set)

    def having(self, matches: Callable[[Standing], bool]) -> int:
        """Return how many readable accounts have a secret that stands so."""
        return sum(count for makeup, count in self.makeups.items() if any(map(matches, makeup)))

    @property
    def plain_text(self) -> int:
        """How many accounts have a secret in plain text."""
        return self.having(lambda one: one.format is None)

    @property
    def without(self) -> int:
        """How many accounts have no secret at all."""
        return self.makeups[frozenset()]


def account_rows(storage: Storage) -> Iterator[AccountRow]:
    """Yield every account, in the order of their ids, page by page."""
    for account_id, user_id, name, text in paged(storage, _ROWS, "id"):
        yield AccountRow(account_id, user_id, name, SecretStr("null" if text is None else text))


def count_accounts(storage: Storage) -> int:
    """Return how many accounts there are."""
    row = storage.one("SELECT COUNT(*) FROM user_exchange_accounts")
    return int(row[0]) if row else 0


def standings(opened: tuple[Opened, ...]) -> frozenset[Standing]:
    """Return how a row's secrets stand."""
    return frozenset(Standing(one.entry.format, one.key_id) for one in opened)


def take_census(storage: Storage, ring: KeyRing, on_row: Callable[[], None] = lambda: None) -> Census:
    """Read (and decrypt) the credentials of all accounts; changes nothing. ``on_row`` is called after each.

    Raises:
        SettingsError: the ring has no key.
    """
    found = Census()
    for row in account_rows(storage):
        found.accounts += 1
        entries = RowEntries(row.text, account_id=row.id)
        try:
            found.makeups[standings(entries.open(ring))] += 1
        except CredentialsError as error:
            found.unreadable.add(row, error.message)
            found.kept_by |= entries.readers(ring)
        on_row()
    return found
