"""Badges: what a README shows of a run, as values; `formats.shields` makes files of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace

from dt_action.model.case import TestResult
from dt_action.model.report import Badge, Standing
from dt_action.model.run import Conclusion, Run, worst
from dt_action.reports.formats.text import one_line

WHOLE = "combined-status"
"""The name of the badge of all tests."""

COVERAGE = "coverage"
"""The name of the badge of the coverage."""

_COLORS: dict[Conclusion, str] = {
    **{"passed": "brightgreen", "failed": "red", "timeout": "orange", "incomplete": "orange"},
    **{"cancelled": "lightgrey", "skipped": "lightgrey", "no-tests": "lightgrey"},
}
_FILE_NAME = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_TAKEN = frozenset({"combined"})


def badges(run: Run) -> tuple[Badge, ...]:
    """`combined-status`, one `<type>-status` for each test type in the run, and `coverage` where it was measured."""
    made = [status_badge(WHOLE, "tests", standing_of(run))]
    made += [status_badge(name_of(name), name, standing) for name, standing in standings_by_type(run).items()]
    if run.coverage:
        made.append(coverage_badge(run.coverage.percent))
    return tuple(made)


def standing_of(run: Run) -> Standing:
    """Failures that are tolerated do not count: the badge says what the run's colour stands for."""
    totals = run.totals()
    return Standing(
        conclusion=run.conclusion(),
        passed=totals.passed + totals.xpassed,
        failed=len(run.failures()),
        skipped=totals.skipped + totals.xfailed,
    )


def standings_by_type(run: Run) -> dict[str, Standing]:
    """
    How the tests of each type stand, by its name. What is missing from the run may be of any type.

    A gate that the run as a whole did not pass says nothing of one type.
    """
    by_type: dict[str, list[TestResult]] = {}
    for result in run.results:
        by_type.setdefault(result.case.test_type, []).append(result)
    names = (by_type.keys() | {item.case.test_type for item in run.unplaced}) - {""}
    return {
        name: standing_of(
            replace(
                run,
                results=tuple(by_type.get(name, ())),
                unplaced=tuple(item for item in run.unplaced if item.case.test_type == name),
                skipped_files=(),
                breaches=(),
            )
        )
        for name in sorted(names)
    }


def together(standings: Iterable[Standing]) -> Standing:
    """Several jobs or legs as one: the counts added up, and the worst that one of them says."""
    all_ = tuple(standings)
    return Standing(
        conclusion=worst(standing.conclusion for standing in all_),
        passed=sum(standing.passed for standing in all_),
        failed=sum(standing.failed for standing in all_),
        skipped=sum(standing.skipped for standing in all_),
    )


def status_badge(name: str, label: str, standing: Standing) -> Badge:
    """The badge of tests that stand so."""
    return Badge(
        name=name,
        label=one_line(label, 40),
        message=_message(standing),
        color=_COLORS[standing.conclusion],
        standing=standing,
    )


def coverage_badge(percent: float) -> Badge:
    """The badge of a coverage in percent."""
    return Badge(name=COVERAGE, label="coverage", message=percentage(percent), color=grade(percent), percent=percent)


def name_of(test_type: str) -> str:
    """
    The name of a type's badge, another one for every other type, also where file names have no case.

    A type that cannot be a file's name as it is gets a digest behind what can be read of it.
    """
    if _FILE_NAME.fullmatch(test_type) and test_type not in _TAKEN and len(test_type) <= 60:
        return f"{test_type}-status"
    readable = re.sub(r"[^a-z0-9]+", "-", test_type.lower()).strip("-")[:40].strip("-") or "type"
    digest = hashlib.sha256(test_type.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{readable}-{digest}-status"


def percentage(percent: float) -> str:
    """One digit after the point at most; never rounded up to 100, never down to 0."""
    shown = f"{percent:.1f}".removesuffix(".0")
    if shown == "100" and percent < 100:
        return "99.9%"
    return "0.1%" if shown == "0" and percent > 0 else f"{shown}%"


def grade(percent: float) -> str:
    """The colour that a coverage in percent deserves."""
    floors = ((95, "brightgreen"), (85, "green"), (75, "yellowgreen"), (60, "yellow"), (40, "orange"))
    return next((color for floor, color in floors if percent >= floor), "red")


def _message(standing: Standing) -> str:
    if standing.failed:
        return f"{standing.passed:,} passed, {standing.failed:,} failed"
    if standing.conclusion in ("passed", "failed"):
        return f"{standing.passed:,} passed"
    if standing.conclusion == "skipped":
        return f"{standing.skipped:,} skipped"
    return "no tests" if standing.conclusion == "no-tests" else standing.conclusion
