"""
What a process does until it has collected that forked slots would share, where others would have their own.

A slot that is started by itself makes its own folders, connections and random numbers. Slots that are forked have those
of the process that collected, and each of them would tear them down. So a process may be forked where it has read and
computed, and done nothing else. What follows from the answer to "which slot is this" would be wrong in the others, too.
"""

from __future__ import annotations

import os
import random
import sys
from typing import Any, Dict

SLOT_VARIABLE = "PYTEST_XDIST_WORKER"

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CACHES = frozenset(("__pycache__", ".pytest_cache", ".dt_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"))
"""Folders that any number of processes write into, each of them what all would write."""

ASKED = frozenset(("git", "hg", "ldconfig", "ldd", "gcc", "cc", "clang", "objdump", "uname", "lsb_release", "file"))
ASKED |= {"nvidia-smi", "rocm-smi", "lscpu", "sysctl", "which"}
"""Programs that are asked something while modules are imported, and leave nothing behind."""

MAKES = frozenset(("os.rename", "os.symlink", "os.link"))
REMOVES = frozenset(("os.rmdir", "os.remove"))
MOST_MADE = 1000
CONNECTIONS = {"socket.bind": "binds a socket", "socket.connect": "connects a socket"}
PROGRAMS = frozenset(("subprocess.Popen", "os.posix_spawn", "os.spawn", "os.exec"))
_STANDARD = (os.path.dirname(os.__file__) + os.sep, "<frozen")
_INSTALLED = os.sep + "site-packages" + os.sep
_HARMLESS = ("_pytest.", "pluggy.", "execnet.", "_dt_runner")
"""Modules that know themselves that there are several processes."""


class Watch:
    """
    Listens until `stop`.

    `found` is the first thing that was done and cannot be undone, in words; `left` tells what was made and is there
    still. `scratch` is the host's own folder.
    """

    def __init__(self, scratch: str) -> None:
        self.found = ""
        self._made: Dict[str, str] = {}
        self.seeds_random = False
        self._scratch = scratch
        self._is_on = True
        self._environ_kind: Any = type(os.environ)
        self._getpid, self._seed = os.getpid, random.seed
        watch = self

        class WatchedEnviron(self._environ_kind):  # type: ignore[name-defined,misc]
            def __getitem__(self, key: Any) -> Any:
                watch.asked_for(key, SLOT_VARIABLE)
                return super().__getitem__(key)

        def getpid() -> int:
            if not _is_standard(sys._getframe(1)):
                watch._note("asks for the number of its process")
            return watch._getpid()

        def seed(*args: Any, **options: Any) -> None:
            watch.seeds_random = bool(args or options)
            watch._seed(*args, **options)

        os.environ.__class__ = WatchedEnviron
        os.getpid, random.seed = self._watched = (getpid, seed)
        sys.addaudithook(self._hear)

    def workerinput(self, values: Dict[str, Any]) -> Dict[str, Any]:
        """What xdist's workers know of themselves, as a dictionary that tells when it is asked which one it is."""
        watch = self

        class WatchedInput(dict):  # type: ignore[type-arg]
            def __getitem__(self, key: Any) -> Any:
                watch.asked_for(key, "workerid")
                return dict.__getitem__(self, key)

            def get(self, key: Any, default: Any = None) -> Any:
                watch.asked_for(key, "workerid")
                return dict.get(self, key, default)

        return WatchedInput(values)

    @property
    def left(self) -> str:
        """What has been made, in words; what was removed again is of no concern."""
        return next((what for path, what in self._made.items() if os.path.lexists(path)), "")

    def stop(self) -> None:
        """Everything is as it was."""
        self._is_on = False
        os.environ.__class__ = self._environ_kind
        if os.getpid is self._watched[0]:
            os.getpid = self._getpid
        if random.seed is self._watched[1]:
            random.seed = self._seed

    def asked_for(self, key: Any, watched: str) -> None:
        """Something was asked for by its name."""
        if key == watched:
            self._note("asks which slot it is")

    def _hear(self, event: str, args: Any) -> None:
        """See `sys.addaudithook`: a hook can only be switched off, and must be quick."""
        if not self._is_on or self.found:
            return
        if event == "open":
            if args[2] & WRITES:
                self._touched("writes", args[0])
        elif event == "os.mkdir":
            path = _where(args[0], args[2])
            if not os.path.isdir(path):
                self._touched("makes", path)
        elif event in MAKES:
            self._touched("makes", _where(args[1], args[-1]))
        elif event in REMOVES:
            path = _where(args[0], args[1])
            if path not in self._made and os.path.dirname(path) not in self._made:
                self._touched("removes", path)
        else:
            self._hear_of_others(event, args)

    def _hear_of_others(self, event: str, args: Any) -> None:
        """Connections and programs."""
        if event in CONNECTIONS:
            self._note(CONNECTIONS[event])
        elif event in PROGRAMS:
            program = os.path.basename(_text(args[0] or (args[1] or [""])[0]))
            if program not in ASKED:
                self._note("starts %s" % program)
        elif event == "os.system":
            self._note("starts a shell")
        elif event == "sqlite3.connect" and args[0] != ":memory:":
            self._note("opens the database %s" % _text(args[0]))

    def _touched(self, verb: str, path: Any) -> None:
        full = _where(path)
        if isinstance(path, int) or full in (os.devnull, "/dev/tty"):
            return
        if full.startswith(self._scratch) or (sys.pycache_prefix and full.startswith(sys.pycache_prefix)):
            return
        if not CACHES.isdisjoint(full.split(os.sep)):
            return
        what = self._blamed("%s %s" % (verb, full))
        if what and verb != "removes" and not os.path.lexists(full) and len(self._made) < MOST_MADE:
            self._made[full] = what
        elif what:
            self.found = what

    def _note(self, what: str) -> None:
        if self._is_on and not self.found:
            self.found = self._blamed(what)

    def _blamed(self, what: str) -> str:
        """What the module did that is to blame, also where a module of Python's own did it for it; empty for none."""
        frame: Any = sys._getframe(2)
        while frame is not None and _is_standard(frame):
            if frame.f_code.co_name == "_get_default_tempdir":  # it tries where files can be made
                return ""
            frame = frame.f_back
        name = frame.f_globals.get("__name__", "") if frame is not None else ""
        return "" if name.startswith(_HARMLESS) else "%s %s" % (name or "something", what)


def _is_standard(frame: Any) -> bool:
    file = frame.f_code.co_filename
    return file == __file__ or (file.startswith(_STANDARD) and _INSTALLED not in file)


def _where(path: Any, folder: int = -1) -> str:
    """The whole path; `folder` is the descriptor of the folder that it starts in, where that is not the current one."""
    text = _text(path)
    if folder >= 0:
        try:
            text = os.path.join(os.readlink("/proc/self/fd/%d" % folder), text)
        except OSError:
            return text
    return os.path.abspath(text)


def _text(value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError:
        return repr(value)
