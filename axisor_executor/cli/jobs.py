"""``axisor-executor enqueue`` and ``migrate``: what an application does through the library, by hand."""

from __future__ import annotations

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.output import json_option, write_json
from axisor_executor.errors import AxisorError

_SUCCESS = ("completed", "pending", "cancelled")


@click.command()
@click.option("--user", required=True, help="The user whose automation it is.")
@click.option("--automation", required=True, help="The automation's id.")
@click.option("--action", help="One of the type's actions; by default the one in the automation's config.")
@click.option("--trade", help="The id of the trade that is meant.")
@click.option("--idempotency-key", metavar="KEY", help="The same key with the same job is the same execution.")
@click.option("--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait for the end and write the result.")
def enqueue(
    user: str, automation: str, action: str | None, trade: str | None, idempotency_key: str | None, wait: float | None
) -> None:
    """Take a job, and write the id of its execution.

    A worker carries it out. With --wait, the result is written instead (as JSON), and the exit status is 0 only if
    the run ended well: completed, pending (its condition is not reached) or cancelled.

    \b
    Examples:
      axisor-executor enqueue --user U --automation A --trade T
      axisor-executor enqueue --user U --automation A --action close_sl --trade T --wait 30
    """
    from axisor_executor import api

    job = {"userId": user, "automationId": automation, "action": action, "tradeId": trade}
    with executor():
        execution_id = api.enqueue(job, idempotency_key=idempotency_key)
        if wait is None:
            click.echo(execution_id)
            return
        result = api.get_result(execution_id, wait=wait)
    write_json(result)
    if result["status"] not in _SUCCESS:
        raise SystemExit(1)


@click.group()
def migrate() -> None:
    """Bring rows from before multi-account up to date."""


@migrate.command(short_help="Bind automations without an account to the active one.")
@click.option("--user", required=True, help="Whose automations.")
@json_option
def automations(user: str, as_json: bool) -> None:
    """Bind a user's automations that have no account to the account that is active.

    Those that are bound are never touched; running it twice changes nothing more.

    \b
    Example:
      axisor-executor migrate automations --user U
    """
    from axisor_executor import api

    with executor():
        done = api.migrate_existing_automations(user)
    if as_json:
        write_json(done)
    elif done["success"]:
        click.echo(f"{done['migratedCount']} automations were bound to the active account of user {user}")
    else:
        raise AxisorError(f"nothing was changed: {'; '.join(done['errors'])}", code="not_migrated", status=400)
    if not done["success"]:
        raise SystemExit(1)
