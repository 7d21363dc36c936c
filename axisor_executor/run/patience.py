"""How long and how often an execution is tried: its age, and the policy of its automation's type."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime

from axisor_executor.errors import AxisorError
from axisor_executor.run.flow import Stop
from axisor_executor.settings import RetryPolicy
from axisor_executor.storage.actions import LedgerAction
from axisor_executor.storage.executions import Execution


class Patience:
    """That of one run."""

    def __init__(self, run: Execution, policy: RetryPolicy) -> None:
        self._run = run
        self._policy = policy

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
        delay = max(delay, getattr(error, "retry_after", None) or 0.0)
        return None if self._is_late(delay) else delay

    def may_decide_again(self, ledger: Iterable[LedgerAction]) -> bool:
        """Return whether what was proven never to have been carried out may be decided anew."""
        lost = sum(1 for action in ledger if (action.error or {}).get("code") == "not_executed")
        return self._run.tries + lost < self._policy.tries and not self._is_late()

    def _is_late(self, seconds: float = 0.0) -> bool:
        expires = self._run.expires_at
        return expires is not None and datetime.now(UTC).timestamp() + seconds > expires.timestamp()
