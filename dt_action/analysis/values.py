"""What an expression of a test module can be worth to the analysis: a constant, a known object, or unknown."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dt_action.analysis.project import SourceModule


class Unknown:
    """A value that the analysis does not know; a condition on it decides nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("an unknown value has no truth; ask truth() instead")


UNKNOWN: Final = Unknown()


class Iterated(list[Any]):
    """The items of an iterator, which is no list: it has neither a length nor an equal."""


Value = Any
"""A Python constant or container of values, one of the classes of this module, or UNKNOWN."""
Env = dict[str, Value]
PLAIN_TYPES: Final = (bool, int, float, str, bytes, tuple, list, dict, set, frozenset, range, type(None))
MAX_ITEMS: Final = 512
"""Items up to which a list is followed through a `for` of a comprehension or a call."""
MAX_LENGTH: Final = 10_000
"""Length up to which text and containers are joined or changed."""


@dataclass(frozen=True, slots=True)
class External:
    """Something from outside the project, by its dotted name: `torch.cuda.is_available`."""

    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """An object that a call of something external gave; `kind` says what is known of it (`capability`, `adapter`)."""

    kind: str


@dataclass(frozen=True, slots=True)
class Truth:
    """A value of which the truth alone is known, such as `unknown or 5`."""

    holds: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many devices of `kinds` there are, at least `least`: only asked where something hangs on it."""

    kinds: frozenset[str]
    least: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that hangs on one axis of the machine alone: only asked where something hangs on it."""

    axis: str
    of: tuple[tuple[Hashable, Value], ...]

    def map(self, function: Callable[[Value], Value]) -> Choice:
        """The same with `function` of every value."""
        return Choice(self.axis, tuple((here, function(value)) for here, value in self.of))


@dataclass(frozen=True, slots=True)
class ModuleValue:
    """A module of the project, by the dotted name under which it was imported."""

    module: SourceModule
    name: str = ""


@dataclass(slots=True, eq=False)
class Function:
    """A function of the project with the names it closes over; `owner` is the object it is bound to."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: SourceModule
    closure: tuple[Env, ...] = ()
    owner: Value = None


@dataclass(slots=True, eq=False)
class Class:
    """A class of the project."""

    node: ast.ClassDef
    module: SourceModule


@dataclass(slots=True, eq=False)
class Instance:
    """An object of a class of the project, such as the `self` of a test."""

    of: Class
    attributes: Env = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """A method of an object of pytest's own, such as the `item` of a hook."""

    run: Callable[[Sequence[Value], Mapping[str, Value]], Value]


@dataclass(frozen=True, slots=True)
class Gate:
    """
    A place that keeps a test from running: where it stands, the rule that saw it, and `part`, the operand of its `or`.

    `is_certain` tells a gate that closes everywhere (`@unittest.skip`) from one that hangs on the machine.
    """

    file: str
    line: int
    rule: str
    part: int = 0
    is_certain: bool = False

    def under(self, rule: str) -> Gate:
        """This gate, put down to another rule."""
        return replace(self, rule=rule)


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A mark or skip decorator: the gates of it that are closed in this world.

    `tells_makes` says that its condition tells AMD's devices from NVIDIA's.
    """

    name: str
    gates: tuple[Gate, ...] = ()
    tells_makes: bool = False
    args: tuple[Value, ...] = ()
    kwargs: tuple[tuple[str, Value], ...] = ()
    file: str = ""
    line: int = 0


@dataclass(slots=True, eq=False)
class Marked:
    """A function or class under marks."""

    target: Value
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Param:
    """One row of a parametrisation."""

    values: tuple[Value, ...]
    marks: tuple[Mark, ...] = ()
    id: str | None = None


@dataclass(frozen=True, slots=True)
class TestBody:
    """Stands for the test itself where a decorator is applied: calling it runs the body."""

    __test__ = False

    key: Hashable


MARKABLE: Final = (Function, Class, Marked, TestBody)
"""What a mark or a decorator can stand on."""


class HardwareMissingError(Exception):
    """What an imagined machine raises where the code uses a device that it lacks."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class SkippedError(Exception):
    """The test ends here: a gate that is closed on this machine has been met, and noted."""


class RaisedError(HardwareMissingError):
    """The code itself raises; it reaches the caller as a missing device does."""


def is_known(value: Value) -> bool:
    """True for a constant, and for a container of nothing else."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind in (list, tuple, set, frozenset):
        return all(map(is_known, value))
    if kind is dict:
        return all(map(is_known, value)) and all(map(is_known, value.values()))
    return kind is range


_SCALARS: Final = frozenset({bool, int, float, str, bytes, type(None)})


def are_same(one: Value, other: Value) -> bool:
    """True where code cannot tell two values apart; False wherever that is not certain."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(are_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_same(value, other[key]) for key, value in one.items())
    if isinstance(one, Function):
        return one.node is other.node and not one.closure and not other.closure and one.owner is other.owner
    if isinstance(one, (Class, ModuleValue)):
        return one == other or getattr(one, "node", None) is getattr(other, "node", one)
    if isinstance(one, (External, Result, Count, Truth, *PLAIN_TYPES)):
        return bool(one == other)
    return False


def marked(target: Value, mark: Mark) -> Marked:
    """`target` under one more mark."""
    if isinstance(target, Marked):
        return Marked(target.target, (*target.marks, mark))
    return Marked(target, (mark,))


def unmarked(value: Value) -> Value:
    """What stands under the marks."""
    return value.target if isinstance(value, Marked) else value


def conjunction(values: Iterable[bool | Unknown], *, is_or: bool) -> bool | Unknown:
    """`and` or `or` where some operands are not known."""
    known = list(values)
    if any(value is is_or for value in known):
        return is_or
    return UNKNOWN if any(isinstance(value, Unknown) for value in known) else not is_or


def truth(value: Value) -> bool | Unknown:
    """The truth of a value, or UNKNOWN."""
    if isinstance(value, PLAIN_TYPES):
        return UNKNOWN if isinstance(value, Iterated) else bool(value)
    if isinstance(value, (Function, Class, ModuleValue, Result, Mark, Marked)):
        return True
    return value.holds if isinstance(value, Truth) else UNKNOWN
