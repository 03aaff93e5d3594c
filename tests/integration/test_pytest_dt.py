"""`pytest --dt`: an existing command keeps its output, reports and exit status, and its tests run in dt's slots."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(3))
def test_good(number):
    pathlib.Path(f"ran-in-{os.environ.get('PYTEST_XDIST_WORKER', 'pytest')}").touch()

def test_fails():
    assert "this" == "that"

@pytest.mark.skip(reason="not now")
def test_skipped(): pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(TESTS)
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    environ = {**outside, "DT_WORKERS": "2", "PYTEST_ADDOPTS": "-p no:schemathesis"}
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=300, check=False)


def told(output: str) -> list[str]:
    """The summary, without what takes another time or order."""
    lines = [line for line in output.splitlines() if line.startswith(("FAILED", "SKIPPED", "ERROR"))]
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", output.splitlines()[-1])
    return [*sorted(lines), *counts]


def test_output_reports_and_exit_status_are_pytests(project: Path) -> None:
    plain = run(project, "-ra")
    ours = run(project, "-ra", "--dt", "--junitxml", "junit.xml", "test_a.py", "test_b.py")
    assert told(ours.stdout) == told(plain.stdout)
    assert "assert 'this' == 'that'" in ours.stdout
    assert ours.returncode == plain.returncode == 1
    assert 'tests="10"' in (project / "junit.xml").read_text()
    assert {path.name for path in project.glob("ran-in-gw*")}
    assert not [*project.glob("test*reports*")]


@pytest.mark.parametrize(
    ("arguments", "code"), [(["-k", "good"], 0), (["-k", "nothing_like_it"], 5), (["--collect-only", "-q"], 0)]
)
def test_the_exit_status_is_pytests_where_nothing_fails_or_nothing_runs(project: Path, arguments, code) -> None:
    ours = run(project, "--dt", *arguments)
    assert ours.returncode == code, ours.stdout + ours.stderr


def test_without_the_option_pytest_is_as_it_was(project: Path) -> None:
    run(project)
    assert (project / "ran-in-pytest").exists()
