"""Candles from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from axisor_paper_exchange.engine import ticks
from axisor_paper_exchange.server.clock import parse_iso

__all__ = ["COLUMNS", "CsvError", "Row", "parse_csv"]

COLUMNS = ("time", "open", "high", "low", "close", "volume")
_SECONDS_UNTIL = 10**11
"""An epoch below this is in seconds (until the year 5138), one above it in milliseconds (from 1973 on)."""


class CsvError(ValueError):
    """A file that holds no candles; the message names the line."""


class Row(NamedTuple):
    """A candle: its begin in milliseconds since the epoch, prices in ticks, the volume as the file has it."""

    time: int
    open: int
    high: int
    low: int
    close: int
    volume: Decimal


def parse_csv(text: str) -> tuple[Row, ...]:
    """Return the candles of a CSV text with the header time,open,high,low,close,volume, oldest first.

    `time` is ISO 8601 (UTC where it names no zone) or an epoch in seconds or milliseconds. Prices are rounded to the
    exchange's steps of 0.5 USD. Raises `CsvError`.
    """
    try:
        return tuple(_rows(text))
    except csv.Error as error:
        raise CsvError(f"is no CSV: {error}") from error


def _rows(text: str) -> Iterator[Row]:
    lines = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    header = [name.strip().lower() for name in next(lines, [])]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise CsvError(f"line 1: the header lacks {', '.join(missing)}; it must name {','.join(COLUMNS)}")
    places = [header.index(name) for name in COLUMNS]
    before: Row | None = None
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(header):
            raise CsvError(f"line {lines.line_num}: {len(cells)} fields where the header has {len(header)}")
        row = _row([cells[place].strip() for place in places], lines.line_num)
        if before is not None and row.time <= before.time:
            raise CsvError(f"line {lines.line_num}: its time is not after that of the line before")
        yield row
        before = row
    if before is None:
        raise CsvError("holds no candles")


def _row(cells: list[str], line: int) -> Row:
    time = _time(cells[0])
    if time is None:
        raise CsvError(f"line {line}: time {cells[0]!r} is neither ISO 8601 nor an epoch")
    opened, high, low, close = (_price(name, cell, line) for name, cell in zip(COLUMNS[1:5], cells[1:5], strict=True))
    if not low <= min(opened, close) <= max(opened, close) <= high:
        raise CsvError(f"line {line}: open and close must lie between low and high")
    volume = _number(cells[5] or "0")
    if volume is None or volume < 0:
        raise CsvError(f"line {line}: volume {cells[5]!r} is not a number of at least 0")
    return Row(time, opened, high, low, close, volume)


def _time(cell: str) -> int | None:
    epoch = _number(cell)
    if epoch is None:
        return parse_iso(cell)
    if not 0 <= epoch < _SECONDS_UNTIL * 100:
        return None
    return int(epoch * 1000 if epoch < _SECONDS_UNTIL else epoch)


def _price(name: str, cell: str, line: int) -> int:
    value = _number(cell)
    price = None if value is None or abs(value) >= _SECONDS_UNTIL else ticks(round(value * 2) / Decimal(2))
    if price is None:
        raise CsvError(f"line {line}: {name} {cell!r} is not a price")
    return price


def _number(cell: str) -> Decimal | None:
    try:
        value = Decimal(cell)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
