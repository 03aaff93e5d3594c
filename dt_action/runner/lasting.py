"""Whether what a function stores outlives the test that it ran in, and for whom."""

from __future__ import annotations

import os
import sys
import types
import weakref
from itertools import islice
from typing import Any, Callable, Dict, FrozenSet, NamedTuple, Optional, Set, Tuple

from .keeping import ATTRIBUTE, CELL, INSIDE, ITEM, VARIABLE, Chain, Store

identity = object.__hash__
"""What `id` tells, without the audit event that Python raises for each `id`."""

_MISSING = object()
_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
_CONTAINERS = (dict, list, set)
_HOLDING = frozenset(("__getitem__", "__iter__"))
_NAMESPACES = ("globals", "vars")
_MOST_ITEMS = 300
"""A larger container is not compared item by item: a store in it is taken to last."""

_EXCHANGED = frozenset(("stdin", "stdout", "stderr"))
"""What pytest itself exchanges in `sys` before, within and after each test."""

_MAKERS = ("__init__", "__new__", "__copy__", "__deepcopy__", "__setstate__")

EVERYBODY = ""
"""In place of the file of a module: whoever imports what was stored may see it."""


class Place(NamedTuple):
    """
    Where something was stored. `lasts` tells whether it is still there, and still another than before.

    `key` tells it from other places. `home` is the file of the module that holds it, as Python names it, or
    `EVERYBODY`; `fixture` the fixture whose value it belongs to.
    """

    lasts: Callable[[], bool]
    key: Tuple[int, str] = (0, "")
    home: str = EVERYBODY
    fixture: str = ""


