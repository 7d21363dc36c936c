"""Tracing: one trace for each execution, from its enqueueing to every request; nothing at all unless it is started.

The trace's id, and that of its first span, are derived from the execution's id. So whoever knows the execution knows
the trace: nothing of it is stored or sent along, and runs in other processes, days later, belong to it all the same.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, ParamSpec, Protocol

from axisor_executor.errors import SettingsError

if TYPE_CHECKING:
    from axisor_executor.storage.executions import Execution

P = ParamSpec("P")
NOTHING: AbstractContextManager[None] = nullcontext()


class Tracer(Protocol):
    """What makes the spans."""

    def enqueued(self, execution: Execution, is_new: bool, began_ns: int) -> None:
        """Make the span of a job that was taken; ``began_ns``: nanoseconds since 1970."""

    def run(self, execution: Execution) -> AbstractContextManager[None]:
        """Make the span of a run."""

    def span(self, name: str, attributes: dict[str, str | bool], *, is_client: bool) -> AbstractContextManager[None]:
        """Make a span below the present one."""

    def note(self, status: str, error: str | None) -> None:
        """Say on the present span what came of it."""

    def flush(self, seconds: float) -> None:
        """Send what there is, within ``seconds``."""


_tracer: Tracer | None = None


def start() -> None:
    """Make spans from now on in this process.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    try:
        from axisor_executor.observe.otel import OpenTelemetry
    except ImportError:
        problem = "AXISOR_TRACING needs OpenTelemetry: pip install 'axisor-executor[otel]'"
        raise SettingsError(problem, problems=[problem]) from None
    use(OpenTelemetry())


def use(tracer: Tracer | None) -> None:
    """Have ``tracer`` make the spans, or nobody."""
    global _tracer  # noqa: PLW0603  one for the process, as the spans' context is
    _tracer = tracer


def stop(seconds: float) -> None:
    """Send what there is, within ``seconds``, and make no more spans."""
    if _tracer is not None:
        _tracer.flush(seconds)
        use(None)


def trace_id_of(execution_id: str) -> str:
    """Return the id of an execution's trace: 32 hexadecimal digits, evenly distributed, as samplers need them."""
    return hashlib.sha256(execution_id.encode()).hexdigest()[:32]


def span_id_of(execution_id: str) -> str:
    """Return the id of its first span, that of the enqueueing: 16 hexadecimal digits."""
    return hashlib.sha256(execution_id.encode()).hexdigest()[32:48]


def ids(execution_id: str) -> dict[str, str]:
    """Return what log lines and results name the trace by; nothing while there is none."""
    return {} if _tracer is None else {"traceId": trace_id_of(execution_id)}


def enqueueing(take: Callable[P, tuple[Execution, bool]]) -> Callable[P, tuple[Execution, bool]]:
    """Have each execution that ``take`` returns begin its trace."""

    @functools.wraps(take)
    def taking(*args: P.args, **kwargs: P.kwargs) -> tuple[Execution, bool]:
        if _tracer is None:
            return take(*args, **kwargs)
        began = time.time_ns()
        execution, is_new = take(*args, **kwargs)
        _tracer.enqueued(execution, is_new, began)
        return execution, is_new

    return taking


def run(execution: Execution) -> AbstractContextManager[None]:
    """Trace one run of an execution."""
    return NOTHING if _tracer is None else _tracer.run(execution)


def span(name: str, *, is_client: bool = False, **attributes: str | bool) -> AbstractContextManager[None]:
    """Trace a step of the present run, with these attributes under ``axisor.``."""
    return NOTHING if _tracer is None else _tracer.span(name, attributes, is_client=is_client)


def note(status: str, error: object = None) -> None:
    """Say what came of the present run; ``error`` is its code."""
    if _tracer is not None:
        _tracer.note(status, None if error is None else str(error))
