"""A process's sign of life: its thread keeps alive the leases of the runs that go on, and no others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from axisor_executor import workers
from axisor_executor.workers import Presence


class Database:
    """A database that is there."""

    def connection(self) -> threading.Lock:
        return threading.Lock()


@pytest.fixture
def presence() -> Iterator[Presence]:
    database: Any = Database()
    made = Presence(database, lease_seconds=0.04)
    yield made
    made.stop()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """None can be had until this is undone."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        yield patch


def test_a_thread_that_can_not_start_starts_with_the_next_run(
    presence: Presence, no_threads: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed, beat = set[str](), threading.Event()

    def renew(storage: object, worker_id: str, held: tuple[str, ...], *, seconds: float) -> None:
        renewed.update(held)
        beat.set()

    with pytest.raises(RuntimeError), presence.running("one"):
        pytest.fail("it would lose its lease while it runs")
    no_threads.undo()
    monkeypatch.setattr(workers.leases, "renew", renew)
    with presence.running("two"):
        assert beat.wait(10)
    assert renewed == {"two"}


def test_a_thread_that_never_started_keeps_nobody_from_stopping(
    presence: Presence, no_threads: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError), presence.running("one"):
        pytest.fail("it would lose its lease while it runs")
    presence.stop()