class Lasting:
    """
    Tells objects that outlive a test from those that it made.

    `ran_here(code)` is to tell whether a function of the project ran in this test, and None for one of others;
    `ran_outer(module, name)` the same of a function by its name. `is_ours(file)` tells the project's modules.
    """

    def __init__(
        self,
        ran_here: Callable[[Any], Optional[bool]],
        ran_outer: Callable[[str, str], Optional[bool]],
        is_ours: Callable[[str], bool],
    ) -> None:
        self._ran_here = ran_here
        self._ran_outer = ran_outer
        self._is_ours = is_ours
        self._homes: Dict[int, str] = {}
        self._shared: Dict[int, str] = {}
        self._home: Any = None
        self._held: Dict[int, Tuple[Any, FrozenSet[int]]] = {}
        self._watched: Dict[Tuple[int, str], Callable[[], bool]] = {}
        self._new: Set[Any] = set()

    def begin_case(self, variables: Any) -> None:
        """Another test begins, whose module has these variables."""
        self._home = variables
        self._held.clear()
        self._watched.clear()
        self._new.clear()

    def share(self, value: Any, fixture: str) -> None:
        """What a fixture of wider scope made; it is known by its identity, as long as it lives."""
        self._shared[identity(value)] = fixture

    def ask_again(self) -> None:
        """What a fixture ran came to be known: objects that seemed to be the test's own may not be."""
        self._new.clear()

    def forget(self, value: Any) -> None:
        """The fixture's end has come, and another object may lie there later."""
        self._shared.pop(identity(value), None)

    def place(self, store: Store, frame: Any) -> Optional[Place]:
        """Where a store goes, in a frame that is about to do it or has just begun; None where it ends with the test."""
        if store.kind == VARIABLE:
            variables = frame.f_globals
            return self._place(variables, store.name, _watch_item, _file(variables)) if _is_module(variables) else None
        if store.kind == CELL:
            return None if self._is_new(frame.f_globals, frame.f_code) else Place(_always)
        for chain in store.owners:
            owner, base = _resolved(chain, frame)
            found = None
            if INSIDE in chain.attributes or (type(owner) in _CONTAINERS and store.kind == ATTRIBUTE):
                found = self._inside(chain, owner, base, frame)
            elif store.kind == ITEM and _is_free(chain, frame.f_code) and _holds_items(owner):
                is_old = not self._is_new(frame.f_globals, frame.f_code)
                found = self._place(owner, "[]", _watch_container, EVERYBODY) if is_old else None
            elif owner is _MISSING:
                found = Place(_always) if chain.how == "global" and store.kind == ATTRIBUTE else None
            elif store.kind == ATTRIBUTE:
                told = self._of_object(owner, frame)
                found = self._place(owner, store.name, _watch_attribute, *told) if told else None
            elif not _holds_items(owner):
                told = self._of_object(owner, frame) if type(owner) not in _PLAIN else None
                home = _attributes_of(sys.modules.get(type(owner).__module__)) or {}
                if told and not self._is_ours(_file(home)):  # a queue, say: nobody sees what is in it
                    found = self._place(owner, "[]", _watch_nothing, *told)
            else:
                told = self._of_container(owner, base, frame)
                found = self._place(owner, "[]", _watch_container, *told) if told else None
            if found is not None:
                return found
        return None

    def _inside(self, chain: Chain, owner: Any, base: Any, frame: Any) -> Optional[Place]:
        """A store in something that an object holds."""
        if owner is _MISSING:
            return Place(_always) if chain.how == "global" and chain.name in _NAMESPACES else None
        kind = type(owner)
        if kind in _PLAIN or not any(_HOLDING & _class_attributes(above).keys() for above in kind.__mro__):
            return None
        told = self._of_container(owner, base, frame)
        return self._place(owner, "[]", _watch_nothing, *told) if told else None

    def attributes(self, owner: Any, frame: Any) -> Optional[Place]:
        """Any attribute of an object, as a descriptor may set it; None where the object ends with the test."""
        told = self._of_object(owner, frame)
        return self._place(owner, "*", _watch_attribute, *told) if told else None

    def _place(
        self, owner: Any, name: str, watch: Callable[[Any, str], Callable[[], bool]], home: str, fixture: str = ""
    ) -> Optional[Place]:
        """What was there before the first store of this test is what counts: it may be put back."""
        if owner is sys and name in _EXCHANGED:
            return None
        key = (identity(owner), name)
        if key not in self._watched:
            self._watched[key] = watch(owner, name)
        return Place(self._watched[key], key, home, fixture)

    # --- what outlives a test -------------------------------------------------------------------------------------

    def _of_object(self, owner: Any, frame: Any) -> Optional[Tuple[str, str]]:
        """
        The home and fixture of an object that was there before; None for one that this test made.

        What lies later where a new object lay is newer still, so that its identity tells enough until the test ends.
        Functions of another module are asked again: their own variables may have it.
        """
        key = (identity(owner), identity(frame.f_globals))
        if key in self._new:
            return None
        told = self._of_unknown(owner, frame)
        if told is None:
            self._new.add(key)
        return told

    def _of_unknown(self, owner: Any, frame: Any) -> Optional[Tuple[str, str]]:
        kind = type(owner)
        if issubclass(kind, types.ModuleType):
            return _file(vars(owner)), ""
        if issubclass(kind, type):
            return (EVERYBODY, "") if self._is_old_class(owner) else None
        if kind is types.FunctionType:
            return None if self._is_new(owner.__globals__, owner.__code__) else (EVERYBODY, "")
        fixture = self._shared.get(identity(owner))
        if fixture is not None:
            return EVERYBODY, fixture
        home = self._module_with(owner, frame, kind)
        if home is not None:
            return home, ""
        if (kind_key := (identity(kind),)) in self._new:  # objects of this class were found to be made here
            return None
        codes = (getattr(getattr(kind, name, None), "__code__", None) for name in _MAKERS)
        made = {self._ran_here(code) for code in codes if code is not None}
        if not made and self._is_without_makers(kind):
            return EVERYBODY, ""
        if True in made:
            self._new.add(kind_key)
        return (EVERYBODY, "") if False in made and True not in made else None

    def _is_without_makers(self, kind: type) -> bool:
        """True for objects of the project that nothing of the project made, so that nobody can tell when."""
        homes = [sys.modules.get(above.__module__) for above in kind.__mro__[:-1]]
        files = [_attributes_of(home) or {} for home in homes]
        return all(variables is not self._home and self._is_ours(_file(variables)) for variables in files)

    def _of_container(self, owner: Any, base: Any, frame: Any) -> Optional[Tuple[str, str]]:
        """The same of a container, or None where nobody is known to hold it; `base` has it as an attribute."""
        key = (identity(owner), identity(base), identity(frame.f_code))  # whose defaults may have it
        if key in self._new:
            return None
        told = self._of_unknown_container(owner, base, frame)
        if told is None:
            self._new.add(key)
        return told

    def _of_unknown_container(self, owner: Any, base: Any, frame: Any) -> Optional[Tuple[str, str]]:
        if base is not owner and base is not _MISSING:
            for above in _classes(base)[:-1]:
                if any(value is owner for value in _class_attributes(above).values()):
                    return (EVERYBODY, "") if self._is_old_class(above) else None
            return self._of_object(base, frame)
        fixture = self._shared.get(identity(owner))
        if fixture is not None:
            return EVERYBODY, fixture
        home = self._module_with(owner, frame, type(owner))
        if home is not None:
            return home, ""
        function = frame.f_globals.get(frame.f_code.co_name)
        defaults = getattr(function, "__defaults__", None) or ()
        return (EVERYBODY, "") if any(value is owner for value in defaults) else None

    def _module_with(self, owner: Any, frame: Any, kind: type) -> Optional[str]:
        """The file of a module that has an object as a variable; None where none of those does that may."""
        others = sys.modules.get(kind.__module__)
        for variables in (self._home, frame.f_globals, vars(others) if others is not None else None):
            if variables is None:
                continue
            held = self._held.get(identity(variables))
            if held is None:
                held = self._held[identity(variables)] = (variables, frozenset(map(identity, [*variables.values()])))
            if identity(owner) in held[1]:
                return self._only_home(owner, variables)
        return None

    def _only_home(self, owner: Any, variables: Any) -> str:
        """The file of a module that has an object; `EVERYBODY` where others of the project have it, too."""
        home = self._homes.get(identity(owner))
        if home is None:
            home = _file(variables)
            for module in [*sys.modules.values()]:
                others = _attributes_of(module)
                if not others or others is variables or not self._is_ours(_file(others)):
                    continue
                if identity(owner) in map(identity, [*others.values()]):
                    home = EVERYBODY
                    break
            self._homes[identity(owner)] = home
        return home

    def _is_old_class(self, kind: type) -> bool:
        found: Any = sys.modules.get(kind.__module__)
        for step in kind.__qualname__.split("."):
            found = (_attributes_of(found) or {}).get(step)
        if found is kind:
            return True
        outer = kind.__qualname__.rpartition(".<locals>.")[0]
        return bool(outer) and self._ran_outer(kind.__module__, outer) is False

    def _is_new(self, variables: Any, code: Any) -> bool:
        """True where the call that made a function was in this test, as far as that can be told."""
        outer = getattr(code, "co_qualname", "").rpartition(".<locals>.")[0]
        return self._ran_outer(variables.get("__name__", ""), outer) is True


