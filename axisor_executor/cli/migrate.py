"""``axisor-executor migrate``: rows from before multi-account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.output import advancing, console, json_option, plain, write_json, write_table
from axisor_executor.errors import AxisorError

if TYPE_CHECKING:
    from axisor_executor.bindings import Bound
    from axisor_executor.storage.connection import Storage

_SHOWN = 40


@click.group()
def migrate() -> None:
    """Bring rows from before multi-account up to date."""


@migrate.command(short_help="Bind automations without an account to the active one.")
@click.option("--user", help="Whose automations.")
@click.option("--all", "everyone", is_flag=True, help="Those of all users.")
@click.option("--dry-run", is_flag=True, help="Tell what would be bound, and change nothing.")
@json_option
def automations(user: str | None, everyone: bool, dry_run: bool, as_json: bool) -> None:
    """Bind automations that have no account to the account that their user has selected as active.

    Each user in one transaction. Those that are bound are never touched; running it twice changes nothing more. A
    user without an active account, or with several, is left alone; then the exit status is 1.

    \b
    Examples:
      axisor-executor migrate automations --user U
      axisor-executor migrate automations --all --dry-run
      axisor-executor migrate automations --all --json
    """
    if everyone == (user is not None):
        raise click.UsageError("either --user or --all is needed, and not both")
    with executor() as parts:
        if user is not None:
            from axisor_executor.bindings import bind_to_active

            _tell_one(bind_to_active(parts.storage, user, dry_run=dry_run), dry_run=dry_run, as_json=as_json)
        else:
            _tell_all(_bind_all(parts.storage, dry_run=dry_run, quiet=as_json), dry_run=dry_run, as_json=as_json)


def _bind_all(storage: Storage, *, dry_run: bool, quiet: bool) -> list[Bound]:
    from axisor_executor.bindings import bind_to_active, users_with_unbound

    users = [user_id for user_id, _ in users_with_unbound(storage)]
    done = []
    with advancing("Binding", len(users), quiet=quiet) as step:
        for user_id in users:
            done.append(bind_to_active(storage, user_id, dry_run=dry_run))
            step()
    return done


def _tell_one(done: Bound, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        write_json(_summary([done], dry_run=dry_run))
    elif done.problem is not None:
        raise AxisorError(f"nothing was changed: {done.problem}", code="not_migrated", status=400)
    else:
        verb = "would be" if dry_run else "were"
        count = len(done.automation_ids)
        click.echo(f"{count} automations {verb} bound to the active account of user {done.user_id}")
    if done.problem is not None:
        raise SystemExit(1)


def _tell_all(done: list[Bound], *, dry_run: bool, as_json: bool) -> None:
    failed = [one for one in done if one.problem is not None]
    if as_json:
        users = [
            {
                "userId": one.user_id,
                "accountId": one.account_id,
                "accountName": one.account_name,
                "automationIds": list(one.automation_ids),
                "error": one.problem,
            }
            for one in done
        ]
        write_json({**_summary(done, dry_run=dry_run), "users": users})
    elif not done:
        click.echo("No automation is without an account")
    else:
        _show(sorted(done, key=lambda one: one.problem is None))
        verb = "would be" if dry_run else "were"
        count = sum(len(one.automation_ids) for one in done)
        click.echo(
            f"{count} automations of {len(done) - len(failed)} users {verb} bound; {len(failed)} users were left"
        )
    if failed:
        raise SystemExit(1)


def _show(done: list[Bound]) -> None:
    """Show a table of users, those that were left alone first."""
    write_table(
        ("user", "account", "automations", "left alone because"),
        [
            (plain(one.user_id), plain(one.account_name), str(len(one.automation_ids)), plain(one.problem))
            for one in done[:_SHOWN]
        ],
    )
    if len(done) > _SHOWN:
        console().print(f"and {len(done) - _SHOWN} users more (--json lists all)")


def _summary(done: list[Bound], *, dry_run: bool) -> dict[str, Any]:
    problems = [one.problem for one in done if one.problem is not None]
    told = {
        "success": not problems,
        "migratedCount": sum(len(one.automation_ids) for one in done),
        "errors": problems,
    }
    return {**told, "dryRun": True} if dry_run else told
