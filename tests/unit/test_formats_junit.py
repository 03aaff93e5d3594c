from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import junitparser
import pytest
from hypothesis import given
from report_samples import HOSTILE, attempt, result, runs, sample_run

from dt_action.model.run import Run
from dt_action.reports.formats import junit


def suites(run: Run) -> list[ET.Element]:
    return [suite for part in junit.write(run) for suite in ET.fromstring(part).findall("testsuite")]


def case_named(run: Run, name: str) -> ET.Element:
    return next(case for suite in suites(run) for case in suite.findall("testcase") if case.get("name") == name)


@given(runs)
def test_every_result_and_everything_that_did_not_run_is_a_testcase(run: Run) -> None:
    cases = [case for suite in suites(run) for case in suite.findall("testcase")]
    assert len(cases) == len(run.results) + len(run.unplaced) + len(run.uncollected)
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)


def test_there_is_a_suite_for_each_worker_with_its_environment() -> None:
    made = {suite.get("name"): suite.attrib for suite in suites(sample_run())}
    assert list(made) == ["box (linux, Python 3.13.0)", "lab", "no worker"]
    assert {key: made["box (linux, Python 3.13.0)"][key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "1",
        "errors": "2",
        "skipped": "3",
    }


def test_a_case_has_what_each_consumer_reads() -> None:
    failed = case_named(sample_run(), "test_total")
    assert failed.attrib == {
        "classname": "tests.test_cart",
        "name": "test_total",
        "file": "tests/test_cart.py",
        "line": "29",
        "time": "1.500000",
    }
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("message") == "assert 3 == 4"
    assert "E       assert 3 == 4" in (failure.text or "")
    assert (failed.findtext("system-out") or "").startswith("adding 1")


def test_the_message_stands_in_the_text_where_the_traceback_lacks_it() -> None:
    error = case_named(sample_run(), "test_segv").find("error")
    assert error is not None
    assert error.text == "killed by signal 11 (SIGSEGV)"


def test_classes_and_parameters_are_split_as_pytest_does() -> None:
    case = case_named(sample_run(), "test_rate[de::19]")
    assert case.get("classname") == "tests.test_cart.TestTax"


def test_attempts_that_failed_are_told_as_jenkins_reads_them() -> None:
    flaky = case_named(sample_run(), "test_retry").find("flakyFailure")
    assert flaky is not None
    assert flaky.findtext("stackTrace") == "E   ConnectionError: refused"
    again = replace(sample_run(), results=(result("a.py::t", attempt("failed", "one"), attempt("failed", "two")),))
    case = case_named(again, "t")
    assert [child.tag for child in case] == ["failure", "rerunFailure"]


def test_a_tolerated_failure_is_skipped_with_its_reason_so_that_no_reader_makes_it_red() -> None:
    skipped = case_named(sample_run(), "test_hangs").find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "failed, but tolerated: quarantined until 2027-01-31"
    assert (skipped.text or "").endswith("no end after 60 s")


def test_a_test_that_never_ran_is_an_error() -> None:
    assert case_named(sample_run(), "test_after").find("error") is not None
    assert case_named(sample_run(), "test_two").find("error") is not None
    assert case_named(sample_run(), "tests/test_never.py").find("error") is not None


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "#x1B[31mred#x1B[0m", "re\x00d\x0b\ufffe", *HOSTILE])
def test_no_text_breaks_the_file_and_no_escape_is_left(text: str) -> None:
    hostile = attempt("failed", text, detail=text, stdout=text, stderr=text)
    content = junit.write(Run(id="r", results=(result(f"a.py::t[{text}]", hostile),)))[0]
    ET.fromstring(content)
    assert b"\x1b" not in content
    assert b"#x1B[31m" not in content


def test_a_large_run_is_split_into_files_that_gitlab_reads() -> None:
    many = tuple(result(f"a.py::test_{n}", attempt("passed")) for n in range(junit.CASES_PER_FILE + 1))
    parts = junit.write(Run(id="r", results=many))
    assert [len(ET.fromstring(part).findall(".//testcase")) for part in parts] == [junit.CASES_PER_FILE, 1]
    long = tuple(result(f"a.py::test_{n}", attempt("failed", stdout="x" * 99_000)) for n in range(600))
    assert max(map(len, junit.write(Run(id="r", results=long)))) < 30_000_000
    wide = tuple(result(f"a.py::test_{n}", attempt("failed", stdout="漢" * 99_000)) for n in range(110))
    assert [len(part) < 30_000_000 for part in junit.write(Run(id="r", results=wide))] == [True, True]


def test_another_reader_counts_the_same() -> None:
    read = junitparser.JUnitXml.fromstring(junit.write(sample_run())[0])
    assert (read.tests, read.failures, read.errors, read.skipped) == (12, 1, 5, 3)
