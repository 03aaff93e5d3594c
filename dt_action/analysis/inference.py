"""What each case of a file needs, from its behaviour on every machine that it can tell apart."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache, partial

from dt_action.analysis.generated import registering
from dt_action.analysis.heat import may_matter
from dt_action.analysis.interpreter import BudgetError
from dt_action.analysis.likeness import likeness_of
from dt_action.analysis.parametrisation import CaseId
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.requirement import SOFT_RULES, Leaf, Needs, derive, leaves_of
from dt_action.analysis.simulation import Case, Depth, Outcome, Simulator
from dt_action.analysis.tests_of import Test, tests_in
from dt_action.analysis.values import Gate, Mark
from dt_action.analysis.worlds import Notes, Possible, TooManyWorldsError, World, explore

Identity = tuple[int, CaseId]
Tree = Sequence[tuple[Possible, Outcome]]
_NO_CASES: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseNeeds:
    """
    Cases that need the same, by what they are called (node ids without the file).

    `names` is empty where the ids of the parameters cannot be told from the code.
    """

    names: tuple[str, ...]
    needs: Needs
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestNeeds:
    """A test function: what all of its cases need, and each of them where they differ."""

    __test__ = False

    key: str
    line: int
    common: Needs
    cases: tuple[CaseNeeds, ...] = field(default=())
    marks: tuple[Mark, ...] = ()
    lines: tuple[int, ...] = ()
    is_understood: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInference:
    """What the code of a file says: for the file as a whole, and test by test."""

    whole: Needs
    tests: tuple[TestNeeds, ...]


def infer(project: Project, module: SourceModule) -> FileInference:
    """What the tests of `module` need, from its code and that of its helpers."""
    if not may_matter(module, project.conftests(module)):
        return FileInference(whole=Needs(), tests=())
    simulator = Simulator(project, module)
    whole = _whole(simulator)
    tests = tests_in(module, simulator.interpreter(World({})))
    known: dict[object, tuple[Test, TestNeeds]] = {}
    found = []
    for test in tests:
        likeness = likeness_of(simulator, test)
        if likeness in known:
            found.append(_moved(*known[likeness], test))
            continue
        needs = _infer_test(simulator, test)
        if likeness is not None:
            known[likeness] = test, needs
        found.append(needs)
    return FileInference(whole=whole, tests=(*found, *_made(simulator)))


def _moved(like: Test, needs: TestNeeds, test: Test) -> TestNeeds:
    """What a test needs that is like another."""
    lines = {like.node.lineno: test.node.lineno, like.line: test.line}

    def move(of: Needs) -> Needs:
        gates = tuple(
            replace(gate, line=lines.get(gate.line, gate.line)) if gate.file == test.module.path else gate
            for gate in of.gates
        )
        evidence = tuple(
            replace(seen, line=lines.get(seen.line, seen.line)) if seen.file == test.module.path else seen
            for seen in of.requirement.evidence
        )
        return replace(of, requirement=replace(of.requirement, evidence=evidence), gates=gates) if of.gates else of

    cases = tuple(
        replace(
            case, names=tuple(test.key + name.removeprefix(like.key) for name in case.names), needs=move(case.needs)
        )
        for case in needs.cases
    )
    return replace(needs, key=test.key, line=test.line, lines=test.lines, common=move(needs.common), cases=cases)


def _made(simulator: Simulator) -> list[TestNeeds]:
    """The tests that the module makes while it loads; those that only some machines have need what these have."""
    if not registering(simulator.module):
        return []
    try:
        tree = explore(simulator.made)
    except _TOO_FAR:
        return []
    missing = Notes()
    missing.gates.append(Gate(simulator.module.path, registering(simulator.module)[0].lineno, "generated-param"))
    found = []
    for key in dict.fromkeys(key for _, (_, keys) in tree for key in keys):
        leaves = [
            leaf
            for possible, (met, keys) in tree
            for leaf in leaves_of(possible, met, *([] if key in keys else [missing]))
        ]
        found.append(TestNeeds(key=key, line=missing.gates[0].line, common=derive(leaves)))
    return found


def _whole(simulator: Simulator) -> Needs:
    def probe(kind: str) -> list[frozenset[Gate]]:
        found = explore(partial(simulator.file_gates, beyond=True), {"accelerator": frozenset({kind})})
        return [frozenset(met.gates) for _, met in found]

    try:
        leaves = [leaf for possible, met in explore(simulator.file_gates) for leaf in leaves_of(possible, met)]
        return derive(leaves, cache(probe))
    except _TOO_FAR:
        return Needs()


_TOO_FAR = (TooManyWorldsError, BudgetError, RecursionError)


def _infer_test(simulator: Simulator, test: Test) -> TestNeeds:
    tree, is_understood = _tree(simulator, test)
    if not tree:
        return TestNeeds(key=test.key, line=test.line, common=_whole(simulator), is_understood=False)
    missing = Notes()
    missing.gates.append(Gate(simulator.module.path, test.line, "generated-param"))
    cases = [_identified(outcome.cases or _NO_CASES) for _, outcome in tree]
    most = max(map(len, cases))
    probe = cache(partial(_closed_on, simulator, test))
    found: list[CaseNeeds] = []
    derived: dict[tuple[int, ...], Needs] = {}
    added = _added([known.keys() for (_, outcome), known in zip(tree, cases, strict=True) if outcome.cases is not None])
    for identity in dict.fromkeys(identity for known in cases for identity in known):
        met = []
        for (_, outcome), known in zip(tree, cases, strict=True):
            here = [outcome.met]
            if identity in known:
                here.append(known[identity].met)
            elif outcome.cases is not None and (len(known) < most or identity in added):
                here.append(missing)
            met.append(here)
        alike = tuple(id(notes) for here in met for notes in here)  # cases that read the same met the very same
        if alike not in derived:
            leaves = [
                leaf for (possible, _), here in zip(tree, met, strict=True) for leaf in leaves_of(possible, *here)
            ]
            derived[alike] = derive(leaves, probe)
        like = next(known[identity] for known in cases if identity in known)
        names = tuple(f"{test.key}{suffix}" for suffix in like.suffixes)
        found.append(CaseNeeds(names=names, needs=derived[alike], marks=like.marks))
    common = derive([leaf for possible, outcome in tree for leaf in _shared(possible, outcome, missing, most)], probe)
    shared = tuple(mark for mark in (found[0].marks if found else ()) if all(mark in case.marks for case in found))
    if all(case.needs.requirement == common.requirement and case.marks == shared for case in found):
        found = []
    return TestNeeds(
        key=test.key,
        line=test.line,
        common=common,
        cases=tuple(found),
        marks=shared,
        lines=test.lines,
        is_understood=is_understood,
    )


def _tree(simulator: Simulator, test: Test) -> tuple[Tree, bool]:
    """
    What becomes of a test on every machine that it can tell apart, and whether it was followed to the end.

    Where that goes too far, it is judged by decorators and classes alone; the tree is empty where even that does.
    """
    if simulator.budget.left > 0:
        try:
            tree = _explored(simulator, test, Depth())
            if _fails_everywhere(tree):
                tree = _explored(simulator, test, Depth(beyond_gates=True))
        except _TOO_FAR:
            pass
        else:
            return tree, True
    try:
        return (
            (_explored(simulator, test, Depth(into_body=False)), False)
            if simulator.has_steps_for_heads
            else ([], False)
        )
    except _TOO_FAR:
        return [], False


def _explored(simulator: Simulator, test: Test, depth: Depth) -> Tree:
    return explore(lambda world: simulator.outcome(test, world, depth))


def _closed_on(simulator: Simulator, test: Test, kind: str) -> list[frozenset[Gate]]:
    """The gates that each machine of a kind finds closed, those behind others too."""
    if simulator.budget.left <= 0:
        return []
    depth = Depth(beyond_gates=True)
    try:
        tree = explore(lambda world: simulator.outcome(test, world, depth), {"accelerator": frozenset({kind})})
    except _TOO_FAR:
        return []
    return [frozenset(_gates_of(outcome)) for _, outcome in tree]


def _gates_of(outcome: Outcome) -> list[Gate]:
    return [*outcome.met.gates, *(gate for case in outcome.cases or () for gate in case.met.gates)]


def _fails_everywhere(tree: Tree) -> bool:
    """True where every machine seems to lack something, and one of them by a failure: then we are mistaken."""
    closed = [_gates_of(outcome) for _, outcome in tree]
    return all(closed) and any(gate.rule in SOFT_RULES for gates in closed for gate in gates)


def _identified(cases: Sequence[Case]) -> dict[Identity, Case]:
    """Cases by their id; by their place where they have none."""
    return {(-1, case.id) if case.id else (place, None): case for place, case in enumerate(cases)}


def _added(cases: Sequence[Set[Identity]]) -> set[Identity]:
    """
    The cases that some machine has beside all of another's.

    Before: `["cpu"] + ["cuda"] * has_cuda + ["mps"] * has_mps`. After: `[cuda]` needs cuda, and `[mps]` mps. A row that
    takes the place of another, as in `["cuda" if has_cuda else "cpu"]`, needs nothing.
    """
    return {identity for fewer in cases for more in cases if fewer < more for identity in more - fewer}


def _shared(possible: Possible, outcome: Outcome, missing: Notes, most: int) -> list[Leaf]:
    """The gates that every case meets here."""
    if outcome.cases is None:
        return leaves_of(possible, outcome.met)
    if not outcome.cases:
        return leaves_of(possible, outcome.met, *([missing] if most else []))
    shared = frozenset.intersection(*(frozenset(case.met.gates) for case in outcome.cases))
    together = Notes()
    together.gates += shared
    together.gates_tell_makes = any(case.met.gates_tell_makes for case in outcome.cases)
    return leaves_of(possible, outcome.met, together)
