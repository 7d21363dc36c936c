"""A process that calls the exchange with many keys as often as the budget lets it; told what to do in JSON on stdin.

Each thread takes the key that may be tried next. One that is sent away is tried again when it was told to be. A call
is late if it took longer, from its last question to the budget to its answer, than the budget allows for on the way.
"""

from __future__ import annotations

import heapq
import json
import sys
import threading
import time
from itertools import count
from typing import Any

from axisor_executor.automation import Lane
from axisor_executor.credentials import SecureCredentials
from axisor_executor.errors import Unavailable
from axisor_executor.exchange import ExchangeOptions, LNMarketsClient
from axisor_executor.limits.budget import Budget
from axisor_executor.limits.pace import JITTER, SECOND
from axisor_executor.settings import Settings
from axisor_executor.shared import Shared


class Hammer:
    """Threads that take keys in turn; ``task`` says which, for how long, and whether they ask the budget first."""

    def __init__(self, task: dict[str, Any]) -> None:
        options = ExchangeOptions("lnmarkets", task["exchange"])
        settings = Settings(private_calls_per_second=task["per_second"], rate_wait_seconds=task["wait"])
        shared = Shared(task["redis"], task["prefix"])
        self.budget = Budget(shared, settings, sleep=self._sleep) if task["is_limited"] else None
        self.clients = [LNMarketsClient(options, SecureCredentials(**keys)) for keys in task["keys"]]
        self.until = time.monotonic() + task["seconds"]
        self.lanes: list[Lane] = task["lanes"]
        self.calls = 0
        self.late = 0
        self.slowest = 0.0
        self._due = [(0.0, number, key) for number, key in enumerate(range(len(self.clients)))]
        self._numbers = count(len(self._due))
        self._lock = threading.Lock()
        self._local = threading.local()

    def run(self) -> dict[str, float]:
        """Hammer until the time is up; return how often, how often late, and how long a call took at most (seconds)."""
        threads = [threading.Thread(target=self._thread, args=(lane,)) for lane in self.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {"calls": self.calls, "late": self.late, "slowest": self.slowest}

    def _thread(self, lane: Lane) -> None:
        while time.monotonic() < self.until:
            with self._lock:
                if not self._due:
                    continue
                at, _, key = heapq.heappop(self._due)
            time.sleep(max(min(at, self.until) - time.monotonic(), 0))
            back = self._call(key, lane)
            with self._lock:
                heapq.heappush(self._due, (back, next(self._numbers), key))

    def _call(self, key: int, lane: Lane) -> float:
        """Call once, if there is room; return when the key may be tried again."""
        self._local.asked = time.monotonic()
        try:
            if self.budget is not None:
                self.budget.take(f"key:lnmarkets:{key}", lane=lane)
        except Unavailable as error:
            return time.monotonic() + (error.retry_after or 1.0)
        before, pause = time.monotonic(), 0.0
        try:
            self.clients[key].account()
        except Unavailable as error:
            pause = error.retry_after or 1.0
        after = time.monotonic()
        with self._lock:
            self.calls += 1
            self.late += after - self._local.asked > JITTER / SECOND
            self.slowest = max(self.slowest, after - before)
        return after + pause

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        self._local.asked = time.monotonic()  # for a place is no token: it asks again


if __name__ == "__main__":
    print(json.dumps(Hammer(json.load(sys.stdin)).run()))
