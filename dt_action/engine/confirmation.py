"""The process in which doubtful failures run once more, within a run: when and where it starts, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dt_action.engine.actions import Kill, Output, Send, Tell
from dt_action.engine.brain import Dispatcher
from dt_action.engine.confirming import Confirming, Settled
from dt_action.engine.controlling import Controlling
from dt_action.engine.interrupting import Interrupting
from dt_action.engine.outbox import Outbox
from dt_action.engine.processes import Process, Processes
from dt_action.model import slot_protocol as protocol
from dt_action.model.event import OrderDependent
from dt_action.model.slot_protocol import Died


class Confirmation:
    """Carries doubts from the dispatcher to `Confirming`, and back. `has_learnt` is as in `RunState`."""

    def __init__(
        self,
        processes: Processes,
        outbox: Outbox,
        controlling: Controlling,
        interrupting: Interrupting,
        *,
        budget_s: float,
    ) -> None:
        self.has_learnt = False
        self._processes = processes
        self._outbox = outbox
        self._controlling = controlling
        self._interrupting = interrupting
        self._confirming = Confirming(budget_s=budget_s)
        self._worker = ""
        self._has_waited_for_place = False
        self._dependent: set[str] = set()

    def wants_process_on(self, worker: str) -> bool:
        """True where a process that confirms is to be started on the worker."""
        return self._confirming.wants_process and worker == self._worker

    def started(self, slot: str, worker: str, now: float) -> None:
        """The process that was wanted is `slot`."""
        self._confirming.started(slot, worker, now)

    def tick(self, brain: Dispatcher, room: Mapping[str, int], now: float) -> list[Output]:
        """
        Run doubtful failures as plain pytest would, in the place of a slot that has nothing else to do.

        `room` is how many places each worker has left.
        """
        self.has_learnt = False
        outputs: list[Output] = []
        if self._confirming.is_under_way:
            outputs = self._settle(brain, self._confirming.tick(now), now)
        elif brain.can_confirm:
            doubts = brain.doubts.waiting()
            self._worker = doubts[0].attempt.worker  # where it failed, since another one may have other devices
            here = [doubt for doubt in doubts if doubt.attempt.worker == self._worker]
            outputs = self._settle(brain, self._confirming.begin(here, brain.order, brain.doubts.seconds_of), now)
            self.has_learnt, self._has_waited_for_place = True, False
        if not self._confirming.wants_process or brain.is_finished or self._interrupting.asked:
            return outputs
        if self._worker not in room:
            return outputs + self._settle(brain, self._confirming.give_up(), now)
        if room[self._worker] <= 0 or self._has_waited_for_place:
            outputs += self._outbox.follow(brain.dismiss_idle(self._worker, now))
        self.has_learnt |= not self._has_waited_for_place
        self._has_waited_for_place = True
        return outputs

    def hear(
        self, brain: Dispatcher, slot: str, process: Process, message: protocol.Message, now: float
    ) -> list[Output]:
        """
        A process that runs failures once more told something.

        Where there is a controller session, it is a node of it: by itself it would write, and first clear away, what
        the reports of the whole run go to. What it collects has been told.
        """
        outputs: list[Output] = []
        match message:
            case Died():
                del self._processes[slot]
                outputs = self._outbox.follow(self._controlling.slot_gone(slot, message.reason))
                outputs += self._outbox.follow(brain.process_gone(slot, now))
            case protocol.NeedsController():
                outputs = self._outbox.follow(self._controlling.needed(slot, message.reasons, confirms=True))
            case protocol.Ready() | protocol.Output():
                outputs = self._outbox.follow(self._controlling.slot_heard(slot, message))
        return outputs + self._settle(brain, self._confirming.hear(message, sent=process.sent), now)

    def lost(self, brain: Dispatcher, process: Process, reason: str, now: float) -> list[Output]:
        """The process that confirms is gone with its worker."""
        died = Died(reason=reason, how="lost")
        return self._settle(brain, self._confirming.hear(died, sent=process.sent), now)

    def _settle(self, brain: Dispatcher, outputs: Sequence[Send | Kill | Settled], now: float) -> list[Output]:
        done: list[Output] = []
        for output in outputs:
            if not isinstance(output, Settled):
                done += self._outbox.follow([output])
                continue
            doubt = output.doubt
            if output.passes and doubt.file not in self._dependent:
                self._dependent.add(doubt.file)
                done.append(Tell(OrderDependent(file=doubt.file, was_split=doubt.was_split)))
            done += self._outbox.follow(brain.settle(doubt.case, output.attempt, now))
        return done
