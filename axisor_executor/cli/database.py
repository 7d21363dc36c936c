"""``axisor-executor db``: set a database up, and look for what is wrong in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli import times
from axisor_executor.cli.environment import database, read_settings
from axisor_executor.cli.output import advancing, console, json_option, plain, write_json

if TYPE_CHECKING:
    from axisor_executor.integrity import Problem
    from axisor_executor.storage.connection import Storage
    from axisor_executor.storage.horizon import Ages
    from axisor_executor.storage.pruning import Pruned

_ITEMS_SHOWN = 10


@click.group()
def db() -> None:
    """Set up and inspect the database at DATABASE_URL."""


@db.command()
def init() -> None:
    """Create our tables, or bring them up to date.

    In the monolith's database only our own tables are made, beside its. In an empty database its tables are made
    too. Running it again changes nothing.

    \b
    Example:
      DATABASE_URL=sqlite:///axisor.db axisor-executor db init
    """
    from axisor_executor.settings import mask_url
    from axisor_executor.storage.schema import MIGRATIONS, migrate, missing_monolith_tables

    settings = read_settings()
    with database(settings, may_be_new=True) as storage:
        empty = bool(missing_monolith_tables(storage))
        if empty:
            _refuse_foreign_tables(storage)
        ran = migrate(storage, create_monolith_tables=True)
    if empty:
        click.echo("Created the monolith-shaped tables: the database was empty")
    if ran:
        click.echo(f"Created or updated our tables: schema {len(MIGRATIONS)} ({ran} migration{'s' if ran > 1 else ''})")
    else:
        click.echo(f"Nothing to do: schema {len(MIGRATIONS)} is up to date")
    click.echo(f"Database: {mask_url(settings.require_database())}")


@db.command(short_help="Look for what would make automations fail.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"How many of each kind are named; by default {_ITEMS_SHOWN}, and 1000 with --json. All are counted.",
)
@json_option
def check(limit: int | None, as_json: bool) -> None:
    """Look for what would make automations fail; the exit status is 1 if there is anything.

    Automations without account, or with one that is gone or another user's; unknown types and invalid configs;
    credentials that are missing, unreadable or stand in plain text; users who are gone, or have several active
    accounts; actions that are held for ever, and what was left over in our tables. Nothing is changed, and no secret
    is shown.

    \b
    Examples:
      axisor-executor db check
      axisor-executor db check --json | jq .problems
    """
    from axisor_executor.cli.findings import look_at_all
    from axisor_executor.integrity.look import LIMIT

    usual = LIMIT if as_json else _ITEMS_SHOWN
    found = look_at_all(read_settings(least="CRITICAL"), usual if limit is None else limit)
    if as_json:
        write_json(found.as_dict())
    else:
        out = console()
        for name, value in found.facts.items():
            out.print(f"{name:<14} {plain(value)}")
        for problem in found.problems:
            _show(problem)
        count = len(found.problems)
        problems = "1 kind of problem" if count == 1 else f"{count} kinds of problems"
        out.print("[green]✅ No problem found[/]" if found.ok else f"[red]{problems}[/]")
    if not found.ok:
        raise SystemExit(1)


def _age(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    return None if text is None else times.seconds(text, "1d", "36500d", "90d or 48h")


@db.command(short_help="Delete old executions that nothing needs any more.")
@click.option(
    "--older-than",
    metavar="AGE",
    default="90d",
    show_default=True,
    callback=_age,
    help="How long ago an execution must have ended; a day at least.",
)
@click.option(
    "--acted-older-than",
    metavar="AGE",
    default="366d",
    show_default=True,
    callback=_age,
    help="The same for one that sent something: no cooldown, and no handler, may look further back.",
)
@click.option(
    "--trades-older-than",
    metavar="AGE",
    callback=_age,
    help="Take older trades for closed that the ledger does not show closed; by default none is.",
)
@click.option(
    "--batch", type=click.IntRange(1, 5000), default=200, show_default=True, help="How many in one transaction."
)
@click.option("--dry-run", is_flag=True, help="Tell what would be deleted, and change nothing.")
@json_option
def prune(
    older_than: int, acted_older_than: int, trades_older_than: int | None, batch: int, dry_run: bool, as_json: bool
) -> None:
    """Delete executions that ended long ago, with their actions, while everything runs.

    Kept, however old: uncertain ones, entries until the ledger shows their trade closed, and whatever else a run may
    yet ask for. Sessions, tokens, workers and leases go that were over by then. The monolith's tables are not touched.

    Ctrl-C ends it at any time: what has been deleted stays so, and the next time goes on.

    \b
    Examples:
      axisor-executor db prune --dry-run
      axisor-executor db prune --older-than 30d
    """
    from axisor_executor import standing
    from axisor_executor.storage import pruning

    with database(read_settings()) as storage:
        if outdated := standing.outdated(storage):
            raise outdated
        wanted = pruning.ages(
            storage, older_than, acted_older_than=acted_older_than, trades_older_than=trades_older_than
        )
        total = pruning.count(storage, wanted.before)
        done = _prune(storage, wanted, total, batch, dry_run=dry_run, quiet=as_json)
    if as_json:
        write_json(_pruned(done, wanted, dry_run=dry_run))
    else:
        _tell_pruned(done, wanted, dry_run=dry_run)


def _prune(storage: Storage, wanted: Ages, total: int, batch: int, *, dry_run: bool, quiet: bool) -> Pruned:
    from axisor_executor.storage import pruning

    done = pruning.Pruned()
    with advancing("Pruning", total, quiet=quiet) as step:
        told = 0
        for done in pruning.prune(storage, wanted, batch=batch, dry_run=dry_run):
            for _ in range(done.looked_at - told):
                step()
            told = done.looked_at
    return done


def _pruned(done: Pruned, wanted: Ages, *, dry_run: bool) -> dict[str, Any]:
    from axisor_executor.observe.logs import timestamp

    return {
        "dryRun": dry_run,
        "endedBefore": timestamp(wanted.before),
        "lookedAt": done.looked_at,
        "executions": done.executions,
        "actions": done.actions,
        "kept": dict(done.kept),
        **done.others,
    }


def _tell_pruned(done: Pruned, wanted: Ages, *, dry_run: bool) -> None:
    from axisor_executor.storage.needed import REASONS

    out, verb = console(), "would be" if dry_run else "were"
    out.print(f"Of {done.looked_at} executions that ended before {wanted.before:%Y-%m-%d %H:%M} UTC,")
    out.print(f"{done.executions} {verb} deleted, with {done.actions} actions")
    for reason, meaning in REASONS.items():
        if count := done.kept[reason]:
            out.print(f"{count} {verb} kept: {meaning}")
    others = ", ".join(f"{count} {name}" for name, count in done.others.items() if count)
    if others:
        out.print(f"{others} {verb} deleted")


def _refuse_foreign_tables(storage: Storage) -> None:
    """Raise where a database holds other tables than the monolith's and ours: somebody else's is not for us."""
    from axisor_executor.errors import StorageError
    from axisor_executor.storage.schema import MONOLITH_TABLES

    others = sorted(name for name in storage.tables - set(MONOLITH_TABLES) if not name.startswith("axisor_"))
    if others and not storage.tables & set(MONOLITH_TABLES):
        raise StorageError(
            f"this database is neither empty nor the monolith's (it has {', '.join(others[:5])}); nothing was changed",
            code="foreign_database",
        )


def _show(problem: Problem) -> None:
    out = console()
    count = f": {problem.count}" if problem.count else ""
    out.print(f"❌ {plain(problem.message)}{count}", soft_wrap=True)
    for item in problem.items:
        out.print(f"     {plain(_told(item))}", soft_wrap=True)
    if problem.count > len(problem.items):
        out.print(f"     and {problem.count - len(problem.items)} more (--limit shows more)")
    out.print(f"   → {plain(problem.advice)}", soft_wrap=True)


def _told(item: dict[str, Any]) -> str:
    named = {
        "automationId": "automation",
        "accountId": "account",
        "accountName": "",
        "userId": "user",
        "executionId": "execution",
    }
    parts = [f"{named.get(name, name)} {value}".strip() for name, value in item.items() if name != "message"]
    return ", ".join(parts) + (f": {item['message']}" if item.get("message") else "")
