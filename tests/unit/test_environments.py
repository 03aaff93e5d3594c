"""The environment that dt keeps for tests: when it is built, when it is used again, what it does to variables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dt_action.errors import ConfigurationError
from dt_action.workspace.environments import Environment, prepare


class Commands:
    """Stands for the shell: writes down what it is told to run, and makes the interpreter that `venv` would make."""

    def __init__(self, status: int = 0) -> None:
        self.ran: list[str] = []
        self.paths: list[str] = []
        self.status = status

    def __call__(self, command: Sequence[str] | str, directory: Path, environ: Mapping[str, str]) -> int:
        self.ran.append(command if isinstance(command, str) else " ".join(command))
        self.paths.append(environ.get("PATH", ""))
        if not isinstance(command, str) and "venv" in command:
            python = Path(command[-1]) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python.parent.mkdir(parents=True)
            python.touch()
        return self.status


def prepared(root: Path, commands: Commands, **options: object) -> Environment:
    return prepare(root, "/usr/bin/python3", {"PATH": "/nowhere"}, run=commands, **options)  # type: ignore[arg-type]


def test_without_requirements_or_setup_nothing_is_run(tmp_path: Path) -> None:
    commands = Commands()
    assert prepared(tmp_path, commands) == Environment(python="/usr/bin/python3", variables={"PATH": "/nowhere"})
    assert commands.ran == []


def test_requirements_are_installed_with_pytest_and_the_environment_is_entered(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("attrs\n")
    commands = Commands()
    environment = prepared(tmp_path, commands, requirements=("r.txt",))
    assert len(commands.ran) == 2
    assert commands.ran[1].endswith(f"pytest -r {tmp_path / 'r.txt'}")
    home = Path(environment.variables["VIRTUAL_ENV"])
    assert home.is_relative_to(tmp_path / ".dt_cache" / "environments")
    assert environment.python.startswith(str(home))
    assert environment.variables["PATH"].startswith(str(home))


def test_the_same_requirements_use_the_environment_again(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("attrs\n")
    first = prepared(tmp_path, Commands(), requirements=("r.txt",))
    commands = Commands()
    assert prepared(tmp_path, commands, requirements=("r.txt",)) == first
    assert commands.ran == []


def test_a_change_in_an_included_file_builds_a_new_environment(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("-r base.txt\n")
    (tmp_path / "base.txt").write_text("attrs\n-r r.txt\n")
    first = prepared(tmp_path, Commands(), requirements=("r.txt",))
    (tmp_path / "base.txt").write_text("attrs>=25\n")
    assert prepared(tmp_path, commands := Commands(), requirements=("r.txt",)).python is not first.python
    assert len(commands.ran) == 2


def test_a_build_that_failed_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("no-such-thing\n")
    with pytest.raises(ConfigurationError, match="ended with status 1"):
        prepared(tmp_path, Commands(status=1), requirements=("r.txt",))
    assert not list((tmp_path / ".dt_cache" / "environments").glob("*.txt"))


def test_setup_runs_every_time_with_the_tests_python_first_on_the_path(tmp_path: Path) -> None:
    for _ in range(2):
        commands = Commands()
        prepared(tmp_path, commands, setup="make prepare")
        assert commands.ran == ["make prepare"]
        assert commands.paths == [os.pathsep.join([str(Path("/usr/bin")), "/nowhere"])]


def test_a_setup_that_fails_ends_the_run_with_its_status(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--setup 'make prepare' ended with status 2"):
        prepared(tmp_path, Commands(status=2), setup="make prepare")


def test_every_missing_requirements_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepared(tmp_path, Commands(), requirements=("a.txt", "b.txt"))
    assert "'a.txt'" in str(caught.value)
    assert "'b.txt'" in str(caught.value)
