"""The server's clock, which tests may shift, and its instants as the API writes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

__all__ = ["Clock", "iso", "parse_iso", "system_time"]


def system_time() -> int:
    """Return this machine's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Clock:
    """Milliseconds since the epoch, shifted by `offset` milliseconds."""

    __slots__ = ("_date", "_date_second", "offset")

    def __init__(self) -> None:
        self.offset = 0
        self._date_second = -1
        self._date = ""

    def now(self) -> int:
        """Return the server's time in milliseconds since the epoch."""
        return system_time() + self.offset

    def http_date(self) -> str:
        """Return the server's time as a `Date` header."""
        second = self.now() // 1000
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True)
        return self._date


def iso(at: int) -> str:
    """Return an instant (milliseconds since the epoch) as the API writes it: 2026-11-22T07:59:33.120Z."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


def parse_iso(text: str) -> int | None:
    """Return an ISO 8601 instant in milliseconds since the epoch, None when it is none; no zone means UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return round(parsed.timestamp() * 1000)


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