def _is_free(chain: Chain, code: Any) -> bool:
    """True for a variable of an outer function."""
    return chain.how == "deref" and not chain.attributes and chain.name in code.co_freevars


def _is_module(variables: Dict[str, Any]) -> bool:
    module = sys.modules.get(variables.get("__name__", ""))
    return module is not None and vars(module) is variables


def _file(variables: Any) -> str:
    return variables.get("__file__") or EVERYBODY


def _class_attributes(kind: type) -> Any:
    return type.__dict__["__dict__"].__get__(kind)


def _attributes_of(owner: Any) -> Optional[Dict[str, Any]]:
    """An object's own attributes, without running any of its code."""
    try:
        if issubclass(type(owner), type):
            return dict(_class_attributes(owner))
        found = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None
    return found if type(found) is dict else None


def _classes(owner: Any) -> Tuple[type, ...]:
    found: Tuple[type, ...] = type.__dict__["__mro__"].__get__(owner if issubclass(type(owner), type) else type(owner))
    return found


def _holds_items(owner: Any) -> bool:
    kind = type(owner)
    return issubclass(kind, _CONTAINERS) or any("__setitem__" in _class_attributes(above) for above in kind.__mro__)


def _attribute(owner: Any, name: str) -> Any:
    """An attribute as it lies in an object or its class, without running any code; `_MISSING` where it does not."""
    own = _attributes_of(owner)
    if own is not None and name in own:
        return own[name]
    if name == "__dict__" and own is not None:
        return own
    if name == "__class__":
        return type(owner)
    for kind in _classes(owner):
        found = _class_attributes(kind).get(name, _MISSING)
        if type(found) is types.MemberDescriptorType and not issubclass(type(owner), type):
            try:
                return found.__get__(owner, type(owner))
            except AttributeError:
                return _MISSING
        if found is not _MISSING:
            return _MISSING if any("__get__" in _class_attributes(above) for above in type(found).__mro__) else found
    return _MISSING


