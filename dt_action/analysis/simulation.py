"""Imagines the collection and the run of one test on one machine, case by case."""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from dt_action.analysis import bodies, gates, parametrisation
from dt_action.analysis.execution import Executor
from dt_action.analysis.fixtures import FileFixtures, Fixture
from dt_action.analysis.heat import heat_of
from dt_action.analysis.interpreter import Interpreter, Scope
from dt_action.analysis.parametrisation import CaseId, Selection
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.syntax import FunctionNode, argument_names, span
from dt_action.analysis.tests_of import Test, lineage
from dt_action.analysis.values import (
    GATE_AWARE,
    ROCM_AWARE,
    UNKNOWN,
    Class,
    Env,
    Function,
    Gate,
    HardwareMissingError,
    Instance,
    Mark,
    Marked,
    TestBody,
    Value,
)
from dt_action.analysis.worlds import World

SETUPS: Final = ("setUpClass", "setup_class", "setUp", "asyncSetUp", "setup_method", "setup")
EXPLICIT_MARK: Final = "dt"
FILE_STEPS: Final = 150_000
"""Steps after which a file's remaining tests are judged by their decorators, classes and fixtures alone."""
_MOCKS: Final = re.compile(
    r"(?:patch|setattr|setitem|mock_\w+)\b[^\n]*\n?[^\n]*"
    r"(?:cuda|device_count|is_available|mps|xla|tpu|hpu|npu|xpu|rocm|accelerator)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Case:
    """
    A case of a test on one machine.

    `id` names its rows that bear on hardware, `met` is what it met, `suffixes` are the ends of the node ids that it
    stands for.
    """

    id: CaseId
    met: tuple[Hashable, ...]
    marks: tuple[Mark, ...] = ()
    suffixes: tuple[str, ...] = ()


class Simulator:
    """Runs the tests of one module in imagination. Holds what does not hang on the machine."""

    def __init__(self, project: Project, module: SourceModule) -> None:
        self.project = project
        self.module = module
        self.fixtures = FileFixtures(project, module)
        self.steps = 0

    def interpreter(self, world: World) -> Interpreter:
        """A fresh interpreter for a world."""
        return Interpreter(self.project, world, Executor)

    def file_gates(self, world: World) -> tuple[Hashable, ...]:
        """The gates of the module as a whole, closed in this world."""
        _meet_module(self.module, self.interpreter(world).executor)
        return tuple(world.gates)

    def cases(self, test: Test, world: World, *, with_body: bool = True) -> list[Case]:
        """What becomes of each case of `test` in this world."""
        cases = _Run(self, world, test, with_body=with_body and self.steps < FILE_STEPS).cases()
        self.steps += world.steps
        return cases

    def is_cold(self, test: Test) -> bool:
        """True for a test that says nothing of hardware beyond what its class and its module say."""
        if heat_of(test.module).is_hot(test.node) or any(map(_is_foreign, test.node.decorator_list)):
            return False
        return not any(
            fixture.params is not None or fixture.is_hot
            for name in argument_names(test.node)
            for fixture in self.fixtures.called(name, test)
        )


def _is_foreign(decorator: ast.expr) -> bool:
    """True for a decorator that is neither a mark of pytest nor a well-known one without a gate."""
    text = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return not text.startswith(("pytest.", "mock.", "patch", "unittest.mock.", "staticmethod", "classmethod"))


def _meet_module(module: SourceModule, executor: Executor) -> None:
    """Meet the gates of a module: its skips, its imports and its `pytestmark`."""

    def meet() -> None:
        for statement in module.tree.body:
            if gates.is_gating(statement):
                bodies.guarded(executor, statement, Scope(module, {}), "module-skip")
        statements = module.bindings.names.get("pytestmark")
        for mark in _module_marks(module, executor, statements[0].lineno if statements else 1):
            executor.world.gates += mark.gates

    module.gate_memory.recall(executor.world, meet)


def _module_marks(module: SourceModule, executor: Executor, line: int) -> tuple[Mark, ...]:
    value = executor.interpreter.module_value(module, "pytestmark")
    return () if value is None or value is UNKNOWN else gates.marks_of(executor, value, module.path, line)


class _Run:
    """One test in one world."""

    def __init__(self, simulator: Simulator, world: World, test: Test, *, with_body: bool) -> None:
        self.fixtures = simulator.fixtures
        self.module = simulator.module
        self.with_body = with_body
        self.world = world
        self.interpreter = simulator.interpreter(world)
        self.executor = self.interpreter.executor
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
            self.world.gates += mark.gates
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

    def cases(self) -> list[Case]:
        """What becomes of each case; one for all rows of a parametrisation that bear on nothing."""
        _meet_module(self.module, self.executor)
        class_marks = self._class_gates()
        self.executor.uses_devices = not self._is_mocked()
        self._set_up()
        body = TestBody(self.test.key)
        value = self._decorated(body)
        marks = [*_marks_in(value), *class_marks, *_module_marks(self.module, self.executor, 1)]
        fixtures = self._fixtures_of(marks)
        dimensions = [
            *parametrisation.of_fixtures(fixtures, self.interpreter),
            *parametrisation.of_marks(marks, self.test),
        ]
        base = list(self.world.gates)
        cases: list[Case] = []
        for selection in parametrisation.selections(dimensions, self.test):
            self.world.gates = list(base)
            self._run_case(value, body, selection, fixtures)
            explicit = tuple(mark for mark in (*selection.marks(), *marks) if mark.name == EXPLICIT_MARK)
            cases.append(Case(selection.case_id(), tuple(self.world.gates), explicit, selection.suffixes()))
        return cases

    def _fixtures_of(self, marks: Sequence[Mark]) -> dict[str, Fixture]:
        used = [name for mark in marks if mark.name == "usefixtures" for name in mark.args if isinstance(name, str)]
        direct = {name for mark in marks for name in parametrisation.names_of(mark)}
        return self.fixtures.closure(self.test, self.lineage, self.executor, used, direct)

    def _is_mocked(self) -> bool:
        pieces = [(self.test.module, self.test.node)]
        for name in argument_names(self.test.node):
            fixture = next(self.fixtures.called(name, self.test), None)
            if fixture:
                pieces.append((fixture.module, fixture.node))
        return any(module.note("mocks", node, partial(_mentions_mocks, module, node)) for module, node in pieces)

    def _set_up(self) -> None:
        for cls in self.lineage:
            for statement in cls.node.body:
                if (
                    isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
                    and statement.name in SETUPS
                    and heat_of(cls.module).is_hot(statement)
                ):
                    self._follow(statement, cls.module, {}, "skip-in-setup")

    def _follow(self, node: FunctionNode, module: SourceModule, given: Env, rule: str) -> Value:
        return bodies.follow(self.executor, node, module, given, rule, self.self_value)

    def _decorated(self, body: TestBody) -> Value:
        value: Value = body
        scope = Scope(self.test.module)
        if self.test.owner is not None:
            scope = scope.inner(_ClassNames(self.interpreter, self.test.owner))
        for decorator in reversed(self.test.node.decorator_list):
            value = gates.decorated(self.executor, value, decorator, scope)
        return value

    def _run_case(self, value: Value, body: TestBody, selection: Selection, fixtures: dict[str, Fixture]) -> None:
        test = self.test
        for mark in selection.marks():
            self.world.gates += [gate.under("param-mark") if isinstance(gate, Gate) else gate for gate in mark.gates]
        environment = selection.values(is_fixture=False)
        requested = selection.values(is_fixture=True)

        def run() -> None:
            self._run_fixtures(fixtures, requested, environment)
            if self.with_body and (heat_of(test.module).is_hot(test.node) or environment):
                self._follow(test.node, test.module, environment, "skip-in-body")

        self.executor.bodies = {body: run}
        met = len(self.world.gates)
        try:
            self.interpreter.call(value, [self.self_value] if self.self_value is not None else [], {})
        except HardwareMissingError as error:
            self.executor.close(test.module.path, test.node.lineno, bodies.rule_of(error))
        if ROCM_AWARE in self.world.gates[met:] and any(
            isinstance(gate, Gate) and gate.rule == "helper" for gate in self.world.gates[met:]
        ):
            self.world.gates.append(GATE_AWARE)
        self.executor.run_body(body)

    def _run_fixtures(self, fixtures: dict[str, Fixture], requested: Env, environment: Env) -> None:
        for name, fixture in reversed(fixtures.items()):
            if name not in environment and (name in requested or fixture.is_hot):
                given = {**environment, "request": _request(requested.get(name, UNKNOWN), fixture)}
                environment[name] = self._follow(fixture.node, fixture.module, given, "fixture")


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
    return Instance(Class(ast.ClassDef("request", [], [], [], []), fixture.module), {"param": param})


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


def _mentions_mocks(module: SourceModule, node: FunctionNode) -> bool:
    first, last = span(node)
    return bool(_MOCKS.search("\n".join(module.lines[first - 1 : last])))
