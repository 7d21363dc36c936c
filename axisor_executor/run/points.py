"""The marked points of a run: where a process may die, and what must be true then.

``claimed`` · ``planned`` (decided; committed with the first request) · ``sending`` (committed, the request has not
left) · ``answered`` (the answer is here, nothing is committed) · ``settled`` (the outcome is committed; that which
completes a plan is, with the end) · ``finished`` (the end is committed, the queue does not know). Nothing listens in
production; the fault tests let workers die here.
"""

from __future__ import annotations

from collections.abc import Callable

listeners: list[Callable[[str], None]] = []


def reached(point: str) -> None:
    """Tell the listeners, if there are any."""
    for listener in listeners:
        listener(point)
