"""From the names that pytest gives to files to where they lie in the repository, and seen from where dt was started."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

_DRIVE = re.compile(r"[A-Za-z]:/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """
    Three folders: the repository's top, the one that dt was started in, and pytest's root, which names files.

    `below` leads from the top down to the root, such as `py`; where the root lies above the top, `above` is the way
    down to that, and names begin with it. `back` leads from the start to the root (`..`), and where that is up, `fro`
    is the way down again. `start` leads from the top to the start. All with forward slashes, empty where two are the
    same folder.
    """

    above: str = ""
    below: str = ""
    back: str = ""
    fro: str = ""
    start: str = ""

    def in_repository(self, file: str) -> str:
        """A file by its path in the repository, as services link to it; empty for one that lies outside."""
        name = file.replace("\\", "/")
        if self.above:
            inside = f"{self.above}/"
            return _inside(name.removeprefix(inside)) if name.startswith(inside) else ""
        return _inside(posixpath.join(self.below, name))

    def of_start(self, file: str) -> str:
        """The same of a file that is named from where dt was started, not from pytest's root."""
        return _inside(posixpath.join(self.start, file.replace("\\", "/")))

    def from_start(self, case: str) -> str:
        """A node id or a file as it is named where dt was started, so that a command there can name it."""
        if self.fro and case.startswith(f"{self.fro}/"):
            return case.removeprefix(f"{self.fro}/")
        file, colons, rest = case.partition("::")
        return f"{posixpath.normpath(posixpath.join(self.back, file))}{colons}{rest}" if self.back else case


def paths_of(*, top: str, start: str, root: str) -> Paths:
    """The paths between three absolute folders whose links are resolved; on Windows all on one drive, or apart."""
    top, start, root = (folder.replace("\\", "/").rstrip("/") or "/" for folder in (top, start, root))
    try:
        down, back = posixpath.relpath(root, top), posixpath.relpath(root, start)
        from_top = posixpath.relpath(start, top)
    except ValueError:
        return Paths()
    is_above = down == ".." or down.startswith("../")
    return Paths(
        above=posixpath.relpath(top, root) if is_above else "",
        below="" if is_above else _empty_for_here(down),
        back=_empty_for_here(back),
        fro=posixpath.relpath(start, root) if set(back.split("/")) == {".."} else "",
        start="" if from_top.startswith("..") else _empty_for_here(from_top),
    )


def _empty_for_here(path: str) -> str:
    return "" if path == "." else path


def _inside(path: str) -> str:
    if path.startswith("/") or _DRIVE.match(path):
        return ""
    path = posixpath.normpath(path)
    return "" if path in (".", "..") or path.startswith("../") else path
