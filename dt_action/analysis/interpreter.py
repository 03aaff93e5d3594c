"""Works out what an expression is worth on one imagined machine, without importing or running anything."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis import vocabulary
from dt_action.analysis.project import Bindings, Project, SourceModule, Statement
from dt_action.analysis.values import (
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
    truth,
)
from dt_action.analysis.worlds import World

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor

MAX_STEPS = 12_000
MAX_DEPTH = 14
MAX_ITEMS = 512
MAX_LENGTH = 10_000
PLAIN_TYPES = (bool, int, float, str, bytes, tuple, list, dict, set, frozenset, type(None))


class Scope:
    """The names that an expression can see: local scopes, innermost last, then the module's."""

    __slots__ = ("locals", "module")

    def __init__(self, module: SourceModule, *environments: Env) -> None:
        self.module = module
        self.locals = environments

    def inner(self, environment: Env) -> Scope:
        """This scope with one more around the expression."""
        return Scope(self.module, *self.locals, environment)


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
        visit = _VISITORS.get(type(node))
        return visit(self, node, scope) if visit else UNKNOWN

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
        return External(f"builtins.{name}") if name in _BUILTINS else UNKNOWN

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
                lambda: self._bind(bindings.names[name], name, scope.inner({}), scope),
                lambda: self.cuts == before or len(self._pending) == 1,
            )
        finally:
            self._pending.discard(key)

    def _bind(self, statements: Sequence[Statement], name: str, scope: Scope, outer: Scope) -> Value:
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
            aware = [gate for gate in self.world.gates[met:] if gate == vocabulary.ROCM_AWARE]
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
        if isinstance(owner, (str, list, dict, set, tuple)) and name in _METHODS:
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
            return _call_python(function, args, kwargs)
        return UNKNOWN

    def _call_external(self, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        root, _, rest = name.partition(".")
        if root == "builtins":
            return self._call_builtin(rest, args, kwargs)
        fact = vocabulary.fact_of(name)
        return fact(self.world, args, kwargs) if fact else UNKNOWN

    def _call_builtin(self, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        args = [self.settle(arg) for arg in args]
        if name == "map" and len(args) == 2 and isinstance(args[1], (list, tuple)):
            return [self.call(args[0], [item], {}) for item in args[1][:MAX_ITEMS]]
        if name == "getattr" and len(args) >= 2 and isinstance(args[1], str):
            found = self.attribute(args[0], args[1])
            return args[2] if found is UNKNOWN and len(args) > 2 and not isinstance(args[0], Unknown) else found
        if name == "bool" and len(args) == 1:
            return truth(args[0])
        if name in ("any", "all") and len(args) == 1 and isinstance(args[0], (list, tuple, set)):
            return conjunction([truth(item) for item in args[0]], is_or=name == "any")
        if name == "len" and len(args) == 1:
            return len(args[0]) if isinstance(args[0], (str, list, tuple, dict, set)) else UNKNOWN
        if name == "hasattr" and len(args) == 2 and isinstance(args[0], (External, ModuleValue)):
            return True if f"{args[0].name}.{args[1]}" in vocabulary.PREFIXES else UNKNOWN
        if name in ("callable", "isinstance") and args:
            return _type_of_thing(name, args)
        plain = _BUILTINS.get(name)
        return _call_python(plain, args, kwargs) if plain else UNKNOWN

    def _call_mark(self, mark: Mark, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        if len(args) == 1 and not kwargs and isinstance(args[0], (Function, Class, Marked, TestBody)):
            return marked(args[0], mark)
        return mark


def _type_of_thing(name: str, args: Sequence[Value]) -> bool | Unknown:
    """`callable(x)` and `isinstance(x, type)`, by which decorators tell a test from an argument."""
    thing = args[0]
    if name == "callable":
        if isinstance(thing, (Function, Class, Marked, TestBody)):
            return True
        return False if is_known(thing) else UNKNOWN
    wanted = args[1] if len(args) > 1 else UNKNOWN
    names = [
        item.name for item in (wanted if isinstance(wanted, (list, tuple)) else [wanted]) if isinstance(item, External)
    ]
    if isinstance(thing, (Function, TestBody, Class)) or isinstance(unmarked(thing), Class):
        return isinstance(unmarked(thing), Class) if names == ["builtins.type"] else UNKNOWN
    types = [_TYPES.get(word.removeprefix("builtins.")) for word in names]
    if not types or None in types or not is_known(thing):
        return UNKNOWN
    return isinstance(thing, tuple(kind for kind in types if kind is not None))


def marked(target: Value, mark: Mark) -> Marked:
    """`target` under one more mark."""
    if isinstance(target, Marked):
        return Marked(target.target, (*target.marks, mark))
    return Marked(target, (mark,))


def unmarked(value: Value) -> Value:
    """What stands under the marks."""
    return value.target if isinstance(value, Marked) else value


def conjunction(values: Iterable[bool | Unknown], *, is_or: bool) -> bool | Unknown:
    """`and` or `or` where some operands are not known."""
    known = list(values)
    if any(value is is_or for value in known):
        return is_or
    return UNKNOWN if any(isinstance(value, Unknown) for value in known) else not is_or


def _call_python(function: Callable[..., Any], args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    is_mutation = getattr(function, "__name__", "") in ("append", "extend", "insert", "update", "add", "setdefault")
    if not is_mutation and not (all(map(is_known, args)) and all(map(is_known, kwargs.values()))):
        return UNKNOWN
    owner = getattr(function, "__self__", None)
    if isinstance(owner, (str, list, dict, set)) and len(owner) > MAX_LENGTH:
        return UNKNOWN
    try:
        return function(*args, **kwargs)
    except Exception:  # whatever a call of plain values raises says nothing of hardware
        return UNKNOWN


def is_known(value: Value) -> bool:
    """True for a constant, and for a container of nothing else."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_known, value))
    if isinstance(value, dict):
        return all(map(is_known, value.values()))
    return isinstance(value, PLAIN_TYPES)


def _constant(self: Interpreter, node: ast.Constant, scope: Scope) -> Value:
    return node.value if isinstance(node.value, PLAIN_TYPES) else UNKNOWN


def _name(self: Interpreter, node: ast.Name, scope: Scope) -> Value:
    return self.name(node.id, scope)


def _attribute(self: Interpreter, node: ast.Attribute, scope: Scope) -> Value:
    return self.attribute(self.value(node.value, scope), node.attr)


def _call(self: Interpreter, node: ast.Call, scope: Scope) -> Value:
    return self.executor.call_node(node, scope)


def _boolean(self: Interpreter, node: ast.BoolOp, scope: Scope) -> Value:
    is_or = isinstance(node.op, ast.Or)
    last: Value = UNKNOWN
    is_open = False
    for operand in node.values:
        last = self.settle(self.value(operand, scope))
        verdict = truth(last)
        if verdict is is_or:
            return is_or if is_open else last
        is_open = is_open or isinstance(verdict, Unknown)
    return UNKNOWN if is_open else last


def _unary(self: Interpreter, node: ast.UnaryOp, scope: Scope) -> Value:
    operand = self.settle(self.value(node.operand, scope))
    if isinstance(node.op, ast.Not):
        verdict = truth(operand)
        return UNKNOWN if isinstance(verdict, Unknown) else not verdict
    return -operand if isinstance(node.op, ast.USub) and isinstance(operand, (int, float)) else UNKNOWN


def _compare(self: Interpreter, node: ast.Compare, scope: Scope) -> Value:
    left = self.settle(self.value(node.left, scope))
    verdicts: list[bool | Unknown] = []
    for comparison, right_node in zip(node.ops, node.comparators, strict=True):
        right = self.settle(self.value(right_node, scope))
        verdicts.append(_compare_two(comparison, left, right))
        left = right
    return conjunction(verdicts, is_or=False)


def _compare_two(comparison: ast.cmpop, left: Value, right: Value) -> bool | Unknown:
    objects = (Result, Function, Class, Instance, ModuleValue)
    if isinstance(comparison, (ast.Is, ast.IsNot)):
        if None in (left, right) and (
            isinstance(left, (*objects, *PLAIN_TYPES)) and isinstance(right, (*objects, *PLAIN_TYPES))
        ):
            return (left is right) is isinstance(comparison, ast.Is)
        if isinstance(left, bool) and isinstance(right, bool):
            return (left is right) is isinstance(comparison, ast.Is)
        return UNKNOWN
    if (
        None in (left, right)
        and isinstance(comparison, (ast.Eq, ast.NotEq))
        and isinstance(left if right is None else right, objects)
    ):
        return isinstance(comparison, ast.NotEq)
    if isinstance(comparison, (ast.In, ast.NotIn)) and is_known(left) and isinstance(right, (list, tuple, set)):
        found = any(is_known(item) and item == left for item in right)
        if not found and not is_known(right):
            return UNKNOWN
        return found is isinstance(comparison, ast.In)
    if not (is_known(left) and is_known(right)):
        return UNKNOWN
    try:
        return bool(_COMPARISONS[type(comparison)](left, right))
    except TypeError:
        return UNKNOWN


def _choice(self: Interpreter, node: ast.IfExp, scope: Scope) -> Value:
    verdict = self.truth_of(node.test, scope)
    if isinstance(verdict, Unknown):
        one, other = self.value(node.body, scope), self.value(node.orelse, scope)
        return one if is_known(one) and is_known(other) and one == other else UNKNOWN
    return self.value(node.body if verdict else node.orelse, scope)


def _items(self: Interpreter, nodes: Sequence[ast.expr], scope: Scope) -> list[Value] | None:
    items: list[Value] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            inner = self.value(node.value, scope)
            if not isinstance(inner, (list, tuple)):
                return None
            items += inner
        else:
            items.append(self.value(node, scope))
    return items


def _list(self: Interpreter, node: ast.List, scope: Scope) -> Value:
    items = _items(self, node.elts, scope)
    return UNKNOWN if items is None else items


def _tuple(self: Interpreter, node: ast.Tuple, scope: Scope) -> Value:
    items = _items(self, node.elts, scope)
    return UNKNOWN if items is None else tuple(items)


def _set(self: Interpreter, node: ast.Set, scope: Scope) -> Value:
    items = _items(self, node.elts, scope)
    return items if items is not None else UNKNOWN


def _dict(self: Interpreter, node: ast.Dict, scope: Scope) -> Value:
    made: dict[Any, Value] = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = self.value(value_node, scope)
        if key_node is None:
            if not isinstance(value, dict):
                return UNKNOWN
            made.update(value)
            continue
        key = self.value(key_node, scope)
        if isinstance(key, (list, dict, set)) or not is_known(key):
            return UNKNOWN
        made[key] = value
    return made


def _subscript(self: Interpreter, node: ast.Subscript, scope: Scope) -> Value:
    owner = self.value(node.value, scope)
    if isinstance(node.slice, ast.Slice):
        edges = [
            self.value(edge, scope) if edge else None for edge in (node.slice.lower, node.slice.upper, node.slice.step)
        ]
        index: Any = slice(*edges) if all(edge is None or isinstance(edge, int) for edge in edges) else UNKNOWN
    else:
        index = self.value(node.slice, scope)
    if isinstance(index, Unknown) or not isinstance(owner, (list, tuple, dict, str)):
        return UNKNOWN
    try:
        return owner[index]
    except (KeyError, IndexError, TypeError):
        return UNKNOWN


def _binary(self: Interpreter, node: ast.BinOp, scope: Scope) -> Value:
    left, right = self.settle(self.value(node.left, scope)), self.settle(self.value(node.right, scope))
    both_lists = isinstance(left, (list, tuple)) and type(left) is type(right) and isinstance(node.op, ast.Add)
    if not both_lists and not (is_known(left) and is_known(right)):
        return UNKNOWN
    if isinstance(node.op, (ast.Pow, ast.LShift)) and not _is_small(left, right, 64):
        return UNKNOWN
    if isinstance(node.op, ast.Mult) and not _is_small(left, right, 2**40):
        return UNKNOWN
    if any(isinstance(side, (str, bytes, list, tuple)) and len(side) > MAX_LENGTH for side in (left, right)):
        return UNKNOWN
    arithmetic = _ARITHMETIC.get(type(node.op))
    try:
        return arithmetic(left, right) if arithmetic else UNKNOWN
    except Exception:  # such as a division by zero: not ours to report
        return UNKNOWN


def _is_small(left: Value, right: Value, most: int) -> bool:
    numbers = all(isinstance(side, (int, float)) for side in (left, right))
    return numbers and abs(left) <= 2**40 and abs(right) <= most


def _formatted(self: Interpreter, node: ast.JoinedStr, scope: Scope) -> Value:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = self.settle(self.value(part.value, scope))
            if part.format_spec is not None or not is_known(value):
                return UNKNOWN
            parts.append(str(value))
        else:
            parts.append(str(self.value(part, scope)))
    return "".join(parts)


def _comprehension(self: Interpreter, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Scope) -> Value:
    rows: list[Env] = [{}]
    for generator in node.generators:
        extended: list[Env] = []
        for row in rows:
            items = self.value(generator.iter, scope.inner(row))
            if isinstance(items, dict):
                items = list(items)
            if not isinstance(items, (list, tuple, set, range)) or len(items) * len(rows) > MAX_ITEMS:
                return UNKNOWN
            for item in items:
                inner = dict(row)
                self.executor.assign(generator.target, item, Scope(scope.module, *scope.locals, inner))
                verdict = conjunction([self.truth_of(test, scope.inner(inner)) for test in generator.ifs], is_or=False)
                if isinstance(verdict, Unknown):
                    return UNKNOWN
                if verdict:
                    extended.append(inner)
        rows = extended
    return [self.value(node.elt, scope.inner(row)) for row in rows]


def _lambda(self: Interpreter, node: ast.Lambda, scope: Scope) -> Value:
    return Function(node, scope.module, scope.locals)


def _inner(self: Interpreter, node: ast.Await | ast.Starred, scope: Scope) -> Value:
    return self.value(node.value, scope)


def _walrus(self: Interpreter, node: ast.NamedExpr, scope: Scope) -> Value:
    value = self.value(node.value, scope)
    if scope.locals:
        scope.locals[-1][node.target.id] = value
    return value


_VISITORS: Final[dict[type[ast.AST], Callable[[Interpreter, Any, Scope], Value]]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.BoolOp: _boolean,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.IfExp: _choice,
    ast.List: _list,
    ast.Tuple: _tuple,
    ast.Set: _set,
    ast.Dict: _dict,
    ast.Subscript: _subscript,
    ast.BinOp: _binary,
    ast.JoinedStr: _formatted,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.Lambda: _lambda,
    ast.Await: _inner,
    ast.Starred: _inner,
    ast.NamedExpr: _walrus,
}
_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
}
_TYPES: Final[dict[str, type]] = {kind.__name__: kind for kind in (str, int, float, bool, list, tuple, dict, set)}
_METHODS: Final = frozenset(
    {"append", "extend", "insert", "update", "add", "get", "keys", "values", "items", "copy", "startswith", "endswith"}
    | {"lower", "upper", "split", "strip", "replace", "count", "index", "rpartition", "partition", "removeprefix"}
    | {"capitalize", "casefold"}
)
_BUILTINS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        len,
        any,
        all,
        int,
        float,
        str,
        list,
        tuple,
        min,
        max,
        sum,
        abs,
        round,
        sorted,
        bool,
        dict,
        divmod,
        set,
    )
} | {
    "callable": callable,
    "isinstance": isinstance,
    "hasattr": hasattr,
    "type": type,
    "range": lambda *args: list(range(*args)[:MAX_ITEMS]),
    "zip": lambda *args, **kwargs: list(zip(*args, strict=False)),
    "enumerate": lambda *args, **kwargs: list(enumerate(*args, **kwargs)),
    "reversed": lambda items: list(reversed(items)),
    "map": map,
    "getattr": getattr,
    "print": lambda *args, **kwargs: None,
    "iter": lambda items: items,
}
