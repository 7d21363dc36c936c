"""How a run can end early: it stops (the execution is over) or it is suspended (it goes on later)."""

from __future__ import annotations

from typing import Any

from axisor_executor.errors import AxisorError
from axisor_executor.storage.executions import Status, WaitFor


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
    def shown(self) -> dict[str, Any] | None:
        """The error that is the cause, as stored; one that holds a half-done group says so."""
        if self.error is None:
            return None
        shown = self.error.as_dict()
        return {**shown, "details": {**self.error.details, "halfDone": True}} if self.half_done else shown
