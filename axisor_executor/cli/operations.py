"""``axisor-executor status`` and ``recover``: how things stand, and one look for what was left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.breakers import lines, open_breakers
from axisor_executor.cli.environment import database, executor, read_settings
from axisor_executor.cli.output import console, json_option, plain, styled, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from axisor_executor.settings import Settings
    from axisor_executor.stack.folder import StackFolder


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
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of what `up` runs on this folder.  [default: axisor-data, where it is there and DATABASE_URL is not set]",
)
@json_option
def status(folder: Path | None, as_json: bool) -> None:
    """Show how database, queue, workers, switches and breakers stand.

    On a folder of `up`, its parts too. The exit status is 1 when the database or Redis can't be reached or refuses
    writes, the database is not of this version, or a part of `up` does not run.

    \b
    Examples:
      axisor-executor status
      axisor-executor status --dir /srv/axisor
      axisor-executor status --json | jq .executions
    """
    from axisor_executor.stack.plan import in_force, standing

    place = _stack_folder(folder)
    if place is None:
        _status({}, as_json=as_json)
    else:
        with in_force(place.variables()):
            _status({"stack": standing(place)}, as_json=as_json)


def _stack_folder(folder: Path | None) -> StackFolder | None:
    """Return the folder of the stack that is meant, ``None`` where none is."""
    from axisor_executor.errors import AxisorError
    from axisor_executor.stack.folder import DEFAULT, StackFolder

    place = StackFolder(folder or DEFAULT)
    if folder is None and (os.environ.get("DATABASE_URL") or not place.is_stack):
        return None
    if not place.is_stack:
        raise AxisorError(f"there is no stack in {place.path}; make one with: axisor-executor up", code="no_stack")
    return place


def _status(found: dict[str, Any], *, as_json: bool) -> None:
    settings = read_settings()
    found |= {"database": _database(settings), "redis": _redis(settings)}
    ledger = found["database"].pop("ledger", {})
    found |= ledger
    if found["redis"]["ok"]:
        found["breakers"] = open_breakers(settings)
    if as_json:
        write_json(found)
    else:
        _show(found)
    if not (found["database"]["ok"] and found["redis"]["ok"] and _runs(found.get("stack"))):
        raise SystemExit(1)


def _runs(stack: dict[str, Any] | None) -> bool:
    """Return whether nothing of the stack, if one is meant, has ended; what has not begun yet has not."""
    if stack is None:
        return True
    return stack["running"] and all(part["state"] in {"starting", "running"} for part in stack.get("parts", ()))


def _database(settings: Settings) -> dict[str, Any]:
    from axisor_executor import standing
    from axisor_executor.errors import StorageError
    from axisor_executor.settings import mask_url
    from axisor_executor.storage.schema import MIGRATIONS

    state: dict[str, Any] = {"url": mask_url(settings.require_database()), "ok": False, "newestSchema": len(MIGRATIONS)}
    try:
        with database(settings) as storage:
            if outdated := standing.outdated(storage):
                return state | {"problem": outdated.message}
            state["ledger"] = standing.ledger(storage)
            if refusal := standing.write_refusal(storage):
                return state | {"problem": f"refuses writes: {refusal}"}
            return state | {"ok": True}
    except StorageError as error:
        return state | {"problem": error.message}


def _redis(settings: Settings) -> dict[str, Any]:
    from axisor_executor import standing
    from axisor_executor.broker import Queue
    from axisor_executor.settings import mask_url

    queue = Queue(settings)
    try:
        return {"url": mask_url(settings.redis_url), **standing.redis(queue)}
    finally:
        queue.close()


def _show(found: dict[str, Any]) -> None:
    out = console()
    for line in _lines(found):
        out.print(line, soft_wrap=True)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    if "stack" in found:
        yield from _stack_lines(found["stack"])
    for name in ("database", "redis"):
        state = found[name]
        yield f"{'✅' if state['ok'] else '❌'} {name.capitalize():<10} {plain(state['url'])}{_more(state)}"
    yield from lines(found.get("breakers", []))
    if "executions" not in found:
        return
    counts = ", ".join(f"{count} {styled(name)}" for name, count in found["executions"].items())
    yield f"   Executions {counts or 'none'}"
    if found["waitingFor"]:
        yield f"   Waiting    {', '.join(f'{count} for {name}' for name, count in found['waitingFor'].items())}"
    for worker in found["workers"]:
        yield _worker_line(worker)
    if not found["workers"]:
        yield "   Worker     [yellow]none[/]; start one with: dramatiq axisor_executor.actors"
    for lane in _untaken(found["workers"]):
        yield f"   Lane       {lane}: [bold red]no worker takes the lane {lane}[/]"
    for switch in found["switches"]:
        where = f"{switch['scope']} {switch['id'] or ''}".strip()
        reason = f" ({plain(switch['reason'])})" if switch["reason"] else ""
        yield f"   Switch     {plain(where)}: [bold yellow]{switch['mode']}[/]{reason}"


def _worker_line(worker: dict[str, Any]) -> str:
    silent = "" if worker["alive"] else f", [red]silent for {worker['heartbeatSecondsAgo']:g} s[/]"
    keyless = ", [red]without an encryption key[/]" if worker["keyIds"] == [] else ""
    lanes = "" if worker["queues"] is None else f", lanes: {plain(', '.join(worker['queues']) or 'none')}"
    who = f"{plain(worker['host'])} pid {worker['pid']}"
    return f"   Worker     {who}, started {worker['startedAt']}{lanes}{silent}{keyless}"


def _untaken(workers: list[dict[str, Any]]) -> list[str]:
    """Return the lanes that none of the workers takes which are alive; none where there is no worker at all."""
    from axisor_executor.lanes import ACTORS

    # One that does not tell its lanes is of an older version, and is taken to have all.
    taken = {lane for one in workers if one["alive"] for lane in (ACTORS if one["queues"] is None else one["queues"])}
    return [lane for lane in ACTORS if workers and lane not in taken]


def _stack_lines(stack: dict[str, Any]) -> Iterator[str]:
    if not stack["running"]:
        yield f"❌ {'Stack':<10} {plain(stack['folder'])}: [red]not running[/]; start it with: axisor-executor up"
        return
    if "startedAt" not in stack:
        yield f"⏳ {'Stack':<10} {plain(stack['folder'])}: [yellow]starting[/], process {plain(stack['pid'])}"
        return
    since = f"process {stack['pid']}, since {stack['startedAt']}"
    yield f"✅ {'Stack':<10} {plain(stack['folder'])}: {stack['mode']}, {since}"
    yield f"   {'Exchange':<10} {plain(stack['exchange'])}"
    yield f"   {'HTTP':<10} {plain(stack['http'])}"
    for part in stack["parts"]:
        again = f", restarted {part['restarts']} times" if part["restarts"] else ""
        told = {"restarting": "starting again"}.get(part["state"], part["state"])
        state = told if told == "running" else f"[red]{told}[/]"
        yield f"   {'Part':<10} {plain(part['name'])}: {state}, process {plain(part['pid'])}{again}"


def _more(state: dict[str, Any]) -> str:
    if "problem" in state:
        return f": [red]{plain(state['problem'])}[/]"
    if "queues" in state:
        sizes = ", ".join(f"{name} {size}" for name, size in state["queues"].items())
        version = f" (version {state['version']})" if state["version"] else ""
        return f"{version}; queues: {sizes}"
    return f" (schema {state['newestSchema']})"
