"""Resolve an automation to its exchange account, and bind those from before multi-account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from axisor_executor.errors import AxisorError, NotFound
from axisor_executor.storage.connection import Storage, document


@dataclass(frozen=True, slots=True)
class Account:
    """A user's exchange account. ``credentials`` is the stored (encrypted) JSON and never shows itself."""

    id: str
    user_id: str
    name: str
    is_active: bool
    credentials: Any
    exchange_name: str
    exchange_slug: str
    exchange_active: bool

    def __repr__(self) -> str:
        return f"Account(id={self.id!r}, user_id={self.user_id!r}, name={self.name!r}, exchange={self.exchange_slug!r})"


@dataclass(frozen=True, slots=True)
class Automation:
    """An automation's row with the account it is bound to (``None``: bound to none, or to one that is gone).

    ``any_switch``: whether any switch was set when it was read, for whatever scope.
    """

    id: str
    user_id: str
    type: str
    config: Any
    is_active: bool
    risk_level: str | None
    account_id: str | None
    account: Account | None
    any_switch: bool = True


ACCOUNT_COLUMNS = "u.id, u.user_id, u.account_name, u.is_active, u.credentials, e.name, e.slug, e.is_active"
AUTOMATION_COLUMNS = (
    "a.id, a.user_id, a.type, a.config, a.is_active, a.risk_level, a.user_exchange_account_id, " + ACCOUNT_COLUMNS
)
AUTOMATION_TABLES = """
FROM "Automation" a
LEFT JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
LEFT JOIN exchanges e ON e.id = u.exchange_id
"""
_AUTOMATION = f"SELECT EXISTS (SELECT 1 FROM axisor_switches), {AUTOMATION_COLUMNS} {AUTOMATION_TABLES} WHERE a.id = ?"  # noqa: S608
_ACCOUNTS = f"""
SELECT {ACCOUNT_COLUMNS} FROM user_exchange_accounts u JOIN exchanges e ON e.id = u.exchange_id
"""  # noqa: S608


def automation(storage: Storage, automation_id: str) -> Automation | None:
    """Return the automation with its account and exchange (one query), ``None`` where there is none."""
    row = storage.one(_AUTOMATION, automation_id)
    return automation_of(row[1:], any_switch=bool(row[0])) if row else None


def account(storage: Storage, account_id: str) -> Account | None:
    """Return an account with its exchange."""
    row = storage.one(f"{_ACCOUNTS} WHERE u.id = ?", account_id)
    return account_of(row) if row else None


def accounts_of(storage: Storage, user_id: str) -> list[Account]:
    """Return a user's accounts, oldest first."""
    rows = storage.rows(f"{_ACCOUNTS} WHERE u.user_id = ? ORDER BY u.created_at, u.id", user_id)
    return [account_of(row) for row in rows]


def active_account(storage: Storage, user_id: str) -> Account:
    """Return the one account that the user has selected as active.

    Raises:
        NotFound: there is none.
        AxisorError: there are several (400, ``several_active_accounts``); the message names them.
    """
    active = [found for found in accounts_of(storage, user_id) if found.is_active]
    if not active:
        raise NotFound(f"User {user_id} has no active exchange account", code="account_not_found")
    if len(active) > 1:
        names = ", ".join(f"{found.name} ({found.id})" for found in active)
        raise AxisorError(
            f"User {user_id} has several active accounts: {names}", code="several_active_accounts", status=400
        )
    return active[0]


def exchanges_in_use(storage: Storage) -> int:
    """Return how many switched-on exchanges have accounts."""
    row = storage.one(
        "SELECT COUNT(*) FROM exchanges e WHERE e.is_active = ? "
        "AND EXISTS (SELECT 1 FROM user_exchange_accounts u WHERE u.exchange_id = e.id)",
        True,
    )
    return int(row[0]) if row else 0


def bind(storage: Storage, automation_id: str, account_id: str) -> bool:
    """Bind an unbound automation; one that is bound by now is not touched (``False``)."""
    return bool(
        storage.run(
            'UPDATE "Automation" SET user_exchange_account_id = ?, updated_at = ? '
            "WHERE id = ? AND user_exchange_account_id IS NULL",
            account_id,
            datetime.now(UTC),
            automation_id,
        )
    )


def set_credentials(storage: Storage, account_id: str, written: dict[str, str]) -> None:
    """Replace the (encrypted) credentials of an account."""
    storage.run(
        "UPDATE user_exchange_accounts SET credentials = ?, updated_at = ? WHERE id = ?",
        written,
        datetime.now(UTC),
        account_id,
    )


def unbound(storage: Storage, user_id: str) -> list[str]:
    """Return the ids of a user's automations that are bound to no account."""
    rows = storage.rows(
        'SELECT id FROM "Automation" WHERE user_id = ? AND user_exchange_account_id IS NULL ORDER BY id', user_id
    )
    return [row[0] for row in rows]


def automation_of(row: tuple[Any, ...], *, any_switch: bool = True) -> Automation:
    """Return the automation of a row of ``AUTOMATION_COLUMNS``."""
    account = account_of(row[7:]) if row[7] is not None and row[13] is not None else None
    return Automation(row[0], row[1], row[2], config_of(row[3]), bool(row[4]), row[5], row[6], account, any_switch)


def account_of(row: tuple[Any, ...]) -> Account:
    """Return the account of a row of ``ACCOUNT_COLUMNS``."""
    return Account(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6], bool(row[7]))


def config_of(config: Any) -> Any:
    """Return the config parsed; text that is no JSON stays text, and is refused where it is validated."""
    try:
        return document(config)
    except ValueError:
        return config
