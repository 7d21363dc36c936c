"""Figures from the ledger: executions, success and error, times, per account and overall, over the last seconds.

An execution counts when it has ended within the window. Success is ``completed``, ``pending`` and ``cancelled``; error
is ``failed``, ``uncertain`` and ``expired``. Its time is from the start of its first run to its end, waiting included;
one that never ran has none. Rates are shares from 0 to 1, and ``None`` where nothing has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from axisor_executor.observe.logs import timestamp
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document, instant

ACTIVE_SECONDS = 86_400.0
"""An account with an execution taken within this time is active."""
_SUCCESS = "status IN ('completed', 'pending', 'cancelled')"
ERROR = "status IN ('failed', 'uncertain', 'expired')"
"""The condition in SQL."""


def performance(storage: Storage, window_seconds: float, *, user_id: str | None = None) -> dict[str, Any]:
    """Return the overall figures, or those of one user.

    ``averageExecutionTime`` is in milliseconds. ``accountsActive`` looks a day back, whatever the window.
    ``cacheHitRate`` is that of the credentials caches of the workers that showed themselves within the window, each
    since its start; ``None`` for one user.
    """
    condition, values = _of_user(user_id)
    since = _ago(storage, window_seconds)
    row = storage.one(
        f"SELECT {_sums(storage)} FROM axisor_executions WHERE finished_at >= ? {condition}",  # noqa: S608
        since,
        *values,
    )
    active = storage.one(
        f"SELECT COUNT(DISTINCT account_id) FROM axisor_executions WHERE created_at >= ? {condition}",  # noqa: S608
        _ago(storage, ACTIVE_SECONDS),
        *values,
    )
    assert row is not None
    assert active is not None
    figures = _figures(row)
    return {
        "windowSeconds": window_seconds,
        **figures,
        "executionsPerMinute": round(figures["executions"] / (window_seconds / 60), 3),
        "cacheHitRate": None if user_id is not None else _cache_hit_rate(storage, window_seconds),
        "accountsActive": int(active[0]),
    }


def accounts(
    storage: Storage,
    window_seconds: float,
    *,
    user_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
    worst_first: bool = False,
) -> list[dict[str, Any]]:
    """Return the figures of each account of which something has ended, in the order of their ids.

    Args:
        storage: the database.
        window_seconds: how far to look back.
        user_id: only this user's accounts.
        after: the id of an account: only those behind it.
        limit: how many at most.
        worst_first: instead in the order of their errors, the most first; then of their executions.
    """
    condition, values = _of_user(user_id)
    # All of the window are needed: an index by account, which SQLite would take for the groups, has all of all times.
    group, order = ("account_id || ''", "errors DESC, ended DESC, 1") if worst_first else ("account_id", "1")
    if after is not None:
        condition += " AND account_id > ?"
        values.append(after)
    since = _ago(storage, window_seconds)
    rows = storage.rows(
        f"SELECT {group}, MAX(user_id), MAX(account_name), MAX(exchange), {_sums(storage)} "  # noqa: S608
        f"FROM axisor_executions WHERE account_id IS NOT NULL AND finished_at >= ? {condition} "
        f"GROUP BY 1 ORDER BY {order} LIMIT ?",
        since,
        *values,
        limit,
    )
    errors = _last_errors(storage, [row[0] for row in rows], since)
    return [
        {
            "accountId": row[0],
            "userId": row[1],
            "accountName": row[2],
            "exchange": row[3],
            **_figures(row[4:]),
            "lastError": errors.get(row[0]),
        }
        for row in rows
    ]


def account(storage: Storage, account_id: str, window_seconds: float) -> dict[str, Any]:
    """Return the figures of one account, with how often each error code ended an execution."""
    since = _ago(storage, window_seconds)
    row = storage.one(
        f"SELECT {_sums(storage)} FROM axisor_executions WHERE account_id = ? AND finished_at >= ?",  # noqa: S608
        account_id,
        since,
    )
    assert row is not None
    code = "json_extract(error, '$.code')" if storage.is_sqlite else "error->>'code'"
    codes = storage.rows(
        f"SELECT {code}, COUNT(*) FROM axisor_executions WHERE account_id = ? AND finished_at >= ? "  # noqa: S608
        f"AND {ERROR} GROUP BY 1 ORDER BY 2 DESC, 1",
        account_id,
        since,
    )
    return {
        **_figures(row),
        "errorCodes": {str(name): int(count) for name, count in codes},
        "lastError": _last_errors(storage, [account_id], since).get(account_id),
    }


def _ago(storage: Storage, seconds: float) -> datetime:
    """Return an instant by the database's clock; as a value, because PostgreSQL compares no index with its clock."""
    return storage.now() - timedelta(seconds=seconds)


def _of_user(user_id: str | None) -> tuple[str, list[Any]]:
    return ("", []) if user_id is None else ("AND user_id = ?", [user_id])


def took(storage: Storage) -> str:
    """Return in SQL an execution's milliseconds from the start of its first run to its end."""
    return (
        "(julianday(finished_at) - julianday(started_at)) * 86400000.0"
        if storage.is_sqlite
        else "EXTRACT(EPOCH FROM finished_at - started_at) * 1000"
    )


def _sums(storage: Storage) -> str:
    return (
        f"COUNT(*) AS ended, SUM(CASE WHEN {_SUCCESS} THEN 1 ELSE 0 END), "
        f"SUM(CASE WHEN {ERROR} THEN 1 ELSE 0 END) AS errors, "
        f"AVG({took(storage)}), MAX(finished_at)"
    )


def _figures(row: Sequence[Any]) -> dict[str, Any]:
    ended, successes, errors, average, last = row
    return {
        "executions": int(ended),
        "successes": int(successes or 0),
        "errors": int(errors or 0),
        "successRate": _share(successes, ended),
        "errorRate": _share(errors, ended),
        "averageExecutionTime": None if average is None else round(float(average), 1),
        "lastFinishedAt": None if last is None else timestamp(instant(last)),
    }


def _share(part: Any, whole: Any) -> float | None:
    return round(int(part) / int(whole), 4) if whole else None


def _cache_hit_rate(storage: Storage, window_seconds: float) -> float | None:
    rows = storage.rows("SELECT counters FROM axisor_workers WHERE heartbeat_at >= {later}", -window_seconds)
    told = [document(row[0]) or {} for row in rows]
    hits = sum(int(one.get("cacheHits", 0)) for one in told)
    return _share(hits, hits + sum(int(one.get("cacheMisses", 0)) for one in told))


def _last_errors(storage: Storage, account_ids: Sequence[str], since: datetime) -> dict[str, dict[str, Any]]:
    if not account_ids:
        return {}
    marks = ",".join("?" * len(account_ids))
    rows = storage.rows(
        "SELECT account_id, id, error, finished_at FROM (SELECT account_id, id, error, finished_at, "  # noqa: S608
        "ROW_NUMBER() OVER (PARTITION BY account_id ORDER BY finished_at DESC, id DESC) AS place "
        f"FROM axisor_executions WHERE account_id IN ({marks}) AND finished_at >= ? AND {ERROR}) AS ended "
        "WHERE place = 1",
        *account_ids,
        since,
    )
    return {
        row[0]: {
            **{key: (document(row[2]) or {}).get(key) for key in ("code", "message")},
            "executionId": row[1],
            "at": timestamp(instant(row[3])),
        }
        for row in rows
    }
