"""Resolve an automation to its exchange account, and bind those from before multi-account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from axisor_executor.errors import AxisorError, InvalidJob, NotFound
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document

if TYPE_CHECKING:
    from axisor_executor.jobs import Job


@dataclass(frozen=True, slots=True)
class Account:
    """A user's exchange account. ``credentials`` is the stored (encrypted) JSON, as text, and never shows itself."""

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

    ``config_text`` is the config as it is stored. ``any_switch``: whether any switch was set when it was read, for
    whatever scope.
    """

    id: str
    user_id: str
    type: str
    config: Any
    is_active: bool
    risk_level: str | None
    account_id: str | None
    account: Account | None
    config_text: str | None = None
    any_switch: bool = True


Ids = Literal["automation", "account", "user"]
"""Whose ids they are."""
_COLUMNS: Mapping[Ids, tuple[str, str]] = {
    "automation": ("Automation", "id"),
    "account": ("user_exchange_accounts", "id"),
    "user": ("user_exchange_accounts", "user_id"),
}
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ACCOUNT_COLUMNS = (
    "u.id, u.user_id, u.account_name, u.is_active, CAST(u.credentials AS TEXT), e.name, e.slug, e.is_active"
)
AUTOMATION_COLUMNS = (
    "a.id, a.user_id, a.type, CAST(a.config AS TEXT), a.is_active, a.risk_level, a.user_exchange_account_id, "
    + ACCOUNT_COLUMNS
)
AUTOMATION_TABLES = """
FROM "Automation" a
LEFT JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
LEFT JOIN exchanges e ON e.id = u.exchange_id
"""
_AUTOMATION = f"SELECT EXISTS (SELECT 1 FROM axisor_switches), {AUTOMATION_COLUMNS} {AUTOMATION_TABLES} WHERE a.id = ?"  # noqa: S608
_AS_SEEN = (
    f"EXISTS (SELECT 1 {AUTOMATION_TABLES} WHERE a.id = ? AND a.user_id = ? AND a.type = ? "
    "AND CAST(a.config AS TEXT) = ? AND u.id = ? AND u.user_id = ? AND u.account_name = ? AND e.slug = ?)"
)
_ACCOUNTS = f"""
SELECT {ACCOUNT_COLUMNS} FROM user_exchange_accounts u JOIN exchanges e ON e.id = u.exchange_id
"""  # noqa: S608


def automation(storage: Storage, automation_id: str) -> Automation | None:
    """Return the automation with its account and exchange (one query), ``None`` where there is none."""
    may_be = maybe_id(storage, "automation", automation_id)
    rows = [] if may_be is None else storage.lookup(_AUTOMATION, may_be)
    return automation_of(rows[0][1:], any_switch=bool(rows[0][0])) if rows else None


def as_seen(found: Automation) -> tuple[str, tuple[Any, ...]]:
    """Return a condition, and its parameters: an automation and its account are still what a job is described by."""
    account = found.account
    assert account is not None
    return _AS_SEEN, (
        found.id,
        found.user_id,
        found.type,
        found.config_text,
        account.id,
        account.user_id,
        account.name,
        account.exchange_slug,
    )


def automation_id_in(storage: Storage, column: str) -> str | None:
    """Return how a column of texts is compared with the ids of automations, ``None`` where their type is not known."""
    kind = storage.type_of("Automation", "id")
    if kind == "uuid":
        # A job may name whatever it likes, which is no reason for an error of the database's.
        return f"CASE WHEN {column} ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$' THEN {column}::UUID END"
    return column if kind in ("text", "character varying") else None


def account(storage: Storage, account_id: str) -> Account | None:
    """Return an account with its exchange."""
    may_be = maybe_id(storage, "account", account_id)
    row = None if may_be is None else storage.one(f"{_ACCOUNTS} WHERE u.id = ?", may_be)
    return account_of(row) if row else None


def id_text(given: str | UUID) -> str:
    """Return an id as the text that everything here goes by, however an application has it.

    Raises:
        InvalidJob: it is of another type.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, UUID):
        return str(given)
    raise InvalidJob(f"an id is a text or a UUID, got {type(given).__name__}")


def maybe_id_text(given: str | UUID | None) -> str | None:
    """Return an id as :func:`id_text`; ``None`` where none is given."""
    return None if given is None else id_text(given)


def are_uuids(storage: Storage, whose: Ids) -> bool:
    """Return whether such ids are of the type UUID here."""
    return not storage.is_sqlite and storage.type_of(*_COLUMNS[whose]) == "uuid"


def maybe_id(storage: Storage, whose: Ids, text: str) -> str | None:
    """Return the id that a text means, as its row has it; ``None`` (which equals none) where it can't be one.

    To ask for what can't be one is an error of the database's where ids are UUIDs.
    """
    if not are_uuids(storage, whose):
        return text
    return text.lower() if _UUID.fullmatch(text) else None


def as_stored(storage: Storage, whose: Ids, text: str) -> str:
    """Return the id that a text means, as its row has it; what can't be one stays as it is.

    Whatever comes from outside passes here before it is kept: UUIDs in capitals are the same ones to the database, but
    not to switches, cooldowns and all else that goes by their texts.
    """
    return maybe_id(storage, whose, text) or text


def job_as_stored(storage: Storage, job: Job) -> Job:
    """Return a job with its ids as their rows have them, however they were written."""
    own = {
        "user_id": as_stored(storage, "user", job.user_id),
        "automation_id": as_stored(storage, "automation", job.automation_id),
    }
    return job.model_copy(update=own)


def accounts_of(storage: Storage, user_id: str) -> list[Account]:
    """Return a user's accounts, oldest first."""
    rows = storage.rows(
        f"{_ACCOUNTS} WHERE u.user_id = ? ORDER BY u.created_at, u.id", maybe_id(storage, "user", user_id)
    )
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
        'SELECT id FROM "Automation" WHERE user_id = ? AND user_exchange_account_id IS NULL ORDER BY id',
        maybe_id(storage, "user", user_id),
    )
    return [row[0] for row in rows]


def automation_of(row: tuple[Any, ...], *, any_switch: bool = True) -> Automation:
    """Return the automation of a row of ``AUTOMATION_COLUMNS``."""
    account = account_of(row[7:]) if row[7] is not None and row[13] is not None else None
    config = config_of(row[3])
    return Automation(row[0], row[1], row[2], config, bool(row[4]), row[5], row[6], account, row[3], any_switch)


def account_of(row: tuple[Any, ...]) -> Account:
    """Return the account of a row of ``ACCOUNT_COLUMNS``."""
    return Account(row[0], row[1], row[2], bool(row[3]), row[4], row[5], row[6], bool(row[7]))


def config_of(config: Any) -> Any:
    """Return the config parsed; text that is no JSON stays text, and is refused where it is validated."""
    try:
        found = document(config)
        return document(found)  # some were stored as a text in JSON
    except ValueError:
        return config
