"""How a run can end early: it stops (the execution is over) or it is suspended (it goes on later)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from axisor_executor.errors import AxisorError, CircuitOpen, Held, Throttled
from axisor_executor.observe.logs import say
from axisor_executor.storage.executions import Status, WaitFor

LONGEST_HELD_BACK_SECONDS = 30.0
"""A breaker may be closed long before its next probe: its account's keys were changed, or somebody has closed it."""


class Stop(Exception):
    """The execution is over without anything to do: cancelled or expired, with the reason for the result."""

    def __init__(self, status: Status, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class Suspend(Exception):
    """The run ends here and the execution goes on in ``seconds``."""

    def __init__(
        self,
        wait_for: WaitFor,
        seconds: float,
        *,
        error: AxisorError | None = None,
        spends_try: bool = False,
        looked: bool = False,
        half_done: bool = False,
    ) -> None:
        super().__init__(wait_for)
        self.wait_for = wait_for
        self.seconds = seconds
        self.error = error
        self.spends_try = spends_try
        self.looked = looked
        self.half_done = half_done

    @property
    def holds_half_done(self) -> bool:
        """Whether a half-done group is held, nobody knows how long: by a pause, an open breaker or keys that fail."""
        return self.half_done and (self.wait_for == "paused" or isinstance(self.error, CircuitOpen))

    @property
    def shown(self) -> dict[str, Any] | None:
        """The error that is the cause, as stored; one that holds a half-done group says so, as it was alerted."""
        if self.error is None:
            return None
        shown = self.error.as_dict()
        return {**shown, "details": {**shown.get("details", {}), "halfDone": True}} if self.holds_half_done else shown


def soonest(pauses: Sequence[Suspend]) -> Suspend:
    """Return the shortest of the waits of a run's groups: none waits for another. A try is spent if any spends one.

    What is told of it is that a half-done group is held, where one is.

    Raises:
        ValueError: there is none.
    """
    found = min(pauses, key=lambda pause: (not pause.holds_half_done, pause.seconds))
    found.seconds = min(pause.seconds for pause in pauses)
    found.spends_try = any(pause.spends_try for pause in pauses)
    return found


def crashed(error: Exception, *, account_name: str, account_id: str | None) -> AxisorError:
    """Log a mistake of ours, and return it as it is told: without a word of what went wrong."""
    say.crash(f"Internal error for account {account_name}: {type(error).__name__}")
    return AxisorError("Internal error; the log has the details", account_id=account_id)


def waits_for(error: Held) -> WaitFor:
    """Return what a run waits for that is held: a switch, or another execution that is not settled yet."""
    return "reconcile" if error.code == "unresolved_action" else "paused"


def held_back(error: Throttled | CircuitOpen, *, half_done: bool = False) -> Suspend:
    """Return the wait of a run whose call was held back before it left: it costs no try.

    Those who wait for the same thing come back one after the other, not all in the same moment.
    """
    wait_for: WaitFor = "rate" if isinstance(error, Throttled) else "retry"
    if error.code == "account_circuit_open":
        wait_for = "paused"
    seconds = min(error.retry_after or 1.0, LONGEST_HELD_BACK_SECONDS) * random.uniform(1.0, 1.5)  # noqa: S311
    return Suspend(wait_for, seconds, error=error, half_done=half_done)
