"""What the controller session is told of a run, and what slots are told from it. Pure: events in, actions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from dt_action.engine.actions import Action, Send, StartController, Tell
from dt_action.model import slot_protocol as protocol
from dt_action.model.event import CaseFinished, FileCollected, Notice, SessionOver
from dt_action.model.slot_protocol import CONTROLLER, Warned


class Controlling:
    """
    The one controller session of a run, where there is one.

    `is_possible` tells that the fleet can start its process; where it cannot, slots that ask for it begin without, and
    a notice names what will not work. `reasons` say what would miss it. Slots that are about to begin wait until it has
    said what they are given.
    """

    def __init__(self, *, is_possible: bool) -> None:
        self.state: Literal["none", "starting", "configured", "ended"] = "none"
        self.reasons: tuple[str, ...] = ()
        self._is_possible = is_possible
        self._waiting: list[str] = []
        self._nodes: set[str] = set()
        self._confirming: set[str] = set()
        self._begin = protocol.Begin()
        self._outputs: dict[str, object] = {}
        self._count = 0

    @property
    def is_open(self) -> bool:
        """True while the session listens."""
        return self.state == "configured"

    @property
    def is_missed(self) -> bool:
        """True where somebody would notice that there is no such session, whether there is one or not."""
        return self.state != "none"

    def needed(self, slot: str, reasons: Sequence[str], *, confirms: bool = False) -> list[Action]:
        """A slot is about to be configured, and would miss the session. One that `confirms` looks like the only one."""
        if confirms:
            self._confirming.add(slot)
        if not self._is_possible or self.state == "ended":
            told: list[Action] = []
            if reasons and self.state == "none":
                text = f"there is no controller session on this fleet, for which {'; '.join(reasons)}"
                told.append(Tell(Notice(level="warning", text=text)))
                self.state = "ended"
            return [*told, Send(slot=slot, command=protocol.Begin(reports=False, looks_alone=confirms))]
        if self.state == "configured":
            return self._configure(slot)
        self._waiting.append(slot)
        if self.state == "none":
            self.state, self.reasons = "starting", tuple(reasons)
            return [StartController()]
        return []

    def hear(self, message: protocol.Message) -> list[Action]:
        """The session told something."""
        match message:
            case protocol.Configured():
                self.state = "configured"
                self._begin = protocol.Begin(options=message.options, environ=message.environ)
                waiting, self._waiting = self._waiting, []
                begins = [action for slot in waiting for action in self._configure(slot)]
                return [*told_at_start(message.header), *begins]
            case protocol.NodeConfigured():
                begin = replace(
                    self._begin, workerinput=message.workerinput, looks_alone=message.slot in self._confirming
                )
                return [Send(slot=message.slot, command=begin)]
            case protocol.SessionEnded() if self.state == "configured":
                self.state = "ended"
                return [Tell(session_over(CONTROLLER, message))]
        return []

    def died(self, reason: str) -> list[Action]:
        """Its process is gone. Slots that wait for it begin without it."""
        was_open, self.state = self.state != "ended", "ended"
        waiting, self._waiting = self._waiting, []
        actions: list[Action] = [Send(slot=slot, command=protocol.Begin(reports=False)) for slot in waiting]
        if was_open:
            actions.append(Tell(SessionOver(session=CONTROLLER, status=1, is_gate=True, error=reason)))
        return actions

    def slot_heard(self, slot: str, message: protocol.Message) -> list[Action]:
        """A slot told something that the session is to hear of."""
        if not self.is_open or slot not in self._nodes:
            return []
        match message:
            case protocol.Ready():
                return [_to_controller(protocol.NodeReady(slot=slot))]
            case protocol.Uncollectable() | protocol.FileSkipped() if message.report:
                return [_to_controller(protocol.ReplayCollect(report=message.report))]
            case protocol.Warned() if message.full and message.when != "config":  # it has its own of these
                return [_to_controller(protocol.ReplayWarning(warning=message))]
            case protocol.SuiteProperty():
                return [_to_controller(protocol.ReplayProperty(name=message.name, value=message.value))]
            case protocol.Output():
                self._outputs[slot] = message.workeroutput
        return []

    def slot_gone(self, slot: str, error: str = "") -> list[Action]:
        """A slot's process ended; `error` says how, where it should not have."""
        if slot in self._waiting:
            self._waiting.remove(slot)
        if not self.is_open or slot not in self._nodes:
            return []
        self._nodes.discard(slot)
        output = self._outputs.pop(slot, None)
        return [
            _to_controller(protocol.NodeDown(slot=slot, workeroutput=output, error="" if output is not None else error))
        ]

    def hear_event(self, event: object) -> list[Action]:
        """The run tells an event: what of it plain pytest would tell its plugins."""
        if not self.is_open:
            return []
        match event:
            case FileCollected() if event.cases:
                self._count += len(event.cases)
                return [_to_controller(protocol.Counted(count=self._count))]
            case CaseFinished() if not event.will_retry and event.case.id != event.case.file:
                attempt = event.attempt
                if attempt.reports:
                    replay = protocol.ReplayCase(id=event.case.id, slot=attempt.slot, reports=attempt.reports)
                    return [_to_controller(replay)]
                text = "\n".join(filter(None, (attempt.message, attempt.detail)))
                return [_to_controller(protocol.ReplayCrash(id=event.case.id, text=text, slot=attempt.slot))]
        return []

    def stop(self) -> list[Action]:
        """Nothing follows: the session should end."""
        return [_to_controller(protocol.Stop())] if self.is_open else []

    def _configure(self, slot: str) -> list[Action]:
        self._nodes.add(slot)
        return [_to_controller(protocol.ConfigureNode(slot=slot))]


class EarlyWarnings:
    """
    Warnings of what each slot does for itself, configuring and collecting, told as often as one process has them.

    That is as often as the slot has them that has them most often.
    """

    def __init__(self) -> None:
        self._told: Counter[Warned] = Counter()
        self._heard: Counter[tuple[str, Warned]] = Counter()

    def is_repeated(self, slot: str, warning: Warned) -> bool:
        """True where another slot has given the warning that `slot` now gives."""
        if warning.when not in ("config", "collect"):
            return False
        self._heard[slot, warning] += 1
        if self._heard[slot, warning] <= self._told[warning]:
            return True
        self._told[warning] += 1
        return False


def told_at_start(header: str) -> list[Tell]:
    """What plugins say at the start of a session, a line each."""
    return [Tell(Notice(level="info", text=line)) for line in header.splitlines() if line.strip()]


def session_over(session: str, message: protocol.SessionEnded) -> SessionOver:
    """How a session of pytest ended, for those who listen to the run."""
    return SessionOver(
        session=session,
        status=message.status,
        is_gate=message.gate,
        exit_code=message.exit_code,
        summary=message.summary,
        error=message.error,
    )


def _to_controller(command: protocol.ToController) -> Send:
    return Send(slot=CONTROLLER, command=command)
