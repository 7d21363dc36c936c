"""A worker's watch over its consumers, and the share of its threads that entries may have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from axisor_executor import lifecycle, runtime
from axisor_executor.errors import SettingsError
from axisor_executor.lifecycle import STALLED_SECONDS, default_cap, replace_stalled


class Consumer:
    """A consumer's thread, with what the watch uses of Dramatiq's; tests/integration/test_replacing.py has real ones.

    Its consumer is ``None`` while it has none yet, else it knows when it last turned, as :class:`LaneConsumer` does.
    """

    def __init__(self, *, broker: Any, queue_name: str, prefetch: int, work_queue: Any, worker_timeout: int) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self.prefetch = prefetch
        self.work_queue = work_queue
        self.worker_timeout = worker_timeout
        self.consumer: Any = None
        self.alive = self.stopped = False

    def is_alive(self) -> bool:
        return self.alive

    def start(self) -> None:
        self.alive = True

    def stop(self) -> None:
        self.stopped = True


@dataclass
class Worker:
    """What the watch sees of a Dramatiq worker."""

    consumers: dict[str, Consumer] = field(default_factory=dict)
    workers: list[Any] = field(default_factory=list)
    worker_threads: int = 4
    consumer_whitelist: set[str] | None = None


class Watched:
    """A worker whose consumers turn when the test says so, the watch over it, and its clock."""

    def __init__(self, **turned_at: float | None) -> None:
        self.now = 1_000.0
        self.worker = Worker()
        self.stalls: dict[str, float] = {}
        self.broken: Exception | None = None
        for name, at in turned_at.items():
            queue = name.replace("_", ".")
            thread = Consumer(broker=self, queue_name=queue, prefetch=8, work_queue="work", worker_timeout=1_000)
            thread.consumer = None if at is None else SimpleNamespace(turned_at=at)
            thread.start()
            self.worker.consumers[queue] = thread

    def __getitem__(self, queue: str) -> Consumer:
        return self.worker.consumers[queue]

    def monotonic(self) -> float:
        return self.now

    def consume(self, queue_name: str, prefetch: int, timeout: int) -> Any:
        """Build a consumer, as a broker does."""
        if self.broken:
            raise self.broken
        return SimpleNamespace(turned_at=self.now, made_for=(queue_name, prefetch, timeout))

    def look(self) -> list[str]:
        return replace_stalled(self.worker, self.stalls)  # type: ignore[arg-type]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., Watched]:
    caplog.set_level("WARNING", "axisor_executor")

    def make(**turned_at: float | None) -> Watched:
        made = Watched(**turned_at)
        monkeypatch.setattr(lifecycle, "time", made)
        monkeypatch.setattr(lifecycle, "ConsumerThread", Consumer)
        return made

    return make


class TestReplaceStalled:
    def test_those_that_turn_are_left_alone(self, watched: Callable[..., Watched]) -> None:
        watch = watched(protect=999.0, default=1_000.0 - STALLED_SECONDS)
        before = dict(watch.worker.consumers)
        assert (watch.look(), watch.look()) == ([], [])
        assert watch.worker.consumers == before
        assert not any(one.stopped for one in before.values())

    def test_one_that_has_not_turned_for_long_is_replaced_and_the_others_are_not(
        self, watched: Callable[..., Watched], caplog: pytest.LogCaptureFixture
    ) -> None:
        watch = watched(protect=900.0, default=999.0)
        stalled, fine = watch["protect"], watch["default"]
        assert watch.look() == []
        assert (watch["protect"], stalled.stopped, caplog.text) == (stalled, False, "")
        assert watch.look() == ["protect"]
        assert (watch["default"], fine.stopped) == (fine, False)
        assert (watch["protect"].alive, stalled.stopped) == (True, True)
        assert watch["protect"] is not stalled
        assert "The consumer of queue protect has stalled and is replaced" in caplog.text

    def test_a_process_that_slept_keeps_its_consumers(
        self, watched: Callable[..., Watched], caplog: pytest.LogCaptureFixture
    ) -> None:
        watch = watched(protect=999.0, default=999.0)
        before = dict(watch.worker.consumers)
        for _ in range(3):
            assert watch.look() == []
            watch.now += STALLED_SECONDS + 2
            assert watch.look() == [], "its watch woke up before its consumers"
            for one in before.values():
                one.consumer.turned_at = watch.now
            watch.now += 2
        assert (watch.worker.consumers, caplog.text) == (before, "")

    def test_one_that_has_died_is_replaced_at_once(
        self, watched: Callable[..., Watched], caplog: pytest.LogCaptureFixture
    ) -> None:
        watch = watched(default=999.0)
        watch["default"].alive = False
        assert watch.look() == ["default"]
        assert "queue default has died and is replaced" in caplog.text

    def test_the_new_one_is_made_as_the_old_one_was(self, watched: Callable[..., Watched]) -> None:
        """A delay queue's takes far more than another's."""
        watch = watched(default_DQ=0.0, default=0.0)
        watch["default.DQ"].prefetch = 4_000
        assert (watch.look(), watch.look()) == ([], ["default.DQ", "default"])
        for queue, prefetch in {"default.DQ": 4_000, "default": 8}.items():
            new = watch[queue]
            assert (new.queue_name, new.prefetch, new.worker_timeout) == (queue, prefetch, 1_000)
            assert new.work_queue == "work"
            assert new.consumer.made_for == (queue, prefetch, 1_000)

    def test_one_that_is_just_connecting_is_left_alone(self, watched: Callable[..., Watched]) -> None:
        watch = watched(default=None)
        assert (watch.look(), watch.look()) == ([], [])

    def test_the_new_one_has_its_time(self, watched: Callable[..., Watched]) -> None:
        watch = watched(default=0.0)
        assert (watch.look(), watch.look()) == ([], ["default"])
        watch.now += STALLED_SECONDS
        assert (watch.look(), watch.look()) == ([], [])
        watch.now += 1
        assert (watch.look(), watch.look()) == ([], ["default"])

    @pytest.mark.parametrize("alive", [True, False])
    def test_what_can_not_be_replaced_stays_and_is_tried_again(
        self, watched: Callable[..., Watched], caplog: pytest.LogCaptureFixture, alive: bool
    ) -> None:
        watch = watched(default=0.0, protect=999.0)
        old = watch["default"]
        old.alive = watch["protect"].alive = alive
        watch.broken = ConnectionError("no Redis at redis://:secret@host")
        for _ in range(3):
            assert watch.look() == []
            assert (watch["default"], old.stopped) == (old, False)
        what = "stalled" if alive else "died"
        assert f"queue default has {what} and can't be replaced yet: ConnectionError" in caplog.text
        assert "is replaced" not in caplog.text
        assert "secret" not in caplog.text
        watch.broken = None
        assert watch.look() == (["default"] if alive else ["default", "protect"]), "one does not keep back the others"
        assert (watch["default"].alive, old.stopped) == (True, True)

    def test_one_that_turns_again_before_it_can_be_replaced_is_left_alone(
        self, watched: Callable[..., Watched]
    ) -> None:
        watch = watched(default=0.0)
        old, watch.broken = watch["default"], ConnectionError()
        assert (watch.look(), watch.look()) == ([], [])
        old.consumer.turned_at, watch.broken = watch.now, None
        assert (watch.look(), watch["default"]) == ([], old)


class TestDefaultCap:
    @pytest.mark.parametrize(("threads", "cap"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12)])
    def test_a_quarter_at_least_is_kept_for_guards(self, threads: int, cap: int) -> None:
        assert default_cap(Worker(worker_threads=threads)) == cap  # type: ignore[arg-type]

    @pytest.mark.parametrize("queues", [{"protect"}, {"protect", "default"}])
    def test_also_where_the_queues_are_named(self, queues: set[str]) -> None:
        assert default_cap(Worker(consumer_whitelist=queues)) == 3  # type: ignore[arg-type]

    def test_a_worker_for_entries_alone_has_all_of_them(self) -> None:
        assert default_cap(Worker(consumer_whitelist={"default"})) is None  # type: ignore[arg-type]


class TestQueuesAndThreads:
    """`--queues` and `--threads`, of which Dramatiq takes whatever it is given."""

    def check(self, *declared: str, **worker: Any) -> None:
        broker = SimpleNamespace(get_declared_queues=lambda: set(declared))
        lifecycle._check_work(broker, Worker(**worker))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "queues", [None, set(), {"protect"}, {"default", "protect"}, {"emails"}, {"emails", "default"}]
    )
    def test_lanes_and_an_applications_own_are_fine(self, queues: set[str] | None) -> None:
        self.check("protect", "default", "emails", consumer_whitelist=queues)

    @pytest.mark.parametrize("queues", [{"guard"}, {"guard", "default"}, {"default.DQ"}, {"protect,default"}, {""}])
    def test_what_nobody_would_serve_is_refused(self, queues: set[str]) -> None:
        with pytest.raises(SettingsError, match="for which there is no actor; lanes are: protect, default"):
            self.check("protect", "default", consumer_whitelist=queues)

    @pytest.mark.parametrize("threads", [0, -1])
    def test_no_thread(self, threads: int) -> None:
        with pytest.raises(SettingsError, match=f"--threads is {threads}, and must be at least 1"):
            self.check("protect", "default", worker_threads=threads)


def test_a_worker_that_lacks_a_part_is_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Dramatiq lets nothing but the end of the process keep a worker from its work."""

    def without_threads() -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(runtime, "current", without_threads)
    with pytest.raises(SystemExit) as ended:
        lifecycle.Lifecycle().before_worker_boot(None, Worker())  # type: ignore[arg-type]
    assert ended.value.code == 1
    assert "The worker can't start: RuntimeError" in caplog.text


def test_the_watch_ends_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "WATCH_SECONDS", 0.01)
    turned = threading.Event()
    monkeypatch.setattr(lifecycle, "replace_stalled", lambda *_: turned.set())
    made = lifecycle.Lifecycle()
    thread = threading.Thread(target=made._watch, args=(Worker(),))
    thread.start()
    assert turned.wait(10)
    made._stopped.set()
    thread.join(10)
    assert not thread.is_alive()
