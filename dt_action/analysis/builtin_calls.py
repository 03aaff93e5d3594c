"""Python's own functions and methods, on values that may not be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis.expressions import as_set
from dt_action.analysis.values import (
    MARKABLE,
    MAX_ITEMS,
    MAX_LENGTH,
    UNKNOWN,
    Choice,
    Class,
    Count,
    External,
    Function,
    Iterated,
    ModuleValue,
    TestBody,
    Unknown,
    Value,
    conjunction,
    is_known,
    unmarked,
)

if TYPE_CHECKING:
    from dt_action.analysis.interpreter import Interpreter

_SEQUENCES: Final = (list, tuple, set, frozenset, range, dict)


def call_builtin(interpreter: Interpreter, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """What calling a function of the module `builtins` gives."""
    if len(args) == 1 and not kwargs and isinstance(args[0], (Choice, Count)):
        return _of_choice(interpreter, name, args[0])
    args = [interpreter.settle(arg) for arg in args]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(interpreter, args)
    plain = BUILTINS.get(name)
    return call_python(plain, args, kwargs) if plain else UNKNOWN


def _of_choice(interpreter: Interpreter, name: str, value: Choice | Count) -> Value:
    """`len(devices)` where there are as many as the machine has: asked when something hangs on it."""
    opened = interpreter.opened(value)
    if isinstance(opened, Choice) and name in ("len", "bool", "str", "int", "tuple", "list", "range"):
        return opened.map(lambda inner: call_builtin(interpreter, name, [inner], {}))
    return call_builtin(interpreter, name, [interpreter.settle(opened)], {})


def _map(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if len(args) != 2 or not isinstance(args[1], (list, tuple, range)) or len(args[1]) > MAX_ITEMS:
        return UNKNOWN
    return Iterated(interpreter.call(args[0], [item], {}) for item in args[1])


def _getattr(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if len(args) < 2 or not isinstance(args[1], str):
        return UNKNOWN
    found = interpreter.attribute(args[0], args[1])
    return args[2] if found is UNKNOWN and len(args) > 2 and not isinstance(args[0], Unknown) else found


def _hasattr(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if len(args) != 2 or not isinstance(args[0], (External, ModuleValue)):
        return UNKNOWN
    name = f"{args[0].name}.{args[1]}"
    vocabulary = interpreter.vocabulary
    return True if name in vocabulary.prefixes or name in vocabulary.names else UNKNOWN


def _setattr(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    """`setattr(TestOps, name, test)` makes a test."""
    registry = interpreter.executor.registry
    if registry is not None and len(args) == 3:
        registry.add(args[0], args[1])
    return None


def _bool(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    return interpreter.truth(args[0]) if len(args) == 1 else (False if not args else UNKNOWN)


def _any(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    return _quantified(interpreter, args, is_or=True)


def _all(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    return _quantified(interpreter, args, is_or=False)


def _quantified(interpreter: Interpreter, args: Sequence[Value], *, is_or: bool) -> Value:
    if len(args) != 1 or not isinstance(args[0], _SEQUENCES) or len(args[0]) > MAX_ITEMS:
        return UNKNOWN
    return conjunction([interpreter.truth(item) for item in args[0]], is_or=is_or)


def _len(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    is_sized = len(args) == 1 and isinstance(args[0], (str, bytes, *_SEQUENCES)) and not isinstance(args[0], Iterated)
    return len(args[0]) if is_sized else UNKNOWN


def _set(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if not args:
        return set()
    return as_set(list(args[0])) if _is_short(args) else UNKNOWN


def _frozenset(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    made = _set(interpreter, args)
    return frozenset(made) if isinstance(made, set) else made


def _list(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if not args:
        return []
    return list(args[0]) if _is_short(args) else UNKNOWN


def _tuple(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if not args:
        return ()
    return tuple(args[0]) if _is_short(args) else UNKNOWN


def _is_short(args: Sequence[Value]) -> bool:
    return len(args) == 1 and isinstance(args[0], (str, *_SEQUENCES)) and len(args[0]) <= MAX_ITEMS


def _range(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    try:
        return range(*args) if args and all(isinstance(arg, int) for arg in args) else UNKNOWN
    except (TypeError, ValueError):
        return UNKNOWN


def _zip(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    if not all(isinstance(arg, (list, tuple, range, str, dict)) for arg in args):
        return UNKNOWN
    shortest = min((len(arg) for arg in args), default=0)
    return Iterated(zip(*args, strict=False)) if shortest <= MAX_ITEMS else UNKNOWN


def _enumerate(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    is_plain = len(args) == 1 and isinstance(args[0], (list, tuple, range, str, dict)) and len(args[0]) <= MAX_ITEMS
    return Iterated(enumerate(args[0])) if is_plain else UNKNOWN


def _reversed(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    is_plain = len(args) == 1 and isinstance(args[0], (list, tuple, range, str)) and len(args[0]) <= MAX_ITEMS
    return Iterated(reversed(args[0])) if is_plain and not isinstance(args[0], Iterated) else UNKNOWN


def _iter(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    return Iterated(args[0]) if _is_short(args) and not isinstance(args[0], (set, frozenset)) else UNKNOWN


def _callable(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    """`callable(x)`, by which decorators tell a test from an argument."""
    if len(args) == 1 and isinstance(args[0], MARKABLE):
        return True
    return False if len(args) == 1 and is_known(args[0]) else UNKNOWN


def _isinstance(interpreter: Interpreter, args: Sequence[Value]) -> Value:
    """`isinstance(x, type)` tells a class from a function."""
    if len(args) != 2:
        return UNKNOWN
    thing, wanted = args
    names = [
        item.name for item in (wanted if isinstance(wanted, (list, tuple)) else [wanted]) if isinstance(item, External)
    ]
    if isinstance(thing, (Function, TestBody, Class)) or isinstance(unmarked(thing), Class):
        return isinstance(unmarked(thing), Class) if names == ["builtins.type"] else UNKNOWN
    types = [_TYPES.get(word.removeprefix("builtins.")) for word in names]
    if not types or None in types or not is_known(thing):
        return UNKNOWN
    return isinstance(thing, tuple(kind for kind in types if kind is not None))


_SPECIAL: Final[Mapping[str, Callable[[Interpreter, Sequence[Value]], Value]]] = {
    "map": _map,
    "getattr": _getattr,
    "hasattr": _hasattr,
    "setattr": _setattr,
    "bool": _bool,
    "any": _any,
    "all": _all,
    "len": _len,
    "set": _set,
    "frozenset": _frozenset,
    "list": _list,
    "tuple": _tuple,
    "range": _range,
    "zip": _zip,
    "enumerate": _enumerate,
    "reversed": _reversed,
    "iter": _iter,
    "callable": _callable,
    "isinstance": _isinstance,
}
MUTATORS: Final = frozenset({"append", "extend", "insert", "update", "add", "setdefault"})
"""Methods that change what they are called on."""
_READERS: Final = frozenset({"get", "keys", "values", "items", "copy"})
_CONSUMERS: Final = frozenset({"sorted", "sum", "min", "max", "join", "dict", "extend", "update"})


def call_python(function: Callable[..., Any], args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """What calling `function` gives; UNKNOWN for what is not known, and for what raises."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    is_mutation = name in MUTATORS
    if isinstance(owner, (str, list, dict, set)) and len(owner) > MAX_LENGTH:
        return UNKNOWN
    if any(isinstance(arg, (range, list, tuple)) and len(arg) > MAX_LENGTH for arg in args):
        return UNKNOWN
    if name in _CONSUMERS:
        args = [list(arg) if isinstance(arg, Iterated) else arg for arg in args]
    if not (all(map(is_known, args)) and all(map(is_known, kwargs.values()))):
        if not is_mutation or isinstance(owner, set):
            return UNKNOWN
    elif not (owner is None or is_mutation or isinstance(owner, type) or is_known(owner) or name in _READERS):
        return UNKNOWN
    try:
        found = function(*args, **kwargs)
    except Exception:  # whatever a call of plain values raises says nothing of hardware
        return UNKNOWN
    return Iterated(found) if name in ("keys", "values", "items") else found


_TYPES: Final[dict[str, type]] = {kind.__name__: kind for kind in (str, int, float, bool, list, tuple, dict, set)}
METHODS: Final = frozenset(
    {"append", "extend", "insert", "update", "add", "get", "keys", "values", "items", "copy", "startswith", "endswith"}
    | {"lower", "upper", "split", "strip", "replace", "count", "index", "rpartition", "partition", "removeprefix"}
    | {
        "join",
        "capitalize",
        "casefold",
        "isdigit",
        "title",
        "lstrip",
        "rstrip",
        "removesuffix",
        "union",
        "intersection",
    }
    | {"issubset", "issuperset", "isdisjoint", "difference"}
)
BUILTINS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function for function in (int, float, str, min, max, sum, abs, round, sorted, dict, divmod)
}
"""Python's functions of plain values."""
NAMES: Final = frozenset({*_SPECIAL, *BUILTINS, "print", "type", "globals", "super", "object"})
"""Python's functions and types that are known at all."""
