"""The accounts' rows as whoever keeps them sees them: listed, added, switched on and off, their keys replaced.

Only columns that the monolith's tables have are written; what else stands in its rows is left to their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import peewee

from axisor_executor.errors import AxisorError
from axisor_executor.storage.accounts import ACCOUNT_COLUMNS, Account, account_of, are_uuids, maybe_id
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import instant, maybe_instant


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account's row. ``automations`` are bound to it, ``active_automations`` of them are switched on."""

    account: Account
    is_verified: bool
    last_test: datetime | None
    created_at: datetime
    updated_at: datetime
    automations: int
    active_automations: int


UUID_LENGTH = 36

_BOUND = 'SELECT COUNT(*) FROM "Automation" a WHERE a.user_exchange_account_id = u.id'
_RECORDS = f"""
SELECT {ACCOUNT_COLUMNS}, u.is_verified, u.last_test, u.created_at, u.updated_at, ({_BOUND}), ({_BOUND} AND a.is_active)
FROM user_exchange_accounts u JOIN exchanges e ON e.id = u.exchange_id
"""  # noqa: S608


def listed(storage: Storage, user_id: str | None = None) -> list[AccountRecord]:
    """Return all accounts, or one user's, by user and age."""
    where, values = ("", []) if user_id is None else ("WHERE u.user_id = ?", [maybe_id(storage, "user", user_id)])
    return [_record(row) for row in storage.rows(f"{_RECORDS} {where} ORDER BY u.user_id, u.created_at, u.id", *values)]


def by_id(storage: Storage, beginning: str, limit: int) -> list[AccountRecord]:
    """Return the account of this id alone, else those (up to ``limit``) whose ids are UUIDs and begin so.

    Other ids are of any length: the whole one of a row that is gone may be how another one begins.
    """
    beginning = beginning.lower() if are_uuids(storage, "account") else beginning
    own = "CAST(u.id AS TEXT)"
    begins = f"length({own}) = {UUID_LENGTH} AND substr({own}, 1, ?) = ?"
    rows = storage.rows(f"{_RECORDS} WHERE {own} = ?", beginning) or storage.rows(
        f"{_RECORDS} WHERE {begins} ORDER BY u.id LIMIT ?", len(beginning), beginning, limit
    )
    return [_record(row) for row in rows]


def named(storage: Storage, user_id: str, exchange_slug: str, name: str) -> AccountRecord | None:
    """Return a user's account of this name on an exchange, the oldest where there are several."""
    row = storage.one(
        f"{_RECORDS} WHERE u.user_id = ? AND e.slug = ? AND u.account_name = ? ORDER BY u.created_at, u.id",
        maybe_id(storage, "user", user_id),
        exchange_slug,
        name,
    )
    return _record(row) if row else None


def add(
    storage: Storage,
    *,
    account_id: str,
    user_id: str,
    exchange_id: str,
    name: str,
    credentials: Mapping[str, str],
    is_active: bool,
) -> None:
    """Insert an account.

    Raises:
        AxisorError: the id is taken, or the monolith's constraints forbid it (``row_refused``).
    """
    now = datetime.now(UTC)
    with refusing(f"account {name}"):
        storage.run(
            "INSERT INTO user_exchange_accounts (id, user_id, exchange_id, account_name, credentials, is_active, "
            "is_verified, created_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?)",
            account_id,
            user_id,
            exchange_id,
            name,
            dict(credentials),
            is_active,
            False,
            now,
            now,
        )


def set_active(storage: Storage, account_id: str, is_active: bool) -> None:
    """Switch an account on or off."""
    storage.run(
        "UPDATE user_exchange_accounts SET is_active = ?, updated_at = ? WHERE id = ?",
        is_active,
        datetime.now(UTC),
        account_id,
    )


def set_verified(storage: Storage, account_id: str, is_verified: bool) -> datetime:
    """Note what a test of the account's keys came to, and return when."""
    now = datetime.now(UTC)
    storage.run(
        "UPDATE user_exchange_accounts SET is_verified = ?, last_test = ?, updated_at = ? WHERE id = ?",
        is_verified,
        now,
        now,
        account_id,
    )
    return now


def lock_accounts(storage: Storage, user_id: str) -> None:
    """Lock the rows of a user's accounts inside the caller's transaction."""
    storage.rows(
        "SELECT id FROM user_exchange_accounts WHERE user_id = ? ORDER BY id {for_update}",
        maybe_id(storage, "user", user_id),
    )


def lock_credentials(storage: Storage, account_id: str) -> str | None:
    """Return the credentials as an account has them: the stored text, which may be none that can be read.

    Their row is locked inside the caller's transaction; ``None``: it is gone.
    """
    row = storage.one(
        "SELECT CAST(credentials AS TEXT) FROM user_exchange_accounts WHERE id = ? {for_update}", account_id
    )
    return row[0] if row else None


def exchange_id(storage: Storage, slug: str) -> str | None:
    """Return the id of an exchange."""
    row = storage.one("SELECT id FROM exchanges WHERE slug = ?", slug)
    return row[0] if row else None


def exchange_slugs(storage: Storage) -> list[str]:
    """Return the slugs of all exchanges."""
    return [row[0] for row in storage.rows("SELECT slug FROM exchanges ORDER BY slug")]


def add_exchange(storage: Storage, new_id: str, slug: str, name: str) -> None:
    """Insert an exchange into a database of our own."""
    with refusing(f"exchange {slug}"):
        storage.run(
            "INSERT INTO exchanges (id, name, slug, is_active, api_version) VALUES (?,?,?,?,?)",
            new_id,
            name,
            slug,
            True,
            "v3",
        )


def last_exchange_user(storage: Storage, account_id: str) -> str | None:
    """Return the exchange's id of the user for whom the account's last request was signed."""
    row = storage.one(
        "SELECT exchange_user_id FROM axisor_actions WHERE account_id = ? AND exchange_user_id IS NOT NULL "
        "ORDER BY created_at DESC LIMIT 1",
        account_id,
    )
    return row[0] if row else None


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Say what the tables' own constraints forbid, without the database's words (they would quote the row)."""
    try:
        yield
    except (peewee.IntegrityError, peewee.DataError) as error:
        reason = type(error).__name__
    else:
        return
    raise AxisorError(
        f"the tables don't take {what} ({reason}): is the id taken, is the user there, is the type known to them, "
        "do ids have to be UUIDs?",
        code="row_refused",
        status=400,
    )


def _record(row: tuple[Any, ...]) -> AccountRecord:
    return AccountRecord(
        account=account_of(row[:8]),
        is_verified=bool(row[8]),
        last_test=maybe_instant(row[9]),
        created_at=instant(row[10]),
        updated_at=instant(row[11]),
        automations=int(row[12]),
        active_automations=int(row[13]),
    )
