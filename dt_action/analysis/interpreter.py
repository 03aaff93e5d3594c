"""What names, attributes and calls stand for on one imagined machine, without importing or running anything."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dt_action.analysis.builtin_calls import METHODS, NAMES, call_builtin, call_python
from dt_action.analysis.expressions import EVALUATORS
from dt_action.analysis.project import Bindings, Project, SourceModule
from dt_action.analysis.syntax import Statement, last_word
from dt_action.analysis.values import (
    MARKABLE,
    UNKNOWN,
    Choice,
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
    Native,
    Result,
    SkippedError,
    TestBody,
    Unknown,
    Value,
    marked,
    truth,
    unmarked,
)
from dt_action.analysis.worlds import DOMAINS, World

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor

MAX_STEPS: Final = 4_000
"""Steps of one test on one machine, and of one name of a module, beyond which it is not followed."""
MAX_DEPTH: Final = 14
MAX_PENDING: Final = 25
"""Names that are worked out for one another at once, through imports, beyond which the chain is cut."""


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
        return Scope(self.module, *self.locals[:-1], self.locals[-1].copy()) if self.locals else self

    def bind(self, name: str, value: Value) -> None:
        """Bind a name in the innermost local scope, if there is one."""
        if self.locals:
            self.locals[-1][name] = value


class Watched(dict[str, Value]):
    """Values by name that tell which of them were `read`, or were of any copy of them."""

    __slots__ = ("read",)

    def __init__(self, values: Env, read: set[str]) -> None:
        super().__init__(values)
        self.read = read

    def __getitem__(self, name: str) -> Value:
        self.read.add(name)
        return super().__getitem__(name)

    def copy(self) -> Watched:
        """The same values, watched too."""
        return Watched(self, self.read)


class BudgetError(Exception):
    """A test that takes more steps to follow than it is worth."""


class Budget:
    """How many steps the work for one file may take yet, over all its tests and machines."""

    __slots__ = ("is_spent", "left")

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.is_spent = False


class Interpreter:
    """
    Evaluates expressions of the project's modules in one `world`. Statements are its `executor`'s.

    `lookups` counts the names that were looked up: what is evaluated without one is a constant. `changed` are names of
    modules, by path, whose containers a test changes: what they hold is then not known.
    """

    def __init__(
        self, project: Project, world: World, budget: Budget, execute: Callable[[Interpreter], Executor]
    ) -> None:
        self.project = project
        self.vocabulary = project.vocabulary
        self.world = world
        self.depth = 0
        self.cuts = 0
        self.lookups = 0
        self._steps = MAX_STEPS
        self._budget = budget
        self._pending: set[tuple[int, str]] = set()
        self._running: set[int] = set()
        self.changed: set[tuple[str, str]] = set()
        self.executor = execute(self)

    def value(self, node: ast.expr | None, scope: Scope) -> Value:
        """What `node` is worth here; UNKNOWN where the analysis cannot tell."""
        if node is None:
            return None
        self._steps -= 1
        if self._steps < 0:
            raise BudgetError
        evaluate = EVALUATORS.get(type(node))
        return evaluate(self, node, scope) if evaluate else UNKNOWN

    def safe_value(self, node: ast.expr | None, scope: Scope) -> Value:
        """As `value`; UNKNOWN where the machine lacks what the expression uses, too."""
        try:
            return self.value(node, scope)
        except (HardwareMissingError, SkippedError):
            return UNKNOWN

    def step(self) -> None:
        """Count one step. Raises BudgetError when they are used up."""
        self._steps -= 1
        if self._steps < 0:
            raise BudgetError

    def charge(self) -> None:
        """Take the steps of this interpreter from those of the file."""
        self._budget.left -= MAX_STEPS - self._steps

    # -- what hangs on the machine ---------------------------------------------------------------------------

    def opened(self, value: Value) -> Value:
        """A count of devices as a choice of numbers, and something external that is read as what it holds."""
        if isinstance(value, Count):
            if not self.world.has(value.kinds):
                return value.least
            return Choice("count", tuple((n, max(int(str(n)), value.least)) for n in DOMAINS["count"]))
        if isinstance(value, External):
            answer = self.vocabulary.constant(value.name)
            return self.opened(answer(self.world, (), {})) if answer else value
        return value

    def settle(self, value: Value) -> Value:
        """A value as it is here, told from every other."""
        if isinstance(value, (Count, External)):
            value = self.opened(value)
        if not isinstance(value, Choice):
            return value
        groups: list[tuple[Value, set[object]]] = []
        for here, inner in value.of:
            same = next((places for known, places in groups if known is inner or _is_equal(known, inner)), None)
            if same is None:
                groups.append((inner, {here}))
            else:
                same.add(here)
        for inner, places in groups[:-1]:
            if self.world.is_in(value.axis, frozenset(places)):
                return inner
        return groups[-1][0]

    def decide(self, verdicts: Choice) -> bool | Unknown:
        """What a choice of truths is here."""
        true = frozenset(here for here, verdict in verdicts.of if verdict is True)
        unknown = frozenset(here for here, verdict in verdicts.of if isinstance(verdict, Unknown))
        if unknown and self.world.is_in(verdicts.axis, unknown):
            return UNKNOWN
        if not true or len(true) == len(verdicts.of):
            return bool(true)
        return self.world.is_in(verdicts.axis, true)

    def truth(self, value: Value) -> bool | Unknown:
        """Whether a value counts as true here."""
        if isinstance(value, (Count, External)):
            value = self.opened(value)
        return self.decide(value.map(truth)) if isinstance(value, Choice) else truth(value)

    def truth_of(self, node: ast.expr, scope: Scope) -> bool | Unknown:
        """Whether an expression holds here."""
        return self.truth(self.value(node, scope))

    # -- names ---------------------------------------------------------------------------------------------

    def name(self, name: str, scope: Scope) -> Value:
        """What a name stands for in `scope`."""
        self.lookups += 1
        for environment in reversed(scope.locals):
            if name in environment:
                return environment[name]
        if self.changed and (scope.module.path, name) in self.changed:
            return UNKNOWN
        value = self.module_value(scope.module, name)
        if value is not None or name in scope.module.bindings.names:
            return value
        return External(f"builtins.{name}") if name in NAMES else UNKNOWN

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
            elif target is None and star.module and f"{star.module}.{name}" in self.vocabulary.names:
                return External(f"{star.module}.{name}")
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
        if key in self._pending or len(self._pending) >= MAX_PENDING:
            self.cuts += 1
            return UNKNOWN
        self._pending.add(key)
        before = self.cuts
        try:
            found = bindings.memory(name).recall(
                self.world,
                lambda: self._bind(bindings.names[name], name, scope.inner({})),
                is_whole=lambda: self.cuts == before or len(self._pending) == 1,
            )
        finally:
            self._pending.discard(key)
        return found.copy() if type(found) in (list, dict, set) else found  # whoever changes it changes it for itself

    def _bind(self, statements: Sequence[Statement], name: str, scope: Scope) -> Value:
        # What is remembered must not hang on who asks first: it has steps and depth of its own, and is not charged.
        outside = self._steps, self.depth
        self._steps, self.depth = MAX_STEPS, 0
        with self.world.supposing() as seen:
            try:
                for statement in statements:
                    self._run_for(statement, scope, name)
            except (HardwareMissingError, SkippedError, BudgetError):
                pass
            finally:
                self._steps, self.depth = outside
        self.world.notes.tells_makes |= seen.tells_makes
        return scope.locals[-1].get(name, UNKNOWN)

    def _run_for(self, statement: Statement, scope: Scope, name: str) -> None:
        """
        Run a statement for a name, unless it is running for another that asks for this one.

        A loop that binds names in terms of each other would run for each order of them otherwise.
        """
        if id(statement) in self._running:
            self.cuts += 1
            return
        self._running.add(id(statement))
        try:
            self.executor.bind(statement, scope, name)
        finally:
            self._running.discard(id(statement))

    # -- attributes ----------------------------------------------------------------------------------------

    def attribute(self, owner: Value, name: str) -> Value:
        """`owner.name`."""
        if isinstance(owner, External):
            return self._external_attribute(owner, name)
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
            if isinstance(found, Function) and "classmethod" in _decorations(found):
                return Function(found.node, found.module, found.closure, of)
            return found if found is not None else UNKNOWN
        if isinstance(owner, Result):
            dotted = f"{owner.kind}.{name}"
            return External(dotted) if dotted in self.vocabulary.names else UNKNOWN
        if isinstance(owner, Choice):
            return self._attribute_of_choice(owner, name)
        if isinstance(owner, Mark) and name in ("name", "args", "kwargs"):
            return dict(owner.kwargs) if name == "kwargs" else getattr(owner, name)
        if isinstance(owner, str) and name == "type":  # a torch.device is kept as its name
            return owner.partition(":")[0]
        if isinstance(owner, (str, list, dict, set, tuple)) and name in METHODS:
            return getattr(owner, name, UNKNOWN)
        return UNKNOWN

    def _external_attribute(self, owner: External, name: str) -> Value:
        dotted = f"{owner.name}.{name}"
        vocabulary = self.vocabulary
        if owner.name in vocabulary.names and dotted not in vocabulary.names and dotted not in vocabulary.prefixes:
            value = self.opened(owner)  # an attribute of a constant, such as `sys.platform.startswith`
            if not isinstance(value, (External, Unknown)):
                return self.attribute(value, name)
        return External(dotted)

    def _attribute_of_choice(self, owner: Choice, name: str) -> Value:
        """A part of each, or of the one that is here where the parts are no plain values."""
        if all(isinstance(value, str) for _, value in owner.of) and name == "type":
            return owner.map(lambda value: value.partition(":")[0])
        return self.attribute(self.settle(owner), name)

    def _module_attribute(self, owner: ModuleValue, name: str) -> Value:
        dotted = f"{owner.name}.{name}"
        if owner.name and dotted in self.vocabulary.names:
            return External(dotted)
        inner = self.project.find(name, owner.module, 1) if owner.module.path.endswith("__init__.py") else None
        if owner.name and inner is None and dotted in self.vocabulary.prefixes:
            return External(dotted)
        found = self.module_value(owner.module, name)
        if not isinstance(found, ModuleValue) and (found is not None or name in owner.module.bindings.names):
            return found
        return ModuleValue(inner, dotted) if inner else UNKNOWN

    def bind_method(self, found: Value, owner: Instance) -> Value:
        """A function found in a class, bound to an object; a property is read."""
        if not isinstance(found, Function) or isinstance(found.node, ast.Lambda):
            return found
        words = _decorations(found)
        if "staticmethod" in words:
            return found
        bound = Function(found.node, found.module, found.closure, owner.of if "classmethod" in words else owner)
        return self.call(bound, [], {}) if words & {"property", "cached_property"} else bound

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
        if isinstance(function, Native):
            return function.run(args, kwargs)
        if isinstance(function, Marked):
            return self.executor.call_marked(function, args, kwargs)
        if isinstance(function, TestBody):
            self.executor.run_body(function)
            return None
        if callable(function) and not isinstance(function, Unknown):
            settled = {name: self.settle(value) for name, value in kwargs.items()}
            return call_python(function, [self.settle(arg) for arg in args], settled)
        return UNKNOWN

    def _call_external(self, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        root, _, rest = name.partition(".")
        if root == "builtins":
            return call_builtin(self, rest, args, kwargs)
        fact = self.vocabulary.answer(name)
        return fact(self.world, args, kwargs) if fact else UNKNOWN

    def _call_mark(self, mark: Mark, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if len(args) == 1 and not kwargs and isinstance(args[0], MARKABLE):
            return marked(args[0], mark)
        return mark


def _decorations(function: Function) -> set[str]:
    """The last words of a function's decorators."""
    return {last_word(decorator) for decorator in getattr(function.node, "decorator_list", ())}


def _is_equal(one: Value, other: Value) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # values that cannot be compared are two
        return False
