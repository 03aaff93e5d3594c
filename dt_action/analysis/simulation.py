"""Imagines the collection and the run of one test on one machine, case by case."""

from __future__ import annotations

import ast
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod
from typing import Any, Final, TypeGuard

from dt_action.analysis import gates, vocabulary
from dt_action.analysis.execution import Executor, RaisedError, Return
from dt_action.analysis.heat import heat_of
from dt_action.analysis.interpreter import Interpreter, Scope, is_known, unmarked
from dt_action.analysis.project import FunctionNode, Project, SourceModule
from dt_action.analysis.tests_of import Fixture, Test, fixtures_in, lineage
from dt_action.analysis.values import (
    UNKNOWN,
    Class,
    Env,
    External,
    Function,
    Gate,
    HardwareMissingError,
    Instance,
    Mark,
    Marked,
    Param,
    TestBody,
    Value,
)
from dt_action.analysis.worlds import World

SETUPS: Final = ("setUpClass", "setup_class", "setUp", "asyncSetUp", "setup_method", "setup")
EXPLICIT_MARK: Final = "dt"
MAX_COMBINATIONS: Final = 48
MAX_NAMES: Final = 256
FILE_STEPS: Final = 150_000
"""Steps after which a file's remaining tests are judged by their decorators, classes and fixtures alone."""
_MOCKS: Final = re.compile(
    r"(?:patch|setattr|setitem|mock_\w+)\b[^\n]*\n?[^\n]*"
    r"(?:cuda|device_count|is_available|mps|xla|tpu|hpu|npu|xpu|rocm|accelerator)",
    re.IGNORECASE,
)
_DEVICE_WORD: Final = re.compile(r"^(cpu|cuda|gpu|mps|xpu|hpu|npu|tpu|xla|rocm|hip|meta|auto)(:\d+)?$", re.IGNORECASE)
CaseId = str | None
"""The part of a node id in brackets; "" for a test without parameters, None where it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One parametrisation: its names, its rows and what each row is called."""

    names: tuple[str, ...]
    rows: tuple[Param, ...]
    ids: tuple[CaseId, ...]
    is_fixture: bool = False
    is_torch: bool = False

    @property
    def is_relevant(self) -> bool:
        """True where rows differ by something that bears on hardware."""
        return any(row.marks or any(_is_device_like(value) for value in row.values) for row in self.rows)


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
        self.steps = 0
        self._fixtures: dict[int, dict[str, Fixture]] = {}

    def interpreter(self, world: World) -> Interpreter:
        """A fresh interpreter for a world."""
        return Interpreter(self.project, world, Executor)

    def is_hot(self, module: SourceModule, node: FunctionNode | ast.ClassDef) -> bool:
        """True where a function can bear on hardware."""
        return heat_of(module).is_hot(node)

    def fixtures_of(self, module: SourceModule) -> dict[str, Fixture]:
        """The fixtures that a module defines."""
        known = self._fixtures.get(id(module))
        if known is None:
            known = self._fixtures[id(module)] = fixtures_in(module.tree.body, module)
        return known

    def file_gates(self, world: World) -> tuple[Hashable, ...]:
        """The gates of the module as a whole, closed in this world."""
        run = _Run(self, world, None)
        run.module_gates()
        return tuple(world.gates)

    def cases(self, test: Test, world: World, *, with_body: bool = True) -> list[Case]:
        """What becomes of each case of `test` in this world."""
        cases = _Run(self, world, test, with_body=with_body and self.steps < FILE_STEPS).cases()
        self.steps += world.steps
        return cases

    def is_cold(self, test: Test) -> bool:
        """True for a test that says nothing of hardware beyond what its class and its module say."""
        if self.is_hot(test.module, test.node) or any(map(self._is_foreign, test.node.decorator_list)):
            return False
        for name in _argument_names(test.node):
            for module in (test.module, *self.project.conftests(self.module)):
                fixture = self.fixtures_of(module).get(name)
                if fixture and (fixture.params is not None or self.is_hot(module, fixture.node)):
                    return False
        return True

    @staticmethod
    def _is_foreign(decorator: ast.expr) -> bool:
        """True for a decorator that is neither a mark of pytest nor a well-known one without a gate."""
        text = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        return not text.startswith(("pytest.", "mock.", "patch", "unittest.mock.", "staticmethod", "classmethod"))


