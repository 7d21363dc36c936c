"""The rate budget: every process asks here before it calls the exchange, and all of them together keep its limits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from axisor_executor.automation import Lane
from axisor_executor.errors import Throttled
from axisor_executor.limits import pace_script
from axisor_executor.limits.pace import GRACE, LONGEST_SLOW_DOWN, LONGEST_WAIT, SECOND, Calls, Pace, Turn
from axisor_executor.settings import Settings
from axisor_executor.shared import Shared

_CALLERS = 10_000


class Budget:
    """Tokens for calls, one a call, counted in Redis for each caller.

    A caller is ``key:<exchange>:<fingerprint of the API key>`` for signed calls or ``public:<host>`` for others. Its
    name stands in Redis: no secret may be in it.

    While Redis is away, each process keeps to a part of the rate by itself. Of five calls a second and up to five
    processes, they exceed it together at no time; where there are more processes than calls, it holds on average.
    """

    def __init__(
        self,
        shared: Shared,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make a budget.

        Args:
            shared: where Redis is.
            settings: the rates, the wait, how many processes there are and from where they call.
            clock: monotonic, in seconds.
            sleep: waits so many seconds.
        """
        rates = {"key": settings.private_calls_per_second, "public": settings.public_calls_per_second}
        self._shared = shared
        self._paces = {kind: Pace.per_second(rate) for kind, rate in rates.items()}
        self._local_paces = {
            kind: Pace.per_second(_part(rate, settings.rate_processes)) for kind, rate in rates.items()
        }
        self._wait = settings.rate_wait_seconds
        self._source_address = settings.source_address
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._local: TTLCache[str, Calls] = TTLCache(_CALLERS, LONGEST_SLOW_DOWN / SECOND, timer=clock)
        self._shared_at = -math.inf

    def take(self, caller: str, *, lane: Lane, goes_on: bool = False) -> None:
        """Take a token for one call that is sent at once, after a short wait if need be.

        One that ``goes_on`` from calls of the same run has longer, until its run's own calls are over: sent away, the
        run would begin anew, call as often, and be sent away at the same place again.

        Raises:
            Throttled: there is none within the wait; nothing was spent. ``retry_after`` says when to come back, and
                says it to one after the other.
        """
        started = self._clock()
        wait = longest = self._longest_wait(_kind(caller)) if goes_on else self._wait
        shared_place = local_place = 0
        while True:
            turn = self._ask_redis(caller, lane, wait, shared_place)
            if turn is not None:
                shared_place = turn.place
            else:
                turn = self._ask_locally(caller, lane, wait, local_place)
                local_place = turn.place
            if turn.after <= 0:
                return
            if not turn.place:
                after = turn.after / SECOND
                raise Throttled(f"the exchange's rate limit leaves no room for {after:.2f} s", retry_after=after)
            self._sleep(turn.after / SECOND)
            # Who has waited is not sent away for the milliseconds by which another woke up late.
            wait = max(started + longest + GRACE / SECOND - self._clock(), 0.0)

    def _longest_wait(self, kind: str) -> float:
        return max(self._wait, min(self._local_paces[kind].window, LONGEST_WAIT) / SECOND)

    def slow_down(self, caller: str, seconds: float) -> None:
        """Let nobody who shares the caller's budget send anything for ``seconds`` (at most ten minutes)."""
        duration = math.ceil(min(max(seconds, 0.0), LONGEST_SLOW_DOWN / SECOND) * SECOND)
        key = self._key(caller)
        given = pace_script.arguments(self._paces[_kind(caller)], "default", slow_down=duration)
        with self._lock:
            self._calls(caller).slow_down(self._now(), duration)
        if duration:
            self._shared.ask(lambda client: pace_script.run(client, key, given))

    def _ask_redis(self, caller: str, lane: Lane, wait: float, place: int) -> Turn | None:
        key = self._key(caller)
        given = pace_script.arguments(self._paces[_kind(caller)], lane, math.floor(wait * SECOND), place)
        turn = self._shared.ask(lambda client: pace_script.run(client, key, given))
        if turn is not None:
            self._shared_at = self._clock()
        return turn

    def _ask_locally(self, caller: str, lane: Lane, wait: float, place: int) -> Turn:
        kind = _kind(caller)
        with self._lock:
            now = self._now()
            calls = self._calls(caller)
            # What all processes sent while Redis still counted has to be out of the window first.
            settled_in = self._shared_at + self._paces[kind].window / SECOND - self._clock()
            if settled_in > 0:
                calls.slow_down(now, math.ceil(settled_in * SECOND))
            return calls.ask(self._local_paces[kind], lane, now, math.floor(wait * SECOND), place)

    def _calls(self, caller: str) -> Calls:
        calls = self._local.pop(caller, None) or Calls()
        self._local[caller] = calls  # anew: its time to live begins again
        return calls

    def _now(self) -> int:
        return int(self._clock() * SECOND)

    def _key(self, caller: str) -> str:
        if self._source_address is not None and _kind(caller) == "public":
            return self._shared.key("rate", caller, self._source_address)
        return self._shared.key("rate", caller)


def _kind(caller: str) -> str:
    kind = caller.partition(":")[0]
    if kind not in {"key", "public"}:
        raise ValueError("a caller begins with key: or public:")
    return kind


def _part(rate: float, processes: int) -> float:
    """Return one process's part: whole calls a second where there are enough, so that the sum holds at any time."""
    part = rate / processes
    return math.floor(part) if part >= 1 else part
