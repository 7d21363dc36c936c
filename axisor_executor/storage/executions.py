"""The ledger's executions: rows, and the transitions between their states (``taking``: new ones, ``claiming``: runs).

``queued -> running -> completed | pending | failed | uncertain | expired | cancelled``, with ``waiting`` between two
runs. A run holds its execution by a *fence*: a number that only grows, checked by every write of the run, so a
worker that was given up for dead can't change anything any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import peewee

from axisor_executor.automation import Lane
from axisor_executor.errors import LeaseLost, StorageError
from axisor_executor.observe.logs import say
from axisor_executor.storage import leases, tradelog
from axisor_executor.storage.connection import BROKEN, Statement, Storage, must
from axisor_executor.storage.values import document, instant, maybe_instant

Status = Literal["queued", "running", "waiting", "completed", "pending", "failed", "uncertain", "expired", "cancelled"]
WaitFor = Literal["retry", "lease", "rate", "reconcile", "paused"]
TERMINAL: frozenset[str] = frozenset({"completed", "pending", "failed", "uncertain", "expired", "cancelled"})

KEPT_BRIEFLY_SECONDS = 1.0
"""How long an account's lease is kept for the next in line, until that begins, where that may take long."""

MOST_UNSENT_PLANS = 10
"""With so many earlier decisions kept, one more is only if something was sent of it."""

PUT_BACK = (
    "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL, sent_at = NULL, sends = 1 "
    "WHERE id = ?"
)

COLUMNS = (
    "id, user_id, automation_id, automation_type, account_id, account_name, exchange, lane, job, trade_id, "
    "idempotency_key, status, wait_for, due_at, tries, looks, crashes, plan_version, plan, result, error, fence, "
    "created_at, started_at, finished_at, expires_at"
)


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution as it stands in the ledger."""

    id: str
    user_id: str
    automation_id: str
    automation_type: str | None
    account_id: str | None
    account_name: str | None
    exchange: str | None
    lane: Lane
    job: dict[str, Any]
    trade_id: str | None
    idempotency_key: str | None
    status: Status
    wait_for: WaitFor | None
    due_at: datetime | None
    tries: int
    looks: int
    crashes: int
    plan_version: int
    plan: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    fence: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None

    @property
    def is_over(self) -> bool:
        """Whether the status is terminal."""
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Next:
    """An execution that must be woken; ``fence``: that of its last run, where it was handed the account's lease."""

    id: str
    lane: Lane
    fence: int | None = None


def get(storage: Storage, execution_id: str) -> Execution | None:
    """Return an execution, ``None`` where there is none of this id."""
    row = storage.one(f"SELECT {COLUMNS} FROM axisor_executions WHERE id = ?", execution_id)  # noqa: S608
    return from_row(row) if row else None


def mark_sent(storage: Storage, execution_id: str) -> None:
    """Note that the queue was told of this execution.

    In ``sends``, 0 is a new one, of which only the queue knows whether it was told; 1 one that was put back, and then
    one more with every telling.
    """
    storage.run(
        "UPDATE axisor_executions SET sent_at = {now}, sends = CASE WHEN sends = 0 THEN 2 ELSE sends + 1 END "
        "WHERE id = ? AND status = 'queued'",
        execution_id,
    )


def hold(storage: Storage, run: Execution) -> None:
    """Lock an execution's row inside the caller's transaction, for the run that has it.

    Raises:
        LeaseLost: another run has it by now.
    """
    row = storage.one("SELECT 1 FROM axisor_executions WHERE id = ? AND fence = ? {for_update}", run.id, run.fence)
    _guarded(1 if row else 0, run)


def lock(storage: Storage, execution_id: str) -> Execution | None:
    """Return an execution with its row locked inside the caller's transaction."""
    row = storage.one(f"SELECT {COLUMNS} FROM axisor_executions WHERE id = ? {{for_update}}", execution_id)  # noqa: S608
    return from_row(row) if row else None


def plan_statement(storage: Storage, run: Execution, plan: Mapping[str, Any], version: int, *only_if: Any) -> Statement:
    """Return what keeps the decision of a run; the one before it stays in ``old_plans``, as a rule.

    It has to touch a row, which it does not when the run was given up for dead in the meantime, or where ``only_if``
    (a condition and its parameters) does not hold.
    """
    old = _outlived(storage, run) if run.plan_version else []
    condition, *params = only_if or ("",)
    return must(
        "UPDATE axisor_executions SET plan = ?, plan_version = ?, old_plans = ?, crashes = 0 "  # noqa: S608
        f"WHERE id = ? AND fence = ? AND status = 'running' {condition}",
        dict(plan),
        version,
        old or None,
        run.id,
        run.fence,
        *params,
    )


