"""
Whether a test that failed has left new files in the project.

It may pass the next time for them alone: tools for snapshots and regressions fail where what they compare with is
missing, and write it. Such a failure must not be tried again before it is told.
"""

from __future__ import annotations

import os
import time
from typing import Iterator, Tuple

_perf_counter = time.perf_counter  # a test may freeze it

MOST_FOLDERS = 500
"""So many are looked at below the folder of a test."""

MOST_S = 2.0
"""So much time is spent on looking in a whole session, in which thousands of tests may fail."""

COARSE_S = 0.05
"""The clock that dates files may be so far behind."""


class NewFiles:
    """Looks for files in the folder where pytest was started, its rootdir, and below the folder of a test."""

    def __init__(self, *folders: str) -> None:
        self._folders = tuple(dict.fromkeys(os.path.abspath(folder) for folder in folders))
        self._left_s = MOST_S

    def left_by(self, test_file: str, since: float) -> bool:
        """True where a file was made since then (Unix time in seconds) that is still there."""
        if self._left_s <= 0:
            return False
        started = _perf_counter()
        since_ns = int((since - COARSE_S) * 1e9)
        try:
            flat = ((folder, False) for folder in self._folders)
            return any(_has_new(folder, since_ns) for folder in _walk((*flat, (os.path.dirname(test_file), True))))
        finally:
            self._left_s -= _perf_counter() - started


def _walk(starts: Tuple[Tuple[str, bool], ...]) -> Iterator[str]:
    """The folders, with all below those that say so, up to `MOST_FOLDERS`."""
    waiting = list(starts)
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        folder, is_deep = waiting.pop(0)
        yield folder
        if is_deep:
            waiting.extend((entry.path, True) for entry in _entries(folder) if entry.is_dir(follow_symlinks=False))


def _has_new(folder: str, since_ns: int) -> bool:
    """Whether the folder has got a file: then it is changed itself, and most are not."""
    try:
        if os.stat(folder).st_mtime_ns < since_ns:
            return False
        return any(
            entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_ctime_ns >= since_ns
            for entry in _entries(folder)
        )
    except OSError:  # another test removes what is looked at
        return False


def _entries(folder: str) -> Iterator["os.DirEntry[str]"]:
    """What lies in a folder, but for caches and the like."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.name[0] != "." and entry.name != "__pycache__")
    except OSError:
        return
