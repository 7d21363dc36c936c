"""How things stand: executions, workers, switches, Redis and its queues, for the command line and the HTTP API."""

from __future__ import annotations

from typing import Any

import peewee
from redis.exceptions import ResponseError

from axisor_executor.broker import Queue
from axisor_executor.errors import StorageError
from axisor_executor.observe.logs import timestamp
from axisor_executor.redis_client import QUEUE_ERRORS, NoMasterError
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.leftover import LIVE
from axisor_executor.storage.schema import MIGRATIONS, is_current
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


def outdated(storage: Storage) -> StorageError | None:
    """Return why our tables can't be used as they are, and what to do; ``None`` where they are this version's."""
    if is_current(storage):
        return None
    row = storage.one("SELECT MAX(version) FROM axisor_schema") if "axisor_schema" in storage.tables else None
    if row and (row[0] or 0) > len(MIGRATIONS):
        return StorageError(
            f"the database is of a newer version (schema {row[0]}, this one knows {len(MIGRATIONS)}): "
            "upgrade axisor-executor",
            code="schema_too_new",
        )
    return StorageError("not set up or not up to date; run: axisor-executor db init", code="tables_missing")


def write_refusal(storage: Storage) -> str | None:
    """Return why the database takes no writes, ``None`` where it does."""
    try:
        with storage.write():
            if not storage.is_sqlite:
                row = storage.one("SHOW transaction_read_only")
                return "its transactions are read-only" if row == ("on",) else None
            # Only what is committed reaches the disk, which may be full; a number that stays what it was harms nobody.
            row = storage.one("PRAGMA user_version")
            storage.run(f"PRAGMA user_version = {row[0] if row else 0}")
    except peewee.PeeweeException as error:
        return storage.reason(error)
    return None


def redis(queue: Queue) -> dict[str, Any]:
    """Return whether Redis answers and takes writes, its version, and how many messages each lane's queue holds.

    ``version`` is ``None`` where Redis does not tell it to this user.
    """
    try:
        version = queue.server().get("redis_version")
        if refusal := _refusal(queue):
            return {"ok": False, "problem": f"refuses writes: {refusal}"}
        return {"ok": True, "version": version, "queues": queue.sizes()}
    except QUEUE_ERRORS as error:
        return {"ok": False, "problem": f"can't be reached: {error}"}


def _refusal(queue: Queue) -> str | None:
    """Return why Redis takes no message: what else is asked here a full one answers as ever."""
    try:
        queue.broker.client.set(f"{queue.prefix}:writable", b"", ex=1)
    except (ResponseError, NoMasterError) as refusal:
        return str(refusal)
    return None
