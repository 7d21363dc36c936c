"""Routes of the control surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from axisor_paper_exchange.server.answer import Answer

__all__ = ["ControlRoutes", "find"]

ControlRoutes = dict[tuple[str, ...], Callable[..., Answer]]
"""Endpoints by method and the parts of the path after `/paper/`; what stands for a `*` is an argument."""


def find(
    routes: Mapping[tuple[str, ...], Callable[..., Answer]], method: str, path: str
) -> tuple[Callable[..., Answer], list[str]] | None:
    """Return the endpoint of a path after `/paper/`, and its arguments; None when there is none."""
    parts = [unquote(part) for part in path.split("/")]
    for places in ((), (1,), (1, 3)):
        pattern = tuple("*" if at in places else part for at, part in enumerate(parts))
        if (endpoint := routes.get((method, *pattern))) is not None:
            return endpoint, [parts[at] for at in places]
    return None