class _Run:
    """One test in one world."""

    def __init__(self, simulator: Simulator, world: World, test: Test | None, *, with_body: bool = True) -> None:
        self.simulator = simulator
        self.with_body = with_body
        self.world = world
        self.interpreter = simulator.interpreter(world)
        self.executor = self.interpreter.executor
        self.test = test
        self.module = simulator.module
        self.self_value: Value = Instance(test.owner) if test and test.owner else None
        self.lineage = lineage(test.owner, self.interpreter) if test and test.owner else []

    # -- the module ----------------------------------------------------------------------------------------

    def module_gates(self) -> None:
        self.module.gate_memory.recall(self.world, self._meet_module)

    def _meet_module(self) -> None:
        for statement in self.module.tree.body:
            if _is_gating(statement):
                self._guarded(statement, Scope(self.module, {}), "module-skip")
        self._apply_marks(self.interpreter.module_value(self.module, "pytestmark"), self.module, "pytestmark")

    def _guarded(self, statement: ast.stmt, scope: Scope, rule: str) -> None:
        """Run one statement; what it lacks closes a gate at its line."""
        path = scope.module.path
        met, line = len(self.world.gates), statement.lineno
        asked = len(self.world.trace)
        try:
            if rule == "module-skip" and isinstance(statement, (ast.Import, ast.ImportFrom)):
                self._check_imports(statement)
            else:
                self.executor.statement(statement, scope, [])
        except HardwareMissingError as error:
            if isinstance(error, RaisedError) and len(self.world.trace) == asked:
                return
            self.executor.forget(statement, scope)
            self.executor.close(path, line, _rule_of(error))
        for position in range(met, len(self.world.gates)):
            gate = self.world.gates[position]
            if isinstance(gate, Gate) and gate.rule == "skip-in-body" and rule != "skip-in-body":
                self.world.gates[position] = Gate(gate.file, gate.line, rule, gate.part, gate.is_certain)

    def _check_imports(self, statement: ast.Import | ast.ImportFrom) -> None:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                gates.check_import(self.executor, alias.name)
        elif not statement.level and statement.module:
            gates.check_import(self.executor, statement.module)

    def _apply_marks(self, value: Value, module: SourceModule, name: str) -> None:
        if value is None or value is UNKNOWN:
            return
        statements = module.bindings.names.get(name)
        line = statements[0].lineno if statements else 1
        for mark in gates.marks_of(self.executor, value, module.path, line):
            self.world.gates += mark.gates

    # -- the class -----------------------------------------------------------------------------------------

    def class_gates(self) -> list[Mark]:
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
        assert self.test is not None  # noqa: S101 - a run without a test is for file_gates alone
        self.module_gates()
        class_marks = self.class_gates()
        self.executor.uses_devices = not self._is_mocked()
        self._set_up()
        body = TestBody(self.test.key)
        value = self._decorated(body)
        marks = [*_marks_in(value), *class_marks, *self._module_marks()]
        fixtures = self._fixture_closure(marks)
        dimensions = [*self._fixture_dimensions(fixtures), *self._mark_dimensions(marks)]
        base = list(self.world.gates)
        relevant = self._relevant(dimensions)
        cases: list[Case] = []
        for rows in product(*(range(len(d.rows)) if d in relevant else (-1,) for d in dimensions)):
            self.world.gates = list(base)
            self._run_case(value, body, dimensions, rows, fixtures)
            own = [mark for d, row in zip(dimensions, rows, strict=True) if row >= 0 for mark in d.rows[row].marks]
            explicit = tuple(mark for mark in (*own, *marks) if mark.name == EXPLICIT_MARK)
            met = tuple(self.world.gates)
            cases.append(Case(_case_id(dimensions, rows), met, explicit, _suffixes(dimensions, rows)))
        return cases

    def _module_marks(self) -> list[Mark]:
        value = self.interpreter.module_value(self.module, "pytestmark")
        if value is None or value is UNKNOWN:
            return []
        return list(gates.marks_of(self.executor, value, self.module.path, 1))

    def _is_mocked(self) -> bool:
        test = self.test
        if test is None:
            return False
        pieces = [(test.module, test.node)]
        visible = [test.module, *self.simulator.project.conftests(self.module)]
        for name in _argument_names(test.node):
            for module in visible:
                fixture = self.simulator.fixtures_of(module).get(name)
                if fixture:
                    pieces.append((fixture.module, fixture.node))
                    break
        return any(module.note("mocks", node, partial(_mentions_mocks, module, node)) for module, node in pieces)

    def _set_up(self) -> None:
        for cls in self.lineage:
            for statement in cls.node.body:
                if (
                    isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
                    and statement.name in SETUPS
                    and self.simulator.is_hot(cls.module, statement)
                ):
                    self._run_function(statement, cls.module, {}, "skip-in-setup")

    def _run_function(self, node: FunctionNode, module: SourceModule, given: Env, rule: str) -> Value:
        """Follow a body statement by statement; what a statement lacks closes a gate and the next one follows."""
        names = _argument_names(node)
        environment: Env = dict.fromkeys(names, UNKNOWN) | self._defaults(node, module)
        environment |= {name: value for name, value in given.items() if name in environment}
        if names and self.self_value is not None and names[0] in ("self", "cls"):
            environment[names[0]] = self.self_value
        scope = Scope(module, environment)
        relevant = heat_of(module).relevant(node)
        with self.executor.only(relevant):
            return self._follow(node.body, relevant, scope, rule)

    def _follow(self, body: Sequence[ast.stmt], relevant: frozenset[int], scope: Scope, rule: str) -> Value:
        prologue = True
        for statement in body:
            if id(statement) not in relevant and not _is_yield(statement):
                prologue = prologue and isinstance(statement, _PREPARING)
                continue
            if prologue and self._returns_early(statement, scope):
                continue
            prologue = prologue and isinstance(statement, _PREPARING)
            if isinstance(statement, ast.Return):
                return self._value_of(statement.value, scope)
            if _is_yield(statement):
                return self._value_of(statement.value.value, scope)
            self._guarded(statement, scope, rule)
        return UNKNOWN

    def _defaults(self, node: FunctionNode, module: SourceModule) -> Env:
        spec = node.args
        names = [arg.arg for arg in (*spec.posonlyargs, *spec.args)]
        pairs = [*zip(reversed(names), reversed(spec.defaults), strict=False)]
        pairs += [(arg.arg, node) for arg, node in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if node]
        return {name: self._safe_value(default, Scope(module)) for name, default in pairs}

    def _value_of(self, node: ast.expr | None, scope: Scope) -> Value:
        try:
            return self.interpreter.value(node, scope)
        except HardwareMissingError as error:
            self.executor.close(scope.module.path, node.lineno if node else 1, _rule_of(error))
            return UNKNOWN

    def _returns_early(self, statement: ast.stmt, scope: Scope) -> bool:
        """
        Rule `early-return`: a test that leaves before it has done anything.

        Before: `if not torch.cuda.is_available(): return`. After: the test requires cuda.
        """
        if not isinstance(statement, ast.If) or statement.orelse or len(statement.body) > 2:
            return False
        last = statement.body[-1]
        if not (isinstance(last, ast.Return) and last.value is None):
            return False
        asked = len(self.world.trace)
        try:
            verdict = self.interpreter.truth_of(statement.test, scope)
        except HardwareMissingError:
            verdict = UNKNOWN
        if verdict is True and len(self.world.trace) > asked:
            self.executor.close(scope.module.path, statement.lineno, "early-return")
        return True

    def _decorated(self, body: TestBody) -> Value:
        test = self.test
        assert test is not None  # noqa: S101
        value: Value = body
        scope = Scope(test.module)
        if test.owner is not None:
            scope = scope.inner(_ClassNames(self.interpreter, self.lineage))
        for decorator in reversed(test.node.decorator_list):
            value = gates.decorated(self.executor, value, decorator, scope)
        return value

    # -- parameters and fixtures ---------------------------------------------------------------------------

    def _fixture(self, name: str) -> Fixture | None:
        for cls in self.lineage:
            found = fixtures_in(cls.node.body, cls.module, is_method=True).get(name)
            if found:
                return found
        test = self.test
        modules = [self.module, *([test.module] if test and test.module is not self.module else [])]
        for module in (*modules, *self.simulator.project.conftests(self.module)):
            found = self.simulator.fixtures_of(module).get(name) or self._imported_fixture(module, name)
            if found:
                return found
        return None

    def _imported_fixture(self, module: SourceModule, name: str) -> Fixture | None:
        if name not in module.bindings.names and not module.bindings.stars:
            return None
        value = unmarked(self.interpreter.module_value(module, name))
        if isinstance(value, Function) and value.module is not module:
            return self.simulator.fixtures_of(value.module).get(name)
        return None

    def _fixture_closure(self, marks: Sequence[Mark]) -> dict[str, Fixture]:
        test = self.test
        assert test is not None  # noqa: S101
        wanted = self._autouse()
        for mark in marks:
            if mark.name == "usefixtures":
                wanted += [name for name in mark.args if isinstance(name, str)]
        wanted += _argument_names(test.node)
        closure: dict[str, Fixture] = {}
        direct = {name for mark in marks for name in _parametrized_names(mark)}
        while wanted:
            name = wanted.pop(0)
            if name in closure or name in direct or name in ("self", "cls", "request"):
                continue
            fixture = self._fixture(name)
            if fixture is not None:
                closure[name] = fixture
                wanted += _argument_names(fixture.node)
            elif name in vocabulary.BROWSER_FIXTURES:
                self._need_browser()
        return closure

    def _need_browser(self) -> None:
        """
        Rule `browser-fixture`: a fixture of a browser plugin.

        Before: `def test_login(page)`. After: the test requires a browser.
        """
        test = self.test
        if test is not None and not self.world.ask("browser"):
            self.executor.close(test.module.path, test.node.lineno, "browser-fixture")

    def _autouse(self) -> list[str]:
        modules = [self.module, *self.simulator.project.conftests(self.module)]
        names = [
            fixture.name
            for module in modules
            for fixture in self.simulator.fixtures_of(module).values()
            if fixture.is_autouse and self.simulator.is_hot(module, fixture.node)
        ]
        for cls in self.lineage:
            names += [f.name for f in fixtures_in(cls.node.body, cls.module).values() if f.is_autouse]
        return names

    def _fixture_dimensions(self, fixtures: dict[str, Fixture]) -> list[Dimension]:
        dimensions = []
        for name, fixture in fixtures.items():
            if fixture.params is None:
                continue
            rows = self._safe_value(fixture.params, Scope(fixture.module))
            ids = self._safe_value(fixture.ids, Scope(fixture.module)) if fixture.ids is not None else None
            if isinstance(rows, (list, tuple)):
                dimensions.append(_dimension((name,), rows, ids, is_fixture=True))
        return dimensions

    def _safe_value(self, node: ast.expr, scope: Scope) -> Value:
        try:
            return self.interpreter.value(node, scope)
        except HardwareMissingError:
            return UNKNOWN

    def _mark_dimensions(self, marks: Sequence[Mark]) -> list[Dimension]:
        dimensions = []
        for mark in marks:
            if mark.name not in ("parametrize", "torch-parametrize"):
                continue
            names = _parametrized_names(mark)
            given = dict(mark.kwargs)
            rows = mark.args[1] if len(mark.args) > 1 else given.get("argvalues", UNKNOWN)
            if not names and mark.args and isinstance(mark.args[0], (list, tuple)):
                names, rows = _positional_names(self.test), mark.args[0]
            if names and isinstance(rows, (list, tuple)):
                dimensions.append(
                    _dimension(tuple(names), rows, given.get("ids"), is_torch=mark.name == "torch-parametrize")
                )
        return dimensions

    def _relevant(self, dimensions: Sequence[Dimension]) -> set[Dimension]:
        test = self.test
        asked = test.module.note("asked", test.node, lambda: _names_in_gates(test.node)) if test else set()
        chosen: set[Dimension] = set()
        size = 1
        for dimension in sorted(dimensions, key=lambda d: (not any(row.marks for row in d.rows), len(d.rows))):
            wanted = dimension.is_relevant or not asked.isdisjoint(dimension.names) or dimension.is_fixture
            if wanted and dimension.rows and size * len(dimension.rows) <= MAX_COMBINATIONS:
                chosen.add(dimension)
                size *= len(dimension.rows)
        return chosen

    def _run_case(
        self,
        value: Value,
        body: TestBody,
        dimensions: Sequence[Dimension],
        rows: Sequence[int],
        fixtures: dict[str, Fixture],
    ) -> None:
        test = self.test
        assert test is not None  # noqa: S101
        environment: Env = {}
        requested: Env = {}
        for dimension, row in zip(dimensions, rows, strict=True):
            if row < 0:
                continue
            param = dimension.rows[row]
            for mark in param.marks:
                self.world.gates += [
                    Gate(gate.file, gate.line, "param-mark", gate.part, gate.is_certain)
                    if isinstance(gate, Gate)
                    else gate
                    for gate in mark.gates
                ]
            target = requested if dimension.is_fixture else environment
            values = param.values if len(dimension.names) > 1 or len(param.values) == 1 else (UNKNOWN,)
            target.update(dict(zip(dimension.names, values, strict=False)))

        def run() -> None:
            self._run_fixtures(fixtures, requested, environment)
            if self.with_body and (self.simulator.is_hot(test.module, test.node) or environment):
                self._run_function(test.node, test.module, environment, "skip-in-body")

        self.executor.bodies = {body: run}
        met = len(self.world.gates)
        try:
            self.interpreter.call(value, [self.self_value] if self.self_value is not None else [], {})
        except HardwareMissingError as error:
            self.executor.close(test.module.path, test.node.lineno, _rule_of(error))
        if vocabulary.ROCM_AWARE in self.world.gates[met:] and any(
            isinstance(gate, Gate) and gate.rule == "helper" for gate in self.world.gates[met:]
        ):
            self.world.gates.append(gates.GATE_AWARE)
        self.executor.run_body(body)

    def _run_fixtures(self, fixtures: dict[str, Fixture], requested: Env, environment: Env) -> None:
        for name, fixture in reversed(fixtures.items()):
            if name in environment:
                continue
            if name in requested or self.simulator.is_hot(fixture.module, fixture.node):
                given = {**environment, "request": _request(requested.get(name, UNKNOWN), fixture)}
                environment[name] = self._run_function(fixture.node, fixture.module, given, "fixture")


