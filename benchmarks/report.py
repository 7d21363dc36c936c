"""What a benchmark found: shown as it comes, and written as JSON and Markdown with machine and versions.

A part makes one `Report`, shows its tables, and writes it at the end; what was found up to then is in the files all
the while, so that a part which is interrupted leaves what it knew. ``python -m benchmarks`` joins those of all parts
into one ``report.md``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import rich.table
from rich.console import Console
from rich.markup import escape

Cell = str | int | float | None
OUTPUT = Path("build/bench")
_SHOWN = (
    "axisor-executor",
    "dramatiq",
    "redis",
    "hiredis",
    "peewee",
    "psycopg2-binary",
    "requests",
    "urllib3",
    "pydantic",
)


@dataclass
class Table:
    """A table of a report; ``None`` is shown as a dash. The ``note`` says what the columns do not."""

    title: str
    columns: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        assert len(cells) == len(self.columns), f"{len(cells)} cells for {len(self.columns)} columns"
        self.rows.append(list(cells))


class Report:
    """The findings of one part.

    Args:
        name: of its files.
        title: of its Markdown.
        asked: the part's options; ``output`` is the folder that it writes to.
    """

    def __init__(self, name: str, title: str, asked: argparse.Namespace) -> None:
        self.name = name
        self.title = title
        self.folder: Path = asked.output
        given = {key: value for key, value in vars(asked).items() if key != "output" and value not in (None, False)}
        self.options = {key: str(value) for key, value in given.items()}
        self.versions = _versions()
        self.tables: list[Table] = []
        self.facts: dict[str, Any] = {}
        self._console = Console(width=None if Console().is_terminal else 160)
        self._began = time.monotonic()
        self._at = datetime.now(UTC)

    def say(self, text: str) -> None:
        """Tell how far it is."""
        self._console.print(f"[dim]{time.monotonic() - self._began:6.0f} s  {escape(text)}[/dim]", highlight=False)

    def show(self, table: Table) -> None:
        """Keep a table, show it, and write what there is so far."""
        self.tables.append(table)
        self._save(self.tables, finished=False)
        shown = rich.table.Table()
        for index, column in enumerate(table.columns):
            numbers = all(not isinstance(row[index], str) for row in table.rows)
            shown.add_column(escape(column), justify="right" if numbers else "left")
        for row in table.rows:
            shown.add_row(*(escape(_text(cell)) for cell in row))
        self._console.print(
            f"\n[bold]{escape(table.title)}[/bold]", shown, escape(table.note), sep="\n", highlight=False
        )

    def draft(self, tables: Sequence[Table]) -> None:
        """Write tables as they are so far, behind those that were shown; they are shown when all is known."""
        self._save([*self.tables, *tables], finished=False)

    def write(self) -> None:
        """Write ``<name>.json`` and ``<name>.md``: the part has come to its end."""
        self._save(self.tables, finished=True)
        self.say(f"written to {self.folder / self.name}.json and .md")

    def _save(self, tables: Sequence[Table], *, finished: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        found = {
            "name": self.name,
            "at": self._at.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._began, 1),
            "finished": finished,
            "machine": machine(),
            "versions": self.versions,
            "options": self.options,
            "tables": [asdict(table) for table in tables],
            "facts": self.facts,
        }
        (self.folder / f"{self.name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        (self.folder / f"{self.name}.md").write_text(self._markdown(tables, finished=finished), encoding="utf-8")

    def _markdown(self, tables: Sequence[Table], *, finished: bool) -> str:
        place = machine()
        load = " / ".join(f"{part:.1f}" for part in os.getloadavg())
        lines = [
            f"## {self.title}",
            "",
            f"{self._at:%Y-%m-%d %H:%M} UTC, {place['cpu']}, {place['cores']} cores, {place['memory']}, "
            f"{place['kernel']}, {place['python']}; load at the end {load}; {self._took(finished=finished)}; "
            + ", ".join(f"{name} {number}" for name, number in self.versions.items())
            + "; "
            + ", ".join(f"{key} {value}" for key, value in self.options.items()),
        ]
        for table in tables:
            lines += ["", f"**{table.title}**", "", _line(table.columns), _line(["---"] * len(table.columns))]
            lines += [_line([_text(cell) for cell in row]) for row in table.rows]
            lines += ["", table.note] if table.note else []
        return "\n".join(lines) + "\n"

    def _took(self, *, finished: bool) -> str:
        seconds = f"{time.monotonic() - self._began:.0f} s"
        return f"took {seconds}" if finished else f"NOT FINISHED: this is from after {seconds}"


def options(doc: str | None, *, jobs: int, quick_jobs: int) -> argparse.ArgumentParser:
    """Return a parser with the options that all parts have: ``--jobs``, ``--quick``, ``--output``."""
    parser = _Parser(description=(doc or "").strip().partition("\n")[0], quick_jobs=quick_jobs)
    parser.add_argument("--jobs", type=int, default=jobs, help="jobs of each run (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"{quick_jobs} jobs, to see that all works")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the results (default: %(default)s)")
    return parser


class _Parser(argparse.ArgumentParser):
    def __init__(self, *, description: str, quick_jobs: int) -> None:
        super().__init__(description=description)
        self._quick_jobs = quick_jobs

    def parse_args(self, *given: Any, **named: Any) -> argparse.Namespace:  # type: ignore[override]
        asked: argparse.Namespace = super().parse_args(*given, **named)
        if asked.quick and asked.jobs == self.get_default("jobs"):
            asked.jobs = self._quick_jobs
        return asked


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, cores, memory, kernel, Python."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith(("model name", "Model"))
        ),
        platform.processor() or platform.machine(),
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": model,
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{memory / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _SHOWN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["axisor-executor"] = found.get("axisor-executor", "") + _commit()
    return found


def _commit() -> str:
    """Return which commit of the package is measured, with a + where files differ from it; nothing where none knows."""
    package = importlib.util.find_spec("axisor_executor")
    if package is None or package.origin is None or (git := shutil.which("git")) is None:
        return ""
    command = [git, "-C", str(Path(package.origin).parent), "describe", "--always", "--exclude=*", "--dirty=+"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return f" ({told.stdout.strip()})" if told.returncode == 0 else ""


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def _text(cell: Cell) -> str:
    return "-" if cell is None else str(cell)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
