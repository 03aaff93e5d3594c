"""How much of the code the tests ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Totals over all workers and shards. A count of statements, and of branches where they were measured."""

    statements: int
    covered: int
    branches: int = 0
    covered_branches: int = 0

    @property
    def percent(self) -> float:
        """The share that ran, from 0 to 100; 100 where there is nothing to run."""
        whole = self.statements + self.branches
        return 100.0 * (self.covered + self.covered_branches) / whole if whole else 100.0
