"""Which tests a module holds: functions, methods and inherited methods."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from dt_action.analysis.interpreter import Interpreter
from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import FunctionNode, last_word
from dt_action.analysis.values import Class, Function, unmarked

FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
SETUPS: Final = ("setUpClass", "setup_class", "setUp", "asyncSetUp", "setup_method", "setup")


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What must hold, or must not, for something to be defined at all."""

    node: ast.expr
    module: SourceModule
    is_negated: bool = False

    def opposite(self) -> Condition:
        """The condition under which it is not defined."""
        return Condition(self.node, self.module, not self.is_negated)


Conditions = tuple[Condition, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """
    A test function. `key` is its node id after the file.

    `line` is where it stands in the file, its class's where it is inherited; `lines` adds those of its classes.
    `conditions` are those of the `if` statements around the definitions, and of a `del` after them.
    """

    __test__ = False

    key: str
    node: FunctionNode
    module: SourceModule
    owner: Class | None = None
    line: int = 0
    lines: tuple[int, ...] = ()
    conditions: Conditions = ()


def tests_in(module: SourceModule, interpreter: Interpreter) -> list[Test]:
    """Every test of a module, in the order of the file."""
    found: list[Test] = []
    deleted = module.note("deleted", module.tree, partial(_deleted, module))
    for statement, conditions in conditional(module.tree.body, module):
        name = getattr(statement, "name", "")
        kept = deleted.get(name, ())
        if kept is None:
            continue
        under = (*conditions, *kept)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and name.startswith("test"):
            line = statement.lineno
            found.append(Test(name, statement, module, None, line, (line,), under))
        elif isinstance(statement, ast.ClassDef):
            found += _tests_of_class(Class(statement, module), interpreter, "", (), under)
    return found


def _deleted(module: SourceModule) -> dict[str, Conditions | None]:
    """The names that a module takes back, with what must hold for them to stay; None for those that it always does."""
    found: dict[str, Conditions | None] = {}
    for statement, conditions in conditional(module.tree.body, module):
        if not isinstance(statement, ast.Delete) or len(conditions) > 1:
            continue
        for target in statement.targets:
            if isinstance(target, ast.Name):
                found[target.id] = tuple(condition.opposite() for condition in conditions) or None
    return found


def conditional(
    body: list[ast.stmt], module: SourceModule, around: Conditions = ()
) -> Iterator[tuple[ast.stmt, Conditions]]:
    """The statements of a block, those under its `if` and `try` among them, each with the conditions around it."""
    for statement in body:
        if isinstance(statement, ast.If):
            condition = Condition(statement.test, module)
            yield from conditional(statement.body, module, (*around, condition))
            yield from conditional(statement.orelse, module, (*around, condition.opposite()))
        elif isinstance(statement, ast.Try):
            yield from conditional([*statement.body, *statement.orelse], module, around)
            for handler in statement.handlers:
                yield from conditional(handler.body, module, around)
        else:
            yield statement, around


def flat_body(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block, those under its `if` and `try` among them."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from flat_body([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from flat_body([*statement.body, *statement.orelse])
            for handler in statement.handlers:
                yield from flat_body(handler.body)
        else:
            yield statement


def _tests_of_class(
    owner: Class, interpreter: Interpreter, prefix: str, outer: tuple[int, ...], conditions: Conditions
) -> list[Test]:
    lineage = list(_lineage(owner, interpreter))
    if not is_test_class(owner, lineage):
        return []
    methods = _methods(owner, lineage, interpreter)
    key = f"{prefix}{owner.node.name}"
    around = (*outer, owner.node.lineno)
    own = {id(statement): inner for statement, inner in conditional(owner.node.body, owner.module)}
    tests = []
    for name, (node, module) in methods.items():
        line = node.lineno if id(node) in own else owner.node.lineno
        under = (*conditions, *own.get(id(node), ()))
        tests.append(Test(f"{key}::{name}", node, module, owner, line, (*around, line), under))
    for statement in owner.node.body:
        if isinstance(statement, ast.ClassDef) and statement.name.startswith("Test"):
            tests += _tests_of_class(Class(statement, owner.module), interpreter, f"{key}::", around, conditions)
    return tests


def _methods(
    owner: Class, lineage: list[Class], interpreter: Interpreter
) -> dict[str, tuple[FunctionNode, SourceModule]]:
    """The test methods of a class, those of its bases too, and those that it takes by assignment."""
    methods: dict[str, tuple[FunctionNode, SourceModule]] = {}
    hidden: set[str] = set()
    for cls in lineage:
        for statement in flat_body(cls.node.body):
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.name.startswith("test"):
                if statement.name not in hidden:
                    methods.setdefault(statement.name, (statement, cls.module))
            elif isinstance(statement, ast.Assign):
                for name in (t.id for t in statement.targets if isinstance(t, ast.Name) and t.id.startswith("test")):
                    value = unmarked(interpreter.class_value(cls, name))
                    if isinstance(value, Function) and not isinstance(value.node, ast.Lambda):
                        methods.setdefault(name, (value.node, value.module))
                    else:
                        hidden.add(name)
    return methods


def _lineage(owner: Class, interpreter: Interpreter, depth: int = 0) -> Iterator[Class]:
    yield owner
    if depth < 6:
        for base in interpreter.bases(owner):
            yield from _lineage(base, interpreter, depth + 1)


def lineage(owner: Class, interpreter: Interpreter) -> list[Class]:
    """A class and its bases in the project, nearest first, each once."""
    unique: dict[int, Class] = {}
    for cls in _lineage(owner, interpreter):
        unique.setdefault(id(cls.node), cls)
    return list(unique.values())


def is_test_class(owner: Class, lineage: list[Class]) -> bool:
    """True where pytest collects the class: named `Test...`, or a `TestCase` of unittest."""
    if owner.node.name.startswith("Test") and not any(
        isinstance(statement, ast.FunctionDef) and statement.name == "__init__" for statement in owner.node.body
    ):
        return True
    bases = [base for cls in lineage for base in cls.node.bases]
    return any(
        last_word(base).endswith(("TestCase", "TestBase", "Test", "TestContinuous", "MultiProcessTestCase"))
        for base in bases
    )
