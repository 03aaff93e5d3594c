"""What changed, file by file, and what kind of file each is to tests that might read it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from dt_action.planning.reach.source_facts import SourceFacts
from dt_action.planning.reach.syntax_changes import WHOLE, Difference, difference

Kind = Literal["python", "settings", "document", "data"]

CONCERNS_ALL = (
    *("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py", "pytest.ini", ".pytest.ini", "pytest.toml"),
    *(".pytest.toml", ".coveragerc", "dt.yml", "dt.yaml", "requirements*.txt", "constraints*.txt", "*.lock", "Pipfile"),
    *("Dockerfile", "environment*.yml", "environment*.yaml", "Cargo.toml", "CMakeLists.txt", "meson.build"),
    *(
        "Makefile",
        ".python-version",
        "sitecustomize.py",
        "usercustomize.py",
        "*.pth",
        ".env",
        "hatch.toml",
        "pixi.toml",
    ),
)
"""Files by name that every test may depend on in a way that no import shows."""

PROSE = ("*.md", "*.rst")
DOCUMENTS = (
    *("LICENSE*", "COPYING*", "AUTHORS*", "CONTRIBUTORS*", "NOTICE*", "CODEOWNERS", ".gitignore"),
    *(".gitattributes", ".editorconfig", ".pre-commit-config.yaml", ".readthedocs.y*ml", "dt.quarantine.y*ml"),
    *("mkdocs.yml", "CITATION.cff", ".mailmap", ".git-blame-ignore-revs", "codecov.yml", ".codecov.yml", "README*"),
    *("CHANGELOG*", "CHANGES*", "HISTORY*", "NEWS*"),
)
"""Files by name that are for people: no test reads them that does not say so."""

DOCUMENTS_IN = ("docs/", "doc/", ".github/", ".gitlab/", ".circleci/", ".vscode/", ".idea/", ".devcontainer/")

NO_SOURCES_IN = (
    "__pycache__",
    ".pytest_cache",
    ".dt_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".tox",
    ".nox",
)
NO_SOURCES = (".coverage", ".coverage.*", "coverage.xml", "*.pyc", "*.pyo", ".testmondata*", ".DS_Store", "*.egg-info")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """
    A file that differs between a base and the working tree. `path` is relative to the root, with forward slashes.

    `before` is the content of a Python file in the base and `after` the one now, None where there is none. `is_there`
    tells that it is neither new nor gone.
    """

    path: str
    is_there: bool = True
    before: bytes | None = None
    after: bytes | None = None

    def difference(self) -> Difference:
        """What differs for the program, where it is Python; a new or deleted file differs as a whole."""
        if self.before is None or self.after is None:
            return WHOLE
        return difference(self.before, self.after)


def kind_of(path: str, *, tests: Collection[str], packages: Collection[str]) -> Kind:
    """
    What kind of file changed. `tests` are folders that hold test files, `packages` those with an `__init__.py`.

    Prose among tests or in a package is data: cases, or prompts.
    """
    name = path.rpartition("/")[2]
    is_above_or_here = not path.startswith("../") or not path.replace("../", "").count("/")
    if any(fnmatchcase(name, glob) for glob in CONCERNS_ALL) and is_above_or_here:
        return "settings"
    inside = path.replace("../", "")
    if inside.startswith(DOCUMENTS_IN):
        return "document"
    if name.endswith(".py"):
        return "python"
    if any(fnmatchcase(name, glob) for glob in DOCUMENTS):
        return "document"
    if any(fnmatchcase(name, glob) for glob in PROSE):
        folder = path.rpartition("/")[0]
        beside = any(test and (folder == test or folder.startswith(f"{test}/")) for test in tests)
        return "data" if beside or _lies_in(folder, packages) else "document"
    return "data"


def is_source(path: str, own: Sequence[str] = ()) -> bool:
    """False for what programs leave behind: caches, coverage data, and what lies in the folders `own`."""
    steps = path.split("/")
    if any(step in NO_SOURCES_IN or step.endswith(".egg-info") for step in steps[:-1]):
        return False
    if any(path == folder or path.startswith(f"{folder}/") for folder in own if folder):
        return False
    return not any(fnmatchcase(steps[-1], glob) for glob in NO_SOURCES)


def mentions(facts: SourceFacts, path: str) -> bool:
    """True where a text of a file can name another one: by its name, its suffix, or a folder that it lies in."""
    steps = path.replace("../", "").split("/")
    name = steps[-1]
    stem, dot, suffix = name.rpartition(".")
    wanted = {name, *steps[:-1]}
    if dot and stem:
        wanted.add(f".{suffix}")
    else:
        wanted.add(name.lower())
    return not wanted.isdisjoint(facts.parts) or not wanted.isdisjoint(facts.words)


def mentions_name(facts: SourceFacts, path: str) -> bool:
    """True where a text of a file names another one without its folder."""
    name = path.rpartition("/")[2]
    return name in facts.parts or name in facts.words


def _lies_in(folder: str, packages: Collection[str]) -> bool:
    while folder:
        if folder in packages:
            return True
        folder = folder.rpartition("/")[0]
    return False
