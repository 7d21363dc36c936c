"""``axisor-executor alerts``: whether alerts get through, and which were told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli.environment import read_settings
from axisor_executor.cli.numbers import Number
from axisor_executor.cli.output import json_option, plain, styled, write_json, write_table

if TYPE_CHECKING:
    from axisor_executor.observe.alerts import Alert


@click.group()
def alerts() -> None:
    """Send a test alert; list those that were told last.

    \b
    Examples:
      axisor-executor alerts test
      axisor-executor alerts list --json
    """


@alerts.command(short_help="Send a test alert through every plugin.")
@click.option("--timeout", default=60.0, show_default=True, type=Number(1, 600), help="Seconds to wait.")
@json_option
def test(timeout: float, as_json: bool) -> None:
    """Send a test alert to every plugin that hears alerts, and tell what became of it.

    No cooldown applies. The exit status is 1 where it did not get through everywhere, or nobody hears alerts.

    \b
    Example:
      axisor-executor alerts test
    """
    from axisor_executor.observe.alerts import Alert
    from axisor_executor.plugins import discover, load

    settings = read_settings(least="ERROR")
    registry = load(discover(), disabled=settings.disabled_plugins)
    alert = Alert("test", "info", "This is a test: alerts of axisor-executor arrive here.")
    asked = [_Asked(name, call, alert) for name, call in registry.alert_observers()]
    rows = [row for one in asked for row in one.rows(timeout)]
    if as_json:
        write_json(rows)
    elif rows:
        outcomes = {True: "[green]told[/]", False: "[red]failed[/]"}
        cells = [
            (plain(row["plugin"]), plain(row["target"]), outcomes[row["ok"]], plain(row["problem"])) for row in rows
        ]
        write_table(("plugin", "target", "outcome", "problem"), cells)
    else:
        click.echo("No plugin hears alerts: they stand in the log only. One that does: axisor-alerts-apprise")
    if not rows or not all(row["ok"] for row in rows):
        raise SystemExit(1)


@alerts.command("list", short_help="List the alerts that were told last.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200), help="How many at most.")
@json_option
def list_(limit: int, as_json: bool) -> None:
    """List the alerts that any process has told last, newest first. Redis keeps the last 200.

    \b
    Example:
      axisor-executor alerts list --limit 10
    """
    from axisor_executor.errors import AxisorError
    from axisor_executor.observe.alert_desk import recent
    from axisor_executor.shared import Shared

    settings = read_settings(least="ERROR")
    shared = Shared(settings.redis_url, settings.queue_prefix)
    try:
        if shared.ask(lambda client: client.ping()) is None:
            raise AxisorError("Redis, which knows the alerts, can't be reached", code="redis_unavailable", status=503)
        found = recent(shared, limit)
    finally:
        shared.close()
    if as_json:
        write_json(found)
    elif not found:
        click.echo("No alert was told.")
    else:
        columns = ("raised", "severity", "kind", "account", "held back", "message")
        names = ("raisedAt", "severity", "kind", "accountName", "suppressed", "message")
        rows = [tuple(styled(one[n]) if n == "severity" else plain(one[n]) for n in names) for one in found]
        write_table(columns, rows, whole=("raised", "kind"))


class _Asked:
    """An observer that is called in a thread: one that hangs must not keep the others' outcome back."""

    def __init__(self, plugin: str, call: Callable[[Alert], object], alert: Alert) -> None:
        self.plugin = plugin
        self._told: object = None
        self._error: str | None = None
        self._thread = threading.Thread(target=self._call, args=(call, alert), daemon=True)
        self._thread.start()

    def rows(self, timeout: float) -> list[dict[str, Any]]:
        """Return the outcome by target; of an observer that does not tell, whether it was called in time."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            return [self._row(None, f"no end after {timeout:g} s")]
        if self._error is not None or not isinstance(self._told, Mapping):
            return [self._row(None, self._error)]
        return [self._row(str(target), problem) for target, problem in self._told.items()]

    def _call(self, call: Callable[[Alert], object], alert: Alert) -> None:
        from axisor_executor.observe.logs import message_of

        try:
            self._told = call(alert)
        except BaseException as error:  # noqa: BLE001  whatever a plugin raises is its outcome
            self._error = f"{type(error).__name__}: {message_of(error)}"

    def _row(self, target: str | None, problem: object) -> dict[str, Any]:
        problem = None if problem is None else str(problem)
        return {"plugin": self.plugin, "target": target, "ok": problem is None, "problem": problem}