def _outlived(storage: Storage, run: Execution) -> list[Any]:
    """Return the decisions before the next one: all, but of many of which nothing was sent only the first.

    What is held may be decided anew every few seconds for days.
    """
    row = storage.one(
        "SELECT plan, old_plans, EXISTS (SELECT 1 FROM axisor_actions a WHERE a.execution_id = e.id "
        "AND a.plan_version = e.plan_version AND a.status <> 'planned') FROM axisor_executions e WHERE e.id = ?",
        run.id,
    )
    assert row is not None
    plan, old, was_sent = document(row[0]), document(row[1]) or [], row[2]
    is_kept = plan is not None and (was_sent or len(old) < MOST_UNSENT_PLANS)
    return [*old, plan] if is_kept else old


def wait(
    storage: Storage,
    run: Execution,
    wait_for: WaitFor,
    *,
    seconds: float,
    lease_seconds: float,
    error: Mapping[str, Any] | None = None,
    spends_try: bool = False,
    looked: bool = False,
) -> Next | None:
    """End a run without ending the execution: it goes on in ``seconds``. The account goes to the next in line.

    Raises:
        LeaseLost: the run was given up for dead in the meantime.
    """
    waits = must(
        "UPDATE axisor_executions SET status = 'waiting', wait_for = ?, due_at = {later}, error = ?, "
        "tries = tries + ?, looks = looks + ?, crashes = 0 WHERE id = ? AND fence = ? AND status = 'running'",
        wait_for,
        seconds,
        dict(error) if error else None,
        int(spends_try),
        int(looked),
        run.id,
        run.fence,
    )
    done = storage.together(waits, *_letting_go(run))
    if done is None:
        raise lost(run)
    return None if done else _hand_over(storage, run, lease_seconds)


def finish(
    storage: Storage,
    run: Execution,
    status: Status,
    *,
    result: Mapping[str, Any],
    lease_seconds: float,
    error: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
    account: tuple[str | None, str | None] = (None, None),
    trade_log: tuple[tradelog.Entry, ...] = (),
    behind: tuple[Statement, ...] = (),
) -> Next | None:
    """End the execution: status, result and the TradeLog in one commit. The account goes to the next in line.

    ``plan`` is a decision to wait, which is kept for the record. ``account`` is (id, name), for an execution whose
    account was found out only in this run. ``behind`` is what belongs into the same commit; its last statement touches
    one row only if the execution has ended so, or nothing is committed.

    Raises:
        LeaseLost: the run was given up for dead in the meantime; nothing was written.
    """
    ended = must(
        "UPDATE axisor_executions SET status = ?, result = ?, error = ?, finished_at = {now}, "
        "account_id = COALESCE(account_id, ?), account_name = COALESCE(?, account_name), "
        "wait_for = NULL, due_at = NULL WHERE id = ? AND fence = ? AND status = 'running'",
        status,
        dict(result),
        dict(error) if error else None,
        account[0],
        account[1],
        run.id,
        run.fence,
    )
    planned = () if plan is None else (plan_statement(storage, run, plan, run.plan_version + 1),)
    statements = (*planned, ended, *behind)
    try:
        done = storage.together(*statements, *[tradelog.insertion(one) for one in trade_log], *_letting_go(run))
    except BROKEN:
        raise
    except (peewee.PeeweeException, ValueError):
        return _finish_without_log(storage, run, statements, trade_log, lease_seconds)
    if done is None:
        raise lost(run)
    return None if done or run.account_id is None else _hand_over(storage, run, lease_seconds)


def _finish_without_log(
    storage: Storage,
    run: Execution,
    statements: tuple[Statement, ...],
    trade_log: tuple[tradelog.Entry, ...],
    lease_seconds: float,
) -> Next | None:
    """Finish where the TradeLog does not take what belongs into it: with as much of it as it takes."""
    with storage.write():
        for statement in statements:
            _guarded(storage.run(*statement), run)
        tradelog.write(storage, trade_log)
    return _hand_over(storage, run, lease_seconds)


def _letting_go(run: Execution) -> tuple[Statement, ...]:
    return () if run.account_id is None else leases.letting_go(run.account_id, run.id, run.fence)


