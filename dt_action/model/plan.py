"""What is to be run: the files with what is known of them, and the units and batches that slots are handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dt_action.model.hardware import FileNeeds, Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """
    A test file to be run. `expected_s` is a guess of its tests' seconds, `cases_s` those of single tests by id.

    `is_measured` tells whether `expected_s` comes from an earlier run or from the file's size.
    """

    path: str
    needs: FileNeeds
    test_type: str = ""
    expected_s: float = 0.0
    is_measured: bool = False
    cases_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Share number `index` (from 1) of `count` static shares."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The files of a run, in the order in which they should start."""

    files: tuple[PlannedFile, ...]
    shard: Shard | None = None
    pytest_args: tuple[str, ...] = ()

    @property
    def expected_s(self) -> float:
        """The sum of what the files are expected to take."""
        return sum(file.expected_s for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """
    The smallest piece that a slot is handed: a file, or some of its cases.

    `cases` is empty for the whole file, whose cases are not known before a slot collects it. `withheld` names
    the cases (as keys of `FileNeeds.cases`) that the slot must leave out because its worker cannot run them.
    """

    file: str
    cases: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Units handed to a slot together under one lease."""

    lease: str
    units: tuple[Unit, ...]
    requirement: Requirement

    @property
    def expected_s(self) -> float:
        """What the units are expected to take together."""
        return sum(unit.expected_s for unit in self.units)
