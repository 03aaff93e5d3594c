"""Imagines the collection and the run of one test on one machine, case by case."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from dt_action.analysis import bodies, gates, parametrisation
from dt_action.analysis.effects import Purpose, effects_of
from dt_action.analysis.execution import Executor
from dt_action.analysis.fixtures import FileFixtures, Fixture
from dt_action.analysis.generated import registered
from dt_action.analysis.heat import heat_of
from dt_action.analysis.hooks import FileHooks, object_of_pytest
from dt_action.analysis.interpreter import Budget, Interpreter, Scope
from dt_action.analysis.parametrisation import CaseId, Selection
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.syntax import FunctionNode, argument_names
from dt_action.analysis.tests_of import FUNCTIONS, SETUPS, Test, lineage
from dt_action.analysis.values import (
    UNKNOWN,
    Class,
    Env,
    Function,
    HardwareMissingError,
    Instance,
    Mark,
    Marked,
    SkippedError,
    TestBody,
    Value,
    are_same,
)
from dt_action.analysis.worlds import Memory, Notes, World

EXPLICIT_MARK: Final = "dt"
FILE_STEPS: Final = 24_000
"""Steps for one file after which its remaining tests are judged by their decorators and classes alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    A case of a test on one machine.

    `id` names its rows that bear on hardware, `met` is what it met, `suffixes` are the ends of the node ids that it
    stands for.
    """

    id: CaseId
    met: Notes
    marks: tuple[Mark, ...] = ()
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a test on one machine: `met` before its cases, which are None where it does not get so far."""

    met: Notes
    cases: tuple[Case, ...] | None


@dataclass(frozen=True, slots=True)
class Depth:
    """
    How far a test is followed: into its body at all, and beyond gates that are closed.

    What seems to fail on every machine is a mistake of ours, and hides the gates that come after it.
    """

    into_body: bool = True
    beyond_gates: bool = False


class Simulator:
    """Runs the tests of one module in imagination. Holds what does not hang on the machine."""

    def __init__(self, project: Project, module: SourceModule) -> None:
        self.project = project
        self.module = module
        self.fixtures = FileFixtures(project, module)
        self.hooks = FileHooks(project, module)
        self.budget = Budget(FILE_STEPS)

    @property
    def has_steps_for_heads(self) -> bool:
        """True while decorators and classes may still be followed, where bodies no longer are."""
        return self.budget.left > -FILE_STEPS // 2

    def interpreter(self, world: World) -> Interpreter:
        """A fresh interpreter for a world."""
        return Interpreter(self.project, world, self.budget, Executor)

    def file_gates(self, world: World, *, beyond: bool = False) -> Notes:
        """The gates of the module as a whole, closed in this world; also those `beyond` the first."""
        executor = self.interpreter(world).executor
        executor.goes_on = beyond
        with contextlib.suppress(SkippedError):
            _meet_file(self.module, self.hooks, executor)
        return world.notes

    def made(self, world: World) -> tuple[Notes, tuple[str, ...]]:
        """The tests that the module makes in this world, and the gates of the file that are closed."""
        interpreter = self.interpreter(world)
        try:
            names = registered(interpreter.executor, self.module)
        finally:
            interpreter.charge()
        return self.file_gates(world), names

    def outcome(self, test: Test, world: World, depth: Depth) -> Outcome:
        """What becomes of each case of `test` in this world."""
        run = _Run(self, world, test, depth)
        try:
            return Outcome(world.notes, run.cases())
        except SkippedError:
            return Outcome(world.notes, None)
        finally:
            run.interpreter.charge()


def _meet_file(module: SourceModule, hooks: FileHooks, executor: Executor) -> None:
    """Meet the gates of a file: of the conftest files above it, its own skips, its imports and its `pytestmark`."""
    for conftest in reversed(hooks.conftests):
        _meet_module(conftest, executor)
    hooks.meet_file(executor)
    _meet_module(module, executor, is_marked=True)
    _stop_where_closed(executor)


