"""The process from which the slots of a host are forked, once it has collected (`runner.forking` is the other end)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from dt_action.hosts.ending import UNKNOWN, kill_group
from dt_action.hosts.slot_line import Line
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import Exited, Forked
from dt_action.workspace import caches

IS_POSSIBLE = sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")
"""Elsewhere there is no fork (Windows), or the system's own libraries do not survive it (macOS)."""

PAYS_FROM_SLOTS = 4
"""With fewer slots, one process collects while the others could have done so beside it (docs/performance.md)."""

REFUSAL_S = 7 * 86400
"""So long it is remembered that a project's process could not be forked; it may have changed."""


class Handle(Protocol):
    """A process, as far as `subprocess.Popen` and `ForkedProcess` are alike."""

    @property
    def pid(self) -> int:
        """Its number, which is its process group's as well."""

    def poll(self) -> int | None:
        """The exit code, the negative number of the signal that ended it, or None while it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal to this process alone."""

    def kill(self) -> None:
        """End it."""


class ForkedProcess:
    """A process that another one forks for us, with `line` to us; `pid` is 0 until that one has told of it."""

    def __init__(self, line: socket.socket, is_orphan: Callable[[], bool]) -> None:
        self.line = line
        self.pid = 0
        self.pidfd = -1
        self.returncode: int | None = None
        self._is_orphan = is_orphan
        self._is_doomed = False

    @property
    def is_waiting(self) -> bool:
        """True until the other process is told to fork it, and gets the line."""
        return self.line.fileno() >= 0

    def started(self, pid: int) -> None:
        """It is the process `pid`."""
        self.pid = pid
        with contextlib.suppress(OSError):  # it has ended already, and how is told next
            self.pidfd = os.pidfd_open(pid)
        if self._is_doomed:
            self.kill()

    def poll(self) -> int | None:
        """See `Handle`; its parent tells how it ended."""
        if self.returncode is None:
            if self.is_waiting:
                self.returncode = -signal.SIGKILL if self._is_doomed else None
            elif self._is_orphan() and self._is_gone(0.0):
                self.returncode = UNKNOWN
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """See `Handle`; `UNKNOWN` where its parent has not told yet how it ended."""
        if self.returncode is None and not self._is_gone(timeout):
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return UNKNOWN if self.returncode is None else self.returncode

    def send_signal(self, sig: int) -> None:
        """See `Handle`."""
        if self.pidfd >= 0:
            signal.pidfd_send_signal(self.pidfd, sig)

    def kill(self) -> None:
        """End it now, or as soon as it is there."""
        self._is_doomed = True
        with contextlib.suppress(OSError):
            self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Nothing more will be asked of it."""
        self.line.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def _is_gone(self, timeout: float | None) -> bool:
        if self.pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))


@dataclass(slots=True)
class Template:
    """
    The process that slots are forked from.

    The first slot's process collects, and while it is `collecting` the others wait. Then it is `ready`: from now on it
    is nobody's slot, and forks one whenever it is told to, the first one's included. Where it must not be forked, or
    has died, the state is `over`.
    """

    state: Literal["absent", "collecting", "ready", "over"] = "absent"
    process: Handle | None = None
    line: Line | None = None
    _control: socket.socket = field(default_factory=socket.socket)
    _forked: dict[str, ForkedProcess] = field(default_factory=dict)

    def begin(self) -> socket.socket:
        """A process is about to be started that collects for all. Returns what it is to inherit."""
        self.state = "collecting"
        self._control, theirs = socket.socketpair()
        return theirs

    def give_up(self) -> None:
        """It is an ordinary slot, or dead."""
        self.state = "over"
        self._control.close()

    def lost(self) -> None:
        """The process that collected has died of it: another one may try."""
        self.state = "absent"
        self._control.close()

    def ready(self, process: Handle, line: Line) -> None:
        """The process forks from now on, and tells over `line` of those that it forked."""
        self.state, self.process, self.line = "ready", process, line

    def fork(self, slot: str, process: ForkedProcess, log: Path) -> None:
        """Make `process` the slot's; what it prints goes to `log`."""
        self._forked[slot] = process
        with process.line as line, log.open("ab") as output:
            files = [line.fileno(), output.fileno()]
            with contextlib.suppress(OSError):  # it has died, which is heard next
                socket.send_fds(self._control, [json.dumps({"slot": slot}).encode()], files)

    def hear(self) -> bool:
        """Take in what it told of the processes that it forked; whether that was the last."""
        if self.line is None:
            return False
        fresh, is_over = self.line.receive()
        for message in self.line.messages(fresh):
            match message:
                case Forked() if message.slot in self._forked:
                    self._forked[message.slot].started(message.pid)
                case Exited() if message.slot in self._forked:
                    self._forked.pop(message.slot).returncode = message.code
        if is_over:
            self.give_up()
        return is_over

    def is_gone(self) -> bool:
        """True where nobody will tell any more of what it forked."""
        return self.state == "over"

    def close(self, *, reap_s: float) -> None:
        """End the process, after all slots."""
        self.give_up()
        if self.line is not None:
            self.line.sock.close()
        if self.process is not None:
            kill_group(self.process.pid)
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=reap_s)


# --- whether to fork --------------------------------------------------------------------------------------------------


def is_wanted(start: PytestStart, root: Path, python: str) -> bool:
    """Whether the slots of a run are to be forked, as far as that is known before one has collected."""
    if not IS_POSSIBLE or start.start_method == "spawn" or start.slots == 1 or start.measures:
        return False
    if start.start_method == "fork":
        return True
    pays = start.slots >= PAYS_FROM_SLOTS or start.isolation in ("file", "test")
    return pays and not _refused(root, python)


def _note(root: Path) -> Path:
    return root / caches.FOLDER / "fork_refused.json"


def remember_refusal(root: Path, python: str, reason: str) -> None:
    """Keep for the next runs that this project's process cannot be forked: they need not wait for one to learn it."""
    with contextlib.suppress(OSError):
        caches.make_folder(_note(root).parent)
        _note(root).write_text(json.dumps({"python": python, "reason": reason}), "utf-8")


def _refused(root: Path, python: str) -> bool:
    note = _note(root)
    try:
        found = json.loads(note.read_text("utf-8"))
        is_fresh = time.time() - note.stat().st_mtime < REFUSAL_S
    except (OSError, ValueError):
        return False
    return is_fresh and isinstance(found, dict) and found.get("python") == python
