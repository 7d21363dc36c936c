"""Jobs as they come in: at random moments of a mean rate, whoever is still busy with those before (open loop)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from axisor_executor import api

SENDERS = 16
"""Threads that enqueue: one that waits for the database must not hold the next job up."""


@dataclass(frozen=True)
class Taken:
    """A job that was enqueued: when it was to be (`time.time`), when the call began and when it ended."""

    execution_id: str
    job: dict[str, Any]
    due: float
    began: float
    ended: float


def moments(rate: float, seconds: float, *, seed: int = 1) -> list[float]:
    """Return the moments, in seconds from the start, of a Poisson process with ``rate`` arrivals a second."""
    chance = random.Random(seed)
    found: list[float] = []
    moment = chance.expovariate(rate)
    while moment < seconds:
        found.append(moment)
        moment += chance.expovariate(rate)
    return found


def send(
    jobs: Iterable[dict[str, Any]], at: Iterable[float], *, until: Callable[[], bool] = lambda: False
) -> list[Taken]:
    """Enqueue a job at each moment (seconds from now), or until told to stop, and return what was taken."""
    futures: list[Future[Taken]] = []
    began = time.time()
    with ThreadPoolExecutor(SENDERS, "sender") as senders:
        for job, moment in zip(jobs, at, strict=False):
            due = began + moment
            while (left := due - time.time()) > 0:
                time.sleep(left)
            if until():
                break
            futures.append(senders.submit(_send, job, due))
    return [future.result() for future in futures]


def _send(job: dict[str, Any], due: float) -> Taken:
    began = time.time()
    execution_id = api.enqueue(job)
    return Taken(execution_id, job, due, began, time.time())
