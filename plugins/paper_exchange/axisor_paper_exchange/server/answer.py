"""What the API answers, before it is put on the wire."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from axisor_paper_exchange.engine import Rejected

__all__ = ["Answer", "error", "ok", "rejected"]

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


class Answer(NamedTuple):
    """An HTTP status and a JSON body; `retry_after` is the header of that name, in seconds."""

    status: int
    body: bytes
    retry_after: int | None = None


def ok(value: Any, status: int = 200) -> Answer:
    """Answer with a JSON value."""
    return Answer(status, _encode(value).encode())


def error(status: int, code: str, message: str, details: dict[str, Any] | None = None) -> Answer:
    """Answer with an error body as the API writes it."""
    return Answer(status, _encode({"message": message, "code": code, "details": details}).encode())


def rejected(reason: Rejected) -> Answer:
    """Answer with the reason why a command was refused."""
    return error(reason.status, reason.code, reason.message, reason.details)
