"""What each case of a file needs, from its behaviour on every machine that it can tell apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dt_action.analysis.heat import may_matter
from dt_action.analysis.interpreter import BudgetError
from dt_action.analysis.parametrisation import CaseId
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.requirement import Leaf, Needs, derive, leaf_of
from dt_action.analysis.simulation import Case, Simulator
from dt_action.analysis.tests_of import Test, tests_in
from dt_action.analysis.values import Gate, Mark
from dt_action.analysis.worlds import TooManyWorldsError, World, explore

Identity = tuple[int, CaseId]
Tree = Sequence[tuple[Mapping[str, Hashable], list[Case]]]


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
    cold: dict[object, TestNeeds] = {}
    found = []
    for test in tests:
        if not simulator.is_cold(test):
            found.append(_infer_test(simulator, test))
            continue
        owner = id(test.owner.node) if test.owner else None
        if owner not in cold:
            cold[owner] = _infer_test(simulator, test)
        like = cold[owner]
        found.append(replace(like, key=test.key, line=test.line, lines=test.lines, cases=()))
    return FileInference(whole=whole, tests=tuple(found))


def _whole(simulator: Simulator) -> Needs:
    try:
        return derive([leaf_of(choices, met) for choices, met in explore(simulator.file_gates)])
    except (TooManyWorldsError, BudgetError, RecursionError):
        return Needs()


def _infer_test(simulator: Simulator, test: Test) -> TestNeeds:
    try:
        tree: Tree = explore(lambda world: simulator.cases(test, world))
    except (TooManyWorldsError, BudgetError, RecursionError):
        tree = _without_body(simulator, test)
    if not tree:
        return TestNeeds(key=test.key, line=test.line, common=_whole(simulator), is_understood=False)
    missing = Gate(simulator.module.path, test.line, "generated-param")
    identities = dict.fromkeys(identity for _, cases in tree for identity in _identified(cases))
    most = max((len(cases) for _, cases in tree), default=0)
    found: list[CaseNeeds] = []
    for identity in identities:
        leaves = []
        for choices, cases in tree:
            case = _identified(cases).get(identity)
            met: tuple[Hashable, ...] = case.met if case else (missing,) if len(cases) < most else ()
            leaves.append(leaf_of(choices, met))
        like = next(case for _, cases in tree if (case := _identified(cases).get(identity)))
        names = tuple(f"{test.key}{suffix}" for suffix in like.suffixes)
        found.append(CaseNeeds(names=names, needs=derive(leaves), marks=like.marks))
    common = derive([_shared(choices, cases, missing, most) for choices, cases in tree])
    shared = tuple(mark for mark in (found[0].marks if found else ()) if all(mark in case.marks for case in found))
    if all(case.needs.requirement == common.requirement and case.marks == shared for case in found):
        found = []
    return TestNeeds(key=test.key, line=test.line, common=common, cases=tuple(found), marks=shared, lines=test.lines)


def _without_body(simulator: Simulator, test: Test) -> Tree:
    """The same, judged by decorators, classes and fixtures alone; empty where even that goes too far."""
    try:
        return explore(lambda world: simulator.cases(test, world, with_body=False))
    except (TooManyWorldsError, BudgetError, RecursionError):
        return []


def _identified(cases: Sequence[Case]) -> dict[Identity, Case]:
    """Cases by their id; by their place where they have none."""
    return {(-1, case.id) if case.id else (place, None): case for place, case in enumerate(cases)}


def _shared(choices: Mapping[str, Hashable], cases: Sequence[Case], missing: Gate, most: int) -> Leaf:
    """The gates that every case meets here."""
    leaves = [leaf_of(choices, case.met) for case in cases]
    if not leaves:
        return leaf_of(choices, (missing,) if most else ())
    shared = frozenset.intersection(*(leaf.gates for leaf in leaves))
    return Leaf(choices, shared, any(leaf.is_aware for leaf in leaves))
