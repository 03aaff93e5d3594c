"""Which functions keep what they made for later callers, told by their bytecode, without running or reading them."""

from __future__ import annotations

import opcode
import sys
from typing import Any, Dict, Iterator, List, Tuple

_MUTATORS = frozenset({"append", "add", "update", "setdefault", "extend", "insert", "appendleft", "__setitem__"})
_FIRST = ("__init__", "__new__", "__post_init__", "__set_name__", "__init_subclass__", "__setstate__", "setUp")
_CONTAINERS = (dict, list, set)
_NAMES = opcode.opname
_CODES = opcode.opmap
_STORES = frozenset(
    _CODES[name]
    for name in ("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "STORE_SUBSCR", "STORE_DEREF")
    if name in _CODES
)
_LOOK_BACK = 4
"""Between a container and the store in it lie the instructions of the key."""

ALWAYS = "always"
BY_CLOSURE = "by closure"
"""A function keeps state in its own variables of an outer one: for as long as the outer call's function lives."""

Step = Tuple[str, str]
"""An instruction, and the name that it is about."""


def keeps_state(code: Any, frame: Any) -> str:
    """
    Whether a function stores in a module-level variable, a class, or a container that outlives the call.

    A later caller then may find what an earlier one made, without entering what made it. Empty where it does not.
    """
    if _STORES.isdisjoint(code.co_code[::2]) and _MUTATORS.isdisjoint(code.co_names):
        return ""
    steps = [*_steps(code)]
    if _stores_outside(steps, is_making=code.co_name in _FIRST) or _fills(steps, _lasting(code, frame)):
        return ALWAYS
    free = {name: frame.f_locals.get(name) for name in code.co_freevars}
    stores_free = any(name in free for instruction, name in steps if instruction == "STORE_DEREF")
    return BY_CLOSURE if stores_free or _fills(steps, free) else ""


def stores_in_its_object(code: Any, frame: Any) -> bool:
    """True where a method sets an attribute of its object, or its class keeps what it returned."""
    if not code.co_argcount or code.co_name in _FIRST:
        return False
    first = code.co_varnames[0]
    if not _STORES.isdisjoint(code.co_code[::2]):
        before = ("", "")
        for step in _steps(code):
            if step[0] == "STORE_ATTR" and before[0].startswith("LOAD_FAST") and before[1] == first:
                return True
            before = step
    return _is_cached_property(code, frame)


def _stores_outside(steps: List[Step], *, is_making: bool) -> bool:
    """
    True for a store in a variable of the module, or in an attribute of a class or of a module's object.

    What makes a class (`is_making`, in a metaclass) may set attributes of that one.
    """
    before = ("", "")
    for step in steps:
        if step[0] in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            return True
        if step[0] == "STORE_ATTR" and (
            before[0] == "LOAD_GLOBAL" or (before[1] in ("cls", "__class__") and not is_making)
        ):
            return True
        before = step
    return False


def _lasting(code: Any, frame: Any) -> Dict[str, Any]:
    """The objects of the module, of the first argument's class, and of defaults that a function names."""
    variables = frame.f_globals
    lasting = {name: variables[name] for name in code.co_names if name in variables}
    if code.co_argcount:
        owner = frame.f_locals.get(code.co_varnames[0])
        for kind in (owner if isinstance(owner, type) else type(owner)).__mro__[:-1]:
            lasting.update({name: vars(kind)[name] for name in code.co_names if name in vars(kind)})
    defaults = getattr(variables.get(code.co_name), "__defaults__", None) or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    lasting.update(zip(names, defaults))  # noqa: B905 - of one length
    return lasting


def _fills(steps: List[Step], objects: Dict[str, Any]) -> bool:
    """True where one of some objects is a container in which something is put, perhaps under another name."""
    containers = {name for name, value in objects.items() if isinstance(value, _CONTAINERS)}
    if not containers:
        return False
    puts = [
        place
        for place, (instruction, name) in enumerate(steps)
        if instruction == "STORE_SUBSCR" or (name in _MUTATORS and instruction in ("LOAD_ATTR", "LOAD_METHOD"))
    ]
    for place in puts:
        reach = _LOOK_BACK if steps[place][0] == "STORE_SUBSCR" else 1
        if any(_loads(step, containers) for step in steps[max(place - reach, 0) : place]):
            return True
    renamed = any(
        _loads(steps[place - 1], containers) and steps[place][0].startswith("STORE_FAST")
        for place in range(1, len(steps))
    )
    return bool(puts) and renamed


def _loads(step: Step, names: Any) -> bool:
    return step[1] in names and step[0].startswith("LOAD_")


def _steps(code: Any) -> Iterator[Step]:
    """The instructions of a function that matter, each with the name that it is about."""
    content, extended = code.co_code, 0
    for place in range(0, len(content), 2):
        name = _NAMES[content[place]]
        argument = content[place + 1] | extended
        extended = argument << 8 if name == "EXTENDED_ARG" else 0
        if name not in ("CACHE", "EXTENDED_ARG"):
            yield name, _about(code, name, argument)


def _about(code: Any, instruction: str, argument: int) -> str:
    """The name that an instruction is about; empty where it is about none."""
    names: Any = ()
    if instruction.endswith(("_GLOBAL", "_ATTR", "_METHOD", "_NAME")):
        names = code.co_names
        if (instruction == "LOAD_GLOBAL" and sys.version_info >= (3, 11)) or (
            instruction == "LOAD_ATTR" and sys.version_info >= (3, 12)
        ):
            argument >>= 1
    elif "_FAST" in instruction:
        names = code.co_varnames
        if instruction.count("_FAST") > 1:  # two in one, since Python 3.13; the last one counts
            argument &= 15
    elif instruction.endswith("_DEREF"):
        names = (*code.co_cellvars, *code.co_freevars)
        if sys.version_info >= (3, 11):  # cells that are arguments stand among the variables
            names = (*code.co_varnames, *(name for name in code.co_cellvars if name not in code.co_varnames))
            names += code.co_freevars
    return str(names[argument]) if argument < len(names) else ""


def _is_cached_property(code: Any, frame: Any) -> bool:
    """True where a method's class keeps what it returned: functools.cached_property, and others of such a name."""
    owner = type(frame.f_locals.get(code.co_varnames[0]))
    for kind in owner.__mro__:
        found = vars(kind).get(code.co_name)
        if found is not None:
            name = type(found).__name__.lower()
            return "cache" in name or "lazy" in name or "memo" in name
    return False
