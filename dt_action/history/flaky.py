"""Which tests records call flaky: those that both passed and failed on the same code, in the same environment."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from dt_action.history.records import RunRecord, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky:
    """
    A flaky test. `flaky` and `runs` count commits (in each environment) and uncommitted runs.

    `first_seen` and `last_seen` are when it was flaky, in Unix time; `cost_s` are the seconds of its deciding attempts
    in those runs, and `environments` the legs of a matrix in which it was flaky.
    """

    id: str
    flaky: int
    runs: int
    first_seen: float
    last_seen: float
    cost_s: float
    environments: tuple[str, ...]

    @property
    def rate(self) -> float:
        """The share of commits on which it was flaky."""
        return self.flaky / self.runs


def flaky_tests(records: Iterable[RunRecord], cases: Collection[str] | None = None) -> Iterator[Flaky]:
    """
    The flaky ones among `cases`, or of all.

    A test that fails each time it runs on some code is broken there, and not flaky, however often that was seen.
    """
    wanted = None if cases is None else set(cases)
    verdicts: dict[str, dict[tuple[str, str], _Verdict]] = {}
    for record in records:
        code = record.commit or record.id, record.environment
        for case in record.cases if wanted is None else wanted.intersection(record.cases):
            seen = record.cases[case]
            if seen.outcome != "skipped":
                verdicts.setdefault(case, {}).setdefault(code, _Verdict()).add(seen, record.started_at)
    for case, told in verdicts.items():
        flaky = {code: verdict for code, verdict in told.items() if len(verdict.words) > 1}
        if flaky:
            yield Flaky(
                id=case,
                flaky=len(flaky),
                runs=len(told),
                first_seen=min(verdict.first for verdict in flaky.values()),
                last_seen=max(verdict.last for verdict in flaky.values()),
                cost_s=round(sum(verdict.took_s for verdict in flaky.values()), 3),
                environments=tuple(sorted({environment for _, environment in flaky if environment})),
            )


@dataclass(slots=True)
class _Verdict:
    words: set[str] = field(default_factory=set)
    first: float = math.inf
    last: float = 0.0
    took_s: float = 0.0

    def add(self, seen: Seen, at: float) -> None:
        self.words.update({"bad", "good"} if seen.is_flaky else {"bad" if seen.is_failing else "good"})
        self.first, self.last = min(self.first, at), max(self.last, at)
        self.took_s += seen.duration_s
