"""Badges as files: shields.io's endpoint JSON, and a small SVG of our own for code that shields.io cannot reach."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape

from dt_action.model.report import Badge
from dt_action.reports.formats.text import one_line

_HEX = {
    **{"brightgreen": "#3fb950", "green": "#57ab5a", "yellowgreen": "#9ab341", "yellow": "#d4a72c"},
    **{"orange": "#e0823d", "red": "#e5534b", "blue": "#539bf5", "lightgrey": "#8b949e"},
}
_NARROW, _WIDE = frozenset("fijlrt.,:;|!'()[]/ 1I"), frozenset("mwMW%@")


def files(badges: Iterable[Badge]) -> dict[str, bytes]:
    """The files of badges by name: `<name>.json` for shields.io, and `<name>.svg` as its twin."""
    made: dict[str, bytes] = {}
    for badge in badges:
        made[f"{badge.name}.json"] = endpoint(badge)
        made[f"{badge.name}.svg"] = svg(badge)
    return made


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


def _width(text: str) -> int:
    """Pixels at 11 px Verdana, near enough for a box around the text."""
    return 10 + round(sum(4.4 if sign in _NARROW else 9.6 if sign in _WIDE else 7.0 for sign in text))