class _ClassNames(dict[str, Value]):
    """The names of a class body, as a decorator in it sees them."""

    def __init__(self, interpreter: Interpreter, classes: Sequence[Class]) -> None:
        super().__init__()
        self._interpreter = interpreter
        self._classes = classes

    def __contains__(self, name: object) -> bool:
        return any(name in cls.module.bindings_of(cls.node).names for cls in self._classes[:1])

    def __getitem__(self, name: str) -> Value:
        return self._interpreter.class_value(self._classes[0], name)


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


def _parametrized_names(mark: Mark) -> list[str]:
    if mark.name not in ("parametrize", "torch-parametrize"):
        return []
    first = mark.args[0] if mark.args else dict(mark.kwargs).get("argnames")
    if isinstance(first, str):
        return [name.strip() for name in first.split(",") if name.strip()]
    if isinstance(first, (list, tuple)) and all(isinstance(name, str) for name in first) and len(mark.args) > 1:
        return list(first)
    return []


def _positional_names(test: Test | None) -> list[str]:
    return [name for name in _argument_names(test.node) if name not in ("self", "cls")] if test else []


def _dimension(
    names: tuple[str, ...], rows: Iterable[Value], ids: Value, *, is_fixture: bool = False, is_torch: bool = False
) -> Dimension:
    params: list[Param] = []
    for row in rows:
        if isinstance(row, Param):
            params.append(row)
        elif len(names) > 1:
            params.append(Param(tuple(row) if isinstance(row, (list, tuple)) else (UNKNOWN,) * len(names)))
        else:
            params.append(Param((row,)))
    labels: list[CaseId] = []
    for position, param in enumerate(params):
        given = ids[position] if isinstance(ids, (list, tuple)) and position < len(ids) else None
        if param.id is not None:
            labels.append(param.id)
        elif isinstance(given, (str, int, float, bool)):
            labels.append(str(given))
        elif ids is not None and given is None and not isinstance(ids, (list, tuple)):
            labels.append(None)
        else:
            labels.append(_label(names, param, position, is_torch=is_torch))
    if len(set(labels)) != len(labels):
        labels = [None] * len(labels)
    return Dimension(names, tuple(params), tuple(labels), is_fixture, is_torch)


