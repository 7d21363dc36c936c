"""Each request to an exchange as it is observed: a span, and a debug line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from axisor_executor.errors import AxisorError
from axisor_executor.observe import tracing
from axisor_executor.observe.logs import say


def observed(exchange: str, call: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return what the client's ``call`` returns, and raise what it raises. ``exchange`` is its slug and host."""
    name = getattr(call, "__name__", "request")
    began = time.monotonic()
    outcome = "failed"
    try:
        with tracing.span(name, is_client=True, exchange=exchange):
            answer = call(*given, **named)
        outcome = "answered"
        return answer
    except AxisorError as error:
        outcome = error.code
        raise
    finally:
        say.debug(f"Request {name} to {exchange}: {outcome} after {(time.monotonic() - began) * 1000:.0f} ms")
