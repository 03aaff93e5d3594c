"""What tests open, list and start, heard by an audit hook: what no syntax tree can tell."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import Any, Dict, Optional, Tuple

_getframe = sys._getframe
_abspath, _realpath = os.path.abspath, os.path.realpath

_STARTS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile"}
)
_HEARD = _STARTS | {"open", "os.listdir", "os.scandir", "sqlite3.connect", "socket.connect", "_winapi.CreateProcess"}
_LOCAL = ("127.", "localhost", "::1", "0.0.0.0")  # noqa: S104 - an address that is connected to, not one that is bound  # nosec B104
_OTHER_PROGRAMS = frozenset({"git", "cat", "ls", "gcc", "cc", "ld", "file", "diff"})
"""They run no Python of the project, but may read any of its files."""

_READING_NOTHING = frozenset(
    {
        *("uname", "which", "id", "hostname", "ps", "kill", "sleep", "echo", "true", "false", "stty", "tput", "clear"),
        *("ldconfig", "lscpu", "sysctl", "sw_vers", "locale"),
    }
)
_SHOWING = frozenset(
    (getattr(traceback.print_exc, "__code__").co_filename, getattr(warnings.formatwarning, "__code__").co_filename)
)
"""They open a source to show a line that was run; who ran it depends on it anyway."""

_OURSELVES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
_READERS_OF_REPORTS = frozenset(
    ("_pytest", "pluggy", "coverage", "pytest_cov", "xdist", "_dt_runner", "pytest_timeout", "constants_ast.py")
)
"""What these open (a source for a traceback, or hypothesis for values to try) is of no concern to a test's outcome."""

IMPORTS = "<imports>"
STANDARD = "<standard>"
REPORTS = "<reports>"
FOREIGN = "*"

_SCRATCH = frozenset((".git", ".dt_cache", ".tox", ".nox", ".hypothesis", ".pytest_cache"))

CHILD, PROGRAM, NETWORK = "child", "program", "network"


class Places:
    """Whose code a file is: the project's (then its path below the top), the standard library's, or another one's."""

    def __init__(self, top: str) -> None:
        self._top = os.path.join(_realpath(top), "")
        self._standard = os.path.dirname(_realpath(os.__file__))
        self._library = os.path.join(os.path.dirname(_abspath(os.__file__)), "")
        self._known: Dict[str, str] = {}

    def inside(self, path: str) -> Optional[str]:
        """The path of a file below the top, with forward slashes; None for a file elsewhere, or in an environment."""
        real = _realpath(path)
        if os.path.join(real, "") == self._top:
            return "."
        if not real.startswith(self._top):
            return None
        way = real[len(self._top) :].replace(os.sep, "/")
        steps = way.split("/")
        if "site-packages" in steps or "dist-packages" in steps or steps[0] in _SCRATCH:
            return None
        return way

    def owner(self, filename: str) -> str:
        """One of the constants above, or the path of a file of the project."""
        known = self._known.get(filename)
        if known is None:
            known = self._known[filename] = self._find(filename)
        return known

    def _find(self, filename: str) -> str:
        if filename.startswith("<frozen importlib"):
            return IMPORTS
        if filename.startswith("<"):
            return STANDARD
        if filename.startswith(self._library) and "-packages" not in filename:
            return STANDARD
        if filename.startswith(_OURSELVES):
            return REPORTS
        inside = self.inside(filename)
        if inside is not None:
            return inside
        steps = filename.replace(os.sep, "/").split("/")
        if steps[-2:] == ["assertion", "rewrite.py"]:
            return IMPORTS
        if not _READERS_OF_REPORTS.isdisjoint(steps):
            return REPORTS
        if "site-packages" in steps or "dist-packages" in steps:
            return FOREIGN
        return STANDARD if _realpath(filename).startswith(self._standard) else FOREIGN


class Observer:
    """
    Hears audit events and tells `note_input(path, how, by)` and `note_trait(trait)` of `listener`.

    `by` is the file of the project, or `FOREIGN`, whose code asked for it, over the standard library. The hook stays
    for the life of the process; `stop` makes it deaf.
    """

    def __init__(self, places: Places, listener: Any) -> None:
        self._places = places
        self._listener = listener
        self._is_deaf = False
        sys.addaudithook(self._hear)

    def stop(self) -> None:
        """Hear nothing any more."""
        self._is_deaf = True

    def _hear(self, event: str, args: Tuple[Any, ...]) -> None:
        if event not in _HEARD or self._is_deaf:
            return
        self._is_deaf = True  # what is done here is heard, too
        try:
            if event == "open":
                self._note_open(*args[:3])
            elif event in ("os.listdir", "os.scandir"):
                self._note_path(args[0] if args else None, "list")
            elif event == "sqlite3.connect":
                self._note_path(args[0] if args else None, "open")
            elif event == "socket.connect":
                self._note_connection(args[1] if len(args) > 1 else None)
            else:
                self._note_start(event, args)
        except Exception:  # an odd argument must not fail a test
            self._listener.note_trait(CHILD)
        finally:
            self._is_deaf = False

    def _note_open(self, path: Any, mode: Any, flags: Any) -> None:
        if isinstance(path, int) or (isinstance(path, str) and path.endswith((".pyc", ".so", ".pyd"))):
            return
        if isinstance(mode, str):
            if "r" not in mode and "+" not in mode:
                return
        elif isinstance(flags, int) and flags & (os.O_WRONLY | getattr(os, "O_DIRECTORY", 0)):
            return
        self._note_path(path, "open")

    def _note_path(self, path: Any, how: str) -> None:
        if isinstance(path, int):
            return
        inside = self._places.inside(_abspath(os.fsdecode(path if path is not None else ".")))
        if inside is None:
            return
        owner = self._asker()
        if owner not in (IMPORTS, REPORTS):
            self._listener.note_input(inside, how, owner)

    def _asker(self) -> str:
        """Whose code asked for what is heard now, over the standard library's."""
        frame: Any = _getframe(2)
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename in _SHOWING:
                return REPORTS
            owner = self._places.owner(filename)
            if owner != STANDARD:
                return owner
            frame = frame.f_back
        return FOREIGN

    def _note_connection(self, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOCAL):
            self._listener.note_trait(NETWORK)

    def _note_start(self, event: str, args: Tuple[Any, ...]) -> None:
        if self._asker() == REPORTS:
            return
        words: Any = ()
        if event in ("subprocess.Popen", "os.posix_spawn", "os.exec") and len(args) > 1:
            words = args[1]
        elif event == "os.system" and args:
            words = args[0]
        if isinstance(words, (list, tuple)) and len(words) == 3 and os.fsdecode(words[1]) == "-c":
            words = words[2]
        if isinstance(words, (str, bytes)):
            words = os.fsdecode(words).split()
        program = os.path.basename(os.fsdecode(words[0])) if words else ""
        if program not in _READING_NOTHING:
            self._listener.note_trait(PROGRAM if program in _OTHER_PROGRAMS else CHILD)
