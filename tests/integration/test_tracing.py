"""Traces: one for each execution, from its enqueueing to every request, over processes; none unless asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from axisor_executor.hookspecs import hookimpl
from axisor_executor.observe import tracing
from axisor_executor.observe.otel import OpenTelemetry
from axisor_executor.observe.tracing import span_id_of, trace_id_of
from tests.harness.world import ENCRYPTION_KEY, Account, World, plugin
from tests.integration.conftest import Said

ENTRY = {"side": "b", "quantity": 100}


class Spans:
    """The spans of one execution after the other, as an application's own provider gets them."""

    def __init__(self, sampler: Any = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def all(self) -> list[ReadableSpan]:
        """Return all spans, in the order in which they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        """Return the one span of this name."""
        (found,) = [span for span in self.all() if span.name == name]
        return found

    def tree(self) -> set[tuple[str, str | None]]:
        """Return the name of each span with that of its parent."""
        names = {span.context.span_id: span.name for span in self.all()}
        return {(span.name, names[span.parent.span_id] if span.parent else None) for span in self.all()}


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    tracing.use(OpenTelemetry(made.provider))
    yield made
    tracing.use(None)


@pytest.fixture
def account(world: World) -> Account:
    return world.account()


class TestTree:
    def test_from_the_enqueueing_to_every_request(self, world: World, account: Account, spans: Spans) -> None:
        entry = world.automation(account, "auto_entry", {**ENTRY, "trigger_price": 90_000})
        result = world.run(entry)
        assert result["status"] == "completed"
        assert spans.tree() >= {
            ("enqueue", None),
            ("run", "enqueue"),
            ("account", "decide"),
            ("decide", "run"),
            ("ticker", "decide"),
            ("open_trade", "run"),
        }, "what the handler reads stands below its decision, although that is made in another thread"

    def test_its_ids_follow_from_the_executions(self, world: World, account: Account, spans: Spans) -> None:
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        assert {format_trace_id(span.context.trace_id) for span in spans.all()} == {trace_id_of(result["executionId"])}
        assert format_span_id(spans.named("enqueue").context.span_id) == span_id_of(result["executionId"])
        assert len({span.context.span_id for span in spans.all()}) == len(spans.all())

    def test_what_is_done_for_nobody_begins_no_trace(self, spans: Spans) -> None:
        """The ticker is asked for ahead, in the background, for whoever wants it next."""
        with tracing.span("ticker", is_client=True):
            pass
        assert spans.all() == []

    def test_what_they_say(self, world: World, account: Account, spans: Spans) -> None:
        entry = world.automation(account, "auto_entry", ENTRY)
        result = world.run(entry)
        about = {
            "axisor.execution.id": result["executionId"],
            "axisor.user.id": "user123",
            "axisor.account.id": account.id,
            "axisor.automation.id": entry,
            "axisor.automation.type": "auto_entry",
            "axisor.lane": "default",
        }
        assert dict(spans.named("enqueue").attributes or {}) == {**about, "axisor.repeated": False}
        assert dict(spans.named("run").attributes or {}) == {**about, "axisor.status": "completed"}
        decide = dict(spans.named("decide").attributes or {})
        assert decide["axisor.action"] == "open_position"
        assert str(decide["axisor.plugin"]).startswith("axisor-auto-entry")
        opened = spans.named("open_trade")
        assert opened.kind is SpanKind.CLIENT
        assert str((opened.attributes or {})["axisor.exchange"]).startswith("lnmarkets@127.0.0.1")
        assert all(span.status.status_code is StatusCode.UNSET for span in spans.all())

    def test_a_second_run_belongs_to_the_same_trace(self, world: World, account: Account, spans: Spans) -> None:
        world.paper.add_fault("status_before", mutating=True, status=503, count=1)
        waiting = world.run(world.automation(account, "auto_entry", ENTRY))
        assert world.go_on(waiting["executionId"])["status"] == "completed"
        runs = [span for span in spans.all() if span.name == "run"]
        assert [(span.attributes or {})["axisor.status"] for span in runs] == ["waiting for retry", "completed"]
        assert len({span.parent.span_id for span in runs if span.parent}) == 1
        assert len({span.context.trace_id for span in spans.all()}) == 1

    def test_a_job_that_was_taken_before_adds_to_its_trace(self, world: World, account: Account, spans: Spans) -> None:
        job = world.job(world.automation(account, "auto_entry", ENTRY))
        first = world.enqueue(job, "key")
        assert world.enqueue(job, "key") == first
        once, again = spans.all()
        assert (once.name, again.name) == ("enqueue", "enqueue")
        assert again.parent is not None
        assert again.parent.span_id == once.context.span_id
        assert (again.attributes or {})["axisor.repeated"] is True

    def test_a_callers_own_span_is_linked(self, world: World, account: Account, spans: Spans) -> None:
        with spans.provider.get_tracer("application").start_as_current_span("request") as request:
            world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
        (link,) = spans.named("enqueue").links
        assert link.context.span_id == request.get_span_context().span_id


class TestFailures:
    def test_a_request_that_is_refused_says_its_code(self, world: World, account: Account, spans: Spans) -> None:
        world.paper.add_fault("status_before", mutating=True, status=400, count=1)
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        code = result["error"]["code"]
        for name in ("open_trade", "run"):
            span = spans.named(name)
            assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, code)
            assert (span.attributes or {})["error.type"] == code
        assert not any(span.events for span in spans.all()), "no traceback is recorded"

    def test_a_handler_that_raises_says_so(self, world: World, account: Account, spans: Spans) -> None:
        result = world.run(world.automation(account, "margin_guard", {"action": "close_position"}))
        assert result["status"] == "failed"
        assert (spans.named("run").attributes or {})["error.type"] == result["error"]["code"]

    def test_no_secret_stands_in_any(self, world: World, spans: Spans) -> None:
        account = world.account(keys={"key": "canary-key", "secret": "canary-secret", "passphrase": "canary-pass"})
        world.run(world.automation(account, "auto_entry", ENTRY))
        world.paper.add_fault("status_before", status=401, count=5)
        world.run(world.automation(account, "auto_entry", ENTRY))
        told = "".join(span.to_json() for span in spans.all())
        assert len(spans.all()) > 6
        assert not [word for word in ("canary", ENCRYPTION_KEY, "LNM-ACCESS") if word in told]


class TestNames:
    def test_lines_results_and_alerts_name_the_trace(
        self, world: World, account: Account, spans: Spans, said: Said
    ) -> None:
        result = world.run(world.automation(account, "margin_guard", {"action": "close_position"}, is_active=True))
        trace_id = trace_id_of(result["executionId"])
        assert result["traceId"] == trace_id
        assert world.alerts
        own = [one for one in said.records if one.get("executionId") == result["executionId"]]
        assert len(own) >= 3
        assert {one["traceId"] for one in own} == {trace_id}
        assert "traceId" not in said.runs[0], "that line has its fields and no other"

    def test_without_tracing_nothing_does(self, world: World, account: Account, said: Said) -> None:
        result = world.run(world.automation(account, "auto_entry", ENTRY))
        assert "traceId" not in result
        assert not [one for one in said.records if "traceId" in one]


class TestSampling:
    @pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
    def test_a_trace_is_whole_or_not_there(self, world: World, account: Account, ratio: float) -> None:
        spans = Spans(ParentBased(TraceIdRatioBased(ratio)))
        entry = world.automation(account, "auto_entry", {**ENTRY, "trigger_price": 1})
        tracing.use(OpenTelemetry(spans.provider))
        try:
            count = {world.run(entry)["executionId"] for _ in range(12)}
        finally:
            tracing.use(None)
        by_trace: dict[int, set[str]] = {}
        for span in spans.all():
            by_trace.setdefault(span.context.trace_id, set()).add(span.name)
        assert all({"enqueue", "run", "decide"} <= names for names in by_trace.values())
        assert ratio == 0.5 or len(by_trace) == ratio * len(count)

    def test_ids_are_evenly_distributed_where_samplers_look(self) -> None:
        sampler = TraceIdRatioBased(0.25)
        ids = [int(trace_id_of(f"019a3c5e-7b1f-7000-8000-{number:012x}"), 16) for number in range(2000)]
        sampled = sum(sampler.should_sample(None, one, "enqueue").decision.is_sampled() for one in ids)
        assert 400 < sampled < 600


class Collector:
    """A real OTLP collector, as far as it takes spans; ``heard`` is set once it has some of this name."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.run_heard = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {one.key: one.value.string_value for one in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        collector.spans += [(names["service.name"], span) for span in scope.spans]
                if any(span.name == "run" for _, span in collector.spans):
                    collector.run_heard.set()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where spans are sent."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.server.server_close()


def test_two_processes_make_one_trace(world: World, account: Account, spans: Spans, tmp_path: Path) -> None:
    collector = Collector()
    otel = {
        "AXISOR_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "AXISOR_LOG_FORMAT": "json",
    }
    try:
        with world.worker(tmp_path / "log", **otel) as child:
            execution_id = world.enqueue(world.job(world.automation(account, "auto_entry", ENTRY)))
            assert collector.run_heard.wait(60)
        log = child.text()  # a worker's lines leave together: when it has stopped, all have
    finally:
        collector.close()
    (here,) = spans.all()
    there = {span.name: span for _, span in collector.spans}
    assert {"run", "decide", "open_trade"} <= set(there)
    assert {name for name, _ in collector.spans} == {"axisor-executor"}
    assert {span.trace_id.hex() for span in there.values()} == {trace_id_of(execution_id)}
    assert there["run"].parent_span_id.hex() == format_span_id(here.context.span_id)
    assert there["decide"].parent_span_id == there["open_trade"].parent_span_id == there["run"].span_id
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {one["traceId"] for one in lines if one.get("executionId") == execution_id} == {trace_id_of(execution_id)}


class TestWithoutIt:
    def test_nothing_of_it_is_imported(self) -> None:
        # The Redis client imports OpenTelemetry by itself where it is installed, so here it is not.
        code = (
            "import sys; sys.modules['opentelemetry'] = None\n"
            "import axisor_executor.runtime, axisor_executor.executor, axisor_executor.intake\n"
            "print([name for name in sys.modules if 'otel' in name or name.startswith('opentelemetry.')])"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "[]"

    def test_where_it_is_missing_it_says_what_to_install(self) -> None:
        code = (
            "import sys; sys.modules['opentelemetry'] = None\n"
            "from axisor_executor import Runtime, Settings\n"
            "try: Runtime(Settings(database_url='sqlite:////tmp/none.db', tracing=True))\n"
            "except Exception as error: print(error.code, error)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("invalid_settings")
        assert "pip install 'axisor-executor[otel]'" in done.stdout

    def test_a_runtime_that_closes_ends_its_tracing(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        world.restart(tracing=True)
        assert tracing.ids("e") == {"traceId": trace_id_of("e")}
        world.restart(tracing=False)
        assert tracing.ids("e") == {}

    def test_observers_run_outside_of_any_span(self, world: World, account: Account, spans: Spans) -> None:
        from opentelemetry.trace import get_current_span

        seen: list[bool] = []

        class Ear:
            @hookimpl
            def axisor_execution_finished(self) -> None:
                seen.append(get_current_span().get_span_context().is_valid)

        world.restart(plugin("ear", Ear()))
        world.run(world.automation(account, "auto_entry", ENTRY))
        assert world.finished
        assert seen == [False]
