"""Counting in memory: whole under threads, a process's own after a fork, bounded, and exact when handed over."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axisor_executor.observe import metrics
from axisor_executor.observe.counting import Counter, Gauge, Histogram, counts
from axisor_executor.storage.counts import merged

SOME = Counter("axisor_some_total", "Some", ("label",), most_series=3)
TIMES = Histogram("axisor_times_seconds", "Times", buckets=(0.5, 1.0))

FORKS = """
import os
from axisor_executor.observe.counting import Counter, counts
some, name = Counter("some_total", "Some", ("label",)), counts.process
some.add("parent")
child = os.fork()
if child == 0:
    some.add("child")
    print("child", counts.process != name, counts.snapshot()["some_total"], flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", counts.snapshot()["some_total"])
"""


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    """Let each test count from nothing, and leave nothing."""
    counts.clear()
    yield
    counts.clear()


def told(name: str) -> dict[tuple[str, ...], Any]:
    """Return the series of a metric."""
    return {tuple(labels): cells for labels, cells in counts.snapshot().get(name, [])}


class TestCounting:
    def test_a_value_falls_into_the_first_bucket_that_holds_it(self) -> None:
        for seconds in (0.1, 0.5, 0.6, 1.0, 7.0):
            TIMES.observe(seconds)
        assert told(TIMES.name) == {(): [2, 2, 1, pytest.approx(9.2)]}

    def test_what_is_not_known_has_a_name(self) -> None:
        SOME.add(None)
        assert told(SOME.name) == {("none",): [1]}

    def test_long_values_are_cut(self) -> None:
        SOME.add("x" * 1000)
        assert told(SOME.name) == {("x" * 64,): [1]}

    def test_beyond_the_limit_it_counts_under_other(self) -> None:
        for value in "abcdeab":
            SOME.add(value)
        assert told(SOME.name) == {("a",): [2], ("b",): [2], ("c",): [1], ("other",): [2]}

    def test_wrong_labels_are_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="axisor_some_total has the labels"):
            SOME.add("a", "b")

    def test_threads_lose_nothing(self) -> None:
        def count() -> None:
            for _ in range(2000):
                SOME.add("a")
                TIMES.observe(0.7)

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert told(SOME.name) == {("a",): [16_000]}
        assert told(TIMES.name)[()][:3] == [0, 16_000, 0]

    def test_a_fork_begins_anew_under_a_name_of_its_own(self) -> None:
        done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines() == ["child True [[['child'], [1]]]", "parent [[['parent'], [1]]]"]


class TestHandingOver:
    def test_what_was_counted_meanwhile_stays(self) -> None:
        SOME.add("a", amount=3)
        SOME.add("b")
        before, name = counts.snapshot(), counts.process
        SOME.add("a")
        counts.settled(before)
        assert told(SOME.name) == {("a",): [1]}
        assert counts.process != name

    def test_nothing_more_leaves_nothing(self) -> None:
        SOME.add("a")
        TIMES.observe(0.3)
        counts.settled(counts.snapshot())
        assert (told(SOME.name), told(TIMES.name)) == ({}, {})


SERIES = st.dictionaries(
    st.sampled_from(["axisor_a_total", "axisor_b_total"]),
    st.dictionaries(st.tuples(st.sampled_from("xyz")), st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1),
)


class TestAddingUp:
    @given(st.lists(SERIES, max_size=5))
    def test_it_is_the_sum_of_each_number_in_any_order(self, processes: list[dict[str, Any]]) -> None:
        rows = [{name: [[list(k), v] for k, v in series.items()] for name, series in one.items()} for one in processes]
        expected: dict[tuple[str, str], list[int]] = {}
        for one in processes:
            for name, series in one.items():
                for (label,), cells in series.items():
                    have = expected.setdefault((name, label), [0, 0])
                    expected[name, label] = [a + b for a, b in zip(have, cells, strict=True)]
        for order in (rows, rows[::-1]):
            found = {(name, k[0]): cells for name, series in merged(order).items() for k, cells in series}
            assert found == expected

    def test_other_buckets_are_not_added_to_ours(self) -> None:
        old, new = {"h": [[["a"], [1, 2, 3]]]}, {"h": [[["a"], [4, 5]]]}
        assert merged([old, new]) == new


class TestCatalogue:
    """Every metric is named and labelled as Prometheus' people expect it."""

    @pytest.mark.parametrize("metric", metrics.METRICS, ids=lambda one: one.name)
    def test_names(self, metric: Any) -> None:
        assert re.fullmatch(r"axisor_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == isinstance(metric, Counter)
        assert metric.name.endswith("_seconds") or not isinstance(metric, Histogram)
        assert metric.help
        assert not metric.help.endswith(".")
        assert not set(metric.labels) & {"le", "job", "instance", "quantile"}
        assert all(len(known) == len(metric.labels) for known in metric.known)

    def test_each_once(self) -> None:
        names = [metric.name for metric in metrics.METRICS]
        assert len(set(names)) == len(names)
        declared = {one.name for one in vars(metrics).values() if isinstance(one, Counter | Gauge | Histogram)}
        assert declared == set(names)

    @pytest.mark.parametrize("metric", [one for one in metrics.COUNTED if isinstance(one, Histogram)], ids=str)
    def test_buckets_rise(self, metric: Histogram) -> None:
        assert metric.buckets
        assert list(metric.buckets) == sorted(set(metric.buckets))

    def test_no_label_names_a_person_or_a_row(self) -> None:
        named = {label for metric in metrics.METRICS if metric != metrics.account_executions for label in metric.labels}
        assert not {label for label in named if "user" in label or "account" in label or label.endswith("id")}
