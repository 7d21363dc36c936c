"""Our own tables: what is held for nobody, and what was left over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axisor_executor.integrity.findings import Findings
from axisor_executor.recovery import ELECTION
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import TERMINAL

_HELD = """
FROM axisor_actions a LEFT JOIN user_exchange_accounts u ON CAST(u.id AS TEXT) = a.account_id
WHERE a.status IN ('sending', 'unknown') AND u.id IS NULL
"""
_ACTIONS = """
FROM axisor_actions a LEFT JOIN axisor_executions e ON e.id = a.execution_id WHERE e.id IS NULL
"""
_LEASES = """
FROM axisor_leases l LEFT JOIN axisor_executions e ON e.id = l.execution_id
LEFT JOIN user_exchange_accounts u ON CAST(u.id AS TEXT) = l.account_id
WHERE l.account_id <> ? AND l.until < {later}
AND (u.id IS NULL OR e.id IS NULL OR e.status NOT IN ('queued', 'running', 'waiting'))
"""
_LEFT_OVER_SECONDS = 3600.0
_LIVE = "'queued', 'running', 'waiting'"
_OVER = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
# What no look of recovery finds (see `storage/leftover.py`), and what is over and has no time at which it was.
_DAMAGED = f"""
FROM axisor_executions WHERE status NOT IN ({_LIVE}, {_OVER})
OR (status IN ({_LIVE}) AND finished_at IS NOT NULL) OR (status IN ({_OVER}) AND finished_at IS NULL)
OR (status = 'running' AND account_id IS NULL AND started_at IS NULL) OR (status = 'waiting' AND due_at IS NULL)
"""


def look_at_ledger(found: Findings, storage: Storage) -> None:
    """Look for held actions without account, actions without execution, damaged executions, and leases of nobody."""
    action = {"executionId": "a.execution_id", "seq": "a.seq", "action": "a.kind", "accountId": "a.account_id"}
    _note(found, storage, "held_without_account", _HELD, action)
    _note(found, storage, "action_without_execution", _ACTIONS, action)
    execution = {"executionId": "id", "status": "status", "accountId": "account_id"}
    _note(found, storage, "execution_damaged", _DAMAGED, execution)
    lease = {"accountId": "l.account_id", "executionId": "l.execution_id"}
    _note(found, storage, "lease_of_nobody", _LEASES, lease, ELECTION, -_LEFT_OVER_SECONDS)


def _note(found: Findings, storage: Storage, kind: str, source: str, columns: Mapping[str, str], *params: Any) -> None:
    """Count the rows of a query, and keep the first of them."""
    row = storage.one(f"SELECT COUNT(*) {source}", *params)
    if row is None or not row[0]:
        return
    names = ", ".join(columns.values())
    rows = storage.rows(f"SELECT {names} {source} ORDER BY {names} LIMIT ?", *params, found.limit)
    problem = found.state(kind)
    problem.count = int(row[0])
    problem.items = [dict(zip(columns, one, strict=True)) for one in rows]
