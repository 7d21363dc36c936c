"""Tellers: observers hear everything in order, and none that hangs or raises is felt by anyone else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from axisor_executor.observe import telling
from axisor_executor.observe.telling import Teller


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_everything_is_heard_in_order() -> None:
    teller, heard = Teller("plugin"), list[int]()
    for number in range(500):
        teller.tell("axisor_alert", lambda number=number: heard.append(number))  # type: ignore[misc]
    assert teller.flush(10)
    assert heard == list(range(500))


def test_by_one_thread_that_is_not_the_callers() -> None:
    teller, heard = Teller("plugin"), set[int]()
    for _ in range(10):
        teller.tell("axisor_alert", lambda: heard.add(threading.get_ident()))
    assert teller.flush(10)
    assert len(heard) == 1
    assert threading.get_ident() not in heard


def test_a_thread_that_can_not_start_starts_with_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    teller, heard = Teller("plugin"), list[str]()

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            teller.tell("axisor_alert", lambda: heard.append("one"))
    teller.tell("axisor_alert", lambda: heard.append("two"))
    assert teller.flush(10)
    assert heard == ["one", "two"]


def test_nobody_waits_for_one_that_hangs(release: threading.Event) -> None:
    hanging, other, heard = Teller("hanging"), Teller("other"), list[str]()
    hanging.tell("axisor_alert", lambda: release.wait(30))
    hanging.tell("axisor_alert", lambda: heard.append("late"))
    other.tell("axisor_alert", lambda: heard.append("other"))
    assert other.flush(10)
    assert not hanging.flush(0.05)
    assert heard == ["other"]
    release.set()
    assert hanging.flush(10)
    assert heard == ["other", "late"]


def test_what_waits_is_bounded_and_what_is_dropped_is_said(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telling, "MOST_WAITING", 5)
    teller, heard, begun = Teller("plugin"), list[int](), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(30)

    teller.tell("axisor_alert", hang)
    assert begun.wait(10)
    with caplog.at_level("ERROR", "axisor_executor"):
        for number in range(8):
            teller.tell("axisor_alert", lambda number=number: heard.append(number))  # type: ignore[misc]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert "plugin: axisor_alert was not called" in caplog.records[0].getMessage()
    assert not teller.flush(0.01), "there is no room to wait in"
    release.set()
    assert teller.flush(10)
    assert heard == [0, 1, 2, 3, 4], "the oldest are kept"


@pytest.mark.parametrize("error", [ValueError("x\ny"), SystemExit(1), KeyboardInterrupt(), BaseException("z")])
def test_one_that_raises_is_named_and_hears_the_next(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    teller, heard = Teller("axisor-x 1.0 [x]"), list[str]()

    def call() -> None:
        raise error

    with caplog.at_level("ERROR", "axisor_executor"):
        teller.tell("axisor_alert", call)
        teller.tell("axisor_execution_finished", lambda: heard.append("next"))
        assert teller.flush(10)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"axisor-x 1.0 [x]: axisor_alert raised {type(error).__name__}")
    assert "\n" not in record.getMessage()
    assert heard == ["next"]


def test_an_error_without_words_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    teller, heard = Teller("plugin"), list[str]()

    def call() -> None:
        raise Unspeakable

    with caplog.at_level("ERROR", "axisor_executor"):
        teller.tell("axisor_alert", call)
        teller.tell("axisor_alert", lambda: heard.append("next"))
        assert teller.flush(10)
    assert heard == ["next"]
    assert "Unspeakable" in caplog.text


def test_nothing_told_is_nothing_to_wait_for() -> None:
    assert Teller("plugin").flush(0.01)


def test_what_is_urgent_goes_first_and_finds_room(release: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "MOST_WAITING", 2)
    monkeypatch.setattr(telling, "MOST_URGENT", 3)
    teller, heard, begun = Teller("plugin"), list[str](), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait(30)

    teller.tell("axisor_alert", hang)
    assert begun.wait(10)
    for number in range(5):
        teller.tell("axisor_execution_finished", lambda number=number: heard.append(f"other {number}"))  # type: ignore[misc]
    for number in range(5):
        teller.tell("axisor_alert", lambda number=number: heard.append(f"urgent {number}"), urgent=True)  # type: ignore[misc]
    release.set()
    assert teller.flush(10)
    assert heard == ["urgent 0", "urgent 1", "urgent 2", "other 0", "other 1"]
