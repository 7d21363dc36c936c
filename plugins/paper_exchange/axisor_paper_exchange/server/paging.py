"""One page of a list, as a request asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from axisor_paper_exchange.engine import History
from axisor_paper_exchange.server.answer import Answer, ok
from axisor_paper_exchange.server.call import Call
from axisor_paper_exchange.server.shapes import page_json

__all__ = ["page"]

Row = TypeVar("Row")


def page(call: Call, history: History[Row], shape: Callable[[Row], dict[str, Any]]) -> Answer:
    """Answer with the page of `history` that the query asks for, newest first, each row in its shape."""
    asked = call.query().page()
    rows, following = history.page(since=asked.since, until=asked.until, before=asked.before, limit=asked.limit)
    cursor = None if following is None else f"{following[0]}_{following[1]}"
    return ok(page_json([shape(row) for row in rows], cursor))
