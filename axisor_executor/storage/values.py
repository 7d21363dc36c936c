"""What stands in a column, and what it is here: JSON, instants, texts that PostgreSQL takes, digests."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_NUL = "\\u0000"


def json_text(value: Any) -> str:
    """Return a document as it is stored."""
    text = _encode(value)
    return text if text.isascii() and _NUL not in text else _encode(_storable(value))


def _storable(value: Any) -> Any:
    """Return a value without what PostgreSQL refuses in texts: NUL and halves of surrogate pairs.

    Both come in with messages of others (a plugin's error), and must not keep a run from being recorded.
    """
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def is_plain(value: Any) -> bool:
    """Whether a value is a text that PostgreSQL takes as it is, and most are."""
    return type(value) is str and value.isascii() and "\0" not in value


def storable_text(value: str) -> str:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def digest(text: str | None) -> str | None:
    """Return the SHA-256 of a text, in hex, as the database makes it."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def instant(value: Any) -> datetime:
    """Return a stored instant as an aware UTC datetime (the monolith's have no zone: they are UTC)."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def maybe_instant(value: Any) -> datetime | None:
    """Return a stored instant, ``None`` for NULL."""
    return None if value is None else instant(value)


def document(value: Any) -> Any:
    """Return a stored JSON value: PostgreSQL hands it over parsed, SQLite as text.

    Raises:
        ValueError: the text is not JSON, or nested deeper than can be read.
    """
    try:
        return json.loads(value) if isinstance(value, str) else value
    except RecursionError:
        raise ValueError("nested too deep") from None
