"""Python's own functions and methods, on values that may not be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from dt_action.analysis import vocabulary
from dt_action.analysis.values import (
    MARKABLE,
    MAX_ITEMS,
    MAX_LENGTH,
    UNKNOWN,
    Class,
    External,
    Function,
    ModuleValue,
    TestBody,
    Unknown,
    Value,
    conjunction,
    is_known,
    truth,
    unmarked,
)

if TYPE_CHECKING:
    from dt_action.analysis.interpreter import Interpreter


def call_builtin(interpreter: Interpreter, name: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """What calling a function of the module `builtins` gives."""
    args = [interpreter.settle(arg) for arg in args]
    if name == "map" and len(args) == 2 and isinstance(args[1], (list, tuple)):
        return [interpreter.call(args[0], [item], {}) for item in args[1][:MAX_ITEMS]]
    if name == "getattr" and len(args) >= 2 and isinstance(args[1], str):
        found = interpreter.attribute(args[0], args[1])
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
    plain = BUILTINS.get(name)
    return call_python(plain, args, kwargs) if plain else UNKNOWN


def _type_of_thing(name: str, args: Sequence[Value]) -> bool | Unknown:
    """`callable(x)` and `isinstance(x, type)`, by which decorators tell a test from an argument."""
    thing = args[0]
    if name == "callable":
        if isinstance(thing, MARKABLE):
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


def call_python(function: Callable[..., Any], args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
    """What calling `function` gives; UNKNOWN for what is not known, and for what raises."""
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


_TYPES: Final[dict[str, type]] = {kind.__name__: kind for kind in (str, int, float, bool, list, tuple, dict, set)}
METHODS: Final = frozenset(
    {"append", "extend", "insert", "update", "add", "get", "keys", "values", "items", "copy", "startswith", "endswith"}
    | {"lower", "upper", "split", "strip", "replace", "count", "index", "rpartition", "partition", "removeprefix"}
    | {"capitalize", "casefold"}
)
BUILTINS: Final[dict[str, Callable[..., Any]]] = {
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
