"""Markdown cut to a number of bytes without breaking it, for sinks that drop or refuse what is too long."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_DETAILS = re.compile(r"<(/?)details\b[^>]*>", re.IGNORECASE)


def fit(text: str, budget_bytes: int, note: str) -> str:
    """
    Cut `text` to at most `budget_bytes` of UTF-8, ending with `note` (one line) where something was left out.

    The cut lies between blocks: a table is kept whole or left out, a fence and every `<details>` are closed. A block
    that alone is too long, such as one huge fence, is cut at a line. The answer is empty where not even the note fits.
    """
    if _size(text) <= budget_bytes:
        return text
    ending = f"\n\n{note}\n"
    if _size(ending) > budget_bytes:
        return ""
    kept = _Kept()
    room = budget_bytes - _size(ending)
    for line in text.splitlines():
        if not kept.take(line, room):
            break
    return kept.closed() + ending


def cut_bytes(text: str, budget_bytes: int) -> str:
    """The longest start of `text` that is at most `budget_bytes` of UTF-8; no character is cut in half."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= budget_bytes else data[: max(budget_bytes, 0)].decode("utf-8", "ignore")


class _Kept:
    """The lines that are kept so far, and what they leave open."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.fence = ""
        self.details = 0
        self.table_from: int | None = None

    def take(self, line: str, room: int) -> bool:
        """Keep a line if it and the closing of all that is open still fit."""
        fence, details = self._after(line)
        if self.size + _size(line) + 1 + _closing_size(fence, details) > room:
            self._drop_half_table(line)
            return False
        is_row = not self.fence and line.lstrip().startswith("|")
        if not is_row:
            self.table_from = None
        elif self.table_from is None:
            self.table_from = len(self.lines)
        self.lines.append(line)
        self.size += _size(line) + 1
        self.fence, self.details = fence, details
        return True

    def closed(self) -> str:
        """What is kept, with everything closed."""
        lines = [*self.lines]
        if self.fence:
            lines.append(self.fence)
        lines += ["", "</details>"] * self.details
        return "\n".join(lines).rstrip()

    def _after(self, line: str) -> tuple[str, int]:
        found = _FENCE.match(line)
        if self.fence:
            closes = found and found[1].startswith(self.fence) and not found[2].strip()
            return ("" if closes else self.fence), self.details
        if found:
            return found[1], self.details
        change = sum(-1 if slash else 1 for slash in _DETAILS.findall(line))
        return "", max(self.details + change, 0)

    def _drop_half_table(self, next_line: str) -> None:
        if self.table_from is not None and next_line.lstrip().startswith("|"):
            del self.lines[self.table_from :]


def _closing_size(fence: str, details: int) -> int:
    return (len(fence) + 1 if fence else 0) + details * len("\n\n</details>\n")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
