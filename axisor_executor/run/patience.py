"""How long and how often an execution is tried: its age, and the policy of its automation's type."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from axisor_executor.errors import AxisorError
from axisor_executor.run.flow import Stop
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import Execution

FIRST_LOOK_SECONDS = 1.0
"""How soon after a request whose answer was lost the exchange is asked what became of it."""
LONGEST_ASKED_SECONDS = 3600.0
GIVE_UP_AFTER = timedelta(hours=1)


def is_past(limit: datetime, now: Callable[[], datetime]) -> bool:
    """Whether it is later than that, by this machine's clock and by the database's (``now``), which is asked only then.

    A machine that is ahead would give up what could still be done.
    """
    return datetime.now(UTC) > limit and now() > limit


def asked_for(error: AxisorError) -> float:
    """Return the seconds for which an exchange or a plugin asks to be left alone; for ever is no answer."""
    return min(getattr(error, "retry_after", None) or 0.0, LONGEST_ASKED_SECONDS)


def is_given_up(sent: LedgerAction, now: Callable[[], datetime]) -> bool:
    """Whether a request was sent so long ago, as :func:`is_past`, that nobody will find out what became of it."""
    return sent.sent_at is not None and is_past(sent.sent_at + GIVE_UP_AFTER, now)


class Patience:
    """That of one run; ``now`` asks the database's clock."""

    def __init__(self, run: Execution, policy: RetryPolicy, now: Callable[[], datetime]) -> None:
        self._run = run
        self._policy = policy
        self._now = now

    def check_age(self) -> None:
        """Raise where it is too late for a first request.

        Raises:
            Stop: expired.
        """
        if self._is_late():
            raise Stop("expired", "expired", "The job was older than its limit before anything could be sent for it")

    def next_try(self, error: AxisorError) -> float | None:
        """Return the seconds until the next try: exponential with jitter, or what the exchange asked for.

        ``None``: no try is left, or it would be too late.
        """
        policy, tries = self._policy, self._run.tries
        if tries + 1 >= policy.tries:
            return None
        delay = min(policy.first_delay_seconds * 2**tries, policy.limit_seconds) * random.uniform(0.75, 1.25)  # noqa: S311
        delay = max(delay, asked_for(error))
        return None if self._is_late(delay) else delay

    def may_decide_again(self, lost: int) -> bool:
        """Return whether a group may be decided anew of which ``lost`` requests never took effect, as was proven."""
        return self._run.tries + lost < self._policy.tries and not self._is_late()

    def _is_late(self, seconds: float = 0.0) -> bool:
        expires = self._run.expires_at
        return expires is not None and is_past(expires - timedelta(seconds=seconds), self._now)
