"""Which runs somebody follows: one whose client was killed ends after its client timeout, unless it was detached."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from dt_action.coordinator.live_run import LiveRun


class Followers:
    """Who follows runs by their events, all of it on the event loop's thread. Pages of people do not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._last: dict[str, float] = {}

    def note_alive(self, run: str) -> None:
        """A client asked for the run's events."""
        self._last[run] = self._clock()

    @contextmanager
    def following(self, run: str) -> Iterator[None]:
        """A client follows the run for as long as this lasts."""
        self._open[run] += 1
        try:
            yield
        finally:
            self._open[run] -= 1
            if not self._open[run]:
                del self._open[run]
            self.note_alive(run)

    def abandoned(self, runs: Iterable[LiveRun]) -> list[tuple[str, float]]:
        """The runs that nobody has followed for longer than they allow, and for how many seconds."""
        now, found, known = self._clock(), [], set()
        for run in runs:
            known.add(run.id)
            self._last.setdefault(run.id, now)  # it has just begun, or the coordinator has
            most_s = run.submission.client_timeout_s
            silent_s = now - self._last[run.id]
            if most_s is not None and not self._open[run.id] and silent_s > most_s and not run.is_over:
                found.append((run.id, silent_s))
        for gone in self._last.keys() - known:
            del self._last[gone]
        return found
