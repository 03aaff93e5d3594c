"""The model's values to what JSON can hold, and back with every type checked: nothing in a file is trusted."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast

from dt_action.errors import UnreadableError

T = TypeVar("T")
Reviver = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a value must hold beside its type, as `Annotated[str, Bound("1 to 80 characters", ...)]`."""

    expected: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Cut:
    """Of a longer text only so many characters are taken in, as `Annotated[str, Cut(80)]`."""

    most: int


class _WrongValueError(ValueError):
    """A value of the wrong type; `where` grows from the inside out while the error travels up."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = type(found).__name__ if isinstance(found, (dict, list)) else repr(found)[:60]
        self.where: list[str] = []

    def place(self, *, quotes: bool) -> str:
        """Where it is, from the outside in. Keys of mappings are input; without `quotes` they are left out."""
        names = (name if quotes or not name.startswith("['") else "[...]" for name in reversed(self.where))
        return "".join(names).lstrip(".") or "its top level"


def to_jsonable(value: Any) -> Any:
    """Dicts, lists and scalars. Fields that hold their default are left out; sets are sorted, so bytes are stable."""
    kind: Any = type(value)
    if kind in _AS_IS:
        return value
    defaults = _defaults_of(kind)
    if defaults is not None:
        pairs = ((name, getattr(value, name), default) for name, default in defaults)
        return {name: to_jsonable(item) for name, item, default in pairs if item is not default and item != default}
    if isinstance(value, (tuple, list)):
        return [to_jsonable(item) for item in value]
    if isinstance(value, (frozenset, set)):
        return sorted(to_jsonable(item) for item in value)
    if isinstance(value, Mapping):
        return {key: to_jsonable(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0
    return value


def from_jsonable(kind: type[T], value: Any, *, source: str, quotes: bool = True) -> T:
    """
    A `kind` made of what JSON gave; keys that it does not know are ignored, so that newer files stay readable.

    Raises UnreadableError, which names `source` and the place in it, where a field is missing or has another type.
    Without `quotes` it says what was expected and repeats nothing of the value, which may hold secrets.
    """
    try:
        revived: T = reviver_of(cast("Any", kind))(value)
    except _WrongValueError as error:
        found = f", found {error.found}" if quotes else ""
        raise UnreadableError(
            f"{source}: expected {error.expected} at {error.place(quotes=quotes)}{found}",
            hint="was it cut short, edited, or written by another tool?",
        ) from None
    return revived


@cache
def reviver_of(kind: Any) -> Reviver:
    """The function that turns a JSON value into a `kind`; worked out once for each type."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is Any:
        return lambda value: value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _marked(reviver_of(arguments[0]), arguments[1:])
    if origin is Literal:
        return _choice(frozenset(arguments))
    if origin in (typing.Union, types.UnionType):
        return _optional(reviver_of(next(argument for argument in arguments if argument is not type(None))))
    if origin is Mapping:
        return _mapping(reviver_of(arguments[1]))
    if origin in (tuple, frozenset):
        return _collection(origin, reviver_of(arguments[0]))
    if is_dataclass(kind):
        return _dataclass(kind)
    raise TypeError(f"no way is known to read a {kind}")


_AS_IS: frozenset[Any] = frozenset({str, int, bool, type(None)})


@cache
def _defaults_of(kind: Any) -> tuple[tuple[str, Any], ...] | None:
    """The fields of a dataclass, each with its default (MISSING for none, which equals nothing); None for others."""
    if not is_dataclass(kind):
        return None
    return tuple(
        (field.name, field.default if field.default_factory is MISSING else field.default_factory())
        for field in fields(kind)
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _WrongValueError("text", value)


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _WrongValueError("a whole number", value)


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _WrongValueError("a number", value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _WrongValueError("true or false", value)


_SCALARS: dict[Any, Reviver] = {str: _text, int: _whole, float: _number, bool: _truth}


def _choice(words: frozenset[Any]) -> Reviver:
    def revive(value: Any) -> Any:
        if isinstance(value, str) and value in words:
            return value
        raise _WrongValueError("one of " + ", ".join(sorted(words)), value)

    return revive


def _marked(inner: Reviver, marks: tuple[Any, ...]) -> Reviver:
    def revive(value: Any) -> Any:
        revived = inner(value)
        for mark in marks:
            if isinstance(mark, Cut):
                revived = revived[: mark.most]
            elif isinstance(mark, Bound) and not mark.holds(revived):
                raise _WrongValueError(mark.expected, value)
        return revived

    return revive


def _optional(inner: Reviver) -> Reviver:
    return lambda value: None if value is None else inner(value)


def _collection(kind: Any, inner: Reviver) -> Reviver:
    def revive(value: Any) -> Any:
        if not isinstance(value, list):
            raise _WrongValueError("a list", value)
        items = []
        for index, item in enumerate(value):
            try:
                items.append(inner(item))
            except _WrongValueError as error:
                error.where.append(f"[{index}]")
                raise
        return kind(items)

    return revive


def _mapping(inner: Reviver) -> Reviver:
    def revive(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _WrongValueError("an object", value)
        items = {}
        for key, item in value.items():
            try:
                items[key] = inner(item)
            except _WrongValueError as error:
                error.where.append(f"['{key[:60]}']")
                raise
        return items

    return revive


def _dataclass(kind: Any) -> Reviver:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = {field.name: reviver_of(hints[field.name]) for field in fields(kind)}
    required = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}

    def revive(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _WrongValueError("an object", value)
        arguments = {}
        for name, item in value.items():
            inner = names.get(name)
            if inner is None:
                continue
            try:
                arguments[name] = inner(item)
            except _WrongValueError as error:
                error.where.append(f".{name}")
                raise
        missing = required - arguments.keys()
        if missing:
            raise _WrongValueError("the key " + " and ".join(sorted(missing)), value)
        return kind(**arguments)

    return revive
