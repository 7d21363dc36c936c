"""Bind automations from before multi-account to the account that their user has selected as active."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from axisor_executor.errors import AxisorError
from axisor_executor.storage import accounts
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.paging import paged

_USERS = """
SELECT user_id, COUNT(*) FROM "Automation" WHERE user_exchange_account_id IS NULL
AND {behind} GROUP BY user_id ORDER BY user_id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """What became of a user's unbound automations.

    Attributes:
        user_id: whose.
        automation_ids: those that were bound, or would be.
        account_id: the account; None where it can't be told which one is meant.
        account_name: its name.
        problem: why nothing was changed.
    """

    user_id: str
    automation_ids: tuple[str, ...] = ()
    account_id: str | None = None
    account_name: str | None = None
    problem: str | None = None


def bind_to_active(storage: Storage, user_id: str, *, dry_run: bool = False) -> Bound:
    """Bind a user's unbound automations to the active account, all in one transaction; bound ones are never touched.

    Without one active account nothing is changed, nor with ``dry_run``.
    """
    with storage.write():
        try:
            account = accounts.active_account(storage, user_id)
        except AxisorError as error:
            return Bound(user_id, problem=error.message)
        found = accounts.unbound(storage, user_id)
        if not dry_run:
            found = [one for one in found if accounts.bind(storage, one, account.id)]
    return Bound(user_id, tuple(found), account.id, account.name)


def users_with_unbound(storage: Storage) -> Iterator[tuple[str, int]]:
    """Yield the users who have unbound automations, and how many."""
    for user_id, count in paged(storage, _USERS, "user_id"):
        yield user_id, int(count)
