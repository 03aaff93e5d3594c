"""What each kind of expression is worth, given what its parts are worth."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis.values import (
    MAX_ITEMS,
    MAX_LENGTH,
    PLAIN_TYPES,
    UNKNOWN,
    Class,
    Env,
    Function,
    Instance,
    ModuleValue,
    Result,
    Unknown,
    Value,
    conjunction,
    is_known,
    truth,
)

if TYPE_CHECKING:
    from dt_action.analysis.interpreter import Interpreter, Scope


def _constant(interpreter: Interpreter, node: ast.Constant, scope: Scope) -> Value:
    return node.value if isinstance(node.value, PLAIN_TYPES) else UNKNOWN


def _name(interpreter: Interpreter, node: ast.Name, scope: Scope) -> Value:
    return interpreter.name(node.id, scope)


def _attribute(interpreter: Interpreter, node: ast.Attribute, scope: Scope) -> Value:
    return interpreter.attribute(interpreter.value(node.value, scope), node.attr)


def _call(interpreter: Interpreter, node: ast.Call, scope: Scope) -> Value:
    return interpreter.executor.call_node(node, scope)


def _boolean(interpreter: Interpreter, node: ast.BoolOp, scope: Scope) -> Value:
    is_or = isinstance(node.op, ast.Or)
    last: Value = UNKNOWN
    is_open = False
    for operand in node.values:
        last = interpreter.settle(interpreter.value(operand, scope))
        verdict = truth(last)
        if verdict is is_or:
            return is_or if is_open else last
        is_open = is_open or isinstance(verdict, Unknown)
    return UNKNOWN if is_open else last


def _unary(interpreter: Interpreter, node: ast.UnaryOp, scope: Scope) -> Value:
    operand = interpreter.settle(interpreter.value(node.operand, scope))
    if isinstance(node.op, ast.Not):
        verdict = truth(operand)
        return UNKNOWN if isinstance(verdict, Unknown) else not verdict
    return -operand if isinstance(node.op, ast.USub) and isinstance(operand, (int, float)) else UNKNOWN


def _compare(interpreter: Interpreter, node: ast.Compare, scope: Scope) -> Value:
    left = interpreter.settle(interpreter.value(node.left, scope))
    verdicts: list[bool | Unknown] = []
    for comparison, right_node in zip(node.ops, node.comparators, strict=True):
        right = interpreter.settle(interpreter.value(right_node, scope))
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


def _choice(interpreter: Interpreter, node: ast.IfExp, scope: Scope) -> Value:
    verdict = interpreter.truth_of(node.test, scope)
    if isinstance(verdict, Unknown):
        one, other = interpreter.value(node.body, scope), interpreter.value(node.orelse, scope)
        return one if is_known(one) and is_known(other) and one == other else UNKNOWN
    return interpreter.value(node.body if verdict else node.orelse, scope)


def _items(interpreter: Interpreter, nodes: Sequence[ast.expr], scope: Scope) -> list[Value] | None:
    items: list[Value] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            inner = interpreter.value(node.value, scope)
            if not isinstance(inner, (list, tuple)):
                return None
            items += inner
        else:
            items.append(interpreter.value(node, scope))
    return items


def _list(interpreter: Interpreter, node: ast.List, scope: Scope) -> Value:
    items = _items(interpreter, node.elts, scope)
    return UNKNOWN if items is None else items


def _tuple(interpreter: Interpreter, node: ast.Tuple, scope: Scope) -> Value:
    items = _items(interpreter, node.elts, scope)
    return UNKNOWN if items is None else tuple(items)


def _set(interpreter: Interpreter, node: ast.Set, scope: Scope) -> Value:
    items = _items(interpreter, node.elts, scope)
    return items if items is not None else UNKNOWN


def _dict(interpreter: Interpreter, node: ast.Dict, scope: Scope) -> Value:
    made: dict[Any, Value] = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = interpreter.value(value_node, scope)
        if key_node is None:
            if not isinstance(value, dict):
                return UNKNOWN
            made.update(value)
            continue
        key = interpreter.value(key_node, scope)
        if isinstance(key, (list, dict, set)) or not is_known(key):
            return UNKNOWN
        made[key] = value
    return made


def _subscript(interpreter: Interpreter, node: ast.Subscript, scope: Scope) -> Value:
    owner = interpreter.value(node.value, scope)
    if isinstance(node.slice, ast.Slice):
        edges = [
            interpreter.value(edge, scope) if edge else None
            for edge in (node.slice.lower, node.slice.upper, node.slice.step)
        ]
        index: Any = slice(*edges) if all(edge is None or isinstance(edge, int) for edge in edges) else UNKNOWN
    else:
        index = interpreter.value(node.slice, scope)
    if isinstance(index, Unknown) or not isinstance(owner, (list, tuple, dict, str)):
        return UNKNOWN
    try:
        return owner[index]
    except (KeyError, IndexError, TypeError):
        return UNKNOWN


def _binary(interpreter: Interpreter, node: ast.BinOp, scope: Scope) -> Value:
    left, right = (
        interpreter.settle(interpreter.value(node.left, scope)),
        interpreter.settle(interpreter.value(node.right, scope)),
    )
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


def _formatted(interpreter: Interpreter, node: ast.JoinedStr, scope: Scope) -> Value:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = interpreter.settle(interpreter.value(part.value, scope))
            if part.format_spec is not None or not is_known(value):
                return UNKNOWN
            parts.append(str(value))
        else:
            parts.append(str(interpreter.value(part, scope)))
    return "".join(parts)


def _comprehension(
    interpreter: Interpreter, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Scope
) -> Value:
    rows: list[Env] = [{}]
    for generator in node.generators:
        extended: list[Env] = []
        for row in rows:
            items = interpreter.value(generator.iter, scope.inner(row))
            if isinstance(items, dict):
                items = list(items)
            if not isinstance(items, (list, tuple, set, range)) or len(items) * len(rows) > MAX_ITEMS:
                return UNKNOWN
            for item in items:
                inner = dict(row)
                interpreter.executor.assign(generator.target, item, scope.inner(inner))
                verdict = conjunction(
                    [interpreter.truth_of(test, scope.inner(inner)) for test in generator.ifs], is_or=False
                )
                if isinstance(verdict, Unknown):
                    return UNKNOWN
                if verdict:
                    extended.append(inner)
        rows = extended
    return [interpreter.value(node.elt, scope.inner(row)) for row in rows]


def _lambda(interpreter: Interpreter, node: ast.Lambda, scope: Scope) -> Value:
    return Function(node, scope.module, scope.locals)


def _inner(interpreter: Interpreter, node: ast.Await | ast.Starred, scope: Scope) -> Value:
    return interpreter.value(node.value, scope)


def _walrus(interpreter: Interpreter, node: ast.NamedExpr, scope: Scope) -> Value:
    value = interpreter.value(node.value, scope)
    scope.bind(node.target.id, value)
    return value


EVALUATORS: Final[dict[type[ast.AST], Callable[[Interpreter, Any, Scope], Value]]] = {
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
