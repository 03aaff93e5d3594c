"""What becomes of what a slot held when its process is gone: who is blamed, and what is for others."""

from __future__ import annotations

from dataclasses import replace

from dt_action.engine.actions import Action, Tell
from dt_action.engine.slots import Slot
from dt_action.engine.verdicts import Verdicts
from dt_action.model.case import Attempt
from dt_action.model.event import Notice


class Losses:
    """Deals out again what slots left behind. `suspects` are the files whose import ended a process."""

    def __init__(self, verdicts: Verdicts) -> None:
        self.suspects: set[str] = set()
        self._verdicts = verdicts

    def blame(self, state: Slot, attempt: Attempt, now: float) -> list[Action]:
        """
        The file that was imported, else the case that was running, is blamed by the attempt.

        A process that died while it did neither leaves all that it held under suspicion: it is dealt out again in
        halves, until one case is left to blame.
        """
        actions: list[Action] = []
        suspect = state.collecting
        if state.importing:
            self.suspects.add(state.importing)
        elif suspect is not None:
            actions += self._verdicts.strike(suspect, attempt, halve=False)
        elif state.running:
            timed = replace(attempt, duration_s=max(0.0, now - state.since))
            actions += self._verdicts.conclude(state.running, timed, now=now)
        elif not state.has_work and not state.is_leaving:
            text = f"{state.name}: {attempt.message}, while it held no test"
            actions.append(Tell(Notice(level="warning", text=text)))
        for piece in state.unfinished(self._verdicts.pieces):
            is_cleared = suspect is not None or bool(state.running)
            actions += self._verdicts.admit(piece) if is_cleared else self._verdicts.strike(piece, attempt, halve=True)
        return actions

    def take_back(self, state: Slot) -> list[Action]:
        """Nothing is to blame: what the slot has not finished is for others."""
        running = [state.running] if state.running and not state.collecting else []
        actions = self._verdicts.admit_cases(state.file_of(running[0]), running) if running else []
        pieces = [*state.unfinished(self._verdicts.pieces), *([state.collecting] if state.collecting else [])]
        return [*actions, *(action for piece in pieces for action in self._verdicts.admit(piece))]
