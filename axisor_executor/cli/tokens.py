"""``axisor-executor tokens``: who may use the HTTP API, and for what."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import executor
from axisor_executor.cli.numbers import Number
from axisor_executor.cli.output import json_option, moment, plain, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.storage.tokens import Scope, Token

SCOPES = ("read", "execute", "operate")


@click.group()
def tokens() -> None:
    """Tokens of the HTTP API: make, list and revoke them."""


@tokens.command(short_help="Make a token, and show it this once.")
@click.option("--name", required=True, help="What it is for; shown in the list.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("read",),
    show_default=True,
    help="What it may do; may be given more than once.",
)
@click.option("--user", metavar="ID", help="Only for this user: it acts and sees for no other.")
@click.option("--days", type=Number(min=0, min_open=True, max=36_500), help="How long it is valid.")
@json_option
def create(name: str, scopes: tuple[Scope, ...], user: str | None, days: float | None, as_json: bool) -> None:
    """Make a token, and show it this once: the database keeps only a digest.

    read: see executions, health, figures and switches. execute: bring jobs. operate: pause and resume, retry and
    resolve executions.

    \b
    Examples:
      axisor-executor tokens create --name monitoring
      axisor-executor tokens create --name monolith --scope read --scope execute --days 90
      axisor-executor tokens create --name "of user123" --scope read --scope execute --user user123
    """
    from axisor_executor.storage import tokens

    with executor() as parts:
        text, made = tokens.create(parts.storage, name, scopes, user_id=user, days=days)
        try:
            if as_json:
                write_json({"token": text, **_shown(made)})
            else:
                click.echo(text)
        except OSError:
            tokens.revoke(parts.storage, made.id)  # it is shown this once, and was not
            with suppress(OSError):
                click.echo(f"Token {made.id} could not be shown, and is revoked.", err=True)
            raise
    if not as_json:
        click.echo(f"Token {made.id} ({', '.join(made.scopes)}) was made. It is not shown again.", err=True)


@tokens.command("list", short_help="List the tokens and what they may do.")
@json_option
def list_(as_json: bool) -> None:
    """List the tokens: what they may do, until when, and when they were last used (to the minute).

    \b
    Example:
      axisor-executor tokens list
    """
    from axisor_executor.storage import tokens

    with executor() as parts, parts.storage.connection():
        found = tokens.listed(parts.storage)
    if as_json:
        write_json([_shown(one) for one in found])
    elif not found:
        click.echo("No token found")
    else:
        columns = ("id", "name", "scopes", "user", "made (UTC)", "expires", "last used", "revoked")
        write_table(columns, [_row(one) for one in found], whole=("id", "made (UTC)"))


@tokens.command()
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> None:
    """End a token at once: the next request with it is refused.

    \b
    Example:
      axisor-executor tokens revoke 0f3c9a1be2d45678
    """
    from axisor_executor.storage import tokens

    with executor() as parts:
        ended = tokens.revoke(parts.storage, token_id)
    click.echo(f"Token {ended.id} ({ended.name}) is revoked.")


def _shown(one: Token) -> dict[str, Any]:
    from axisor_executor.observe.logs import maybe_timestamp, timestamp

    return {
        "id": one.id,
        "name": one.name,
        "scopes": list(one.scopes),
        "userId": one.user_id,
        "createdAt": timestamp(one.created_at),
        "expiresAt": maybe_timestamp(one.expires_at),
        "lastUsedAt": maybe_timestamp(one.last_used_at),
        "revokedAt": maybe_timestamp(one.revoked_at),
    }


def _row(one: Token) -> tuple[str, ...]:
    instants = (moment(value) for value in (one.created_at, one.expires_at, one.last_used_at, one.revoked_at))
    return (one.id, plain(one.name), ", ".join(one.scopes), plain(one.user_id), *instants)
