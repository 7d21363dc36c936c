"""How commands write: tables for people, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 160
LEAST_ROOM = 24
"""Letters of a column that is cut, below which it says nothing."""
GAP = 3
STYLES = {
    "completed": "green",
    "pending": "yellow",
    "cancelled": "yellow",
    "failed": "red",
    "uncertain": "bold red",
    "expired": "red",
    "running": "cyan",
    "waiting": "cyan",
    "queued": "cyan",
    "confirmed": "green",
    "rejected": "red",
    "unknown": "bold red",
    "loaded": "green",
    "disabled": "yellow",
    "open": "bold red",
    "half_open": "yellow",
}

json_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, for machines."
)


def console() -> Console:
    """Return where to write: as wide as the terminal, and wide enough where there is none."""
    from rich.console import Console

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def write_json(value: Any) -> None:
    """Write a value as JSON, what can't be printed escaped."""
    from axisor_executor.observe.logs import printable_json

    lines = json.dumps(value, indent=2, ensure_ascii=False, default=str).split("\n")
    click.echo("\n".join(map(printable_json, lines)))


def write_table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], *, whole: Iterable[str] = (), cut: Iterable[str] = ()
) -> None:
    """Write rows as a table, whose cells may hold rich's markup.

    Columns in ``whole`` are neither wrapped nor cut; one in ``cut`` gets the rest of the line, and ends with an
    ellipsis where that is too short. Where hardly anything would be left for it, the rows are written as
    :func:`as_lines`.
    """
    from rich import box
    from rich.table import Table

    out, names, cells = console(), tuple(columns), [tuple(row) for row in rows]
    taken = [_width(name, *column) for name, *column in zip(names, *cells, strict=True) if name not in cut]
    if cut and out.width - sum(taken) - len(taken) * GAP < LEAST_ROOM:
        for row in cells:
            out.print(as_lines(names, row, whole=whole))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, expand=bool(cut))
    for name in names:
        one_line = name in whole or name in cut
        table.add_column(
            name, no_wrap=one_line, overflow="ellipsis" if one_line else "fold", ratio=1 if name in cut else None
        )
    for row in cells:
        table.add_row(*row)
    out.print(table)


def as_lines(columns: Iterable[str], row: Iterable[str], *, whole: Iterable[str] = ()) -> RenderableType:
    """Return a row for a screen on which its table has no room: the columns in ``whole``, below them the others named.

    Nothing is cut, however narrow the screen is.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    cells = dict(zip(columns, row, strict=True))
    first = "  ".join(cells.pop(name) for name in whole)
    others = ", ".join(f"[dim]{name}[/] {cell}" for name, cell in cells.items())
    told = Padding(Text.from_markup(others, overflow="fold"), (0, 0, 0, 2))
    return Group(Text.from_markup(first, overflow="fold"), told)


def _width(*cells: str) -> int:
    from rich.text import Text

    return max(Text.from_markup(cell).cell_len for cell in cells)


def styled(word: str) -> str:
    """Return a status in its colour, as rich's markup."""
    from rich.markup import escape

    style = STYLES.get(word)
    return f"[{style}]{escape(word)}[/]" if style else escape(word)


def plain(value: Any) -> str:
    """Return a value as a cell: a dash for nothing, one line, and nothing of it taken for markup."""
    from rich.markup import escape

    return "–" if value is None or value == "" else escape(line(value))


def line(value: Any) -> str:
    """Return a value as one line that is shown as it is: an escape sequence in somebody's name moves no cursor."""
    from axisor_executor.observe.logs import one_line

    return one_line(str(value), sys.maxsize)


def moment(value: datetime | None) -> str:
    """Return an instant in UTC to the second, as people read it."""
    return "–" if value is None else value.astimezone(UTC).strftime("%m-%d %H:%M:%S")


def facts(values: Mapping[str, Any]) -> str:
    """Return a flat mapping as ``name value`` pairs; nested values as JSON."""
    return ", ".join(
        f"{name} {json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value}"
        for name, value in values.items()
        if value is not None
    )


@contextmanager
def advancing(title: str, total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, and nothing anywhere else; yield what moves it on by one."""
    from rich.console import Console
    from rich.progress import Progress

    screen = Console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda: None
        return
    with Progress(console=screen, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
