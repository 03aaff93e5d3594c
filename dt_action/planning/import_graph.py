"""Which files of a project reach which, read from texts alone; nothing is imported or run."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dt_action.planning.reach.configured import Configured, read_configured
from dt_action.planning.reach.repository import Repository, read_repository
from dt_action.planning.reach.source_facts import (
    CHANGES_SEARCH_PATH,
    HANDLES_PATHS,
    IMPORTS_ANY,
    IMPORTS_LATER,
    SourceFacts,
)

ANY = "*"
"""In a way from one file to another: the file before it imports what it is told to while it runs."""

_LEAST_PREFIX = 3


@dataclass(frozen=True, kw_only=True)
class Graph:
    """
    The Python files of a project, by path relative to its root, and the files that each one reaches directly.

    `unparsed` are files that could not be read as Python: what they import is not known. Files in `reaching_any` import
    what they are told to while they run: any of `targets`. `for_all` are files that every test reaches, such as a
    plugin that pytest's settings name. `repository` has what each file says.
    """

    imports: Mapping[str, frozenset[str]]
    unparsed: frozenset[str] = frozenset()
    reaching_any: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    for_all: frozenset[str] = frozenset()
    repository: Repository = field(default_factory=lambda: Repository(root=Path(), facts={}))
    configured: Configured = field(default_factory=Configured)

    def way_to(self, start: str, changed: Iterable[str]) -> tuple[str, ...]:
        """A shortest way from a file over what it reaches to a changed one, both ends included; empty where none is."""
        return self.reached_by(changed).way(start)

    def reached_by(self, changed: Iterable[str]) -> Reach:
        """Every file that reaches one of `changed`, or one of which it is not known what it imports."""
        return Reach(self, (*changed, *self.unparsed))

    @cached_property
    def importers(self) -> Mapping[str, Sequence[str]]:
        """The files that reach a file directly."""
        importers: dict[str, list[str]] = {}
        for file in sorted(self.imports):
            for reached in self.imports[file]:
                importers.setdefault(reached, []).append(file)
        return importers


class Reach:
    """The files that reach some `ends`, each with the next step of a shortest way there."""

    def __init__(self, graph: Graph, ends: Iterable[str]) -> None:
        self._graph = graph
        self._next: dict[str, str] = {}
        waiting = deque(dict.fromkeys(ends))
        is_any_known = False
        for end in waiting:
            self._next[end] = ""
        self._from_all = next((end for end in waiting if end in graph.for_all), "")
        while waiting:
            file = waiting.popleft()
            steps: Iterable[str] = graph.importers.get(file, ())
            if not is_any_known and file in graph.targets and file not in graph.unparsed:
                is_any_known = True
                steps = [*steps, *sorted(graph.reaching_any)]
            for importer in steps:
                if importer not in self._next:
                    self._next[importer] = file
                    waiting.append(importer)
                    if not self._from_all and importer in graph.for_all:
                        self._from_all = importer

    def __contains__(self, start: str) -> bool:
        return start in self._next or bool(self._from_all)

    def way(self, start: str) -> tuple[str, ...]:
        """A shortest way from `start` to an end, `ANY` where a file imports what it is told to; empty where none is."""
        if start not in self._next:
            return (start, *self.way(self._from_all)) if self._from_all else ()
        way = [start]
        while following := self._next[way[-1]]:
            is_any = following not in self._graph.imports.get(way[-1], ())
            way += [ANY, following] if is_any else [following]
        return tuple(way)


@dataclass(slots=True)
class _Index:
    """Files by every module name that could mean them: from every folder that may stand on the search path."""

    by_module: dict[str, set[str]] = field(default_factory=dict)
    by_name: dict[str, set[str]] = field(default_factory=dict)
    packages_of: dict[str, str] = field(default_factory=dict)
    _beginnings: dict[str, frozenset[str]] = field(default_factory=dict)
    _within: dict[str, list[str]] = field(default_factory=dict)

    def add(self, path: str, real: str, files: frozenset[str], search_path: Collection[str], *, is_free: bool) -> None:
        """`real` is the file that `path` leads to; `is_free` tells that any folder may stand on the search path."""
        parts = path.rpartition(".py")[0].split("/")
        if parts[-1] == "__init__":
            parts.pop()
        top = _depth_of_top(path, files)
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth])
            name = ".".join(parts[depth:])
            is_root = not depth or folder in search_path or f"{folder}/__init__.py" not in files
            if is_root or (is_free and parts[depth] not in sys.stdlib_module_names):
                self.by_module.setdefault(name, set()).add(real)
        self.by_name.setdefault(path.rpartition("/")[2], set()).add(real)
        own = parts[top:]
        self.packages_of.setdefault(real, ".".join(own if path.endswith("__init__.py") else own[:-1]))

    def finish(self) -> None:
        """Once all files are known."""
        for module in self.by_module:
            package = module
            while package:
                package = package.rpartition(".")[0]
                if package:
                    self._within.setdefault(package, []).append(module)

    def files_of(self, module: str) -> Iterator[str]:
        """The files that importing `module` runs: its own and those of the packages above, as far as they are ours."""
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            yield from self.by_module.get(".".join(parts[:count]), ())

    def meant_by(self, word: str) -> Iterator[str]:
        """
        The files that a text can stand for.

        Those of the longest part of it that is a module of ours; a package stands for all that is in it, and a text
        that ends in the midst of a name (`pkg.backends._`) for every module that begins so.
        """
        name = word.rstrip(".")
        parts = name.split(".")
        for count in range(len(parts), 0, -1):
            module = ".".join(parts[:count])
            if module in self.by_module or module in self._within:
                yield from self.files_of(module)
                if count == len(parts):
                    yield from self.below(module)
                break
        if "." in word or word.endswith("_"):
            yield from self.beginning(word)

    def named(self, module: str) -> Iterator[str]:
        """The files of a module and of all that is in it; none where there is no such module."""
        if module in self.by_module or module in self._within:
            yield from self.files_of(module)
            yield from self.below(module)

    def below(self, package: str) -> Iterator[str]:
        """The files of all modules in a package."""
        for module in self._within.get(package, ()):
            yield from self.by_module[module]

    def beginning(self, text: str) -> frozenset[str]:
        """The files of all modules whose names begin so."""
        if len(text) < _LEAST_PREFIX:
            return frozenset()
        if text not in self._beginnings:
            package = text.rpartition(".")[0]
            names = self._within.get(package, ()) if package else self.by_module
            self._beginnings[text] = frozenset(
                file for name in names if name.startswith(text) for file in self.by_module[name]
            )
        return self._beginnings[text]


def read_graph(
    root: Path,
    *,
    gone: Iterable[str] = (),
    tests: Collection[str] = (),
    top: Path | None = None,
    arguments: Sequence[str] = (),
    cache: Path | None = None,
) -> Graph:
    """
    The graph of the Python files below `root`, and of those between it and the repository's `top`.

    `gone` are deleted files, whose importers are of interest, too. `tests` are the test files, which nothing but an
    import reaches. `arguments` are pytest's. `cache` is a file that remembers what was read.
    """
    repository = read_repository(root, top=top, cache=cache)
    return graph_of(repository, read_configured(root, arguments), gone=gone, tests=tests)


def graph_of(
    repository: Repository, configured: Configured, *, gone: Iterable[str] = (), tests: Collection[str] = ()
) -> Graph:
    """The graph of a repository whose files were read."""
    known = frozenset(repository.facts) | {path for path in gone if path.endswith(".py")}
    index = _indexed(known, repository, configured)
    own_tests = {path for path in tests if _is_named_as_test(path)}
    targets = known - own_tests
    resolver = _Resolver(index, configured, targets)
    imports: dict[str, frozenset[str]] = {}
    unparsed, reaching_any = set(), set()
    for path, facts in repository.facts.items():
        if facts is None:
            unparsed.add(path)
            continue
        if IMPORTS_ANY in facts.traits:
            reaching_any.add(path)
        reached = resolver.reached(path, facts) | set(_loaded_with(path, known))
        imports[path] = frozenset(reached - {path})
    return Graph(
        imports=imports,
        unparsed=frozenset(unparsed),
        reaching_any=frozenset(reaching_any),
        targets=frozenset(targets),
        for_all=frozenset(resolver.for_all(repository)),
        repository=repository,
        configured=configured,
    )


def _indexed(known: frozenset[str], repository: Repository, configured: Configured) -> _Index:
    index = _Index()
    is_free = any(facts and CHANGES_SEARCH_PATH in facts.traits for facts in repository.facts.values())
    for path in sorted(known):
        index.add(path, path, known, configured.search_path, is_free=is_free)
    for link, target in repository.links.items():
        behind = {link + path[len(target) :]: path for path in known if path.startswith(f"{target}/") or path == target}
        every = known | behind.keys()
        for path, real in sorted(behind.items()):
            index.add(path, real, every, configured.search_path, is_free=is_free)
    index.finish()
    return index


class _Resolver:
    """From what a file says to the files that are meant."""

    def __init__(self, index: _Index, configured: Configured, targets: Collection[str]) -> None:
        self._index = index
        self._configured = configured
        self._meant: dict[str, frozenset[str]] = {}
        self._folders: dict[str, set[str]] = {}
        for path in targets:
            for folder in path.split("/")[:-1]:
                self._folders.setdefault(folder, set()).add(path)

    def reached(self, path: str, facts: SourceFacts) -> set[str]:
        """The files that a file reaches directly."""
        package = self._index.packages_of[path]
        reached: set[str] = set()
        for level, name in facts.imports:
            reached.update(self._index.files_of(_absolute(level, name, package)))
        for chain in facts.chains:
            reached.update(self._index.files_of(chain))
        reached.update(self._named_in(facts, package))
        if IMPORTS_LATER in facts.traits:
            reached.update(self._index.below(package))
        if HANDLES_PATHS in facts.traits:
            reached.update(self._lying_in(facts.parts))
            reached.update(self._lying_in(facts.words))
        folder = path.rpartition("/")[0]
        beside = {name for _, name in facts.imports if name and "." not in name}
        for name in beside:  # as for a script, whose own folder stands on the search path
            for sibling in self._index.by_name.get(f"{name}.py", ()):
                if sibling.rpartition("/")[0] == folder:
                    reached.add(sibling)
        return reached

    def for_all(self, repository: Repository) -> set[str]:
        """The files that all tests reach, since settings or data name them, or the interpreter loads them."""
        reached: set[str] = set()
        for word in self._configured.words:
            reached |= self._of_word(word)
        for names in repository.naming.values():
            for name in names:
                reached |= self._of_word(name)
        for name in ("sitecustomize.py", "usercustomize.py"):
            reached |= self._index.by_name.get(name, set())
        return reached

    def _named_in(self, facts: SourceFacts, package: str) -> Iterator[str]:
        for word in facts.words:
            if word.startswith("."):
                level = len(word) - len(word.lstrip("."))
                yield from self._of_word(_absolute(level, word.lstrip("."), package))
                continue
            yield from self._of_word(word)
            if package:
                yield from self._index.named(f"{package}.{word}")
        scripts, by_name = self._configured.scripts, self._index.by_name
        has_suffix = ".py" in facts.parts or ".py" in facts.words
        for part in (*facts.parts, *facts.words):
            if part in scripts:
                yield from self._of_word(scripts[part])
            if part in by_name:
                yield from by_name[part]
            elif has_suffix and f"{part}.py" in by_name:
                yield from by_name[f"{part}.py"]

    def _of_word(self, word: str) -> frozenset[str]:
        if word not in self._meant:
            self._meant[word] = frozenset(self._index.meant_by(word))
        return self._meant[word]

    def _lying_in(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            yield from self._folders.get(name, ())


def _absolute(level: int, name: str, package: str) -> str:
    """The module that a relative name means in a package; `name` itself at level 0."""
    if not level:
        return name
    parts = package.split(".") if package else []
    above = parts[: len(parts) - (level - 1)] if level - 1 <= len(parts) else []
    return ".".join(filter(None, [*above, name]))


def _depth_of_top(path: str, files: Collection[str]) -> int:
    """How many folders lie above the outermost package of a file."""
    folders = path.split("/")[:-1]
    depth = len(folders)
    while depth and f"{'/'.join(folders[:depth])}/__init__.py" in files:
        depth -= 1
    return depth


def _loaded_with(path: str, files: Collection[str]) -> Iterator[str]:
    """The conftest files that pytest imports for a test file, and the packages that a file lies in."""
    folders = path.split("/")[:-1]
    for depth in range(len(folders) + 1):
        for name in ("conftest.py", "__init__.py"):
            above = "/".join([*folders[:depth], name])
            if above in files and above != path:
                yield above


def _is_named_as_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith("test") or name.endswith(("_test.py", "_tests.py"))
