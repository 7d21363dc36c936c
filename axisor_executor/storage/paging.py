"""Read a large table bit by bit: whatever it holds, only one page of it is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from axisor_executor.storage.connection import Storage

PAGE_ROWS = 500


def paged(storage: Storage, sql: str, *params: Any, page_rows: int = PAGE_ROWS) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query page by page, in the order of their first column, which is unique and not empty.

    No cursor and no transaction stays open in between, so what is written meanwhile may or may not be seen.

    Args:
        storage: the database.
        sql: a query with ``<first column> > ?``, that ends ``ORDER BY <first column> LIMIT ?``.
        params: for the question marks before those.
        page_rows: how many rows to read at once.
    """
    last: Any = ""
    while rows := storage.rows(sql, *params, last, page_rows):
        yield from rows
        if len(rows) < page_rows:
            return
        last = rows[-1][0]
