"""
What stands around the tests of a file and gates them from afar: hooks of pytest, lists of ignored files, set-ups.

The hooks are followed with an `item` or `metafunc` of our own, which answers as pytest's does.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Final

from dt_action.analysis import bodies, gates
from dt_action.analysis.execution import Executor
from dt_action.analysis.heat import heat_of, is_hot_text
from dt_action.analysis.interpreter import Scope
from dt_action.analysis.parametrisation import DEVICE_TYPES, names_of
from dt_action.analysis.project import Project, SourceModule
from dt_action.analysis.statements import Return
from dt_action.analysis.syntax import FunctionNode, argument_names, last_word
from dt_action.analysis.tests_of import Test
from dt_action.analysis.values import (
    UNKNOWN,
    Class,
    Env,
    HardwareMissingError,
    Instance,
    Mark,
    Native,
    SkippedError,
    Value,
    are_same,
    is_known,
)
from dt_action.analysis.worlds import Memory

RULE: Final = "hook"
_OF_ITEMS: Final = ("pytest_runtest_setup", "pytest_collection_modifyitems", "pytest_itemcollected")
_GENERATE: Final = "pytest_generate_tests"
_IGNORING: Final = ("collect_ignore", "collect_ignore_glob")
_MODULE_SETUPS: Final = ("setUpModule", "setup_module")
_ONE_TEST: Final = re.compile(r"\b(?:nodeid|name|originalname|path|fspath|location|fixturenames)\b")
"""What of an item differs between tests that have the same marks."""
_DEVICE_TYPES: Final = ("cpu", "cuda", "mps", "xpu", "hpu", "npu", "xla")


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """A hook of pytest, and the module that has it."""

    node: FunctionNode
    module: SourceModule


class FileHooks:
    """The hooks that hold for the tests of one file, nearest first: its own, and those of conftest files above it."""

    def __init__(self, project: Project, module: SourceModule) -> None:
        self._module = module
        self.conftests = project.conftests(module)
        self._named: dict[str, list[Hook]] = {}
        for name, hook in self._found():
            self._named.setdefault(name, []).append(hook)
        self._instantiated = module.note("instantiated", module.tree, partial(_instantiated, module))
        self._ignoring = [
            (conftest, name)
            for conftest in self.conftests
            for name in _IGNORING
            if name in conftest.bindings.names and conftest.note("hot", conftest.tree, partial(is_hot_text, conftest))
        ]

    def _found(self) -> Iterator[tuple[str, Hook]]:
        for module in (self._module, *self.conftests):
            if "pytest_" not in module.text and module is not self._module:
                continue
            for statement in module.tree.body:
                name = getattr(statement, "name", "")
                if (
                    isinstance(statement, ast.FunctionDef)
                    and (
                        name in (*_OF_ITEMS, _GENERATE, "pytest_ignore_collect")
                        or (name in _MODULE_SETUPS and module is self._module)
                    )
                    and heat_of(module).is_hot(statement)
                ):
                    yield name, Hook(statement, module)

    @property
    def see_tests(self) -> bool:
        """True where hooks can gate tests, or give them parameters."""
        return any(name in self._named for name in (*_OF_ITEMS, _GENERATE))

    def tell_apart(self, test: Test) -> bool:
        """True where a hook, or torch, can tell a test from others that have the same marks and fixtures."""
        if test.owner is not None and test.owner.node.name in self._instantiated:
            return True
        return any(_looks_at_one(hook) for name in (*_OF_ITEMS, _GENERATE) for hook in self._named.get(name, ()))

    # -- the file ------------------------------------------------------------------------------------------

    def meet_file(self, executor: Executor) -> None:
        """Meet what keeps the whole file from being collected on some machines."""
        for conftest, name in self._ignoring:
            asked = len(executor.world.trace)
            patterns = executor.interpreter.module_value(conftest, name)
            if len(executor.world.trace) > asked and _is_ignored(self._module, conftest, name, patterns):
                executor.close(conftest.path, conftest.bindings.names[name][0].lineno, RULE)
        for hook in self._named.get("pytest_ignore_collect", ()):
            given = dict.fromkeys(("collection_path", "path"), self._module.path)
            asked = len(executor.world.trace)
            if _run(executor, hook, given) is True and len(executor.world.trace) > asked:
                executor.close(hook.module.path, hook.node.lineno, RULE)

    def meet_set_up(self, executor: Executor) -> None:
        """Run the set-up of the module. Raises SkippedError where it ends at a gate that is closed."""
        for name in _MODULE_SETUPS:
            for hook in self._named.get(name, ()):
                memory: Memory = hook.module.note(
                    f"set-up, {executor.goes_on}, {executor.uses_devices}", hook.node, partial(Memory, are_same)
                )
                run = partial(bodies.follow, executor, hook.node, hook.module, {}, "skip-in-setup", None)
                memory.recall(executor.world, run, remembered=(SkippedError,))

    # -- its tests -----------------------------------------------------------------------------------------

    def meet_item(self, executor: Executor, test: Test, marks: Sequence[Mark]) -> None:
        """Meet what the hooks do to a test that has these marks. Raises SkippedError where one of them skips."""
        for name in _OF_ITEMS:
            for hook in self._named.get(name, ()):
                self._remembered(executor, hook, test, marks, partial(_of_item, executor, hook, test, marks))

    def parametrisations(
        self, executor: Executor, test: Test, marks: Sequence[Mark], names: Sequence[str]
    ) -> list[Mark]:
        """The parametrisations that hooks give a test, which takes fixtures of these `names`."""
        found: list[Mark] = []
        for hook in self._named.get(_GENERATE, ()):
            compute = partial(_generated, executor, hook, test, marks, names)
            found += self._remembered(executor, hook, test, marks, compute, names)
        if test.owner is not None and test.owner.node.name in self._instantiated:
            call = self._instantiated[test.owner.node.name]
            mark = _per_device(executor, call, Scope(self._module))
            if mark is not None:
                found.append(mark)
        return found

    def _remembered(
        self,
        executor: Executor,
        hook: Hook,
        test: Test,
        marks: Sequence[Mark],
        compute: Callable[[], tuple[Mark, ...]],
        names: Sequence[str] = (),
    ) -> tuple[Mark, ...]:
        """What a hook does, worked out once for all tests that look the same to it."""
        of_marks = tuple((mark.name, repr(mark.args), repr(mark.kwargs)) for mark in marks)
        own = (self._module.path, test.key) if _looks_at_one(hook) else None
        key = (of_marks, tuple(names), executor.goes_on, own)
        known: dict[object, Memory] = hook.module.note("hook", hook.node, dict)
        memory = known.setdefault(key, Memory(are_same))
        return memory.recall(executor.world, compute, remembered=(SkippedError,))


def _is_ignored(module: SourceModule, conftest: SourceModule, name: str, patterns: Value) -> bool:
    """True where a list of ignored files, or of globs, has the module or a folder of it."""
    if not isinstance(patterns, (list, tuple)):
        return False
    inside = PurePosixPath(module.path).relative_to(conftest.directory)
    places = [str(place) for place in (inside, *inside.parents)][:-1]
    wanted = [pattern.rstrip("/") for pattern in patterns if isinstance(pattern, str)]
    if name == "collect_ignore":
        return any(place in wanted for place in places)
    return any(fnmatch.fnmatch(place, pattern) for place in places for pattern in wanted)


def _looks_at_one(hook: Hook) -> bool:
    def look() -> bool:
        lines = hook.module.lines[hook.node.lineno - 1 : hook.node.end_lineno]
        return bool(_ONE_TEST.search("\n".join(lines)))

    return hook.module.note("looks at one", hook.node, look)


def _run(executor: Executor, hook: Hook, given: Env) -> Value:
    """
    What a hook returns; its gates are put down to the rule `hook`. Raises SkippedError where it skips.

    Gates that are closed without a question about the machine hang on an option, and say nothing of hardware.
    """
    environment: Env = dict.fromkeys(argument_names(hook.node), UNKNOWN)
    environment |= {name: value for name, value in given.items() if name in environment}
    world = executor.world
    asked = len(world.trace)
    with world.noting() as seen, executor.only(None):
        try:
            flow = executor.block(hook.node.body, Scope(hook.module, environment))
        except HardwareMissingError:
            return UNKNOWN  # a hook that fails is a mistake of ours: nobody's tests would run
        except SkippedError:
            if len(world.trace) > asked:
                raise
            return UNKNOWN
        finally:
            if len(world.trace) == asked:
                seen.gates.clear()
            seen.gates = [gate.under(RULE) if gate.rule in ("skip", "skip-in-body") else gate for gate in seen.gates]
            seen.gates_tell_makes |= bool(seen.gates) and seen.tells_makes
    return flow.value if isinstance(flow, Return) else None


def _of_item(executor: Executor, hook: Hook, test: Test, marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """
    Rule `hook`: a hook of a conftest file that skips a test, marks it so, or leaves it out.

    Before: `if "gpu" in item.keywords and not torch.cuda.is_available(): item.add_marker(pytest.mark.skip)`. After: a
    test with that mark requires cuda.
    """
    item = _item(executor, hook, test, list(marks))
    items = [item]
    _run(executor, hook, {"item": item, "items": items})
    if not any(left is item for left in items):
        executor.close(hook.module.path, hook.node.lineno, RULE)
    return ()


def _item(executor: Executor, hook: Hook, test: Test, marks: list[Mark]) -> Instance:
    path, name = test.module.path, test.key.rpartition("::")[2]

    def closest(args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        return next(iter(named(args, kwargs)), None)

    def named(args: Sequence[Value], kwargs: Mapping[str, Value]) -> list[Mark]:
        wanted = args[0] if args else kwargs.get("name")
        return [mark for mark in marks if wanted in (None, mark.name)]

    def add(args: Sequence[Value], kwargs: Mapping[str, Value]) -> None:
        added = args[0] if args else kwargs.get("marker")
        node = hook.node
        if isinstance(added, str):
            made: Iterable[Mark] = (gates.named_mark(executor, added, hook.module.path, node.lineno),)
        else:
            made = gates.marks_of(executor, added, hook.module.path, node.lineno)
        for mark in made:
            executor.meet(mark)
            marks.append(mark)

    return object_of_pytest(
        hook.module,
        {
            "name": name,
            "originalname": name,
            "nodeid": f"{path}::{test.key}",
            "path": path,
            "fspath": path,
            "location": (path, test.line, name),
            "keywords": {mark.name: True for mark in marks},
            "own_markers": marks,
            "fixturenames": argument_names(test.node),
            "get_closest_marker": Native(closest),
            "iter_markers": Native(named),
            "add_marker": Native(add),
            "cls": test.owner,
        },
    )


def _generated(
    executor: Executor, hook: Hook, test: Test, marks: Sequence[Mark], names: Sequence[str]
) -> tuple[Mark, ...]:
    """The parametrisations that `pytest_generate_tests` makes."""
    made: list[Mark] = []

    def parametrize(args: Sequence[Value], kwargs: Mapping[str, Value]) -> None:
        mark = Mark("parametrize", args=tuple(args), kwargs=tuple(kwargs.items()), file=hook.module.path)
        if set(names_of(mark)) <= set(names):
            made.append(mark)

    item = _item(executor, hook, test, list(marks))
    attributes = {"fixturenames": list(names), "parametrize": Native(parametrize), "cls": test.owner}
    _run(executor, hook, {"metafunc": object_of_pytest(hook.module, {**attributes, "definition": item})})
    return tuple(made)


# -- torch's tests by device ---------------------------------------------------------------------------------------


def _instantiated(module: SourceModule) -> dict[str, ast.Call]:
    """The classes that `instantiate_device_type_tests(TestX, globals())` makes one of for each device, by name."""
    found: dict[str, ast.Call] = {}
    for statement in module.tree.body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and last_word(call.func) == "instantiate_device_type_tests" and call.args:
            found[last_word(call.args[0])] = call
    return found


def _per_device(executor: Executor, call: ast.Call, scope: Scope) -> Mark | None:
    """The parametrisation by device that the call makes: the processor, and the devices that there are."""
    given = {word.arg: executor.interpreter.safe_value(word.value, scope) for word in call.keywords if word.arg}
    only, but = _names_in(given.get("only_for")), _names_in(given.get("except_for"))
    if only is None or but is None:
        return None
    asked = {kind for kind in ("mps", "xpu") if given.get(f"allow_{kind}") is True}
    wanted = only or ("cpu", "cuda", *asked)
    kinds = [kind for kind in _DEVICE_TYPES if kind in wanted and kind not in but]
    rows = [kind for kind in kinds if gates.has_device(executor.world, kind)]
    return Mark(DEVICE_TYPES, args=("device", rows), file=scope.module.path, line=call.lineno)


def _names_in(value: Value) -> tuple[str, ...] | None:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, (list, tuple, set)) and is_known(value) else None


_NODE: Final = ast.ClassDef("object of pytest", [], [], [], [])


def object_of_pytest(module: SourceModule, attributes: Env) -> Instance:
    """An object that pytest hands to code of `module`, of which these attributes are known."""
    return Instance(Class(_NODE, module), attributes)
