"""`dt report` in a folder that holds reports of other builds, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from dt_action.cli.report import main
from dt_action.model.build import Build
from dt_action.model.case import Attempt, Outcome, TestCase, TestResult
from dt_action.model.run import Run
from dt_action.reports.formats import run_json

HERE = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "2", "GITHUB_SHA": "b" * 40}
OLD = Build(provider="github", run_id="1", commit="a" * 40)


def left(folder: Path, build: Build, outcome: Outcome) -> None:
    """A job's report."""
    case = TestCase(id="a.py::test", file="a.py")
    run = Run(id=folder.name, build=build, results=(TestResult(case=case, attempts=(Attempt(outcome=outcome),)),))
    folder.mkdir(parents=True)
    (folder / "test_report_20260101_000000.json").write_bytes(run_json.write(run))


@pytest.mark.parametrize(
    ("now", "old", "code", "counts"),
    [
        (Build(run_id="2", commit="b" * 40), OLD, 0, "1 passed, 0 failed"),  # a test that was mended stays so
        (Build(run_id="2", commit="c" * 40), OLD, 0, "1 passed, 0 failed"),  # a leg that checks out another ref
        (Build(run_id="1", commit="b" * 40), Build(run_id="3", commit="b" * 40), 1, "0 passed, 1 failed"),
        (None, OLD, 1, "0 passed, 1 failed"),  # a job that tells of another build
    ],
)
def test_what_an_earlier_build_of_other_code_left_is_not_told_as_this_ones(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    now: Build | None,
    old: Build,
    code: int,
    counts: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    left(tmp_path / "parts" / "old", old, "failed")
    if now is not None:
        left(tmp_path / "parts" / "now", now, "passed")
    assert main(["parts"], HERE) == code
    told = capsys.readouterr().out
    assert counts in told
    assert ("is of commit aaaaaaaaaaaa in another build (1)" in told) == (old is OLD)
