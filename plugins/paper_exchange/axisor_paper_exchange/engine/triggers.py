"""What a price change sets off, without looking at anything else."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

__all__ = ["TriggerBook"]


class Triggered(Protocol):
    """What can be set off: `number` is its age and unique among all, `triggers` is raised whenever they change."""

    number: int
    triggers: int


Item = TypeVar("Item", bound=Triggered)


class TriggerBook(Generic[Item]):
    """Trigger prices of all trades, in the order in which a moving price reaches them.

    Entries are not removed one by one: a trade whose triggers change raises its `triggers` number, and older entries
    are dropped when they surface or when a heap has doubled.
    """

    def __init__(self) -> None:
        self._falling = _Heap[Item]()
        self._rising = _Heap[Item]()

    def __len__(self) -> int:
        return len(self._falling) + len(self._rising)

    def watch(self, trade: Item, *, below: int = 0, above: int = 0) -> None:
        """Replace the trade's triggers: set off at or below `below`, at or above `above` (ticks, 0 = none)."""
        trade.triggers += 1
        if below:
            self._falling.push(-below, trade)
        if above:
            self._rising.push(above, trade)

    def forget(self, trade: Item) -> None:
        """Void the trade's triggers."""
        trade.triggers += 1

    def reached(self, price: int) -> Iterator[tuple[Item, int]]:
        """Yield trades and the trigger price that a move to `price` reaches, nearest first, older trades first.

        A trade may get new triggers while this runs: those that the move reaches too are yielded in their turn.
        """
        for level, trade in self._falling.pop_until(-price):
            yield trade, -level
        for level, trade in self._rising.pop_until(price):
            yield trade, level


class _Heap(Generic[Item]):
    """Trigger prices, the smallest first."""

    _ROOM = 1024

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, int, Item]] = []
        self._room = self._ROOM

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, level: int, trade: Item) -> None:
        heappush(self._entries, (level, trade.number, trade.triggers, trade))
        if len(self._entries) > self._room:
            self._entries = [entry for entry in self._entries if entry[2] == entry[3].triggers]
            heapify(self._entries)
            self._room = max(self._ROOM, 2 * len(self._entries))

    def pop_until(self, price: int) -> Iterator[tuple[int, Item]]:
        while self._entries and self._entries[0][0] <= price:
            level, _, triggers, trade = heappop(self._entries)
            if triggers == trade.triggers:
                yield level, trade
