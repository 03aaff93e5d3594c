"""What earlier runs saw of tests, and the single cases that a change then takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dt_action.app.memory import Memory
from dt_action.discovery import discover
from dt_action.model.build import Build
from dt_action.options import Settings

CORE = """
import functools
import json
import pathlib


def add(a, b):
    return a + b


def multiply(a, b):
    return sum(a for _ in range(b))


@functools.lru_cache
def table():
    return load()


def load():
    return json.loads((pathlib.Path(__file__).parent / "table.json").read_text())


_MADE = None


def made():
    global _MADE
    if _MADE is None:
        _MADE = make()
    return _MADE


def make():
    return 7


class Lazy:
    def __init__(self):
        self._value = None

    def value(self):
        if self._value is None:
            self._value = heavy()
        return self._value


def heavy():
    return 3


ONE = Lazy()


class Counter:
    seen = {}

    def count(self, key):
        if key not in self.seen:
            self.seen[key] = counted(key)
        return self.seen[key]


def counted(key):
    return len(key)


def numbers():
    yield 1
    yield 2


class Keeper(dict):
    def value(self):
        if "made" not in vars(self):
            self.made = made_once()
        return self.made


def made_once():
    return 5


KEEPER = Keeper()


def at_import():
    return 1


VALUE = at_import()


def alone():
    return 1
"""

TESTS = """
import subprocess
import sys

import pytest

from pkg import core

@pytest.fixture(scope="module")
def fourteen(six):
    return six + core.add(3, 5)

@pytest.fixture(scope="module")
def generator():
    return core.numbers()

class TestAll:
    def test_add(self): assert core.add(1, 2) == 3
    def test_add_two(self): assert core.add(1, 2) == 3
    def test_six(self, six): assert six == 6
    def test_six_again(self, six): assert six == 6
    def test_fourteen(self, request): assert request.getfixturevalue("fourteen") == 14
    def test_made(self): assert core.made() == 7
    def test_table(self): assert core.table() == [1]
    def test_lazy(self): assert core.ONE.value() == 3
    def test_own_lazy(self): assert core.Lazy().value() == 3
    def test_count(self): assert core.Counter().count("ab") == 2
    def test_count_again(self): assert core.Counter().count("ab") == 2
    def test_number(self, generator): assert next(generator) == 1
    def test_number_again(self, generator): assert next(generator) == 2
    def test_keeper(self): assert core.KEEPER.value() == 5
    def test_data(self): assert open("tests/data.txt").read() == "x"
    @pytest.mark.parametrize("a", [1, 2])
    def test_parameters(self, a): assert core.multiply(a, 1) == a

def test_child(): subprocess.run([sys.executable, "-c", "import pkg.core"], check=True)

