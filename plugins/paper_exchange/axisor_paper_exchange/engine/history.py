"""What is over, in the order of its end."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Generic, TypeVar

__all__ = ["History"]

Row = TypeVar("Row")


class History(Generic[Row]):
    """Rows in the order of their instant, readable in pages from the newest to the oldest."""

    def __init__(self) -> None:
        self._ended: list[tuple[int, int, Row]] = []

    def __len__(self) -> int:
        return len(self._ended)

    def add(self, at: int, number: int, row: Row) -> None:
        """Append a row of the instant `at` (milliseconds); `number` breaks ties and is unique."""
        insort(self._ended, (at, number, row))

    def rows(self) -> list[Row]:
        """Return all rows, oldest first."""
        return [row for _, _, row in self._ended]

    def page(
        self, *, since: int | None, until: int | None, before: tuple[int, int] | None, limit: int
    ) -> tuple[list[Row], tuple[int, int] | None]:
        """Return up to `limit` rows, newest first, and where the next page begins (None at the end).

        `since` and `until` are milliseconds, both inclusive; `before` is what an earlier call returned.
        """
        low = 0 if since is None else bisect_left(self._ended, (since,))
        high = len(self._ended) if until is None else bisect_left(self._ended, (until + 1,))
        if before is not None:
            high = min(high, bisect_left(self._ended, before))
        first = max(low, high - limit)
        rows = self._ended[first:high][::-1]
        following = (rows[-1][0], rows[-1][1]) if rows and first > low else None
        return [row for _, _, row in rows], following
