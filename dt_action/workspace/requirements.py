"""What a project says its tests need: requirements files, metadata, dependency groups and locks, read and not run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dt_action.errors import ConfigurationError

_WORDS = ("test", "tests", "testing", "dev", "develop")
"""Extras and groups of tests; of those that a project has, the first one is taken."""

_REQUIREMENTS_FILES = (
    "requirements.txt",
    *(f"requirements{sign}{word}.txt" for word in ("test", "tests", "dev") for sign in "-_."),
    *(f"{word}{sign}requirements.txt" for word in ("test", "tests", "dev") for sign in "-_"),
    *(f"requirements/{word}.txt" for word in ("base", "test", "tests", "testing", "dev")),
    *("tests/requirements.txt", "test/requirements.txt"),
)
_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml")
"""Locks hold versions for every platform: what they say is how far a version may be chosen, not what is installed."""

_PIPFILES = ("Pipfile.lock", "Pipfile")
_IN_TREE = re.compile(r"^\s*(?:-e|--editable)[ =]*(\S+)|^\s*((?:file:|\.{1,2}(?=[/\[\s;]|$))[^\s\[;]*)", re.MULTILINE)
_INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory whose project is installed in place, with the extra of its tests, and what else says so."""

    path: Path
    extra: str = ""
    dependencies: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """What pip is given after `-e`."""
        return f"{self.path}[{self.extra}]" if self.extra else str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What is to be installed: requirements files, single requirements, projects in place, within `constraints`.

    `inputs` are all files that had a say in it; `python` is the version that the projects ask for (`>=3.9,<3.12`).
    """

    files: tuple[Path, ...] = ()
    words: tuple[str, ...] = ()
    projects: tuple[Project, ...] = ()
    constraints: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    python: str = ""

    @property
    def is_bound_to_tree(self) -> bool:
        """True where something of the tree itself is installed."""
        files = (path for path in self.inputs if path.name not in (*_METADATA, *_PIPFILES, *LOCKS))
        return bool(self.projects) or any(_IN_TREE.search(_text(path)) for path in files)


def own_requirements(root: Path, tests: str = "") -> tuple[str, ...]:
    """
    The files that say what a project's tests need, relative to its root; none where there is nothing at all.

    Those of `root` and, in a monorepo, those of the package nearest to the directory `tests`.
    """
    found = _in_folder(root)
    start = PurePosixPath(tests.replace("\\", "/"))
    if tests and not start.is_absolute() and ".." not in start.parts:
        for folder in (start, *start.parents[:-1]):
            if any(_says_something(root / folder / name) for name in _METADATA) or any(
                (root / folder / name).is_file() for name in _PIPFILES
            ):
                found += [(folder / name).as_posix() for name in _in_folder(root / folder)]
                break
    return tuple(dict.fromkeys(found))


def projects_below(root: Path) -> tuple[str, ...]:
    """Directories one or two levels below, which have what `own_requirements` looks for: a hint for a person."""
    found = []
    for pattern in ("*", "*/*"):
        for path in sorted(root.glob(pattern)):
            hidden = any(part.startswith(".") or part == "node_modules" for part in path.relative_to(root).parts)
            if not hidden and path.is_dir() and _in_folder(path):
                found.append(path.relative_to(root).as_posix())
    return tuple(found[:5])


def wanted(root: Path, names: Sequence[str]) -> Wanted:
    """
    What the files say, each by its name. Raises ConfigurationError that tells every one that is missing or broken.
    """
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise ConfigurationError.of_all(
            [
                ConfigurationError(f"the requirements file {name!r} is not in {root}", hint="correct --requirements")
                for name in missing
            ]
        )
    gathered = _Gathered()
    for name in names:
        gathered.add(root / name)
    return gathered.result()


def _in_folder(folder: Path) -> list[str]:
    files = [name for name in _REQUIREMENTS_FILES if (folder / name).is_file()]
    metadata = next((name for name in _METADATA if _says_something(folder / name)), None)
    pipfile = next((name for name in _PIPFILES if (folder / name).is_file()), None)
    lock = next((name for name in LOCKS if (folder / name).is_file()), None) if metadata or files else None
    return [name for name in (*files, pipfile, metadata, lock) if name]


def _says_something(file: Path) -> bool:
    """True for metadata of a package, or groups of dependencies, and not for the settings of some tool alone."""
    if not file.is_file():
        return False
    if file.suffix == ".py":
        return True
    if file.suffix == ".cfg":
        return "[metadata]" in _text(file)
    document = _toml(file)
    tool = _table(document.get("tool"))
    return any(key in document for key in ("project", "build-system", "dependency-groups")) or "poetry" in tool


@dataclass(slots=True)
class _Gathered:
    files: list[Path] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    projects: dict[Path, Project] = field(default_factory=dict)
    constraints: list[str] = field(default_factory=list)
    inputs: list[Path] = field(default_factory=list)
    python: list[str] = field(default_factory=list)

    def result(self) -> Wanted:
        return Wanted(
            files=tuple(self.files),
            words=tuple(dict.fromkeys(self.words)),
            projects=tuple(self.projects.values()),
            constraints=tuple(dict.fromkeys(self.constraints)),
            inputs=tuple(dict.fromkeys(self.inputs)),
            python=",".join(dict.fromkeys(self.python)),
        )

    def add(self, file: Path) -> None:
        if file.name in LOCKS:
            self.inputs.append(file)
            self.constraints += _pins(file)
        elif file.name in _PIPFILES:
            self.inputs.append(file)
            self.words += _of_pipfile(file)
        elif file.name in _METADATA:
            self._add_project(file)
        else:
            self.files.append(file)
            self.inputs += _with_included(file)

    def _add_project(self, file: Path) -> None:
        folder = file.parent
        self.inputs += [path for name in _METADATA if (path := folder / name).is_file()]
        document = _toml(folder / "pyproject.toml")
        project, poetry = _table(document.get("project")), _poetry(document)
        self.inputs += _dynamic_files(document, folder)
        if python := project.get("requires-python") or _table(poetry.get("dependencies")).get("python"):
            self.python.append(str(python))
        self.words += _group(document)
        extras = _table(project.get("optional-dependencies"))
        extra = _first_of(extras) or _first_of(poetry.get("extras")) or _extra_of_setup(folder)
        dependencies = [*_strings(project.get("dependencies")), *_strings(extras.get(extra))]
        if _is_package(document, folder):
            self.projects[folder] = Project(path=folder, extra=extra, dependencies=tuple(dependencies))
        else:
            self.words += dependencies + _poetry_words(_table(poetry.get("dependencies")), folder)


def _is_package(document: Mapping[str, Any], folder: Path) -> bool:
    """False for a pyproject.toml that only lists dependencies, or says that nothing is to be installed."""
    tool = _table(document.get("tool"))
    if _table(tool.get("uv")).get("package") is False or _table(tool.get("poetry")).get("package-mode") is False:
        return False
    has_program = (folder / "setup.py").is_file() or "[metadata]" in _text(folder / "setup.cfg")
    return has_program or any(key in document for key in ("project", "build-system")) or "poetry" in tool


def _group(document: Mapping[str, Any]) -> list[str]:
    """The dependencies of the tests' group, wherever a tool keeps such groups; the first place that has one counts."""
    tool = _table(document.get("tool"))
    groups = _table(document.get("dependency-groups"))
    if name := _first_of(groups):
        return list(_expanded(groups, name, ()))
    pdm = _table(_table(tool.get("pdm")).get("dev-dependencies"))
    if name := _first_of(pdm):
        return _strings(pdm[name])
    if uv := _strings(_table(tool.get("uv")).get("dev-dependencies")):
        return uv
    hatch = _table(_table(tool.get("hatch")).get("envs"))
    for name in ("hatch-test", "test", "default"):
        environment = _table(hatch.get(name))
        listed = [*_strings(environment.get("dependencies")), *_strings(environment.get("extra-dependencies"))]
        if listed:
            return listed
    poetry = _poetry(document)
    poetry_groups = _table(poetry.get("group"))
    if name := _first_of(poetry_groups):
        return _poetry_words(_table(_table(poetry_groups[name]).get("dependencies")), Path())
    return _poetry_words(_table(poetry.get("dev-dependencies")), Path())


