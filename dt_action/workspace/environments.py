"""The virtual environment that dt keeps for a project's tests, and the setup command that runs in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dt_action.errors import ConfigurationError, UnreadableError

Runner = Callable[[Sequence[str] | str, Path, Mapping[str, str]], int]
"""Runs a command (a text goes to the shell) in a directory with an environment, and gives its exit status."""


AUTO = "auto"
"""Stands for the project's own requirements; the container image asks for them unless the user says otherwise."""

_OWN_FILES = (
    "requirements.txt",
    *(f"requirements{sign}{word}.txt" for word in ("test", "tests", "dev") for sign in "-_."),
    *(f"{word}-requirements.txt" for word in ("test", "tests", "dev")),
    *(f"requirements/{word}.txt" for word in ("test", "tests", "dev")),
    "tests/requirements.txt",
)
_PROJECT_FILES = ("pyproject.toml", "setup.py")
_OF_THE_TREE = re.compile(rb"^\s*(?:-e\b|--editable\b|\.{1,2}(?:/|\[|\s*$)|file:)", re.MULTILINE)
_TEST_EXTRAS = ("test", "tests", "testing", "dev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where tests run: an interpreter, and environment variables in which `python` means it."""

    python: str
    variables: Mapping[str, str]


def prepare(  # noqa: PLR0913 - what goes into an environment
    root: Path,
    python: str,
    environ: Mapping[str, str],
    *,
    requirements: Sequence[str] = (),
    tools: Sequence[str] = ("pytest",),
    setup: str | None = None,
    run: Runner,
    say: Callable[[str], None] = lambda line: None,
    home: Path | None = None,
) -> Environment:
    """
    The environment for tests: `python` itself, or a virtual environment of it with the requirements and the tools.

    An environment is kept in `home` (`.dt_cache/environments` when None) by the digest of what went into it, and used
    again. `setup` runs every time. Raises ConfigurationError where a file is missing or a command fails.
    """
    environment = Environment(python=python, variables=dict(environ))
    if requirements:
        files = _existing(root, requirements)
        home = home or root / ".dt_cache" / "environments"
        environment = _in_virtualenv(_kept(home, root, python, files, tools, environ, run, say), environ)
    if setup:
        variables = environment.variables
        if not requirements:
            variables = {**variables, "PATH": _first_on_path(Path(python).parent, variables)}
        say(f"setup: {setup}")
        _expect_success(run(setup, root, variables), f"--setup {setup!r}", "run it by hand to see why")
    return environment


def own_requirements(root: Path) -> tuple[str, ...]:
    """
    The files that say what the project's tests need: its requirements files, else what it is installed from.

    Empty where there is neither.
    """
    files = tuple(name for name in _OWN_FILES if (root / name).is_file())
    return files or tuple(name for name in _PROJECT_FILES if _is_installable(root / name))[:1]


def root_in(tree: Path, directory: str, requirements: Sequence[str]) -> Path:
    """
    Where in an unpacked bundle pytest starts.

    Raises UnreadableError where that is not in it, ConfigurationError for a requirements file that lies outside.
    """
    top, root = tree.resolve(), (tree / directory).resolve()
    if not root.is_relative_to(top) or not root.is_dir():
        raise UnreadableError(f"the bundle has no directory {directory!r}")
    for name in requirements:
        if not (root / name).resolve().is_relative_to(top):
            raise ConfigurationError(f"the requirements file {name!r} lies outside of the source tree")
    return root


def is_bound_to_tree(root: Path, requirements: Sequence[str]) -> bool:
    """
    True where something of the tree itself is installed, by name or by a line such as `-e .`.

    Such an environment is of use for that tree only, and no longer than that lies there.
    """
    files = [root / name for name in requirements]
    return any(file.name in _PROJECT_FILES for file in files) or any(
        _OF_THE_TREE.search(content) for content in _contents(files)
    )


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
    home: Path,
    root: Path,
    python: str,
    files: Sequence[Path],
    tools: Sequence[str],
    environ: Mapping[str, str],
    run: Runner,
    say: Callable[[str], None],
) -> Path:
    """The directory of the environment with these requirements, built where there is none yet."""
    digest = _digest(python, files, tools)
    pointer = home / f"{digest}.txt"
    if pointer.is_file() and _python_of(home / pointer.read_text(encoding="utf-8")).exists():
        return home / pointer.read_text(encoding="utf-8")
    directory = home / f"{digest}-{os.getpid()}"
    home.mkdir(parents=True, exist_ok=True)
    say(f"environment: installing {', '.join(file.name for file in files)}")
    for command in _install_commands(python, directory, files, tools, environ):
        _expect_success(
            run(command, root, environ), " ".join(command), "the lines above say why; the tests did not start"
        )
    # A pointer that is moved into place last: a broken build is never used, and two builders never collide.
    draft = home / f"{digest}-{os.getpid()}.txt"
    draft.write_text(directory.name, encoding="utf-8")
    draft.replace(pointer)
    return directory


def _install_commands(
    python: str, directory: Path, files: Sequence[Path], tools: Sequence[str], environ: Mapping[str, str]
) -> Iterator[list[str]]:
    wanted = [*tools, *(word for file in files for word in _install_words(file))]
    uv = shutil.which("uv", path=environ.get("PATH"))
    inside = str(_python_of(directory))
    if uv:
        yield [uv, "venv", "--quiet", *_inherited(python), "--python", python, str(directory)]
        yield [uv, "pip", "install", "--quiet", "--python", inside, *wanted]
    else:
        yield [python, "-m", "venv", *_inherited(python), str(directory)]
        yield [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]


def _inherited(python: str) -> list[str]:
    """An environment made from one that sees the packages of its base sees them, too."""
    marker = Path(python).parent.parent / "pyvenv.cfg"
    sees_base = marker.is_file() and re.search(r"include-system-site-packages\s*=\s*true", marker.read_text("utf-8"))
    return ["--system-site-packages"] if sees_base else []


def _install_words(file: Path) -> list[str]:
    if file.name not in _PROJECT_FILES:
        return ["-r", str(file)]
    extras = _extras(file) if file.suffix == ".toml" else set()
    extra = next((f"[{name}]" for name in _TEST_EXTRAS if name in extras), "")
    return ["-e", f"{file.parent}{extra}"]


def _extras(file: Path) -> set[str]:
    """The extras that a pyproject.toml names; found by their lines, since tomllib came with Python 3.11 only."""
    text = file.read_text("utf-8", "replace")
    section = re.search(r"^\[project\.optional-dependencies\]$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^([A-Za-z0-9._-]+)\s*=", section[1], re.MULTILINE)) if section else set()


def _is_installable(file: Path) -> bool:
    if not file.is_file():
        return False
    return file.suffix == ".py" or bool(
        re.search(r"^\[(project|build-system)\]", file.read_text("utf-8", "replace"), re.M)
    )


def _digest(python: str, files: Sequence[Path], tools: Sequence[str]) -> str:
    """Names an environment by its interpreter and by all requirements files, the included ones, too."""
    import hashlib

    digest = hashlib.sha256("\0".join([os.path.realpath(python), *tools]).encode())
    for content in _contents(files):
        digest.update(b"\0" + content)
    return digest.hexdigest()[:16]


def _contents(files: Sequence[Path]) -> Iterator[bytes]:
    """What stands in requirements files, and in those that they include."""
    seen: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop(0)
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        content = file.read_bytes()
        yield content
        for name in re.findall(rb"^\s*(?:-r|-c|--requirement|--constraint)[ =]+(\S+)", content, flags=re.MULTILINE):
            waiting.append(file.parent / os.fsdecode(name))


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
