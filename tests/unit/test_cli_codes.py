"""What becomes of errors and of runs on the way to the shell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dt_action.app.readings import in_sight, is_selection
from dt_action.cli import guarded, main
from dt_action.cli.run import exit_code, masked
from dt_action.errors import ConfigurationError, ExitCode, FleetError
from dt_action.model.case import Attempt, Outcome, TestCase, TestResult
from dt_action.model.change import Selection
from dt_action.model.event import CaseFinished, CaseStarted, CaseUnplaced, Event, Notice
from dt_action.model.run import Run, SkippedFile, Status
from dt_action.options import Settings


def run_of(*outcomes: Outcome, status: Status = "completed") -> Run:
    results = tuple(
        TestResult(case=TestCase(id=f"t.py::t{n}", file="t.py"), attempts=(Attempt(outcome=outcome),))
        for n, outcome in enumerate(outcomes)
    )
    return Run(id="r", results=results, status=status)


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (run_of("passed", "skipped", "xfailed"), 0),
        (run_of("passed", "failed"), 1),
        (run_of("crashed", status="cancelled"), 1),
        (run_of("passed", status="cancelled"), 2),
        (run_of(), 5),
        (run_of("passed", "lost"), 6),
        (run_of("passed", status="timeout"), 6),
    ],
)
def test_a_run_has_the_documented_code(run: Run, code: int) -> None:
    assert exit_code(run) == code


def test_a_run_of_nothing_is_told_as_that_and_a_shard_or_a_selection_may_well_be_empty() -> None:
    assert run_of().conclusion() == "no-tests"
    assert exit_code(replace(run_of(), shard="3/3")) == ExitCode.PASSED
    assert exit_code(replace(run_of(), selection=Selection(asked="--only-failed"))) == ExitCode.PASSED


def test_a_run_in_which_all_is_skipped_is_told_as_that_and_is_no_error() -> None:
    files = replace(run_of(), skipped_files=(SkippedFile(path="t.py", reason="no torch"),))
    assert files.totals().line() == "0 passed, 0 failed, 1 skipped"
    for run in (run_of("skipped", "skipped"), files):
        assert run.conclusion() == "skipped"
        assert exit_code(run) == ExitCode.PASSED


def test_failures_can_be_forgiven_but_not_what_never_reported() -> None:
    assert exit_code(run_of("passed", "failed"), fail_on="never") == ExitCode.PASSED
    assert exit_code(run_of("failed"), fail_on="never") == ExitCode.PASSED
    assert exit_code(run_of("failed", "lost"), fail_on="never") == ExitCode.INCOMPLETE
    assert exit_code(run_of("failed", status="cancelled"), fail_on="never") == ExitCode.INTERRUPTED


def test_reports_that_could_not_be_written_count_only_where_the_tests_passed() -> None:
    assert exit_code(run_of("passed"), are_reports_whole=False) == ExitCode.PUBLISHING
    assert exit_code(run_of("failed"), are_reports_whole=False) == ExitCode.FAILED


def test_an_error_is_told_with_its_hint_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise FleetError("nobody answers", hint="start the coordinator")

    assert guarded(fail, {}) == ExitCode.FLEET
    assert capsys.readouterr().err == "error: nobody answers\n  hint: start the coordinator\n"


def test_a_bug_asks_to_be_reported_and_keeps_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise RuntimeError("boom with hunter2hunter2")

    assert guarded(fail, {"COORDINATOR_API_KEY": "hunter2hunter2"}) == ExitCode.BUG
    said = capsys.readouterr().err
    assert "boom with ***" in said
    assert "please report it" in said
    assert "hunter2" not in said


def test_an_interrupt_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guarded(interrupted, {}) == ExitCode.INTERRUPTED


def test_several_problems_are_one_error() -> None:
    error = ConfigurationError.of_all([ConfigurationError("one"), ConfigurationError("two")])
    assert str(error).splitlines() == ["2 problems:", "- one", "- two"]


@pytest.mark.parametrize("argv", [[], ["--help"], ["help"]])
def test_without_a_command_the_commands_are_listed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, {}) == 0
    assert "dt COMMAND" in capsys.readouterr().out


def test_an_unknown_command_suggests_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rnu"], {}) == ExitCode.CONFIGURATION
    assert "did you mean `dt run`?" in capsys.readouterr().err


def test_a_run_of_all_that_pytest_finds_is_no_selection() -> None:
    assert not is_selection(Settings(test_dir="tests", test_type=("all",)))
    assert is_selection(Settings(test_type=("stress",)))
    assert is_selection(Settings(test_files=("a.py",)))


@pytest.mark.parametrize(
    ("given", "missed"),
    [
        ({}, {"a/t.py::x", "a/b/t.py::x[1]", "ab/t.py::x"}),
        ({"paths": (".",)}, {"a/t.py::x", "a/b/t.py::x[1]", "ab/t.py::x"}),
        ({"paths": ("./a/",)}, {"a/t.py::x", "a/b/t.py::x[1]"}),
        ({"paths": ("a/b", "ab/t.py")}, {"a/b/t.py::x[1]", "ab/t.py::x"}),
        ({"paths": ("a/t.py::x",)}, set()),
        ({"test_dir": "ab"}, {"ab/t.py::x"}),
        ({"pytest_args": ("-k", "x")}, set()),
        ({"pytest_args": ("-mslow",)}, set()),
        ({"pytest_args": ("--deselect=a/t.py::x",)}, set()),
        ({"pytest_args": ("-q", "--maxfail=2")}, {"a/t.py::x", "a/b/t.py::x[1]", "ab/t.py::x"}),
    ],
)
def test_a_run_of_a_part_misses_no_test_outside_of_it(given: dict[str, Any], missed: set[str]) -> None:
    assert in_sight(Settings(**given), ["a/t.py::x", "a/b/t.py::x[1]", "ab/t.py::x"]) == missed


def test_what_is_shown_during_a_run_is_masked_first() -> None:
    shown: list[Event] = []
    listen = masked(shown.append, ["hunter2hunter2"], tells_all=True)
    case = TestCase(id="t.py::t[hunter2hunter2]", file="t.py")
    failed = Attempt(outcome="failed", message="not 'hunter2hunter2'")
    listen(CaseStarted(case=case.id, worker="w", slot="s", at=0.0))
    listen(CaseFinished(case=case, attempt=failed))
    listen(CaseFinished(case=case, attempt=Attempt(outcome="passed")))
    listen(CaseUnplaced(case=case, reason="hunter2hunter2"))
    listen(Notice(level="info", text="hunter2hunter2"))
    assert len(shown) == 5
    assert "hunter2" not in repr(shown)
