"""What names, attributes and calls stand for on one imagined machine, without importing or running anything."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dt_action.analysis import vocabulary
from dt_action.analysis.builtin_calls import BUILTINS, METHODS, call_builtin, call_python
from dt_action.analysis.expressions import EVALUATORS
from dt_action.analysis.project import Bindings, Project, SourceModule
from dt_action.analysis.syntax import Statement
from dt_action.analysis.values import (
    MARKABLE,
    ROCM_AWARE,
    UNKNOWN,
    Class,
    Count,
    Env,
    External,
    Function,
    HardwareMissingError,
    Instance,
    Mark,
    Marked,
    ModuleValue,
    Result,
    TestBody,
    Unknown,
    Value,
    marked,
    truth,
    unmarked,
)
from dt_action.analysis.worlds import World

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor

MAX_STEPS = 12_000
MAX_DEPTH = 14


class Scope:
    """The names that an expression can see: local scopes, innermost last, then the module's."""

    __slots__ = ("locals", "module")

    def __init__(self, module: SourceModule, *environments: Env) -> None:
        self.module = module
        self.locals = environments

    def inner(self, environment: Env) -> Scope:
        """This scope with one more around the expression."""
        return Scope(self.module, *self.locals, environment)

    def apart(self) -> Scope:
        """This scope, where nothing that is bound from now on is seen outside."""
        return Scope(self.module, *self.locals[:-1], dict(self.locals[-1])) if self.locals else self

    def bind(self, name: str, value: Value) -> None:
        """Bind a name in the innermost local scope, if there is one."""
        if self.locals:
            self.locals[-1][name] = value


class BudgetError(Exception):
    """A test that takes more steps to follow than it is worth."""


