"""Ids of trades, orders and accounts."""

from __future__ import annotations

from random import Random
from uuid import UUID

__all__ = ["SeededIds", "seeded_ids"]


class SeededIds:
    """A source of UUIDs that is the same for the same seed, and goes on where it was after it has been pickled."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - ids of a simulation, not secrets

    def __call__(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def seeded_ids(seed: int = 0) -> SeededIds:
    """Return a source of UUIDs that is the same for the same seed."""
    return SeededIds(seed)
