"""The project's source: reading modules safely, what they bind at top level, and where an import leads."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import sys
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from dt_action.analysis.syntax import Statement, bound_names, flat
from dt_action.analysis.values import are_same
from dt_action.analysis.vocabulary import Vocabulary, built_in
from dt_action.analysis.worlds import Memory

MAX_SOURCE_BYTES = 4 * 1024**2
T = TypeVar("T")


class UnreadableError(Exception):
    """A file that cannot be analysed; `reason` says why and `line` where, from 1."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(eq=False, slots=True)
class Bindings:
    """Which statements of a block bind which name, in order; `stars` are the modules of its `import *`."""

    names: dict[str, list[Statement]] = field(default_factory=dict)
    stars: list[ast.ImportFrom] = field(default_factory=list)
    memories: dict[str, Memory] = field(default_factory=dict)

    def memory(self, name: str) -> Memory:
        """Where the values of `name` are remembered."""
        known = self.memories.get(name)
        if known is None:
            known = self.memories[name] = Memory(are_same)
        return known


@dataclass(eq=False, slots=True, repr=False)
class SourceModule:
    """A parsed file of the project. `path` is relative to the root, with forward slashes."""

    path: str
    text: str
    tree: ast.Module
    digest: str
    bindings: Bindings
    vocabulary: Vocabulary
    classes: dict[int, Bindings] = field(default_factory=dict)
    notes: dict[tuple[str, int], Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def directory(self) -> str:
        """The folder of the file, `.` for the root."""
        return str(PurePosixPath(self.path).parent)

    def note(self, what: str, node: ast.AST, compute: Callable[[], T]) -> T:
        """Something about a node of this module, worked out once."""
        key = (what, id(node))
        if key not in self.notes:
            self.notes[key] = compute()
        found: T = self.notes[key]
        return found

    def let_go(self) -> None:
        """Drop what was worked out: it refers to the module in turn, so that neither would ever be freed."""
        self.notes.clear()
        self.classes.clear()
        self.bindings.memories.clear()

    def bindings_of(self, node: ast.ClassDef) -> Bindings:
        """The bindings in a class body."""
        known = self.classes.get(id(node))
        if known is None:
            known = self.classes[id(node)] = bindings_of(node.body)
        return known


def bindings_of(body: list[Statement]) -> Bindings:
    """Index a block by the names that it binds, looking into `if`, `try`, `with` and `for`."""
    bindings = Bindings()
    for statement in body:
        for name in dict.fromkeys(bound_names(statement)):
            bindings.names.setdefault(name, []).append(statement)
        bindings.stars += [
            inner
            for inner in flat(statement)
            if isinstance(inner, ast.ImportFrom) and any(alias.name == "*" for alias in inner.names)
        ]
    return bindings


def read_source(raw: bytes) -> str:
    """Decode a Python file as Python would. Raises UnreadableError."""
    if len(raw) > MAX_SOURCE_BYTES:
        raise UnreadableError(f"{len(raw)} bytes, more than the {MAX_SOURCE_BYTES} that are analysed")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return io.TextIOWrapper(io.BytesIO(raw), encoding).read()
    except (SyntaxError, UnicodeError, LookupError, ValueError) as error:
        raise UnreadableError(f"its encoding cannot be read: {error}") from error


def parse(text: str) -> ast.Module:
    """Parse a module. Raises UnreadableError for what Python cannot compile either, whatever the cause."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise UnreadableError(f"it does not parse: {error.msg}", error.lineno or 1) from error
    except ValueError as error:
        raise UnreadableError(f"it does not parse: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise UnreadableError("it is nested too deeply") from error


class Project:
    """The files under `root`, each read and parsed once, with the imports that were followed between them."""

    def __init__(self, root: Path, vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = vocabulary or built_in()
        self._root = root
        self._modules: dict[str, SourceModule | None] = {}
        self._found: dict[tuple[str, str], str | None] = {}
        self._listings: dict[str, frozenset[str]] = {}
        self._followed: dict[str, set[str]] = {}
        self._imported: set[str] = set()
        self._conftests: dict[str, tuple[str, ...]] = {}
        self._by_name: dict[str, list[str]] | None = None

    def read(self, path: str) -> SourceModule:
        """Read and parse the file at `path`. Raises UnreadableError."""
        known = self._modules.get(path)
        if known is not None:
            return known
        try:
            raw = (self._root / path).read_bytes()
        except OSError as error:
            raise UnreadableError(f"it cannot be read: {error.strerror or error}") from error
        text = read_source(raw)
        tree = parse(text)
        digest = hashlib.sha256(raw).hexdigest()
        module = SourceModule(path, text, tree, digest, bindings_of(tree.body), self.vocabulary, lines=text.split("\n"))
        self._modules[path] = module
        return module

    def module_at(self, path: str) -> SourceModule | None:
        """As `read`, for a module that is looked at on the way: None where it cannot be used."""
        if path not in self._modules:
            try:
                self.read(path)
            except UnreadableError:
                self._modules[path] = None
        return self._modules[path]

    def forget(self, path: str) -> None:
        """Let go of a file that nothing imports, once it is analysed: a large suite does not fit in memory whole."""
        if path not in self._imported:
            module = self._modules.pop(path, None)
            if module is not None:
                module.let_go()

    def sources_of(self, path: str) -> dict[str, str]:
        """The file at `path` and every file that was looked at on its behalf, with the digests of their bytes."""
        sources: dict[str, str] = {}
        waiting = [path]
        while waiting:
            source = waiting.pop()
            if source not in sources:
                sources[source] = self._digest_of(source)
                waiting += self._followed.get(source, ())
        return sources

    def _digest_of(self, path: str) -> str:
        module = self._modules.get(path)
        if module is not None:
            return module.digest
        try:
            return hashlib.sha256((self._root / path).read_bytes()).hexdigest()
        except OSError:
            return ""

    def find(self, dotted: str, importer: SourceModule, level: int = 0) -> SourceModule | None:
        """The project's module that `dotted` names in `importer`, `level` being the number of leading dots."""
        key = (importer.directory, f"{'.' * level}{dotted}")
        if key not in self._found:
            self._found[key] = self._locate(dotted, importer, level)
        path = self._found[key]
        if path is None:
            return None
        self._followed.setdefault(importer.path, set()).add(path)
        self._imported.add(path)
        return self.module_at(path)

    def conftests(self, module: SourceModule) -> list[SourceModule]:
        """The conftest files that hold for `module`, nearest first."""
        paths = self._conftests.get(module.directory)
        if paths is None:
            here = PurePosixPath(module.path).parent
            folders = (str(folder) for folder in (here, *here.parents))
            paths = self._conftests[module.directory] = tuple(
                str(PurePosixPath(folder) / "conftest.py")
                for folder in folders
                if "conftest.py" in self._listing(folder)
            )
        self._followed.setdefault(module.path, set()).update(paths)
        return [found for path in paths if path != module.path and (found := self.module_at(path)) is not None]

    def _locate(self, dotted: str, importer: SourceModule, level: int) -> str | None:
        here = PurePosixPath(importer.directory)
        if level:
            base = here
            for _ in range(level - 1):
                base = base.parent
            return self._under(base, dotted) if dotted else self._package(base)
        for base in (here, *here.parents, *(parent / "src" for parent in here.parents), here / "src"):
            found = self._under(base, dotted)
            if found is not None and found != importer.path:
                return found
        return self._elsewhere(dotted, importer)

    def _elsewhere(self, dotted: str, importer: SourceModule) -> str | None:
        """
        The module of that name nearest to the importer, for projects that put other folders on `sys.path`.

        Only for test code that does so, and for one word: anything else is a package that is installed.
        """
        if "." in dotted or "sys.path" not in importer.text or dotted in sys.stdlib_module_names:
            return None
        if self._by_name is None:
            self._by_name = _modules_by_name(self._root)
        here = PurePosixPath(importer.path).parts
        candidates = [path for path in self._by_name.get(dotted, ()) if path != importer.path]
        near = [(_shared_parts(here, PurePosixPath(path).parts), path) for path in candidates]
        most = max((shared for shared, _ in near), default=0)
        return min((path for shared, path in near if shared == most), key=len) if most else None

    def _under(self, base: PurePosixPath, dotted: str) -> str | None:
        *folders, last = dotted.split(".")
        folder = base.joinpath(*folders)
        listing = self._listing(str(folder))
        if f"{last}.py" in listing and f"{last}/" not in listing:
            return str(folder / f"{last}.py")
        if f"{last}/" in listing:
            return self._package(folder / last) or (str(folder / f"{last}.py") if f"{last}.py" in listing else None)
        return None

    def _package(self, folder: PurePosixPath) -> str | None:
        return str(folder / "__init__.py") if "__init__.py" in self._listing(str(folder)) else None

    def _listing(self, folder: str) -> frozenset[str]:
        known = self._listings.get(folder)
        if known is None:
            try:
                with os.scandir(self._root / folder) as entries:
                    known = frozenset(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
            except OSError:
                known = frozenset()
            self._listings[folder] = known
        return known


def _modules_by_name(root: Path) -> dict[str, list[str]]:
    """The paths of the modules in a project by their last name, in order."""
    found: dict[str, list[str]] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NO_SOURCES)
        inside = PurePosixPath(os.path.relpath(folder, root).replace(os.sep, "/"))
        for name in sorted(files):
            if name.endswith(".py"):
                found.setdefault(name.removesuffix(".py"), []).append(str(inside / name))
    return found


_NO_SOURCES: Final = frozenset({"node_modules", "__pycache__", "venv"})


def _shared_parts(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders two paths begin with together."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
