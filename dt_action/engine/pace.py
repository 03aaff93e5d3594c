"""How long cases are expected to take: from earlier runs, else from what this run has seen."""

from __future__ import annotations

from collections.abc import Mapping

PRIOR_S = 0.02
"""What a case counts as before anything is known; it is given little weight."""


LEAST_S = 1e-4
"""What a case takes at the least, so that many of them are never for nothing."""


class Pace:
    """Expected seconds of cases. `known_s` holds those of earlier runs by id."""

    def __init__(self, known_s: Mapping[str, float]) -> None:
        self._known_s = known_s
        self._seen: dict[str, tuple[int, float]] = {}
        self._all = (1, PRIOR_S)
        self._mean_s: dict[str, float] = {}
        self._mean_of_all_s = PRIOR_S

    def learn(self, file: str, duration_s: float) -> None:
        """A case of `file` took `duration_s`."""
        count, total_s = self._seen.get(file, (0, 0.0))
        self._seen[file] = count + 1, total_s + duration_s
        self._mean_s[file] = max((total_s + duration_s) / (count + 1), LEAST_S)
        count, total_s = self._all
        self._all = count + 1, total_s + duration_s
        self._mean_of_all_s = max((total_s + duration_s) / (count + 1), LEAST_S)

    def known(self, case: str) -> float | None:
        """What the case took in earlier runs, never 0; None where none is known."""
        known_s = self._known_s.get(case)
        return None if known_s is None else max(known_s, LEAST_S)

    def of_case(self, file: str, case: str) -> float:
        """The seconds that one case is expected to take, by all that is known now, never 0."""
        known_s = self._known_s.get(case)
        return self.of_file(file) if known_s is None else max(known_s, LEAST_S)

    def of_file(self, file: str) -> float:
        """The seconds that a case of `file` takes on average, never 0."""
        return self._mean_s.get(file, self._mean_of_all_s)
