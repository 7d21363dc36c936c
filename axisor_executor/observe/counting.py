"""How a process counts what happens in it.

A process counts in memory. Every few seconds it writes everything that it has counted since it began into its own row
of ``axisor_counts`` (``storage.counts``); whoever is scraped adds the rows up (``exposition``).

Why not the multi-process mode of prometheus_client: it keeps files of memory-mapped numbers in a folder, one for each
process. The folder ends at the machine, so that each machine needs something to scrape; it must be emptied before a
start, which resets every series, or it grows with each process that ever was; and its reader has to be told of each
death. Here any process with the database at hand can tell everything, a row is overwritten whole (to write it twice
changes nothing), and what a process counted stays in the sum when the process is gone: sums never fall.

What that costs: figures are up to ten seconds old, and a process that is killed takes along what it counted since it
last wrote.

Label values are few by design: no ids, no texts of users. Beyond ``MOST_SERIES`` of one metric, a process counts under
``other``.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from axisor_executor.ids import uuid7

MOST_SERIES = 1000
LONGEST_LABEL = 64

Labels = tuple[str, ...]
Cells = list[float]
"""The numbers of one series: a counter's one; of a histogram how many fell into each bucket, and the sum."""


class Counts:
    """What this process has counted since it began. Safe for threads.

    Attributes:
        process: under which name it is written; another one after a fork, and after :meth:`settled`.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.process = uuid7()
        self._lock = threading.Lock()
        self._series: dict[str, dict[Labels, Cells]] = {}

    def add(self, metric: Metric, labels: Labels, amount: int) -> None:
        """Add to the only number of a series."""
        with self._lock:
            self._cells(metric, labels, 1)[0] += amount

    def observe(self, metric: Metric, labels: Labels, bucket: int, value: float, cells: int) -> None:
        """Count a value into a bucket, and add it to the sum, which is the last of so many ``cells``."""
        with self._lock:
            found = self._cells(metric, labels, cells)
            found[bucket] += 1
            found[-1] += value

    def snapshot(self) -> dict[str, list[Any]]:
        """Return everything, JSON-able: of each metric a list of ``[labels, numbers]``."""
        with self._lock:
            return {
                name: [[list(labels), list(cells)] for labels, cells in series.items()]
                for name, series in self._series.items()
            }

    def settled(self, told: Mapping[str, list[Any]]) -> None:
        """Go on without what was ``told``, under another name: it is kept elsewhere from now on."""
        with self._lock:
            self.process = uuid7()
            for name, series in told.items():
                for labels, cells in series:
                    left = [have - had for have, had in zip(self._series[name][tuple(labels)], cells, strict=True)]
                    if any(left):
                        self._series[name][tuple(labels)] = left
                    else:
                        del self._series[name][tuple(labels)]
                if not self._series[name]:
                    del self._series[name]

    def clear(self) -> None:
        """Forget everything, as a process does that has just begun."""
        self._begin()

    def _cells(self, metric: Metric, labels: Labels, cells: int) -> Cells:
        series = self._series.setdefault(metric.name, {})
        found = series.get(labels)
        if found is None:
            if len(series) >= metric.most_series:
                labels = ("other",) * len(labels)
            found = series.setdefault(labels, [0] * cells)
        return found


counts = Counts()
os.register_at_fork(after_in_child=counts.clear)  # what the parent counted is the parent's


@dataclass(frozen=True)
class Metric:
    """A metric: its name, what it says, and its labels.

    ``known`` are values of the labels that are shown as 0 before anything was counted: Prometheus sees no increase
    in a series that begins with 1.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[Labels, ...] = ()
    most_series: int = MOST_SERIES

    @property
    def kind(self) -> str:
        """``counter``, ``gauge`` or ``histogram``."""
        return type(self).__name__.lower()

    def _check(self, values: tuple[str | None, ...]) -> Labels:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, got {values!r}")
        return tuple(["none" if value is None else str(value)[:LONGEST_LABEL] for value in values])


class Counter(Metric):
    """Counts what happens."""

    def add(self, *values: str | None, amount: int = 1) -> None:
        """Count, under these values of the labels."""
        counts.add(self, self._check(values), amount)


@dataclass(frozen=True)
class Histogram(Metric):
    """Counts values, in seconds, by their size. ``buckets``: the upper bounds, rising."""

    buckets: tuple[float, ...] = ()

    def observe(self, seconds: float, *values: str | None) -> None:
        """Count a value, under these values of the labels."""
        bucket = bisect_left(self.buckets, seconds)
        counts.observe(self, self._check(values), bucket, seconds, len(self.buckets) + 2)


class Gauge(Metric):
    """How something stands when it is asked for; nobody counts it."""
