"""Ctrl-C, and the signal by which a CI service cancels a job, as a request that a run heeds; the second one insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")


class Interruption:
    """
    Whether the run is to end early.

    Where somebody heeds it, the first request only asks; a second one raises KeyboardInterrupt, as each does where
    nobody heeds it.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._listeners: list[Callable[[], None]] = []

    def request(self) -> None:
        """Ask for the end. Raises KeyboardInterrupt."""
        if self.is_requested or not self._listeners:
            raise KeyboardInterrupt
        self.is_requested = True
        for listener in self._listeners:
            listener()

    @contextmanager
    def heeded(self, listener: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Within, a request is heeded: `listener` is called, in the midst of anything, and `is_requested` is set."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Within, the signals that ask a program to end are requests."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.request()

        if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
            yield
            return
        known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        before = {number: signal.signal(number, handle) for number in known}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
