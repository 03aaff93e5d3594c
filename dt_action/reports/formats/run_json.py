"""The JSON report: everything that a run is, so that a reader gets the same run back. Described in docs/reports.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from io import BytesIO
from typing import Any

from dt_action import __version__
from dt_action.errors import UnreadableError
from dt_action.model.case import Attempt, TestResult
from dt_action.model.hardware import NOTHING, Requirement
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.run import Run

SCHEMA_VERSION = 1
"""Grows when a reader of the version before would misunderstand a report. New keys alone do not make a new version."""

MAX_BYTES = 1 << 30
_ENCODER = json.JSONEncoder(ensure_ascii=True, check_circular=False, allow_nan=False)
_ATTEMPT_WORDS = ("worker", "slot", "message", "detail", "stdout", "stderr")


def write(run: Run) -> bytes:
    """
    The report as ASCII JSON with one test a line, so that a line-wise diff or grep of two reports is of use.

    `tests` holds every result; its `requirement` is in words and `needs` holds the same in full.
    """
    head = json.dumps(to_jsonable(_head(run)), indent=2)
    report = BytesIO()
    report.write(f'{head[:-2]},\n  "tests": ['.encode("ascii"))
    for number, line in enumerate(_tests(run.results)):
        report.write(f"{',' if number else ''}\n    {line}".encode("ascii"))
    report.write(b"\n  ]\n}\n")
    return report.getvalue()


def read(content: bytes, *, source: str = "the JSON report") -> Run:
    """
    The run that `write` was given. Raises UnreadableError where `content` is not such a report.

    `source` names the file in errors.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"{source}: expected at most {MAX_BYTES:,} bytes, found {len(content):,}")
    try:
        report = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(
            f"{source}: expected a JSON report, found something else ({error})", hint="was it cut short?"
        ) from None
    if not isinstance(report, dict) or not isinstance(report.get("tests"), list):
        raise UnreadableError(f"{source}: expected an object with a list of `tests`")
    version = report.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UnreadableError(
            f"{source}: expected schema_version {SCHEMA_VERSION}, found {version!r}",
            hint="read it with the version of dt that wrote it" if isinstance(version, int) else "",
        )
    run = from_jsonable(Run, {**_as_object(report.get("run")), "id": report.get("run_id")}, source=source)
    revive = _result_reader(source)
    try:
        results = tuple(revive(index, test) for index, test in enumerate(report["tests"]))
    except RecursionError:
        raise UnreadableError(f"{source}: expected tests, found a nest too deep to be one") from None
    return replace(run, results=results)


def _head(run: Run) -> dict[str, Any]:
    """What stands before the tests: first what a person looks for, then what only a reader needs."""
    totals = run.totals()
    whole = to_jsonable(replace(run, results=()))
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "distributed-testing", "version": __version__},
        "run_id": whole.pop("id"),
        "conclusion": run.conclusion(),
        "summary": totals.line(),
        "totals": {field.name: getattr(totals, field.name) for field in fields(totals)} | {"total": totals.total},
        "slots": run.slots,
        "lower_bound_s": run.lower_bound_s,
        "run": whole,
    }


def _tests(results: tuple[TestResult, ...]) -> Iterator[str]:
    encode = _ENCODER.encode
    needs: dict[int, tuple[str, Any]] = {}
    for result in results:
        case, final = result.case, result.final
        if id(case.requirement) not in needs:
            needs[id(case.requirement)] = (str(case.requirement), to_jsonable(case.requirement))
        words, structure = needs[id(case.requirement)]
        test = {
            "id": case.id,
            "outcome": final.outcome,
            "duration_s": result.duration_s,
            "file": case.file,
            "line": case.line,
            "worker": final.worker,
            "slot": final.slot,
            "test_type": case.test_type,
            "markers": case.markers,
            "timeout_s": case.timeout_s,
            "flaky": result.is_flaky,
            "message": final.message,
            "requirement": words,
            "needs": structure,
            "attempts": [_attempt(attempt) for attempt in result.attempts],
        }
        if result.environment:
            test["environment"] = result.environment
        if result.artifacts:
            test["artifacts"] = [to_jsonable(artifact) for artifact in result.artifacts]
        try:
            line = encode(test)
        except ValueError:  # a duration that is not a number must not cost the report
            line = encode(to_jsonable(test))
        yield line


def _attempt(attempt: Attempt) -> dict[str, Any]:
    written: dict[str, Any] = {"outcome": attempt.outcome, "duration_s": attempt.duration_s}
    if attempt.started_at:
        written["started_at"] = attempt.started_at
    for word in _ATTEMPT_WORDS:
        text = getattr(attempt, word)
        if text:
            written[word] = text
    if attempt.properties:
        written["properties"] = to_jsonable(attempt.properties)
    return written


def _result_reader(source: str) -> Callable[[int, Any], TestResult]:
    """A reader of one test; cases with equal requirements share one, as they did in the run that was written."""
    requirements: dict[str, Requirement] = {"{}": NOTHING}

    def revive(index: int, test: Any) -> TestResult:
        where = f"{source}, test {index + 1}"
        test = _as_object(test)
        key = repr(test.get("needs") or {})
        if key not in requirements:
            requirements[key] = from_jsonable(Requirement, test["needs"], source=where)
        told = {"case": test, **{key: test[key] for key in ("attempts", "environment", "artifacts") if key in test}}
        result = from_jsonable(TestResult, told, source=where)
        return replace(result, case=replace(result.case, requirement=requirements[key]))

    return revive


def _as_object(value: Any) -> dict[str, Any]:
    """`value` where it is an object, without the key that holds words for people only."""
    return {key: item for key, item in value.items() if key != "requirement"} if isinstance(value, dict) else {}