def _label(names: tuple[str, ...], param: Param, position: int, *, is_torch: bool) -> CaseId:
    parts = []
    for name, value in zip(names, param.values, strict=False):
        if value is UNKNOWN or isinstance(value, Instance):
            return None
        if isinstance(value, str) and value.isascii() and value.isprintable():
            word = value
        elif isinstance(value, (int, float, bool, type(None))):
            word = str(value)
        elif isinstance(value, (Function, Class)):
            word = getattr(value.node, "name", "")
        elif isinstance(value, External):
            word = value.name.rpartition(".")[2] if value.name.startswith("builtins.") else ""
        elif is_known(value):
            word = f"{name}{position}"
        else:
            word = ""
        if not word and value != "":
            return None
        parts.append(f"{name}_{word}" if is_torch else word)
    return ("_" if is_torch else "-").join(parts)


def _case_id(dimensions: Sequence[Dimension], rows: Sequence[int]) -> CaseId:
    """What the rows that bear on hardware are called."""
    labels = [d.ids[row] for d, row in zip(dimensions, rows, strict=True) if row >= 0]
    if not labels or any(label is None for label in labels):
        return None if labels else ""
    return "-".join(str(label) for label in labels)


def _suffixes(dimensions: Sequence[Dimension], rows: Sequence[int]) -> tuple[str, ...]:
    """What the node ids end with, over all rows that bear on nothing; none where a row's name cannot be told."""
    choices = [d.ids if row < 0 else (d.ids[row],) for d, row in zip(dimensions, rows, strict=True)]
    if not choices or any(label is None for labels in choices for label in labels):
        return ()
    if prod(map(len, choices)) > MAX_NAMES:
        return ()
    if all(dimension.is_torch for dimension in dimensions):
        return tuple("_" + "_".join(map(str, labels)) for labels in product(*choices))
    return tuple(f"[{'-'.join(map(str, labels))}]" for labels in product(*choices))


