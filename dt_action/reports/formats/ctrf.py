"""CTRF, the Common Test Report Format (https://ctrf.io): what its readers know of a run, in its words."""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from io import BytesIO
from mimetypes import guess_type
from typing import Any

from dt_action import __version__
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.change import Tolerated
from dt_action.model.paths import Paths
from dt_action.model.run import Run
from dt_action.reports.formats.text import strip_ansi

SPEC_VERSION = "1.0.0"
_STATUS = {"passed": "passed", "xpassed": "passed", "skipped": "skipped", "xfailed": "other"}
"""Every outcome that is not here is `failed`: also a lost test, which must not look green."""
_ENCODER = json.JSONEncoder(ensure_ascii=True, check_circular=False)


def write(run: Run) -> bytes:
    """The report as ASCII JSON, one test a line. A case that no worker could take is `pending`."""
    totals = run.totals()
    counts = Counter(_STATUS.get(result.outcome, "failed") for result in run.results)
    counts["pending"] = len(run.unplaced) + len(run.uncollected)
    start = _milliseconds(run.started_at)
    head = {
        "tool": {"name": "distributed-testing", "version": __version__},
        "summary": {
            "tests": counts.total(),
            **{status: counts[status] for status in ("passed", "failed", "skipped", "pending", "other")},
            "flaky": totals.flaky,
            "start": start,
            "stop": start + _milliseconds(run.makespan_s),
        },
        "environment": _environment(run),
        "extra": {
            "conclusion": run.conclusion(),
            "runId": run.id,
            "toleratedFailures": len(run.tolerated),
            **({"properties": {item.name: item.value for item in run.properties}} if run.properties else {}),
        },
    }
    report = BytesIO()
    start_text = f'{{"reportFormat": "CTRF", "specVersion": "{SPEC_VERSION}", "results": '
    report.write(f'{start_text}{json.dumps(head)[:-1]}, "tests": ['.encode("ascii"))
    for number, test in enumerate(_tests(run)):
        report.write(f"{',' if number else ''}\n{_ENCODER.encode(test)}".encode("ascii"))
    report.write(b"\n]}}\n")
    return report.getvalue()


def _tests(run: Run) -> Iterator[dict[str, Any]]:
    tolerated = {item.id: item for item in run.tolerated}
    new = frozenset(run.change.new_failures if run.change and run.change.against else ())
    paths = run.paths or Paths()
    for result in run.results:
        extra = _told_of_failure(result, tolerated, new)
        if result.final.properties:
            extra["properties"] = {item.name: item.value for item in result.final.properties}
        test = _test(result, paths) | _attachments(result, paths, run.output_dir)
        yield test | ({"extra": extra} if extra else {})
    for item in run.unplaced:
        yield _pending(item.case, item.reason)
    for path in run.uncollected:
        yield _pending(TestCase(id=path, file=path), "never collected")


def _test(result: TestResult, paths: Paths) -> dict[str, Any]:
    case, final = result.case, result.final
    test: dict[str, Any] = {
        "name": case.name or "?",
        "status": _STATUS.get(final.outcome, "failed"),
        "rawStatus": final.outcome,
        "duration": _milliseconds(result.duration_s),
        "suite": [case.file],
        "filePath": paths.in_repository(case.file) or case.file,
    }
    if case.line:
        test["line"] = case.line
    if final.started_at:
        test["start"] = _milliseconds(final.started_at)
        test["stop"] = test["start"] + _milliseconds(final.duration_s)
    if final.outcome != "passed":
        test |= _texts(final)
    if case.markers:
        test["tags"] = list(case.markers)
    if case.test_type:
        test["type"] = case.test_type
    if result.is_flaky:
        test["flaky"] = True
    if len(result.attempts) > 1:
        test["retries"] = len(result.attempts) - 1
        test["retryAttempts"] = [_attempt(number, item) for number, item in enumerate(result.attempts, 1)]
    if final.slot:
        test["threadId"] = final.slot
    labels = {"worker": final.worker} if final.worker else {}
    if not case.requirement.needs_nothing:
        labels["requires"] = str(case.requirement)
    if labels:
        test["labels"] = labels
    return test


def _told_of_failure(result: TestResult, tolerated: Mapping[str, Tolerated], new: Container[str]) -> dict[str, Any]:
    """CTRF has no word for a failure that is known and forgiven; `extra` is where a tool may say more."""
    if not result.final.is_failing:
        return {}
    extra: dict[str, Any] = {"newFailure": True} if result.id in new else {}
    if item := tolerated.get(result.id):
        about = {"reason": item.reason, "owner": item.owner, "issue": item.issue}
        extra["tolerated"] = {key: text for key, text in about.items() if text}
    return extra


def _attachments(result: TestResult, paths: Paths, output_dir: str) -> dict[str, Any]:
    if not result.artifacts:
        return {}
    return {
        "attachments": [
            {
                "name": artifact.name,
                "contentType": guess_type(artifact.path)[0] or "application/octet-stream",
                "path": paths.of_start(posixpath.join(output_dir, artifact.path)) or artifact.path,
            }
            for artifact in result.artifacts
        ]
    }


def _texts(attempt: Attempt) -> dict[str, Any]:
    whole = {"message": attempt.message, "trace": attempt.detail}
    lines = {"stdout": attempt.stdout, "stderr": attempt.stderr}
    told: dict[str, Any] = {key: strip_ansi(text) for key, text in whole.items() if text}
    return told | {key: strip_ansi(text).split("\n") for key, text in lines.items() if text}


def _attempt(number: int, attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": number,
        "status": _STATUS.get(attempt.outcome, "failed"),
        "duration": _milliseconds(attempt.duration_s),
        **_texts(attempt),
        "extra": {"rawStatus": attempt.outcome},
    }


def _pending(case: TestCase, reason: str) -> dict[str, Any]:
    test = {"name": case.name or "?", "status": "pending", "duration": 0, "filePath": case.file, "suite": [case.file]}
    return test | {"message": reason}


def _environment(run: Run) -> dict[str, Any]:
    build = run.build
    values = {
        "commit": build.commit,
        "branchName": build.branch,
        "buildUrl": build.url,
        "repositoryName": build.repository,
        "testEnvironment": build.environment,
    }
    return {key: value for key, value in values.items() if value}


def _milliseconds(duration_s: float) -> int:
    try:
        return max(round(1_000 * duration_s), 0)
    except (ValueError, OverflowError):
        return 0
