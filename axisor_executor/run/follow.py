"""Follow a plan: carry its groups out, each in order, as far as they go now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from axisor_executor.automation import Act
from axisor_executor.errors import AxisorError, Held, LeaseLost, OutcomeUnknown, Refused, StaleData, Unavailable
from axisor_executor.run.acting import Acting
from axisor_executor.run.flow import Suspend
from axisor_executor.run.outcome import NOT_EXECUTED, GroupOutcome, outcomes_of
from axisor_executor.run.send import Sender
from axisor_executor.storage import actions
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import Execution

HELD_RETRY_SECONDS = 5.0
FIRST_LOOK_SECONDS = 1.0
REOPEN_SECONDS = 300.0
"""How long after a reduce's close its reopen is still tried; later the remainder stays closed, with an alert."""


class Follower:
    """Carries out one execution's plan.

    Args:
        sender: sends and records.
        next_try: seconds until a first step may be tried again after an error, ``None`` where no try is left.
        check_age: raises ``Stop`` when it is too late for a first request.
        is_stopping: whether the worker is to stop; what is left is handed back then.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        next_try: Callable[[AxisorError], float | None],
        check_age: Callable[[], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        self.sender = sender
        self.storage = sender.storage
        self.next_try = next_try
        self.check_age = check_age
        self.is_stopping = is_stopping

    def follow(
        self, run: Execution, plan: Act, version: int, ledger: list[LedgerAction], acting: Acting
    ) -> list[LedgerAction]:
        """Carry every group out as far as it goes, and return the ledger's actions after that.

        A group that must wait does not keep the others from being carried out.

        Raises:
            Suspend: some group goes on later.
            Stop: it is too late to begin, and nothing was sent.
            LeaseLost: another run has the account.
        """
        suspended: Suspend | None = None
        for outcome in outcomes_of(plan, ledger, version):
            try:
                self._carry_out_group(run, outcome, acting)
            except Suspend as pause:
                suspended = suspended or pause
        if suspended is not None:
            raise suspended
        return actions.of(self.storage, run.id)

    def _carry_out_group(self, run: Execution, outcome: GroupOutcome, acting: Acting) -> None:
        """Carry the steps out in order, and none behind one that was refused, superseded or is unknown."""
        for index, step in enumerate(outcome.steps):
            current = step
            if index > 0 and is_not_executed(step):
                # Behind a close there is no deciding again: the remainder is owed, so the same step is planned anew.
                current = actions.plan_again(self.storage, run, step)
            if current.status == "confirmed":
                continue
            if current.status != "planned" or not self._carry_out_step(run, current, index, outcome, acting):
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
            _check_same_user(outcome, acting)
            return self.sender.send(run, step, acting)
        except (Unavailable, StaleData) as error:
            delay = self.next_try(error) if index == 0 else _next_reopen(outcome)
            if delay is None:
                actions.deny(self.storage, step, error.as_dict())
                return False
            raise Suspend("retry", delay, error=error, spends_try=index == 0) from None
        except Held as error:
            wait_for = "reconcile" if error.code == "unresolved_action" else "paused"
            raise Suspend(wait_for, HELD_RETRY_SECONDS, error=error, half_done=index > 0) from None  # type: ignore[arg-type]
        except OutcomeUnknown as error:
            raise Suspend("reconcile", FIRST_LOOK_SECONDS, error=error) from None
        except LeaseLost:
            raise
        except AxisorError as error:
            actions.deny(self.storage, step, error.as_dict())
            return False


def _check_same_user(outcome: GroupOutcome, acting: Acting) -> None:
    """Let a group end where it began: a remainder must not be opened for another user of the exchange.

    Raises:
        Refused: the account's key belongs to somebody else now (``exchange_user_changed``).
    """
    if outcome.steps[0].exchange_user_id not in (None, acting.exchange_user_id):
        raise Refused(
            f"the key of account {acting.account.name} belongs to another exchange user than when the first step was sent",
            code="exchange_user_changed",
            account_id=acting.account.id,
        )


def is_not_executed(step: LedgerAction) -> bool:
    """Whether the step's request was proven never to have been carried out."""
    return step.status == "rejected" and (step.error or {}).get("code") == NOT_EXECUTED


def _next_reopen(outcome: GroupOutcome) -> float | None:
    closed_at = outcome.steps[0].sent_at
    if closed_at is not None and (datetime.now(UTC) - closed_at).total_seconds() > REOPEN_SECONDS:
        return None
    return HELD_RETRY_SECONDS
