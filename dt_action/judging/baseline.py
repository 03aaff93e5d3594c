"""A run against its baseline: what broke, what was fixed, what is new, gone, newly skipped or slower."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dt_action.model.case import FAILING, TestResult, id_in
from dt_action.model.change import Baseline, Before, Change, Slower
from dt_action.model.run import Run

LEAST_SAMPLES = 3
"""A case that passed fewer times before has no noise that could be told from a change."""

LEAST_SLOWDOWN_S = 0.1
LEAST_SLOWDOWN = 0.5
"""A slowdown is told when it is more than half the time before, and a tenth of a second, and more than noise."""

NOISE = 5.0
"""So many standard deviations (taken from the median absolute deviation) are noise."""

_STEADY_S = 0.01
_LEAST_STEADY = 10


def compare(run: Run, baseline: Baseline | None) -> Change:
    """
    What `run` changed. Only cases that ran in it are compared, so a choice of tests is never told as removals.

    A file that could not be collected before and can be now counts as fixed; while it cannot be collected, its cases
    do not count as removed.
    """
    if baseline is None:
        return Change()
    before = baseline.before
    ran = [result for result in run.results if result.attempts and result.outcome != "lost"]
    failing = [result.id for result in ran if result.final.is_failing]
    files = {id_in(item.environment, item.case.file) for item in ran if item.case.id != item.case.file}
    repaired = [file for file in sorted(files) if file in before and before[file].outcome in FAILING]
    return Change(
        against=baseline.against,
        commit=baseline.commit,
        new_failures=tuple(case for case in failing if not _failed(before, case)),
        still_failing=tuple(case for case in failing if _failed(before, case)),
        fixed=(
            *repaired,
            *(item.id for item in ran if item.outcome == "passed" and _failed(before, item.id)),
        ),
        new_tests=tuple(item.id for item in ran if item.id not in before and item.case.id != item.case.file),
        removed_tests=tuple(_removed(run, baseline)),
        newly_skipped=tuple(
            item.id
            for item in ran
            if item.outcome == "skipped" and item.id in before and before[item.id].outcome != "skipped"
        ),
        slower=tuple(_slower(ran, before)),
    )


def _failed(before: Mapping[str, Before], case: str) -> bool:
    return case in before and before[case].outcome in FAILING


def _removed(run: Run, baseline: Baseline) -> Iterator[str]:
    if not run.is_whole:
        return
    there = {result.id for result in run.results} | {item.case.id for item in run.unplaced}
    skipped = {file.path for file in run.skipped_files}
    environments = {result.environment for result in run.results} | {""}
    for case in sorted(baseline.expected - there):
        file = case.partition("::")[0]
        unknown = any(id_in(environment, file) in there for environment in environments)
        if case != file and not unknown and file not in skipped:
            yield case


def with_moved_files(baseline: Baseline, moved: Mapping[str, str]) -> Baseline:
    """The baseline with the cases of files that were moved since (`moved`: old to new) under their new names."""
    if not moved:
        return baseline

    def now(case: str) -> str:
        file, colons, rest = case.partition("::")
        return f"{moved.get(file, file)}{colons}{rest}"

    return replace(
        baseline,
        before={now(case): seen for case, seen in baseline.before.items()},
        expected=frozenset(map(now, baseline.expected)),
    )


def joined(parts: Mapping[str, Baseline]) -> Baseline:
    """One baseline of those of several environments, by their names; of one commit where all are."""
    if not any(parts):
        return parts[""]
    commits = {part.commit for part in parts.values()}
    against = list(dict.fromkeys(part.against for part in parts.values()))
    return Baseline(
        against=against[0] if len(against) == 1 else "what each environment ran last before",
        commit=min(commits, key=lambda commit: (not commit, commit)),
        before={id_in(name, case): seen for name, part in parts.items() for case, seen in part.before.items()},
        expected=frozenset(id_in(name, case) for name, part in parts.items() for case in part.expected),
    )


def _slower(ran: list[TestResult], before: Mapping[str, Before]) -> Iterator[Slower]:
    """The cases that took longer by more than noise, on a machine that may be slower as a whole; worst first."""
    passed = [item for item in ran if item.outcome == "passed" and len(item.attempts) == 1]
    known = {
        item.id: before[item.id].durations_s
        for item in passed
        if item.id in before and len(before[item.id].durations_s) >= LEAST_SAMPLES
    }
    pace = _pace(passed, known)
    found = []
    for item in passed:
        samples = known.get(item.id)
        if samples is None:
            continue
        median = statistics.median(samples)
        deviation = 1.4826 * statistics.median(abs(sample - median) for sample in samples)  # of a normal distribution
        allowed_s = pace * (median + max(NOISE * deviation, LEAST_SLOWDOWN * median)) + LEAST_SLOWDOWN_S
        if item.final.duration_s > allowed_s:
            found.append(Slower(id=item.id, before_s=median, now_s=item.final.duration_s))
    yield from sorted(found, key=lambda slower: (slower.before_s - slower.now_s, slower.id))


def _pace(passed: list[TestResult], known: Mapping[str, tuple[float, ...]]) -> float:
    """How much slower this machine is as a whole: the median of all cases that take long enough to tell; at least 1."""
    ratios = []
    for item in passed:
        median = statistics.median(known.get(item.id, (0.0,)))
        if median >= _STEADY_S:
            ratios.append(item.final.duration_s / median)
    return max(1.0, statistics.median(ratios)) if len(ratios) >= _LEAST_STEADY else 1.0
