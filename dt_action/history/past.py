"""What records of earlier runs say: expected durations, what failed last, how flaky a test is, and a baseline."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dt_action.errors import UnreadableError
from dt_action.history.flaky import flaky_tests
from dt_action.history.recordings import unpack
from dt_action.history.records import RunRecord, Seen
from dt_action.model.case import Outcome
from dt_action.model.change import Baseline, Before, FlakyRate
from dt_action.model.recording import Recording

DURATION_RUNS = 10
"""A case's expected duration is the median over so many of the newest runs."""

MOST_DURATIONS = 30
"""A baseline holds at most so many seconds of a case."""

_TOOK_ITS_TIME: frozenset[Outcome] = frozenset({"passed", "failed", "skipped", "xfailed", "xpassed"})


@dataclass(frozen=True)
class KnownPast:
    """Records, newest first. `environment` names the leg of a matrix whose records count, where there are any."""

    records: tuple[RunRecord, ...] = ()
    environment: str = ""

    def of(self, environment: str) -> KnownPast:
        """The same, seen from another leg of the matrix."""
        return replace(self, environment=environment)

    def duration_s(self, case: str) -> float | None:
        """See `ports.Past`."""
        return self._durations.get(case.partition("::")[0], {}).get(case)

    def cases_of(self, file: str) -> Mapping[str, float]:
        """See `ports.Past`."""
        return self._durations.get(file, {})

    def failed_last(self) -> frozenset[str]:
        """The cases whose newest outcome is a failure."""
        newest: dict[str, Seen] = {}
        for record in self._ours:
            for case, seen in record.cases.items():
                newest.setdefault(case, seen)
        return frozenset(case for case, seen in newest.items() if seen.is_failing)

    def ran(self) -> Mapping[str, frozenset[str]]:
        """The files of which the tests in each test file ran lines, by the newest run that noted it."""
        newest: dict[str, frozenset[str]] = {}
        for record in self._ours:
            for test_file, files in record.ran.items():
                newest.setdefault(test_file, frozenset(files))
        return newest

    def kept_whole(self) -> frozenset[str]:
        """The files whose tests failed when they were split, and must stay together."""
        return frozenset(file for record in self._ours for file in record.whole)

    def single_fixtures(self) -> Mapping[str, frozenset[str]]:
        """The files by the fixtures of theirs that only one process can have at a time."""
        files: dict[str, set[str]] = {}
        for record in self._ours:
            for fixture, paths in record.single.items():
                files.setdefault(fixture, set()).update(paths)
        return {fixture: frozenset(paths) for fixture, paths in files.items()}

    def recordings(self) -> Iterator[Recording]:
        """What tests entered and opened, the newest first; one that cannot be read is passed over."""
        for record in self._ours:
            if record.recorded:
                with contextlib.suppress(UnreadableError):
                    yield unpack(record.recorded)

    def baseline(self, commits: Sequence[str]) -> Baseline | None:
        """
        What is known of `commits`, the nearest first: of each case, what its nearest commit says.

        Of one commit, the newest record of a case counts. None where no record of these commits is there. Without
        any commit, all earlier runs are the baseline.
        """
        rank = {commit: number for number, commit in enumerate(commits)}
        records = [record for record in self._ours if record.commit in rank] if commits else list(self._ours)
        if not records:
            return None
        records.sort(key=lambda record: rank.get(record.commit, 0))  # stable: newest first within a commit
        nearest = records[0].commit
        before: dict[str, _Gathering] = {}
        for record in records:
            for case, seen in record.cases.items():
                before.setdefault(case, _Gathering(seen.outcome, record.commit)).add(seen)
        here = (record for record in records if record.commit == nearest) if commits else iter(records[:1])
        return Baseline(
            against=f"commit {nearest[:12]}" if commits else "the runs before",
            commit=nearest if commits else "",
            before={case: gathered.before() for case, gathered in before.items()},
            expected=frozenset(case for record in here for case in record.cases),
        )

    def baseline_of_default_branch(self, but: str) -> Baseline | None:
        """The baseline of the default branch's commits, the newest first, without the commit `but`."""
        commits = dict.fromkeys(record.commit for record in self._ours if record.is_default_branch and record.commit)
        commits.pop(but, None)
        return self.baseline(tuple(commits)) if commits else None

    def flaky_rates(self, cases: Collection[str]) -> Iterator[FlakyRate]:
        """How flaky each of `cases` was: it passed on a retry, or did both in runs of one commit. None for never."""
        for found in sorted(flaky_tests(self._ours, cases), key=lambda found: found.id):
            yield FlakyRate(id=found.id, flaky=found.flaky, runs=found.runs)

    @cached_property
    def _ours(self) -> Sequence[RunRecord]:
        return [record for record in self.records if record.environment == self.environment]

    @cached_property
    def _durations(self) -> Mapping[str, Mapping[str, float]]:
        """Median seconds by file and case; from other legs of a matrix where this one is new."""
        gathered: dict[str, list[float]] = {}
        for record in (self._ours or self.records)[:DURATION_RUNS]:
            for case, seen in record.cases.items():
                if seen.outcome in _TOOK_ITS_TIME:
                    gathered.setdefault(case, []).append(seen.duration_s)
        return _by_file((case, statistics.median(values)) for case, values in gathered.items())


@dataclass(slots=True)
class _Gathering:
    outcome: Outcome
    commit: str
    durations_s: list[float] = field(default_factory=list)

    def add(self, seen: Seen) -> None:
        if seen.outcome == "passed" and len(self.durations_s) < MOST_DURATIONS:
            self.durations_s.append(seen.duration_s)

    def before(self) -> Before:
        return Before(outcome=self.outcome, durations_s=tuple(self.durations_s), commit=self.commit)


def _by_file(pairs: Iterable[tuple[str, float]]) -> Mapping[str, Mapping[str, float]]:
    files: dict[str, dict[str, float]] = {}
    for case, seconds in pairs:
        files.setdefault(case.partition("::")[0], {})[case] = seconds
    return files
