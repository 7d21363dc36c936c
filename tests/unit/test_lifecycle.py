"""A worker's watch over its consumers, and the share of its threads that entries may have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from axisor_executor import lifecycle
from axisor_executor.lifecycle import STALLED_SECONDS, default_cap, replace_stalled


@dataclass
class Consumer:
    """A consumer's thread; ``turned_at`` as in :class:`LaneConsumer`, ``None`` while it has no connection."""

    turned_at: float | None = 0.0
    alive: bool = True
    stopped: bool = False
    consumer: Any = None

    def __post_init__(self) -> None:
        self.consumer = None if self.turned_at is None else SimpleNamespace(turned_at=self.turned_at)

    def is_alive(self) -> bool:
        return self.alive

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Worker:
    """What the watch sees of a Dramatiq worker."""

    consumers: dict[str, Consumer] = field(default_factory=dict)
    worker_threads: int = 4
    consumer_whitelist: set[str] | None = None
    added: list[tuple[str, bool]] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic

    def _add_consumer(self, queue: str, *, delay: bool = False) -> None:
        assert queue not in self.consumers, "Dramatiq leaves a queue that has a consumer alone"
        self.added.append((queue, delay))
        self.consumers[queue] = Consumer(turned_at=self.clock())


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(value=1_000.0)
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(monotonic=lambda: clock.value))
    return clock


class TestReplaceStalled:
    def test_those_that_turn_are_left_alone(self, now: SimpleNamespace) -> None:
        worker = Worker({"protect": Consumer(999.0), "default": Consumer(1_000.0 - STALLED_SECONDS)})
        before = dict(worker.consumers)
        assert replace_stalled(worker) == []  # type: ignore[arg-type]
        assert worker.consumers == before
        assert not any(one.stopped for one in before.values())

    def test_one_that_has_not_turned_for_long_is_replaced_and_the_others_are_not(
        self, now: SimpleNamespace, caplog: pytest.LogCaptureFixture
    ) -> None:
        stalled, fine = Consumer(900.0), Consumer(999.0)
        worker = Worker({"protect": stalled, "default": fine})
        with caplog.at_level("ERROR", "axisor_executor"):
            assert replace_stalled(worker) == ["protect"]  # type: ignore[arg-type]
        assert stalled.stopped
        assert worker.consumers["default"] is fine
        assert worker.consumers["protect"] is not stalled
        assert worker.added == [("protect", False)]
        assert "The consumer of queue protect has stalled and is replaced" in caplog.text

    def test_so_is_one_that_has_died(self, now: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
        worker = Worker({"default": Consumer(999.0, alive=False)})
        with caplog.at_level("ERROR", "axisor_executor"):
            assert replace_stalled(worker) == ["default"]  # type: ignore[arg-type]
        assert "queue default has died" in caplog.text

    def test_delay_queues_stay_such(self, now: SimpleNamespace) -> None:
        worker = Worker({"default.DQ": Consumer(0.0), "default": Consumer(0.0)})
        assert sorted(replace_stalled(worker)) == ["default", "default.DQ"]  # type: ignore[arg-type]
        assert sorted(worker.added) == [("default", False), ("default.DQ", True)]

    def test_one_that_is_just_connecting_is_left_alone(self, now: SimpleNamespace) -> None:
        assert replace_stalled(Worker({"default": Consumer(None)})) == []  # type: ignore[arg-type]

    def test_the_new_one_has_its_time(self, now: SimpleNamespace) -> None:
        worker = Worker({"default": Consumer(0.0)}, clock=lambda: now.value)
        assert replace_stalled(worker) == ["default"]  # type: ignore[arg-type]
        now.value += STALLED_SECONDS
        assert replace_stalled(worker) == []  # type: ignore[arg-type]
        now.value += 1
        assert replace_stalled(worker) == ["default"]  # type: ignore[arg-type]


class TestDefaultCap:
    @pytest.mark.parametrize(("threads", "cap"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12)])
    def test_a_quarter_at_least_is_kept_for_guards(self, threads: int, cap: int) -> None:
        assert default_cap(Worker(worker_threads=threads)) == cap  # type: ignore[arg-type]

    @pytest.mark.parametrize("queues", [{"protect"}, {"protect", "default"}])
    def test_also_where_the_queues_are_named(self, queues: set[str]) -> None:
        assert default_cap(Worker(consumer_whitelist=queues)) == 3  # type: ignore[arg-type]

    def test_a_worker_for_entries_alone_has_all_of_them(self) -> None:
        assert default_cap(Worker(consumer_whitelist={"default"})) is None  # type: ignore[arg-type]


def test_the_watch_ends_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "WATCH_SECONDS", 0.01)
    turned = threading.Event()
    monkeypatch.setattr(lifecycle, "replace_stalled", lambda _: turned.set())
    made = lifecycle.Lifecycle()
    thread = threading.Thread(target=made._watch, args=(Worker(),))
    thread.start()
    assert turned.wait(10)
    made._stopped.set()
    thread.join(10)
    assert not thread.is_alive()
