"""The end of a run of which nothing more is to be run: the sessions end, the controller's last, and then it is over."""

from __future__ import annotations

from dt_action.engine.actions import Output, Tell
from dt_action.engine.controlling import Controlling
from dt_action.engine.outbox import Outbox
from dt_action.engine.processes import Processes

STOP_GRACE_S = 5.0
SAVE_GRACE_S = 60.0
"""A process that measures coverage, or whose plugins write reports, has something to do before it ends."""


class Closing:
    """Waits for sessions to end, but not for ever. The run `is_over` once its end is told."""

    def __init__(self, processes: Processes, outbox: Outbox, controlling: Controlling) -> None:
        self.is_over = False
        self._processes = processes
        self._outbox = outbox
        self._controlling = controlling
        self._closes_by: float | None = None
        self._controller_by: float | None = None

    @property
    def has_begun(self) -> bool:
        """True from `begin` on."""
        return self._closes_by is not None

    def begin(self, now: float, *, has_reports: bool) -> None:
        """The slots are told to stop; `has_reports` tells that some of them write, or decide the run's status."""
        self._closes_by = now + (SAVE_GRACE_S if has_reports else STOP_GRACE_S)

    def go_on(self, now: float) -> list[Output]:
        """Go on as far as the sessions have ended, or had their time."""
        ended = self._outbox.ended
        if self._closes_by is None or ended is None or (self._processes and now < self._closes_by):
            return []
        outputs: list[Output] = []
        if self._controlling.is_open and self._controller_by is None:
            self._controller_by = now + SAVE_GRACE_S
            outputs = self._outbox.follow(self._controlling.stop())
        if self._controlling.is_open and self._controller_by is not None and now < self._controller_by:
            return outputs
        self.is_over = True
        return [*outputs, Tell(ended)]
