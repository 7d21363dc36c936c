"""Reading what the control surface is sent about the market."""

from __future__ import annotations

from decimal import Decimal

from axisor_paper_exchange.server.control_numbers import count, decimal
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.server.living import MOST_EVENTS
from axisor_paper_exchange.server.market import CsvError, Feed, Fixed, Replay, Source, Walk
from axisor_paper_exchange.server.opening import (
    DEFAULT_INTERVAL,
    DEFAULT_VOLATILITY,
    HIGHEST_INTERVAL,
    HIGHEST_SPEED,
    HIGHEST_VOLATILITY,
    LOWEST_INTERVAL,
    LOWEST_SPEED,
)

__all__ = ["market", "steps"]

_WALK_OPTIONS = {"volatility", "intervalSeconds", "seed"}


def market(fields: Fields, now: Feed) -> tuple[Source | None, Decimal, bool]:
    """Return the source that prices are to come from (None: as now), the speed, and whether the market is paused."""
    fields.only("source", "csv", "volatility", "intervalSeconds", "seed", "speed", "paused")
    speed = decimal(fields, "speed", low=LOWEST_SPEED, high=HIGHEST_SPEED)
    paused = fields.flag("paused") if "paused" in fields else now.paused
    return _source(fields), now.speed if speed is None else speed, paused


def steps(fields: Fields) -> tuple[int, int | None]:
    """Return how many steps are to be taken, or how many milliseconds are to pass instead (None: steps)."""
    fields.only("count", "seconds")
    if "seconds" in fields:
        if "count" in fields:
            raise invalid("seconds", "can't be given together with count")
        seconds = decimal(fields, "seconds", low=Decimal(0), high=Decimal(10**10))
        return 0, int((seconds or 0) * 1000)
    asked = count(fields, "count")
    if asked is None:
        return 1, None
    if not 1 <= asked <= MOST_EVENTS:
        raise invalid("count", f"must be between 1 and {MOST_EVENTS}")
    return asked, None


def _source(fields: Fields) -> Source | None:
    kind = fields.word("source", Fixed.kind, Walk.kind, Replay.kind)
    options = {Walk.kind: _WALK_OPTIONS, Replay.kind: {"csv"}}.get(kind or "", set())
    for name in ("csv", *_WALK_OPTIONS):
        if name in fields and name not in options:
            raise invalid(name, "does not belong to that source")
    if kind == Walk.kind:
        return _walk(fields)
    if kind == Replay.kind:
        return _replay(fields.text("csv") or "")
    return None if kind is None else Fixed()


def _walk(fields: Fields) -> Walk:
    volatility = decimal(fields, "volatility", low=Decimal(0), high=HIGHEST_VOLATILITY)
    interval = decimal(fields, "intervalSeconds", low=LOWEST_INTERVAL, high=HIGHEST_INTERVAL)
    return Walk(
        DEFAULT_VOLATILITY if volatility is None else volatility,
        int((DEFAULT_INTERVAL if interval is None else interval) * 1000),
        fields.whole("seed") or 0,
    )


def _replay(text: str) -> Replay:
    source = Replay(text)
    try:
        assert source.rows
    except CsvError as error:
        raise invalid("csv", str(error)) from error
    return source
