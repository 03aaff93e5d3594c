"""Files that somebody left in folders, as messages: in pieces, within limits, under names that lead nowhere else."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from typing import Any, Dict, Iterator, List, Sequence, Tuple

CHUNK_BYTES = 192 * 1024
MOST_FILES = 200
MOST_LOOKED_AT = 5_000
"""A test may leave a whole installation in its `tmp_path`; the rest of it is not even counted."""


def messages_of(roots: Sequence[Tuple[str, str]], limit: int) -> Iterator[Dict[str, Any]]:
    """
    The fields of `artifact` messages for the files below each folder of `roots`, which has a name to put before them.

    At most `limit` bytes of `MOST_FILES` files are told, the smallest first; a last message says what was left out.
    """
    files = sorted(file for prefix, root in roots for file in _files(prefix, root))
    room, left_out = limit, []
    for number, (size, name, path) in enumerate(files):
        if number >= MOST_FILES or size > room:
            left_out.append(name)
            continue
        room -= size
        with contextlib.suppress(OSError):  # gone meanwhile, or not for us to read
            yield from _pieces(name, path)
    if left_out:
        shown = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
        text = "%d files were left out (%s): at most %d bytes of %d files are kept of a test"
        yield {"note": text % (len(left_out), shown, limit, MOST_FILES)}


def clear(folder: str) -> None:
    """Empty a folder, and make it again where it is gone. What cannot be removed stays."""
    try:
        entries = [*os.scandir(folder)]
    except OSError:
        entries = []
    for entry in entries:
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)


def _pieces(name: str, path: str) -> Iterator[Dict[str, Any]]:
    with open(path, "rb") as file:
        is_first = True
        while True:
            piece = file.read(CHUNK_BYTES)
            if piece or is_first:
                yield {"name": name, "first": is_first, "data": base64.b64encode(piece).decode("ascii")}
            if len(piece) < CHUNK_BYTES:
                return
            is_first = False


def _files(prefix: str, root: str) -> Iterator[Tuple[int, str, str]]:
    """Size, name and path of each regular file; links are not followed, sockets and pipes are none of our business."""
    waiting: List[Tuple[str, str]] = [(prefix, root)]
    seen = 0
    while waiting:
        name, folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            inside = "%s/%s" % (name, entry.name) if name else entry.name
            seen += 1
            if seen > MOST_LOOKED_AT:
                return
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((inside, entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield entry.stat(follow_symlinks=False).st_size, inside, entry.path
