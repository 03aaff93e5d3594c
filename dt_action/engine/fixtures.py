"""What is told of fixtures that only one process can have, and which slots are kept off the tests that use them."""

from __future__ import annotations

from collections.abc import Sequence

from dt_action.engine.actions import Action, Send, Tell
from dt_action.engine.dealing import Dealer
from dt_action.engine.losses import Losses
from dt_action.engine.singles import Conflict, Singles
from dt_action.model.event import FixtureIsSingle, Notice
from dt_action.model.slot_protocol import Found, Interrupt, SettingUp


class SingleFixtures:
    """Carries what is found out about such fixtures (`Singles`) to the slots and to those who listen."""

    def __init__(self, singles: Singles, dealer: Dealer, losses: Losses) -> None:
        self._singles = singles
        self._dealer = dealer
        self._losses = losses

    def use(self, file: str, cases: Sequence[Found]) -> list[Action]:
        """Tests of a file use fixtures: those that only one process can have are told."""
        names = dict.fromkeys(name for case in cases for name in case.fixtures)
        return [Tell(FixtureIsSingle(fixture=name, file=file)) for name in self._singles.use(file, tuple(names))]

    def hear(self, slot: str, told: SettingUp, now: float) -> list[Action]:
        """The slot sets up a fixture that lives on, has it, or has it no longer."""
        conflict = self._singles.hear(slot, told, now)
        return self._keep_single(conflict) if conflict is not None else []

    def end_stalled(self, now: float) -> list[Action]:
        """Slots that would wait for ever leave, and what they have not finished is for others. Nothing is to blame."""
        actions: list[Action] = []
        for conflict in [*self._singles.stalled(now)]:
            actions += [*self._keep_single(conflict), Send(slot=conflict.slot, command=Interrupt())]
            state = self._dealer.remove(conflict.slot)
            actions += self._losses.take_back(state) if state is not None else []
        return actions

    def _keep_single(self, conflict: Conflict) -> list[Action]:
        """Only one process can have a fixture: its tests are all for the slot that has it."""
        name, took = conflict.fixture, f"which took {conflict.took_s:.2g} s there"
        what = "waited" if self._singles.waits_for(conflict.slot) else "failed to set it up"
        text = (
            f"only one process can have the fixture {name}: {conflict.slot} {what} (after {conflict.waited_s:.2g} s) "
            f"while {conflict.home} has it, {took}; its tests run in one slot from now on"
        )
        actions: list[Action] = [Tell(Notice(level="warning", text=text))]
        actions += [Tell(FixtureIsSingle(fixture=name, file=file)) for file in self._singles.keep_single(conflict)]
        others = [slot for slot in self._dealer.slots.values() if slot.name != conflict.home]
        return [*actions, *(action for slot in others for action in self._dealer.keep_off(slot))]
