"""Tests that a module makes while it loads: by `setattr`, in `globals()`, or by a helper that is told the devices."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dt_action.analysis.interpreter import BudgetError, Scope
from dt_action.analysis.names import words_of
from dt_action.analysis.project import SourceModule
from dt_action.analysis.syntax import last_word
from dt_action.analysis.values import Class, HardwareMissingError, SkippedError, Value, unmarked

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor

_REGISTERING: Final = re.compile(r"\bsetattr\(|\b(?:globals|vars|locals)\(\)|\bdevices?\s*=")
_VERBS: Final = frozenset({"add", "register", "create", "make", "generate"})
_TESTS: Final = frozenset({"test", "tests"})


class Registry:
    """The tests that are made on one machine, by the ends of their node ids, in order."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def add(self, owner: Value, name: Value) -> None:
        """`setattr(owner, name, ...)`; a name that is not known is told by its place."""
        owner = unmarked(owner)
        is_class = isinstance(owner, Class)
        if isinstance(name, str):
            if name.startswith("test") or (not is_class and name.startswith("Test")):
                self.keys.append(f"{owner.node.name}::{name}" if is_class else name)
        elif is_class:
            self.keys.append(f"{owner.node.name}::?{len(self.keys)}")

    def add_by_name(self, word: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> None:
        """
        A helper out of reach that makes a test for each of its devices, by its name.

        Before: `add_function_test(TestArray, "test_sum", test_sum, devices=get_cuda_devices())`. After: that test
        requires cuda.
        """
        words = set(words_of(word))
        if not (words & _VERBS and words & _TESTS) or not args:
            return
        devices = kwargs.get("devices", kwargs.get("device"))
        name = next((arg for arg in args if isinstance(arg, str)), None)
        for device in devices if isinstance(devices, (list, tuple)) else [devices]:
            suffix = "_" + re.sub(r"\W", "_", device) if isinstance(device, str) else ""
            self.add(args[0], None if name is None else name + suffix)


def registering(module: SourceModule) -> list[ast.stmt]:
    """The statements at the top of a module that may make tests."""
    return module.note("registering", module.tree, lambda: list(_registering(module)))


def _registering(module: SourceModule) -> Iterator[ast.stmt]:
    if not _REGISTERING.search(module.text):
        return
    for statement in module.tree.body:
        if isinstance(statement, (ast.For, ast.If, ast.With)):
            lines = module.lines[statement.lineno - 1 : statement.end_lineno]
            if _REGISTERING.search("\n".join(lines)) or any(map(_makes_tests, ast.walk(statement))):
                yield statement
        elif isinstance(statement, ast.Expr):
            if _makes_tests(statement.value):
                yield statement
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
            yield statement


def _makes_tests(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    words = set(words_of(last_word(node.func)))
    return last_word(node.func) == "setattr" or bool(words & _VERBS and words & _TESTS)


def registered(executor: Executor, module: SourceModule) -> tuple[str, ...]:
    """The tests that the module makes on the machine of an executor."""
    executor.registry = registry = Registry()
    for statement in registering(module):
        with contextlib.suppress(HardwareMissingError, SkippedError, BudgetError), executor.world.supposing():
            executor.statement(statement, Scope(module, {}), [])
    executor.registry = None
    return tuple(dict.fromkeys(registry.keys))
