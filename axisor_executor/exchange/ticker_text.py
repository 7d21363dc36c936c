"""A ticker as text, for the processes that share it; read back only if it is exactly as it is written here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from axisor_executor.exchange.base import Answer, Ticker

VERSION = 1
FUTURE_TOLERANCE = 2.0
"""Seconds; Date shows whole seconds only, and the ticker's time may come from another machine."""

_LONGEST_TEXT = 500
_FIELDS = frozenset({"v", "asked", "server", "time", "last", "index", "fundingRate", "fundingTime"})
_DECIMALS = 20
_NUMBER = re.compile(rf"-?[0-9]{{1,9}}(\.[0-9]{{1,{_DECIMALS}}})?", re.ASCII)
HIGHEST_PRICE = Decimal(100_000_000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def write_ticker(answer: Answer[Ticker], asked: int) -> str:
    """Return the text of an answer that was asked for at ``asked``; all instants in microseconds since the epoch."""
    ticker = answer.value
    rate, due = ticker.funding_rate, ticker.funding_time
    return json.dumps(
        {
            "v": VERSION,
            "asked": asked,
            "server": _microseconds(answer.server_time),
            "time": _microseconds(ticker.time),
            "last": format(ticker.last_price, "f"),
            "index": _rounded(ticker.index),
            "fundingRate": None if rate is None else _rounded(rate),
            "fundingTime": None if due is None else _microseconds(due),
        }
    )


def read_ticker(text: str | bytes, now: int) -> tuple[Answer[Ticker], int]:
    """Return the answer, and when it was asked for (microseconds, up to ``now``, by the same clock).

    Raises:
        ValueError: it is not as :func:`write_ticker` writes it, or shows what can't be. Names the field, never its
            value.
    """
    fields = _fields(text)
    ticker = Ticker(
        last_price=_price(fields, "last"),
        index=_price(fields, "index"),
        time=_instant(fields, "time"),
        funding_rate=None if fields["fundingRate"] is None else _number(fields, "fundingRate"),
        funding_time=None if fields["fundingTime"] is None else _instant(fields, "fundingTime"),
    )
    server_time = _instant(fields, "server")
    if (ticker.time - server_time).total_seconds() > FUTURE_TOLERANCE:
        raise ValueError("time is in the future")
    return Answer(ticker, server_time), _whole(fields, "asked", now)


def _rounded(value: Decimal) -> str:
    """Return what only informs with as many decimals as are read: more must not keep the price from being shared."""
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".")


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _fields(text: str | bytes) -> dict[str, Any]:
    if len(text) > _LONGEST_TEXT:
        raise ValueError("too long")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise ValueError("its fields are others")
    if _whole(fields, "v", VERSION) != VERSION:
        raise ValueError("its version is another")
    return fields


def _whole(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value <= most:  # True is no number here
        raise ValueError(f"{name} is no whole number in its range")
    return value


def _instant(fields: dict[str, Any], name: str) -> datetime:
    return _EPOCH + _whole(fields, name, _LATEST) * _MICROSECOND


def _number(fields: dict[str, Any], name: str) -> Decimal:
    value = fields[name]
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise ValueError(f"{name} is no number in text")
    return Decimal(value)


def _price(fields: dict[str, Any], name: str) -> Decimal:
    price = _number(fields, name)
    if not 0 < price <= HIGHEST_PRICE:
        raise ValueError(f"{name} is no price that there can be")
    return price
