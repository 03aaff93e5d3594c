"""
A run as OpenTelemetry spans, by the standard variables.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables lists them. The SDK is an extra;
nothing of it is imported unless a variable asks for spans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from dt_action import __version__
from dt_action.model.case import Attempt, TestResult
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.run import Run, WorkerInfo
from dt_action.reports.formats.text import encodable, strip_ansi

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

BATCH = 512
TEXT_CHARACTERS = 4_000
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NS = 1_000_000_000
_STATUS = {"passed": "pass", "xpassed": "pass", "skipped": "skip", "xfailed": "skip"}


def is_wanted(environ: Mapping[str, str]) -> bool:
    """True where a variable names an exporter, or an endpoint, and none turns it off."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    asked = environ.get("OTEL_TRACES_EXPORTER", "")
    return asked not in ("", "none") or (not asked and any(environ.get(name) for name in _ENDPOINTS))


def export(run: Run, environ: Mapping[str, str]) -> tuple[str, ...]:
    """
    Send a span for the run and one below it for every attempt at a test. Returns what went wrong, in words.

    The run is below the span that `TRACEPARENT` names, where a CI service gives one. Spans have the times at which the
    tests ran; they are made at the end, so that a test never waits for a collector.
    """
    try:
        return _exported(run, environ)
    except ImportError as error:
        return (f"spans are asked for by OTEL_* variables, but {error.name} is missing: {_INSTALL}",)
    except Exception as error:  # an exporter is somebody else's code, and must not cost the run's results
        return (f"the spans that OTEL_* variables ask for could not be sent: {type(error).__name__}: {error}",)


_INSTALL = "pip install 'distributed-testing[otel]'"


def _exporters(environ: Mapping[str, str]) -> Iterator[str]:
    for name in (environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        if name.strip() == "otlp":
            protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            yield "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
        elif name.strip():
            yield name.strip()


class _Sending:
    """Hands spans on in batches, and remembers who did not take them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.problems: list[str] = []
        self._exporters: dict[str, Any] = {}
        self._waiting: list[ReadableSpan] = []
        for name in names:
            found = [*entry_points(group="opentelemetry_traces_exporter", name=name)]
            if found:
                self._exporters[name] = found[0].load()()
            else:
                self.problems.append(f"OTEL_TRACES_EXPORTER asks for {name!r}, which is not installed: {_INSTALL}")

    def take(self, span: ReadableSpan) -> None:
        """Send a batch when there is one."""
        self._waiting.append(span)
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Send what is left."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans, self._waiting = self._waiting, []
        for name, exporter in [*self._exporters.items()]:
            if spans and exporter.export(spans) is not SpanExportResult.SUCCESS:
                self.problems.append(f"the exporter {name} of OTEL_* could not send all spans of the tests")
                del self._exporters[name]

    def close(self) -> None:
        """Send what is left, and leave."""
        self.flush()
        for exporter in self._exporters.values():
            exporter.shutdown()


def _exported(run: Run, environ: Mapping[str, str]) -> tuple[str, ...]:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Status, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "distributed-testing"}
    provider = TracerProvider(resource=Resource.create({**named, **_of_build(run)}), shutdown_on_exit=False)
    sending = _Sending(_exporters(environ))

    class Ended(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            sending.take(span)

    provider.add_span_processor(Ended())
    tracer = provider.get_tracer("dt_action", __version__)
    parents = {name.lower(): environ[name] for name in ("TRACEPARENT", "TRACESTATE") if environ.get(name)}
    above = TraceContextTextMapPropagator().extract(parents)
    start = _ns(run.started_at)
    whole = tracer.start_span("dt run", context=above, start_time=start, attributes=_of_run(run))
    inside = set_span_in_context(whole)
    workers = {worker.name: worker for worker in run.workers}
    for result in run.results:
        for number, attempt in enumerate(result.attempts, 1):
            begin = _ns(attempt.started_at) or start
            end = begin + _ns(attempt.duration_s)
            attributes = _of_attempt(run, result, attempt, number, workers.get(attempt.worker))
            span = tracer.start_span(
                encodable(result.case.id[:TEXT_CHARACTERS]), context=inside, start_time=begin, attributes=attributes
            )
            if attempt.is_failing:
                message = encodable(strip_ansi(attempt.message)[:TEXT_CHARACTERS])
                trace = encodable(strip_ansi(attempt.detail)[-TEXT_CHARACTERS:])
                span.add_event("exception", {"exception.message": message, "exception.stacktrace": trace}, end)
                span.set_status(Status(StatusCode.ERROR, message))
            span.end(end)
    if run.conclusion() not in ("passed", "skipped", "no-tests"):
        whole.set_status(Status(StatusCode.ERROR, run.totals().line()))
    whole.end(start + _ns(run.makespan_s))
    sending.close()
    return tuple(sending.problems)


def _of_build(run: Run) -> dict[str, Any]:
    build = run.build
    return _known(
        {
            "vcs.repository.name": build.repository,
            "vcs.ref.head.name": build.branch,
            "vcs.ref.head.revision": build.commit,
            "cicd.pipeline.run.id": build.run_id,
            "cicd.pipeline.run.url.full": build.url,
            "cicd.pipeline.task.name": build.job,
        }
    )


def _of_run(run: Run) -> dict[str, Any]:
    totals = run.totals()
    counts = {name: getattr(totals, name) for name in ("passed", "failing", "skipped", "flaky", "lost", "unplaced")}
    return _known(
        {
            "test.suite.name": run.build.job or "tests",
            "test.suite.run.status": "success" if run.conclusion() in ("passed", "skipped") else "failure",
            "dt.conclusion": run.conclusion(),
            "dt.environment": run.build.environment,
            "dt.shard": run.shard,
            **{f"dt.{name}": count for name, count in counts.items()},
        }
    )


def _of_attempt(
    run: Run, result: TestResult, attempt: Attempt, number: int, worker: WorkerInfo | None
) -> dict[str, Any]:
    case = result.case
    file = run.paths.in_repository(case.file) if run.paths else case.file
    devices = sorted(set(_devices(case.requirement, worker.capability))) if worker else []
    return _known(
        {
            "test.case.name": encodable(case.id[:TEXT_CHARACTERS]),
            "test.case.result.status": _STATUS.get(attempt.outcome, "fail"),
            "code.file.path": encodable(file or case.file),
            "code.line.number": case.line,
            "dt.outcome": attempt.outcome,
            "dt.attempt": number,
            "dt.flaky": result.is_flaky,
            "dt.worker": attempt.worker,
            "dt.slot": attempt.slot,
            "dt.devices": devices,
            "dt.requires": "" if case.requirement.needs_nothing else str(case.requirement),
            "dt.test_type": case.test_type,
            "dt.environment": result.environment or run.build.environment,
        }
    )


def _devices(requirement: Requirement, capability: Capability) -> Iterable[str]:
    """The devices of a worker that a test may have used: those that serve what it needs."""
    for clause in requirement.all_of:
        for need in clause.any_of:
            yield from (device.name or device.kind for device in capability.devices if device.serves(need))


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in ("", None, [])}


def _ns(seconds: float) -> int:
    return max(0, round(seconds * _NS))
