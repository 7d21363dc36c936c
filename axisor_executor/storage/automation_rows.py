"""The automations' rows as whoever keeps them sees them: listed, added, switched on and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from axisor_executor.storage.account_rows import UUID_LENGTH, refusing
from axisor_executor.storage.accounts import (
    AUTOMATION_COLUMNS,
    AUTOMATION_TABLES,
    Automation,
    Ids,
    are_uuids,
    automation_of,
    maybe_id,
)
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import instant


@dataclass(frozen=True, slots=True)
class AutomationRecord:
    """An automation's row with the account it is bound to."""

    automation: Automation
    status: str | None
    created_at: datetime
    updated_at: datetime


_IDS: Mapping[str, Ids] = {"a.user_id": "user", "a.user_exchange_account_id": "account"}
_RECORDS = f"SELECT {AUTOMATION_COLUMNS}, a.status, a.created_at, a.updated_at {AUTOMATION_TABLES}"


def listed(
    storage: Storage,
    *,
    user_id: str | None = None,
    account_id: str | None = None,
    type: str | None = None,  # noqa: A002  the column's name
    is_active: bool | None = None,
) -> list[AutomationRecord]:
    """Return automations by user and age; what is left out does not matter."""
    given = {"a.user_id": user_id, "a.user_exchange_account_id": account_id, "a.type": type, "a.is_active": is_active}
    condition, values = matching(storage, given)
    rows = storage.rows(f"{_RECORDS} WHERE {condition} ORDER BY a.user_id, a.created_at, a.id", *values)
    return [_record(row) for row in rows]


def matching(storage: Storage, given: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the condition in SQL that columns are as given, and its values; what is ``None`` does not matter."""
    wanted = {column: value for column, value in given.items() if value is not None}
    for column in _IDS.keys() & wanted.keys():
        wanted[column] = maybe_id(storage, _IDS[column], wanted[column])
    return " AND ".join(["true", *(f"{column} = ?" for column in wanted)]), list(wanted.values())


def by_id(storage: Storage, beginning: str, limit: int) -> list[AutomationRecord]:
    """Return the automation of this id alone, else those (up to ``limit``) whose ids are UUIDs and begin so.

    Other ids are of any length: the whole one of a row that is gone may be how another one begins.
    """
    beginning = beginning.lower() if are_uuids(storage, "automation") else beginning
    own = "CAST(a.id AS TEXT)"
    begins = f"length({own}) = {UUID_LENGTH} AND substr({own}, 1, ?) = ?"
    rows = storage.rows(f"{_RECORDS} WHERE {own} = ?", beginning) or storage.rows(
        f"{_RECORDS} WHERE {begins} ORDER BY a.id LIMIT ?", len(beginning), beginning, limit
    )
    return [_record(row) for row in rows]


def add(
    storage: Storage,
    *,
    automation_id: str,
    user_id: str,
    account_id: str,
    type: str,  # noqa: A002  the column's name
    config: Mapping[str, Any],
    is_active: bool,
    risk_level: str,
) -> None:
    """Insert an automation.

    Raises:
        AxisorError: the id is taken, or the monolith's constraints forbid it (``row_refused``).
    """
    now = datetime.now(UTC)
    with refusing(f"automation {automation_id}"):
        storage.run(
            'INSERT INTO "Automation" (id, user_id, user_exchange_account_id, type, config, is_active, status, '
            "risk_level, created_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?,?)",
            automation_id,
            user_id,
            account_id,
            type,
            dict(config),
            is_active,
            "active",
            risk_level,
            now,
            now,
        )


def set_active(storage: Storage, automation_id: str, is_active: bool) -> None:
    """Switch an automation on or off."""
    storage.run(
        'UPDATE "Automation" SET is_active = ?, updated_at = ? WHERE id = ?',
        is_active,
        datetime.now(UTC),
        automation_id,
    )


def _record(row: tuple[Any, ...]) -> AutomationRecord:
    return AutomationRecord(automation_of(row[:15]), row[15], instant(row[16]), instant(row[17]))
