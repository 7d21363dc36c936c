"""How often somebody may ask: counted by each process, over a window of a minute that slides."""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from axisor_executor.errors import AxisorError


class Rates:
    """Counts what each one has asked in the last minute."""

    def __init__(self) -> None:
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, who: str, most: int, what: str) -> None:
        """Count one more.

        Raises:
            AxisorError: that is more than ``most`` ``what`` (429, ``too_many_requests``), with the seconds to wait.
        """
        rate = RateLimitItemPerMinute(most)
        if self._counts.hit(rate, who):
            return
        wait = self._counts.get_window_stats(rate, who).reset_time - time.time()
        raise AxisorError(
            f"more than {most} {what}",
            code="too_many_requests",
            status=429,
            details={"retryAfterSeconds": max(int(wait) + 1, 1)},
        )
