"""The virtual environment that dt keeps for a project's tests, and the setup command that runs in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dt_action.errors import ConfigurationError

Runner = Callable[[Sequence[str] | str, Path, Mapping[str, str]], int]
"""Runs a command (a text goes to the shell) in a directory with an environment, and gives its exit status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where tests run: an interpreter, and environment variables in which `python` means it."""

    python: str
    variables: Mapping[str, str]


def prepare(
    root: Path,
    python: str,
    environ: Mapping[str, str],
    *,
    requirements: Sequence[str] = (),
    setup: str | None = None,
    run: Runner,
    say: Callable[[str], None] = lambda line: None,
) -> Environment:
    """
    The environment for tests: `python` itself, or a virtual environment of it with the requirements and pytest.

    An environment is kept in `.dt_cache/environments` by the digest of what went into it, and used again. `setup`
    runs every time. Raises ConfigurationError where a file is missing or a command fails.
    """
    environment = Environment(python=python, variables=dict(environ))
    if requirements:
        files = _existing(root, requirements)
        environment = _in_virtualenv(_kept(root, python, files, environ, run, say), environ)
    if setup:
        variables = environment.variables
        if not requirements:
            variables = {**variables, "PATH": _first_on_path(Path(python).parent, variables)}
        say(f"setup: {setup}")
        _expect_success(run(setup, root, variables), f"--setup {setup!r}", "run it by hand to see why")
    return environment


def run_command(command: Sequence[str] | str, directory: Path, environ: Mapping[str, str]) -> int:
    """Run a command with its output on stderr, which leaves stdout to the reports of the run."""
    is_shell = isinstance(command, str)
    done = subprocess.run(command, cwd=directory, env=dict(environ), shell=is_shell, stdout=2, check=False)
    return done.returncode


def _existing(root: Path, names: Sequence[str]) -> list[Path]:
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise ConfigurationError.of_all(
            [
                ConfigurationError(f"the requirements file {name!r} is not in {root}", hint="correct --requirements")
                for name in missing
            ]
        )
    return [root / name for name in names]


def _kept(
    root: Path,
    python: str,
    files: Sequence[Path],
    environ: Mapping[str, str],
    run: Runner,
    say: Callable[[str], None],
) -> Path:
    """The directory of the environment with these requirements, built where there is none yet."""
    home = root / ".dt_cache" / "environments"
    digest = _digest(python, files)
    pointer = home / f"{digest}.txt"
    if pointer.is_file() and _python_of(home / pointer.read_text(encoding="utf-8")).exists():
        return home / pointer.read_text(encoding="utf-8")
    directory = home / f"{digest}-{os.getpid()}"
    home.mkdir(parents=True, exist_ok=True)
    say(f"environment: installing {', '.join(file.name for file in files)}")
    for command in _install_commands(python, directory, files, environ):
        _expect_success(
            run(command, root, environ), " ".join(command), "the lines above say why; the tests did not start"
        )
    # A pointer that is moved into place last: a broken build is never used, and two builders never collide.
    draft = home / f"{digest}-{os.getpid()}.txt"
    draft.write_text(directory.name, encoding="utf-8")
    draft.replace(pointer)
    return directory


def _install_commands(
    python: str, directory: Path, files: Sequence[Path], environ: Mapping[str, str]
) -> Iterator[list[str]]:
    wanted = ["pytest", *(word for file in files for word in ("-r", str(file)))]
    uv = shutil.which("uv", path=environ.get("PATH"))
    inside = str(_python_of(directory))
    if uv:
        yield [uv, "venv", "--quiet", "--python", python, str(directory)]
        yield [uv, "pip", "install", "--quiet", "--python", inside, *wanted]
    else:
        yield [python, "-m", "venv", str(directory)]
        yield [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]


def _digest(python: str, files: Sequence[Path]) -> str:
    """Names an environment by its interpreter and by all requirements files, the included ones, too."""
    import hashlib

    digest = hashlib.sha256(os.path.realpath(python).encode())
    seen: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop(0)
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        content = file.read_bytes()
        digest.update(b"\0" + content)
        for name in re.findall(rb"^\s*(?:-r|-c|--requirement|--constraint)[ =]+(\S+)", content, flags=re.MULTILINE):
            waiting.append(file.parent / os.fsdecode(name))
    return digest.hexdigest()[:16]


def _in_virtualenv(directory: Path, environ: Mapping[str, str]) -> Environment:
    python = _python_of(directory)
    kept = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
    variables = {**kept, "VIRTUAL_ENV": str(directory), "PATH": _first_on_path(python.parent, environ)}
    return Environment(python=str(python), variables=variables)


def _python_of(directory: Path) -> Path:
    return directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _first_on_path(directory: Path, environ: Mapping[str, str]) -> str:
    return os.pathsep.join(filter(None, [str(directory), environ.get("PATH", "")]))


def _expect_success(status: int, what: str, hint: str) -> None:
    if status:
        raise ConfigurationError(f"{what} ended with status {status}; expected 0", hint=hint)
