"""What takes too long: a test or import that is over its time, a slow test that is told, and what it holds up."""

from __future__ import annotations

import math

from dt_action.engine.actions import Action, Kill, Limits, Tell
from dt_action.engine.dealing import Dealer
from dt_action.engine.singles import Singles
from dt_action.engine.slots import Slot
from dt_action.model.event import Notice

SLOW_S = 60.0
SLOWER = 20.0
"""A case is told to be slow where it takes so many seconds, and so many times as long as expected."""


class Overtime:
    """Looks at what each slot does now, whenever time has passed."""

    def __init__(self, limits: Limits, dealer: Dealer, singles: Singles) -> None:
        self._limits = limits
        self._dealer = dealer
        self._singles = singles

    def check(self, now: float) -> list[Action]:
        """End what is over its time, tell what is slow, and take back what an overlong test holds up."""
        actions: list[Action] = []
        for state in self._dealer.slots.values():
            if state.since == math.inf and not state.is_held:  # it has work again; the teardown counts from here
                state.since = now
                self._dealer.has_learnt = True
            reason = "" if state.is_doomed else self._why_overdue(state, now)
            if reason:
                state.is_doomed = True
                actions.append(Kill(slot=state.name, outcome="timeout", reason=reason))
            elif state.running:
                actions += self._slow(state, now)
            if not state.is_doomed and state.running and (state.credit or now >= state.overstays_at):
                actions += self._dealer.hold_up(state, now)
        return actions

    def _why_overdue(self, state: Slot, now: float) -> str:
        is_collecting = state.collecting is not None or bool(state.importing)
        if state.is_held or not (state.running or is_collecting):
            return ""
        limit_s = self._limits.collect_timeout_s if is_collecting else self._limits.case_timeout_s
        if state.limit_s is not None and not is_collecting:
            limit_s = state.limit_s
        if limit_s is not None and now - state.since >= limit_s:
            return f"took longer than its timeout of {limit_s:g} s"
        silent_s = self._limits.no_output_timeout_s
        if silent_s is not None and now - max(state.heard_at, state.since) >= silent_s:
            return f"printed nothing for {silent_s:g} s"
        return ""

    def _slow(self, state: Slot, now: float) -> list[Action]:
        """Tell of a case that takes far longer than expected, and again after four times as long."""
        runs_s, known_s = now - state.since, state.pace.known(state.running)
        if state.is_held or runs_s < max(SLOW_S, SLOWER * (known_s or 0.0), 4 * state.told_s):
            return []
        state.told_s = runs_s
        fixture = self._singles.waits_for(state.name)
        doing = f", and sets up the fixture {fixture}" if fixture else ""
        expected = f", where {known_s:.2g} s was expected" if known_s is not None else ""
        place = f"on {state.name}{expected}{doing}"
        return [Tell(Notice(level="info", text=f"{state.running} has run for {runs_s:.0f} s {place}"))]
