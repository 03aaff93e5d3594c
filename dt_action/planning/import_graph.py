"""Which files of a project import which, read from the syntax trees alone; nothing is imported or run."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED_FOLDERS = frozenset(
    {"node_modules", "__pycache__", "venv", "env", "site-packages", "build", "dist", ".git", ".tox", ".nox"}
)
MOST_BYTES = 4 << 20
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """
    The Python files of a project, by path relative to its root, and the files that each one reaches directly.

    `unparsed` are files that could not be read as Python: what they import is not known. A test file reaches the
    conftest files of its folder and those above, since pytest imports them for it.
    """

    imports: Mapping[str, frozenset[str]]
    unparsed: frozenset[str] = frozenset()

    def way_to(self, start: str, changed: Mapping[str, str]) -> tuple[str, ...]:
        """A shortest way from a file over its imports to a changed one, both ends included; empty where none is."""
        before: dict[str, str] = {start: ""}
        waiting = deque([start])
        while waiting:
            file = waiting.popleft()
            if file in changed or file in self.unparsed:
                way = [file]
                while before[way[-1]]:
                    way.append(before[way[-1]])
                return tuple(reversed(way))
            for reached in sorted(self.imports.get(file, ())):
                if reached not in before:
                    before[reached] = file
                    waiting.append(reached)
        return ()


@dataclass(slots=True)
class _Index:
    """Files by every module name that could mean them: from the root, `src`, or where their outermost package lies."""

    by_module: dict[str, set[str]] = field(default_factory=dict)
    packages_of: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, files: frozenset[str]) -> None:
        parts = path.removesuffix(".py").split("/")
        if parts[-1] == "__init__":
            parts.pop()
        depths = {0, _depth_of_top(path, files)}
        depths |= {index + 1 for index, part in enumerate(parts[:-1]) if part in ("src", "lib", "python")}
        for depth in depths:
            name = ".".join(parts[depth:])
            if name:
                self.by_module.setdefault(name, set()).add(path)
        own = parts[_depth_of_top(path, files) :]
        self.packages_of[path] = ".".join(own if path.endswith("__init__.py") else own[:-1])

    def files_of(self, module: str) -> Iterator[str]:
        """The files that importing `module` runs: its own and those of the packages above, as far as they are ours."""
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            yield from self.by_module.get(".".join(parts[:count]), ())


def read_graph(root: Path, *, gone: Iterable[str] = ()) -> Graph:
    """The graph of the Python files under `root`. `gone` are deleted files, whose importers are of interest, too."""
    paths = frozenset(_python_files(root))
    known = paths | {path for path in gone if path.endswith(".py")}
    index = _Index()
    for path in sorted(known):
        index.add(path, known)
    imports: dict[str, frozenset[str]] = {}
    unparsed = set()
    for path in sorted(paths):
        tree = _parsed(root / path)
        if tree is None:
            unparsed.add(path)
            continue
        reached = {file for module in _modules(tree, index.packages_of[path]) for file in index.files_of(module)}
        reached |= {file for word in _words(tree) for file in _meant_by(word, index)}
        reached |= set(_conftests(path, known))
        imports[path] = frozenset(reached - {path})
    return Graph(imports=imports, unparsed=frozenset(unparsed))


def _python_files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED_FOLDERS
            and not name.startswith(".")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))  # noqa: PTH110, PTH118 - many of them
        )
        base = Path(folder).relative_to(root).as_posix()
        for name in names:
            if name.endswith(".py"):
                yield name if base == "." else f"{base}/{name}"


def _depth_of_top(path: str, files: frozenset[str]) -> int:
    """How many folders lie above the outermost package of a file."""
    folders = path.split("/")[:-1]
    depth = len(folders)
    while depth and f"{'/'.join(folders[:depth])}/__init__.py" in files:
        depth -= 1
    return depth


def _conftests(path: str, files: frozenset[str]) -> Iterator[str]:
    folders = path.split("/")[:-1]
    for depth in range(len(folders) + 1):
        conftest = "/".join([*folders[:depth], "conftest.py"])
        if conftest in files and conftest != path:
            yield conftest


def _parsed(path: Path) -> ast.Module | None:
    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the project's own escape sequences
            return ast.parse(content)
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _modules(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules that import statements name; of `from a import b`, both `a` and what may be a module `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(node, package)
            if base:
                yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _base_of(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    above: Sequence[str] = parts[: len(parts) - (node.level - 1)] if node.level - 1 <= len(parts) else []
    return ".".join(filter(None, [*above, node.module or ""]))


def _words(tree: ast.Module) -> Iterator[str]:
    """Constants that could name a module: `import_module("a.b")`, `patch("a.b.c")`, `[sys.executable, "-m", "a"]`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            word = node.value.partition(":")[0]  # the form of entry points
            if _DOTTED.fullmatch(word):
                yield word


def _meant_by(word: str, index: _Index) -> Iterator[str]:
    """The files of the longest part of `word` that is a module of ours; a word without a dot must be one itself."""
    parts = word.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        if module in index.by_module:
            yield from index.files_of(module)
            return
