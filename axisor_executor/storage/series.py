"""Figures by the minute, for charts: what has ended in each, and how long it took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from axisor_executor.observe.logs import timestamp
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.figures import ERROR, took


def minutes(storage: Storage, count: int, *, user_id: str | None = None) -> list[dict[str, Any]]:
    """Return the last ``count`` minutes, oldest first; the last one is not over.

    ``executions`` and ``errors`` ended in it; ``averageMs`` is their time from the first run's start to the end,
    ``None`` where nothing ended.
    """
    last = storage.now().replace(second=0, microsecond=0)
    first = last - timedelta(minutes=count - 1)
    minute = (
        "substr(finished_at, 1, 16)"
        if storage.is_sqlite
        else "to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')"
    )
    condition, values = ("", []) if user_id is None else ("AND user_id = ?", [user_id])
    rows = storage.rows(
        f"SELECT {minute}, COUNT(*), SUM(CASE WHEN {ERROR} THEN 1 ELSE 0 END), AVG({took(storage)}) "  # noqa: S608
        f"FROM axisor_executions WHERE finished_at >= ? {condition} GROUP BY 1",
        first,
        *values,
    )
    found = {datetime.fromisoformat(row[0]).replace(tzinfo=UTC): row[1:] for row in rows}
    return [_minute(at, *found.get(at, (0, 0, None))) for at in (first + timedelta(minutes=n) for n in range(count))]


def _minute(at: datetime, ended: Any, errors: Any, average: Any) -> dict[str, Any]:
    return {
        "at": timestamp(at),
        "executions": int(ended),
        "errors": int(errors),
        "averageMs": None if average is None else round(float(average), 1),
    }
