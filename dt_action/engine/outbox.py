"""From what is decided to what is done: processes are marked, and the controller session hears what concerns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dt_action.engine.actions import Action, Kill, Output, Send, Tell
from dt_action.engine.controlling import Controlling
from dt_action.engine.interrupting import Interrupting
from dt_action.engine.processes import Processes
from dt_action.model import slot_protocol as protocol
from dt_action.model.event import CaseFinished, Ended, FilesKnown


class Outbox:
    """What goes out of a run's state. `ended` is its last word, which waits until the sessions have ended."""

    def __init__(self, processes: Processes, controlling: Controlling, interrupting: Interrupting) -> None:
        self.ended: Ended | None = None
        self._processes = processes
        self._controlling = controlling
        self._interrupting = interrupting

    def follow(self, actions: Sequence[Action]) -> list[Output]:
        """What is to be done, in order."""
        outputs: list[Output] = []
        for action in actions:
            match action:
                case Tell(Ended() as ended):
                    self.ended = ended  # it is the last word, and the sessions are still to end
                    continue
                case Tell(FilesKnown() as known):
                    outputs.append(Tell(replace(known, controller=self._controlling.reasons)))
                    continue
                case Tell(event):
                    outputs += self.follow(self._controlling.hear_event(event))
                    if isinstance(event, CaseFinished) and event.attempt.reports:
                        event = replace(event, attempt=replace(event.attempt, reports=()))
                    outputs.append(Tell(event))
                    continue
                case Kill() if action.slot in self._processes:
                    self._processes[action.slot].kill = action
                case Send(command=protocol.Assign() | protocol.Grant()) if self._interrupting.asked:
                    continue
                case Send() if action.slot in self._processes:
                    process = self._processes[action.slot]
                    process.sent += 1
                    if isinstance(action.command, protocol.Interrupt) and not self._interrupting.asked:
                        process.is_stopped = process.is_evicted = True
            outputs.append(action)
        return outputs