def _hand_over(storage: Storage, run: Execution, lease_seconds: float) -> Next | None:
    """Give the account's lease to the first in line by (lane, age), else free it.

    What the run did is committed already, and is told whatever happens here: if its worker dies, or the database can't
    be reached any more, the lease is over in time by itself.
    """
    try:
        return _handed_over(storage, run, lease_seconds)
    except (peewee.PeeweeException, StorageError) as error:
        say.warning(f"Account {run.account_id} is not handed over before its lease is over: {type(error).__name__}")
        return None


_FIRST_IN_LINE = (
    "SELECT id, lane, fence FROM axisor_executions WHERE account_id = ? AND status = 'waiting' "
    "AND wait_for = 'lease' AND id <> ? ORDER BY lane_rank, id LIMIT 1 "
)


def _handed_over(storage: Storage, run: Execution, lease_seconds: float) -> Next | None:
    """The lease row is locked first: a claim that is just joining the line has then committed, and is seen."""
    if run.account_id is None:
        return None
    with storage.write():
        if not leases.hold(storage, run.account_id, run.id, run.fence):
            return None
        skip = "" if storage.is_sqlite else "FOR UPDATE SKIP LOCKED"
        free = storage.one(_FIRST_IN_LINE + skip, run.account_id, run.id)
        # One whose row somebody holds can't be put back without waiting; it is woken where it stands.
        first = free or storage.one(_FIRST_IN_LINE, run.account_id, run.id)
        if first is None:
            leases.free(storage, run.account_id)
            return None
        # An entry may stand in a long line of its queue: guards of the account don't wait there with it.
        comes_soon = free is not None and first[1] == "protect"
        seconds = lease_seconds if comes_soon else min(lease_seconds, KEPT_BRIEFLY_SECONDS)
        leases.reserve(storage, run.account_id, first[0], seconds=seconds)
        if free is not None:
            storage.run(PUT_BACK, first[0])
        return Next(*first)


def reopen(storage: Storage, ended: Execution, *, max_age_seconds: float, keeps_plan: bool) -> None:
    """Make an ended execution queued again (inside the caller's transaction), to be decided anew.

    Its plan becomes an old one, so that what it has touched is kept; tries begin anew. With ``keeps_plan`` it is
    gone on with instead.
    """
    old = old_plans(storage, ended.id)
    if ended.plan is not None and not keeps_plan:
        old.append(ended.plan)
    storage.run(
        "UPDATE axisor_executions SET status = 'queued', wait_for = NULL, due_at = NULL, sent_at = NULL, sends = 1, "
        "tries = 0, looks = 0, crashes = 0, result = NULL, error = NULL, finished_at = NULL, expires_at = {later}, "
        "plan = ?, plan_version = ?, old_plans = ? WHERE id = ?",
        max_age_seconds,
        ended.plan if keeps_plan else None,
        ended.plan_version if keeps_plan else ended.plan_version + 1,
        old or None,
        ended.id,
    )


def conclude(
    storage: Storage,
    ended: Execution,
    status: Status,
    *,
    result: Mapping[str, Any],
    error: Mapping[str, Any] | None,
) -> None:
    """Correct the end of an execution that has ended (inside the caller's transaction)."""
    storage.run(
        "UPDATE axisor_executions SET status = ?, result = ?, error = ? WHERE id = ? AND status = ?",
        status,
        dict(result),
        dict(error) if error else None,
        ended.id,
        ended.status,
    )


def old_plans(storage: Storage, execution_id: str) -> list[dict[str, Any]]:
    """Return the decisions that a later one replaced, oldest first."""
    row = storage.one("SELECT old_plans FROM axisor_executions WHERE id = ?", execution_id)
    return list(document(row[0]) or []) if row else []


def adopt_account(storage: Storage, execution_id: str, account_id: str, account_name: str, exchange: str) -> None:
    """Give an execution that was taken without an account the one that its automation has been bound to since."""
    storage.run(
        "UPDATE axisor_executions SET account_id = ?, account_name = ?, exchange = ? "
        "WHERE id = ? AND account_id IS NULL AND plan IS NULL",
        account_id,
        account_name,
        exchange,
        execution_id,
    )


def _guarded(touched: int, run: Execution) -> None:
    if touched != 1:
        raise lost(run)


def lost(run: Execution) -> LeaseLost:
    """Return the error of a run that was given up for dead."""
    return LeaseLost(f"execution {run.id} was taken over by another run", account_id=run.account_id)


def from_row(row: tuple[Any, ...]) -> Execution:
    """Return the execution of a row of ``COLUMNS``."""
    values = list(row)
    for index in (8, 18, 19, 20):
        values[index] = document(values[index])
    values[22] = instant(values[22])
    for index in (13, 23, 24, 25):
        values[index] = maybe_instant(values[index])
    return Execution(*values)
