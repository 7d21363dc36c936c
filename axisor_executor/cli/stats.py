"""``axisor-executor stats``: how executions went, overall and for each account."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from axisor_executor.cli import times
from axisor_executor.cli.environment import executor
from axisor_executor.cli.numbers import Number
from axisor_executor.cli.output import as_lines, console, json_option, moment, plain, write_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from axisor_executor.storage.connection import Storage

ACCOUNTS_SHOWN = 20
WORDS = ("account", "id", "last error")
COLUMNS = ("account", "id", "executions", "success", "errors", "average time", "last error")
LEAST_WIDTH = 80
"""Of the table of accounts: its numbers are never wrapped or cut, which leaves eleven letters to each of its words."""


def seconds(text: str) -> int:
    """Return how many seconds a window has.

    Raises:
        click.BadParameter: it is none, or out of bounds.
    """
    return times.seconds(text, "60s", "31d", "15m or 1h")


@click.command(short_help="Show how executions went, overall and by account.")
@click.option("--account", metavar="ID", help="Only this account, with its error codes.")
@click.option(
    "--window",
    metavar="TIME",
    default="1h",
    show_default=True,
    callback=lambda _ctx, _param, text: seconds(text),
    help="How far to look back.",
)
@click.option("--watch", is_flag=True, help="Show it anew every few seconds, until Ctrl-C.")
@click.option("--every", type=Number(0.5, 3600), default=2.0, show_default=True, help="With --watch: seconds between.")
@json_option
def stats(account: str | None, window: int, watch: bool, every: float, as_json: bool) -> None:
    """Show how the executions went that ended in a window of time, overall and by account.

    Accounts with the most errors come first. Success is completed, pending and cancelled; error is failed, uncertain
    and expired.

    \b
    Examples:
      axisor-executor stats
      axisor-executor stats --window 24h --json | jq .successRate
      axisor-executor stats --account acc456 --window 7d
      axisor-executor stats --watch
    """
    if watch and as_json:
        raise click.UsageError("--watch shows a table, --json writes once: take one of them")
    from axisor_executor import accounts

    with executor() as parts:
        account_id = None if account is None else accounts.find(parts, account).account.id
        with parts.storage.connection():
            if as_json:
                write_json(_figures(parts.storage, account_id, window))
            elif watch:
                _watch(parts.storage, account_id, window, every)
            else:
                out = console()
                out.print(_table(_figures(parts.storage, account_id, window), out))


def _watch(storage: Storage, account: str | None, window: int, every: float) -> None:
    """Show the figures anew, in place where that is possible, until Ctrl-C."""
    from rich.live import Live

    out = console()
    try:
        with Live(_table(_figures(storage, account, window), out), console=out, auto_refresh=False) as live:
            while True:
                if not out.is_terminal:
                    out.print(live.renderable)
                time.sleep(every)
                live.update(_table(_figures(storage, account, window), out), refresh=True)
    except KeyboardInterrupt:
        return


def _figures(storage: Storage, account: str | None, window: int) -> dict[str, Any]:
    from axisor_executor.errors import NotFound
    from axisor_executor.storage import accounts, figures

    if account is None:
        worst = figures.accounts(storage, window, limit=ACCOUNTS_SHOWN, worst_first=True)
        return {**figures.performance(storage, window), "accounts": worst}
    found = accounts.account(storage, account)
    if found is None:
        raise NotFound(f"Account {account} not found", code="account_not_found")
    about = {"windowSeconds": window, "accountId": found.id, "accountName": found.name, "userId": found.user_id}
    return {**about, **figures.account(storage, found.id, window)}


def _table(found: dict[str, Any], out: Console) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (_of_account if "accountId" in found else _overall)(found):
        facts.add_row(name, value)
    listed = found.get("accounts")
    if not listed:
        return facts
    rows = [_row(one) for one in listed]
    if out.width < LEAST_WIDTH:
        return Group(facts, "", *(as_lines(COLUMNS, row, whole=("account",)) for row in rows))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        is_text = name in WORDS
        table.add_column(name, no_wrap=not is_text, overflow="fold", justify="left" if is_text else "right")
    for row in rows:
        table.add_row(*row)
    return Group(facts, "", table)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        plain(one["accountName"]),
        plain(one["accountId"]),
        str(one["executions"]),
        _share(one["successes"], one["executions"]),
        _errors(one["errors"]),
        _time(one["averageExecutionTime"]),
        plain((one["lastError"] or {}).get("code")),
    )


def _overall(found: dict[str, Any]) -> list[tuple[str, str]]:
    hits = found["cacheHitRate"]
    return [
        *_common(found),
        ("Executions a minute", f"{found['executionsPerMinute']:g}"),
        ("Credentials from cache", "–" if hits is None else f"{hits * 100:.1f} %"),
        ("Accounts active in 24 h", str(found["accountsActive"])),
    ]


def _of_account(found: dict[str, Any]) -> list[tuple[str, str]]:
    last = found["lastError"]
    codes = ", ".join(f"{count} {code}" for code, count in found["errorCodes"].items())
    told = f"{last['code']}: {last['message']} ({last['executionId']}, {last['at']})" if last else None
    return [
        ("Account", f"{plain(found['accountName'])} ({plain(found['accountId'])})"),
        *_common(found),
        ("Error codes", plain(codes)),
        ("Last error", plain(told)),
    ]


def _common(found: dict[str, Any]) -> list[tuple[str, str]]:
    last = found["lastFinishedAt"]
    return [
        ("Window", _window(found["windowSeconds"])),
        ("Executions ended", str(found["executions"])),
        ("Success", f"{_share(found['successes'], found['executions'])} ({found['successes']})"),
        ("Error", f"{_share(found['errors'], found['executions'])} ({_errors(found['errors'])})"),
        ("Average time", _time(found["averageExecutionTime"])),
        ("Last ended (UTC)", moment(None if last is None else datetime.fromisoformat(last))),
    ]


def _window(seconds: int) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % times.UNITS[unit] == 0)
    return f"{seconds // times.UNITS[unit]} {unit}"


def _share(part: int, whole: int) -> str:
    """Return a share in percent, rounded down: 100 % is all."""
    return f"{part * 1000 // whole / 10:g} %" if whole else "–"


def _errors(count: int) -> str:
    return f"[red]{count}[/]" if count else "0"


def _time(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:,.0f} ms"
