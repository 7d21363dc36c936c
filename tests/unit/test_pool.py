"""The pool of connections: who gets which, who waits for whom, and what becomes of old ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import peewee
import pytest

from axisor_executor.storage import pool as pool_module
from axisor_executor.storage.pool import Pool

SECONDS = 10.0
"""How long anything may take."""


class Connection:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def make(open_one: Callable[[], Any] = Connection, *, most: int = 2, wait_seconds: float = SECONDS) -> Pool:
    return Pool(open_one, Connection.close, most=most, wait_seconds=wait_seconds)


def take(pool: Pool) -> Any:
    return pool.take().connection


def test_the_one_that_came_back_last_is_taken_first() -> None:
    pool = make()
    first, second = take(pool), take(pool)
    assert first is not second
    pool.give(first)
    pool.give(second)
    assert [take(pool), take(pool)] == [second, first]


def test_since_when_it_lay_idle_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = make()
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: 100.0)
    connection, since = pool.take()
    assert since == 100.0
    pool.give(connection)
    monkeypatch.setattr(pool_module.time, "monotonic", lambda: 109.0)
    assert pool.take() == (connection, 100.0)


def test_threads_connect_beside_each_other() -> None:
    both = threading.Barrier(2)

    def open_one() -> Connection:
        both.wait(SECONDS)
        return Connection()

    pool = make(open_one)
    with ThreadPoolExecutor(2) as threads:
        assert len({threads.submit(take, pool), threads.submit(take, pool)}) == 2


def test_who_connects_holds_nobody_up() -> None:
    pool = make(most=3)
    used, idle = take(pool), take(pool)
    pool.give(idle)
    connects, may_end = threading.Event(), threading.Event()

    def open_slowly() -> Connection:
        connects.set()
        assert may_end.wait(SECONDS)
        return Connection()

    pool._open_one = open_slowly
    with ThreadPoolExecutor(1) as threads:
        assert take(pool) is idle
        slow = threads.submit(take, pool)
        assert connects.wait(SECONDS)
        pool.give(used)
        assert take(pool) is used
        may_end.set()
        assert slow.result(SECONDS) not in (used, idle)


class TestAllInUse:
    def test_one_that_comes_back_goes_to_who_waits(self) -> None:
        pool = make(most=1)
        only = take(pool)
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(take, pool)
            pool.give(only)
            assert waits.result(SECONDS) is only

    def test_one_that_is_dropped_makes_room_for_another(self) -> None:
        pool = make(most=1)
        only = take(pool)
        with ThreadPoolExecutor(1) as threads:
            waits = threads.submit(take, pool)
            pool.drop(only)
            assert waits.result(SECONDS) is not only
        assert only.is_closed

    def test_where_none_comes_back_it_says_so(self) -> None:
        pool = make(wait_seconds=0)
        take(pool), take(pool)
        with pytest.raises(peewee.OperationalError, match="all 2 connections of this process are in use"):
            pool.take()


def test_one_that_can_not_be_opened_takes_no_room() -> None:
    def fail() -> Connection:
        raise peewee.OperationalError("too many clients")

    pool = make(fail, most=1, wait_seconds=0)
    for _ in range(2):
        with pytest.raises(peewee.OperationalError, match="too many clients"):
            pool.take()


def test_old_ones_are_replaced_one_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were opened together. After a quiet hour all are wanted at once, and nobody must have to connect."""
    pool = make(most=4, wait_seconds=0)
    now = pool_module.time.monotonic()
    old = {take(pool) for _ in range(4)}
    for one in old:
        pool.give(one)
    for minutes in (70, 70, 71.5):
        monkeypatch.setattr(pool_module.time, "monotonic", lambda later=now + 60 * minutes: later)
        taken = [take(pool) for _ in range(4)]
        for one in taken:
            pool.give(one)
    assert sorted(one.is_closed for one in old) == [False, False, True, True]


def test_one_that_can_not_be_closed_makes_room_all_the_same() -> None:
    def fail(_: Any) -> None:
        raise peewee.InterfaceError("it is gone")

    pool = Pool(Connection, fail, most=1, wait_seconds=0)
    with pytest.raises(peewee.InterfaceError):
        pool.drop(take(pool))
    take(pool)


def test_what_is_in_use_when_it_is_closed_is_closed_as_it_comes_back() -> None:
    pool = make(most=1, wait_seconds=0)
    used = take(pool)
    pool.close()
    assert not used.is_closed
    pool.give(used)
    assert used.is_closed
    after = take(pool)
    pool.give(after)
    assert take(pool) is after


def test_what_lies_idle_can_be_closed() -> None:
    pool = make(wait_seconds=0)
    used, idle = take(pool), take(pool)
    pool.give(idle)
    pool.close_idle()
    assert (used.is_closed, idle.is_closed) == (False, True)
    assert take(pool) not in (used, idle)
