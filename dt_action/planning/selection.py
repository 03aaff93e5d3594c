"""Which tests a change can reach, each with the reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from dt_action.model.case import TestFile
from dt_action.model.change import Chosen, Selection
from dt_action.planning.changes import FileChange, kind_of, mentions, mentions_name
from dt_action.planning.choice import Choice
from dt_action.planning.import_graph import ANY, Graph, Reach
from dt_action.planning.knowledge import FOREIGN, Knowledge
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
MOST_NAMED = 3
READ_BY_LIBRARIES = (
    *(
        ".xml",
        ".xsd",
        ".xslt",
        ".h5",
        ".hdf5",
        ".nc",
        ".parquet",
        ".feather",
        ".arrow",
        ".orc",
        ".shp",
        ".tif",
        ".tiff",
    ),
    *(".mo", ".so", ".dll", ".dylib", ".onnx", ".pt", ".mp4", ".wav", ".ttf", ".otf"),
)
"""Data that libraries of other languages open themselves, which nobody hears."""


def changed_since(
    files: Sequence[TestFile],
    changes: Sequence[FileChange],
    graph: Graph,
    *,
    asked: str,
    elsewhere: Collection[str] = (),
    ran: Mapping[str, Collection[str]] = MappingProxyType({}),
    knowledge: Knowledge | None = None,
) -> Choice:
    """
    The tests that changes reach: whole files or, where `knowledge` of earlier runs tells, single cases.

    `elsewhere` are test files that another run takes, or that the options leave out; `ran` names the files of which
    each test file's tests ran lines in an earlier run. What cannot be followed errs on the side of running: a change
    that no test is known to reach takes every test, but for documents that no text of the project names.
    """
    reasons = Reasons(files, graph, elsewhere, ran, knowledge or Knowledge())
    for change in changes:
        reasons.add(change)
    return reasons.choice(files, asked=asked)


class Reasons:
    """Gathers, change by change, which test files and cases have to run, and why."""

    def __init__(
        self,
        files: Sequence[TestFile],
        graph: Graph,
        elsewhere: Collection[str],
        ran: Mapping[str, Collection[str]],
        knowledge: Knowledge,
    ) -> None:
        self._graph = graph
        self._tests = {file.path: "" for file in files}
        self._cases: dict[str, dict[str, str]] = {}
        self._elsewhere = frozenset(elsewhere)
        self._ran = ran
        self._knowledge = knowledge
        self._for_all = ""
        self._changed: list[str] = []
        self._folders = {folder for path in (*self._tests, *elsewhere) for folder in _folders_of(path)}
        self._packages = {path.rpartition("/")[0] for path in graph.imports if path.endswith("/__init__.py")}

    def add(self, change: FileChange) -> None:
        """Take in one change."""
        path = change.path
        self._changed.append(path)
        kind = kind_of(path, tests=self._folders, packages=self._packages)
        if kind == "settings":
            self._take_all(f"{path} changed, which may concern every test")
        elif kind == "document":
            self._add_document(change)
        elif kind == "python":
            self._add_python(change)
        elif path in self._tests:
            self._take(path, "it changed")
        elif path not in self._elsewhere:
            self._add_data(change)

    def choice(self, files: Sequence[TestFile], *, asked: str) -> Choice:
        """What has to run."""
        chosen, left_out, cases = [], [], {}
        for file in files:
            path, of_cases = file.path, self._cases.get(file.path, {})
            reason = self._tests[path] or self._for_all
            if reason:
                chosen.append(Chosen(path=path, reason=reason))
            elif of_cases:
                known = len(self._knowledge.cases(path))
                why = next(iter(of_cases.values()))
                reason = f"{len(of_cases)} of its {max(known, len(of_cases))} cases: {why}"
                chosen.append(Chosen(path=path, reason=reason, cases=tuple(sorted(of_cases.items()))))
                cases[path] = tuple(of_cases)
            else:
                left_out.append(path)
        kept = {item.path for item in chosen}
        return Choice(
            files=tuple(file for file in files if file.path in kept),
            told=Selection(
                asked=asked,
                chosen=tuple(chosen),
                left_out=tuple(left_out),
                why_left_out=self._why_not() if left_out else "",
            ),
            cases=cases,
        )

    def _why_not(self) -> str:
        changed = ", ".join(self._changed[:MOST_NAMED]) + (", ..." if len(self._changed) > MOST_NAMED else "")
        if not changed:
            return "nothing changed"
        seen = ", and no case that was seen to enter what changed" if self._knowledge else ""
        return f"no way leads from it to {changed}{seen}"

    def stale(self) -> frozenset[str]:
        """The cases, and the files as a whole, that have to run; all files where everything has to."""
        if self._for_all:
            return frozenset(self._tests)
        whole = (path for path, why in self._tests.items() if why)
        return frozenset([*whole, *(case for cases in self._cases.values() for case in cases)])

    # --- one kind of change each ----------------------------------------------------------------------------------

    def _add_python(self, change: FileChange) -> None:
        path, difference = change.path, change.difference()
        self._take_readers(change)
        self._take_on_text(path, moves_lines=difference.moves_lines)
        if difference.is_silent:
            if difference.has_docs:
                self._take_on_docs(change)
            return
        if difference.is_whole or self._is_for_all_importers(path, difference):
            is_reached = self._take_importers(path)
        else:
            is_reached = self._take_entering(path, difference)
        for test, files in self._ran.items():
            if path in files and not self._knowledge.cases(test):
                is_reached |= self._take(test, f"ran lines of {path} before, which changed")
        is_gone_test = change.after is None and _is_test(path)
        if not is_reached and path not in self._elsewhere and not is_gone_test:
            self._take_all(f"{path} changed, and no test is known to reach it")
        if is_reached or self._for_all:
            self._take_unknown()

    def _take_importers(self, path: str) -> bool:
        """What runs at import, or shows from outside, concerns all that reach a file."""
        if path in self._tests:
            self._take(path, "it changed")
        reach = self._graph.reached_by([path])
        is_reached = self._take_reaching(reach, lambda way: _as_reason(way, "which changed", self._graph))
        for case in self._knowledge.entered_in(path):
            is_reached |= self._take_case(case, f"ran {path} before, which changed")
        return is_reached

    def _take_entering(self, path: str, difference: Difference) -> bool:
        """Bodies of functions concern the cases that entered them, and those of which not everything was seen."""
        reach = self._graph.reached_by([path])
        is_reached = any(test in reach for test in self._tests)
        for name in sorted(difference.functions):
            for case in self._knowledge.entered((path, name)):
                is_reached |= self._take_case(case, f"ran {name}() in {path} before, which changed")
            is_reached |= self._take_keeping((path, name))
        self._take_unfollowed(reach, path)
        return is_reached

    def _take_keeping(self, unit: tuple[str, str]) -> bool:
        """What a function made may be found by all that reach a module which keeps it."""
        homes = self._knowledge.kept_in(unit)
        if not homes:
            return False
        told = f"keeps what {unit[1]}() in {unit[0]} made, which changed"
        return self._take_reaching(self._graph.reached_by(homes), lambda way: f"{way[-1]} {told}")

    def _is_for_all_importers(self, path: str, difference: Difference) -> bool:
        """True where a function that changed also ran outside of tests, or may run where nobody sees it."""
        if not self._knowledge:
            return True
        if difference.compiled or not self._knowledge.has_run(path):
            return True
        return any(self._knowledge.is_outside((path, name)) for name in difference.functions)

    def _add_document(self, change: FileChange) -> None:
        """A document concerns those in reach of a text that names it, and those that list where it lies."""
        path = change.path
        named_in = [file for file, facts in self._facts() if file != path and mentions(facts, path)]
        if path.endswith(".py"):
            named_in.append(path)

        def why(way: Sequence[str]) -> str:
            return f"{way[-1] if len(way) > 1 else 'it'} may read {path}, which changed"

        self._take_reaching(self._graph.reached_by(named_in), why, but_known=True)
        for test in self._tests:
            if test in self._listing and test in self._placed:
                self._take_but_known(test, f"may list the folder of {path}, which changed")
        self._take_readers(change)

    def _add_data(self, change: FileChange) -> None:
        """Data concerns those that were seen to open it, and all of which not everything was seen."""
        path = change.path
        is_read = self._take_readers(change)
        if not change.is_there or path.endswith(READ_BY_LIBRARIES):
            named_in = [file for file, facts in self._facts() if mentions(facts, path)]
            is_read |= self._take_reaching(
                self._graph.reached_by(named_in), lambda way: f"{way[-1]} may name {path}, which changed"
            )
        if not is_read:
            self._take_all(f"{path} changed, and it is not known which tests read it")
            return
        for test in self._tests:
            self._take_but_known(test, f"{path} changed, and it is not known whether it reads that")

    # --- who is concerned -----------------------------------------------------------------------------------------

    def _take(self, test: str, why: str) -> bool:
        if test in self._tests and not self._tests[test]:
            self._tests[test] = why
        return test in self._tests

    def _take_case(self, case: str, why: str) -> bool:
        test = case.partition("::")[0]
        if test not in self._tests:
            return test in self._elsewhere
        self._cases.setdefault(test, {}).setdefault(case, why)
        return True

    def _take_all(self, why: str) -> None:
        self._for_all = self._for_all or why

    def _take_reaching(
        self, reach: Reach, why: Callable[[Sequence[str]], str], *, but_known: bool = False, reads: bool = True
    ) -> bool:
        is_any = False
        for test in self._tests:
            if test in reach:
                is_any = True
                if not self._tests[test]:
                    reason = why(reach.way(test))
                    if but_known:
                        self._take_but_known(test, reason, reads=reads)
                    else:
                        self._take(test, reason)
        return is_any

    def _take_but_known(self, test: str, why: str, *, reads: bool = True) -> None:
        """A test file, without those of its cases of which everything was seen; `reads`, also all that they read."""
        unknown = self._knowledge.unknown(test, reads=reads)
        if unknown is None:
            self._take(test, why)
        else:
            for case in unknown:
                self._take_case(case, why)

    def _take_unfollowed(self, reach: Reach, path: str) -> None:
        """Beside those that were seen to run a function: those that reach it, and of which not everything was seen."""

        def why(way: Sequence[str]) -> str:
            return f"{_as_reason(way, 'which changed', self._graph)}; not all that it does was seen"

        self._take_reaching(reach, why, but_known=True, reads=False)

    def _take_readers(self, change: FileChange) -> bool:
        """Those that were seen to open a file, or to list its folder where it is new or gone; and those that may."""
        path = change.path
        sources = [(self._knowledge.readers(path), "opened")]
        if not change.is_there:
            sources.append((self._knowledge.listers(path), "listed the folder of"))
        is_any = False
        for readers, verb in sources:
            for case in readers.cases:
                is_any |= self._take_case(case, f"{verb} {path} before, which changed")
            if FOREIGN in readers.through:
                self._take_all(f"a library {verb} {path} before, which changed, and may keep it for any test")
                is_any = True
            elif readers.through:
                through = self._graph.reached_by([*readers.through])
                is_any |= self._take_reaching(
                    through,
                    lambda way, verb=verb: f"{way[-1]} {verb} {path} before, which changed",  # type: ignore[misc]
                )
        if path.endswith(".py"):
            self._take_reading(path)
        return is_any

    def _take_reading(self, path: str) -> None:
        """Those that may read the text of a Python file: they reach one that reads sources, and names this or lists."""
        naming = [file for file, facts in self._facts() if file != path and mentions_name(facts, path)]
        named = self._graph.reached_by(naming)
        for test in self._tests:
            is_led_there = test in named or (test in self._listing and test in self._placed)
            if is_led_there and test in self._reading:
                self._take_but_known(test, f"may look at the text of {path}, which changed")

    def _take_on_text(self, path: str, *, moves_lines: bool) -> None:
        """Those that look at sources or, where lines move, at their numbers, and reach a file."""
        here = self._graph.reached_by([path])
        looking = self._with_trait(READS_LINES) if moves_lines else []
        lines = self._graph.reached_by(filter(self._is_beside_tests, looking) if self._knowledge else looking)
        for test in self._tests:
            if test in here and test in lines and looking:
                self._take(test, f"may look at the numbers of lines in {path}, which changed")
            elif test in here and test in self._reading:
                self._take_but_known(test, f"may look at the text of {path}, which changed")

    def _take_on_docs(self, change: FileChange) -> None:
        path = change.path
        if path in self._tests and b">>>" in (change.before or b"") + (change.after or b""):
            self._take(path, "its docstrings changed")
        readers = self._graph.reached_by(self._with_trait(READS_DOCS))
        here = self._graph.reached_by([path])
        for test in self._tests:
            if test in here and test in readers:
                self._take(test, f"may look at docstrings, of which some in {path} changed")

    def _take_unknown(self) -> None:
        """Those of which nobody can tell what they reach."""
        if self._other_kinds:
            self._take_all(f"{self._other_kinds}, and it is not known what those reach")
        for test in self._tests:
            if not test.endswith(".py"):
                self._take(test, "it is not Python, so that what it reaches is not known")
        reach = self._graph.reached_by([])
        self._take_reaching(
            reach, lambda way: _as_reason(way, "which cannot be read as Python", self._graph), but_known=True
        )

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
        return self._graph.reached_by(filter(self._is_beside_tests, self._with_trait(KNOWS_PLACE)))

    def _is_beside_tests(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return folder in self._folders or path in self._tests or name == "conftest.py"

    def _with_trait(self, trait: str) -> list[str]:
        return [path for path, facts in self._facts() if trait in facts.traits]

    def _facts(self) -> Iterable[tuple[str, SourceFacts]]:
        return ((path, facts) for path, facts in self._graph.repository.facts.items() if facts is not None)


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