class Interpreter:
    """Evaluates expressions of the project's modules in one `world`. Statements are its `executor`'s."""

    def __init__(self, project: Project, world: World, execute: Callable[[Interpreter], Executor]) -> None:
        self.project = project
        self.world = world
        self.depth = 0
        self.cuts = 0
        self._pending: set[tuple[int, str]] = set()
        self.executor = execute(self)

    def value(self, node: ast.expr | None, scope: Scope) -> Value:
        """What `node` is worth here; UNKNOWN where the analysis cannot tell."""
        if node is None:
            return None
        self.step()
        evaluate = EVALUATORS.get(type(node))
        return evaluate(self, node, scope) if evaluate else UNKNOWN

    def safe_value(self, node: ast.expr | None, scope: Scope) -> Value:
        """As `value`; UNKNOWN where the machine lacks what the expression uses, too."""
        try:
            return self.value(node, scope)
        except HardwareMissingError:
            return UNKNOWN

    def step(self) -> None:
        """Count one step. Raises BudgetError when they are used up."""
        self.world.steps += 1
        if self.world.steps > MAX_STEPS:
            raise BudgetError

    def settle(self, value: Value) -> Value:
        """A count as a number: from here on something hangs on it."""
        if not isinstance(value, Count):
            return value
        number = self.world.count() if self.world.accelerator in value.kinds else 0
        return max(number, value.least)

    def truth_of(self, node: ast.expr, scope: Scope) -> bool | Unknown:
        """Whether an expression holds here."""
        return truth(self.settle(self.value(node, scope)))

    # -- names ---------------------------------------------------------------------------------------------

    def name(self, name: str, scope: Scope) -> Value:
        """What a name stands for in `scope`."""
        for environment in reversed(scope.locals):
            if name in environment:
                return environment[name]
        value = self.module_value(scope.module, name)
        if value is not None or name in scope.module.bindings.names:
            return value
        return External(f"builtins.{name}") if name in BUILTINS else UNKNOWN

    def module_value(self, module: SourceModule, name: str) -> Value:
        """What the top level of `module` binds `name` to; None where it does not."""
        if name in module.bindings.names:
            return self._bound(module.bindings, name, Scope(module))
        for star in module.bindings.stars:
            target = self.project.find(star.module or "", module, star.level)
            if target is not None and name not in ("__all__",) and (id(target), name) not in self._pending:
                self._pending.add((id(target), name))
                try:
                    found = self.module_value(target, name)
                finally:
                    self._pending.discard((id(target), name))
                if found is not None:
                    return found
            elif target is None and star.module and f"{star.module}.{name}" in vocabulary.DOTTED:
                return self._external(f"{star.module}.{name}")
        return None

    def class_value(self, owner: Class, name: str, seen: frozenset[int] = frozenset()) -> Value:
        """A class attribute, looked for in the project's bases too; None where there is none."""
        bindings = owner.module.bindings_of(owner.node)
        if name in bindings.names:
            return self._bound(bindings, name, Scope(owner.module))
        for base in self.bases(owner):
            if id(base.node) not in seen:
                found = self.class_value(base, name, seen | {id(owner.node)})
                if found is not None:
                    return found
        return None

    def bases(self, owner: Class) -> list[Class]:
        """The base classes of `owner` that the project defines."""
        values = [self.value(base, Scope(owner.module)) for base in owner.node.bases]
        return [base for base in map(unmarked, values) if isinstance(base, Class) and base.node is not owner.node]

    def _bound(self, bindings: Bindings, name: str, scope: Scope) -> Value:
        key = (id(bindings), name)
        if key in self._pending:
            self.cuts += 1
            return UNKNOWN
        self._pending.add(key)
        before = self.cuts
        try:
            return bindings.memory(name).recall(
                self.world,
                lambda: self._bind(bindings.names[name], name, scope.inner({})),
                lambda: self.cuts == before or len(self._pending) == 1,
            )
        finally:
            self._pending.discard(key)

    def _bind(self, statements: Sequence[Statement], name: str, scope: Scope) -> Value:
        met = len(self.world.gates)
        spent, self.world.steps = self.world.steps, 0  # what is remembered must not hang on who asks first
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH:
                self.cuts += 1
                return UNKNOWN
            for statement in statements:
                self.executor.bind(statement, scope, name)
        except HardwareMissingError:
            pass
        except BudgetError:
            self.cuts += 1
        finally:
            self.world.steps = spent
            self.depth -= 1
            aware = [gate for gate in self.world.gates[met:] if gate == ROCM_AWARE]
            self.world.gates[met:] = aware[:1]
        return scope.locals[-1].get(name, UNKNOWN)

    # -- attributes ----------------------------------------------------------------------------------------

    def attribute(self, owner: Value, name: str) -> Value:
        """`owner.name`."""
        if isinstance(owner, External):
            return self._external(f"{owner.name}.{name}")
        if isinstance(owner, ModuleValue):
            return self._module_attribute(owner, name)
        if isinstance(owner, Instance):
            if name in owner.attributes:
                return owner.attributes[name]
            found = self.class_value(owner.of, name)
            return self.bind_method(found, owner) if found is not None else UNKNOWN
        if isinstance(owner, (Class, Marked)):
            of = unmarked(owner)
            found = self.class_value(of, name) if isinstance(of, Class) else None
            return found if found is not None else UNKNOWN
        if isinstance(owner, Result):
            fact = vocabulary.RESULT_ATTRIBUTES.get((owner.kind, name))
            return fact(self.world, (), {}) if fact else UNKNOWN
        if isinstance(owner, str) and name == "type":  # a torch.device is kept as its name
            return owner.partition(":")[0]
        if isinstance(owner, (str, list, dict, set, tuple)) and name in METHODS:
            return getattr(owner, name, UNKNOWN)
        return UNKNOWN

    def _module_attribute(self, owner: ModuleValue, name: str) -> Value:
        dotted = f"{owner.name}.{name}"
        if owner.name and dotted in vocabulary.DOTTED:
            return self._external(dotted)
        inner = self.project.find(name, owner.module, 1) if owner.module.path.endswith("__init__.py") else None
        if owner.name and inner is None and dotted in vocabulary.PREFIXES:
            return External(dotted)
        found = self.module_value(owner.module, name)
        if not isinstance(found, ModuleValue) and (found is not None or name in owner.module.bindings.names):
            return found
        return ModuleValue(inner, dotted) if inner else UNKNOWN

    def bind_method(self, found: Value, owner: Instance) -> Value:
        """A function found in a class, bound to an object; a property is read."""
        if not isinstance(found, Function) or isinstance(found.node, ast.Lambda):
            return found
        words = {ast.unparse(decorator).rpartition(".")[2] for decorator in found.node.decorator_list}
        if "staticmethod" in words:
            return found
        bound = Function(found.node, found.module, found.closure, owner)
        return self.call(bound, [], {}) if words & {"property", "cached_property"} else bound

    def _external(self, name: str) -> Value:
        if name in vocabulary.CONSTANTS:
            return vocabulary.DOTTED[name](self.world, (), {})
        return External(name)

    # -- calls ---------------------------------------------------------------------------------------------

    def call(self, function: Value, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        """What calling `function` gives. Raises HardwareMissingError where the machine lacks what it uses."""
        if isinstance(function, External):
            return self._call_external(function.name, args, kwargs)
        if isinstance(function, Function):
            return self.executor.call(function, args, kwargs)
        if isinstance(function, Class):
            return Instance(function)
        if isinstance(function, Mark):
            return self._call_mark(function, args, kwargs)
        if isinstance(function, Marked):
            return self.executor.call_marked(function, args, kwargs)
        if isinstance(function, TestBody):
            self.executor.run_body(function)
            return None
        if callable(function) and not isinstance(function, Unknown):
            return call_python(function, args, kwargs)
        return UNKNOWN

    def _call_external(self, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        root, _, rest = name.partition(".")
        if root == "builtins":
            return call_builtin(self, rest, args, kwargs)
        fact = vocabulary.fact_of(name)
        return fact(self.world, args, kwargs) if fact else UNKNOWN

    def _call_mark(self, mark: Mark, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if len(args) == 1 and not kwargs and isinstance(args[0], MARKABLE):
            return marked(args[0], mark)
        return mark
