"""A thread of its own: one, there while it is needed, and jobs that run at their time."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from axisor_executor.exchange.own_thread import OwnThread

present: ContextVar[str] = ContextVar("present", default="nobody")


def test_it_is_one_and_knows_nothing_of_who_asks() -> None:
    run = OwnThread("own")
    seen: list[tuple[threading.Thread, str]] = []
    token = present.set("a run")
    try:
        for _ in range(3):
            is_over = threading.Event()
            run(lambda: seen.append((threading.current_thread(), present.get())))
            run(is_over.set)
            assert is_over.wait(10)
    finally:
        present.reset(token)
    ((thread, who),) = set(seen)
    assert (thread.name, thread.daemon, who) == ("own", True, "nobody")


def test_it_ends_when_it_is_idle_and_comes_back() -> None:
    run = OwnThread("own", idle_seconds=0.01)
    threads: list[threading.Thread] = []
    for count in (1, 2):
        is_over = threading.Event()
        run(lambda: threads.append(threading.current_thread()))
        run(is_over.set)
        assert is_over.wait(10)
        threads[-1].join(10)
        assert not threads[-1].is_alive()
        assert len(set(threads)) == count


def test_job_that_no_thread_could_be_had_for_is_not_run_later(monkeypatch: pytest.MonkeyPatch) -> None:
    run = OwnThread("own")
    jobs: list[str] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            run(lambda: jobs.append("first"))
    is_over = threading.Event()
    run(lambda: jobs.append("second"))
    run(is_over.set)
    assert is_over.wait(10)
    assert jobs == ["second"]


def test_jobs_run_at_their_time_and_those_of_one_time_in_their_order() -> None:
    run, seen, is_over = OwnThread("own", idle_seconds=0.01), list[str](), threading.Event()
    for name in ("first", "second"):
        run(lambda name=name: seen.append(name))  # type: ignore[misc]
    run.later(3600, lambda: seen.append("much later"))
    run.later(0.05, lambda: seen.append("later"))
    run.later(0.05, is_over.set)
    assert is_over.wait(10)
    assert seen == ["first", "second", "later"], "none is given up for the time in which nothing comes"


def test_who_waits_for_its_time_holds_up_nobody() -> None:
    run, is_over = OwnThread("own"), threading.Event()
    run.later(3600, is_over.clear)
    run(is_over.set)
    assert is_over.wait(10)
