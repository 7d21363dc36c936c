"""``axisor-executor plugins``: what is installed, and in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import read_settings
from axisor_executor.cli.output import json_option, plain, styled, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.plugins import Plugin, Registry


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List the installed plugins; their config schemas.

    \b
    Examples:
      axisor-executor plugins
      axisor-executor plugins --json
      axisor-executor plugins schema margin_guard
    """
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@plugins.command("list", short_help="List the installed plugins.")
@json_option
def list_(as_json: bool) -> None:
    """List the installed plugins: types, actions with their lanes, version, hook API, state."""
    _list(as_json=as_json)


@plugins.command()
@click.argument("automation_type", metavar="TYPE")
def schema(automation_type: str) -> None:
    """Write the JSON Schema of an automation type's config.

    \b
    Example:
      axisor-executor plugins schema auto_entry
    """
    from axisor_executor.automation import versions

    handler = _registry().handler(automation_type).handler
    described = handler.config_model.model_json_schema()
    described["properties"][versions.KEY] = versions.described(handler.config_version)
    write_json(described)


def _registry() -> Registry:
    from axisor_executor.plugins import discover, load

    settings = read_settings(least="CRITICAL")  # the list itself says what failed
    return load(discover(), disabled=settings.disabled_plugins, required=settings.required_plugins)


def _list(*, as_json: bool) -> None:
    registry = _registry()
    described = [_described(plugin, registry) for plugin in registry.plugins]
    if as_json:
        write_json(described)
    elif not described:
        click.echo("No plugin is installed. Those of the house: pip install 'axisor-executor[builtin]'")
    else:
        columns = ("type", "title", "actions (lane)", "distribution", "version", "hook API", "state")
        write_table(columns, [row for one in described for row in _rows(one)], whole=("type",))


def _described(plugin: Plugin, registry: Registry) -> dict[str, Any]:
    handlers = {name: registry.handlers[name].handler for name in plugin.types}
    return {
        "distribution": plugin.found.distribution,
        "version": plugin.found.version,
        "entryPoint": plugin.found.name,
        "hookApi": plugin.hook_api,
        "state": plugin.state,
        "reason": plugin.reason,
        "types": [
            {"type": name, "title": handler.title, "actions": dict(handler.actions)}
            for name, handler in handlers.items()
        ],
        "exchanges": list(plugin.exchanges),
        "simulations": list(plugin.simulations),
    }


def _rows(plugin: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each type or exchange of a plugin; one that is not loaded has a row too."""
    state = styled(plugin["state"]) if plugin["state"] != "failed" else "[red]failed[/]"
    tail = (
        plain(plugin["distribution"]),
        plain(plugin["version"]),
        plain(plugin["hookApi"] or "–"),
        state + (f": {plain(plugin['reason'])}" if plugin["reason"] else ""),
    )
    rows: list[tuple[str, ...]] = [
        (
            plain(one["type"]),
            plain(one["title"]),
            plain(", ".join(f"{action} ({lane})" for action, lane in one["actions"].items())),
            *tail,
        )
        for one in plugin["types"]
    ]
    rows += [("–", f"exchange {plain(slug)}", "–", *tail) for slug in plugin["exchanges"]]
    return rows or [(plain(plugin["entryPoint"]), "–", "–", *tail)]
