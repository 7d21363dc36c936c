"""Reading what the control surface is sent; unknown fields are refused, so that no typing error goes unseen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

from axisor_paper_exchange.engine import ticks
from axisor_paper_exchange.server.faults import kinds
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.shapes import number, price_json

__all__ = ["Asked", "account", "fault", "price", "settings", "settings_json"]

_START_BALANCE = 1_000_000
_DEFAULT_STATUS = {"status_after": 500}
_DEFAULT_SECONDS = {"stall": Decimal(60), "act_late": Decimal(1), "latency": Decimal(1), "slow_bytes": Decimal(1)}
_DURATIONS = {"windowSeconds": "window", "clockOffsetSeconds": "clock_offset", "tickerAgeSeconds": "ticker_age"}
_RATES = {"privateRequestsPerSecond": "private_rate", "publicRequestsPerSecond": "public_rate"}
_FLAGS = {"tickerFrozen": "ticker_frozen", "crossingLimitsFill": "crossing_limits_fill"}
_FAULT = ("kind", "route", "account", "mutating", "rate", "seed", "count", "seconds", "jitter", "status", "retryAfter")


class Asked:
    """Which rows of the journal are asked for."""

    __slots__ = ("account", "limit", "mutating", "path", "since")

    def __init__(self, fields: Fields) -> None:
        fields.only("since", "account", "path", "mutating", "limit")
        self.since = int(_count(fields, "since") or 0)
        self.limit = _count(fields, "limit")
        self.account = fields.text("account")
        self.path = fields.text("path")
        self.mutating = fields.text("mutating") in {"1", "true"}


def account(fields: Fields) -> dict[str, Any]:
    """Return the arguments of `World.open_account`."""
    fields.only("username", "balance", "key", "secret", "passphrase")
    balance = _count(fields, "balance")
    return {
        "username": fields.text("username"),
        "balance": _START_BALANCE if balance is None else balance,
        "key": fields.text("key"),
        "secret": fields.text("secret"),
        "passphrase": fields.text("passphrase"),
    }


def price(fields: Fields, name: str = "price") -> int:
    """Return a required price in ticks that was given as a number or as text."""
    value = _decimal(fields, name)
    parsed = None if value is None else ticks(value)
    if parsed is None:
        raise invalid(name, "must be a positive multiple of 0.5")
    return parsed


def settings(fields: Fields, now: Settings) -> Settings:
    """Return the settings with those changed that were sent."""
    fields.only(*settings_json(now))
    changes: dict[str, Any] = {}
    for name, field in _DURATIONS.items():
        low = None if name == "clockOffsetSeconds" else Decimal(0)
        if (seconds := _decimal(fields, name, low=low)) is not None:
            changes[field] = int(seconds * 1000)
    for name, field in _FLAGS.items():
        if name in fields:
            changes[field] = fields.flag(name)
    if (spread := _decimal(fields, "spread", low=Decimal(0))) is not None:
        changes["spread"] = price(fields, "spread") if spread else 0
    if (fee_rate := _decimal(fields, "feeRate", low=Decimal(0), high=Decimal("0.1"))) is not None:
        changes["fee_rate"] = fee_rate
    if (funding_rate := _decimal(fields, "fundingRate")) is not None:
        changes["funding_rate"] = funding_rate
    for name, field in _RATES.items():
        if (rate := _decimal(fields, name, low=Decimal(0))) is not None:
            changes[field] = float(rate)
    return replace(now, **changes)


def settings_json(now: Settings) -> dict[str, Any]:
    """Return settings as `/paper/settings` shows them."""
    return {
        "windowSeconds": now.window / 1000,
        "clockOffsetSeconds": now.clock_offset / 1000,
        "tickerAgeSeconds": now.ticker_age / 1000,
        "tickerFrozen": now.ticker_frozen,
        "feeRate": str(now.fee_rate),
        "spread": str(price_json(now.spread)),
        "fundingRate": number(now.funding_rate),
        "crossingLimitsFill": now.crossing_limits_fill,
        "privateRequestsPerSecond": now.private_rate,
        "publicRequestsPerSecond": now.public_rate,
    }


def fault(fields: Fields) -> dict[str, Any]:
    """Return the arguments of `Faults.add`."""
    fields.only(*_FAULT)
    kind = fields.choice("kind", *kinds)
    method, path = _route(fields.text("route"))
    zero = Decimal(0)
    rate = _decimal(fields, "rate", low=zero, high=Decimal(1))
    seconds = _decimal(fields, "seconds", low=zero)
    return {
        "kind": kind,
        "method": method,
        "path": path,
        "account": fields.text("account"),
        "mutating": fields.flag("mutating") if "mutating" in fields else None,
        "rate": 1.0 if rate is None else float(rate),
        "seed": fields.whole("seed"),
        "count": _count(fields, "count"),
        "seconds": float(_DEFAULT_SECONDS.get(kind, zero) if seconds is None else seconds),
        "jitter": float(_decimal(fields, "jitter", low=zero) or 0),
        "status": _status(fields, kind),
        "retry_after": _count(fields, "retryAfter"),
    }


def _route(text: str | None) -> tuple[str | None, str | None]:
    """Split "POST /v3/futures/..." into method and exact path; anything else is a part of a path."""
    if text is None:
        return None, None
    method, _, path = text.partition(" ")
    return (method.upper(), path) if path.startswith("/") else (None, text)


def _status(fields: Fields, kind: str) -> int:
    status = fields.whole("status")
    if status is None:
        return _DEFAULT_STATUS.get(kind, 503)
    if status not in set(HTTPStatus) or status < HTTPStatus.OK:
        raise invalid("status", "must be an HTTP status from 200 on")
    return status


def _count(fields: Fields, name: str) -> int | None:
    value = _decimal(fields, name, low=Decimal(0))
    if value is None:
        return None
    if value != value.to_integral_value():
        raise invalid(name, "must be a whole number")
    return int(value)


def _decimal(fields: Fields, name: str, *, low: Decimal | None = None, high: Decimal | None = None) -> Decimal | None:
    """Return a number that was given as a number or as text, None when it is absent."""
    if name not in fields:
        return None
    try:
        value = Decimal(fields.text(name) or "") if fields.is_text(name) else fields.decimal(name)
    except InvalidOperation as error:
        raise invalid(name, "must be a number") from error
    assert value is not None
    if not value.is_finite() or (low is not None and value < low) or (high is not None and value > high):
        raise invalid(name, "is out of range")
    return value
