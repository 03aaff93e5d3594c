"""Which tests a module holds: functions, methods and inherited methods."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from dt_action.analysis.interpreter import Interpreter
from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import FunctionNode, last_word
from dt_action.analysis.values import Class, Function, unmarked


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """
    A test function. `key` is its node id after the file.

    `line` is where it stands in the file, its class's where it is inherited; `lines` adds those of its classes.
    """

    __test__ = False

    key: str
    node: FunctionNode
    module: SourceModule
    owner: Class | None = None
    line: int = 0
    lines: tuple[int, ...] = ()


def tests_in(module: SourceModule, interpreter: Interpreter) -> list[Test]:
    """Every test of a module, in the order of the file."""
    found: list[Test] = []
    for statement in flat_body(module.tree.body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)) and statement.name.startswith("test"):
            found.append(Test(statement.name, statement, module, None, statement.lineno, (statement.lineno,)))
        elif isinstance(statement, ast.ClassDef):
            found += _tests_of_class(Class(statement, module), interpreter, "")
    return found


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


def _tests_of_class(owner: Class, interpreter: Interpreter, prefix: str, outer: tuple[int, ...] = ()) -> list[Test]:
    lineage = list(_lineage(owner, interpreter))
    if not is_test_class(owner, lineage):
        return []
    methods = _methods(owner, lineage, interpreter)
    key = f"{prefix}{owner.node.name}"
    around = (*outer, owner.node.lineno)
    tests = []
    for name, (node, module) in methods.items():
        is_own = module is owner.module and any(node is statement for statement in flat_body(owner.node.body))
        line = node.lineno if is_own else owner.node.lineno
        tests.append(Test(f"{key}::{name}", node, module, owner, line, (*around, line)))
    for statement in owner.node.body:
        if isinstance(statement, ast.ClassDef) and statement.name.startswith("Test"):
            tests += _tests_of_class(Class(statement, owner.module), interpreter, f"{key}::", around)
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
