"""The exchange's clock as its answers show it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_RESOLUTION = 1.0  # a Date header shows whole seconds, cut off


def server_time(headers: Mapping[str, str], *, cacheable: bool = False) -> datetime | None:
    """Return the instant of the answer's ``Date`` header in UTC, or ``None`` if there is none that can be read.

    With ``cacheable`` (public market data) the seconds that a cache says it has kept the answer (``Age``) are added;
    elsewhere they never are: a time that is too early proves too little, one that is too late proves too much.
    """
    try:
        date = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        return None
    date = date.astimezone(UTC)
    age = headers.get("Age", "") if cacheable else ""
    return date + timedelta(seconds=int(age)) if age.isascii() and age.isdigit() and len(age) < 8 else date


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
