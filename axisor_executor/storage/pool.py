"""Connections that the threads of a process share.

Why not peewee's pool: it connects under the lock that everybody needs who takes a connection or gives one back, and
what was opened five minutes ago it throws away when somebody asks for it. At the worst minute, after a quiet hour, all
threads would wait while one after the other connects. Here they connect beside each other, what lies idle stays, and
what has become old is replaced as it comes back, one now and then.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import peewee

OLD_SECONDS = 3600.0
"""From when on a connection is replaced: its server process remembers every table that it has ever seen."""
REPLACED_SECONDS = 60.0
"""How much time is between two that are replaced: they were opened together, and are old together."""


class Idle(NamedTuple):
    """A connection that nobody uses, and since when on the monotonic clock."""

    connection: Any
    since: float


class Pool:
    """At most ``most`` connections. The one that came back last is taken first.

    Args:
        open_one: opens a connection; several threads call it at once.
        close_one: closes one, whatever state it is in.
        most: how many there may be.
        wait_seconds: how long to wait for one to come back, where there are as many.
    """

    def __init__(
        self, open_one: Callable[[], Any], close_one: Callable[[Any], None], *, most: int, wait_seconds: float
    ) -> None:
        self._open_one = open_one
        self._close_one = close_one
        self._most = most
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._count = 0
        self._idle: list[Idle] = []
        self._opened_at: dict[int, float] = {}
        self._replaced_at = -math.inf
        self._closed_at = -math.inf

    def take(self) -> Idle:
        """Return a connection that lay idle, or a new one.

        Raises:
            peewee.OperationalError: all are in use, and none came back in time.
            Exception: what ``open_one`` raises.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._idle or self._count < self._most, self._wait_seconds):
                raise peewee.OperationalError(f"all {self._most} connections of this process are in use")
            if self._idle:
                return self._idle.pop()
            self._count += 1
        try:
            connection = self._open_one()
        except BaseException:
            self._is_gone()
            raise
        now = time.monotonic()
        self._opened_at[id(connection)] = now
        return Idle(connection, now)

    def give(self, connection: Any) -> None:
        """Take a connection back; one that has become old is closed, now and then, and what :meth:`close` left open."""
        now, opened_at = time.monotonic(), self._opened_at[id(connection)]
        with self._changed:
            is_replaced = now - opened_at > OLD_SECONDS and now - self._replaced_at > REPLACED_SECONDS
            if is_replaced:
                self._replaced_at = now
            elif opened_at > self._closed_at:
                self._idle.append(Idle(connection, now))
                self._changed.notify()
                return
        self.drop(connection)

    def drop(self, connection: Any) -> None:
        """Close a connection that was taken."""
        del self._opened_at[id(connection)]
        try:
            self._close_one(connection)
        finally:
            self._is_gone()

    def close_idle(self) -> None:
        """Close what nobody uses."""
        with self._changed:
            idle, self._idle = self._idle, []
        for one in idle:
            self.drop(one.connection)

    def close(self) -> None:
        """Close what nobody uses, and what is in use as it comes back. Whoever takes one from now on gets a new one."""
        self._closed_at = time.monotonic()
        self.close_idle()

    def _is_gone(self) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify()
