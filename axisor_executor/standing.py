"""How things stand: executions, workers, switches, Redis and its queues, for the command line and the HTTP API."""

from __future__ import annotations

from typing import Any

from axisor_executor.broker import Queue
from axisor_executor.observe.logs import timestamp
from axisor_executor.redis_client import QUEUE_ERRORS
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.leftover import LIVE
from axisor_executor.storage.values import document, instant
from axisor_executor.workers import SILENT_SECONDS

_FORGOTTEN_SECONDS = 86_400.0


def ledger(storage: Storage) -> dict[str, Any]:
    """Return how many executions there are of each status, and what they wait for; the workers and the switches."""
    counts = storage.rows("SELECT status, COUNT(*) FROM axisor_executions GROUP BY status ORDER BY status")
    waiting = storage.rows(
        f"SELECT wait_for, COUNT(*) FROM axisor_executions WHERE {LIVE} AND status = 'waiting' "  # noqa: S608
        "GROUP BY wait_for ORDER BY wait_for"
    )
    switches = storage.rows("SELECT scope, scope_id, mode, reason FROM axisor_switches ORDER BY scope, scope_id")
    return {
        "executions": {row[0]: int(row[1]) for row in counts},
        "waitingFor": {row[0]: int(row[1]) for row in waiting},
        "workers": workers(storage),
        "switches": [{"scope": row[0], "id": row[1] or None, "mode": row[2], "reason": row[3]} for row in switches],
    }


def workers(storage: Storage) -> list[dict[str, Any]]:
    """Return the worker processes; one that has not shown itself for some time is not ``alive``, later not listed.

    ``threads``, ``running``, ``queues`` and ``keyIds`` (of the keys it reads credentials with) are ``None`` where the
    worker's version does not tell.
    """
    now = storage.now()
    rows = storage.rows(
        "SELECT id, host, pid, started_at, heartbeat_at, counters FROM axisor_workers WHERE heartbeat_at > {later} "
        "ORDER BY started_at, id",
        -_FORGOTTEN_SECONDS,
    )
    found = []
    for row in rows:
        silent = max((now - instant(row[4])).total_seconds(), 0.0)
        told = document(row[5]) or {}
        found.append(
            {
                "id": row[0],
                "host": row[1],
                "pid": row[2],
                "startedAt": timestamp(instant(row[3])),
                "heartbeatSecondsAgo": round(silent, 1),
                "alive": silent < SILENT_SECONDS,
                "threads": told.get("threads"),
                "running": told.get("running"),
                "queues": told.get("queues"),
                "keyIds": told.get("keyIds"),
            }
        )
    return found


def lanes(storage: Storage) -> dict[str, dict[str, Any]]:
    """Return for each lane with live executions how many are queued, running and waiting, and the oldest queued one.

    ``oldestQueuedSeconds``: for how long it has been in the ledger; ``None`` where nothing is queued.
    """
    now = storage.now()
    found: dict[str, dict[str, Any]] = {}
    for lane, status, count, oldest in storage.rows(
        "SELECT lane, status, COUNT(*), MIN(created_at) FROM axisor_executions "  # noqa: S608
        f"WHERE {LIVE} GROUP BY lane, status"
    ):
        one = found.setdefault(lane, {"queued": 0, "running": 0, "waiting": 0, "oldestQueuedSeconds": None})
        one[status] = int(count)
        if status == "queued":
            one["oldestQueuedSeconds"] = round(max((now - instant(oldest)).total_seconds(), 0.0), 1)
    return found


def redis(queue: Queue) -> dict[str, Any]:
    """Return whether Redis answers, its version, and how many messages each lane's queue holds.

    ``version`` is ``None`` where Redis does not tell it to this user.
    """
    try:
        return {"ok": True, "version": queue.server().get("redis_version"), "queues": queue.sizes()}
    except QUEUE_ERRORS as error:
        return {"ok": False, "problem": f"can't be reached: {error}"}
