"""Which tests to run out of all: those that failed last, or those that a change can reach, each with the reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType

from dt_action.model.case import TestFile
from dt_action.model.change import Chosen, Selection
from dt_action.planning.import_graph import Graph

CONCERNS_ALL = (
    *("pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py", "pytest.ini", ".pytest.ini", "pytest.toml"),
    *(".coveragerc", "dt.yml", "dt.yaml", "requirements*.txt", "constraints*.txt", "*.lock", "Pipfile", "Dockerfile"),
    *("environment*.yml", "Cargo.toml", "CMakeLists.txt", "meson.build", "Makefile", ".python-version"),
)
"""Files by name that every test may depend on in a way that no import shows."""

CONCERNS_NONE = (
    *("*.md", "*.rst", "LICENSE*", "COPYING*", "AUTHORS*", "CODEOWNERS", ".gitignore", ".gitattributes"),
    *(".editorconfig", ".pre-commit-config.yaml", ".readthedocs.yaml", "dt.quarantine.y*ml"),
)
"""Files by name that no test reads, unless they lie beside tests or in a package."""

NO_TESTS_IN = (".github/", ".gitlab/", ".circleci/", ".vscode/", ".idea/", ".git/")
MOST_STEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The files to run and why. Where `cases` has a file, only these of its cases (by id) are to be run."""

    files: tuple[TestFile, ...]
    told: Selection
    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def only_failed(files: Sequence[TestFile], failed: Collection[str]) -> Choice:
    """The cases whose newest outcome is a failure; a file that could not be collected is run as a whole."""
    by_file: dict[str, list[str]] = {}
    for case in sorted(failed):
        by_file.setdefault(case.partition("::")[0], []).append(case)

    def why(path: str) -> str:
        cases = by_file.get(path, ())
        if path in cases:
            return "could not be collected before"
        return f"{len(cases)} of its tests failed before" if cases else ""

    cases = {path: tuple(cases) for path, cases in by_file.items() if path not in cases}
    choice = _choose(files, why, asked="--only-failed")
    kept = {file.path for file in choice.files}
    return Choice(
        files=choice.files, told=choice.told, cases={path: ids for path, ids in cases.items() if path in kept}
    )


def changed_since(
    files: Sequence[TestFile],
    changed: Sequence[str],
    graph: Graph,
    *,
    asked: str,
    folders: Collection[str] = (),
    ran: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Choice:
    """
    The test files that a change reaches through imports, conftest files, by lying beside them, or by having run it.

    `changed` are paths relative to the root, deleted ones, too; `folders` are the packages' folders (with an
    `__init__.py`); `ran` names the files of which each test file's tests ran lines in an earlier run. What cannot be
    followed errs on the side of running: a file of settings, or a change outside of every package and of every folder
    of tests that is not known to be harmless, concerns every test.
    """
    of_all = next((path for path in changed if _concerns_all(path, files, folders)), "")
    touched = _touched(changed, folders)

    def why(path: str) -> str:
        if path in changed:
            return "it changed"
        if of_all:
            return f"{of_all} changed, which may concern every test"
        beside = next((data for data in changed if _is_beside(data, path)), "")
        if beside:
            return f"{beside} changed, which lies beside it"
        if not path.endswith(".py"):
            return "it is not Python, so that what it reaches is not known"
        way = graph.way_to(path, touched)
        if way:
            return _as_reason(way, touched, graph)
        file = next((file for file in changed if file in ran.get(path, ())), "")
        return f"ran lines of {file} before, which changed" if file else ""

    return _choose(files, why, asked=asked)


def _choose(files: Sequence[TestFile], why: Callable[[str], str], *, asked: str) -> Choice:
    chosen, left_out, kept = [], [], []
    for file in files:
        reason = why(file.path)
        if reason:
            kept.append(file)
            chosen.append(Chosen(path=file.path, reason=reason))
        else:
            left_out.append(file.path)
    return Choice(files=tuple(kept), told=Selection(asked=asked, chosen=tuple(chosen), left_out=tuple(left_out)))


def _touched(changed: Iterable[str], folders: Collection[str]) -> dict[str, str]:
    """The nodes of the graph that changed, and what is to be said of each; data in a package stands for the package."""
    touched: dict[str, str] = {}
    for path in changed:
        if path.endswith(".py"):
            touched[path] = "which changed"
        elif package := _package_of(path, folders):
            touched.setdefault(f"{package}/__init__.py", f"beside which {path} changed")
    return touched


def _as_reason(way: Sequence[str], touched: Mapping[str, str], graph: Graph) -> str:
    end = touched.get(way[-1], "which cannot be read as Python")
    if len(way) == 1:
        return f"it {end.removeprefix('which ')}" if end.startswith("which ") else end
    shown = [*way[1:MOST_STEPS], "...", way[-1]] if len(way) > MOST_STEPS + 1 else way[1:]
    verb = "is under" if way[1].endswith("conftest.py") and len(way) == 2 else "imports"
    return f"{verb} {' -> '.join(shown)}, {end}"


def _concerns_all(path: str, files: Sequence[TestFile], folders: Collection[str]) -> bool:
    name = path.rpartition("/")[2]
    if path.endswith(".py") and name not in ("setup.py", "noxfile.py"):
        return False
    if any(fnmatchcase(name, glob) for glob in CONCERNS_ALL):
        return True
    if path.startswith(NO_TESTS_IN) or _package_of(path, folders) or any(_is_beside(path, file.path) for file in files):
        return False
    return not any(fnmatchcase(name, glob) for glob in CONCERNS_NONE) and not path.startswith(("docs/", "doc/"))


def _is_beside(path: str, test: str) -> bool:
    """True where a file that is not Python lies in the folder of a test file, or in one below, but not at the top."""
    folder = test.rpartition("/")[0]
    return bool(folder) and not path.endswith(".py") and path.startswith(f"{folder}/")


def _package_of(path: str, folders: Collection[str]) -> str:
    """The innermost package that a file lies in or under; empty where none is."""
    folder = path.rpartition("/")[0]
    while folder and folder not in folders:
        folder = folder.rpartition("/")[0]
    return folder
