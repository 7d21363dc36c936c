"""What the processes have counted, in the database: a row for each, and one for all that are gone.

It is a table of its own, beside ``axisor_workers``: an application that executes jobs without a worker counts, too,
and a worker's row goes when it stops, while what it counted stays.

A row is always written as a whole, so that writing it twice changes nothing. A process that ends adds its row to the
one of those that are gone, in one transaction; what a killed one had written is added by another process a day later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from axisor_executor.observe.counting import Counts
from axisor_executor.observe.logs import say
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.values import document

GONE = "gone"
"""The name of the row of all processes that are gone."""
FLUSH_SECONDS = 10.0
SILENT_SECONDS = 86_400.0
"""A process that has not written for so long is gone."""

Told = Mapping[str, list[Any]]


class Flusher:
    """Writes what this process has counted, from a thread of its own: leases must not wait for it."""

    def __init__(self, storage: Storage, counts: Counts) -> None:
        self._storage = storage
        self._counts = counts
        self._lock = threading.Lock()
        self._written: tuple[str, dict[str, list[Any]]] | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start writing every few seconds."""
        self._thread = threading.Thread(target=self._loop, name="axisor-counts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and leave what was counted with what those counted that are gone."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._try(self.retire)

    def _loop(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self._try(self.flush)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            with self._storage.connection():
                step()
        except Exception as error:  # noqa: BLE001  the next time tells everything; nothing else depends on it
            say.warning(f"What was counted for the metrics could not be written: {type(error).__name__}")

    def flush(self) -> None:
        """Write what has been counted, unless that is what was written before."""
        with self._lock:
            told = self._counts.snapshot()
            if told and self._written != (self._counts.process, told):
                self._write(told)

    def retire(self) -> None:
        """Add what this process has counted to what those counted that are gone."""
        with self._lock:
            told = self._counts.snapshot()
            if told:
                self._write(told)
            if self._written is None:
                return
            process, told = self._written
            with self._storage.write():
                gone = _lock_gone(self._storage)
                if self._storage.run("DELETE FROM axisor_counts WHERE process = ?", process):
                    _write_gone(self._storage, [gone, told])
            self._counts.settled(told)
            self._written = None

    def _write(self, told: dict[str, list[Any]]) -> None:
        process = self._counts.process
        if self._written is None or self._written[0] != process:
            _bury(self._storage)
        elif self._touch(told):
            self._written = process, told
            return
        else:
            # This process was taken for gone: what it had written is counted there.
            self._counts.settled(self._written[1])
            self._written = None
            process, told = self._counts.process, self._counts.snapshot()
        self._storage.run(
            "INSERT INTO axisor_counts (process, counted_at, counts) VALUES (?,{now},?) "
            "ON CONFLICT (process) DO UPDATE SET counted_at = excluded.counted_at, counts = excluded.counts",
            process,
            told,
        )
        self._written = process, told

    def _touch(self, told: dict[str, list[Any]]) -> bool:
        return bool(
            self._storage.run(
                "UPDATE axisor_counts SET counted_at = {now}, counts = ? WHERE process = ?", told, self._counts.process
            )
        )


def total(storage: Storage) -> dict[str, list[Any]]:
    """Return what all processes have counted, those that are gone included."""
    return merged(document(row[0]) for row in storage.rows("SELECT counts FROM axisor_counts"))


def merged(rows: Iterable[Told]) -> dict[str, list[Any]]:
    """Add up what several processes have counted; of versions that count in other buckets, only the last row counts."""
    series: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for told in rows:
        for name, found in told.items():
            of_metric = series.setdefault(name, {})
            for labels, cells in found:
                known = of_metric.get(tuple(labels), [])
                fits = len(known) == len(cells)
                of_metric[tuple(labels)] = [a + b for a, b in zip(known, cells, strict=True)] if fits else cells
    return {name: [[list(labels), cells] for labels, cells in found.items()] for name, found in series.items()}


def _bury(storage: Storage) -> None:
    """Add the rows of processes that have not written for a day to the one of those that are gone."""
    with storage.write():
        gone = _lock_gone(storage)
        rows = storage.rows(
            "SELECT process, counts FROM axisor_counts WHERE counted_at < {later} AND process <> ? {for_update}",
            -SILENT_SECONDS,
            GONE,
        )
        for row in rows:
            storage.run("DELETE FROM axisor_counts WHERE process = ?", row[0])
        if rows:
            _write_gone(storage, [gone, *(document(row[1]) for row in rows)])


def _lock_gone(storage: Storage) -> Told:
    """Return what those counted that are gone; until this transaction ends, nobody else adds to it."""
    storage.run(
        "INSERT INTO axisor_counts (process, counted_at, counts) VALUES (?,{now},?) ON CONFLICT DO NOTHING", GONE, {}
    )
    row = storage.one("SELECT counts FROM axisor_counts WHERE process = ? {for_update}", GONE)
    assert row is not None
    found: Told = document(row[0])
    return found


def _write_gone(storage: Storage, rows: Iterable[Told]) -> None:
    storage.run("UPDATE axisor_counts SET counted_at = {now}, counts = ? WHERE process = ?", merged(rows), GONE)
