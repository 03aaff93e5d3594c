"""What operators and comparisons give, of values that may hang on the machine or not be known."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis import names
from dt_action.analysis.phrases import devices_among
from dt_action.analysis.syntax import last_word
from dt_action.analysis.values import (
    MAX_ITEMS,
    MAX_LENGTH,
    PLAIN_TYPES,
    UNKNOWN,
    Choice,
    Class,
    Count,
    External,
    Function,
    Instance,
    ModuleValue,
    Result,
    Unknown,
    Value,
    is_known,
)

if TYPE_CHECKING:
    from dt_action.analysis.interpreter import Interpreter

_OBJECTS: Final = (Result, Function, Class, Instance, ModuleValue)


def compare(interpreter: Interpreter, comparison: ast.cmpop, left: Value, right: Value) -> bool | Unknown:
    """
    What a comparison gives here.

    Where a side hangs on the machine, only the machines with which the comparison holds are told from the others.
    """
    left, right = _opened(interpreter, left), _opened(interpreter, right)
    if isinstance(left, Choice) and isinstance(right, Choice):
        if left.axis == right.axis:
            pairs = [(here, compare_plain(comparison, *both)) for here, both in _together(left, right)]
            return interpreter.decide(Choice(left.axis, tuple(pairs)))
        right = interpreter.settle(right)
    if isinstance(left, Choice):
        return interpreter.decide(left.map(lambda value: compare_plain(comparison, value, right)))
    if isinstance(right, Choice):
        return interpreter.decide(right.map(lambda value: compare_plain(comparison, left, value)))
    return compare_plain(comparison, left, right)


def device_is(interpreter: Interpreter, node: ast.expr, comparison: ast.cmpop, right: Value) -> bool | Unknown:
    """
    A value that is not known, whose name says that it is a device, against the name of one: the machine's is meant.

    Before: `if backend.device_name() == "cpu": skip(...)` of a library out of reach. After: the test requires a device.
    """
    if not isinstance(comparison, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)) or not names.is_device_name(_word_of(node)):
        return UNKNOWN
    words = list(right) if isinstance(right, (list, tuple, set)) else [right]
    if not words or not all(isinstance(word, str) and names.is_device_word(word) for word in words):
        return UNKNOWN
    devices = devices_among(words)
    if devices is None:
        return UNKNOWN
    return devices.are_in(interpreter.world) is isinstance(comparison, (ast.Eq, ast.In))


def _word_of(node: ast.expr) -> str:
    """The telling name of `self.device_type`, `get_device()`, `Device.DEFAULT` or `torch.device(x).type`."""
    if isinstance(node, ast.Call):
        return _word_of(node.func)
    word = last_word(node)
    if isinstance(node, ast.Attribute) and word.lower() in ("type", "name", "lower", "default", "current", "kind"):
        return f"{_word_of(node.value)}_{word}"
    return word


def _opened(interpreter: Interpreter, value: Value) -> Value:
    """A count as a choice, an external constant as its value, and a container without choices in it."""
    if isinstance(value, (Count, External)):
        return interpreter.opened(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, (Count, Choice)) for item in value):
        return type(value)(map(interpreter.settle, value))
    return value


def _together(left: Choice, right: Choice) -> list[tuple[Any, tuple[Value, Value]]]:
    others = dict(right.of)
    return [(here, (value, others[here])) for here, value in left.of]


def compare_plain(comparison: ast.cmpop, left: Value, right: Value) -> bool | Unknown:
    """What a comparison of two values that hang on nothing gives."""
    kind = type(comparison)
    if kind in (ast.Is, ast.IsNot):
        same = _is_same(left, right)
        return same if isinstance(same, Unknown) else same is (kind is ast.Is)
    if kind in (ast.Eq, ast.NotEq) and None in (left, right) and isinstance(left if right is None else right, _OBJECTS):
        return kind is ast.NotEq
    if kind in (ast.In, ast.NotIn):
        return _is_member(left, right, wanted=kind is ast.In)
    if not (is_known(left) and is_known(right)):
        return UNKNOWN
    try:
        return bool(_COMPARISONS[kind](left, right))
    except TypeError:
        return UNKNOWN


def _is_same(left: Value, right: Value) -> bool | Unknown:
    if left is None or right is None:
        return left is right if all(isinstance(side, (*_OBJECTS, *PLAIN_TYPES)) for side in (left, right)) else UNKNOWN
    if isinstance(left, bool) and isinstance(right, bool):
        return left is right
    return UNKNOWN


def _is_member(left: Value, right: Value, *, wanted: bool) -> bool | Unknown:
    if not is_known(left):
        return UNKNOWN
    if isinstance(right, (list, tuple)):
        found = any(is_known(item) and item == left for item in right)
        return UNKNOWN if not found and not is_known(right) else found is wanted
    if not is_known(right):
        return UNKNOWN
    try:
        return (left in right) is wanted
    except TypeError:
        return UNKNOWN


def arithmetic(interpreter: Interpreter, operation: ast.operator, left: Value, right: Value) -> Value:
    """What an operator gives."""
    left, right = _opened(interpreter, left), _opened(interpreter, right)
    if isinstance(left, Choice) and isinstance(right, Choice):
        if left.axis == right.axis:
            pairs = [(here, _calculate(operation, *both)) for here, both in _together(left, right)]
            return Choice(left.axis, tuple(pairs))
        right = interpreter.settle(right)
    if isinstance(left, Choice):
        return left.map(lambda value: _calculate(operation, value, right))
    if isinstance(right, Choice):
        return right.map(lambda value: _calculate(operation, left, value))
    return _calculate(operation, left, right)


def _calculate(operation: ast.operator, left: Value, right: Value) -> Value:
    both_lists = isinstance(left, (list, tuple)) and type(left) is type(right) and isinstance(operation, ast.Add)
    if not both_lists and not (is_known(left) and is_known(right)):
        return UNKNOWN
    if isinstance(operation, (ast.Pow, ast.LShift, ast.RShift)) and not _is_small(left, right, 64):
        return UNKNOWN
    if isinstance(operation, ast.Mult) and not _is_small(left, right, 2**40) and not _is_short_repeat(left, right):
        return UNKNOWN
    if isinstance(operation, ast.Mod) and isinstance(left, (str, bytes)) and len(left) > 200:
        return UNKNOWN
    if any(isinstance(side, (str, bytes, list, tuple)) and len(side) > MAX_LENGTH for side in (left, right)):
        return UNKNOWN
    calculate = _ARITHMETIC.get(type(operation))
    try:
        return calculate(left, right) if calculate else UNKNOWN
    except Exception:  # such as a division by zero: not ours to report
        return UNKNOWN


def _is_small(left: Value, right: Value, most: int) -> bool:
    numbers = all(isinstance(side, (int, float)) for side in (left, right))
    return numbers and abs(left) <= 2**40 and abs(right) <= most


def _is_short_repeat(left: Value, right: Value) -> bool:
    for text, times in ((left, right), (right, left)):
        if isinstance(text, (str, list, tuple)) and isinstance(times, int):
            return len(text) * times <= MAX_ITEMS
    return False


_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
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
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
}
