"""The virtual environment that dt keeps for a project's tests, and the setup command that runs in it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.workspace.caches import FOLDER, make_folder
from dt_action.workspace.interpreters import KNOWN, find_any, fits, uv_at, version_of
from dt_action.workspace.requirements import Wanted, own_requirements, wanted

__all__ = ["AUTO", "Environment", "Runner", "is_bound_to_tree", "own_requirements", "prepare", "root_in", "run_command"]

Runner = Callable[[Sequence[str] | str, Path, Mapping[str, str]], int]
"""Runs a command (a text goes to the shell) in a directory with an environment, and gives its exit status."""


AUTO = "auto"
"""Stands for the project's own requirements; the container image asks for them unless the user says otherwise."""

WHY = "the lines above say why; the tests did not start"


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
    is_own: bool = False,
    may_choose: bool = False,
) -> Environment:
    """
    The environment for tests: `python` itself, or a virtual environment of it with the requirements and the tools.

    An environment is kept in `home` (`.dt_cache/environments` when None) by the digest of what went into it, and used
    again; `is_own` asks for one also where there are no requirements. Where the project asks for another version than
    `python` has, `may_choose` lets one be found. `setup` runs every time. Raises ConfigurationError where a file is
    missing or a command fails.
    """
    environment = Environment(python=python, variables=dict(environ))
    if requirements or is_own:
        asked = wanted(root, requirements)
        python = _fitting(python, asked.python, environ, say, may_choose=may_choose)
        home = home or root / FOLDER / "environments"
        builder = _Builder(home=home, root=root, python=python, environ=_with_cache(environ, home), run=run, say=say)
        environment = _in_virtualenv(builder.kept(asked, tools), environ)
    if setup:
        variables = environment.variables
        if not (requirements or is_own):
            variables = {**variables, "PATH": _first_on_path(Path(python).parent, variables)}
        say(f"setup: {setup}")
        _expect_success(run(setup, root, variables), f"--setup {setup!r}", "run it by hand to see why")
    return environment


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
    return wanted(root, requirements).is_bound_to_tree


def run_command(command: Sequence[str] | str, directory: Path, environ: Mapping[str, str]) -> int:
    """Run a command with its output on stderr, which leaves stdout to the reports of the run."""
    is_shell = isinstance(command, str)  # --setup is a line for a shell, from who may run any code with the tests
    done = subprocess.run(command, cwd=directory, env=dict(environ), shell=is_shell, stdout=2, check=False)  # nosec B602
    return done.returncode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    """Builds environments of one interpreter."""

    home: Path
    root: Path
    python: str
    environ: Mapping[str, str]
    run: Runner
    say: Callable[[str], None]

    def kept(self, asked: Wanted, tools: Sequence[str]) -> Path:
        """The directory of the environment with what is asked for, built where there is none yet."""
        digest = _digest(self.python, version_of(self.python, self.environ), asked, tools)
        pointer = self.home / f"{digest}.txt"
        if pointer.is_file() and _python_of(self.home / pointer.read_text(encoding="utf-8")).exists():
            return self.home / pointer.read_text(encoding="utf-8")
        directory = self.home / f"{digest}-{os.getpid()}"
        make_folder(self.home)
        self.say(f"environment: installing {_describe(asked, tools, self.root)}")
        self._make(directory)
        self._install(directory, asked, tools)
        # A pointer that is moved into place last: a broken build is never used, and two builders never collide.
        draft = self.home / f"{digest}-{os.getpid()}.txt"
        draft.write_text(directory.name, encoding="utf-8")
        draft.replace(pointer)
        return directory

    def _make(self, directory: Path) -> None:
        uv = uv_at(self.environ)
        if uv:
            command = [uv, "venv", "--quiet", *_inherited(self.python), "--python", self.python, str(directory)]
        else:
            command = [self.python, "-m", "venv", *_inherited(self.python), str(directory)]
        self._expect(command)

    def _install(self, directory: Path, asked: Wanted, tools: Sequence[str]) -> None:
        """
        Everything at once, so that versions agree. Where that fails, the requirements before the project itself.

        A project may not be installable at all (an application whose metadata only lists what it needs), or its
        metadata may not agree with its own requirements files; its tests run from the tree as well.
        """
        install = [*self._installer(directory), *self._constraints(directory, asked)]
        listed = [*tools, *asked.words, *(word for path in asked.files for word in ("-r", str(path)))]
        projects = [word for project in asked.projects for word in ("-e", project.word)]
        command = [*install, *listed, *projects]
        if not projects:
            self._expect(command)
            return
        status = self.run(command, self.root, self.environ)
        if not status:
            return
        written_down = [word for project in asked.projects for word in project.dependencies]
        if not asked.files and not written_down:
            _expect_success(status, " ".join(command), WHY)
        self.say("environment: that failed (the lines above say why); now without the project itself")
        self._expect([*install, *listed, *([] if asked.files else written_down)])
        for project in asked.projects:
            if self.run([*install, "--no-deps", "-e", str(project.path)], self.root, self.environ):
                name = _shown(project.path, self.root)
                self.say(f"environment: the project in {name} cannot be installed; its tests run from the tree")

    def _installer(self, directory: Path) -> list[str]:
        uv, inside = uv_at(self.environ), str(_python_of(directory))
        if uv:
            return [uv, "pip", "install", "--quiet", "--python", inside]
        return [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]

    def _constraints(self, directory: Path, asked: Wanted) -> list[str]:
        if not asked.constraints:
            return []
        file = directory / "constraints.txt"
        file.write_text("".join(f"{line}\n" for line in asked.constraints), encoding="utf-8")
        return ["-c", str(file)]

    def _expect(self, command: Sequence[str]) -> None:
        _expect_success(self.run(command, self.root, self.environ), " ".join(command), WHY)


