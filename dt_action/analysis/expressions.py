"""What each kind of expression is worth, given what its parts are worth."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis.operators import arithmetic, compare, device_is
from dt_action.analysis.values import (
    MAX_ITEMS,
    PLAIN_TYPES,
    UNKNOWN,
    Choice,
    Count,
    Env,
    External,
    Function,
    Iterated,
    Truth,
    Unknown,
    Value,
    conjunction,
    is_known,
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
        last = interpreter.value(operand, scope)
        verdict = interpreter.truth(last)
        if verdict is is_or:
            return Truth(is_or) if is_open else last
        is_open = is_open or isinstance(verdict, Unknown)
    return UNKNOWN if is_open else last


def _unary(interpreter: Interpreter, node: ast.UnaryOp, scope: Scope) -> Value:
    operand = interpreter.value(node.operand, scope)
    if isinstance(node.op, ast.Not):
        verdict = interpreter.truth(operand)
        return UNKNOWN if isinstance(verdict, Unknown) else not verdict
    operand = interpreter.settle(operand)
    if not isinstance(operand, (int, float)):
        return UNKNOWN
    return _SIGNS[type(node.op)](operand) if type(node.op) in _SIGNS else UNKNOWN


def _compare(interpreter: Interpreter, node: ast.Compare, scope: Scope) -> Value:
    left = interpreter.value(node.left, scope)
    verdicts: list[bool | Unknown] = []
    left_node = node.left
    for comparison, right_node in zip(node.ops, node.comparators, strict=True):
        right = interpreter.value(right_node, scope)
        verdict = compare(interpreter, comparison, left, right)
        if isinstance(verdict, Unknown) and isinstance(left, (Unknown, External)):
            verdict = device_is(interpreter, left_node, comparison, right)
        left_node = right_node
        if verdict is False:
            return False  # what stands further right is not evaluated
        verdicts.append(verdict)
        left = right
    return conjunction(verdicts, is_or=False)


def _choice(interpreter: Interpreter, node: ast.IfExp, scope: Scope) -> Value:
    verdict = interpreter.truth_of(node.test, scope)
    if isinstance(verdict, Unknown):
        one, other = interpreter.value(node.body, scope), interpreter.value(node.orelse, scope)
        return one if is_known(one) and is_known(other) and one == other and type(one) is type(other) else UNKNOWN
    return interpreter.value(node.body if verdict else node.orelse, scope)


def _items(interpreter: Interpreter, nodes: Sequence[ast.expr], scope: Scope) -> list[Value] | None:
    items: list[Value] = []
    for node in nodes:
        if isinstance(node, ast.Starred):
            inner = interpreter.settle(interpreter.value(node.value, scope))
            if not isinstance(inner, (list, tuple, range)) or len(inner) > MAX_ITEMS:
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
    return as_set(_items(interpreter, node.elts, scope))


def as_set(items: Sequence[Value] | None) -> Value:
    """A set of known items; how many items others make is not known."""
    if items is None or not all(map(is_known, items)):
        return UNKNOWN
    try:
        return set(items)
    except TypeError:
        return UNKNOWN


def _dict(interpreter: Interpreter, node: ast.Dict, scope: Scope) -> Value:
    made: dict[Any, Value] = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = interpreter.value(value_node, scope)
        if key_node is None:
            if not isinstance(value, dict):
                return UNKNOWN
            made.update(value)
            continue
        key = interpreter.settle(interpreter.value(key_node, scope))
        if not is_known(key):
            return UNKNOWN
        try:
            made[key] = value
        except TypeError:
            return UNKNOWN
    return made


def _subscript(interpreter: Interpreter, node: ast.Subscript, scope: Scope) -> Value:
    owner = interpreter.value(node.value, scope)
    if isinstance(owner, (External, Count)):
        owner = interpreter.opened(owner)
    index = _index(interpreter, node.slice, scope)
    if isinstance(owner, Choice) and not isinstance(index, Choice):
        return owner.map(lambda value: _item(value, index))
    index = interpreter.settle(index)
    return _item(interpreter.settle(owner), index)


def _index(interpreter: Interpreter, node: ast.expr, scope: Scope) -> Any:
    if not isinstance(node, ast.Slice):
        return interpreter.value(node, scope)
    edges = [
        interpreter.settle(interpreter.value(edge, scope)) if edge else None
        for edge in (node.lower, node.upper, node.step)
    ]
    return slice(*edges) if all(edge is None or isinstance(edge, int) for edge in edges) else UNKNOWN


def _item(owner: Value, index: Any) -> Value:
    if not isinstance(owner, (list, tuple, dict, str, bytes, range)):
        return UNKNOWN
    if not isinstance(index, slice) and not is_known(index):
        return UNKNOWN
    try:
        return owner[index]
    except (KeyError, IndexError, TypeError, ValueError):
        return UNKNOWN


def _binary(interpreter: Interpreter, node: ast.BinOp, scope: Scope) -> Value:
    return arithmetic(interpreter, node.op, interpreter.value(node.left, scope), interpreter.value(node.right, scope))


def _formatted(interpreter: Interpreter, node: ast.JoinedStr, scope: Scope) -> Value:
    parts = []
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            value = interpreter.settle(interpreter.value(part.value, scope))
            if part.format_spec is not None or part.conversion not in (-1, 115) or not is_known(value):
                return UNKNOWN
            parts.append(str(value))
        else:
            parts.append(str(interpreter.value(part, scope)))
    return "".join(parts)


def _comprehension(
    interpreter: Interpreter, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope
) -> Value:
    rows: list[Env] = [{}]
    for generator in node.generators:
        extended: list[Env] = []
        for row in rows:
            items = interpreter.settle(interpreter.value(generator.iter, scope.inner(row)))
            if isinstance(items, dict):
                items = list(items)
            if isinstance(items, (set, frozenset)):
                items = sorted(items, key=repr)
            if not isinstance(items, (list, tuple, range, str)) or len(items) * len(rows) > MAX_ITEMS:
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
    if isinstance(node, ast.DictComp):
        return _comprehended(interpreter, node, rows, scope)
    made = [interpreter.value(node.elt, scope.inner(row)) for row in rows]
    if isinstance(node, ast.SetComp):
        return as_set(made)
    return made if isinstance(node, ast.ListComp) else Iterated(made)


def _comprehended(interpreter: Interpreter, node: ast.DictComp, rows: Sequence[Env], scope: Scope) -> Value:
    pairs = [(interpreter.value(node.key, scope.inner(row)), interpreter.value(node.value, scope.inner(row)))
             for row in rows]  # fmt: skip
    try:
        return dict(pairs) if all(is_known(key) for key, _ in pairs) else UNKNOWN
    except TypeError:
        return UNKNOWN


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
    ast.DictComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.Lambda: _lambda,
    ast.Await: _inner,
    ast.Starred: _inner,
    ast.NamedExpr: _walrus,
}
_SIGNS: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
