"""A process's parts: each is made once, however many threads want it first."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from axisor_executor import runtime as runtimes
from axisor_executor.errors import SettingsError
from axisor_executor.executor import Executor
from axisor_executor.plugins import load
from axisor_executor.runtime import Runtime
from axisor_executor.settings import Settings
from axisor_executor.storage.connection import Storage
from axisor_executor.storage.schema import migrate

THREADS = 8


def counting_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "axisor-counts"}


@pytest.fixture
def runtime(sqlite_url: str) -> Iterator[Runtime]:
    with closing(Storage(sqlite_url)) as storage:
        migrate(storage, create_monolith_tables=True)
    settings = Settings(database_url=sqlite_url, redis_url="redis://nobody.invalid", encryption_key="of a test")
    with closing(Runtime(settings, registry=load([]))) as made:
        yield made


def test_threads_that_want_a_part_at_once_get_the_same_one(runtime: Runtime) -> None:
    before, start = counting_threads(), threading.Barrier(THREADS)

    def first_use(_: int) -> Executor:
        start.wait()
        return runtime.executor

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(first_use, range(THREADS)))
    assert {id(one) for one in found} == {id(runtime.executor)}
    assert {id(one.storage) for one in found} == {id(runtime.storage)}
    assert len(counting_threads() - before) == 1
    runtime.close()
    assert not counting_threads() - before


def test_threads_that_want_different_parts_share_what_these_are_made_of(runtime: Runtime) -> None:
    """Parts are made of parts: two that are made at once must not wait for each other either."""
    wanted = ("executor", "recovery", "intake", "opener", "presence", "flusher", "storage", "alerts")
    start = threading.Barrier(len(wanted))

    def first_use(name: str) -> object:
        start.wait()
        return getattr(runtime, name)

    with ThreadPoolExecutor(len(wanted)) as pool:
        found = dict(zip(wanted, pool.map(first_use, wanted), strict=True))
    assert found == {name: getattr(runtime, name) for name in wanted}
    assert runtime.executor.storage is runtime.intake.storage is runtime.storage


def test_a_part_that_can_not_be_made_is_tried_again(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("axisor_executor.runtime.migrate", lambda _: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                _ = runtime.executor
    assert runtime.executor is runtime.executor


@pytest.fixture
def none_given() -> Iterator[None]:
    """No runtime in use, before and after."""
    runtimes.use(None)
    yield
    runtimes.use(None)


def in_a_child(tell: Callable[[], str]) -> str:
    """Return what is told by a process that is forked from this one."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        try:
            os.write(writes, tell().encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as told:
        answer = told.read()
    assert os.waitpid(child, 0)[1] == 0
    return answer


@pytest.mark.usefixtures("none_given")
class TestAfterAFork:
    def url_in_use(self) -> str:
        try:
            return runtimes.current().settings.require_database()
        except SettingsError as error:
            return error.message

    def test_another_database_is_not_taken_for_the_one_that_was_given(
        self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "sqlite:///another.db")
        runtimes.use(runtime)
        assert "call runtime.use()" in in_a_child(self.url_in_use)
        assert runtimes.current() is runtime

    def test_it_may_be_given_one_of_its_own(self, runtime: Runtime) -> None:
        runtimes.use(runtime)

        def give_and_tell() -> str:
            runtimes.use(Runtime(runtime.settings))
            return self.url_in_use()

        assert in_a_child(give_and_tell) == runtime.settings.database_url

    def test_one_from_the_environment_is_made_anew(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", sqlite_url)
        mine = runtimes.current()

        def tell() -> str:
            return f"{self.url_in_use()} {runtimes.current() is mine}"

        assert in_a_child(tell) == f"{sqlite_url} False"
