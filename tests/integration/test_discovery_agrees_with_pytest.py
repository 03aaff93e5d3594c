"""Discovery finds what pytest collects, for the ways in which a project can configure that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dt_action.discovery import discover
from dt_action.errors import ConfigurationError
from dt_action.options import Settings

COLLECT = """
import json, os, sys, pytest
class Files:
    def pytest_collectstart(self, collector):
        if isinstance(collector, pytest.File):
            print("FILE", collector.path)
for directory, output, arguments in json.load(sys.stdin):
    if os.fork() == 0:  # a process for each project, without importing pytest for each
        os.chdir(directory)
        os.dup2(os.open(output, os.O_CREAT | os.O_WRONLY), 1)
        pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *arguments], plugins=[Files()])
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="asks pytest in forked processes, to be quick")

TEST = "def test_a(): pass\n"
FILES = {
    "test_top.py": TEST,
    "tests/test_a.py": TEST,
    "tests/check_b.py": TEST,
    "tests/c_test.py": TEST,
    "tests/sub/test_d.py": TEST,
    "tests/sub/deep/test_e.py": TEST,
    "tests/.hidden/test_f.py": TEST,
    "tests/build/test_g.py": TEST,
    "tests/legacy/test_h.py": TEST,
    "tests/env/pyvenv.cfg": "",
    "tests/env/lib/test_i.py": TEST,
    "tests/test_notes.txt": ">>> 1\n1\n",
    "src/pkg/__init__.py": "",
    "src/pkg/mod.py": '"""\n>>> 1\n1\n"""\n',
    "src/pkg/tests/test_j.py": TEST,
}

PROJECTS: dict[str, dict[str, str]] = {
    "nothing configured": {},
    "pytest.ini": {"pytest.ini": "[pytest]\npython_files = check_*.py test_*.py\n"},
    "python_files with a directory": {"pytest.ini": "[pytest]\npython_files = sub/*.py\n"},
    "testpaths": {"pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['src', 'tests/sub']\n"},
    "testpaths with a glob": {"tox.ini": "[pytest]\ntestpaths = src/*/tests tests/*\n"},
    "testpaths that match nothing": {"tox.ini": "[pytest]\ntestpaths = nowhere\n"},
    "native toml": {"pyproject.toml": "[tool.pytest]\npython_files = ['check_*.py']\n"},
    "setup.cfg": {"setup.cfg": "[tool:pytest]\nnorecursedirs = legacy sub\n"},
    "a pattern for norecursedirs": {"tox.ini": "[pytest]\nnorecursedirs = tests/s*\n"},
    "pytest.ini outranks pyproject": {
        "pytest.ini": "[pytest]\n",
        "pyproject.toml": "[tool.pytest.ini_options]\npython_files = 'check_*.py'\n",
    },
    "pyproject outranks tox.ini and setup.cfg": {
        "pyproject.toml": "[tool.pytest.ini_options]\npython_files = 'check_*.py'\n",
        "tox.ini": "[pytest]\npython_files = nothing.py\n",
        "setup.cfg": "[tool:pytest]\npython_files = nothing.py\n",
    },
    "a pyproject without pytest does not stop tox.ini": {
        "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n",
        "tox.ini": "[tox]\n[pytest]\npython_files = check_*.py\n",
    },
    "a configuration beside the tests": {"tests/pytest.ini": "[pytest]\npython_files = check_*.py\n"},
    "a configuration beside the tests is nearer": {
        "tests/pytest.ini": "[pytest]\npython_files = check_*.py\n",
        "pytest.ini": "[pytest]\npython_files = c_*.py\n",
    },
    "ignore in addopts": {"pytest.ini": "[pytest]\naddopts = -q --ignore=tests/legacy --ignore tests/test_a.py\n"},
    "ignore-glob in addopts": {"pytest.ini": "[pytest]\naddopts = --ignore-glob=*/sub/*\n"},
    "doctest modules": {"pytest.ini": "[pytest]\naddopts = --doctest-modules --ignore=tests/check_b.py\n"},
    "doctest glob": {"pytest.ini": "[pytest]\naddopts = --doctest-glob=*.md\n", "README.md": ">>> 1\n1\n"},
    "no doctest plugin": {"pytest.ini": "[pytest]\naddopts = -p no:doctest\n"},
    "virtual environments allowed": {"pytest.ini": "[pytest]\naddopts = --collect-in-virtualenv\n"},
    "override in addopts": {"pytest.ini": "[pytest]\naddopts = -o python_files=check_*.py\n"},
    "collect_ignore": {"tests/conftest.py": "collect_ignore = ['test_a.py', 'sub']\n"},
    "collect_ignore above": {"conftest.py": "collect_ignore = ['tests/sub/deep']\ncollect_ignore += ['test_top.py']\n"},
    "collect_ignore nearest wins": {
        "conftest.py": "collect_ignore = ['tests/sub/test_d.py']\n",
        "tests/sub/conftest.py": "collect_ignore = ['deep']\n",
    },
    "collect_ignore_glob": {
        "tests/conftest.py": "collect_ignore_glob = ['*_test.py']\ncollect_ignore_glob.append('l*')\n"
    },
}


