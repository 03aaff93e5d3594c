"""How much of the code the tests ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedLines:
    """Lines of a file (from 1, ascending) that no test ran."""

    path: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """How much of the statements that a change added or edited the tests ran. `base` is what it was compared with."""

    base: str
    statements: int
    covered: int
    missed: tuple[MissedLines, ...] = ()

    @property
    def percent(self) -> float:
        """The share that ran, from 0 to 100; 100 where the change holds no statement."""
        return 100.0 * self.covered / self.statements if self.statements else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCoverage:
    """What the tests of one type ran of the same statements and branches, with what ran outside of any test."""

    test_type: str
    covered: int
    covered_branches: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """
    Totals over all workers and shards. A count of statements, and of branches where they were measured.

    `by_type` tells them apart by test type, where tests of several types ran. `ran` names, where contexts were noted,
    the files of which the tests in each test file ran lines, by the test file's path.
    """

    statements: int
    covered: int
    branches: int = 0
    covered_branches: int = 0
    patch: Patch | None = None
    by_type: tuple[TypeCoverage, ...] = ()
    ran: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        """The share that ran, from 0 to 100; 100 where there is nothing to run."""
        return self._share(self.covered, self.covered_branches)

    def percent_of(self, part: TypeCoverage) -> float:
        """The share that the tests of one type ran."""
        return self._share(part.covered, part.covered_branches)

    def _share(self, lines: int, branches: int) -> float:
        whole = self.statements + self.branches
        return 100.0 * (lines + branches) / whole if whole else 100.0
