"""What is to be run: the files with what is known of them, and the units and batches that slots are handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dt_action.model.case import OTHER_TYPE
from dt_action.model.change import Selection
from dt_action.model.hardware import FileNeeds


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """
    A test file to be run. `expected_s` is a guess of its tests' seconds, `cases_s` those of single tests by id.

    `is_measured` tells whether `expected_s` comes from an earlier run or from the file's size. Where `chosen` is not
    empty, only these cases (by id) are to be run. A file that `goes_first` starts before others of its priority.
    """

    path: str
    needs: FileNeeds
    test_type: str = ""
    expected_s: float = 0.0
    is_measured: bool = False
    cases_s: Mapping[str, float] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    goes_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Share number `index` (from 1) of `count` static shares."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    The files of a run, in the order in which they should start.

    `is_selection` tells that only these files are wanted (a shard, one test type, files named one by one). Without
    it, files that pytest finds beyond them (doctests, a plugin's own kinds) are run too. `selection` tells why.
    """

    files: tuple[PlannedFile, ...]
    shard: Shard | None = None
    is_selection: bool = False
    selection: Selection | None = None

    def types(self) -> Mapping[str, str]:
        """The test type of each file, where there are several; else nothing."""
        types = {file.path: file.test_type or OTHER_TYPE for file in self.files}
        return types if len(set(types.values())) > 1 else {}

    @property
    def expected_s(self) -> float:
        """The sum of what the files are expected to take."""
        return sum(file.expected_s for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """
    The smallest piece that a slot is handed: a file, or some of its cases by id.

    `cases` is empty for a whole file, whose cases are not known before a slot collects it. Of those, the slot leaves
    out what its worker cannot run and reports it as withheld: the cases that `withheld` names, or, where `only` is
    not empty, all that `only` does not name. Both are keys of `FileNeeds.cases`.
    """

    file: str
    cases: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Units handed to a slot together, under one lease."""

    lease: str
    units: tuple[Unit, ...]