ARGUMENTS = ("--ignore=tests/sub", "-o python_files=check_*.py", "-c other.ini")

Collected = dict[tuple[str, str], list[str]]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each project on disk, by name."""
    made = {}
    for number, (project, extra) in enumerate(PROJECTS.items()):
        made[project] = tmp_path_factory.mktemp(f"project{number}")
        for name, content in {**FILES, "other.ini": "[pytest]\npython_files = c_*.py\n", **extra}.items():
            (made[project] / name).parent.mkdir(parents=True, exist_ok=True)
            (made[project] / name).write_text(content)
    return made


@pytest.fixture(scope="module")
def collected(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """What pytest collects, in its order, by the project and the words pytest is given."""
    outputs = tmp_path_factory.mktemp("outputs")
    asked = [(project, words) for project in PROJECTS for words in ("", "tests")]
    asked += [("nothing configured", words) for words in ARGUMENTS]
    jobs = [(str(roots[project]), str(outputs / str(n)), words.split()) for n, (project, words) in enumerate(asked)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-B", "-c", COLLECT]
    subprocess.run(command, input=json.dumps(jobs), env=environ, text=True, check=True, capture_output=True)
    return {key: _files(outputs / str(n), roots[key[0]]) for n, key in enumerate(asked)}


def _files(output: Path, root: Path) -> list[str]:
    lines = output.read_text().splitlines()
    paths = [os.path.relpath(line.removeprefix("FILE "), root) for line in lines if line.startswith("FILE ")]
    assert paths, lines
    return list(dict.fromkeys(paths))


@pytest.mark.parametrize("start", ["", "tests"])
@pytest.mark.parametrize("project", PROJECTS)
def test_the_files_are_pytests(roots: dict[str, Path], collected: Collected, project: str, start: str) -> None:
    ours = [file.path for file in discover(Settings(root=roots[project], test_dir=start or None), {})]
    assert ours == collected[project, start]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_what_pytest_is_told_by_words_or_variable_counts(
    roots: dict[str, Path], collected: Collected, arguments: str
) -> None:
    root = roots["nothing configured"]
    by_words = [file.path for file in discover(Settings(root=root, pytest_args=tuple(arguments.split())), {})]
    by_variable = [file.path for file in discover(Settings(root=root), {"PYTEST_ADDOPTS": arguments})]
    assert by_words == by_variable == collected["nothing configured", arguments]


def test_a_condition_around_an_ignore_is_left_to_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(TEST)
    (tmp_path / "conftest.py").write_text("collect_ignore = ['test_a.py']\nif True:\n    collect_ignore = []\n")
    assert [file.path for file in discover(Settings(root=tmp_path), {})] == ["test_a.py"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytest.ini", "[pytest]\nno value\n"),
        ("pyproject.toml", "[tool.pytest"),
        ("pytest.ini", "[pytest]\naddopts = -k 'open\n"),
    ],
)
def test_a_configuration_that_pytest_refuses_is_told_with_its_name(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=name):
        discover(Settings(root=tmp_path), {})
