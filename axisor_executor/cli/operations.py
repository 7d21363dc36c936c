"""``axisor-executor status`` and ``recover``: how things stand, and one look for what was left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import database, executor, read_settings
from axisor_executor.cli.output import console, iso, json_option, plain, styled, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axisor_executor.settings import Settings
    from axisor_executor.storage.connection import Storage

_BEATS_MISSED = 3


@click.command(short_help="Look once for executions that must go on.")
def recover() -> None:
    """Look once for executions that must go on, and put them back on the queue.

    Workers do this by themselves every few seconds; doing it once more is harmless.

    \b
    Example:
      axisor-executor recover
    """
    with executor() as parts:
        count = parts.recovery.look()
    click.echo(f"{count} execution{'' if count == 1 else 's'} put back on the queue")


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show how database, queue and workers stand.

    The exit status is 1 when the database or Redis can't be reached, or the database is not set up.

    \b
    Examples:
      axisor-executor status
      axisor-executor status --json | jq .executions
    """
    settings = read_settings()
    found = {"database": _database(settings), "redis": _redis(settings)}
    ledger = found["database"].pop("ledger", {})
    found |= ledger
    if as_json:
        write_json(found)
    else:
        _show(found)
    if not (found["database"]["ok"] and found["redis"]["ok"]):
        raise SystemExit(1)


def _database(settings: Settings) -> dict[str, Any]:
    from axisor_executor.errors import StorageError
    from axisor_executor.settings import mask_url
    from axisor_executor.storage.schema import MIGRATIONS, is_current

    state: dict[str, Any] = {"url": mask_url(settings.require_database()), "ok": False, "newestSchema": len(MIGRATIONS)}
    try:
        with database(settings) as storage:
            if not is_current(storage):
                return state | {"problem": "not set up or not up to date; run: axisor-executor db init"}
            return state | {"ok": True, "ledger": _ledger(storage, settings)}
    except StorageError as error:
        return state | {"problem": error.message}


def _ledger(storage: Storage, settings: Settings) -> dict[str, Any]:
    counts = storage.rows("SELECT status, COUNT(*) FROM axisor_executions GROUP BY status ORDER BY status")
    waiting = storage.rows(
        "SELECT wait_for, COUNT(*) FROM axisor_executions WHERE status = 'waiting' GROUP BY wait_for ORDER BY wait_for"
    )
    switches = storage.rows("SELECT scope, scope_id, mode, reason FROM axisor_switches ORDER BY scope, scope_id")
    return {
        "executions": {row[0]: int(row[1]) for row in counts},
        "waitingFor": {row[0]: int(row[1]) for row in waiting},
        "workers": _workers(storage, settings),
        "switches": [{"scope": row[0], "id": row[1] or None, "mode": row[2], "reason": row[3]} for row in switches],
    }


def _workers(storage: Storage, settings: Settings) -> list[dict[str, Any]]:
    """Return the workers; one that has not shown itself for some time is listed as silent."""
    from axisor_executor.storage.connection import instant

    now = storage.now()
    rows = storage.rows("SELECT id, host, pid, started_at, heartbeat_at FROM axisor_workers ORDER BY started_at")
    workers = []
    for row in rows:
        silent = (now - instant(row[4])).total_seconds()
        workers.append(
            {
                "id": row[0],
                "host": row[1],
                "pid": row[2],
                "startedAt": iso(instant(row[3])),
                "heartbeatSecondsAgo": round(max(silent, 0.0), 1),
                "alive": silent < _BEATS_MISSED * settings.lease_seconds,
            }
        )
    return workers


def _redis(settings: Settings) -> dict[str, Any]:
    from axisor_executor.broker import QUEUE_ERRORS, Queue
    from axisor_executor.settings import mask_url

    state: dict[str, Any] = {"url": mask_url(settings.redis_url), "ok": False}
    queue = Queue(settings)
    try:
        version = queue.broker.client.info("server").get("redis_version")
        return state | {"ok": True, "version": version, "queues": queue.sizes()}
    except QUEUE_ERRORS as error:
        return state | {"problem": f"can't be reached: {error}"}
    finally:
        queue.close()


def _show(found: dict[str, Any]) -> None:
    out = console()
    for line in _lines(found):
        out.print(line, soft_wrap=True)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for name in ("database", "redis"):
        state = found[name]
        yield f"{'✅' if state['ok'] else '❌'} {name.capitalize():<10} {plain(state['url'])}{_more(state)}"
    if "executions" not in found:
        return
    counts = ", ".join(f"{count} {styled(name)}" for name, count in found["executions"].items())
    yield f"   Executions {counts or 'none'}"
    if found["waitingFor"]:
        yield f"   Waiting    {', '.join(f'{count} for {name}' for name, count in found['waitingFor'].items())}"
    for worker in found["workers"]:
        silent = "" if worker["alive"] else f", [red]silent for {worker['heartbeatSecondsAgo']:g} s[/]"
        yield f"   Worker     {plain(worker['host'])} pid {worker['pid']}, started {worker['startedAt']}{silent}"
    if not found["workers"]:
        yield "   Worker     [yellow]none[/]; start one with: dramatiq axisor_executor.actors"
    for switch in found["switches"]:
        where = f"{switch['scope']} {switch['id'] or ''}".strip()
        reason = f" ({plain(switch['reason'])})" if switch["reason"] else ""
        yield f"   Switch     {plain(where)}: [bold yellow]{switch['mode']}[/]{reason}"


def _more(state: dict[str, Any]) -> str:
    if "problem" in state:
        return f": [red]{plain(state['problem'])}[/]"
    if "queues" in state:
        sizes = ", ".join(f"{name} {size}" for name, size in state["queues"].items())
        return f" (version {state['version']}); queues: {sizes}"
    return f" (schema {state['newestSchema']})"
