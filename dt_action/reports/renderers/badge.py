"""Badges: what a README shows of a run, as values; `formats.shields` makes files of them."""

from __future__ import annotations

import re
from dataclasses import replace

from dt_action.model.case import TestResult
from dt_action.model.report import Badge
from dt_action.model.run import Run
from dt_action.reports.formats.text import one_line

_COLORS = {"passed": "brightgreen", "failed": "red", "cancelled": "lightgrey", "timeout": "orange"}


def badges(run: Run) -> tuple[Badge, ...]:
    """`combined-status`, one `<type>-status` for each test type in the run, and `coverage` where it was measured."""
    conclusion = run.conclusion()
    message = _counts(run) if conclusion in ("passed", "failed") else conclusion
    made = [Badge(name="combined-status", label="tests", message=message, color=_COLORS.get(conclusion, "orange"))]
    by_type: dict[str, list[TestResult]] = {}
    for result in run.results:
        if result.case.test_type:
            by_type.setdefault(result.case.test_type, []).append(result)
    missing = {item.case.test_type for item in run.unplaced}
    for test_type in sorted(by_type.keys() | (missing - {""})):
        made.append(
            _type_badge(test_type, replace(run, results=tuple(by_type.get(test_type, ()))), test_type not in missing)
        )
    if run.coverage:
        percent = run.coverage.percent
        made.append(Badge(name="coverage", label="coverage", message=percentage(percent), color=grade(percent)))
    return tuple(made)


def percentage(percent: float) -> str:
    """One digit after the point at most; never rounded up to 100, never down to 0."""
    shown = f"{percent:.1f}".removesuffix(".0")
    if shown == "100" and percent < 100:
        return "99.9%"
    return "0.1%" if shown == "0" and percent > 0 else f"{shown}%"


def _type_badge(test_type: str, run: Run, has_all: bool) -> Badge:
    """`run` holds the results of this type alone; `has_all` tells that a worker was found for each."""
    whole, failing = has_all and not run.totals().lost, bool(run.failures())
    color = "red" if failing else "brightgreen" if whole else "orange"
    message = _counts(run) if whole or failing else "incomplete"
    name = re.sub(r"[^A-Za-z0-9]+", "-", test_type).strip("-").lower() or "type"
    return Badge(name=f"{name}-status", label=one_line(test_type, 40), message=message, color=color)


def _counts(run: Run) -> str:
    """Failures that are tolerated are not told: the badge says what the run's colour stands for."""
    totals, failing = run.totals(), len(run.failures())
    passed = totals.passed + totals.xpassed
    return f"{passed:,} passed, {failing:,} failed" if failing else f"{passed:,} passed"


def grade(percent: float) -> str:
    """The colour that a coverage in percent deserves."""
    floors = ((95, "brightgreen"), (85, "green"), (75, "yellowgreen"), (60, "yellow"), (40, "orange"))
    return next((color for floor, color in floors if percent >= floor), "red")
