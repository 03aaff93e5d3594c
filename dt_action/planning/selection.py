"""Which tests to run out of all: those that failed last, or those that a change can reach, each with the reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from dt_action.model.case import TestFile
from dt_action.model.change import Chosen, Selection
from dt_action.planning.changes import FileChange, kind_of, mentions, mentions_name
from dt_action.planning.import_graph import ANY, Graph, Reach
from dt_action.planning.reach.source_facts import (
    COLLECTS,
    KNOWS_PLACE,
    LISTS,
    READS_DOCS,
    READS_LINES,
    READS_SOURCES,
    SourceFacts,
)
from dt_action.planning.reach.syntax_changes import Difference

MOST_STEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """
    The files to run and why. Where `cases` has a file, only these of its cases (by id) are to be run.

    `is_whole` tells that nothing was left out, so that tests which no discovery sees are to be run, too.
    """

    files: tuple[TestFile, ...]
    told: Selection
    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """True where nothing was left out."""
        return not self.told.left_out and not self.cases and bool(self.files)


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
    changes: Sequence[FileChange],
    graph: Graph,
    *,
    asked: str,
    elsewhere: Collection[str] = (),
    ran: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Choice:
    """
    The test files that changes reach.

    `elsewhere` are test files that another run takes, or that the options leave out; `ran` names the files of which
    each test file's tests ran lines in an earlier run. What cannot be followed errs on the side of running: a change
    that no test is known to reach takes every test, but for documents that no text of the project names.
    """
    reasons = _Reasons(files, graph, elsewhere, ran)
    for change in changes:
        reasons.add(change)
    return _choose(files, reasons.of, asked=asked)


class _Reasons:
    """Gathers, change by change, which test files have to run, and why."""

    def __init__(
        self,
        files: Sequence[TestFile],
        graph: Graph,
        elsewhere: Collection[str],
        ran: Mapping[str, Collection[str]],
    ) -> None:
        self._graph = graph
        self._tests = {file.path: "" for file in files}
        self._elsewhere = frozenset(elsewhere)
        self._ran = ran
        self._for_all = ""
        self._folders = {folder for path in (*self._tests, *elsewhere) for folder in _folders_of(path)}
        self._packages = {path.rpartition("/")[0] for path in graph.imports if path.endswith("/__init__.py")}

    def of(self, path: str) -> str:
        """Why a test file has to run; empty where it need not."""
        return self._tests[path] or self._for_all

    def add(self, change: FileChange) -> None:
        """Take in one change."""
        path = change.path
        kind = kind_of(path, tests=self._folders, packages=self._packages)
        if kind == "settings":
            self._take_all(f"{path} changed, which may concern every test")
        elif kind == "document":
            self._add_document(path)
        elif kind == "python":
            self._add_python(change)
        elif path in self._tests:
            self._take(path, "it changed")
        elif path not in self._elsewhere:
            self._take_all(f"{path} changed, and it is not known which tests read it")

    # --- one kind of change each ----------------------------------------------------------------------------------

    def _add_python(self, change: FileChange) -> None:
        path, difference = change.path, change.difference()
        if difference.is_silent:
            self._add_silent(change, difference)
            return
        if path in self._tests:
            self._take(path, "it changed")
        reach = self._graph.reached_by([path])
        taken = self._take_reaching(reach, lambda way: _as_reason(way, "which changed", self._graph))
        self._take_reading(path)
        for test, files in self._ran.items():
            if path in files and test in self._tests:
                self._take(test, f"ran lines of {path} before, which changed")
                taken += 1
        if not taken and path not in self._elsewhere and not (change.after is None and _is_test(path)):
            self._take_all(f"{path} changed, and no test is known to reach it")
        if taken or self._for_all:
            self._take_unknown()

    def _add_silent(self, change: FileChange, difference: Difference) -> None:
        """Comments, layout and docstrings: they concern those that look at sources, their lines, or docstrings."""
        self._take_reading(change.path)
        here = self._graph.reached_by([change.path])
        lines = self._graph.reached_by([*self._with_trait(READS_SOURCES), *self._with_trait(READS_LINES)])
        for test in self._tests:
            if test in here and test in lines:
                self._take(test, f"may look at the lines of {change.path}, which changed")
        if not difference.has_docs:
            return
        if change.path in self._tests and b">>>" in (change.before or b"") + (change.after or b""):
            self._take(change.path, "its docstrings changed")
        readers = self._graph.reached_by(self._with_trait(READS_DOCS))
        for test in self._tests:
            if test in here and test in readers:
                self._take(test, f"may look at docstrings, of which some in {change.path} changed")

    def _add_document(self, path: str) -> None:
        """A document concerns those in reach of a text that names it, and those that list where they lie."""
        named_in = [file for file, facts in self._facts() if file != path and mentions(facts, path)]
        if path.endswith(".py"):
            named_in.append(path)
        self._take_reaching(
            self._graph.reached_by(named_in),
            lambda way: (
                f"{way[-1]} may read {path}, which changed" if len(way) > 1 else f"it may read {path}, which changed"
            ),
        )
        for test in self._tests:
            if test in self._listing and test in self._placed:
                self._take(test, f"may list the folder of {path}, which changed")

    # --- who is concerned -----------------------------------------------------------------------------------------

    def _take(self, test: str, why: str) -> None:
        if not self._tests[test]:
            self._tests[test] = why

    def _take_all(self, why: str) -> None:
        self._for_all = self._for_all or why

    def _take_reaching(self, reach: Reach, why: Callable[[Sequence[str]], str]) -> int:
        taken = 0
        for test in self._tests:
            if test in reach:
                taken += 1
                if not self._tests[test]:
                    self._take(test, why(reach.way(test)))
        return taken

    def _take_reading(self, path: str) -> None:
        """Those that may read the text of a Python file: they reach one that reads sources, and names this or lists."""
        naming = [file for file, facts in self._facts() if file != path and mentions_name(facts, path)]
        named = self._graph.reached_by(naming)
        for test in self._tests:
            is_led_there = test in named or (test in self._listing and test in self._placed)
            if is_led_there and test in self._reading:
                self._take(test, f"may look at the text of {path}, which changed")

    def _take_unknown(self) -> None:
        """Those of which nobody can tell what they reach."""
        if self._other_kinds:
            self._take_all(f"{self._other_kinds}, and it is not known what those reach")
        for test in self._tests:
            if not test.endswith(".py"):
                self._take(test, "it is not Python, so that what it reaches is not known")
        reach = self._graph.reached_by([])
        self._take_reaching(reach, lambda way: _as_reason(way, "which cannot be read as Python", self._graph))

    @cached_property
    def _other_kinds(self) -> str:
        collecting = self._with_trait(COLLECTS)
        if collecting:
            return f"{collecting[0]} makes tests of other files"
        return self._graph.configured.other_kinds

    @cached_property
    def _reading(self) -> Reach:
        return self._graph.reached_by(self._with_trait(READS_SOURCES))

    @cached_property
    def _listing(self) -> Reach:
        return self._graph.reached_by(self._with_trait(LISTS))

    @cached_property
    def _placed(self) -> Reach:
        """Reaches a file beside tests that knows where it lies, and so can name any file of the project."""
        beside = [
            path
            for path in self._with_trait(KNOWS_PLACE)
            if path.rpartition("/")[0] in self._folders or path in self._tests or path.endswith("conftest.py")
        ]
        return self._graph.reached_by(beside)

    def _with_trait(self, trait: str) -> list[str]:
        return [path for path, facts in self._facts() if trait in facts.traits]

    def _facts(self) -> Iterable[tuple[str, SourceFacts]]:
        return ((path, facts) for path, facts in self._graph.repository.facts.items() if facts is not None)


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


def _as_reason(way: Sequence[str], end: str, graph: Graph) -> str:
    if len(way) == 1:
        return f"it {end.removeprefix('which ')}"
    if ANY in way:
        chooser = way[way.index(ANY) - 1]
        who = "it may import" if chooser == way[0] else f"it reaches {chooser}, which may import"
        return f"{who} or start {way[-1]}, {end}"
    if way[1] in graph.for_all and way[1] not in graph.imports.get(way[0], ()):
        return f"settings or data name {' -> '.join(_shortened(way[1:]))}, {end}"
    verb = "is under" if way[1].endswith("conftest.py") and len(way) == 2 else "imports"
    return f"{verb} {' -> '.join(_shortened(way[1:]))}, {end}"


def _shortened(way: Sequence[str]) -> Sequence[str]:
    return [*way[: MOST_STEPS - 1], "...", way[-1]] if len(way) > MOST_STEPS else way


def _folders_of(path: str) -> Iterable[str]:
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _is_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith("test_") or name.endswith("_test.py")
