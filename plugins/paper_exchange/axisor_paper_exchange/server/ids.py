"""Where the exchange's ids come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import uuid4

__all__ = ["Ids", "IdsDiffer"]


class IdsDiffer(Exception):
    """A command that is done again asks for more ids than it had the first time."""


class Ids:
    """Random UUIDs; those that a command draws are noted, so that it can be done again with the same."""

    __slots__ = ("_given", "drawn")

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self._given: Iterator[str] | None = None

    def __call__(self) -> str:
        """Return an id that nobody has yet."""
        drawn = str(uuid4()) if self._given is None else next(self._given, None)
        if drawn is None:
            raise IdsDiffer
        self.drawn.append(drawn)
        return drawn

    def begin(self) -> None:
        """Note the ids of one command from here on."""
        self.drawn = []

    def repeat(self, ids: Iterable[str] | None) -> None:
        """Give out these ids instead of new ones, until told otherwise by None."""
        self._given = None if ids is None else iter(ids)
