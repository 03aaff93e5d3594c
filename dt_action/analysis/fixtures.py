"""The fixtures of a test: where they are defined, which come by themselves, and what their arguments ask for."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dt_action.analysis import decorators
from dt_action.analysis.effects import effects_of
from dt_action.analysis.execution import Executor
from dt_action.analysis.heat import heat_of
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.syntax import FunctionNode, argument_names, fixture_names, last_word
from dt_action.analysis.tests_of import Test, flat_body
from dt_action.analysis.values import Class, Function, unmarked


@dataclass(frozen=True, slots=True, eq=False)
class Fixture:
    """A fixture by name, where it is defined, and how."""

    name: str
    node: FunctionNode
    module: SourceModule
    is_autouse: bool = False
    params: ast.expr | None = None
    ids: ast.expr | None = None

    @property
    def is_hot(self) -> bool:
        """True where its code can bear on hardware."""
        return heat_of(self.module).is_hot(self.node)


def fixtures_in(body: list[ast.stmt], module: SourceModule) -> dict[str, Fixture]:
    """The fixtures that a module or class body defines, by name."""
    found: dict[str, Fixture] = {}
    for statement in flat_body(body):
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for decorator in statement.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if last_word(called) not in ("fixture", "yield_fixture"):
                continue
            words = {word.arg: word.value for word in decorator.keywords} if isinstance(decorator, ast.Call) else {}
            label = words.get("name")
            name = label.value if isinstance(label, ast.Constant) and isinstance(label.value, str) else statement.name
            autouse = words.get("autouse")
            found[name] = Fixture(
                name,
                statement,
                module,
                isinstance(autouse, ast.Constant) and autouse.value is True,
                words.get("params"),
                words.get("ids"),
            )
    return found


class FileFixtures:
    """The fixtures that the tests of one file can see, whatever the machine."""

    def __init__(self, project: Project, module: SourceModule) -> None:
        self._module = module
        self._conftests = project.conftests(module)
        self._project = project
        self._gating: dict[str, bool] = {}

    def of(self, module: SourceModule) -> dict[str, Fixture]:
        """The fixtures that a module defines."""
        return module.note("fixtures", module.tree, lambda: fixtures_in(module.tree.body, module))

    @staticmethod
    def of_class(owner: Class) -> dict[str, Fixture]:
        """The fixtures that a class defines."""
        return owner.module.note("fixtures", owner.node, lambda: fixtures_in(owner.node.body, owner.module))

    def seen_from(self, *modules: SourceModule) -> list[SourceModule]:
        """`modules`, then the conftest files of this file, nearest first."""
        return [*modules, *self._conftests]

    def called(self, name: str, test: Test) -> Iterator[Fixture]:
        """The fixtures of a name in the test's module and in the conftest files, nearest first."""
        for module in self.seen_from(test.module):
            fixture = self.of(module).get(name)
            if fixture:
                yield fixture

    def may_gate(self, name: str, test: Test) -> bool:
        """True for a fixture that can close a gate, or asks for one that can."""
        known = self._gating.get(name)
        if known is None:
            self._gating[name] = False  # one that asks for itself, further up
            known = self._gating[name] = self._may_gate(name, test)
        return known

    def _may_gate(self, name: str, test: Test) -> bool:
        if name in self._project.vocabulary.fixtures:
            return True
        return any(
            effects_of(self._project, fixture.module).can_gate(fixture.node)
            or (fixture.params is not None and heat_of(fixture.module).is_hot_expression(fixture.params))
            or any(self.may_gate(inner, test) for inner in argument_names(fixture.node) if inner != name)
            for fixture in self.called(name, test)
        )

    def autouse(self) -> list[str]:
        """The names of those that every test of the file gets and that can bear on hardware."""
        return [
            fixture.name
            for module in self.seen_from(self._module)
            for fixture in self.of(module).values()
            if fixture.is_autouse and fixture.is_hot
        ]

    def closure(
        self, test: Test, lineage: Sequence[Class], executor: Executor, asked: Iterable[str], direct: Collection[str]
    ) -> dict[str, Fixture]:
        """
        The fixtures of a test, each before those that it asks for itself.

        `asked` are names that its marks ask for, `direct` those that its parametrisations give a value.
        """
        wanted = self.autouse()
        for cls in lineage:
            wanted += [fixture.name for fixture in self.of_class(cls).values() if fixture.is_autouse]
        wanted += [*asked, *fixture_names(test.node)]
        closure: dict[str, Fixture] = {}
        while wanted:
            name = wanted.pop(0)
            if name in closure or name in direct or name in ("self", "cls", "request"):
                continue
            fixture = self._find(name, test, lineage, executor)
            if fixture is not None:
                closure[name] = fixture
                wanted += argument_names(fixture.node)
            else:
                _need_by_name(name, test, executor)
        return closure

    def _find(self, name: str, test: Test, lineage: Sequence[Class], executor: Executor) -> Fixture | None:
        for cls in lineage:
            found = self.of_class(cls).get(name)
            if found:
                return found
        own = [self._module, *([test.module] if test.module is not self._module else [])]
        for module in self.seen_from(*own):
            found = self.of(module).get(name) or self._imported(module, name, executor)
            if found:
                return found
        return None

    def _imported(self, module: SourceModule, name: str, executor: Executor) -> Fixture | None:
        if name not in module.bindings.names and not module.bindings.stars:
            return None
        value = unmarked(executor.interpreter.module_value(module, name))
        if isinstance(value, Function) and value.module is not module:
            return self.of(value.module).get(name)
        return None


def _need_by_name(name: str, test: Test, executor: Executor) -> None:
    """
    Rule `browser-fixture`: a fixture of a browser plugin, or another that the vocabulary knows.

    Before: `def test_login(page)`. After: the test requires a browser.
    """
    demands = executor.interpreter.vocabulary.gate(name, "fixture")
    if demands:
        path, line = test.module.path, test.node.lineno
        executor.meet(decorators.closed(executor, demands, (), {}, path, line, "browser-fixture", name))
