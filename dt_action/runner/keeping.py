"""Where a function puts what may outlive its call, told by its bytecode, without running or reading it."""

from __future__ import annotations

import opcode
import sys
from opcode import HAVE_ARGUMENT, stack_effect
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

_MUTATORS = frozenset(
    ("append", "add", "update", "setdefault", "extend", "insert", "appendleft", "put", "set", "__setitem__")
)
_REMOVERS = frozenset(("pop", "popitem", "popleft", "remove", "discard", "clear", "__delitem__"))
"""What they take away would be found by others, had they not done it."""

_SETTERS = frozenset(("setattr", "__setattr__", "delattr", "__delattr__"))
_CHANGERS = _MUTATORS | _REMOVERS
_OTHERS = _CHANGERS | _SETTERS
_MAKERS = ("__init__", "__new__", "__post_init__", "__set_name__", "__init_subclass__", "__setstate__", "setUp")
"""What these set in their own object makes it what it is; nobody had it before."""

_NAMES = opcode.opname
_CODES = opcode.opmap
_STORES = frozenset(
    _CODES[name]
    for name in (
        *("STORE_GLOBAL", "DELETE_GLOBAL", "STORE_ATTR", "DELETE_ATTR"),
        *("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE", "STORE_DEREF"),
    )
    if name in _CODES
)
_SWAPS = ("SWAP", "ROT_TWO", "ROT_THREE")
_TRANSPARENT = frozenset(("PUSH_NULL", "NOP", "RESUME", "PRECALL", "NOT_TAKEN"))
_COPIES = frozenset(("COPY", "DUP_TOP", "DUP_TOP_TWO"))
_CALLS = ("CALL", "SEND", "YIELD", "FOR_ITER", "IMPORT")
_LOADS = {name: "fast" for name in _CODES if "LOAD_FAST" in name}
_LOADS.update(dict.fromkeys(("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), "deref"))
_LOADS.update(dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME"), "global"))
_CACHE, _EXTENDED = _CODES.get("CACHE", -1), _CODES["EXTENDED_ARG"]
_JUMPS = frozenset(number for name, number in _CODES.items() if name in ("JUMP_BACKWARD", "JUMP_ABSOLUTE"))
_SUBSCRIPT = 26
"""Since Python 3.14 this kind of BINARY_OP."""

_UNIT = 2 if sys.version_info >= (3, 10) else 1
_LONGEST = 200
"""Instructions of one expression; what is longer is taken for one that calls."""

INSIDE = "[]"
"""In place of an attribute: something that lies in the object, it is not known where."""

VARIABLE, ATTRIBUTE, ITEM, CELL = "variable", "attribute", "item", "cell"


class Chain(NamedTuple):
    """An object as a function names it: `how` its first name is loaded (global, fast or deref), and the attributes."""

    how: str
    name: str
    attributes: Tuple[str, ...] = ()


class Store(NamedTuple):
    """
    A store that may outlive the call: in the variable or cell `name`, or the attribute `name` (`*` for any).

    `owners` are the objects, or for an item the containers, that it may be in. `is_computed` tells that other functions
    may have a part in the value; else it is a constant, an argument, or counted up.
    """

    kind: str
    name: str
    owners: Tuple[Chain, ...]
    is_computed: bool


class Stores:
    """The stores of a function by their offset in its bytecode."""

    def __init__(self, by_offset: Dict[int, Store], loops: List[Tuple[int, int]], calls: List[int]) -> None:
        self.by_offset = by_offset
        self._loops = loops
        self._last = max((offset for offset, store in by_offset.items() if store.is_computed), default=-1)
        self.has_calls_before = any(self.is_ahead(place) for place in calls)

    def is_ahead(self, offset: int) -> bool:
        """True where a store of something computed may still come after the instruction at `offset`."""
        if self._last > offset:
            return True
        return any(offset <= end and start <= self._last for start, end in self._loops)


def stores_of(code: Any) -> Optional[Stores]:
    """The stores of a function that may outlive its call; None where there are none."""
    content = code.co_code
    if _STORES.isdisjoint(content[::2]) and _OTHERS.isdisjoint(code.co_names):
        return None
    steps = _Steps(code, content)
    found = dict(filter(None, map(steps.store_at, range(len(steps.names)))))
    if not found:
        return None
    offsets = steps.offsets
    return Stores(found, steps.loops, [offsets[place] for place in range(len(offsets)) if steps.may_call(place)])


class _Steps:
    """The instructions of a function: where each stands and what it is called, with its argument."""

    def __init__(self, code: Any, content: bytes) -> None:
        self._code = code
        self.offsets: List[int] = []
        self.names: List[str] = []
        self.loops: List[Tuple[int, int]] = []
        self._codes: List[int] = []
        self._arguments: List[int] = []
        self._aliases: Optional[Dict[str, List[Chain]]] = None
        extended = 0
        for place in range(0, len(content), 2):
            number = content[place]
            if number == _CACHE:
                continue
            argument = content[place + 1] | extended
            if number == _EXTENDED:
                extended = argument << 8
                continue
            extended = 0
            self.offsets.append(place)
            self.names.append(_NAMES[number])
            self._codes.append(number)
            self._arguments.append(argument)
            if number in _JUMPS:
                target = place - 2 * argument if sys.version_info >= (3, 11) else argument * _UNIT
                if target < place:
                    self.loops.append((target, place))

    def store_at(self, place: int) -> Optional[Tuple[int, Store]]:
        """The store that an instruction does, or begins, with the offset of the one that does it."""
        instruction = self.names[place]
        first, last, about, kind = place, place, "", ""
        owners: Tuple[Chain, ...] = ()
        if instruction in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            kind = VARIABLE
        elif instruction == "STORE_DEREF":
            kind = CELL if self.about(place) in self._code.co_freevars else ""
        elif instruction in ("STORE_ATTR", "DELETE_ATTR"):
            kind, owners = ATTRIBUTE, self._owners_before(place)
        elif instruction in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
            kind, owners = ITEM, self._container_of(place, keys=2 if instruction == "STORE_SLICE" else 1)
        elif instruction in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_GLOBAL"):
            about = self.about(place)
            if about in _CHANGERS and instruction != "LOAD_GLOBAL":
                kind, owners, last = ITEM, self._owners_before(place), self._end_of(place)
            elif about in _SETTERS:
                kind, owners, last = ATTRIBUTE, self._chain_after(place), self._end_of(place)
        owners = (*self._without_aliases(owners),)
        if not kind or (kind in (ATTRIBUTE, ITEM) and not owners):
            return None
        makes = self._code.co_name in _MAKERS and self._code.co_name != "__new__"  # whose first argument is a class
        if kind == ATTRIBUTE and makes and self._is_own(owners[0]):
            return None
        first = place + 1 if about else self._start_of(place)
        name = "*" if about or kind == ITEM else self.about(place)
        return self.offsets[last], Store(
            kind, name, owners, self._is_computed(first, last, name, owners[:1] if kind == ATTRIBUTE else ())
        )

    def may_call(self, place: int) -> bool:
        """True for an instruction that runs another function, but for what operators and attributes do."""
        return self.names[place].startswith(_CALLS)

    def about(self, place: int) -> str:
        """The name that an instruction is about, of two the last one; empty where it is about none."""
        code, instruction, argument = self._code, self.names[place], self._arguments[place]
        names: Any = ()
        if instruction.endswith(("_GLOBAL", "_ATTR", "_METHOD", "_NAME")):
            names = code.co_names
            if (instruction == "LOAD_GLOBAL" and sys.version_info >= (3, 11)) or (
                instruction == "LOAD_ATTR" and sys.version_info >= (3, 12)
            ):
                argument >>= 1
            elif instruction == "LOAD_SUPER_ATTR":
                argument >>= 2
        elif "_FAST" in instruction:
            names = code.co_varnames
            if instruction.count("_FAST") > 1:  # two in one, since Python 3.13
                argument &= 15
            if sys.version_info >= (3, 11) and argument >= len(names):
                names = _cells(code)
        elif instruction.endswith("_DEREF"):
            names = _cells(code) if sys.version_info >= (3, 11) else (*code.co_cellvars, *code.co_freevars)
        return str(names[argument]) if argument < len(names) else ""

    def _variables(self, place: int) -> Iterator[str]:
        """The local variables that an instruction loads."""
        instruction = self.names[place]
        if "LOAD_FAST" in instruction:
            yield self.about(place)
            if instruction.count("LOAD_FAST") > 1:
                yield str(self._code.co_varnames[self._arguments[place] >> 4])

    def _is_own(self, chain: Chain) -> bool:
        """The object that a method is about."""
        first = self._code.co_varnames[0] if self._code.co_argcount else ""
        return chain.how == "fast" and chain.name == first and not chain.attributes

    def _is_computed(self, first: int, last: int, name: str, owners: Tuple[Chain, ...]) -> bool:
        """False for a constant, an argument, and what is made of the stored variable alone."""
        if last - first >= _LONGEST:
            return True
        code = self._code
        known = {chain.name for chain in owners}
        known.update(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        ours = {name, *(attribute for chain in owners for attribute in chain.attributes)}
        for place in range(first, last):
            if self.may_call(place) or not known.issuperset(self._variables(place)):
                return True
            if self.names[place] == "LOAD_ATTR" and self.about(place) not in ours:
                return True
        return False

    def _effect(self, place: int) -> int:
        number = self._codes[place]
        return stack_effect(number, self._arguments[place] if number >= HAVE_ARGUMENT else None, jump=False)

    def _start_of(self, place: int) -> int:
        """Where the expressions begin that a store takes from the stack."""
        depth = self._effect(place)
        for before in range(place - 1, max(place - _LONGEST, 0) - 1, -1):
            depth += self._effect(before)
            if depth == 0:
                return before
        return max(place - _LONGEST, 0)

    def _end_of(self, place: int) -> int:
        """The call of a method or function that is loaded at a place."""
        depth = 0 if self.names[place] != "LOAD_GLOBAL" else -1
        for after in range(place, min(place + _LONGEST, len(self.names))):
            depth += self._effect(after)
            if after > place and depth <= 0 and self.may_call(after):
                return after
        return place

    # --- which object is meant ------------------------------------------------------------------------------------

    def _without_aliases(self, chains: Tuple[Chain, ...]) -> Iterator[Chain]:
        """Objects as they are known when the function is entered; those that it makes itself are left out."""
        code = self._code
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        for chain in chains:
            if chain.how != "fast" or chain.name in code.co_varnames[:count]:
                yield chain
                continue
            if self._aliases is None:
                self._aliases = {}
                for place, name in enumerate(self.names):
                    if name.startswith("STORE_FAST"):
                        found = self._owners_before(place) or self._iterated(place)
                        for variable in self._stored(place):
                            self._aliases.setdefault(variable, []).extend(found)
            for alias in self._aliases.get(chain.name, ()):
                if alias.how != "fast" or alias.name in code.co_varnames[:count]:
                    yield alias._replace(attributes=alias.attributes + chain.attributes)

    def _stored(self, place: int) -> Iterator[str]:
        """The local variables that an instruction stores."""
        if self.names[place].count("_FAST") > 1:
            yield str(self._code.co_varnames[self._arguments[place] >> 4])
        if self.names[place].count("STORE_FAST") == self.names[place].count("_FAST"):
            yield self.about(place)

    def _owners_before(self, place: int) -> Tuple[Chain, ...]:
        """The object that lies on top of the stack before an instruction, or those in which it may be found."""
        return self._chain_before(place) or self._inside_before(place)

    def _inside_before(self, place: int) -> Tuple[Chain, ...]:
        """All that is named by the expression that ends before an instruction, for what may be inside of that."""
        if place and self.names[place - 1] in _SWAPS:
            return ()
        depth = 0
        for before in range(place - 1, max(place - _LONGEST, 0) - 1, -1):
            depth += self._effect(before)
            if depth >= 1:
                return (*self._insides(before, place),)
        return ()

    def _insides(self, first: int, end: int) -> Iterator[Chain]:
        chains = self._chains_in(first, end)
        if len(chains) == 2 and chains[0] == Chain("global", "type"):
            yield chains[1]._replace(attributes=(*chains[1].attributes, "__class__"))
            return
        for chain in chains:
            yield chain._replace(attributes=(*chain.attributes, INSIDE))
            if chain.attributes:  # a method that was called
                yield chain._replace(attributes=(*chain.attributes[:-1], INSIDE))

    def _iterated(self, place: int) -> Tuple[Chain, ...]:
        """What a variable of a loop is taken out of."""
        before = place - 1
        while before >= 0 and self.names[before].startswith(("STORE_FAST", "UNPACK_SEQUENCE")):
            before -= 1
        if before < 1 or self.names[before] != "FOR_ITER" or self.names[before - 1] != "GET_ITER":
            return ()
        return (*(found for chain in self._owners_before(before - 1) for found in self._as_inside(chain)),)

    def _as_inside(self, chain: Chain) -> Iterator[Chain]:
        yield chain if INSIDE in chain.attributes else chain._replace(attributes=(*chain.attributes, INSIDE))

    def _container_of(self, place: int, *, keys: int = 1) -> Tuple[Chain, ...]:
        """The container of an item that is loaded or stored: it lies below its keys on the stack."""
        if place and self.names[place - 1] in _SWAPS:  # an augmented assignment
            return self._chains_in(self._start_of(place), place)
        depth = 0
        for before in range(place - 1, max(place - _LONGEST, 0) - 1, -1):
            depth += self._effect(before)
            if depth == keys:
                return self._owners_before(before)
            if depth > keys:  # container and key are loaded at once
                return (Chain("fast", str(self._code.co_varnames[self._arguments[before] >> 4])),)
        return ()

    def _chains_in(self, first: int, end: int) -> Tuple[Chain, ...]:
        """The objects that the expressions before an item's store name."""
        chains: List[Chain] = []
        for place in range(first, end):
            chain = self._chain_at(place)
            if chain is None:
                continue
            if chains and chain.attributes and chains[-1] == chain._replace(attributes=chain.attributes[:-1]):
                chains.pop()
            chains.append(chain)
        return (*dict.fromkeys(chains),)

    def _chain_before(self, place: int) -> Tuple[Chain, ...]:
        """The object that lies on top of the stack before an instruction, as far as it is named."""
        before = place - 1
        while before >= 0 and self.names[before] in _TRANSPARENT:
            before -= 1
        if before >= 0 and self.names[before] in _SWAPS:  # an augmented assignment: look for its copy
            for earlier in range(before - 1, max(before - 40, 0), -1):
                if self.names[earlier] in _COPIES:
                    return self._chain_before(earlier)
            return ()
        chain = self._chain_at(before) if before >= 0 else None
        return (chain,) if chain is not None else ()

    def _chain_after(self, place: int) -> Tuple[Chain, ...]:
        """The first argument of a call, as far as it is named."""
        found: Tuple[Chain, ...] = ()
        for after in range(place + 1, min(place + 6, len(self.names))):
            chain = self._chain_at(after)
            if found and (chain is None or chain._replace(attributes=chain.attributes[:-1]) != found[0]):
                break
            found = (chain,) if chain is not None else found
        return found

    def _chain_at(self, place: int) -> Optional[Chain]:
        """The chain of loads that ends with an instruction."""
        attributes: List[str] = []
        while place >= 0 and self.names[place] in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.append(self.about(place))
            place -= 1
            while place >= 0 and self.names[place] in _COPIES:
                place -= 1
        if place < 0:
            return None
        how = _LOADS.get(self.names[place], "")
        return Chain(how, self.about(place), (*reversed(attributes),)) if how else None


def _cells(code: Any) -> Tuple[str, ...]:
    """Since Python 3.11 cells that are arguments stand among the variables."""
    names = (*code.co_varnames, *(name for name in code.co_cellvars if name not in code.co_varnames))
    return (*names, *code.co_freevars)
