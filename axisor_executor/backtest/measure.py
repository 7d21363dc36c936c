"""The money of a backtest, watched along the way: its equity, the deepest fall, and how long it was at risk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

MOST_POINTS = 2000


class Point(NamedTuple):
    """The equity (sats) at an instant, and the last price (USD)."""

    at: datetime
    equity: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of the equity from its highest before: sats, and percent of that highest."""

    sats: int = 0
    percent: Decimal = Decimal(0)
    peak_at: datetime | None = None
    low_at: datetime | None = None


class Curve:
    """The equity at the ends of candles, thinned out evenly: never more than :data:`MOST_POINTS`."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._stride = 1
        self._seen = 0

    def is_due(self) -> bool:
        """Count one more end of a candle, and tell whether its point is to be kept."""
        self._seen += 1
        return (self._seen - 1) % self._stride == 0

    def add(self, point: Point) -> None:
        """Keep a point."""
        self.points.append(point)
        if len(self.points) >= MOST_POINTS:
            self.points = self.points[::2]
            self._stride *= 2


class Measure:
    """Watches one account."""

    def __init__(self, at: datetime, equity: int) -> None:
        self.curve = Curve()
        self.drawdown = Drawdown()
        self.at_risk = timedelta(0)
        self._peak = equity
        self._peak_at = at

    def see(self, at: datetime, equity: int) -> None:
        """Take the equity of an instant in."""
        if equity > self._peak:
            self._peak, self._peak_at = equity, at
        elif (fall := self._peak - equity) > self.drawdown.sats:
            percent = round(Decimal(100 * fall) / self._peak, 2) if self._peak > 0 else Decimal(0)
            self.drawdown = Drawdown(fall, percent, self._peak_at, at)
