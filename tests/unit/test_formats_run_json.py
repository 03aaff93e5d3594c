from __future__ import annotations

import contextlib
import json
import runpy
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import runs, sample_run

from dt_action.errors import UnreadableError
from dt_action.model.run import Run
from dt_action.report import load
from dt_action.reports.formats import run_json

SCHEMA = Path(__file__).parents[2] / "docs/report.schema.json"


@given(runs)
def test_a_run_survives_being_written_and_read(run: Run) -> None:
    assert run_json.read(run_json.write(run)) == run


def test_the_report_says_what_a_consumer_needs_without_reading_the_rest() -> None:
    report = json.loads(run_json.write(sample_run()))
    assert (report["schema_version"], report["conclusion"]) == (1, "failed")
    assert report["summary"] == "3 passed, 4 failed, 3 skipped"
    assert report["totals"]["lost"] == 1
    by_id = {test["id"]: test for test in report["tests"]}
    assert by_id["tests/test_broken.py"]["outcome"] == "error"
    total = by_id["tests/test_cart.py::test_total"]
    assert {key: total[key] for key in ("outcome", "duration_s", "file", "line", "worker", "message")} == {
        "outcome": "failed",
        "duration_s": 1.5,
        "file": "tests/test_cart.py",
        "line": 29,
        "worker": "box",
        "message": "assert 3 == 4",
    }
    assert total["requirement"] == "nothing"
    assert [tried["outcome"] for tried in by_id["tests/test_net.py::test_retry"]["attempts"]] == ["failed", "passed"]


def test_a_duration_that_is_no_number_does_not_cost_the_report() -> None:
    from dataclasses import replace

    run = sample_run()
    first = run.results[0]
    odd = replace(first, attempts=(replace(first.attempts[0], duration_s=float("nan")),))
    read = run_json.read(run_json.write(replace(run, results=(odd, *run.results[1:]))))
    assert read.results[0].attempts[0].duration_s == 0.0
    assert read.results[1:] == run.results[1:]


@given(st.data())
def test_any_truncation_or_damage_is_told_as_an_error_of_the_file(data: st.DataObject) -> None:
    content = bytearray(run_json.write(sample_run()))
    cut = data.draw(st.integers(0, len(content)))
    place = data.draw(st.integers(0, max(cut - 1, 0)))
    damaged = content[:cut]
    if damaged:
        damaged[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UnreadableError):
        assert isinstance(run_json.read(bytes(damaged)), Run)


KEYS = st.sampled_from(["tests", "id", "attempts", "run", "needs", "file", "outcome"])
FOREIGN = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(FOREIGN)
def test_foreign_json_is_refused_in_words(value: object) -> None:
    content = json.dumps({"schema_version": 1, "run_id": "x", "tests": [value], "run": value}).encode()
    with pytest.raises(UnreadableError):
        run_json.read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 200_000,
        b'{"tests":' * 50_000,
        b"null",
        b'{"tests": []}',
        b'{"tests": [], "schema_version": 2}',
        b'{"tests": [], "schema_version": 1, "run": {"makespan_s": 1' + b"0" * 400 + b'}, "run_id": "r"}',
        b'{"tests": [], "schema_version": 1, "run": {"makespan_s": NaN}, "run_id": "r"}',
        b'{"tests": [{"needs": Infinity}], "schema_version": 1, "run_id": "r"}',
        b'{"tests": [{"needs": {"x": ' + b"[" * 900 + b"]" * 900 + b'}}], "schema_version": 1, "run_id": "r"}',
        b'{"tests": [], "schema_version": 1' + b"9" * 5_000 + b"}",
    ],
)
def test_hostile_files_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        run_json.read(content)


def test_the_error_names_the_place_that_is_wrong() -> None:
    report = json.loads(run_json.write(sample_run()))
    report["tests"][3]["attempts"][0]["outcome"] = "great"
    with pytest.raises(
        UnreadableError, match=r"shard-2\.json, test 4: expected one of .* at attempts\[0\]\.outcome, found 'great'"
    ):
        run_json.read(json.dumps(report).encode(), source="shard-2.json")


def test_the_published_schema_is_that_of_the_model() -> None:
    written = runpy.run_path(str(SCHEMA.parents[1] / "tools/report_schema.py"))["text"]()
    assert SCHEMA.read_text() == written, "run `make docs`"


@settings(max_examples=25)
@given(runs)
def test_every_report_is_as_the_published_schema_says(run: Run) -> None:
    VALIDATOR.validate(json.loads(run_json.write(run)))


VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("key", "value"), [("schema_version", 2), ("tests", None), ("summary", 3), ("totals", {"passed": -1, "total": 0})]
)
def test_the_published_schema_refuses_what_no_report_is(key: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**json.loads(run_json.write(sample_run())), key: value})


def test_a_program_reads_a_report_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(run_json.write(sample_run()))
    assert load(tmp_path / "report.json") == sample_run()
    with pytest.raises(UnreadableError, match=r"gone\.json: expected a JSON report, No such file"):
        load(tmp_path / "gone.json")
