"""Spans of a run at a real collector's port, in OpenTelemetry's own protobuf."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.hardware import Capability, Clause, Device, DeviceNeed, Requirement
from dt_action.model.run import Run, WorkerInfo
from dt_action.providers import telemetry

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")


@contextmanager
def collector(status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """An address that takes spans, and those that it was sent."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                about = {item.key: item.value.string_value for item in resource.resource.attributes}
                spans.extend((span, about) for scope in resource.scope_spans for span in scope.spans)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for item in span.attributes:
        kind = item.value.WhichOneof("value")
        value = getattr(item.value, kind)
        found[item.key] = [entry.string_value for entry in value.values] if kind == "array_value" else value
    return found


def a_run() -> Run:
    need = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda", count=1),)),))
    gpu = TestCase(id="tests/test_gpu.py::test_x", file="tests/test_gpu.py", line=3, requirement=need)
    worker = WorkerInfo(
        name="box", slots=1, capability=Capability(devices=(Device(kind="cuda", name="H100"), Device(kind="npu")))
    )
    tries = (
        Attempt(outcome="failed", duration_s=0.5, started_at=1_800_000_001.0, worker="box", slot="box-1", message="no"),
        Attempt(outcome="passed", duration_s=0.25, started_at=1_800_000_002.0, worker="box", slot="box-1"),
    )
    return Run(
        id="r",
        results=(TestResult(case=gpu, attempts=tries),),
        workers=(worker,),
        started_at=1_800_000_000.0,
        makespan_s=4.0,
    )


def test_a_run_is_a_span_and_every_attempt_one_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (url, spans):
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_SERVICE_NAME": "our tests",
            "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert telemetry.is_wanted(environ)
        assert telemetry.export(a_run(), environ) == ()
    by_name = {span.name: span for span, _ in spans if span.name == "dt run"}
    whole = by_name["dt run"]
    first, second = (span for span, _ in spans if span.name != "dt run")
    assert {about["service.name"] for _, about in spans} == {"our tests"}
    assert whole.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert whole.parent_span_id.hex() == "b7ad6b7169203331"
    assert (whole.end_time_unix_nano - whole.start_time_unix_nano) == 4_000_000_000
    assert {first.parent_span_id, second.parent_span_id} == {whole.span_id}
    told = attributes(first)
    assert (told["dt.outcome"], told["dt.worker"], told["dt.slot"]) == ("failed", "box", "box-1")
    assert told["dt.devices"] == ["H100"]
    assert (told["test.case.result.status"], told["code.line.number"]) == ("fail", 3)
    assert (first.start_time_unix_nano, first.status.code, first.status.message) == (1_800_000_001_000_000_000, 2, "no")
    assert attributes(second)["dt.flaky"] is True
    assert second.status.code == 0


def test_thousands_of_spans_all_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    case = [TestCase(id=f"t.py::t{n}", file="t.py") for n in range(3_000)]
    run = Run(id="r", results=tuple(TestResult(case=item, attempts=(Attempt(outcome="passed"),)) for item in case))
    with collector() as (url, spans):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        assert telemetry.export(run, {"OTEL_EXPORTER_OTLP_ENDPOINT": url}) == ()
        assert len(spans) == 3_001


def test_a_collector_that_refuses_is_told_and_costs_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector(400) as (url, _):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        (problem,) = telemetry.export(a_run(), {"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert "could not send all spans" in problem


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_spans_are_sent_where_a_standard_variable_asks_for_them(environ: dict[str, str], wanted: bool) -> None:
    assert telemetry.is_wanted(environ) == wanted


def test_an_exporter_that_is_not_installed_is_told_with_what_to_install() -> None:
    (problem,) = telemetry.export(a_run(), {"OTEL_TRACES_EXPORTER": "jaeger"})
    assert "'jaeger'" in problem
    assert "distributed-testing[otel]" in problem


def test_dt_run_sends_spans_and_dt_failures_reads_its_report(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_ok():\n    pass\n\n\ndef test_bad():\n    assert 1 == 2\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DT_", "GITHUB", "CI", "OTEL"))}

    def dt(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dt_action", *words],
            cwd=tmp_path,
            env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    with collector() as (url, spans):
        assert dt("run", "--workers", "1", OTEL_EXPORTER_OTLP_ENDPOINT=url).returncode == 1
    assert sorted(span.name for span, _ in spans) == ["dt run", "test_a.py::test_bad", "test_a.py::test_ok"]
    (report,) = (path for path in (tmp_path / "test_reports").glob("*.json") if path.name.count(".") == 1)
    assert json.loads(report.read_text())["conclusion"] == "failed"
    told = dt("failures")
    assert told.returncode == 0
    assert "FAILED test_a.py::test_bad\n  at test_a.py:6, of test_a.py:5\n  | assert 1 == 2\n" in told.stdout
    assert len(told.stdout) < 400
    assert dt("failures", "nowhere").returncode == 4
