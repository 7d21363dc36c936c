"""The benchmarks run: each part with a handful of jobs, in a process of its own, as ``make bench`` does it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks import layers
from benchmarks.__main__ import PARTS, join
from benchmarks.report import Report, Table
from tests.harness.marked import processes_with

ROOT = Path(__file__).parents[2]
FEW = {
    "job_cost": ["--jobs=40", "--size=1x2", "--work=entry", "--who=axisor", "--who=plain", "--who=floor"],
    "breakdown": ["--jobs=60", "--work=guard"],
}
"""Options with which a part is done soon and needs nothing from the network."""


def run(*options: str, mark: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmarks``."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        env={**os.environ, "BENCH_MARK": mark},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(660)
@pytest.mark.parametrize("part", FEW)
def test_a_part_runs_and_leaves_findings_but_no_processes(part: str, tmp_path: Path) -> None:
    mark = uuid4().hex
    done = run(part, "--quick", f"--output={tmp_path}", *FEW[part], mark=mark)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / f"{part}.json").read_text())
    assert all(table["rows"] for table in found["tables"])
    assert found["machine"]["cpu"]
    assert "postgresql" in found["versions"]
    report = (tmp_path / "report.md").read_text()
    assert all(f"**{table['title']}**" in report for table in found["tables"])
    assert list(processes_with(mark)) == []


def test_every_part_of_the_list_is_there() -> None:
    missing = [name for name in PARTS if importlib.util.find_spec(f"benchmarks.{name}") is None]
    assert missing == []


def test_every_layer_is_made_of_modules_that_exist() -> None:
    gone = [name for name in layers.LAYERS if importlib.util.find_spec(name) is None]
    assert gone == []


def test_a_module_belongs_to_the_layer_with_the_longest_name_that_fits() -> None:
    assert layers.layer_of("axisor_executor.storage.leases") == "ledger"
    assert layers.layer_of("axisor_executor.storage.connection") == "SQL"
    assert layers.layer_of("axisor_executor.run.send") == "flow"
    assert layers.layer_of("requests.adapters") is None


def test_findings_of_all_parts_are_joined_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "latency.md").write_text("## Latency\n")
    (tmp_path / "job_cost.md").write_text("## Job cost\n")
    (tmp_path / "note.md").write_text("## Somebody's own\n")
    join(tmp_path)
    assert (tmp_path / "report.md").read_text() == "# Benchmarks\n\n## Job cost\n\n## Latency\n"


def report_in(folder: Path) -> Report:
    """Return a report that writes to a folder."""
    return Report("latency", "Latency", argparse.Namespace(output=folder, jobs=5))


def table(title: str) -> Table:
    """Return a table of one row."""
    made = Table(title, ("what", "figure"))
    made.add("jobs", 5)
    return made


def test_what_was_found_so_far_is_in_the_files_and_says_that_there_is_more_to_come(tmp_path: Path) -> None:
    report = report_in(tmp_path)
    report.show(table("First"))
    report.draft([table("Second, so far")])
    found = json.loads((tmp_path / "latency.json").read_text())
    assert [one["title"] for one in found["tables"]] == ["First", "Second, so far"]
    assert not found["finished"]
    assert "NOT FINISHED" in (tmp_path / "latency.md").read_text()


def test_a_report_that_was_written_is_finished_and_holds_what_was_shown(tmp_path: Path) -> None:
    report = report_in(tmp_path)
    report.draft([table("Of two rounds")])
    report.show(table("Of three rounds"))
    report.write()
    found = json.loads((tmp_path / "latency.json").read_text())
    assert [one["title"] for one in found["tables"]] == ["Of three rounds"]
    assert found["finished"]
    assert "NOT FINISHED" not in (tmp_path / "latency.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_part_that_is_stopped_leaves_what_it_found_and_no_processes(tmp_path: Path) -> None:
    mark = uuid4().hex
    command = [sys.executable, "-m", "benchmarks", "latency", "--idle=0.1", "--rates", "1", "--jobs=6000"]
    with subprocess.Popen(
        [*command, f"--output={tmp_path}"], cwd=ROOT, env={**os.environ, "BENCH_MARK": mark}, stderr=subprocess.DEVNULL
    ) as benchmarks:
        try:
            wait_until((tmp_path / "latency.md").exists)
        finally:
            benchmarks.terminate()
    assert benchmarks.returncode == 130
    assert "**Idle**" in (tmp_path / "report.md").read_text()
    wait_until(lambda: not list(processes_with(mark)))


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait until something has happened, a minute at most."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_option_of_one_part_needs_its_name() -> None:
    done = run("--size=2x8")
    assert done.returncode == 2
    assert "name the one part" in done.stderr
