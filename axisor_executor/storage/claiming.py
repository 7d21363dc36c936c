"""The claim: one run takes an execution, and the account's lease with it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import peewee

from axisor_executor.storage import accounts, leases
from axisor_executor.storage.accounts import Automation
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.executions import COLUMNS, Execution, from_row, lock
from axisor_executor.storage.postgres import FAIL


@dataclass(frozen=True, slots=True)
class Claimed:
    """An execution that runs now; ``automation`` is its automation as it was then, where that was read on the way."""

    run: Execution
    automation: Automation | None = None


def claim(storage: Storage, execution_id: str, *, worker_id: str, lease_seconds: float) -> Claimed | None:
    """Start a run: take the execution, and the account's lease with it.

    Returns ``None`` where there is nothing to do now: it is over, another run has it, it is not due yet, or the
    account is another execution's (then it waits in line for the lease).
    """
    return _claim_at_once(storage, execution_id, worker_id, lease_seconds) or _claim_with_care(
        storage, execution_id, worker_id, lease_seconds
    )


def _claim_at_once(storage: Storage, execution_id: str, worker_id: str, lease_seconds: float) -> Claimed | None:
    """Claim what is due on a free account, and read its automation, in one statement; else change nothing.

    A crash of the database may take it back, for nothing has been done yet: the run finds out when it plans.
    """
    same_id = None if storage.is_sqlite else accounts.automation_id_in(storage, "run.automation_id")
    if same_id is None:
        return None
    try:
        found = storage.together((_at_once(same_id), worker_id, execution_id, worker_id, lease_seconds), on_disk=False)
    except peewee.ProgrammingError:
        storage.forget_tables()  # the monolith may have changed the type of its ids
        return None
    if not found:
        return None
    _, any_switch, *row = found[0]
    known = row[_WIDTH:]
    automation = accounts.automation_of(tuple(known), any_switch=bool(any_switch)) if known[0] is not None else None
    return Claimed(from_row(tuple(row[:_WIDTH])), automation)


def prepare(storage: Storage) -> None:
    """Have this thread's connection know the claim and the tables that it reads, by claiming what is not there."""
    _claim_at_once(storage, "", "", 0.0)


@functools.cache
def _at_once(same_id: str) -> str:
    return _AT_ONCE.replace("[same id]", same_id)


def _claim_with_care(storage: Storage, execution_id: str, worker_id: str, lease_seconds: float) -> Claimed | None:
    with storage.write():
        taken = storage.rows(_TAKE + _DUE + _TAKEN, worker_id, execution_id)
        if not taken:
            # Whether one that runs was left behind is told by its lease, read with its row held.
            held = lock(storage, execution_id)
            runs = held is not None and held.status == "running"
            if held is None or held.is_over or (runs and leases.is_live(storage, held.id, held.fence)):
                return None
            taken = storage.rows(_TAKE + ("" if runs else _DUE) + _TAKEN, worker_id, execution_id)
        if not taken:
            return None
        run = from_row(taken[0])
        if run.account_id and not leases.take(
            storage, run.account_id, run.id, worker_id=worker_id, fence=run.fence, seconds=lease_seconds
        ):
            storage.run(_STAND_IN_LINE, lease_seconds, run.id)
            return None
        return Claimed(run)


_TAKE = (
    "UPDATE axisor_executions SET status = 'running', wait_for = NULL, due_at = NULL, fence = fence + 1, "
    "worker_id = ?, started_at = COALESCE(started_at, {now}) WHERE id = ?"
)
_DUE = " AND (status = 'queued' OR (status = 'waiting' AND (wait_for = 'lease' OR due_at IS NULL OR due_at <= {now})))"
_TAKEN = f" RETURNING {COLUMNS}"
# Due when the lease is over that is in its way; it is handed over before, as a rule.
_STAND_IN_LINE = (
    "UPDATE axisor_executions SET status = 'waiting', wait_for = 'lease', fence = fence - 1, due_at = "
    "COALESCE((SELECT until FROM axisor_leases l WHERE l.account_id = axisor_executions.account_id), {later}), "
    "started_at = CASE WHEN fence = 1 THEN NULL ELSE started_at END WHERE id = ?"  # as if it had not been taken
)
_WIDTH = COLUMNS.count(",") + 1
_AT_ONCE = f"""
WITH run AS (
    {_TAKE}{_DUE} AND NOT EXISTS (
        SELECT 1 FROM axisor_leases l WHERE l.account_id = axisor_executions.account_id
        AND {leases.HOLDS} AND l.execution_id <> axisor_executions.id
    ) {_TAKEN}
), leased AS (
    INSERT INTO axisor_leases (account_id, execution_id, worker_id, fence, until)
    SELECT account_id, id, ?, fence, {{later}} FROM run WHERE account_id IS NOT NULL
    {leases.UNLESS_HELD} RETURNING 1
)
SELECT CASE WHEN run.account_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM leased) THEN {FAIL} END,
    EXISTS (SELECT 1 FROM axisor_switches), {", ".join(f"run.{name}" for name in COLUMNS.split(", "))},
    {accounts.AUTOMATION_COLUMNS}
FROM run
LEFT JOIN "Automation" a ON a.id = [same id]
LEFT JOIN user_exchange_accounts u ON u.id = a.user_exchange_account_id
LEFT JOIN exchanges e ON e.id = u.exchange_id
"""  # noqa: S608
