"""Which tests of a file need the same, since they say nothing of hardware themselves: one of them stands for all."""

from __future__ import annotations

import ast
from functools import partial
from typing import TYPE_CHECKING

from dt_action.analysis.effects import effects_of
from dt_action.analysis.heat import heat_of
from dt_action.analysis.syntax import fixture_names, last_word
from dt_action.analysis.tests_of import FUNCTIONS, SETUPS, Test, lineage
from dt_action.analysis.worlds import World

if TYPE_CHECKING:
    from dt_action.analysis.fixtures import FileFixtures
    from dt_action.analysis.simulation import Simulator
    from dt_action.analysis.values import Class


def likeness_of(simulator: Simulator, test: Test) -> object:
    """
    What a test has in common with all that need the same; None for a test that may say something of hardware itself.

    It is their class, where that has any bearing, and what hooks and fixtures see of them.
    """
    heat = heat_of(test.module)
    decorators = test.node.decorator_list
    if any(_is_foreign(decorator) or heat.is_hot_expression(decorator) for decorator in decorators):
        return None
    if effects_of(simulator.project, test.module).can_gate(test.node) or simulator.hooks.tell_apart(test):
        return None
    if any(heat.is_hot_expression(condition.node) for condition in test.conditions):
        return None
    gating = any(simulator.fixtures.may_gate(name, test) for name in fixture_names(test.node))
    if not gating and not simulator.hooks.see_tests:
        return _bearing(simulator, test.owner)
    owner = id(test.owner.node) if test.owner else None
    return owner, tuple(map(ast.dump, decorators)), tuple(fixture_names(test.node))


def _bearing(simulator: Simulator, owner: Class | None) -> tuple[int, ...]:
    """The classes among a class and its bases that can bear on its tests."""
    if owner is None:
        return ()
    world = World({})
    classes = lineage(owner, simulator.interpreter(world))
    if world.trace:  # which bases it has hangs on the machine
        return (id(owner.node),)
    fixtures = simulator.fixtures
    return tuple(
        id(cls.node) for cls in classes if cls.module.note("bears", cls.node, partial(_can_bear, cls, fixtures))
    )


def _can_bear(cls: Class, fixtures: FileFixtures) -> bool:
    """True for a class that can gate its tests by itself, or by what is set up for them."""
    heat = heat_of(cls.module)
    if heat.is_hot_head(cls.node) or any(map(_is_foreign, cls.node.decorator_list)):
        return True
    names = cls.module.bindings_of(cls.node).names
    return (
        any(name in names for name in ("__test__", "pytestmark"))
        or any(heat.is_hot(inner) for name in SETUPS for inner in names.get(name, ()) if isinstance(inner, FUNCTIONS))
        or any(fixture.is_autouse for fixture in fixtures.of_class(cls).values())
    )


def _is_foreign(decorator: ast.expr) -> bool:
    """True for a decorator that is neither a mark of pytest nor a well-known one without a gate."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    root = called
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in ("pytest", "mock"):
        return False
    return last_word(called) not in ("patch", "object", "dict", "staticmethod", "classmethod", "property")
