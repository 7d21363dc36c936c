"""Follow a plan: carry its groups out, each in order, as far as they go now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from axisor_executor.errors import (
    AxisorError,
    Changed,
    CircuitOpen,
    CredentialsError,
    Held,
    LeaseLost,
    OutcomeUnknown,
    Refused,
    Rejected,
    StaleData,
    StorageError,
    Throttled,
    Unavailable,
)
from axisor_executor.run.acting import Acting
from axisor_executor.run.flow import Stop, Suspend, crashed, held_back, soonest, waits_for
from axisor_executor.run.outcome import GroupOutcome
from axisor_executor.run.patience import FIRST_LOOK_SECONDS, is_past
from axisor_executor.run.send import Sender
from axisor_executor.storage import actions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.connection import BROKEN, Storage
from axisor_executor.storage.executions import Execution
from axisor_executor.storage.lineage import REOPEN_SECONDS
from axisor_executor.storage.plans import Plan

HELD_RETRY_SECONDS = 5.0


class Follower:
    """Carries out one execution's plan.

    Args:
        sender: sends and records.
        next_try: seconds until a first step may be tried again after an error, ``None`` where no try is left.
        check_age: raises ``Stop`` when it is too late for a first request.
        is_stopping: whether the worker is to stop; what is left is handed back then.
        plan: the plan, where this run has made it.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        next_try: Callable[[AxisorError], float | None],
        check_age: Callable[[], None],
        is_stopping: Callable[[], bool],
        plan: Plan | None = None,
    ) -> None:
        self.sender = sender
        self.storage = sender.storage
        self.next_try = next_try
        self.check_age = check_age
        self.is_stopping = is_stopping
        self.plan = plan

    def follow(self, run: Execution, outcomes: Iterable[GroupOutcome], acting: Acting) -> None:
        """Carry every group out as far as it goes.

        A group that must wait, or is not begun any more, does not keep the others from being carried out.

        Raises:
            Suspend: some group goes on later.
            Stop: it is too late to begin one, and none goes on later.
            LeaseLost: another run has the account.
        """
        pauses: list[Suspend] = []
        stopped: Stop | None = None
        for outcome in outcomes:
            try:
                self._carry_out_group(run, outcome, acting)
            except Suspend as pause:
                pauses.append(pause)
            except Stop as stop:
                stopped = stopped or stop
        if pauses:
            raise soonest(pauses)
        if stopped is not None:
            raise stopped

    def _carry_out_group(self, run: Execution, outcome: GroupOutcome, acting: Acting) -> None:
        """Carry the steps out in order, and none behind one that was refused, superseded or is unknown."""
        for index, step in enumerate(outcome.steps):
            if step.status == "confirmed":
                continue
            if step.status != "planned" or not self._carry_out_step(run, step, index, outcome, acting):
                return

    def _carry_out_step(
        self, run: Execution, step: LedgerAction, index: int, outcome: GroupOutcome, acting: Acting
    ) -> bool:
        """Send one planned action; return whether the group goes on behind it."""
        if self.is_stopping():
            raise Suspend("retry", 0.0)
        if index == 0:
            self.check_age()
        try:
            _check_deadline(self.storage, run, outcome, index)
            _check_same_user(outcome, acting)
            return self.sender.send(run, step, outcome.group.actions[step.step_index], acting, self.plan)
        except (Throttled, CircuitOpen) as error:
            raise held_back(error, half_done=index > 0) from None
        except (Unavailable, StaleData) as error:
            delay = self.next_try(error) if index == 0 else _next_try_behind(error)
            if delay is None:
                return self._deny(run, step, error)
            raise Suspend("retry", delay, error=error, spends_try=index == 0) from None
        except Held as error:
            raise Suspend(waits_for(error), HELD_RETRY_SECONDS, error=error, half_done=index > 0) from None
        except OutcomeUnknown as error:
            raise Suspend("reconcile", FIRST_LOOK_SECONDS, error=error) from None
        except Changed as error:
            raise Suspend("retry", 0.0, error=error) from None
        except (LeaseLost, StorageError, *BROKEN):
            raise
        except AxisorError as error:
            _hold_behind(step, error, index)
            return self._deny(run, step, error)
        except Exception as error:  # noqa: BLE001  what goes wrong with one group must not be the end of the others
            name, account_id = acting.account.name, acting.account.id
            return self._deny(run, step, crashed(error, account_name=name, account_id=account_id))

    def _deny(self, run: Execution, step: LedgerAction, error: AxisorError) -> bool:
        """Let a step end as refused of which nothing was sent.

        Raises:
            Suspend: it was begun, and what went wrong came after that: the exchange is asked what became of it.
        """
        if self.plan is not None:
            self.plan.keep()
        if not actions.deny(self.storage, run, step, error.as_dict()):
            raise Suspend("reconcile", FIRST_LOOK_SECONDS, error=error) from None
        return False


def _next_try_behind(error: AxisorError) -> float | None:
    """Return when a step behind the first is tried again; what others have changed is for the next job to decide on."""
    return None if error.code == "position_changed" else HELD_RETRY_SECONDS


def _hold_behind(step: LedgerAction, error: AxisorError, index: int) -> None:
    """Hold a step behind the first whose account can't be read with its keys: that is no answer to the step itself.

    Of a dry run nothing was sent before it that would have to be brought to its end.

    Raises:
        Suspend: that is so; the step is owed as long as it is due.
    """
    if index > 0 and not step.dry_run and isinstance(error, (Rejected, CredentialsError)):
        raise Suspend("paused", HELD_RETRY_SECONDS, error=error, half_done=True) from None


def is_overdue(storage: Storage, run: Execution, began: datetime) -> bool:
    """Whether it is too late for what is left of a group that began then (a person's retry gives new time)."""
    until = began + timedelta(seconds=REOPEN_SECONDS)
    return is_past(max(until, run.expires_at or until), storage.now)


def _check_deadline(storage: Storage, run: Execution, outcome: GroupOutcome, index: int) -> None:
    """Let no remainder be opened long after its close: it was meant for another market.

    Raises:
        Refused: it is too late (``reopen_too_late``).
    """
    if index > 0 and is_overdue(storage, run, outcome.steps[0].created_at):
        raise Refused(f"more than {REOPEN_SECONDS:g} s have passed since the group began", code="reopen_too_late")


def _check_same_user(outcome: GroupOutcome, acting: Acting) -> None:
    """Let a group end where it began: a remainder must not be opened for another user of the exchange.

    Raises:
        Refused: the account's key belongs to somebody else now (``exchange_user_changed``).
    """
    if outcome.steps[0].exchange_user_id not in (None, acting.owner()):
        raise Refused(
            f"the key of account {acting.account.name} belongs to another exchange user than at the first step",
            code="exchange_user_changed",
            account_id=acting.account.id,
        )
