"""The few colours that this project's own words wear on a terminal."""

from __future__ import annotations

from collections.abc import Mapping

_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
CONCLUSION_COLORS = {"passed": "green", "failed": "red"}
OUTCOME_COLORS = {"passed": "green", "xpassed": "green", "skipped": "yellow", "xfailed": "yellow"}


def wants_color(environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """NO_COLOR (https://no-color.org) outranks FORCE_COLOR (https://force-color.org), which outranks the stream."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return is_terminal and environment.get("TERM") != "dumb"


def paint(text: str, *styles: str, color: bool) -> str:
    """`text` in the named styles where `color` is true."""
    codes = ";".join(_CODES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m" if color and codes and text else text
