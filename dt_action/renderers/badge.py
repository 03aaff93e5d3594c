"""Badges: what a README shows of a run, as values, as shields.io's endpoint JSON and as a small SVG of our own."""

from __future__ import annotations

import json
import re
from html import escape

from dt_action.formats.text import one_line
from dt_action.model.case import TestResult
from dt_action.model.report import Badge
from dt_action.model.run import Run, Totals

_COLORS = {"passed": "brightgreen", "failed": "red", "cancelled": "lightgrey", "timeout": "orange"}
_HEX = {
    **{"brightgreen": "#3fb950", "green": "#57ab5a", "yellowgreen": "#9ab341", "yellow": "#d4a72c"},
    **{"orange": "#e0823d", "red": "#e5534b", "blue": "#539bf5", "lightgrey": "#8b949e"},
}
_NARROW, _WIDE = frozenset("fijlrt.,:;|!'()[]/ 1I"), frozenset("mwMW%@")


def badges(run: Run) -> tuple[Badge, ...]:
    """`combined-status`, one `<type>-status` for each test type in the run, and `coverage` where it was measured."""
    conclusion = run.conclusion()
    message = _counts(run.totals()) if conclusion in ("passed", "failed") else conclusion
    made = [Badge(name="combined-status", label="tests", message=message, color=_COLORS.get(conclusion, "orange"))]
    by_type: dict[str, list[TestResult]] = {}
    for result in run.results:
        if result.case.test_type:
            by_type.setdefault(result.case.test_type, []).append(result)
    missing = {item.case.test_type for item in run.unplaced}
    for test_type in sorted(by_type.keys() | (missing - {""})):
        made.append(_type_badge(test_type, tuple(by_type.get(test_type, ())), is_whole=test_type not in missing))
    if run.coverage:
        percent = run.coverage.percent
        made.append(Badge(name="coverage", label="coverage", message=percentage(percent), color=_grade(percent)))
    return tuple(made)


def endpoint(badge: Badge) -> bytes:
    """
    What https://img.shields.io/endpoint reads. It refuses a key that it does not know, and an empty message.

    The URL must be https and not on github.com itself; raw.githubusercontent.com and GitLab Pages are fine.
    """
    values = {"schemaVersion": 1, "label": badge.label, "message": badge.message or "unknown", "color": badge.color}
    return (json.dumps(values, indent=1) + "\n").encode("ascii")


def svg(badge: Badge) -> bytes:
    """The badge as a picture, for a private repository, whose JSON shields.io cannot reach."""
    label, message = escape(one_line(badge.label, 40)), escape(one_line(badge.message, 60))
    left, right = _width(badge.label), _width(badge.message)
    color = _HEX.get(badge.color, "#8b949e")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {message}"><title>{label}: {message}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="4"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{color}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">{label}</text><text x="{left + right / 2:g}" y="14">{message}</text>'
        "</g></svg>\n"
    ).encode()


def percentage(percent: float) -> str:
    """One digit after the point at most; never rounded up to 100, never down to 0."""
    shown = f"{percent:.1f}".removesuffix(".0")
    if shown == "100" and percent < 100:
        return "99.9%"
    return "0.1%" if shown == "0" and percent > 0 else f"{shown}%"


def _type_badge(test_type: str, results: tuple[TestResult, ...], *, is_whole: bool) -> Badge:
    totals = Run(id="", results=results).totals()
    whole = is_whole and not totals.lost
    color = "red" if totals.failing else "brightgreen" if whole else "orange"
    message = _counts(totals) if whole or totals.failing else "incomplete"
    name = re.sub(r"[^A-Za-z0-9]+", "-", test_type).strip("-").lower() or "type"
    return Badge(name=f"{name}-status", label=one_line(test_type, 40), message=message, color=color)


def _counts(totals: Totals) -> str:
    passed = totals.passed + totals.xpassed
    return f"{passed:,} passed, {totals.failing:,} failed" if totals.failing else f"{passed:,} passed"


def _grade(percent: float) -> str:
    floors = ((95, "brightgreen"), (85, "green"), (75, "yellowgreen"), (60, "yellow"), (40, "orange"))
    return next((color for floor, color in floors if percent >= floor), "red")


def _width(text: str) -> int:
    """Pixels at 11 px Verdana, near enough for a box around the text."""
    return 10 + round(sum(4.4 if sign in _NARROW else 9.6 if sign in _WIDE else 7.0 for sign in text))
