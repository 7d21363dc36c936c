"""A few values that are made again where they are missing, looked up without a lock."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """At most ``most`` values by key; those that came first go first. Safe for threads.

    A look-up changes nothing, as that of the least recently used would: one step, which no other thread can divide.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value, ``None`` where there is none."""
        return self._values.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value in place of any that was there."""
        with self._lock:
            self._values.pop(key, None)
            while len(self._values) >= self._most:
                del self._values[next(iter(self._values))]
            self._values[key] = value

    def drop(self, key: K) -> None:
        """Keep none for this key any more."""
        with self._lock:
            self._values.pop(key, None)
