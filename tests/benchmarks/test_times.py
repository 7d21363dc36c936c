"""The benchmarks that measure times, recovery and growth: they run, and what they reckon with is right."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.arriving import moments
from benchmarks.findings import Findings, percentile
from benchmarks.scale import Spent, slower
from benchmarks.soak import Sample, growth
from benchmarks.usage import Usage, usage, workers_of

ROOT = Path(__file__).parents[2]
TIMES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=300)


@pytest.mark.slow
@pytest.mark.timeout(660)
@pytest.mark.parametrize("part", ["startup", "latency", "burst", "recovery", "scale", "soak"])
def test_a_part_runs_and_leaves_findings(part: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{part}", "--quick", f"--output={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / f"{part}.json").read_text())
    assert all(len(row) == len(table["columns"]) for table in found["tables"] for row in table["rows"])
    assert "postgresql" in found["versions"]
    if part == "soak":
        counts = {row[0]: row[1] for table in found["tables"] for row in table["rows"]}
        assert (counts["doubled"], counts["lost"], counts["discrepancies"]) == (0, 0, 0), done.stdout
        assert counts["worker killed"] > 0


@given(TIMES, st.floats(min_value=0.1, max_value=100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    needed = math.ceil(len(values) * percent / 100 - 1e-9)
    assert found in values
    assert sum(value <= found for value in values) >= needed
    assert sum(value < found for value in values) <= needed


def test_a_percentile_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


@pytest.mark.parametrize("rate", [2, 20, 200])
def test_jobs_come_in_at_the_rate_and_in_order(rate: int) -> None:
    found = moments(rate, 500)
    assert found == sorted(found)
    assert found[-1] < 500
    assert abs(len(found) - rate * 500) < 5 * math.sqrt(rate * 500)


def test_a_goal_is_reached_or_missed() -> None:
    table = Findings("Times")
    table.figure("quick", 4.9, "ms", most=5)
    table.figure("slow", 5.1, "ms", most=5)
    table.percentiles("all", [0.001] * 998 + [0.5, 1.5], most={99.0: 20.0})
    verdicts = {row[0]: (row[1], row[4]) for row in table.rows}
    assert verdicts["quick"][1] == "reached"
    assert verdicts["slow"][1] == "missed"
    assert verdicts["all: p50"] == (1.0, None)
    assert verdicts["all: p99"] == (1.0, "reached")
    assert verdicts["all: p99.9"] == (500, None)


def test_a_statement_that_reads_more_with_a_large_past_is_told_and_one_that_does_not_is_not() -> None:
    empty = {"claim": Spent(1, 200, 20), "look": Spent(1, 30, 5)}
    large = {"claim": Spent(1, 210, 2800), "look": Spent(1, 35, 6), "new": Spent(1, 90, 4)}
    found = slower("entry", empty, large)
    assert [row[-1] for row in found.rows] == ["claim", "new"]
    assert found.rows[0][:4] == [200, 210, 20, 2800]
    assert slower("entry", empty, empty).note.startswith("None")


def test_growth_is_seen_and_warming_up_is_none() -> None:
    def sample(private: float, sockets: int) -> Sample:
        one = Usage(pid=1, rss=90, pss=80, private=private, threads=20, files=30, sockets=sockets, cpu=1)
        return Sample(one, one, keys=60, sessions=13)

    warming_up = [sample(30, 5)] * 5 + [sample(50, 20)] * 15
    assert {row[4] for row in growth(warming_up).rows} == {None, "reached"}
    leaking = [sample(50 + step, 20 + step) for step in range(20)]
    missed = {row[0] for row in growth(leaking).rows if row[4] == "missed"}
    assert {"worker, private memory: grown by", "worker, sockets: grown by"} <= missed


def test_what_a_process_holds_is_read_and_one_that_is_gone_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = usage(child.pid)
        assert found.threads == 1
        assert found.rss >= found.pss >= found.private > 0
        assert found.files >= 3
        assert workers_of(child.pid) == []
        child.communicate()
    with pytest.raises(ProcessLookupError):
        usage(child.pid)
