"""``axisor-executor automations``: automations by hand, and what they would do now."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.jobs import take
from axisor_executor.cli.numbers import Number
from axisor_executor.cli.output import facts, json_option, line, plain, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.jobs import Job
    from axisor_executor.runtime import Runtime

MOST_CONFIG_BYTES = 1_048_576


@click.group()
def automations() -> None:
    """Automations: add, list, switch, run, and see what they would do."""


@automations.command(short_help="Add an automation, its config checked first.")
@click.option("--user", required=True, metavar="ID", help="Whose automation it is.")
@click.option("--account", required=True, metavar="ID", help="The account it acts on.")
@click.option("--type", "type_", required=True, metavar="TYPE", help="Its type, of an installed plugin.")
@click.option("--config", metavar="JSON", help="Its config, a JSON object.")
@click.option("--config-file", type=click.File("rb"), metavar="FILE", help="The same in a file, - for standard input.")
@click.option("--id", "automation_id", metavar="ID", help="An id of your own; by default a new UUID.")
@click.option("--inactive", is_flag=True, help="Switched off; by default it is on.")
@click.option("--risk-level", default="medium", show_default=True, help="What the monolith shows.")
@json_option
def add(
    user: str,
    account: str,
    type_: str,
    config: str | None,
    config_file: IO[bytes] | None,
    automation_id: str | None,
    inactive: bool,
    risk_level: str,
    as_json: bool,
) -> None:
    """Add an automation. Its config is checked by the handler of its type; an error lists every problem.

    With an --id, adding the same again changes nothing.

    \b
    Examples:
      axisor-executor automations add --user U --account A --type auto_entry --config '{"side": "b", "quantity": 100}'
      axisor-executor automations add --user U --account A --type margin_guard --config-file guard.json
    """
    from axisor_executor import automations as library

    given = _config(config, config_file)
    with executor() as parts:
        added, is_new = library.add(
            parts,
            user_id=user,
            account=account,
            type=type_,
            config=given,
            automation_id=automation_id,
            is_active=not inactive,
            risk_level=risk_level,
        )
    if as_json:
        write_json({**added, "added": is_new})
        return
    click.echo(f"Automation {added['id']} ({added['type']}) {'was added' if is_new else 'was there already'}.")
    if is_new:
        click.echo(f"See what it would do: axisor-executor automations preview {added['id']}")


@automations.command("list")
@click.option("--user", metavar="ID", help="Only this user's.")
@click.option("--account", metavar="ID", help="Only those of this account; an id or its beginning.")
@click.option("--type", "type_", metavar="TYPE", help="Only this type.")
@click.option("--active/--inactive", "is_active", default=None, help="Only those that are switched on, or off.")
@json_option
def list_(user: str | None, account: str | None, type_: str | None, is_active: bool | None, as_json: bool) -> None:
    """List automations.

    \b
    Examples:
      axisor-executor automations list --user user123
      axisor-executor automations list --account acc456 --inactive --json
    """
    from axisor_executor import automations as library

    with executor() as parts:
        account_id = account and _account_id(parts, account)
        found = library.listed(parts, user_id=user, account_id=account_id, type=type_, is_active=is_active)
    if as_json:
        write_json(found)
    elif not found:
        click.echo("No automation found")
    else:
        columns = ("id", "user", "type", "account", "on", "config")
        write_table(columns, [_row(one) for one in found], whole=("id",), cut=("config",))


@automations.command(short_help="Show an automation and its last executions.")
@click.argument("automation_id", metavar="ID")
@json_option
def show(automation_id: str, as_json: bool) -> None:
    """Show an automation: its config and what is wrong with it, its account, its last executions.

    ID may be the beginning of a UUID.

    \b
    Example:
      axisor-executor automations show auto789
    """
    from axisor_executor import automations as library

    with executor() as parts:
        found = library.explained(parts, automation_id)
    if as_json:
        write_json(found)
        return
    account = found["account"]
    click.echo(f"Automation  {found['id']} ({found['type']}), switched {'on' if found['isActive'] else 'off'}")
    click.echo(f"  user      {found['userId']}")
    click.echo(f"  account   {line(account['name'])} ({account['id']})" if account else "  account   none")
    click.echo(f"  config    {json.dumps(found['config'], ensure_ascii=False)}")
    if found["ignored"]:
        click.echo(f"  ignored   {', '.join(found['ignored'])}")
    if found["problem"]:
        click.echo(f"  problem   {found['problem']['message']} [{found['problem']['code']}]")
    for one in found["executions"]:
        click.echo(f"  execution {one['id']} {one['createdAt']} {one['status']}")


@automations.command(short_help="See which automations the installed plugins would refuse.")
@click.option("--type", "type_", metavar="TYPE", help="Only this type.")
@click.option("--user", metavar="ID", help="Only this user's.")
@click.option("--account", metavar="ID", help="Only those of this account; the whole id.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help="How many are named; by default 20, and 1000 with --json. All are counted.",
)
@json_option
def validate(type_: str | None, user: str | None, account: str | None, limit: int | None, as_json: bool) -> None:
    """See which automations the plugins that are installed here would refuse, upgrade, or take in part.

    Reads the rows of DATABASE_URL as a run would, and changes nothing. So a new version of a plugin can be tried from
    an environment of its own before the workers get it. The exit status is 1 if anything would be refused.

    \b
    Examples:
      axisor-executor automations validate
      axisor-executor automations validate --type margin_guard --json
    """
    from axisor_executor.cli.validation_told import tell, validated
    from axisor_executor.validation import Which

    usual = 1000 if as_json else 20
    found = validated(Which(type_, user, account), usual if limit is None else limit, quiet=as_json)
    if as_json:
        write_json(found.as_dict())
    else:
        tell(found)
    if found.counts["refused"]:
        raise SystemExit(1)


@automations.command()
@click.argument("automation_id", metavar="ID")
@json_option
def enable(automation_id: str, as_json: bool) -> None:
    """Switch an automation on, if its config can be used.

    \b
    Example:
      axisor-executor automations enable auto789
    """
    _switch(automation_id, True, as_json)


@automations.command()
@click.argument("automation_id", metavar="ID")
@json_option
def disable(automation_id: str, as_json: bool) -> None:
    """Switch an automation off: its jobs are cancelled. What a run has begun is ended all the same.

    \b
    Example:
      axisor-executor automations disable auto789
    """
    _switch(automation_id, False, as_json)


@automations.command(short_help="Take a job for an automation, for a worker.")
@click.argument("automation_id", metavar="ID")
@click.option("--action", help="One of the type's actions; by default the one in its config.")
@click.option("--trade", metavar="ID", help="The trade that is meant.")
@click.option("--idempotency-key", metavar="KEY", help="The same key with the same job is the same execution.")
@click.option("--wait", type=Number(min=0), metavar="SECONDS", help="Wait for the end and write the result.")
def run(
    automation_id: str, action: str | None, trade: str | None, idempotency_key: str | None, wait: float | None
) -> None:
    """Take a job for an automation, and write the id of its execution; a worker carries it out.

    With --wait, the result is written instead (as JSON), and the exit status is 0 only if the run ended well.

    \b
    Examples:
      axisor-executor automations run auto789 --wait 30
      axisor-executor automations run auto789 --trade b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3
    """
    with executor() as parts:
        take(_job(parts, automation_id, action, trade), idempotency_key, wait)


@automations.command(short_help="See what an automation would do now.")
@click.argument("automation_id", metavar="ID")
@click.option("--action", help="One of the type's actions; by default the one in its config.")
@click.option("--trade", metavar="ID", help="The trade that is meant.")
@json_option
def preview(automation_id: str, action: str | None, trade: str | None, as_json: bool) -> None:
    """See what an automation would do now, at which price that changes, and what it would cost. Nothing is sent.

    It is decided as in a run, on what the exchange shows now. Nothing is recorded.

    \b
    Examples:
      axisor-executor automations preview auto789
      axisor-executor automations preview auto789 --trade b87eef8a-52ab-4fea-adcf-22a4a2b7d1a3 --json
    """
    from axisor_executor.cli.preview_told import lines
    from axisor_executor.preview import preview as preview_of

    with executor(patient=True) as parts:
        found = preview_of(parts, _job(parts, automation_id, action, trade))
    if as_json:
        write_json(found)
        return
    for each in lines(found):
        click.echo(each)


def _job(parts: Runtime, automation_id: str, action: str | None, trade: str | None) -> Job:
    from axisor_executor import automations as library
    from axisor_executor.jobs import parse_job

    found = library.find(parts, automation_id).automation
    return parse_job({"userId": found.user_id, "automationId": found.id, "action": action, "tradeId": trade})


def _account_id(parts: Runtime, reference: str) -> str:
    """Return the whole id; as it was given where no account has it, since automations may name one that is gone."""
    from axisor_executor import accounts
    from axisor_executor.errors import NotFound

    try:
        return accounts.find(parts, reference).account.id
    except NotFound:
        return reference


def _switch(automation_id: str, is_active: bool, as_json: bool) -> None:
    from axisor_executor import automations as library

    with executor() as parts:
        found, changed = library.set_active(parts, automation_id, is_active)
    if as_json:
        write_json({**found, "changed": changed})
        return
    word, was = ("on" if is_active else "off"), ("was switched" if changed else "is switched")
    click.echo(f"Automation {found['id']} ({found['type']}) {was} {word}{'' if changed else ' already'}.")


def _config(text: str | None, file: IO[bytes] | None) -> dict[str, Any]:
    from axisor_executor.errors import InvalidConfig

    if (text is None) == (file is None):
        raise click.UsageError("Give either --config or --config-file.")
    given = text if file is None else file.read(MOST_CONFIG_BYTES)
    try:
        config = json.loads(given or "")
    except ValueError as error:
        raise InvalidConfig(f"config: is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise InvalidConfig(f"config: must be a JSON object, got {type(config).__name__}")
    return config


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    config = one["config"]
    return (
        plain(one["id"]),
        plain(one["userId"]),
        plain(one["type"]),
        plain(one["account"]["name"] if one["account"] else None),
        "yes" if one["isActive"] else "no",
        plain(facts(config) if isinstance(config, dict) else config),
    )
