"""Coloured terminal output as HTML: colours become classes from a fixed list, every other escape is dropped."""

from __future__ import annotations

import re
from html import escape

from dt_action.reports.formats.text import plain

_SGR = re.compile(r"\x1b\[([0-9;]*)m|#x1B\[([0-9;]*)m")
_ERROR_LINE = re.compile(r"^E .*$", re.MULTILINE)
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def ansi_to_html(text: str) -> str:
    """
    `text` with its 16 colours and bold as `<span class="a-red a-bold">`; spans never cross or stay open.

    In text without any colour, the lines in which pytest tells the error (`E   ...`) are red.
    """
    if "\x1b" not in text and "#x1B[" not in text:
        return _ERROR_LINE.sub(r'<span class="a-red">\g<0></span>', escape(plain(text)))
    pieces: list[str] = []
    classes: frozenset[str] = frozenset()
    position = 0
    for match in _SGR.finditer(text):
        pieces.append(_span(text[position : match.start()], classes))
        classes = _after(classes, match.group(1) or match.group(2) or "0")
        position = match.end()
    pieces.append(_span(text[position:], classes))
    return "".join(pieces)


def _span(text: str, classes: frozenset[str]) -> str:
    shown = escape(plain(text))
    return f'<span class="{" ".join(sorted(classes))}">{shown}</span>' if shown and classes else shown


def _after(classes: frozenset[str], codes: str) -> frozenset[str]:
    """What is in force after one escape. 256 and true colours are skipped: they have no class."""
    numbers = [int(code[:3] or 0) for code in codes.split(";")[:32]]
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            classes = frozenset()
        elif number == 1:
            classes |= {"a-bold"}
        elif number in (2, 22):
            classes = classes - {"a-bold"}
        elif number in (38, 48):
            del numbers[: 4 if numbers[:1] == [2] else 2]
        elif 30 <= number <= 37 or 90 <= number <= 97:
            classes = frozenset(name for name in classes if name == "a-bold") | {f"a-{_NAMES[number % 10]}"}
        elif number == 39:
            classes = frozenset(name for name in classes if name == "a-bold")
    return classes
