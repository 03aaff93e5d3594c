"""Walk directories as pytest does: the files that it would collect, in its order."""

from __future__ import annotations

import ast
import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dt_action.discovery.globs import Matcher, pytest_matcher
from dt_action.discovery.pytest_config import PytestConfig

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ignored:
    """Paths that are left out below a directory: what conftest files say, and what the command line says."""

    conftest: frozenset[str] = frozenset()
    conftest_globs: tuple[str, ...] = ()
    always: frozenset[str] = frozenset()
    always_globs: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        if path in self.always or path in self.conftest:
            return True
        return any(fnmatch.fnmatch(path, glob) for glob in (*self.always_globs, *self.conftest_globs))

    def within(self, directory: str) -> _Ignored:
        """With what the conftest file of a directory says; the nearest one that speaks is the one that counts."""
        lists = literal_ignores(os.path.join(directory, "conftest.py"))  # noqa: PTH118 - the walk is hot

        def absolute(name: str) -> list[str]:
            return [os.path.normpath(os.path.join(directory, entry)) for entry in lists[name]]  # noqa: PTH118

        result = self
        if "collect_ignore" in lists:
            result = replace(result, conftest=frozenset(absolute("collect_ignore")))
        if "collect_ignore_glob" in lists:
            result = replace(result, conftest_globs=tuple(absolute("collect_ignore_glob")))
        return result


def accepted_by(config: PytestConfig) -> Matcher:
    """Whether pytest collects a file, by its name and full path, where the file was not named to it."""
    is_module = pytest_matcher(config.python_files)
    is_doctest = pytest_matcher(config.doctest_globs)

    def accepts(name: str, path: str) -> bool:
        if name.endswith(".py"):
            return is_module(name, path) or (config.doctest_modules and name not in {"setup.py", "__main__.py"})
        return is_doctest(name, path)

    return accepts


def walk(start: Path, config: PytestConfig, accepts: Matcher) -> Iterator[str]:
    """
    The absolute paths of the files below `start` that are accepted and not ignored; `start` itself if it is a file.

    A directory that leads back to one of its own parents through a link is left out; one that cannot be read, too,
    as pytest would tell its error.
    """
    if start.is_file():
        yield str(start)
        return
    ignored = _Ignored(always=config.ignored, always_globs=config.ignored_globs)
    if config.reads_conftests and start.is_relative_to(config.rootdir):
        for parent in reversed(start.parents):
            if parent.is_relative_to(config.rootdir):
                ignored = ignored.within(str(parent))
    yield from _Walk(config, accepts).below(str(start), ignored, frozenset())


class _Walk:
    def __init__(self, config: PytestConfig, accepts: Matcher) -> None:
        self._config = config
        self._accepts = accepts
        self._not_entered = pytest_matcher(config.norecursedirs)

    def below(self, directory: str, ignored: _Ignored, parents: frozenset[Identity]) -> Iterator[str]:
        try:
            status = os.stat(directory)  # noqa: PTH116 - the walk is hot
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError:
            return
        identity = (status.st_dev, status.st_ino)
        if identity in parents:
            return
        names = {entry.name for entry in entries}
        if parents and not self._config.enters_virtualenvs and _is_virtualenv(directory, names):
            return
        if self._config.reads_conftests and "conftest.py" in names:
            ignored = ignored.within(directory)
        for entry in entries:
            name, path = entry.name, entry.path
            if _is_dir(entry):
                if name != "__pycache__" and not self._not_entered(name, path) and not ignored.has(path):
                    yield from self.below(path, ignored, parents | {identity})
            elif self._accepts(name, path) and _is_file(entry) and not ignored.has(path):
                yield path


def _is_virtualenv(directory: str, names: set[str]) -> bool:
    return "pyvenv.cfg" in names or (
        "conda-meta" in names and os.path.isfile(os.path.join(directory, "conda-meta", "history"))  # noqa: PTH113, PTH118
    )


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def literal_ignores(conftest: str) -> dict[str, list[str]]:
    """
    `collect_ignore` and `collect_ignore_glob` of a conftest file, where they are plain lists of text.

    Only what holds without a condition is taken: a file too many costs pytest a look, a file too few a test.
    """
    try:
        source = Path(conftest).read_bytes()
        if b"collect_ignore" not in source:
            return {}
        module = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    lists: dict[str, list[str]] = {}
    unsure: set[str] = set()
    for statement in module.body:
        change = _change(statement)
        if change:
            name, values, starts_anew = change
            lists[name] = values if starts_anew else [*lists.get(name, []), *values]
        else:
            unsure.update(_shrunk_in(statement))
    return {name: values for name, values in lists.items() if name not in unsure}


NAMES = ("collect_ignore", "collect_ignore_glob")


def _change(statement: ast.stmt) -> tuple[str, list[str], bool] | None:
    """The list that a statement sets or adds to, the texts, and whether it starts the list anew."""
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ) if name in NAMES:
            texts = _texts(value)
            return None if texts is None else (name, texts, True)
        case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value) if name in NAMES:
            return name, _texts(value) or [], False
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend"), args=[value])
        ) if name in NAMES:
            return name, _texts(value) or [], False
    return None


def _texts(value: ast.expr) -> list[str] | None:
    match value:
        case ast.Constant(value=str() as one):
            return [one]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [item.value for item in elements if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return None


def _shrunk_in(statement: ast.stmt) -> Iterator[str]:
    """The lists that a statement may replace or shorten somewhere inside."""
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if name in NAMES:
                yield name
            case ast.Attribute(value=ast.Name(id=name), attr="remove" | "clear" | "pop") if name in NAMES:
                yield name
