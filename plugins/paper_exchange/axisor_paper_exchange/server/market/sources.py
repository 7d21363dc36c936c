"""Where prices come from. A source holds no position: it says what step number n is, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from random import Random
from typing import ClassVar, Protocol

from axisor_paper_exchange.engine import MAX_PRICE
from axisor_paper_exchange.server.market.csv import Row, parse_csv

__all__ = ["Fixed", "Replay", "Source", "Walk"]

_NO_VOLUME = Decimal(0)
_DAY = 86_400_000
_LONE_CANDLE = 60_000
_CORNERS = 4


class Source(Protocol):
    """A source of prices (ticks); instants and durations are milliseconds of market time."""

    kind: ClassVar[str]

    def due(self, position: int, now: int) -> int | None:
        """Return when step number `position` (from 0) is due, None when there is none; `now` is the one before."""

    def price(self, position: int, last: int) -> int:
        """Return the price that a step leads to from the last price."""

    def volume(self, position: int) -> Decimal:
        """Return the volume that a step brings."""


@dataclass(frozen=True)
class Fixed:
    """A price that moves when it is told to."""

    kind: ClassVar[str] = "fixed"

    def due(self, position: int, now: int) -> int | None:
        """Return None: there are no steps."""
        del position, now
        return None

    def price(self, position: int, last: int) -> int:
        """Return the last price."""
        del position
        return last

    def volume(self, position: int) -> Decimal:
        """Return 0."""
        del position
        return _NO_VOLUME


@dataclass(frozen=True)
class Walk:
    """A random walk from wherever the price is: `volatility` is the standard deviation of a day's relative change.

    A step depends on seed, number and last price alone, so the walk goes on where it was after a restart.
    """

    kind: ClassVar[str] = "walk"
    volatility: Decimal
    interval: int
    seed: int

    def due(self, position: int, now: int) -> int | None:
        """Return the next instant of the walk."""
        del position
        return now + self.interval

    def price(self, position: int, last: int) -> int:
        """Return the price after a step: log-normal without drift, rounded to a tick."""
        deviation = float(self.volatility) * math.sqrt(self.interval / _DAY)
        chance = Random(f"{self.seed}:{position}").gauss(0.0, 1.0)  # noqa: S311 - chance of a simulation, not a secret
        factor = math.exp(min(50.0, deviation * chance - deviation * deviation / 2))
        return max(1, min(MAX_PRICE, round(last * factor)))

    def volume(self, position: int) -> Decimal:
        """Return 0: nobody trades here but the accounts."""
        del position
        return _NO_VOLUME


@dataclass(frozen=True)
class Replay:
    """Candles, each walked through in four steps, evenly spread over its time.

    A candle that rose (or stayed) goes open, low, high, close; one that fell open, high, low, close.
    """

    kind: ClassVar[str] = "candles"
    text: str
    """The CSV."""

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The candles. Raises `CsvError` at the first use when the text holds none."""
        return parse_csv(self.text)

    def due(self, position: int, now: int) -> int | None:
        """Return when a corner of a candle is reached: its open at its time, its close just before the next."""
        del now
        at, corner = divmod(position, _CORNERS)
        if at >= len(self.rows):
            return None
        time = self.rows[at].time
        return time + (self._length(at) - 1) * corner // (_CORNERS - 1)

    def price(self, position: int, last: int) -> int:
        """Return the price at a corner of a candle."""
        del last
        at, corner = divmod(position, _CORNERS)
        row = self.rows[at]
        first, second = (row.low, row.high) if row.close >= row.open else (row.high, row.low)
        return (row.open, first, second, row.close)[corner]

    def volume(self, position: int) -> Decimal:
        """Return the candle's volume at its close, 0 before."""
        at, corner = divmod(position, _CORNERS)
        return self.rows[at].volume if corner == _CORNERS - 1 else _NO_VOLUME

    def _length(self, at: int) -> int:
        """Return how long a candle lasts: until the next; the last one as long as the one before it."""
        rows = self.rows
        if len(rows) == 1:
            return _LONE_CANDLE
        at = min(at, len(rows) - 2)
        return rows[at + 1].time - rows[at].time
