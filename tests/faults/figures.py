"""The figures of a run: always printed, and written to ``docs/reliability.md`` when asked (AXISOR_WRITE_RELIABILITY=1).

Every storm leaves a line of JSON in the folder that the processes of a test run share; nothing else is ever written
down, so the page holds nothing that was not measured in the run that wrote it.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.ledger_check import Tally
from tests.harness.run import TestRun
from tests.harness.world import World

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_FILE = "figures.jsonl"
_COLUMNS = (
    "storm",
    "database",
    "jobs",
    "ended as",
    "what struck",
    "doubled",
    "lost",
    "wrong account",
    "uncertain",
    "seconds",
    "seed",
)


@dataclass
class Figure:
    """One row of the page."""

    storm: str
    what: str
    database: str
    seed: int
    jobs: int
    faults: dict[str, int]
    statuses: dict[str, int]
    doubled: int
    lost: int
    wrong_account: int
    uncertain: int
    seconds: float
    uncertain_why: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the row as a line of text."""
        verdict = (
            f"doubled {self.doubled}, lost {self.lost}, wrong account {self.wrong_account}, uncertain {self.uncertain}"
        )
        return (
            f"{self.storm} {self.what} ({self.database}, seed {self.seed}): {self.jobs} jobs, "
            f"{_counts(self.statuses)}; struck: {_counts(self.faults)}; "
            f"{verdict}; {self.seconds} s {_notes(self.notes)}"
        )


class Figures:
    """Where a storm leaves its figures."""

    def __init__(self, run: TestRun, seed: int) -> None:
        self._file = run.directory / _FILE
        self.seed = seed

    def record(
        self,
        storm: str,
        what: str,
        world: World | str,
        tally: Tally,
        *,
        faults: Mapping[str, int],
        seconds: float,
        **notes: Any,
    ) -> None:
        """Print a storm's figures and keep them for the page. ``faults``: how many of what really struck."""
        database = world if isinstance(world, str) else "SQLite" if world.storage.is_sqlite else "PostgreSQL"
        struck = {name: count for name, count in faults.items() if count}
        if tally.failures:
            notes["failed_with"] = ", ".join(f"{count} {code}" for code, count in sorted(tally.failures.items()))
        print(
            f"\n[storm {storm}: {what}; {database}; seed {self.seed}] {tally}; {struck}; {seconds:.1f} s {notes or ''}"
        )
        for one in tally.uncertain:
            print(f"  uncertain: {one}")
        figure = Figure(
            storm, what, database, self.seed, tally.jobs, struck, dict(tally.statuses), tally.doubled, tally.lost,
            tally.wrong_account, len(tally.uncertain), round(seconds, 1), tally.uncertain, notes,
        )  # fmt: skip
        with self._file.open("a") as lines:
            lines.write(json.dumps(asdict(figure)) + "\n")


def read(run: TestRun) -> list[Figure]:
    """Return the figures of a run, storm by storm."""
    file = run.directory / _FILE
    rows = [Figure(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
    return sorted(rows, key=lambda row: (row.storm, row.what, row.database))


def write_page(run: TestRun, *, passed: bool, processes: int) -> None:
    """Write the page, if this run is to; figures of a run that failed are not put down."""
    rows = read(run)
    if rows and passed and os.environ.get("AXISOR_WRITE_RELIABILITY") == "1":
        PAGE.write_text(page(rows, processes))


def page(rows: Iterable[Figure], processes: int) -> str:
    """Return the page for these figures."""
    rows = list(rows)
    ours = [row for row in rows if row.storm != "yardstick"]
    yardstick = [row for row in rows if row.storm == "yardstick"]
    jobs = os.environ.get("AXISOR_FAULT_JOBS", "40")
    parallel = f' ARGS="-n {processes}"' if processes > 1 else ""
    names = ("dramatiq", "redis", "peewee", "psycopg2-binary", "requests")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    text = [
        "# Reliability: measured",
        "",
        "<!-- Written by `AXISOR_WRITE_RELIABILITY=1 make faults`; changes by hand are lost. -->",
        "",
        "Real worker processes, a real Redis, SQLite and PostgreSQL, and the paper exchange over real sockets; workers",
        "and servers are killed, stopped, cut off and lied to while jobs run. After each storm the exchange's own list",
        "of effects is compared with the ledger, one for one. *Doubled*: an effect that a job was to have once and had",
        "more often. *Lost*: a job that never ended, or ended as completed without its effect. *Wrong account*: a",
        "request under keys that are not those of the account that the job's automation was bound to.",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with",
        f"`AXISOR_WRITE_RELIABILITY=1 make faults JOBS={jobs}{parallel}`:",
        f"{os.cpu_count()} cores, Python {platform.python_version()} on {sys.platform}, {versions}.",
        "`AXISOR_FAULT_SEED=<seed>` repeats a row's choices (not the timing of threads).",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{'---|' * len(_COLUMNS)}",
        *(_row(row) for row in ours),
        "",
    ]
    notes = [f"- {row.storm} ({row.database}): {_notes(row.notes)}" for row in ours if row.notes]
    if notes:
        text += ["Measured besides:", "", *notes, ""]
    uncertain = [f"- {row.storm} ({row.database}): {why}" for row in ours for why in row.uncertain_why]
    if uncertain:
        text += ["## What stayed uncertain, and why", "", *uncertain, ""]
    if yardstick:
        text += [
            "## The yardstick",
            "",
            "Storms 1 and 2 over a plain Dramatiq actor: default middleware and number of retries (only their delays",
            "and the time until a dead worker's messages come back are shortened), one HTTP request per action, one",
            "`TradeLog` row per job, no ledger. The jobs are of the same kinds but for `close_tp`, cross positions and",
            "passes over several trades; the kills are at the marked points that it has; the exchange's faults are the",
            "same.",
            "",
            "| storm | database | jobs | what struck | doubled | lost | seconds | seed |",
            "|---|---|---|---|---|---|---|---|",
            *(
                f"| {row.what} | {row.database} | {row.jobs} | {_counts(row.faults)} | {row.doubled} | {row.lost} "
                f"| {row.seconds} | {row.seed} |"
                for row in yardstick
            ),
            "",
            *(f"- {row.what}: {_notes(row.notes)}" for row in yardstick if row.notes),
            "",
        ]
    return "\n".join(text).rstrip() + "\n"


def _row(row: Figure) -> str:
    return (
        f"| {row.storm}: {row.what} | {row.database} | {row.jobs} | {_counts(row.statuses)} | {_counts(row.faults)} "
        f"| {row.doubled} | {row.lost} | {row.wrong_account} | {row.uncertain} | {row.seconds} | {row.seed} |"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1])) or "none"


def _notes(notes: Mapping[str, Any]) -> str:
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in notes.items())
