"""Makes hostile text safe to show or store: test names and messages may hold anything at all."""

from __future__ import annotations

import math
import re
import shlex
from datetime import datetime, timezone

ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-Z\\-_])?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|#x1B\[[0-?]*[ -/]*[@-~]"
)
"""Escape sequences of a terminal, and the form `#x1B[31m` in which pytest's own JUnit writer stores them."""

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Characters that move a cursor, reverse the direction of writing, or cannot be encoded; tab and newline stay."""

_ILLEGAL_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LOG_COMMAND = re.compile(r"##(?=(?:vso|teamcity)?\[)")
_NEEDS_CLEANING = re.compile(_CONTROLS.pattern[:-1] + r"\x1b]|#x1B\[|" + _LOG_COMMAND.pattern)


def strip_ansi(text: str) -> str:
    """Take every terminal escape sequence out of `text`."""
    return ANSI.sub("", text) if "\x1b" in text or "#x1B[" in text or "\x9b" in text else text


def plain(text: str) -> str:
    """
    Text that a terminal or a CI log can only show, not obey; lines end in a newline.

    GitHub's runner obeys `##[command]` anywhere in a line, Azure's `##vso[...]` and TeamCity `##teamcity[...]`, so
    those are broken up; a `::command::` counts at the start of a line alone, where this project prints a word or a
    gutter of its own (https://github.com/actions/runner, `ActionCommand.cs`).
    """
    if not _NEEDS_CLEANING.search(text):
        return text
    text = strip_ansi(text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub(_visible, _LOG_COMMAND.sub("# #", text))


def one_line(text: str, limit: int = 0) -> str:
    """`plain` text with every run of white space as one blank, cut to `limit` characters (0: whole)."""
    line = " ".join(plain(text).split())
    return line if not limit or len(line) <= limit else line[: limit - 1] + "…"


def encodable(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def xml_text(text: str) -> str:
    """Text without terminal escapes and without the characters that XML 1.0 forbids (one makes Jenkins drop a file)."""
    return _ILLEGAL_XML.sub("\ufffd", strip_ansi(text))


def cut_middle(text: str, limit: int) -> str:
    """At most about `limit` characters: the beginning and, twice as long, the end, where a traceback has its point."""
    if len(text) <= limit:
        return text
    head = limit // 3
    left_out = len(text) - limit
    return f"{text[:head]}\n... {left_out:,} characters left out ...\n{text[len(text) - (limit - head) :]}"


def told(message: str, detail: str) -> str:
    """The traceback, with the message before it only where it does not hold it (colours set aside)."""
    said = detail.strip("\n")
    if message and one_line(message) not in one_line(said):
        return f"{message}\n{said}".strip("\n")
    return said


def reproduce(case_id: str) -> str:
    """
    The command that runs one case again, on one line, quoted for bash; `case_id` is seen from where it is to be run.

    The id is in single quotes even where it needs none, so that the command survives being edited.
    """
    word = plain(case_id)
    quoted = shlex.quote(word) if "'" in word else f"'{word}'"
    return "python -m pytest " + quoted.replace("\n", "'$'\\n''")


def size(count: int) -> str:
    """A number of bytes for people: `812 B`, `12 kB`, `3.4 MB`."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def seconds(duration_s: float) -> str:
    """A duration for people: `0.004 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if duration_s < 1:
        return f"{duration_s:.3f} s"
    if duration_s < 120:
        return f"{duration_s:.1f} s"
    if not math.isfinite(duration_s):
        return "unknown time"
    minutes, rest = divmod(round(duration_s), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def iso_time(unix_s: float) -> str:
    """Unix time as `2026-01-31T23:59:59+00:00`; the epoch for a time that no calendar holds."""
    try:
        return datetime.fromtimestamp(unix_s, tz=timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00+00:00"


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else "\ufffd"
