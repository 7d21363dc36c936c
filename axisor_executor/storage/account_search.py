"""What a person who watches over accounts looks up: accounts by a piece of their name, and what is in hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from axisor_executor.storage.accounts import maybe_id
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.leftover import LIVE

_KNOWN = """
SELECT u.id, u.user_id, u.account_name, u.is_active, e.slug
FROM user_exchange_accounts u JOIN exchanges e ON e.id = u.exchange_id
"""
_ESCAPED = str.maketrans({one: f"!{one}" for one in "!%_"})


@dataclass(frozen=True, slots=True)
class Known:
    """An account's row without its credentials."""

    id: str
    user_id: str
    name: str
    is_active: bool
    exchange: str


def matching(storage: Storage, text: str, *, user_id: str | None, limit: int) -> list[Known]:
    """Return accounts whose name, id or user has this text in it, whatever its case, by name."""
    conditions, values = ["1 = 1"], list[Any]()
    if text:
        pattern = f"%{text.lower().translate(_ESCAPED)}%"
        columns = ("u.account_name", "CAST(u.id AS TEXT)", "CAST(u.user_id AS TEXT)")
        conditions.append(f"({' OR '.join(f'''lower({column}) LIKE ? ESCAPE '!' ''' for column in columns)})")
        values += [pattern] * len(columns)
    if user_id is not None:
        conditions.append("u.user_id = ?")
        values.append(maybe_id(storage, "user", user_id))
    where = " AND ".join(conditions)
    rows = storage.rows(f"{_KNOWN} WHERE {where} ORDER BY u.account_name, u.id LIMIT ?", *values, limit)
    return [_known(row) for row in rows]


def by_ids(storage: Storage, account_ids: Sequence[str]) -> list[Known]:
    """Return the accounts of these ids that are there, in this order."""
    if not account_ids:
        return []
    may_be = [maybe_id(storage, "account", one) for one in account_ids]
    rows = storage.rows(f"{_KNOWN} WHERE u.id IN ({','.join('?' * len(may_be))})", *may_be)
    found = {row[0]: _known(row) for row in rows}
    return [found[one] for one in account_ids if one in found]


def in_hand(storage: Storage, *, user_id: str | None = None) -> dict[str, int]:
    """Return how many executions are queued, running, waiting and uncertain, with or without zero."""
    condition, values = ("", []) if user_id is None else ("AND user_id = ?", [user_id])
    found: dict[str, int] = {}
    # Two queries: each has an index of its own.
    for wanted in (LIVE, "status = 'uncertain'"):
        rows = storage.rows(
            f"SELECT status, COUNT(*) FROM axisor_executions WHERE {wanted} {condition} "  # noqa: S608
            "GROUP BY status",
            *values,
        )
        found |= {row[0]: int(row[1]) for row in rows}
    return found


def _known(row: tuple[Any, ...]) -> Known:
    return Known(row[0], row[1], row[2], bool(row[3]), row[4])
