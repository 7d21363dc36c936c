"""Reading what the control surface is sent; unknown fields are refused, so that no typing error goes unseen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from http import HTTPStatus
from typing import Any, NamedTuple

from axisor_paper_exchange.engine import ticks
from axisor_paper_exchange.server.auth import PERMISSIONS, Permission
from axisor_paper_exchange.server.control_numbers import count, decimal
from axisor_paper_exchange.server.faults import kinds
from axisor_paper_exchange.server.fields import Fields, invalid
from axisor_paper_exchange.server.settings import Settings
from axisor_paper_exchange.server.shapes import number, price_json
from axisor_paper_exchange.server.wallet import METHODS, DepositMethod

__all__ = [
    "Asked",
    "NewAccount",
    "account",
    "deposit",
    "fault",
    "notification",
    "permissions",
    "price",
    "settings",
    "settings_json",
]

_START_BALANCE = 1_000_000
_DEFAULT_STATUS = {"status_after": 500, "rate_limit": 429}
_DEFAULT_SECONDS = {"stall": Decimal(60), "act_late": Decimal(1), "latency": Decimal(1), "slow_bytes": Decimal(1)}
_DURATIONS = {"windowSeconds": "window", "clockOffsetSeconds": "clock_offset", "tickerAgeSeconds": "ticker_age"}
_RATES = {"privateRequestsPerSecond": "private_rate", "publicRequestsPerSecond": "public_rate"}
_FLAGS = {
    "tickerFrozen": "ticker_frozen",
    "crossingLimitsFill": "crossing_limits_fill",
    "fundingCharged": "funding",
}
_FAULT = ("kind", "route", "account", "mutating", "rate", "seed", "count", "seconds", "jitter", "status", "retryAfter")


class Asked:
    """Which rows of the journal are asked for."""

    __slots__ = ("account", "limit", "mutating", "path", "since")

    def __init__(self, fields: Fields) -> None:
        fields.only("since", "account", "path", "mutating", "limit")
        self.since = int(count(fields, "since") or 0)
        self.limit = count(fields, "limit")
        self.account = fields.text("account")
        self.path = fields.text("path")
        self.mutating = fields.text("mutating") in {"1", "true"}


class NewAccount(NamedTuple):
    """An account to open; what is None is made up."""

    username: str | None
    balance: int
    key: str | None
    secret: str | None
    passphrase: str | None
    permissions: tuple[Permission, ...]


def account(fields: Fields) -> NewAccount:
    """Return the account that is to be opened."""
    fields.only("username", "balance", "key", "secret", "passphrase", "permissions")
    balance = count(fields, "balance")
    return NewAccount(
        username=fields.text("username"),
        balance=_START_BALANCE if balance is None else balance,
        key=fields.text("key"),
        secret=fields.text("secret"),
        passphrase=fields.text("passphrase"),
        permissions=permissions(fields),
    )


def permissions(fields: Fields) -> tuple[Permission, ...]:
    """Return the permissions that a key is given: all of them where none are named."""
    if "permissions" not in fields:
        return PERMISSIONS
    asked = fields.texts("permissions")
    if others := set(asked) - set(PERMISSIONS):
        raise invalid("permissions", f"must be of {', '.join(PERMISSIONS)}, not {min(others)}")
    return tuple(permission for permission in PERMISSIONS if permission in asked)


def deposit(fields: Fields) -> tuple[DepositMethod, int, str | None]:
    """Return method, amount in sats and comment of a deposit."""
    fields.only("amount", "method", "comment")
    amount = count(fields, "amount")
    if not amount:
        raise invalid("amount", "must be a whole number of at least 1")
    chosen = fields.choice("method", *METHODS, default="lightning")
    return next(method for method in METHODS if method == chosen), amount, fields.text("comment")


def notification(fields: Fields) -> tuple[str, str]:
    """Return event and message of a notification."""
    fields.only("event", "message")
    message = fields.text("message")
    if not message:
        raise invalid("message", "is required")
    return fields.text("event") or "paper", message


def price(fields: Fields, name: str = "price") -> int:
    """Return a required price in ticks that was given as a number or as text."""
    value = decimal(fields, name)
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
        if (seconds := decimal(fields, name, low=low)) is not None:
            changes[field] = int(seconds * 1000)
    for name, field in _FLAGS.items():
        if name in fields:
            changes[field] = fields.flag(name)
    if (spread := decimal(fields, "spread", low=Decimal(0))) is not None:
        changes["spread"] = price(fields, "spread") if spread else 0
    if (fee_rate := decimal(fields, "feeRate", low=Decimal(0), high=Decimal("0.1"))) is not None:
        changes["fee_rate"] = fee_rate
    if (funding_rate := decimal(fields, "fundingRate")) is not None:
        changes["funding_rate"] = funding_rate
    for name, field in _RATES.items():
        if (rate := decimal(fields, name, low=Decimal(0))) is not None:
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
        "fundingCharged": now.funding,
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
    rate = decimal(fields, "rate", low=zero, high=Decimal(1))
    seconds = decimal(fields, "seconds", low=zero)
    return {
        "kind": kind,
        "method": method,
        "path": path,
        "account": fields.text("account"),
        "mutating": fields.flag("mutating") if "mutating" in fields else None,
        "rate": 1.0 if rate is None else float(rate),
        "seed": fields.whole("seed"),
        "count": count(fields, "count"),
        "seconds": float(_DEFAULT_SECONDS.get(kind, zero) if seconds is None else seconds),
        "jitter": float(decimal(fields, "jitter", low=zero) or 0),
        "status": _status(fields, kind),
        "retry_after": count(fields, "retryAfter"),
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
