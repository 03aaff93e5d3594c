"""How long cases are expected to take: from earlier runs, else from what this run has seen."""

from __future__ import annotations

from collections.abc import Mapping

PRIOR_S = 0.02
"""What a case counts as before anything is known; it is given little weight."""


class Pace:
    """Expected seconds of cases. `known_s` holds those of earlier runs by id."""

    def __init__(self, known_s: Mapping[str, float]) -> None:
        self._known_s = known_s
        self._by_file: dict[str, tuple[int, float]] = {}
        self._all = (1, PRIOR_S)

    def learn(self, file: str, duration_s: float) -> None:
        """A case of `file` took `duration_s`."""
        count, total_s = self._by_file.get(file, (0, 0.0))
        self._by_file[file] = (count + 1, total_s + duration_s)
        self._all = (self._all[0] + 1, self._all[1] + duration_s)

    def of_case(self, file: str, case: str) -> float:
        """The seconds that one case is expected to take, never 0."""
        known_s = self._known_s.get(case)
        return self.of_file(file) if known_s is None else max(known_s, 1e-4)

    def of_file(self, file: str) -> float:
        """The seconds that a case of `file` takes on average, never 0."""
        count, total_s = self._by_file.get(file, self._all)
        return max(total_s / count, 1e-4)
