"""Public market data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from axisor_executor.exchange.answers.fields import (
    UnreadableAnswer,
    fields_of,
    if_readable,
    instant,
    list_of,
    number,
    required,
    text,
    whole,
)
from axisor_executor.exchange.base import Ticker
from axisor_executor.exchange.records import Candle, FundingSettlement, Leader, Leaderboard


def ticker(value: Any) -> Ticker:
    """Read a ticker. A price of 0 or less is read as it is: who uses it refuses it."""
    fields = fields_of(value)
    return Ticker(
        last_price=number(fields, "lastPrice"),
        index=number(fields, "index"),
        time=instant(fields, "time"),
        funding_rate=if_readable(number, fields, "fundingRate"),
        funding_time=if_readable(instant, fields, "fundingTime"),
    )


def candle(value: Any) -> Candle:
    """Read a candle."""
    fields = fields_of(value)
    return Candle(
        time=instant(fields, "time"),
        open=number(fields, "open"),
        high=number(fields, "high"),
        low=number(fields, "low"),
        close=number(fields, "close"),
        volume=number(fields, "volume"),
    )


def funding_settlement(value: Any) -> FundingSettlement:
    """Read a funding settlement."""
    fields = fields_of(value)
    return FundingSettlement(
        id=text(fields, "id"),
        time=instant(fields, "time"),
        funding_rate=number(fields, "fundingRate"),
        fixing_price=number(fields, "fixingPrice"),
    )


def leaderboard(value: Any) -> Leaderboard:
    """Read the leaderboard."""
    fields = fields_of(value)
    leaders = list_of(_leader)
    return Leaderboard(
        daily=leaders(required(fields, "daily")),
        weekly=leaders(required(fields, "weekly")),
        monthly=leaders(required(fields, "monthly")),
        all_time=leaders(required(fields, "all-time")),
    )


def time(value: Any) -> datetime:
    """Read the exchange's own time."""
    return instant(fields_of(value), "time")


def pong(value: Any) -> str:
    """Read the answer to a ping."""
    if value != "pong":
        raise UnreadableAnswer("not a pong")
    return "pong"


def _leader(value: Any) -> Leader:
    fields = fields_of(value)
    return Leader(username=text(fields, "username"), pl=whole(fields, "pl"), direction=whole(fields, "direction"))
