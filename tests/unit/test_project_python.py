"""The project's own interpreter is found where dt was installed beside the project."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dt_action.workspace.project_python import find, is_tool, python_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="interpreters are stood in for by shell scripts")


def interpreter(environment: Path, *, has_pytest: bool = True) -> Path:
    """An environment whose interpreter answers whether it can import pytest."""
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexit {0 if has_pytest else 1}\n")
    python.chmod(0o755)
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    return python


def command(folder: Path, name: str, prints: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho {prints}\n")
    (folder / name).chmod(0o755)


def test_an_active_environment_comes_before_the_one_in_the_folder(tmp_path: Path) -> None:
    here, active = interpreter(tmp_path / "project/.venv"), interpreter(tmp_path / "active")
    assert find(tmp_path / "project", {}).python == str(here)
    found = find(tmp_path / "project", {"VIRTUAL_ENV": str(tmp_path / "active")})
    assert (found.python, found.origin) == (str(active), "the active environment")


def test_the_environment_of_dt_itself_is_none_of_the_projects(tmp_path: Path) -> None:
    interpreter(tmp_path / "tool")
    here = interpreter(tmp_path / "project/.venv")
    assert find(tmp_path / "project", {"VIRTUAL_ENV": str(tmp_path / "tool")}, tmp_path / "tool").python == str(here)


def test_an_environment_without_pytest_is_passed_over_and_told(tmp_path: Path) -> None:
    interpreter(tmp_path / ".venv", has_pytest=False)
    tox = interpreter(tmp_path / ".tox/py312")
    found = find(tmp_path, {})
    assert (found.python, found.origin) == (str(tox), ".tox/py312")
    assert found.without_pytest == (f".venv ({tmp_path / '.venv/bin/python'})",)


def test_a_broken_environment_is_passed_over(tmp_path: Path) -> None:
    interpreter(tmp_path / ".venv").write_text("#!/nowhere/python\n")
    assert find(tmp_path, {}).python is None


@pytest.mark.parametrize(
    ("tool", "file", "text"),
    [
        ("poetry", "pyproject.toml", "[tool.poetry]\n"),
        ("poetry", "poetry.lock", ""),
        ("pipenv", "Pipfile", ""),
        ("hatch", "pyproject.toml", "[tool.hatch.envs.default]\n"),
    ],
)
def test_a_package_manager_is_asked_where_the_project_is_its_own(tmp_path: Path, tool, file, text) -> None:
    kept = interpreter(tmp_path / "kept")
    command(tmp_path / "bin", tool, str(kept if tool != "hatch" else kept.parent.parent))
    environ = {"PATH": str(tmp_path / "bin")}
    project = tmp_path / "project"
    project.mkdir()
    assert find(project, environ).python is None
    (project / file).write_text(text)
    assert find(project, environ).python == str(kept)


def test_pdm_writes_down_its_interpreter(tmp_path: Path) -> None:
    kept = interpreter(tmp_path / "kept")
    (tmp_path / ".pdm-python").write_text(f"{kept}\n")
    assert find(tmp_path, {}).python == str(kept)


def test_conda_and_the_path_come_last(tmp_path: Path) -> None:
    conda, plain = interpreter(tmp_path / "conda"), interpreter(tmp_path / "plain")
    environ = {"CONDA_PREFIX": str(tmp_path / "conda"), "PATH": str(plain.parent)}
    assert find(tmp_path, environ).python == str(conda)
    assert find(tmp_path, {"PATH": str(plain.parent)}).python == str(plain)
    assert find(tmp_path, {}).python is None


def test_only_an_environment_that_was_made_for_dt_alone_makes_it_look_for_another(tmp_path: Path) -> None:
    cache = tmp_path / "archive-v0/abc"
    cache.mkdir(parents=True)
    assert is_tool(cache)
    (cache / "pyvenv.cfg").write_text("extends-environment = /project/.venv\n")  # `uv run --with`
    assert not is_tool(cache)
    assert not is_tool(Path(sys.prefix))
    for mark in ("uv-receipt.toml", "pipx_metadata.json"):
        (tmp_path / mark).touch()
        assert is_tool(tmp_path)
        (tmp_path / mark).unlink()


def test_where_an_environment_has_its_interpreter() -> None:
    assert python_of(Path("e"), is_windows=False) == Path("e/bin/python")
    assert python_of(Path("e"), is_windows=True) == Path("e/Scripts/python.exe")
    assert python_of(Path("e"), is_windows=True, is_conda=True) == Path("e/python.exe")
