"""Candles of a CSV file, one after the other: what is wrong is told with its line, and nothing is guessed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from axisor_executor.arithmetic import MAX_PRICE
from axisor_executor.errors import AxisorError
from axisor_executor.exchange.base import PRICE_STEP

COLUMNS = ("time", "open", "high", "low", "close")
Gaps = Literal["refuse", "hold"]
LONGEST = timedelta(days=7)

_LONE_CANDLE = timedelta(minutes=1)
_SECONDS_UNTIL = 10**11
"""An epoch below this is in seconds (until the year 5138), one above it in milliseconds (from 1973 on)."""
_MILLISECONDS_UNTIL = 253_402_300_800_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Candle(NamedTuple):
    """The prices (USD per BTC, steps of 0.5) of one span of time, which begins at ``time``."""

    time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


class CandleFile:
    """The candles of a file, all of one length, oldest first.

    Attributes:
        length: how much time a candle covers: what lies between the first two.
        gaps: how many times candles were missing, of what was read so far.
        read: how many characters were read so far.
    """

    def __init__(self, path: Path, *, gaps: Gaps = "refuse") -> None:
        """Name a file; nothing is read yet. With ``hold``, the price stands still where candles are missing."""
        self.path = path
        self.length = _LONE_CANDLE
        self.gaps = 0
        self.read = 0
        self._policy = gaps

    def __iter__(self) -> Iterator[Candle]:
        """Read the candles.

        Raises:
            AxisorError: ``candles_invalid`` (what is wrong, and in which line), ``candles_gap``.
        """
        self.gaps = self.read = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as text:
                yield from self._checked(_rows(self._counted(text)))
        except OSError as error:
            raise _invalid(f"can't read {self.path}: {error.strerror or type(error).__name__}") from None
        except UnicodeDecodeError:
            raise _invalid(f"{self.path} is no text in UTF-8") from None
        except csv.Error as error:
            raise _invalid(f"{self.path} is no CSV: {error}") from None

    def _counted(self, text: Iterable[str]) -> Iterator[str]:
        for line in text:
            self.read += len(line)
            yield line

    def _checked(self, rows: Iterator[tuple[int, Candle]]) -> Iterator[Candle]:
        first = next(rows, None)
        if first is None:
            raise _invalid(f"{self.path} holds no candles")
        second = next(rows, None)
        before = first[1]
        if second is not None:
            self.length = _length(before, second[1], line=second[0])
        yield before
        while second is not None:
            line, candle = second
            self._follow(before, candle, line)
            yield candle
            before, second = candle, next(rows, None)

    def _follow(self, before: Candle, candle: Candle, line: int) -> None:
        due = before.time + self.length
        if candle.time == due:
            return
        if candle.time <= before.time:
            raise _invalid(f"line {line}: its time is not after that of the line before")
        if candle.time < due:
            seconds = self.length.total_seconds()
            raise _invalid(f"line {line}: it begins before the last candle ends; the first one lasted {seconds:g} s")
        if self._policy == "refuse":
            raise AxisorError(
                f"line {line}: candles are missing from {due.isoformat()} to {candle.time.isoformat()};"
                " --gaps hold takes the price to have stood still",
                code="candles_gap",
                status=400,
            )
        self.gaps += 1


def _rows(text: Iterable[str]) -> Iterator[tuple[int, Candle]]:
    lines = csv.reader(text, strict=True)
    header = [name.strip().lower() for name in next(lines, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise _invalid(f"line 1: the header lacks {', '.join(missing)}; it must name {','.join(COLUMNS)}")
    time, opened, high, low, close = (header.index(name) for name in COLUMNS)
    width = len(header)
    for cells in lines:
        if not cells:
            continue
        line = lines.line_num
        if len(cells) != width:
            raise _invalid(f"line {line}: {len(cells)} fields where the header has {width}")
        try:
            candle = Candle(
                _time(cells[time]), _price(cells[opened]), _price(cells[high]), _price(cells[low]), _price(cells[close])
            )
        except _BadCell as bad:
            raise _invalid(f"line {line}: {bad}") from None
        if not candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high:
            raise _invalid(f"line {line}: open and close must lie between low and high")
        yield line, candle


class _BadCell(Exception):
    """What is wrong with a cell, in words."""


def _time(cell: str) -> datetime:
    cell = cell.strip()
    if cell.isascii() and cell.isdigit():
        epoch = int(cell[:16])
        milliseconds = epoch * 1000 if epoch < _SECONDS_UNTIL else epoch
        if milliseconds < _MILLISECONDS_UNTIL:
            return _EPOCH + timedelta(milliseconds=milliseconds)
    try:
        found = datetime.fromisoformat(cell)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _BadCell(
            f"time {cell[:40]!r} must be ISO 8601 (2026-01-31T12:00:00Z) or an epoch in seconds or milliseconds"
        ) from None


@lru_cache(maxsize=65536)
def _price(cell: str) -> Decimal:
    try:
        value = Decimal(cell.strip())
        price = (value / PRICE_STEP).to_integral_value(ROUND_HALF_UP) * PRICE_STEP
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or not 0 < price <= MAX_PRICE:
        raise _BadCell(f"{cell.strip()[:40]!r} must be a price above 0 and up to {MAX_PRICE} (USD per BTC)")
    return price


def _length(first: Candle, second: Candle, *, line: int) -> timedelta:
    length = second.time - first.time
    if length <= timedelta(0):
        raise _invalid(f"line {line}: its time is not after that of the line before")
    if length > LONGEST or length % timedelta(seconds=1):
        raise _invalid(f"line {line}: a candle must last whole seconds and at most {LONGEST.days} days, not {length}")
    return length


def _invalid(message: str) -> AxisorError:
    return AxisorError(message, code="candles_invalid", status=400)
