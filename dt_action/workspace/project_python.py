"""The interpreter of a project's own environment, for a dt that was installed beside the project (uv tool, pipx)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dt_action.workspace.interpreters import said_by

_TOOL_MARKS = ("uv-receipt.toml", "pipx_metadata.json")
"""What `uv tool install` and `pipx install` leave in the environment that they make for a tool."""

_UVX_CACHE = "archive-v0"
"""The folder of uv's cache in which `uvx` makes an environment for one command."""

_HAS_PYTEST = "import importlib.util, sys; sys.exit(importlib.util.find_spec('pytest') is None)"


@dataclass(frozen=True, slots=True)
class Found:
    """`python` is the path of the interpreter, None where no environment of the project has pytest."""

    python: str | None
    origin: str = ""
    without_pytest: tuple[str, ...] = ()
    """Environments that were looked at and passed over."""


def is_tool(prefix: Path) -> bool:
    """
    True where this environment holds dt alone, made by `uv tool install`, `uvx` or `pipx`.

    In any other the tests' packages may be, since somebody has installed dt into it.
    """
    if any((prefix / mark).is_file() for mark in _TOOL_MARKS):
        return True
    return _UVX_CACHE in prefix.parts and "extends-environment" not in _text(prefix / "pyvenv.cfg")


def find(root: Path, environ: Mapping[str, str], prefix: Path | None = None) -> Found:
    """
    The project's interpreter: the first that has pytest, in the order in which people say which one they mean.

    An environment that is active comes first, then one in the project's folder, then what its package manager keeps
    elsewhere, then tox's and nox's, then conda's, then the `python` on the path.
    """
    own = (prefix or Path(sys.prefix)).resolve()
    passed: list[str] = []
    seen: set[str] = set()
    for python, origin in _candidates(root, environ):
        path = os.path.abspath(python)  # noqa: PTH100 - resolving the link would leave the virtual environment
        if path in seen or not Path(path).is_file() or Path(path).parent.parent.resolve() == own:
            continue
        seen.add(path)
        if said_by([path, "-c", _HAS_PYTEST], environ, root=root) is not None:
            return Found(path, origin, tuple(passed))
        passed.append(f"{origin} ({path})")
    return Found(None, without_pytest=tuple(passed))


def _candidates(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[str | Path, str]]:
    if active := environ.get("VIRTUAL_ENV"):
        yield python_of(Path(active)), "the active environment"
    if named := environ.get("UV_PROJECT_ENVIRONMENT"):
        yield python_of(root / named), "UV_PROJECT_ENVIRONMENT"
    for name in (".venv", "venv", "env", ".env"):
        if (root / name / "pyvenv.cfg").is_file():
            yield python_of(root / name), name
    yield from _kept_elsewhere(root, environ)
    for folder in (".tox", ".nox"):
        for place in _newest_first((root / folder).glob("*/pyvenv.cfg")):
            yield python_of(place.parent), f"{folder}/{place.parent.name}"
    if conda := environ.get("CONDA_PREFIX"):
        yield python_of(Path(conda), is_conda=True), f"the conda environment {environ.get('CONDA_DEFAULT_ENV', conda)}"
    for name in ("python", "python3"):
        if on_path := shutil.which(name, path=environ.get("PATH", "")):
            yield on_path, f"{name} on the path"


def _kept_elsewhere(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[str | Path, str]]:
    """What the project's package manager says; it is asked only where the project is one of its own."""
    if said := _text(root / ".pdm-python").strip():
        yield root / said, "pdm's environment"
    project = _text(root / "pyproject.toml")
    asked = (
        ("poetry", "[tool.poetry" in project or (root / "poetry.lock").is_file(), ["env", "info", "--executable"]),
        ("pipenv", (root / "Pipfile").is_file(), ["--py"]),
        ("hatch", "[tool.hatch.env" in project, ["env", "find"]),
    )
    for tool, is_its, words in asked:
        command = shutil.which(tool, path=environ.get("PATH", "")) if is_its else None
        for line in (said_by([command, *words], environ, root=root) or "").splitlines() if command else ():
            if (place := Path(line.strip())).is_absolute():
                yield (python_of(place) if place.is_dir() else place), f"{tool}'s environment"


def python_of(environment: Path, *, is_conda: bool = False, is_windows: bool = os.name == "nt") -> Path:
    """Where an environment has its interpreter."""
    if is_windows:
        return environment / "python.exe" if is_conda else environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
