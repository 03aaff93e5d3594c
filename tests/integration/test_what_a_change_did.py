"""A project with thirty known failures, and changes to it, as `dt run` tells and judges them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CALC = """
def add(a, b):
    return a + b


def multiply(a, b):
    return a * b
"""
FILES = {
    ".gitignore": ".dt_cache/\ntest_reports/\n__pycache__/\n.pytest_cache/\n",
    "calc.py": CALC,
    "text.py": "def shout(word):\n    return word.upper()\n",
    "conftest.py": "",
    "CODEOWNERS": "/tests/test_calc.py @numbers\n",
    "tests/test_calc.py": (
        "from calc import add, multiply\n"
        "def test_add(): assert add(1, 2) == 3\n"
        "def test_multiply(): assert multiply(2, 3) == 6\n"
        "def test_zero(): assert multiply(0, 3) == 0\n"
        "def test_negative(): assert multiply(-1, 3) == -3\n"
    ),
    "tests/test_text.py": "from text import shout\ndef test_shout(): assert shout('a') == 'A'\n",
    "tests/test_known.py": (
        "import pytest\n@pytest.mark.parametrize('number', range(30))\ndef test_broken(number): assert number < 0\n"
    ),
}
BROKEN = CALC.replace("a * b", "a * b if a == 0 else a + b + 100")


@dataclass(frozen=True)
class Told:
    """How a run ended: its exit code, console and report."""

    code: int
    console: str
    report: dict

    @property
    def change(self) -> dict:
        return self.report["run"]["change"]


@dataclass(frozen=True)
class Project:
    """A repository with a run of its main branch behind it."""

    root: Path

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=self.root, check=True, capture_output=True)

    def branch(self, **files: str) -> None:
        self.git("checkout", "-q", "-b", "feature", "main")
        for name, text in files.items():
            (self.root / name.replace("__", "/")).with_suffix(".py").write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")

    def run(self, *options: str, command: str = "run") -> Told:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("DT_", "GITHUB", "CI"))}
        done = subprocess.run(
            [sys.executable, "-m", "dt_action", command, "--workers", "2", *options],
            cwd=self.root,
            env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        reports = sorted((self.root / "test_reports").glob("test_report_*.json"))
        report = json.loads(reports[-1].read_text()) if reports else {}
        for path in reports:
            path.unlink()
        return Told(code=done.returncode, console=done.stdout + done.stderr, report=report)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    project = Project(root)
    project.git("init", "-q", "-b", "main")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "thirty known failures")
    base = project.run()
    assert base.code == 1
    assert "5 passed, 30 failed, 0 skipped" in base.console
    return root


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    root = tmp_path / "project"
    shutil.copytree(template, root, ignore=shutil.ignore_patterns("test_reports", "__pycache__"))
    return Project(root)


def test_a_change_that_breaks_two_tests_is_told_exactly_those_two(project: Project) -> None:
    project.branch(calc=BROKEN)
    told = project.run("--base", "main", "--fail-on", "regressions")
    assert told.change["new_failures"] == ["tests/test_calc.py::test_multiply", "tests/test_calc.py::test_negative"]
    assert len(told.change["still_failing"]) == 30
    assert len(told.report["run"]["tolerated"]) == 30
    assert "New failures: 2" in told.console
    assert "Failures: 2" in told.console
    assert "@numbers" in told.console
    assert told.console.endswith("3 passed, 32 failed, 0 skipped\n")
    assert told.code == 1
    summary = next((project.root / "test_reports").glob("*.md")).read_text()
    assert "New failures: 2" in summary and "### Failures: 2" in summary


def test_a_second_try_of_the_same_change_is_not_let_through(project: Project) -> None:
    project.branch(calc=BROKEN)
    for _ in range(2):
        assert project.run("--base", "main", "--fail-on", "regressions").code == 1


def test_a_change_that_breaks_nothing_passes_the_gate_and_only_the_gate(project: Project) -> None:
    project.branch(calc=CALC + "# a remark\n")
    told = project.run("--base", "main", "--fail-on", "regressions")
    assert told.code == 0
    assert told.report["conclusion"] == "passed"
    assert "new_failures" not in told.change
    assert project.run("--base", "main").code == 1


def test_an_edit_that_is_not_committed_is_compared_with_the_commit_under_it(project: Project) -> None:
    (project.root / "calc.py").write_text(BROKEN)
    told = project.run("--fail-on", "regressions")
    assert len(told.change["new_failures"]) == 2
    assert told.code == 1
    (project.root / "calc.py").write_text(CALC)


def test_without_any_base_the_gate_counts_every_failure(project: Project) -> None:
    for path in sorted((project.root / ".dt_cache/history").iterdir()):
        path.unlink()
    project.branch(calc=CALC + "# a remark\n")
    told = project.run("--base", "main", "--fail-on", "regressions")
    assert told.code == 1
    assert "counts every failure" in told.console


def test_a_quarantine_forgives_until_its_day(project: Project) -> None:
    entry = '- {{id: "tests/test_known.py::*", reason: old, owner: "@old", expires: {}}}\n'
    path = project.root / "dt.quarantine.yml"
    path.write_text(entry.format("2999-01-01"))
    told = project.run()
    assert told.code == 0
    assert "Known failures: 30" in told.console and "in quarantine until 2999-01-01: old; @old" in told.console
    path.write_text(entry.format("2001-01-01"))
    told = project.run()
    assert told.code == 1
    assert "expired on 2001-01-01" in told.console
    path.write_text("- {id: x}\n")
    assert project.run().code == 4


def test_a_change_runs_what_it_can_reach_and_is_judged_by_that_alone(project: Project) -> None:
    project.branch(calc=BROKEN)
    told = project.run("--changed-since", "main", "--base", "main", "--fail-on", "regressions")
    assert told.report, told.console
    selection = told.report["run"]["selection"]
    assert selection["chosen"] == [{"path": "tests/test_calc.py", "reason": "imports calc.py, which changed"}]
    assert selection["left_out"] == ["tests/test_known.py", "tests/test_text.py"]
    assert told.report["totals"]["total"] == 4
    assert len(told.change["new_failures"]) == 2
    assert "removed_tests" not in told.change
    assert told.code == 1


def test_only_the_failed_cases_run_again(project: Project) -> None:
    told = project.run("--only-failed")
    assert told.report["totals"]["total"] == 30
    assert told.report["run"]["selection"]["left_out"] == ["tests/test_calc.py", "tests/test_text.py"]
    (project.root / "tests/test_known.py").write_text(FILES["tests/test_known.py"].replace("number < 0", "number > 0"))
    assert project.run("--only-failed").report["totals"]["failed"] == 1
    told = project.run("--only-failed")
    assert [test["id"] for test in told.report["tests"]] == ["tests/test_known.py::test_broken[0]"]


def test_a_change_that_reaches_no_test_is_green(project: Project) -> None:
    project.branch()
    (project.root / "README.md").write_text("# Read me\n")
    told = project.run("--changed-since", "main")
    assert told.code == 0
    assert told.report["totals"]["total"] == 0
    assert len(told.report["run"]["selection"]["left_out"]) == 3


def test_a_ref_that_is_not_here_is_an_error_before_anything_runs(project: Project) -> None:
    for option in ("--changed-since", "--base"):
        told = project.run(option, "origin/nowhere")
        assert told.code == 4
        assert "origin/NAME" in told.console


def test_a_known_failure_in_a_file_that_was_moved_is_no_regression(project: Project) -> None:
    project.branch()
    (project.root / "tests" / "old").mkdir()
    project.git("mv", "tests/test_known.py", "tests/old/test_known_for_long.py")
    project.git("commit", "-q", "-m", "move")
    told = project.run("--base", "main", "--fail-on", "regressions")
    assert told.code == 0, told.console
    assert len(told.change["still_failing"]) == 30
    assert "removed_tests" not in told.change


def test_coverage_of_a_change_is_a_gate(project: Project) -> None:
    pytest.importorskip("coverage")
    project.branch(calc=CALC + "\n\ndef unused():\n    return 1\n")
    gate = ("--coverage", "--base", "main", "--fail-on", "never")
    told = project.run(*gate, "--fail-under", "50", "--patch-fail-under", "50")
    assert told.code == 0, told.console
    assert told.report["run"]["coverage"]["patch"]["missed"] == [{"path": "calc.py", "lines": [11]}]
    told = project.run(*gate, "--patch-fail-under", "51")
    assert told.code == 1
    assert "coverage of the change is 50.00 %; --patch-fail-under asks for 51 %" in told.console
    told = project.run(*gate, "--fail-under", "99")
    assert told.code == 1
    assert (project.root / "test_reports/coverage.xml").is_file()


@pytest.mark.long
def test_shards_keep_their_coverage_for_the_report_that_merges_them(project: Project) -> None:
    pytest.importorskip("coverage")
    project.branch(calc=CALC + "\n\ndef unused():\n    return 1\n")
    whole = project.run("--coverage", "--fail-on", "never").report["run"]["coverage"]
    for share in ("1/2", "2/2"):
        folder = f"parts/{share[0]}"
        told = project.run("--coverage", "--shard", share, "--output-dir", folder, "--fail-under", "99")
        assert "--fail-under" not in told.console.split("hint")[0]
        assert (project.root / folder / f"coverage-shard-{share[0]}-of-2.data").is_file()
        assert not (project.root / folder / "coverage.xml").exists()
    (project.root / "test_reports/coverage.xml").unlink()
    told = project.run("parts", "--fail-under", "99", "--fail-on", "never", command="report")
    merged = told.report["run"]["coverage"]
    assert (merged["covered"], merged["statements"]) == (whole["covered"], whole["statements"])
    assert "--fail-under asks for 99 %" in told.console
    assert told.code == 1
    assert (project.root / "test_reports/coverage.xml").is_file()
