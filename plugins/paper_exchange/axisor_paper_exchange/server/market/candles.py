"""What prices have been: a bounded list of candles for each range."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter

__all__ = ["KEPT", "RANGES", "Candle", "Candles"]

KEPT = 10_000
_MINUTE = 60_000
_DAY = 1440 * _MINUTE
_WEEK = 7 * _DAY
_MONDAY = 4 * _DAY
"""The first Monday since the epoch, which was a Thursday."""
_LENGTHS = {
    "1m": _MINUTE,
    "3m": 3 * _MINUTE,
    "5m": 5 * _MINUTE,
    "10m": 10 * _MINUTE,
    "15m": 15 * _MINUTE,
    "30m": 30 * _MINUTE,
    "45m": 45 * _MINUTE,
    "1h": 60 * _MINUTE,
    "2h": 120 * _MINUTE,
    "3h": 180 * _MINUTE,
    "4h": 240 * _MINUTE,
    "1d": _DAY,
    "1w": _WEEK,
}
_MONTHS = {"1month": 1, "3months": 3}
RANGES = (*_LENGTHS, *_MONTHS)


@dataclass(slots=True)
class Candle:
    """Prices in ticks from `time` (milliseconds since the epoch) on, for as long as its range is."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: Decimal

    def take(self, price: int, volume: Decimal) -> None:
        """Take a price in."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += volume


class Candles:
    """The candles of every range; a price holds until the next, so there are no gaps."""

    def __init__(self, price: int, at: int) -> None:
        self._series = {name: _Series(name, price, at) for name in RANGES}

    def record(self, price: int, at: int, volume: Decimal) -> None:
        """Write down that the price (ticks) moved, at an instant in milliseconds since the epoch."""
        for series in self._series.values():
            series.reach(at)
            series.candles[-1].take(price, volume)

    def page(
        self, name: str, now: int, *, since: int | None, until: int | None, before: int | None, limit: int
    ) -> tuple[list[Candle], int | None]:
        """Return up to `limit` candles of a range, newest first, and the time that the next page begins before.

        Instants are milliseconds since the epoch; `since` and `until` are inclusive and mean a candle's time.
        """
        series = self._series[name]
        series.reach(now)
        candles = series.candles
        low = 0 if since is None else _index(candles, since)
        high = len(candles) if until is None else _index(candles, until + 1)
        if before is not None:
            high = min(high, _index(candles, before))
        first = max(low, high - limit)
        rows = candles[first:high][::-1]
        return rows, rows[-1].time if rows and first > low else None

    def price_at(self, at: int) -> int:
        """Return the price (ticks) at an instant, to the minute; the first known one when that is younger."""
        candles = self._series["1m"].candles
        candle = candles[max(0, _index(candles, at + 1) - 1)]
        return candle.open if at < candle.time + _MINUTE else candle.close


class _Series:
    """The candles of one range, up to twice `KEPT` of them."""

    def __init__(self, name: str, price: int, at: int) -> None:
        self.name = name
        self.candles = [Candle(_start(name, at), price, price, price, price, Decimal(0))]
        self.end = _next(name, self.candles[0].time)

    def reach(self, at: int) -> None:
        """Begin the candle that an instant lies in, and those on the way to it."""
        if at < self.end:
            return
        last = self.candles[-1].close
        for start in self._starts(at):
            self.candles.append(Candle(start, last, last, last, last, Decimal(0)))
        self.end = _next(self.name, self.candles[-1].time)
        if len(self.candles) > 2 * KEPT:
            del self.candles[:-KEPT]

    def _starts(self, at: int) -> Iterator[int]:
        start = self.end
        if (length := _LENGTHS.get(self.name)) is not None:
            start = max(start, _start(self.name, at) - KEPT * length)
        while start <= at:
            yield start
            start = _next(self.name, start)


def _start(name: str, at: int) -> int:
    """Return when the candle began that an instant lies in."""
    if months := _MONTHS.get(name):
        day = datetime.fromtimestamp(at // 1000, UTC)
        return _month(day.year, (day.month - 1) // months * months)
    offset = _MONDAY if name == "1w" else 0
    return (at - offset) // _LENGTHS[name] * _LENGTHS[name] + offset


def _next(name: str, start: int) -> int:
    """Return when the candle after the one that began at `start` begins."""
    if months := _MONTHS.get(name):
        day = datetime.fromtimestamp(start // 1000, UTC)
        return _month(day.year, day.month - 1 + months)
    return start + _LENGTHS[name]


def _month(year: int, month: int) -> int:
    """Return the begin of a month, counted from 0 and possibly of a later year."""
    return int(datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1000


def _index(candles: list[Candle], time: int) -> int:
    return bisect_left(candles, time, key=attrgetter("time"))
