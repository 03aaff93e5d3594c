"""Which functions keep what they made for later callers, told by their bytecode, without running or reading them."""

from __future__ import annotations

import opcode
from typing import Any, Iterator, List, Tuple

_MUTATORS = frozenset({"append", "add", "update", "setdefault", "extend", "insert", "appendleft", "__setitem__"})
_FIRST = ("__init__", "__new__", "__post_init__", "__set_name__", "__init_subclass__", "__setstate__", "setUp")
_CONTAINERS = (dict, list, set)
_NAMES = opcode.opname
_CODES = opcode.opmap
_PASSED_OVER = frozenset(_CODES[name] for name in ("CACHE", "EXTENDED_ARG") if name in _CODES)
_STORES = frozenset(
    _CODES[name]
    for name in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "STORE_SUBSCR", "STORE_DEREF")
    if name in _CODES
)


ALWAYS = "always"
BY_CLOSURE = "by closure"
"""A function keeps state in its own variables of an outer one: for as long as the outer call's function lives."""


def keeps_state(code: Any, frame: Any) -> str:
    """
    Whether a function stores in a module-level variable, a class, or a container that outlives the call.

    A later caller then may find what an earlier one made, without entering what made it. Empty where it does not.
    """
    if _keeps(code, frame, [], with_free=False):
        return ALWAYS
    free = [*map(frame.f_locals.get, code.co_freevars)] if code.co_freevars else []
    return BY_CLOSURE if free and _keeps(code, frame, free, with_free=True) else ""


def _keeps(code: Any, frame: Any, kept: List[Any], *, with_free: bool) -> bool:
    variables, names = frame.f_globals, code.co_names
    kept = [*kept, *(variables.get(name) for name in names)]
    function = variables.get(code.co_name)
    kept += getattr(function, "__defaults__", None) or ()
    if code.co_argcount:
        owner = frame.f_locals.get(code.co_varnames[0])
        kinds = (owner if isinstance(owner, type) else type(owner)).__mro__[:-1]
        kept += [vars(kind).get(name) for kind in kinds for name in names]
    has_container = any(isinstance(value, _CONTAINERS) for value in kept)
    if has_container and not _MUTATORS.isdisjoint(names):
        return True
    for store, argument, before, before_argument in _stores(code):
        name = _NAMES[store]
        if name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return True
        if name == "STORE_SUBSCR" and has_container:
            return True
        if name == "STORE_DEREF" and with_free and _is_free(code, argument):
            return True
        if name == "STORE_ATTR":
            loaded = _NAMES[before]
            if loaded == "LOAD_GLOBAL" or (loaded == "LOAD_ATTR" and "__class__" in names):
                return True
            if _local(code, loaded, before_argument) == "cls":
                return True
    return False


def stores_in_its_object(code: Any, frame: Any) -> bool:
    """True where a method sets an attribute of its object, or its class keeps what it returned."""
    if not code.co_argcount or code.co_name in _FIRST:
        return False
    first = code.co_varnames[0]
    for store, _, before, argument in _stores(code):
        if _NAMES[store] == "STORE_ATTR" and _local(code, _NAMES[before], argument) == first:
            return True
    return _is_cached_property(code, frame)


def _stores(code: Any) -> Iterator[Tuple[int, int, int, int]]:
    """Every instruction that stores, with its argument, and the one before with its own."""
    content = code.co_code
    if _STORES.isdisjoint(content[::2]):
        return
    before, before_argument = 0, 0
    for place in range(0, len(content), 2):
        instruction = content[place]
        if instruction in _PASSED_OVER:
            continue
        argument = content[place + 1]
        if instruction in _STORES:
            yield instruction, argument, before, before_argument
        before, before_argument = instruction, argument


def _local(code: Any, name: str, argument: int) -> str:
    """The variable that an instruction loads last; empty where it loads another thing."""
    if not name.startswith("LOAD_FAST"):
        return ""
    if name.count("LOAD_FAST") > 1:  # two in one, since Python 3.13
        argument &= 15
    return str(code.co_varnames[argument]) if argument < len(code.co_varnames) else ""


def _is_free(code: Any, argument: int) -> bool:
    """True where a cell's number is that of an outer function's variable; before Python 3.11 cells count alone."""
    own = len(code.co_cellvars)
    if "COPY_FREE_VARS" in _CODES:
        own += len(code.co_varnames) - len(set(code.co_varnames) & set(code.co_cellvars))
    return argument >= own


def _is_cached_property(code: Any, frame: Any) -> bool:
    """True where a method's class keeps what it returned: functools.cached_property, and others of such a name."""
    owner = type(frame.f_locals.get(code.co_varnames[0]))
    for kind in owner.__mro__:
        found = vars(kind).get(code.co_name)
        if found is not None:
            name = type(found).__name__.lower()
            return "cache" in name or "lazy" in name or "memo" in name
    return False
