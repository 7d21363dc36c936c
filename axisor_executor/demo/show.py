"""What the demo shows while it runs and at its end: progress, the table of jobs, the findings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from axisor_executor.demo.checks import Check, expected_effects
from axisor_executor.demo.perform import Evidence, Played
from axisor_executor.embedded.paper import Row

_PLAIN_WIDTH = 150
_STYLES = {"completed": "green", "pending": "yellow", "cancelled": "yellow"}
_WORDS = {
    "ClosePosition": "close",
    "OpenPosition": "open",
    "AddMargin": "add margin",
    "SetTakeProfit": "set TP",
    "SetStopLoss": "set SL",
    "ReduceCrossPosition": "reduce cross",
    "CloseCrossPosition": "close cross",
}


class Screen:
    """Where the demo speaks. With ``quiet`` (for machines) it says nothing."""

    def __init__(self, *, quiet: bool) -> None:
        width = None if sys.stdout.isatty() else _PLAIN_WIDTH
        self.console = Console(width=width, highlight=False, quiet=quiet)
        self.moves = self.console.is_terminal and not quiet

    def say(self, text: str) -> None:
        """Tell what has been reached."""
        self.console.print(f"[green]•[/] {escape(text)}")

    @contextmanager
    def counting(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show how many of ``total`` are done: a bar on a terminal, and a line at the end."""
        if self.moves:
            columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with Progress(*columns, console=self.console, transient=True) as progress:
                task = progress.add_task(title, total=total)
                yield lambda done: progress.update(task, completed=done)
        else:
            yield lambda _: None
        self.say(f"{title}: {total}")

    def jobs(self, evidence: Evidence) -> None:
        """Show each job: on which account, what was decided, how it ended, and what became of its trade."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, header_style="bold")
        for name in ("job", "account", "decision", "outcome", "trade before → after"):
            table.add_column(name, overflow="fold")
        for one in evidence.played:
            row = job_row(one, evidence)
            style = _STYLES.get(one.execution.status, "red")
            trades = escape("\n".join(row["trades"]) or "–")
            outcome_shown = f"[{style}]{row['outcome']}[/]"
            table.add_row(escape(row["job"]), escape(row["account"]), escape(row["decision"]), outcome_shown, trades)
        self.console.print()
        self.console.print(table)

    def checks(self, checks: list[Check]) -> None:
        """Show each finding."""
        self.console.print("\n[bold]Checked afterwards, with the exchange's own journal[/]")
        for found in checks:
            mark, style = ("✅", "dim") if found.ok else ("❌", "red")
            self.console.print(f"{mark} {escape(found.name)} [{style}]({escape(found.detail)})[/]")

    def verdict(self, checks: list[Check], jobs: int, seconds: float) -> None:
        """Show the sum of it."""
        failed = sum(not found.ok for found in checks)
        colour = "red" if failed else "green"
        verdict = f"{failed} of {len(checks)} checks failed" if failed else f"All {len(checks)} checks hold"
        self.console.print(f"\n[bold {colour}]{verdict}[/] ({jobs} jobs, {seconds:.1f} s)")


def job_row(one: Played, evidence: Evidence) -> dict[str, Any]:
    """Return a job as the table and ``--json`` show it."""
    case = one.cast.case
    return {
        "job": case.title,
        "account": case.account,
        "decision": decision(one),
        "outcome": outcome(one),
        "trades": trade_changes(one, evidence),
    }


def decision(one: Played) -> str:
    """Say what was decided: the actions of the plan, or why there is nothing to do, or nothing may be done."""
    plan = one.execution.plan
    if plan is None:
        error = one.execution.error
        return str(error["code"] if error else one.result.get("reason"))
    if plan["decision"] == "wait":
        return str(plan["reason"])
    groups = [" + ".join(_WORDS[action["kind"]] for action in group["actions"]) for group in plan["groups"]]
    done = [group for group in groups if group]
    left = len(groups) - len(done)
    return ", ".join(done) + (f" ({len(done)} of {len(groups)} at risk)" if left else "")


def outcome(one: Played) -> str:
    """Say how the execution ended, with the status of its error."""
    error = one.execution.error
    return f"{one.execution.status} {error['status']}" if error else one.execution.status


def trade_changes(one: Played, evidence: Evidence) -> list[str]:
    """Say what became of each trade that the job was about."""
    ids = [effect.trade_id for effect in expected_effects(one, evidence)]
    ids += [one.cast.job["tradeId"]] if "tradeId" in one.cast.job else []
    before, after = evidence.stage.before, evidence.after
    return [_change(before.get(one_id), after.get(one_id)) for one_id in dict.fromkeys(ids)]


def _change(before: Row | None, after: Row | None) -> str:
    if after is None:
        return "? → not found"
    if before is None:
        order = " (order open)" if after["open"] else ""
        return f"– → {_trade(after)}{order}{_protection(after)}"
    if _state(before) != _state(after):
        return f"{_trade(before)} → {_state(after)}"
    if before["quantity"] != after["quantity"]:
        return f"{_trade(before)} → ${after['quantity']}"
    parts = [
        f"{label} {_number(before[name])} → {_number(after[name])}"
        for name, label in (("margin", "margin"), ("takeprofit", "TP"), ("stoploss", "SL"))
        if before[name] != after[name]
    ]
    return f"{_trade(before)} {', '.join(parts) if parts else 'unchanged'}"


def _trade(row: Row) -> str:
    return f"{'cross ' if row['cross'] else ''}{'long' if row['side'] == 'buy' else 'short'} ${row['quantity']}"


def _protection(row: Row) -> str:
    levels = (("SL", row["stoploss"]), ("TP", row["takeprofit"]))
    return "".join(f", {label} {_number(value)}" for label, value in levels if value)


def _state(row: Row) -> str:
    return next(state for state in ("open", "running", "closed", "canceled") if row[state])


def _number(value: float) -> str:
    return f"{value:,}" if value else "–"