def test_nothing(): pass
"""

FILES = {
    ".gitignore": "__pycache__/\n.dt_cache/\ntest_reports/\n",
    "pytest.ini": "[pytest]\npythonpath = .\n",
    "pkg/__init__.py": "",
    "pkg/core.py": CORE,
    "pkg/table.json": "[1]",
    "tests/conftest.py": "import pytest\nfrom pkg import core\n\n@pytest.fixture(scope='session')\ndef six():\n"
    "    return core.multiply(2, 3)\n",
    "tests/test_core.py": TESTS,
    "tests/test_other.py": "def test_other(): pass\n",
    "tests/data.txt": "x",
}
ENVIRON = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("DT_", "GITHUB", "CI", "PYTEST_X", "PYTEST_C", "PYTEST_V"))
}

PYTHON = os.environ.get("DT_TEST_PYTHON", "")
"""Another interpreter with pytest, whose recordings are to be tried: before 3.12 they are made in another way."""


@dataclass(frozen=True)
class Project:
    root: Path

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=self.root, check=True, capture_output=True)

    def dt(self, *words: str) -> str:
        environ = {**ENVIRON, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-m", "dt_action", *words]
        done = subprocess.run(command, cwd=self.root, env=environ, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def record(self, *words: str) -> str:
        python = ["--python", PYTHON] if PYTHON else []
        return self.dt("run", "--workers", "1", "--record", "always", "--report-formats", "json", *python, *words)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def taken(self, ref: str = "HEAD") -> set[str]:
        """The cases, by their names alone; `*` stands for a whole file."""
        settings = Settings(root=self.root, changed_since=ref)
        files = discover(settings, {})
        choice = Memory(settings, Build).chosen(files, files)
        assert choice is not None
        taken = set()
        for item in choice.told.chosen:
            cases = [case for case, _ in item.cases] or [item.path]
            taken.update(case.rpartition("::")[2].removeprefix("test_") for case in cases)
        return taken


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("recorded"))
    for name, text in FILES.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project.git("init", "-q", "-b", "main")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "one")
    told = project.record()
    assert "20 passed" in told, told
    return project.root


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Project:
    shutil.copytree(recorded, tmp_path / "p", ignore=shutil.ignore_patterns("test_reports", "__pycache__"))
    return Project(tmp_path / "p")


WHOLE = "tests/test_core.py"
CLOSING = () if PYTHON or hasattr(sys, "monitoring") else ("nothing",)
"""Where calls are traced, the last case is seen to enter a generator that is closed."""


@pytest.mark.parametrize(
    ("name", "old", "new", "taken"),
    [
        ("pkg/core.py", "return a + b", "return a - b", {"add", "add_two", "fourteen", "child"}),
        (
            "pkg/core.py",
            "range(b)",
            "range(b + 1)",
            {*("six", "six_again", "fourteen"), "parameters[1]", "parameters[2]", "child"},
        ),
        ("pkg/core.py", "def alone():\n    return 1", "def alone():\n    return 2", {"child"}),
        ("tests/conftest.py", "return core.multiply(2, 3)", "return 6", {"six", "six_again", "fourteen", "child"}),
        ("tests/test_core.py", "assert core.ONE.value() == 3", "assert core.ONE.value()", {"lazy", "child"}),
        ("tests/data.txt", "x", "y", {"data", "child"}),
        # what a later test finds made runs outside of tests, whoever came first
        ("pkg/core.py", "return 7", "return 8", {WHOLE}),
        ("pkg/core.py", "return load()", "return None", {WHOLE}),
        ("pkg/core.py", "read_text())", "read_text() or '')", {WHOLE}),
        ("pkg/core.py", "def heavy():\n    return 3", "def heavy():\n    return 4", {WHOLE}),
        ("pkg/core.py", "return len(key)", "return 0", {WHOLE}),
        ("pkg/core.py", "def made_once():\n    return 5", "def made_once():\n    return 6", {WHOLE}),
        ("pkg/core.py", "yield 2", "yield 3", {"number", "number_again", "child", *CLOSING}),
        ("pkg/core.py", "def at_import():\n    return 1", "def at_import():\n    return 2", {WHOLE}),
        ("pkg/table.json", "1", "2", {WHOLE}),
        # and what shows from outside concerns all that import it
        ("pkg/core.py", "def alone():", "def alone(x=1):", {WHOLE}),
        ("pkg/core.py", "def alone():", "# nothing\ndef alone():", set()),
    ],
)
def test_a_change_takes_the_cases_that_it_can_reach(
    project: Project, name: str, old: str, new: str, taken: set[str]
) -> None:
    project.edit(name, old, new)
    found = project.taken()
    if WHOLE in taken:
        assert WHOLE in found
    else:
        assert {case for case in found if case != "tests/test_other.py"} == taken


def test_a_recording_outlives_commits_that_do_not_concern_it_and_runs_of_a_few_tests(project: Project) -> None:
    project.edit("pkg/core.py", "return a + b", "return b + a")
    project.git("commit", "-qam", "two")
    project.record("--test-files", "tests/test_other.py")
    project.edit("pkg/core.py", "range(b)", "range(b + 1)")
    changed = {"six", "six_again", "fourteen", "parameters[1]", "parameters[2]", "child"}
    assert project.taken() == changed | {"add", "add_two"}, "of what two changed for it, nothing is known since"


def test_what_ran_with_edits_is_not_taken_for_the_commit(project: Project) -> None:
    project.edit("pkg/core.py", "def alone():\n    return 1", "def alone():\n    return add(1, 2)")
    project.record()
    project.git("checkout", "-q", ".")
    project.edit("pkg/core.py", "return a + b", "return a - b")
    assert project.taken() == {"add", "add_two", "fourteen", "child"}


def test_cases_left_out_by_arguments_are_not_known(project: Project) -> None:
    shutil.rmtree(project.root / ".dt_cache")
    project.record("--pytest-args", "-k nothing")
    project.edit("pkg/core.py", "return a + b", "return a - b")
    assert {"add", "made", "child"} <= project.taken()
    assert "nothing" not in project.taken()


def test_the_cases_that_a_change_takes_are_the_ones_that_run(project: Project) -> None:
    project.edit("pkg/core.py", "return a + b", "return a - b")
    told = project.dt("run", "--workers", "2", "--changed-since", "HEAD")
    assert "1 passed, 3 failed, 0 skipped" in told, told
    plan = json.loads(project.dt("plan", "--json", "--changed-since", "HEAD"))
    assert [sorted(item["cases"]) for item in plan["selection"]["chosen"]] == [
        [
            "tests/test_core.py::TestAll::test_add",
            "tests/test_core.py::TestAll::test_add_two",
            "tests/test_core.py::TestAll::test_fourteen",
            "tests/test_core.py::test_child",
        ]
    ]
    why = project.dt("why", "tests/test_core.py::TestAll::test_add", "tests/test_other.py", "--changed-since", "HEAD")
    assert "test_add: runs; ran add() in pkg/core.py before, which changed" in why
    assert "tests/test_other.py: left out; no way leads from it to pkg/core.py" in why
