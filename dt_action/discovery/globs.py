"""Globs over paths with forward slashes, as people write them; and pytest's own way of matching, which differs."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterable

Matcher = Callable[[str, str], bool]
"""Takes a file's name and its full path."""


def slashes(path: str, separator: str = os.sep) -> str:
    """The path with forward slashes; a backslash stays where it is part of a name."""
    return path.replace("\\", "/") if separator == "\\" else path


def glob_regex(glob: str, separator: str = os.sep) -> re.Pattern[str]:
    """
    A pattern for whole paths with forward slashes.

    `**` spans directories, `*` and `?` stay within one. A glob without a slash matches the name in any directory.
    """
    glob = slashes(glob, separator).removeprefix("./")
    if "/" not in glob:
        glob = f"**/{glob}"
    pieces = re.findall(r"\*\*/|\*\*|\*|\?|\[(?:!.|[^!])[^\]]*\]|.", glob, flags=re.DOTALL)
    return re.compile("".join(_piece(piece) for piece in pieces) + r"\Z", flags=re.DOTALL)


def _piece(piece: str) -> str:
    wild = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    if piece in wild:
        return wild[piece]
    if piece.startswith("[") and len(piece) > 2:
        return _one_of(piece[1:-1])
    return re.escape(piece)


def _one_of(inside: str) -> str:
    """What stands in brackets, as fnmatch reads it: no character of it is special but `!` and `-`; never a slash."""
    is_negated = inside.startswith("!")
    members = re.findall(r"(.)-(.)|(.)", inside[is_negated:], flags=re.DOTALL)
    allowed = "".join(
        re.escape(single) if single else f"{re.escape(first)}-{re.escape(last)}"
        for first, last, single in members
        if single or first <= last
    )
    if is_negated:
        return f"[^/{allowed}]"
    return f"(?!/)[{allowed}]" if allowed else "(?!)"


def pytest_matcher(globs: Iterable[str], separator: str = os.sep) -> Matcher:
    """
    Match as pytest's `python_files` and `norecursedirs` do (_pytest/pathlib.py, fnmatch_ex).

    A glob without a separator matches the name; one with a separator matches the end of the full path, and `*`
    spans directories.
    """
    by_name, by_path = [], []
    for glob in globs:
        if separator == "\\" and separator not in glob:
            glob = glob.replace("/", separator)  # noqa: PLW2901 - the same glob in the platform's words
        if separator not in glob:
            by_name.append(glob)
        else:
            by_path.append(glob if os.path.isabs(glob) else f"*{separator}{glob}")  # noqa: PTH117 - text, not a file
    name, path = _either(by_name), _either(by_path)
    normcase = os.path.normcase
    return lambda of_name, of_path: bool((name and name(normcase(of_name))) or (path and path(normcase(of_path))))


def _either(globs: list[str]) -> Callable[[str], object] | None:
    if not globs:
        return None
    return re.compile("|".join(fnmatch.translate(os.path.normcase(glob)) for glob in globs)).match
