"""Functions that keep what they make for later callers, and their calls."""

from __future__ import annotations

import sys
import threading
from typing import Any, Callable, Dict, NamedTuple, Optional, Set, Tuple

from .keeping import Stores
from .lasting import EVERYBODY, Place, identity

_get_ident = threading.get_ident
_PLAIN_METHODS = frozenset(("function", "property", "classmethod", "staticmethod"))


class Keeper(NamedTuple):
    """
    A function that may keep what it makes for later callers.

    `stores` are its own; `cache` finds the object that keeps its results (functools.lru_cache's wrapper). `is_module`
    tells that it is a module's code, and `is_descriptor`, that its class keeps what it returns.
    """

    stores: Optional[Stores] = None
    cache: Optional[Callable[[], Any]] = None
    is_module: bool = False
    is_descriptor: bool = False


class Extent:
    """A call of a keeper: what is entered from its begin until nothing of that can be stored any more."""

    __slots__ = ("code", "ident", "keeper", "mark", "number", "outer", "places", "seen")

    def __init__(self, number: int, keeper: Keeper, code: Any, frame: Any) -> None:
        self.number, self.keeper, self.code = number, keeper, code
        self.mark, self.outer, self.ident = identity(frame), identity(frame.f_back), _get_ident()
        self.seen: Set[int] = {number}
        self.places: Dict[Tuple[int, str], Place] = {}

    def add(self, place: Optional[Place]) -> None:
        """Something is stored."""
        if place is not None:
            self.places[place.key] = place

    def is_call(self, frame: Any) -> bool:
        """True for the frame of this call."""
        return identity(frame) == self.mark and frame.f_code is self.code

    def is_left(self, frame: Any) -> bool:
        """True where a frame does not lie within it any more, as far as that can be told."""
        if _get_ident() != self.ident:
            return False
        mark, outer = self.mark, self.outer
        while frame is not None:
            found = identity(frame)
            if found == mark and self.is_call(frame):
                stores = self.keeper.stores
                return stores is not None and not stores.is_ahead(frame.f_lasti)
            if found == outer:  # its caller runs something else
                return True
            frame = frame.f_back
        return True


def of_module(variables: Any) -> Place:
    """Where a module's code puts what it makes: it lasts as long as it is imported."""
    name = variables.get("__name__", "")
    mark = identity(variables)

    def lasts() -> bool:
        module = sys.modules.get(name)
        return module is not None and identity(vars(module)) == mark

    return Place(lasts, (mark, ""), variables.get("__file__") or EVERYBODY)


def of_cache(find: Callable[[], Any]) -> Place:
    """Where functools.lru_cache keeps what a function makes."""

    def lasts() -> bool:
        wrapper = find()
        return wrapper is not None and wrapper.cache_info().currsize > 0

    return Place(lasts)


def is_kept_by_class(code: Any, frame: Any) -> bool:
    """True where a method's class has something else than a method or property there: it may keep what that returns."""
    if not code.co_argcount:
        return False
    for kind in type(frame.f_locals.get(code.co_varnames[0])).__mro__:
        found = vars(kind).get(code.co_name)
        if found is not None:
            return type(found).__name__ not in _PLAIN_METHODS and hasattr(type(found), "__get__")
    return False