def _fitting(
    python: str, asked: str, environ: Mapping[str, str], say: Callable[[str], None], *, may_choose: bool
) -> str:
    """`python`, or another interpreter where the project asks for another version."""
    version = version_of(python, environ) if asked else ""
    if not version or fits(version, asked):
        return python
    found = find_any(asked, environ) if may_choose else None
    if found is None:
        versions = ", ".join(known for known in KNOWN if fits(known, asked)) or "no version that dt knows"
        raise ConfigurationError(
            f"the project asks for Python {asked}, and {python} is {version}",
            hint=f"name one that fits with --python ({versions}); uv, where it is installed, brings what is not here",
        )
    say(f"environment: the project asks for Python {asked}; taking {found} instead of {version}")
    return found


def _with_cache(environ: Mapping[str, str], home: Path) -> Mapping[str, str]:
    """In our image, which forgets everything, packages are kept beside the environments, for a CI service to keep."""
    if not environ.get("DT_IN_IMAGE") or environ.get("UV_CACHE_DIR"):
        return environ
    return {**environ, "UV_CACHE_DIR": str(home.parent / "packages")}


def _describe(asked: Wanted, tools: Sequence[str], root: Path) -> str:
    named = [_shown(path, root) for path in (*asked.files, *(project.path for project in asked.projects))]
    few = [*asked.words[:3], *(["..."] if len(asked.words) > 3 else [])]
    within = [f"within {len(asked.constraints)} locked versions"] if asked.constraints else []
    return ", ".join([*named, *few, *within] or tools)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _inherited(python: str) -> list[str]:
    """An environment made from one that sees the packages of its base sees them, too."""
    marker = Path(python).parent.parent / "pyvenv.cfg"
    sees_base = marker.is_file() and re.search(r"include-system-site-packages\s*=\s*true", marker.read_text("utf-8"))
    return ["--system-site-packages"] if sees_base else []


def _digest(python: str, version: str, asked: Wanted, tools: Sequence[str]) -> str:
    """Names an environment by its interpreter and by the contents of all that had a say in it."""
    import hashlib

    words = [os.path.realpath(python), version, *tools, *asked.words, *asked.constraints]
    digest = hashlib.sha256("\0".join([*words, *(str(project.word) for project in asked.projects)]).encode())
    for path in asked.inputs:
        digest.update(b"\0" + path.read_bytes())
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
