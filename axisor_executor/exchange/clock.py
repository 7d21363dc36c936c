"""The exchange's clock as its answers show it."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_RESOLUTION = 1.0  # a Date header shows whole seconds, cut off
COMPARED_SECONDS = 10.0
"""How long a comparison of the clocks serves the other calls of this process to the same address."""
_STEP_SECONDS = 0.5
_VERY_OLD = timedelta(days=1)
_KNOWS_SLEEP = hasattr(time, "CLOCK_BOOTTIME")
_compared: dict[str, tuple[float, float, float]] = {}


def lasting() -> float:
    """Return the seconds of a clock that nobody sets, and that goes on while the machine sleeps, where it has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if _KNOWS_SLEEP else time.monotonic()


def server_time(headers: Mapping[str, str], *, cacheable: bool = False) -> datetime | None:
    """Return the instant of the answer's ``Date`` header in UTC, or ``None`` if there is none that can be read.

    With ``cacheable`` (public market data) the seconds that a cache says it has kept the answer (``Age``) are added;
    elsewhere they never are: a time that is too early proves too little, one that is too late proves too much.
    """
    date = _date(headers.get("Date"))
    if date is None:
        return None
    age = headers.get("Age", "") if cacheable else ""
    return date + timedelta(seconds=int(age)) if _is_age(age) else date


def shown_at(date: datetime, headers: Mapping[str, str]) -> datetime:
    """Return of which instant a private answer dated ``date`` is for certain: as old as a cache says, and older.

    Some caches keep the ``Date`` of what they have kept, some write their own; an ``Age`` is taken off both. One that
    can't be read makes the answer older than any request that it could prove dead.
    """
    age = headers.get("Age")
    if age is None:
        return date
    return date - (timedelta(seconds=int(age)) if _is_age(age) else _VERY_OLD)


def _is_age(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 8


@functools.lru_cache(maxsize=64)  # all answers of a second show the same text
def _date(shown: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(shown or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return None if date.tzinfo is None else date.astimezone(UTC)


def skew_seconds(sent_at: float, received_at: float, server: datetime) -> float:
    """Return by how many seconds this machine's clock is certainly ahead of (above 0) or behind the exchange's.

    The exchange wrote its ``Date`` at some moment between sending and receiving, and cut it to whole seconds; so the
    true difference lies between two bounds. 0 is returned if it may be 0, else the bound nearer to it: a slow answer
    can hide a difference, but never invent one.

    Args:
        sent_at: seconds since the epoch by this machine's clock, when the call began.
        received_at: the same, when the answer was complete.
        server: what the answer's ``Date`` says.
    """
    shown = server.timestamp()
    lowest, highest = sent_at - (shown + _RESOLUTION), received_at - shown
    return lowest if lowest > 0 else min(highest, 0.0)


def compared(address: str, skew: float, now: float) -> None:
    """Keep a comparison with the exchange at ``address`` for this process's other clients."""
    steady = time.monotonic()
    _compared[address] = (skew, steady, now - steady)


def recently_compared(address: str, now: float) -> float | None:
    """Return the skew that an answer has shown lately; ``None`` where none has, or this clock was set since."""
    skew, at, offset = _compared.get(address, (0.0, 0.0, 0.0))
    steady = time.monotonic()
    holds = at > 0 and steady - at < COMPARED_SECONDS and abs(now - steady - offset) < _STEP_SECONDS
    return skew if holds else None
