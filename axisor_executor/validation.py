"""What the plugins that are installed here make of the automations of a database: before they are deployed, too.

Only reads, and only the monolith's tables: whoever may ``SELECT`` from ``"Automation"`` and ``user_exchange_accounts``
can run it from an environment of its own, with other versions of the plugins than the workers have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from axisor_executor.configs import Checker
from axisor_executor.errors import AxisorError
from axisor_executor.storage import automation_rows
from axisor_executor.storage.accounts import config_of
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.paging import paged

_TABLES = """
FROM "Automation" a LEFT JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
"""
_COLUMNS = "a.id, a.user_id, a.type, CAST(a.config AS TEXT), a.is_active, a.user_exchange_account_id, u.account_name"


@dataclass(frozen=True, slots=True)
class Which:
    """Which automations are looked at; what is left out does not matter. Ids are whole."""

    type: str | None = None
    user_id: str | None = None
    account_id: str | None = None

    def condition(self, storage: Storage) -> tuple[str, list[Any]]:
        """Return the condition in SQL, and its values."""
        columns = {"a.type": self.type, "a.user_id": self.user_id, "a.user_exchange_account_id": self.account_id}
        return automation_rows.matching(storage, columns)


@dataclass(frozen=True, slots=True)
class Validated:
    """What would become of one automation's config.

    Attributes:
        problem: why it would be refused (``status``, ``code``, ``message``); ``None``: it would not.
        ignored: the keys that nothing would act on.
        version: the row's ``config_version``; ``None`` where it is refused.
        upgraded_to: the handler's, where the row's is older.
    """

    automation_id: str
    user_id: str
    account_id: str | None
    account_name: str | None
    type: str
    is_active: bool
    problem: dict[str, Any] | None = None
    ignored: tuple[str, ...] = ()
    version: int | None = None
    upgraded_to: int | None = None

    @property
    def is_fine(self) -> bool:
        """Whether it is taken as it stands, with every key."""
        return self.problem is None and not self.ignored and self.upgraded_to is None

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {
            "automationId": self.automation_id,
            "userId": self.user_id,
            "accountId": self.account_id,
            "accountName": self.account_name,
            "type": self.type,
            "isActive": self.is_active,
            "problem": self.problem,
            "ignored": list(self.ignored),
            "configVersion": self.version,
            "upgradedTo": self.upgraded_to,
        }


def count(storage: Storage, which: Which) -> int:
    """Return how many automations there are to look at."""
    condition, values = which.condition(storage)
    row = storage.one(f"SELECT COUNT(*) {_TABLES} WHERE {condition}", *values)
    return int(row[0]) if row else 0


def validate(storage: Storage, checker: Checker, which: Which) -> Iterator[Validated]:
    """Yield what would become of each automation, in the order of their ids; page by page, whatever their number."""
    condition, values = which.condition(storage)
    sql = f"SELECT {_COLUMNS} {_TABLES} WHERE {condition} AND {{behind}} ORDER BY a.id LIMIT ?"
    for row in paged(storage, sql, "a.id", *values):
        yield _validated(checker, row)


def _validated(checker: Checker, row: tuple[Any, ...]) -> Validated:
    automation_id, user_id, type_, config, is_active, account_id, account_name = row
    about = (automation_id, user_id, account_id, account_name, type_, bool(is_active))
    try:
        checked = checker.check(type_, config_of(config))
    except AxisorError as error:
        return Validated(*about, problem=error.as_dict())
    newest = checked.newest if checked.newest > checked.version else None
    return Validated(*about, ignored=checked.ignored, version=checked.version, upgraded_to=newest)
