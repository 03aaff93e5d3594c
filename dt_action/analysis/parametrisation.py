"""The parametrisations of a test: their rows, which of them bear on hardware, and what pytest calls the cases."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, Final

from dt_action.analysis.fixtures import Fixture
from dt_action.analysis.interpreter import Interpreter, Scope
from dt_action.analysis.syntax import argument_names
from dt_action.analysis.tests_of import Test
from dt_action.analysis.values import (
    UNKNOWN,
    Class,
    Env,
    External,
    Function,
    Instance,
    Mark,
    Param,
    Value,
    is_known,
)

MAX_COMBINATIONS: Final = 48
"""Combinations of rows up to which each is a case of its own."""
MAX_NAMES: Final = 256
"""Names of cases that share what they need, up to which they are told."""
DEVICE_TYPES: Final = "device-types"
"""The mark of tests that torch makes one of for each device, under names of their own."""
_MARKS: Final = ("parametrize", "torch-parametrize", DEVICE_TYPES)
_DEVICE_WORD: Final = re.compile(r"^(cpu|cuda|gpu|mps|xpu|hpu|npu|tpu|xla|rocm|hip|meta|auto)(:\d+)?$", re.IGNORECASE)
CaseId = str | None
"""The part of a node id in brackets; "" for a test without parameters, None where it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """One parametrisation: its names, its rows and what each row is called."""

    names: tuple[str, ...]
    rows: tuple[Param, ...]
    ids: tuple[CaseId, ...]
    is_fixture: bool = False
    is_torch: bool = False
    is_renamed: bool = False

    @property
    def is_relevant(self) -> bool:
        """True where rows differ by something that bears on hardware."""
        return any(row.marks or any(_is_device_like(value) for value in row.values) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Selection:
    """One row of every dimension that bears on hardware, by its place; -1 stands for all rows of another dimension."""

    dimensions: Sequence[Dimension]
    rows: Sequence[int]

    def params(self) -> Iterator[tuple[Dimension, Param]]:
        """The rows that are selected."""
        for dimension, row in zip(self.dimensions, self.rows, strict=True):
            if row >= 0:
                yield dimension, dimension.rows[row]

    def marks(self) -> list[Mark]:
        """The marks of the rows."""
        return [mark for _, param in self.params() for mark in param.marks]

    def values(self, *, is_fixture: bool) -> Env:
        """What the rows hold for the test's arguments by name, or for its fixtures, as `request.param`."""
        given: Env = {}
        for dimension, param in self.params():
            if dimension.is_fixture is is_fixture:
                values = param.values if len(dimension.names) > 1 or len(param.values) == 1 else (UNKNOWN,)
                given |= dict(zip(dimension.names, values, strict=False))
        return given

    def case_id(self) -> CaseId:
        """What the rows are called."""
        labels = [d.ids[row] for d, row in zip(self.dimensions, self.rows, strict=True) if row >= 0]
        if not labels or any(label is None for label in labels):
            return None if labels else ""
        return "-".join(str(label) for label in labels)

    def suffixes(self) -> tuple[str, ...]:
        """What the node ids end with, over all rows that bear on nothing; none where a row's name cannot be told."""
        choices = [d.ids if row < 0 else (d.ids[row],) for d, row in zip(self.dimensions, self.rows, strict=True)]
        if not choices or any(label is None for labels in choices for label in labels):
            return ()
        if any(dimension.is_renamed for dimension in self.dimensions):
            return ()
        if prod(map(len, choices)) > MAX_NAMES:
            return ()
        if all(dimension.is_torch for dimension in self.dimensions):
            return tuple("_" + "_".join(map(str, labels)) for labels in product(*choices))
        return tuple(f"[{'-'.join(map(str, labels))}]" for labels in product(*choices))


def selections(dimensions: Sequence[Dimension], wanted: Collection[str]) -> Iterator[Selection]:
    """
    Every combination of the rows that bear on hardware, or give a value to one of the `wanted` names.

    None where a parametrisation has no row: pytest skips such a test.
    """
    if not all(dimension.rows for dimension in dimensions):
        return
    relevant = _relevant(dimensions, wanted)
    for rows in product(*(range(len(d.rows)) if d in relevant else (-1,) for d in dimensions)):
        yield Selection(dimensions, rows)


def _relevant(dimensions: Sequence[Dimension], wanted: Collection[str]) -> set[Dimension]:
    chosen: set[Dimension] = set()
    size = 1
    for dimension in sorted(dimensions, key=lambda d: (not any(row.marks for row in d.rows), len(d.rows))):
        is_wanted = dimension.is_relevant or any(name in wanted for name in dimension.names)
        if is_wanted and dimension.rows and size * len(dimension.rows) <= MAX_COMBINATIONS:
            chosen.add(dimension)
            size *= len(dimension.rows)
    return chosen


def of_fixtures(fixtures: Mapping[str, Fixture], interpreter: Interpreter) -> Iterator[Dimension]:
    """The parametrisations of a test's fixtures."""
    for name, fixture in fixtures.items():
        if fixture.params is None:
            continue
        scope = Scope(fixture.module)
        rows = interpreter.safe_value(fixture.params, scope)
        ids = interpreter.safe_value(fixture.ids, scope)
        if isinstance(rows, (list, tuple)):
            yield _dimension((name,), rows, ids, is_fixture=True)


def of_marks(marks: Iterable[Mark], test: Test) -> Iterator[Dimension]:
    """The parametrisations among a test's marks."""
    for mark in marks:
        if mark.name not in _MARKS:
            continue
        names = names_of(mark)
        given = dict(mark.kwargs)
        rows = mark.args[1] if len(mark.args) > 1 else given.get("argvalues", UNKNOWN)
        if not names and mark.args and isinstance(mark.args[0], (list, tuple)):
            names = [name for name in argument_names(test.node) if name not in ("self", "cls")]
            rows = mark.args[0]
        if names and isinstance(rows, (list, tuple)):
            made = _dimension(tuple(names), rows, given.get("ids"), is_torch=mark.name == "torch-parametrize")
            yield replace(made, is_renamed=True) if mark.name == DEVICE_TYPES else made


def names_of(mark: Mark) -> list[str]:
    """The arguments that a parametrisation gives a value, where it names them; nothing for another mark."""
    if mark.name not in _MARKS:
        return []
    first = mark.args[0] if mark.args else dict(mark.kwargs).get("argnames")
    if isinstance(first, str):
        return [name.strip() for name in first.split(",") if name.strip()]
    if isinstance(first, (list, tuple)) and all(isinstance(name, str) for name in first) and len(mark.args) > 1:
        return list(first)
    return []


def _dimension(
    names: tuple[str, ...], rows: Iterable[Value], ids: Value, *, is_fixture: bool = False, is_torch: bool = False
) -> Dimension:
    params = tuple(_param(row, names) for row in rows)
    labels = [_label(names, param, position, ids, is_torch=is_torch) for position, param in enumerate(params)]
    if len(set(labels)) != len(labels):
        labels = [None] * len(labels)
    return Dimension(names, params, tuple(labels), is_fixture, is_torch)


def _param(row: Value, names: Sequence[str]) -> Param:
    if isinstance(row, Param):
        return row
    if len(names) == 1:
        return Param((row,))
    return Param(tuple(row) if isinstance(row, (list, tuple)) else (UNKNOWN,) * len(names))


def _label(names: tuple[str, ...], param: Param, position: int, ids: Value, *, is_torch: bool) -> CaseId:
    """What a row is called: by itself, by the `ids` of its parametrisation, or by its values."""
    given = ids[position] if isinstance(ids, (list, tuple)) and position < len(ids) else None
    if param.id is not None:
        return param.id
    if isinstance(given, (str, int, float, bool)):
        return str(given)
    if ids is not None and not isinstance(ids, (list, tuple)):
        return None
    return _label_of_values(names, param, position, is_torch=is_torch)


def _label_of_values(names: tuple[str, ...], param: Param, position: int, *, is_torch: bool) -> CaseId:
    parts = []
    for name, value in zip(names, param.values, strict=False):
        if value is UNKNOWN or isinstance(value, Instance):
            return None
        if isinstance(value, str) and value.isascii() and value.isprintable():
            word = value
        elif isinstance(value, (int, float, bool, type(None))):
            word = str(value)
        elif isinstance(value, (Function, Class)):
            word = getattr(value.node, "name", "")
        elif isinstance(value, External):
            word = value.name.rpartition(".")[2] if value.name.startswith("builtins.") else ""
        elif is_known(value):
            word = f"{name}{position}"
        else:
            word = ""
        if not word and value != "":
            return None
        parts.append(f"{name}_{word}" if is_torch else word)
    return ("_" if is_torch else "-").join(parts)


def _is_device_like(value: Any) -> bool:
    if isinstance(value, str):
        return bool(_DEVICE_WORD.match(value))
    return isinstance(value, (list, tuple)) and any(_is_device_like(item) for item in value)
