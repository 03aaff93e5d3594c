"""Test modules are rewritten once for all slots and runs, and never to another meaning."""

from __future__ import annotations

import json
import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest


class Project:
    """Two test files, and a Python that may write no bytecode, as in most images."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("test_a.py", "def test_a():\n    assert 1 == 1\n")
        self.write("test_b.py", "def test_b():\n    value = 2\n    assert value == 3\n")

    @property
    def entries(self) -> list[Path]:
        return sorted((self.root / ".dt_cache" / "rewritten").glob("*"))

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def run(self, *options: str) -> dict[str, tuple[str, str]]:
        """Outcome and message by test."""
        out = self.root / "out"
        command = [sys.executable, "-m", "dt_action", "run", "--workers", "1", "--output-dir", str(out)]
        environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "GITHUB_ACTIONS": ""}
        ended = subprocess.run(
            [*command, *options], cwd=self.root, env=environ, capture_output=True, timeout=60, check=False
        )
        assert ended.returncode in (0, 1), ended.stderr.decode()
        (report,) = out.glob("*.json")
        tests = json.loads(report.read_text())["tests"]
        report.unlink()
        return {test["id"].rpartition("::")[2]: (test["outcome"], test["message"]) for test in tests}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_later_run_uses_what_an_earlier_one_rewrote(project: Project) -> None:
    first = project.run()
    assert first == {"test_a": ("passed", ""), "test_b": ("failed", "assert 2 == 3")}
    assert len(project.entries) == 2

    for entry in project.entries:  # nobody but this test makes an entry that is not what the file says
        content = entry.read_bytes()
        code = compile("def test_a(): raise KeyError('planted')\ntest_b = test_a", str(project.root / "x.py"), "exec")
        entry.write_bytes(content[:32] + marshal.dumps(code))
    assert {outcome for outcome, _ in project.run().values()} == {"failed"}


def test_a_change_counts_whatever_the_files_time_and_size_say(project: Project) -> None:
    project.run()
    before = (project.root / "test_b.py").stat()
    project.write("test_b.py", "def test_b():\n    value = 4\n    assert value == 5\n")
    os.utime(project.root / "test_b.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.run()["test_b"] == ("failed", "assert 4 == 5")
    assert len(project.entries) == 2, "an entry of old content is replaced"


@pytest.mark.long
def test_entries_that_are_broken_are_written_anew_or_passed_over(project: Project) -> None:
    told = project.run()
    for entry, content in zip(project.entries, (b"", b"\0" * 40), strict=True):
        entry.write_bytes(content)
    assert project.run() == told


def test_a_module_that_makes_the_compiler_warn_warns_each_time(project: Project) -> None:
    project.write("test_a.py", "def test_a():\n    assert (1, 'always true')\n")
    for _ in range(2):
        assert project.run("--pytest-args", "-W error")["test_a.py"][0] == "error"
    assert len(project.entries) == 1


def test_plain_asserts_are_left_plain(project: Project) -> None:
    assert project.run("--pytest-args", "--assert=plain")["test_b"] == ("failed", "AssertionError")
    assert project.entries == []


def test_a_pytest_without_rewriting_runs_the_tests_all_the_same(project: Project) -> None:
    assert project.run("--pytest-args", "-p no:assertion")["test_a"] == ("passed", "")
    assert project.entries == []


def test_a_folder_that_cannot_be_written_does_no_harm(project: Project) -> None:
    project.write(".dt_cache", "a file stands in the way")
    assert project.run("--history", str(project.root / "h"))["test_b"] == ("failed", "assert 2 == 3")
