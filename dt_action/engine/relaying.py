"""Which word of a slot is which call of the dispatcher, or which event for those who listen."""

from __future__ import annotations

from dt_action.engine.actions import Action
from dt_action.engine.attempts import attempt_of
from dt_action.engine.brain import Dispatcher
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt
from dt_action.model.event import Event, PropertyRecorded, Warned, WorkerJoined
from dt_action.model.hardware import Capability


def pass_on(brain: Dispatcher, slot: str, message: protocol.Message, *, at: float, now: float) -> list[Action]:
    """Pass on what a slot told while it worked. `at` is when, in Unix time."""
    match message:
        case protocol.Started():
            return brain.case_started(slot, message.id, now, at=at)
        case protocol.Finished():
            return brain.case_finished(slot, message.id, attempt_of(message), now, made_files=message.made_files)
        case protocol.Importing():
            return brain.importing(slot, message.file, now)
        case protocol.Collecting():
            return brain.collecting(slot, message.file, now)
        case protocol.Collected():
            return brain.collected(slot, message, now)
        case protocol.Uncollectable():
            attempt = Attempt(outcome="error", message=message.message, detail=message.detail, slot=slot)
            return brain.uncollectable(slot, message.id, attempt, now)
        case protocol.FileSkipped():
            return brain.file_skipped(slot, message.file, message.reason)
        case protocol.Printed():
            return brain.note_output(slot, now)
        case protocol.Exit():
            return brain.cancel("stopped", message.reason, now, is_wanted=True)
        case protocol.Ready() | protocol.Collection() | protocol.Alone() | protocol.NeedsController():
            return brain.distrusted(slot, "expected no second start of the session", now)
        case protocol.Configured() | protocol.NodeConfigured():
            return brain.distrusted(slot, f"expected no word of a controller session, found {message.word}", now)
        case protocol.Garbled():
            return brain.distrusted(slot, message.what, now)
    return []


def event_of(told: protocol.Warned | protocol.SuiteProperty) -> Event:
    """What of a session is for those who listen to the run, and concerns no decision."""
    if isinstance(told, protocol.SuiteProperty):
        return PropertyRecorded(name=told.name, value=told.value)
    return Warned(category=told.category, text=told.text, file=told.file, line=told.line, case=told.id)


def worker_joined(worker: str, capability: Capability, told: protocol.Ready, *, slots: int) -> WorkerJoined:
    """The first process of a worker is there, and told what it runs in."""
    return WorkerJoined(
        worker=worker,
        slots=slots,
        capability=capability,
        environment=f"{capability.platform}, Python {told.python}, pytest {told.pytest}",
        cache=told.cache,
    )
