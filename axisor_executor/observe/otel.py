"""Spans by OpenTelemetry; imported only where tracing is started."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from axisor_executor.observe.tracing import span_id_of, trace_id_of
from axisor_executor.storage.executions import Execution

PREFIX = "axisor."
SERVICE = "axisor-executor"


class OpenTelemetry:
    """Makes spans with the application's tracer provider, or with one of our own that sends them by OTLP over HTTP.

    Where to is said by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``, ...).
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        global_provider = trace.get_tracer_provider()
        if provider is None and isinstance(global_provider, TracerProvider):
            provider = global_provider
        self._provider = provider or _own_provider()
        tracer = self._provider.get_tracer("axisor_executor")
        assert isinstance(tracer, Tracer)
        self._ids = _Ids(tracer.id_generator)
        tracer.id_generator = self._ids
        self._tracer = tracer

    def enqueued(self, execution: Execution, is_new: bool, began_ns: int) -> None:
        """Make the first span of an execution's trace, or, for a job that was taken before, one below it."""
        caller = get_current_span().get_span_context()
        with self._ids.chosen(execution.id if is_new else None):
            span = self._tracer.start_span(
                "enqueue",
                context=Context() if is_new else self._below_first(execution.id),
                kind=SpanKind.PRODUCER,
                attributes=_named({**_about(execution), "repeated": not is_new}),
                links=[Link(caller)] if caller.is_valid else None,
                start_time=began_ns,
            )
        span.end()

    @contextmanager
    def run(self, execution: Execution) -> Iterator[None]:
        """Make the span of a run, below that of the enqueueing, wherever that was."""
        with self._spanned("run", self._below_first(execution.id), SpanKind.CONSUMER, _about(execution)):
            yield

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str | bool], *, is_client: bool) -> Iterator[None]:
        """Make a span below the present one; what is raised ends it with its code. Nobody's step begins no trace."""
        if not get_current_span().get_span_context().is_valid:
            yield
            return
        with self._spanned(name, None, SpanKind.CLIENT if is_client else SpanKind.INTERNAL, attributes):
            yield

    def note(self, status: str, error: str | None) -> None:
        """Say on the present span what came of it."""
        span = get_current_span()
        span.set_attribute(f"{PREFIX}status", status)
        if error is not None:
            _fail(span, error)

    def flush(self, seconds: float) -> None:
        """Send what there is; a collector that does not answer holds nobody up for longer than ``seconds``."""
        sending = threading.Thread(target=self._provider.force_flush, name="axisor-traces", daemon=True)
        sending.start()
        sending.join(seconds)

    @contextmanager
    def _spanned(
        self, name: str, context: Context | None, kind: SpanKind, attributes: Mapping[str, str | bool]
    ) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=_named(attributes),
            record_exception=False,  # a traceback says more than a trace may hold
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _fail(span, str(getattr(error, "code", None) or type(error).__name__))
                raise

    def _below_first(self, execution_id: str) -> Context:
        """Return the context of an execution's first span, sampled as it was: samplers go by the trace's id."""
        trace_id = int(trace_id_of(execution_id), 16)
        decision = self._tracer.sampler.should_sample(Context(), trace_id, "enqueue", SpanKind.PRODUCER).decision
        flags = TraceFlags(TraceFlags.SAMPLED if decision.is_sampled() else TraceFlags.DEFAULT)  # type: ignore[no-untyped-call]
        first = SpanContext(trace_id, int(span_id_of(execution_id), 16), is_remote=True, trace_flags=flags)
        return set_span_in_context(NonRecordingSpan(first), Context())


class _Ids(IdGenerator):
    """Ids as another generator makes them, but for the first span of an execution."""

    def __init__(self, others: IdGenerator) -> None:
        self._others = others
        self._chosen: ContextVar[str | None] = ContextVar("axisor_first_span", default=None)

    @contextmanager
    def chosen(self, execution_id: str | None) -> Iterator[None]:
        """Make the ids of this execution's first span while the block runs."""
        token = self._chosen.set(execution_id)
        try:
            yield
        finally:
            self._chosen.reset(token)

    def generate_span_id(self) -> int:
        chosen = self._chosen.get()
        return self._others.generate_span_id() if chosen is None else int(span_id_of(chosen), 16)

    def generate_trace_id(self) -> int:
        chosen = self._chosen.get()
        return self._others.generate_trace_id() if chosen is None else int(trace_id_of(chosen), 16)


def _own_provider() -> TracerProvider:
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": SERVICE})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _about(execution: Execution) -> dict[str, str | bool]:
    facts = {
        "execution.id": execution.id,
        "user.id": execution.user_id,
        "account.id": execution.account_id,
        "automation.id": execution.automation_id,
        "automation.type": execution.automation_type,
        "lane": execution.lane,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _named(attributes: Mapping[str, str | bool]) -> dict[str, str | bool]:
    return {f"{PREFIX}{name}": value for name, value in attributes.items()}


def _fail(span: Span, code: str) -> None:
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR, code)