def _expanded(groups: Mapping[str, Any], name: str, seen: tuple[str, ...]) -> Iterator[str]:
    """A group of PEP 735 with those that it includes. Names count as equal whatever stands between their words."""
    key = next((key for key in groups if _normal(key) == _normal(name)), None)
    if key is None or _normal(name) in seen:
        return
    for item in groups[key] if isinstance(groups[key], list) else []:
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping) and "include-group" in item:
            yield from _expanded(groups, str(item["include-group"]), (*seen, _normal(name)))


def _poetry(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return _table(_table(document.get("tool")).get("poetry"))


def _poetry_words(dependencies: Mapping[str, Any], folder: Path) -> list[str]:
    """Poetry's own notation, and Pipfile's, as pip reads it."""
    words = []
    for name, spec in dependencies.items():
        if name.lower() != "python":
            alternatives = spec if isinstance(spec, list) else [spec]
            words += [word for one in alternatives if (word := _poetry_word(name, one, folder))]
    return words


def _poetry_word(name: str, spec: Any, folder: Path) -> str:
    table = spec if isinstance(spec, Mapping) else {"version": spec}
    if table.get("optional"):
        return ""
    extras = ",".join(_strings(table.get("extras")))
    named = f"{name}[{extras}]" if extras else name
    marker = f"; {table['markers']}" if isinstance(table.get("markers"), str) else ""
    if "git" in table:
        at = next((f"@{table[key]}" for key in ("rev", "ref", "tag", "branch") if table.get(key)), "")
        return f"{named} @ git+{table['git']}{at}{marker}"
    if "url" in table:
        return f"{named} @ {table['url']}{marker}"
    if "path" in table:
        return f"{named} @ {(folder / str(table['path'])).absolute().as_uri()}{marker}"
    return f"{named}{_pep440(str(table.get('version', '*')))}{marker}"


def _pep440(spec: str) -> str:
    """`^1.2` -> `>=1.2,<2`; `~1.2` -> `>=1.2,<1.3`; `*` -> nothing; all else as it is."""
    clauses = []
    for part in filter(None, (part.strip() for part in spec.split(","))):
        match = re.fullmatch(r"([\^~])\s*(\d+(?:\.\d+)*)(.*)", part)
        if part == "*":
            continue
        if not match:
            clauses.append(part if part[0] in "<>=!~" else f"=={part}")
            continue
        numbers = [int(number) for number in match[2].split(".")]
        if match[1] == "^":
            index = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
        else:
            index = min(1, len(numbers) - 1)
        above = [*numbers[:index], numbers[index] + 1]
        clauses.append(f">={match[2]}{match[3]},<{'.'.join(map(str, above))}")
    return ",".join(clauses)


def _pins(lock: Path) -> Iterator[str]:
    """`name==version` for what a lock has from an index; with markers, where it has several versions of a package."""
    document = _toml(lock)
    entries = document.get("package") or document.get("packages")
    by_name: dict[str, list[tuple[str, str]]] = {}
    for entry in entries if isinstance(entries, list) else []:
        source = _table(entry.get("source"))
        is_elsewhere = {"git", "url", "path", "directory", "editable", "virtual"} & {*source, str(source.get("type"))}
        if isinstance(entry.get("version"), str) and not is_elsewhere:
            markers = entry.get("resolution-markers") or entry.get("markers") or entry.get("marker")
            if isinstance(markers, list):
                markers = " or ".join(f"({marker})" for marker in markers)
            marker = markers if isinstance(markers, str) else ""
            by_name.setdefault(str(entry.get("name")), []).append((entry["version"], marker))
    for name, versions in by_name.items():
        if len(versions) == 1:
            yield f"{name}=={versions[0][0]}"
        elif all(marker for _, marker in versions):
            yield from (f"{name}=={version} ; {marker}" for version, marker in versions)


def _of_pipfile(file: Path) -> list[str]:
    if file.suffix == ".lock":
        try:
            document = json.loads(_text(file))
        except ValueError as error:
            raise ConfigurationError(f"{file} cannot be read: {error}", hint="make it anew: pipenv lock") from error
        sections = [_table(_table(document).get(name)) for name in ("default", "develop")]
    else:
        document = _toml(file)
        sections = [_table(document.get(name)) for name in ("packages", "dev-packages")]
    return [word for section in sections for word in _poetry_words(section, file.parent)]


def _dynamic_files(document: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Files from which setuptools takes dependencies."""
    dynamic = _table(_table(_table(document.get("tool")).get("setuptools")).get("dynamic"))
    tables = [dynamic.get("dependencies"), *_table(dynamic.get("optional-dependencies")).values()]
    for table in tables:
        listed = _table(table).get("file")
        for name in [listed] if isinstance(listed, str) else _strings(listed):
            if (folder / name).is_file():
                yield from _with_included(folder / name)


def _extra_of_setup(folder: Path) -> str:
    """The tests' extra of a setup.py or setup.cfg, as far as it is written there as a word."""
    text = _text(folder / "setup.py") + _text(folder / "setup.cfg")
    if "extras_require" not in text:
        return ""
    return next((word for word in _WORDS if re.search(rf"[\"']{word}[\"']|^{word}\s*=", text, re.MULTILINE)), "")


def _with_included(file: Path) -> Iterator[Path]:
    """A requirements file with those that it includes, and the metadata of what it installs from the tree."""
    seen: set[Path] = set()
    waiting = [file]
    while waiting:
        path = waiting.pop(0)
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        text = _text(path)
        waiting += [path.parent / name for name in _INCLUDED.findall(text)]
        for places in _IN_TREE.findall(text):
            place = next(filter(None, places), "").partition("[")[0].removeprefix("file:")
            waiting += [base / place / name for base in (path.parent, file.parent) for name in _METADATA]


def _first_of(table: Any) -> str:
    """The name in a table that stands for tests; empty where there is none."""
    names = {_normal(name): name for name in _table(table)}
    return next((names[word] for word in _WORDS if word in names), "")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _toml(file: Path) -> Mapping[str, Any]:
    """The document in a file, empty where there is none. Raises ConfigurationError where it is broken."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document: Mapping[str, Any] = tomllib.loads(_text(file))
    except ValueError as error:
        raise ConfigurationError(f"{file} cannot be read: {error}", hint="correct it") from error
    return document


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ""


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, (list, tuple)) else []
