"""Reading and checking the fields of a request: JSON bodies and query strings.

Types are as strict as the exchange's: a number in a string, null for an absent field or a price off the 0.5 grid is
refused, so that a client which sends such things is found out here.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from axisor_paper_exchange.engine import Rejected, ticks
from axisor_paper_exchange.server.clock import parse_iso

__all__ = ["Fields", "Page", "invalid", "parse_body", "parse_query"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LARGEST = 10**15
_LEVERAGE_DECIMALS = 12
_MAX_LIMIT = 1000


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)


def parse_body(body: bytes) -> Fields:
    """Return the fields of a JSON object."""
    try:
        value = _decoder.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise Rejected("Body must be valid JSON", code="INVALID_JSON") from error
    if not isinstance(value, dict):
        raise Rejected("Body must be a JSON object", code="VALIDATION_ERROR")
    return Fields(value)


def parse_query(query: str) -> Fields:
    """Return the fields of a query string (without the `?`)."""
    return Fields(dict(parse_qsl(query, keep_blank_values=True)) if query else {})


class Page:
    """What a request for a page of a list asks for; instants in milliseconds since the epoch."""

    __slots__ = ("before", "limit", "since", "until")

    def __init__(self, since: int | None, until: int | None, limit: int, before: tuple[int, int] | None) -> None:
        self.since = since
        self.until = until
        self.limit = limit
        self.before = before


class Fields:
    """The fields of one request; every reader raises `Rejected` (400) naming the field that is wrong."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def only(self, *names: str) -> None:
        """Refuse fields of other names."""
        if others := self._values.keys() - set(names):
            raise invalid(min(others), f"is unknown; known are {', '.join(names)}")

    def is_text(self, name: str) -> bool:
        """Tell whether the field is a string."""
        return isinstance(self._values.get(name), str)

    def flag(self, name: str) -> bool:
        """Return a required true or false."""
        value = self._values.get(name)
        if not isinstance(value, bool):
            raise invalid(name, "must be true or false")
        return value

    def trade_id(self, name: str = "id") -> str:
        """Return a UUID in lower case."""
        value = self._values.get(name)
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            raise invalid(name, "must be a UUID")
        return value.lower()

    def choice(self, name: str, *choices: str, default: str | None = None) -> str:
        """Return one of a few words."""
        value = self._values.get(name, default)
        if value not in choices:
            raise invalid(name, f"must be one of {', '.join(choices)}")
        assert isinstance(value, str)
        return value

    def whole(self, name: str) -> int | None:
        """Return a whole number, None when the field is absent."""
        value = self.decimal(name)
        if value is None:
            return None
        if value != value.to_integral_value():
            raise invalid(name, "must be a whole number")
        return int(value)

    def amount(self, name: str = "amount") -> int:
        """Return a required whole number of at least 1."""
        value = self.whole(name)
        if value is None or value < 1:
            raise invalid(name, "must be a whole number of at least 1")
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Return a number, None when the field is absent."""
        if name not in self._values:
            return None
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not -_LARGEST < value < _LARGEST:
            raise invalid(name, "must be a number")
        return Decimal(value)

    def leverage(self) -> Decimal:
        """Return the required leverage."""
        value = self.decimal("leverage")
        if value is None:
            raise invalid("leverage", "is required")
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        return round(value, _LEVERAGE_DECIMALS) if exponent < -_LEVERAGE_DECIMALS else value

    def price(self, name: str) -> int | None:
        """Return a positive price in ticks, None when the field is absent."""
        value = self.decimal(name)
        if value is None:
            return None
        price = ticks(value)
        if price is None:
            raise invalid(name, "must be a positive multiple of 0.5")
        return price

    def exit_price(self, name: str) -> int:
        """Return a stop loss or take profit in ticks, 0 when it is absent or 0 (none)."""
        if self._values.get(name) == 0 and not isinstance(self._values[name], bool):
            return 0
        return self.price(name) or 0

    def text(self, name: str) -> str | None:
        """Return a text, None when the field is absent."""
        if name not in self._values:
            return None
        value = self._values[name]
        if not isinstance(value, str):
            raise invalid(name, "must be a string")
        return value

    def word(self, name: str, *choices: str) -> str | None:
        """Return one of a few words, None when the field is absent."""
        return self.choice(name, *choices) if name in self._values else None

    def page(self) -> Page:
        """Return the `from`, `to`, `limit` and `cursor` of a query string."""
        return Page(self.instant("from"), self.instant("to"), self.limit(), self._cursor())

    def texts(self, name: str) -> list[str]:
        """Return a required list of texts."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise invalid(name, "must be a list of strings")
        return value

    def limit(self) -> int:
        """Return the `limit` of a query string: how many rows a page has at most."""
        limit = self._values.get("limit", str(_MAX_LIMIT))
        if not limit.isdecimal() or not 1 <= int(limit[:5]) <= _MAX_LIMIT:
            raise invalid("limit", f"must be a whole number between 1 and {_MAX_LIMIT}")
        return int(limit)

    def instant(self, name: str) -> int | None:
        """Return an ISO 8601 instant in milliseconds since the epoch, None when the field is absent."""
        value = self._values.get(name)
        if value is None:
            return None
        at = parse_iso(value)
        if at is None:
            raise invalid(name, "must be an ISO 8601 date")
        return at

    def _cursor(self) -> tuple[int, int] | None:
        value = self._values.get("cursor")
        if value is None:
            return None
        at, _, number = value.partition("_")
        if not (at.isdecimal() and number.isdecimal()):
            raise invalid("cursor", "is not a cursor of this list")
        return int(at[:20]), int(number[:20])


def invalid(name: str, problem: str) -> Rejected:
    """Return the refusal of one field."""
    return Rejected(f"{name} {problem}", code="VALIDATION_ERROR", details={"field": name})