def _resolved(chain: Chain, frame: Any) -> Tuple[Any, Any]:
    """The object that a chain names in a frame, and that before its last attribute; `_MISSING` where not known."""
    if chain.how == "global":
        found = frame.f_globals.get(chain.name, _MISSING)
    else:
        found = frame.f_locals.get(chain.name, _MISSING)
    base = _MISSING
    for name in chain.attributes:
        if found is _MISSING or name == INSIDE:
            break
        base, found = found, _attribute(found, name)
    return found, base


# --- whether it is still there --------------------------------------------------------------------------------------


def _always() -> bool:
    return True


def _mark(value: Any) -> Any:
    """What tells a value from another one; it keeps nothing alive that could notice."""
    return (type(value), value) if type(value) in _PLAIN else (type(value), identity(value))


def _deep_mark(value: Any) -> Any:
    """The same, also for what is stored in a container that stays the same (`+=`)."""
    return (_mark(value), _items(value)) if type(value) in _CONTAINERS else _mark(value)


def _watch_item(variables: Dict[str, Any], name: str) -> Callable[[], bool]:
    before = _deep_mark(variables.get(name, _MISSING))
    return lambda: _deep_mark(variables.get(name, _MISSING)) != before


def _watch_attribute(owner: Any, name: str) -> Callable[[], bool]:
    find = _reference(owner)

    def seen(one: Any) -> Any:
        if name == "*":
            return {key: _mark(value) for key, value in (_attributes_of(one) or {}).items()}
        return _deep_mark(_attribute(one, name))

    if name != "*" and _attributes_of(owner) is None and not hasattr(type(owner), name):
        return _always  # threading.local, say: what is in it does not show
    before = seen(owner)

    def lasts() -> bool:
        now = find()
        return now is not None and seen(now) != before

    return lasts


def _watch_nothing(_: Any, __: str) -> Callable[[], bool]:
    return _always


def _watch_container(owner: Any, _: str) -> Callable[[], bool]:
    if type(owner) is type(os.environ):
        owner = getattr(owner, "_data", owner)
    if not issubclass(type(owner), _CONTAINERS) or len(_items(owner)) > _MOST_ITEMS:
        return _always
    before = _items(owner)
    return lambda: _items(owner) != before


def _items(owner: Any) -> Any:
    """Marks of what is in a container; of a large one, of its beginning."""
    kind = type(owner)
    if issubclass(kind, dict):
        return [(_mark(key), _mark(value)) for key, value in islice(dict.items(owner), _MOST_ITEMS + 1)]
    each = list.__iter__(owner) if issubclass(kind, list) else set.__iter__(owner)
    return [_mark(value) for value in islice(each, _MOST_ITEMS + 1)]


def _reference(owner: Any) -> Callable[[], Any]:
    """A way to an object that does not keep it alive, where there is one."""
    if not issubclass(type(owner), (types.ModuleType, type)):
        try:
            return weakref.ref(owner)
        except TypeError:
            pass
    return lambda: owner
