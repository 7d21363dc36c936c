"""Parameters of a query, as far as they are read alike on all paths."""

from __future__ import annotations

from collections import Counter

from fastapi import Request

from axisor_executor.service.answers import invalid

LISTS = frozenset({"status"})
"""The parameters that may be given more than once."""


async def refuse_repeated(request: Request) -> None:
    """Refuse a parameter that is given more than once: only one of the two would count, and nobody could tell which.

    Raises:
        AxisorError: 400, ``invalid_request``.
    """
    counted = Counter(name for name, _ in request.query_params.multi_items() if name not in LISTS)
    repeated = [name for name, times in counted.items() if times > 1]
    if repeated:
        raise invalid([{"loc": ("query", name), "msg": "given more than once"} for name in repeated])
