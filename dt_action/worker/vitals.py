"""How this machine fares, and the last lines of its log: what a worker tells of itself beside its work."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from collections import deque
from pathlib import Path

from dt_action.probes.system import System
from dt_action.remote.wire import Vitals

MOST_LINES = 50
"""So many lines are told at once; older ones that were not told are left out."""

MOST_CHARACTERS = 500


class SelfReport(logging.Handler):
    """
    What a worker tells of itself: its machine's vitals where `folder` names a place on it, and what it logged.

    As a handler it keeps the lines that were not told yet; `confirm` takes away those that have arrived.
    """

    def __init__(self, folder: Path | None = None, system: System | None = None) -> None:
        super().__init__(level=logging.INFO)
        self._folder, self._system = folder, system or System()
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._guard = threading.Lock()
        self._count = 0
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def vitals(self) -> Vitals | None:
        """How the machine fares; None where it is not this one. Never raises."""
        if self._folder is None:
            return None
        load = free = total = 0.0
        with contextlib.suppress(AttributeError, OSError):  # Windows has no load average
            load = os.getloadavg()[0]
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(self._folder)
            free, total = usage.free, usage.total
        memory = _free_memory(self._system)
        return Vitals(load=round(load, 2), memory_free_bytes=memory, disk_free_bytes=int(free), disk_bytes=int(total))

    def emit(self, record: logging.LogRecord) -> None:
        """One more line."""
        text = self.format(record)[:MOST_CHARACTERS].replace("\n", " ")
        with self._guard:
            self._lines.append(text)
            self._count += 1

    def untold(self) -> tuple[tuple[str, ...], int]:
        """The lines, and a number for `confirm`."""
        with self._guard:
            return tuple(self._lines), self._count

    def confirm(self, number: int) -> None:
        """The lines up to this number have arrived."""
        with self._guard:
            for _ in range(len(self._lines) - (self._count - number)):
                self._lines.popleft()


def _free_memory(system: System) -> int:
    """Bytes that programs could still have; 0 where it cannot be told."""
    for line in system.read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
