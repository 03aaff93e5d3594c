"""CTRF and Code Quality against the facts of their schemas (CTRF: draft-07 schema, repository of 2026-07-26)."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import given, settings
from report_samples import attempt, result, runs, sample_run

from dt_action.model.report import FORMATS, Annotation, is_json_report
from dt_action.model.run import Run
from dt_action.reports.formats import codequality, ctrf, sarif

TEXT = {"type": "string"}
NAME = {"type": "string", "minLength": 1}
COUNT = {"type": "integer"}
TEXTS = {"type": "array", "items": TEXT}
OPEN = {"type": "object"}
STATUS = {"enum": ["passed", "failed", "skipped", "pending", "other"]}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """An object that has the required keys and none but these, `extra` aside."""
    known = {**properties, "extra": OPEN}
    return {"type": "object", "required": required.split(), "properties": known, "additionalProperties": False}


TRY = closed(
    "attempt status",
    **{
        "attempt": {"type": "integer", "minimum": 1},
        "status": STATUS,
        "duration": COUNT,
        "message": TEXT,
        "trace": TEXT,
    },
    **{"line": COUNT, "snippet": TEXT, "stdout": TEXTS, "stderr": TEXTS, "start": COUNT, "stop": COUNT},
)
TEST = closed(
    "name status duration",
    **{"name": NAME, "status": STATUS, "duration": COUNT, "start": COUNT, "stop": COUNT, "suite": TEXTS},
    **{"message": TEXT, "trace": TEXT, "line": COUNT, "rawStatus": TEXT, "tags": TEXTS, "labels": OPEN, "type": TEXT},
    **{
        "filePath": TEXT,
        "retries": COUNT,
        "retryAttempts": {"type": "array", "items": TRY},
        "flaky": {"type": "boolean"},
    },
    **{"stdout": TEXTS, "stderr": TEXTS, "threadId": TEXT, "device": TEXT},
)
SUMMARY = closed(
    "tests passed failed skipped pending other start stop",
    **dict.fromkeys(("tests", "passed", "failed", "skipped", "pending", "other", "start", "stop", "flaky"), COUNT),
)
ENVIRONMENT = closed(
    "", **dict.fromkeys(("buildUrl", "repositoryName", "commit", "branchName", "testEnvironment", "buildName"), TEXT)
)
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    **closed(
        "results reportFormat specVersion",
        reportFormat={"const": "CTRF"},
        specVersion={"type": "string", "pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        results=closed(
            "tool summary tests",
            tool=closed("name", name=NAME, version=TEXT),
            summary=SUMMARY,
            tests={"type": "array", "items": TEST},
            environment=ENVIRONMENT,
        ),
    ),
}


def complaints(report: Any) -> list[str]:
    """Where a report is not what CTRF's schema asks for."""
    return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(report)]


@given(runs)
@settings(max_examples=60)
def test_any_run_is_valid_ctrf_whose_counts_add_up(run: Run) -> None:
    report = json.loads(ctrf.write(run))
    assert complaints(report) == []
    summary, tests = report["results"]["summary"], report["results"]["tests"]
    assert summary["tests"] == len(tests)
    for status in ("passed", "failed", "skipped", "pending", "other"):
        assert summary[status] == sum(test["status"] == status for test in tests)


def test_a_test_without_a_name_is_valid_too() -> None:
    run = Run(id="r", results=(result("", attempt("passed")),))
    assert complaints(json.loads(ctrf.write(run))) == []


def test_what_did_not_run_never_looks_green() -> None:
    tests = {test["name"]: test for test in json.loads(ctrf.write(sample_run()))["results"]["tests"]}
    assert tests["test_after"]["status"] == "failed"
    assert tests["test_two"]["status"] == "pending"
    assert tests["test_rounding"]["status"] == "other"
    assert tests["test_rounding"]["rawStatus"] == "xfailed"
    assert tests["test_retry"]["flaky"] is True


def test_terminal_colours_are_left_out() -> None:
    run = Run(id="r", results=(result("a.py::t", attempt("failed", "\x1b[31mred", detail="\x1b[1mbold\x1b[0m")),))
    test = json.loads(ctrf.write(run))["results"]["tests"][0]
    assert (test["message"], test["trace"]) == ("red", "bold")


def remark(path: str = "a.py", line: int = 3, title: str = "failed: t") -> Annotation:
    return Annotation(path=path, line=line, level="failure", title=title, message="boom")


def test_code_quality_has_the_fields_that_gitlab_reads() -> None:
    content = codequality.write([remark(), remark(line=0)])
    assert not content.startswith(b"\xef\xbb\xbf")
    first, second = json.loads(content)
    assert first["description"] == "failed: t: boom"
    assert first["severity"] in ("info", "minor", "major", "critical", "blocker")
    assert first["location"] == {"path": "a.py", "lines": {"begin": 3}}
    assert second["location"]["lines"]["begin"] == 1
    assert first["fingerprint"] != second["fingerprint"]


def test_a_remark_stays_the_same_one_when_code_above_it_moves() -> None:
    before, after = (json.loads(codequality.write([remark(line=line)]))[0] for line in (3, 40))
    assert before["fingerprint"] == after["fingerprint"]


def test_known_and_new_failures_are_told_apart() -> None:
    tests = {test["name"]: test for test in json.loads(ctrf.write(sample_run()))["results"]["tests"]}
    assert tests["test_hangs"]["status"] == "failed"
    assert tests["test_hangs"]["extra"] == {
        "tolerated": {"reason": "quarantined until 2027-01-31", "owner": "@net", "issue": "#9"}
    }
    assert tests["test_segv"]["extra"] == {"newFailure": True}
    assert "extra" not in tests["test_total"], "it failed before, and counts"
    assert "extra" not in tests["test_empty"]


def test_sarif_has_what_code_scanning_reads_and_odd_paths_are_addresses() -> None:
    log = json.loads(sarif.write([remark(), remark("a b\\ü.py", line=0), remark(path="")]))
    first, second = log["runs"][0]["results"]
    assert (log["version"], first["level"], first["message"]["text"]) == ("2.1.0", "error", "failed: t: boom")
    assert first["ruleId"] in {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    place = second["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "a%20b/%C3%BC.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 1}
    assert first["partialFingerprints"] != second["partialFingerprints"]


def test_no_more_results_than_github_takes() -> None:
    many = [remark(title=f"failed: t{number}") for number in range(sarif.MOST_RESULTS + 1)]
    assert len(json.loads(sarif.write(many))["runs"][0]["results"]) == sarif.MOST_RESULTS


def test_reports_of_other_formats_are_not_taken_for_the_one_that_holds_everything() -> None:
    names = [f"test_report_1{form.suffix}" for form in FORMATS.values()]
    assert [name for name in names if is_json_report(name)] == ["test_report_1.json"]
