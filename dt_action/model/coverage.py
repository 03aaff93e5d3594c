"""How much of the code the tests ran."""

from __future__ import annotations

from dataclasses import dataclass


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
class Coverage:
    """Totals over all workers and shards. A count of statements, and of branches where they were measured."""

    statements: int
    covered: int
    branches: int = 0
    covered_branches: int = 0
    patch: Patch | None = None

    @property
    def percent(self) -> float:
        """The share that ran, from 0 to 100; 100 where there is nothing to run."""
        whole = self.statements + self.branches
        return 100.0 * (self.covered + self.covered_branches) / whole if whole else 100.0
