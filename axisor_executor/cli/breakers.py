"""``axisor-executor breakers``: the exchanges, accounts and plugins held back, and how to let them through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import read_settings
from axisor_executor.cli.output import json_option, moment, plain, styled, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.limits.breaker import Breakers
    from axisor_executor.settings import Settings


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def breakers(ctx: click.Context, as_json: bool) -> None:
    """List the circuit breakers that are open; close one by hand.

    \b
    Examples:
      axisor-executor breakers
      axisor-executor breakers reset lnmarkets@api.lnmarkets.com
    """
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@breakers.command("list", short_help="List the circuit breakers that are open.")
@json_option
def list_(as_json: bool) -> None:
    """List the circuit breakers that are open: what is held back, since when, and why.

    \b
    Example:
      axisor-executor breakers list --json
    """
    _list(as_json=as_json)


@breakers.command()
@click.argument("name")
def reset(name: str) -> None:
    """Close a breaker by hand. NAME is the exchange (slug@host), account's id or plugin, as the list has it.

    All is let through again within a second; if it fails as before, the breaker opens again.

    \b
    Examples:
      axisor-executor breakers reset lnmarkets@api.lnmarkets.com
      axisor-executor breakers reset acc456
      axisor-executor breakers reset axisor-margin-guard
    """
    from axisor_executor.errors import NotFound

    with _breakers(read_settings(least="ERROR")) as found:
        if not found.reset(name):
            names = ", ".join(sorted({state.subject for state in found.states()})) or "none"
            raise NotFound(f"{name} has no breaker that is open; open are those of: {names}", code="breaker_not_open")
    click.echo(f"{name}: let through again.")


def open_breakers(settings: Settings) -> list[dict[str, Any]]:
    """Return the breakers that are open, JSON-able.

    Raises:
        AxisorError: Redis, which knows them, does not answer (503, ``redis_unavailable``).
    """
    with _breakers(settings) as found:
        return [state.as_dict() for state in found.states()]


def lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """Return a line for each breaker, with rich's markup."""
    for one in found:
        whose = plain(one["exchange"] or one["plugin"] or one["accountName"])
        only = ", changes only" if one["changesOnly"] else ""
        yield f"   Breaker    {whose}{only}: {styled(one['state'])} since {one['since']} ({plain(one['reason'])})"


@contextmanager
def _breakers(settings: Settings) -> Iterator[Breakers]:
    from axisor_executor.errors import AxisorError
    from axisor_executor.limits.breaker import Breakers
    from axisor_executor.shared import Shared

    shared = Shared(settings.redis_url, settings.queue_prefix)
    try:
        if shared.ask(lambda client: client.ping()) is None:
            raise AxisorError("Redis, which knows the breakers, can't be reached", code="redis_unavailable", status=503)
        yield Breakers(shared, settings, lambda _: None)
    finally:
        shared.close()


def _list(*, as_json: bool) -> None:
    found = open_breakers(read_settings(least="ERROR"))
    if as_json:
        write_json(found)
        return
    if not found:
        click.echo("No breaker is open.")
        return
    rows = [
        (
            plain(one["name"]),
            plain(one["accountName"]),
            "decisions" if one["plugin"] else "changes" if one["changesOnly"] else "all calls",
            styled(one["state"]),
            moment(datetime.fromisoformat(one["since"])),
            str(one["failedProbes"]),
            f"{one['nextProbeSeconds']:g} s",
            plain(one["reason"]),
        )
        for one in found
    ]
    columns = ("name", "account", "holds back", "state", "since", "failed probes", "next probe", "why")
    write_table(columns, rows, whole=("name", "state", "since", "next probe"))
