"""What a call asks for, as the bytes that are signed and sent: query strings and JSON bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

Query = Mapping[str, str | None]
"""Parameters in the order in which they are sent; those that are ``None`` are not."""
Body = Mapping[str, object]
"""The same, of a JSON object: texts, whole numbers and Decimals."""

_encode = json.JSONEncoder().encode


def query_string(query: Query) -> str:
    """Return the query string with its leading ``?``, everything reserved escaped; empty if there is nothing in it."""
    given = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items() if value is not None]
    return "?" + "&".join(given) if given else ""


def page_query(
    since: datetime | None, until: datetime | None, cursor: str | None, limit: int | None
) -> dict[str, str | None]:
    """Return the parameters of one page of a list.

    Raises:
        ValueError: an instant lacks its time zone.
    """
    return {
        "from": _iso(since),
        "to": _iso(until),
        "limit": str(limit) if limit is not None else None,
        "cursor": cursor,
    }


def json_body(body: Body) -> bytes:
    """Return a JSON object without spaces, in ASCII; Decimals keep every digit that they have.

    Raises:
        ValueError: a number is not finite.
    """
    given = [f"{_encode(name)}:{_json(value)}" for name, value in body.items() if value is not None]
    return f"{{{','.join(given)}}}".encode()


def _json(value: object) -> str:
    if not isinstance(value, Decimal):
        return _encode(value)
    if not value.is_finite():
        raise ValueError("a number must be finite")
    digits = format(value, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _iso(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    if instant.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
