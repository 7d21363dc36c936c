"""Commit how a run has ended: the execution's end, or what it waits for."""

from __future__ import annotations

import contextlib

from axisor_executor.errors import LeaseLost, StorageError
from axisor_executor.observe.logs import say
from axisor_executor.run.flow import Suspend
from axisor_executor.run.outcome import UNTOLD
from axisor_executor.run.result import Ended, Subject
from axisor_executor.storage import actions, executions
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution, Next
from axisor_executor.storage.plans import Plan


def finish(
    storage: Storage, run: Execution, subject: Subject, ended: Ended, plan: Plan | None, *, lease_seconds: float
) -> Next | None:
    """Commit the execution's end with the outcome that ``plan`` still owes, and return who is next on the account.

    Raises:
        LeaseLost: another run has it by now; what was owed is committed all the same.
    """
    try:
        return _record_somehow(storage, run, subject, ended, plan, lease_seconds)
    except (LeaseLost, StorageError, *BROKEN):
        # Without the end it was to be committed with, an answer that is here must still not be lost.
        if plan is not None:
            with contextlib.suppress(StorageError, *BROKEN):
                plan.settle()
        raise


def suspend(storage: Storage, run: Execution, subject: Subject, pause: Suspend, *, lease_seconds: float) -> Next | None:
    """Commit what the execution waits for, and return who is next on the account; ``None`` where another run has it."""
    why = f" ({pause.error})" if pause.error else ""
    name = subject.account_name or run.account_name or "unknown"
    waits = f"goes on in {pause.seconds:.1f} s: waiting for {pause.wait_for}{why}"
    say.warning(f"Run for account {name} interrupted, {waits}")
    try:
        return executions.wait(
            storage,
            run,
            pause.wait_for,
            seconds=pause.seconds,
            error=pause.shown,
            spends_try=pause.spends_try,
            looked=pause.looked,
            lease_seconds=lease_seconds,
        )
    except LeaseLost as error:
        say.warning(f"Run given up: {error}")
        return None


def _record_somehow(
    storage: Storage, run: Execution, subject: Subject, ended: Ended, plan: Plan | None, lease_seconds: float
) -> Next | None:
    try:
        return _record(storage, run, subject, ended, plan, lease_seconds)
    except (LeaseLost, StorageError, *BROKEN):
        raise
    except Exception as error:  # noqa: BLE001  an end that can't be written must not run again and again
        say.crash(f"The result of execution {run.id} can't be recorded: {type(error).__name__}")
        head = subject.head(ended.status, None)
        message = "The result could not be recorded"
        bare = {"status": 500, "code": "internal_error", "message": message, "details": {UNTOLD: True}}
        return _record(storage, run, subject, Ended(ended.status, {**head, "error": bare}, bare), plan, lease_seconds)


def _record(
    storage: Storage, run: Execution, subject: Subject, ended: Ended, plan: Plan | None, lease_seconds: float
) -> Next | None:
    owed = plan.owed if plan is not None else None
    return executions.finish(
        storage,
        run,
        ended.status,
        result=ended.result,
        error=ended.error,
        plan=ended.plan,
        account=(subject.account_id, subject.account_name),
        trade_log=ended.trade_log,
        lease_seconds=lease_seconds,
        behind=() if owed is None else (actions.settlement_at_end(run, owed, ended.status),),
    )
