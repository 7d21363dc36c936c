"""Read a large table bit by bit: whatever it holds, only one page of it is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from axisor_executor.storage.connection import Storage

PAGE_ROWS = 500


def paged(
    storage: Storage, sql: str, column: str, *params: Any, page_rows: int = PAGE_ROWS
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query page by page, in the order of their first column, which is unique and not empty.

    No cursor and no transaction stays open in between, so what is written meanwhile may or may not be seen.

    Args:
        storage: the database.
        sql: a query with ``{behind}`` for a condition, that ends ``ORDER BY <first column> LIMIT ?``.
        column: the first column.
        params: for the question marks before the condition.
        page_rows: how many rows to read at once.
    """
    # The first page has no condition: of ids that may be UUIDs there is no value that is before all.
    behind, last = "true", tuple[Any, ...]()
    while rows := storage.rows(sql.replace("{behind}", behind), *params, *last, page_rows):
        yield from rows
        if len(rows) < page_rows:
            return
        behind, last = f"{column} > ?", (rows[-1][0],)
