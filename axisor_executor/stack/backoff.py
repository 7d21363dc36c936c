"""How long a part that has ended waits until it is started again."""

from __future__ import annotations

FIRST_SECONDS = 0.5
LIMIT_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""What has run for so long counts as healthy: its next end begins with the first delay."""


class Backoff:
    """The delays of one part: they double from the first to the limit, and begin anew after a steady run."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def after(self, ran_seconds: float) -> float:
        """Return the delay in seconds after a run of ``ran_seconds``."""
        if ran_seconds >= STEADY_SECONDS:
            self._next = FIRST_SECONDS
        delay, self._next = self._next, min(self._next * 2, LIMIT_SECONDS)
        return delay
