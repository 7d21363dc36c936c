"""Waiting for what has no event to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, timeout: float = 15.0, every: float = 0.01) -> T:
    """Return what ``condition`` returns as soon as that is true; it has ``timeout`` seconds, looked at ``every`` few.

    Raises:
        AssertionError: it has not become true.
    """
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(every)
    return found
