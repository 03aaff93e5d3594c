"""Badges as files: shields.io's endpoint JSON, and an SVG of the same for private code that shields.io cannot read."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape, quoteattr

from dt_action.formats.markdown_fit import cut_bytes
from dt_action.model.report import Badge

COLORS = {
    "brightgreen": "#4c1",
    "green": "#97ca00",
    "yellowgreen": "#a4a61d",
    "yellow": "#dfb317",
    "orange": "#fe7d37",
    "red": "#e05d44",
    "blue": "#007ec6",
    "lightgrey": "#9f9f9f",
    "grey": "#555",
    "success": "#4c1",
    "important": "#fe7d37",
    "critical": "#e05d44",
    "informational": "#007ec6",
    "inactive": "#9f9f9f",
}
"""shields.io's named colours. What is not among them is drawn as `lightgrey`."""

_LABEL_COLOR = COLORS["grey"]
_PADDING = 5.0
_NARROW = frozenset("fijlrtI.,:;!|'()[] ")
_WIDE = frozenset("mwMWO%@&")


def endpoint_json(badge: Badge) -> str:
    """
    The badge as https://shields.io/badges/endpoint-badge reads it.

    shields.io refuses unknown keys and an empty message, so there are four keys and a message of at least `-`.
    """
    fields = {
        "schemaVersion": 1,
        "label": cut_bytes(badge.label, 200),
        "message": cut_bytes(badge.message, 200) or "-",
        "color": badge.color if badge.color in COLORS else "lightgrey",
    }
    return json.dumps(fields, indent=2, ensure_ascii=True) + "\n"


def svg(badge: Badge) -> str:
    """The badge as a flat SVG without a script, a font or an address of anything elsewhere."""
    label, message = cut_bytes(badge.label, 200), cut_bytes(badge.message, 200) or "-"
    left, right = _width(label) if label else 0.0, _width(message)
    whole = left + right
    color = COLORS.get(badge.color, COLORS["lightgrey"])
    title = f"{label}: {message}" if label else message
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="20" role="img" '
        f"aria-label={quoteattr(title)}>",
        f"<title>{escape(title)}</title>",
        f'<clipPath id="r"><rect width="{whole:.0f}" height="20" rx="3" fill="#fff"/></clipPath>',
        '<g clip-path="url(#r)">',
        f'<rect width="{left:.0f}" height="20" fill="{_LABEL_COLOR}"/>',
        f'<rect x="{left:.0f}" width="{right:.0f}" height="20" fill="{color}"/>',
        "</g>",
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11">',
        _text(label, left / 2, left) if label else "",
        _text(message, left + right / 2, right),
        "</g></svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _text(text: str, center: float, width: float) -> str:
    """The text fills exactly the width that was measured for it, whatever font the viewer has."""
    return f'<text x="{center:.1f}" y="14" textLength="{width - 2 * _PADDING:.1f}">{escape(text)}</text>'


def _width(text: str) -> float:
    """About the pixels that 11 px Verdana takes, with padding on both sides."""
    letters = sum(4.0 if c in _NARROW else 10.0 if c in _WIDE or ord(c) > 0x2E80 else 7.0 for c in text)
    return round(letters + 2 * _PADDING)
