"""``axisor-executor executions``: what ran, and why it did what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.output import json_option, moment, plain, styled, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.runtime import Runtime
    from axisor_executor.storage.executions import Execution

STATUSES = ("queued", "running", "waiting", "completed", "pending", "failed", "uncertain", "expired", "cancelled")


@click.group()
def executions() -> None:
    """Runs of automations: list them, and have one explained."""


@executions.command("list")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="May be given more than once.")
@click.option("--account", help="An account's name, or its id or the beginning of that.")
@click.option("--automation", help="An automation's id or its beginning.")
@click.option("--user", help="A user's id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@json_option
def list_(
    status: tuple[str, ...],
    account: str | None,
    automation: str | None,
    user: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List executions, newest first.

    \b
    Examples:
      axisor-executor executions list
      axisor-executor executions list --status failed --status uncertain
      axisor-executor executions list --account "Main Account" --limit 100 --json
    """
    from axisor_executor.explain import Wanted, select, summary

    with executor() as parts, parts.storage.connection():
        account = account if account is None else _account_id(parts, account)
        automation = automation if automation is None else _automation_id(parts, automation)
        wanted = Wanted(statuses=status, account=account, automation=automation, user=user)
        found = select(parts.storage, wanted, limit=limit)
    if as_json:
        write_json([summary(one) for one in found])
    elif not found:
        click.echo("No execution found")
    else:
        columns = ("id", "taken (UTC)", "type", "account", "status", "what")
        write_table(columns, [_row(one) for one in found], whole=("id", "taken (UTC)", "status"), cut=("what",))


@executions.command(short_help="Explain an execution, from the job to the result.")
@click.argument("execution_id", metavar="ID")
@json_option
def show(execution_id: str, as_json: bool) -> None:
    """Explain an execution: what was seen, what was decided, what was sent, what came back.

    ID may be the beginning of an id, as long as only one execution has it.

    \b
    Examples:
      axisor-executor executions show 019a3c5e-7b1f
      axisor-executor executions show 019a3c5e-7b1f --json | jq .actions
    """
    from axisor_executor.cli.narrate import narrate
    from axisor_executor.explain import explain, find

    with executor() as parts, parts.storage.connection():
        explained = explain(parts.storage, find(parts.storage, execution_id))
    if as_json:
        write_json(explained)
    else:
        narrate(explained)


def _account_id(parts: Runtime, reference: str) -> str:
    """Return the whole id; as it was given where it is a name, or the id of one that is gone."""
    from axisor_executor import accounts
    from axisor_executor.explain import knows_account

    return reference if knows_account(parts.storage, reference) else accounts.find(parts, reference).account.id


def _automation_id(parts: Runtime, reference: str) -> str:
    """Return the whole id; as it was given where executions have it, since the automation may be gone."""
    from axisor_executor import automations
    from axisor_executor.explain import Wanted, select

    has_run = select(parts.storage, Wanted(automation=reference), limit=1)
    return reference if has_run else automations.find(parts, reference).automation.id


def _row(one: Execution) -> tuple[str, ...]:
    return (
        one.id,
        moment(one.created_at),
        plain(one.automation_type),
        plain(one.account_name),
        styled(one.status) + (f" ({one.wait_for})" if one.wait_for else ""),
        plain(_what(one)),
    )


def _what(one: Execution) -> str | None:
    """Say in a few words what came of it: the error, the reason for waiting, or the action."""
    if one.error:
        return f"{one.error.get('code')}: {one.error.get('message')}"
    result = one.result or {}
    nested = result.get("result")
    reason = (nested.get("reason") if isinstance(nested, dict) else None) or result.get("message")
    return reason or result.get("action") or one.job.get("action")
