"""The early end of a run: each slot may tear down what its test has set up, and tells where the test was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dt_action.engine.inputs import Cancel
from dt_action.engine.slots import Slot
from dt_action.model.case import Attempt
from dt_action.model.slot_protocol import Interrupted

GRACE_S = 10.0
"""So long a test's fixtures may take to tear down. GitHub ends a cancelled job 10 s after it was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """Where an interrupt met a case: on which slot, after how many seconds, and at which line, if the slot told it."""

    case: str
    slot: str
    worker: str
    duration_s: float
    where: str = ""


def met_by(slots: Iterable[Slot], now: float) -> list[Met]:
    """The cases that run now, but for those of which only the teardown is left."""
    return [
        Met(case=slot.running, slot=slot.name, worker=slot.worker, duration_s=max(0.0, now - slot.since))
        for slot in slots
        if slot.running and not slot.is_held
    ]


def attempt_met(met: Met, status: str, reason: str) -> Attempt:
    """What came of a case that an early end met: it is to blame where time ran out, and lost without blame else."""
    place = f", at {met.where}" if met.where else ""
    return Attempt(
        outcome="timeout" if status == "timeout" else "lost",
        message=f"{reason}: it had run for {met.duration_s:.3g} s{place}",
        duration_s=met.duration_s,
        worker=met.worker,
        slot=met.slot,
    )


class Interrupting:
    """What is known of an early end that is under way; `asked` is None where there is none."""

    def __init__(self) -> None:
        self.asked: Cancel | None = None
        self._until = 0.0
        self._met: dict[str, Met] = {}

    def begin(self, asked: Cancel, met: Iterable[Met], now: float) -> None:
        """The slots are asked to leave; these are the cases that they run."""
        self.asked = asked
        self._until = now + GRACE_S
        self._met = {found.slot: found for found in met}

    def heard(self, running: Iterable[Met], slot: str, told: Interrupted) -> None:
        """A slot told where the interrupt met its case, which may have begun while it was on its way."""
        for found in running:
            if found.slot == slot and found.case == told.id:
                self._met[slot] = replace(found, where=told.where, duration_s=told.duration_s)

    def is_due(self, now: float, *, has_living: bool) -> bool:
        """True where the run is to end now: all slots have left, or had their time."""
        return self.asked is not None and (not has_living or now >= self._until)

    @property
    def met(self) -> Mapping[str, Met]:
        """By case, where it was."""
        return {found.case: found for found in self._met.values()}