def _meet_module(module: SourceModule, executor: Executor, *, is_marked: bool = False) -> None:
    def meet() -> None:
        for statement in module.tree.body:
            if gates.is_gating(module, statement):
                bodies.guarded(executor, statement, Scope(module, {}), "module-skip")
        statements = module.bindings.names.get("pytestmark") if is_marked else None
        for mark in _module_marks(module, executor, statements[0].lineno) if statements else ():
            executor.meet(mark)

    memory = module.note(f"gates, {executor.goes_on}", module.tree, partial(Memory, are_same))
    memory.recall(executor.world, meet, remembered=(SkippedError,))
    _stop_where_closed(executor)


def _module_marks(module: SourceModule, executor: Executor, line: int) -> tuple[Mark, ...]:
    value = executor.interpreter.module_value(module, "pytestmark")
    return () if value is None or value is UNKNOWN else gates.marks_of(executor, value, module.path, line)


def _stop_where_closed(executor: Executor) -> None:
    """Raises SkippedError where a gate is closed: nothing that comes after it runs."""
    if executor.world.notes.gates and not executor.goes_on:
        raise SkippedError


class _Run:
    """One test in one world."""

    def __init__(self, simulator: Simulator, world: World, test: Test, depth: Depth) -> None:
        self.fixtures = simulator.fixtures
        self.hooks = simulator.hooks
        self.module = simulator.module
        self.depth = depth
        self.world = world
        self.interpreter = simulator.interpreter(world)
        self.executor = self.interpreter.executor
        self.executor.goes_on = depth.beyond_gates
        self.test = test
        self.self_value: Value = Instance(test.owner) if test.owner else None
        self.lineage = lineage(test.owner, self.interpreter) if test.owner else []

    # -- the class -----------------------------------------------------------------------------------------

    def _class_gates(self) -> list[Mark]:
        """Meet the gates of the class and its bases; return their marks, for the parametrisations among them."""
        marks: list[Mark] = []
        for cls in self.lineage:
            bindings = cls.module.bindings_of(cls.node)
            marks += bindings.memory("<marks>").recall(self.world, partial(self._class_marks, cls))
        for mark in marks:
            self.executor.meet(mark)
        return marks

    def _class_marks(self, cls: Class) -> list[Mark]:
        marks: list[Mark] = []
        value: Value = cls
        scope = Scope(cls.module)
        for decorator in reversed(cls.node.decorator_list):
            value = gates.decorated(self.executor, value, decorator, scope)
        if isinstance(value, Marked):
            marks += value.marks
        bindings = cls.module.bindings_of(cls.node)
        if "pytestmark" in bindings.names:
            line = bindings.names["pytestmark"][0].lineno
            own = self.interpreter.class_value(cls, "pytestmark")
            marks += gates.marks_of(self.executor, own, cls.module.path, line)
        return marks

    # -- the test ------------------------------------------------------------------------------------------

    def cases(self) -> tuple[Case, ...]:
        """
        What becomes of each case; one for all rows of a parametrisation that bear on nothing.

        Raises SkippedError where a gate before the cases is closed.
        """
        _meet_file(self.module, self.hooks, self.executor)
        self._meet_conditions()
        class_marks = self._class_gates()
        _stop_where_closed(self.executor)
        self.executor.uses_devices = not self._is_mocked()
        body = TestBody(self.test.key)
        value = self._decorated(body)
        marks = [*_marks_in(value), *class_marks, *_module_marks(self.module, self.executor, 1)]
        if isinstance(value, Marked) and any(mark.gates for mark in value.marks) and not self.executor.goes_on:
            for mark in value.marks:
                self.executor.meet(mark)
            raise SkippedError
        self.hooks.meet_item(self.executor, self.test, marks)
        _stop_where_closed(self.executor)
        marks += self.hooks.parametrisations(self.executor, self.test, marks, self._fixture_names())
        if self.depth.into_body:
            self.hooks.meet_set_up(self.executor)
        self._set_up()
        fixtures = self._fixtures_of(marks)
        dimensions = [
            *parametrisation.of_fixtures(fixtures, self.interpreter),
            *parametrisation.of_marks(marks, self.test),
        ]
        wanted = self._wanted(fixtures)
        running = {name: fixture for name, fixture in fixtures.items() if name in wanted}
        cases: list[Case] = []
        known: list[tuple[Env, Notes]] = []
        for selection in parametrisation.selections(dimensions, wanted):
            met = self._met_by(value, body, selection, running, known)
            explicit = tuple(mark for mark in (*selection.marks(), *marks) if mark.name == EXPLICIT_MARK)
            cases.append(Case(selection.case_id(), met, explicit, selection.suffixes()))
        return tuple(cases)

    def _meet_conditions(self) -> None:
        """
        Rule `conditional`: a test or a class that is only defined where a condition holds.

        Before: `if torch.cuda.is_available(): class TestKernels: ...`. After: its tests require cuda.
        """
        for condition in self.test.conditions:
            scope, line = Scope(condition.module), condition.node.lineno
            closed, tells_makes = gates.closed_parts(
                self.executor, condition.node, not condition.is_negated, "conditional", scope, line
            )
            self.executor.meet(Mark("if", closed, tells_makes))
        if self.test.owner is not None:
            self._meet_collected(self.test.owner)

    def _meet_collected(self, owner: Class) -> None:
        """`__test__` of a class tells pytest whether to collect it."""
        asked = len(self.world.trace)
        value = self.interpreter.class_value(owner, "__test__")
        if value is not None and self.interpreter.truth(value) is False:
            path, line = owner.module.path, owner.node.lineno
            self.executor.close(path, line, "conditional", is_certain=len(self.world.trace) == asked)

    def _fixture_names(self) -> list[str]:
        """The names of the fixtures of the test, and of those that they ask for."""
        names = list(argument_names(self.test.node))
        for name in names:
            for fixture in self.fixtures.called(name, self.test):
                names += [inner for inner in argument_names(fixture.node) if inner not in names]
        return names

    def _fixtures_of(self, marks: Sequence[Mark]) -> dict[str, Fixture]:
        used = [name for mark in marks if mark.name == "usefixtures" for name in mark.args if isinstance(name, str)]
        direct = {name for mark in marks for name in parametrisation.names_of(mark)}
        return self.fixtures.closure(self.test, self.lineage, self.executor, used, direct)

    def _wanted(self, fixtures: Mapping[str, Fixture]) -> set[str]:
        """The names on which gates hang: arguments of the test, and those fixtures that are worth following."""
        project = self.interpreter.project
        wanted = set(effects_of(project, self.test.module).slice(self.test.node).wanted)
        for name, fixture in fixtures.items():  # each stands before those that it asks for itself
            part = effects_of(project, fixture.module).slice(fixture.node, "value")
            if part.can_gate or name in wanted:
                wanted |= {name, *part.wanted}
        return wanted

    def _is_mocked(self) -> bool:
        pieces = [(self.test.module, self.test.node)]
        for name in argument_names(self.test.node):
            fixture = next(self.fixtures.called(name, self.test), None)
            if fixture:
                pieces.append((fixture.module, fixture.node))
        return any(bodies.mentions_mocks(module, node) for module, node in pieces)

    def _set_up(self) -> None:
        """Run the set-up of the class, once for all its tests; what it sets is what `self` has."""
        if self.test.owner is None or not self.depth.into_body:
            return
        owner = self.test.owner
        name = f"<set-up, {self.executor.goes_on}, {self.executor.uses_devices}>"
        memory = owner.module.bindings_of(owner.node).memory(name)
        before = self.interpreter.cuts
        attributes = memory.recall(
            self.world,
            self._run_set_up,
            is_whole=lambda: self.interpreter.cuts == before,
            remembered=(SkippedError,),
        )
        self.self_value.attributes.update(attributes)

    def _run_set_up(self) -> Env:
        for cls in self.lineage:
            for statement in cls.node.body:
                if (
                    isinstance(statement, FUNCTIONS)
                    and statement.name in SETUPS
                    and heat_of(cls.module).is_hot(statement)
                ):
                    self._follow(statement, cls.module, {}, "skip-in-setup", "object")
        return dict(self.self_value.attributes)

    def _follow(
        self,
        node: FunctionNode,
        module: SourceModule,
        given: Env,
        rule: str,
        purpose: Purpose = "gates",
        read: set[str] | None = None,
    ) -> Value:
        return bodies.follow(self.executor, node, module, given, rule, self.self_value, purpose, read)

    def _decorated(self, body: TestBody) -> Value:
        value: Value = body
        scope = Scope(self.test.module)
        if self.test.owner is not None:
            scope = scope.inner(_ClassNames(self.interpreter, self.test.owner))
        for decorator in reversed(self.test.node.decorator_list):
            value = gates.decorated(self.executor, value, decorator, scope)
        return value

    def _met_by(
        self,
        value: Value,
        body: TestBody,
        selection: Selection,
        fixtures: dict[str, Fixture],
        known: list[tuple[Env, Notes]],
    ) -> Notes:
        """What a case meets: what another did that read the same of its rows, if one of the `known` did."""
        rows = {**selection.values(is_fixture=True), **selection.values(is_fixture=False)}
        is_marked = bool(selection.marks())
        for read, met in () if is_marked else known:
            if all(are_same(seen, rows[name]) for name, seen in read.items()):
                return met
        names: set[str] = set()
        with self.world.supposing() as met, contextlib.suppress(SkippedError):
            self._run_case(value, body, selection, fixtures, names)
        if not is_marked:
            known.append(({name: rows[name] for name in names & rows.keys()}, met))
        return met

    def _run_case(
        self, value: Value, body: TestBody, selection: Selection, fixtures: dict[str, Fixture], read: set[str]
    ) -> None:
        """Add what is `read` of the rows. Raises SkippedError where the case ends at a gate."""
        test = self.test
        for mark in selection.marks():
            self.executor.meet(replace(mark, gates=tuple(gate.under("param-mark") for gate in mark.gates)))
        _stop_where_closed(self.executor)
        environment = selection.values(is_fixture=False)
        requested = selection.values(is_fixture=True)

        def run() -> None:
            self._run_fixtures(fixtures, requested, environment, read)
            if self.depth.into_body:
                self._follow(test.node, test.module, environment, "skip-in-body", read=read)

        self.executor.bodies = {body: run}
        with self.world.noting() as seen:
            try:
                self.interpreter.call(value, [self.self_value] if self.self_value is not None else [], {})
            except HardwareMissingError as error:
                self.executor.close(test.module.path, test.node.lineno, bodies.rule_of(error))
            if seen.tells_makes and any(gate.rule == "helper" for gate in seen.gates):
                seen.gates_tell_makes = True
        _stop_where_closed(self.executor)
        self.executor.run_body(body)

    def _run_fixtures(self, fixtures: dict[str, Fixture], requested: Env, environment: Env, read: set[str]) -> None:
        for name, fixture in reversed(fixtures.items()):
            if name in environment:
                continue
            read |= {name, *argument_names(fixture.node)}
            given = {**environment, "request": _request(requested.get(name, UNKNOWN), fixture)}
            run = partial(self._follow, fixture.node, fixture.module, given, "fixture", "value")
            environment[name] = run() if argument_names(fixture.node) else self._once(fixture, run)

    def _once(self, fixture: Fixture, run: Callable[[], Value]) -> Value:
        """What a fixture without arguments gives, which is the same for every test."""
        what = f"fixture, {self.executor.goes_on}, {self.executor.uses_devices}"
        memory: Memory = fixture.module.note(what, fixture.node, partial(Memory, are_same))
        before = self.interpreter.cuts
        return memory.recall(
            self.world, run, is_whole=lambda: self.interpreter.cuts == before, remembered=(SkippedError,)
        )


class _ClassNames(dict[str, Value]):
    """The names of a class body, as a decorator in it sees them."""

    def __init__(self, interpreter: Interpreter, owner: Class) -> None:
        super().__init__()
        self._interpreter = interpreter
        self._owner = owner

    def __contains__(self, name: object) -> bool:
        return name in self._owner.module.bindings_of(self._owner.node).names

    def __getitem__(self, name: str) -> Value:
        return self._interpreter.class_value(self._owner, name)


def _request(param: Value, fixture: Fixture) -> Value:
    return object_of_pytest(fixture.module, {"param": param})


def _marks_in(value: Value, depth: int = 0) -> list[Mark]:
    """The marks around a test, closest first, those under a wrapper too."""
    if isinstance(value, Marked):
        return [*_marks_in(value.target, depth), *value.marks]
    if isinstance(value, Function) and depth < 6:
        return [
            mark
            for environment in value.closure
            for inner in environment.values()
            if isinstance(inner, (Marked, Function)) and inner is not value
            for mark in _marks_in(inner, depth + 1)
        ]
    return []