def _mentions_mocks(module: SourceModule, node: FunctionNode) -> bool:
    return bool(_MOCKS.search(_source(module, node)))


def _names_in_gates(node: FunctionNode) -> set[str]:
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.If) and gates.leads_to_skip(inner):
            found |= {word.id for word in ast.walk(inner.test) if isinstance(word, ast.Name)}
    return found


def _is_device_like(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_DEVICE_WORD.match(value))
    return isinstance(value, (list, tuple)) and any(_is_device_like(item) for item in value)


def _argument_names(node: FunctionNode) -> list[str]:
    spec = node.args
    return [arg.arg for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]


def _source(module: SourceModule, node: FunctionNode) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(module.lines[first - 1 : node.end_lineno])


def _is_gating(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return True
    if isinstance(statement, (ast.If, ast.Try, ast.With, ast.For)):
        return any(
            (isinstance(inner, ast.Call) and gates._is_skip_name(inner.func))
            or (isinstance(inner, ast.Raise) and gates.is_skip_exception(inner.exc))
            for inner in ast.walk(statement)
        )
    if isinstance(statement, (ast.Expr, ast.Assign)) and isinstance(statement.value, ast.Call):
        return True
    return isinstance(statement, ast.Assert) or (
        isinstance(statement, ast.Raise) and gates.is_skip_exception(statement.exc)
    )


def _is_yield(statement: ast.stmt) -> TypeGuard[Any]:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield)


_PREPARING: Final = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.If, ast.FunctionDef)
"""Statements that may come before an early return."""


def _rule_of(error: HardwareMissingError) -> str:
    if isinstance(error, RaisedError):
        return "assert" if error.what.startswith("assert") else "raise"
    return "implicit-import" if error.what.startswith("import ") else "device-use"


__all__ = ["Case", "Return", "Simulator"]
