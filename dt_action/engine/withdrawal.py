"""What is taken away from a slot that has not begun it, so that others can run it, or it waits for what it takes."""

from __future__ import annotations

import itertools

from dt_action.engine.actions import Action, Limits, Send
from dt_action.engine.backlog import Backlog
from dt_action.engine.ledger import Ledger
from dt_action.engine.slots import Slot
from dt_action.engine.verdicts import Verdicts
from dt_action.model.slot_protocol import Drop

LONG_SHARE = 0.1
"""A case is long when it takes this share of what a slot has left, if all work were shared out evenly."""

LONG_TO_COLLECT = 4.0
"""A case is worth collecting its file once more when it takes so many times as long as that."""


class Withdrawal:
    """Takes work out of slots' hands and lets it wait again; each method tells of which."""

    def __init__(self, limits: Limits, ledger: Ledger, backlog: Backlog, verdicts: Verdicts) -> None:
        self._limits = limits
        self._ledger = ledger
        self._backlog = backlog
        self._verdicts = verdicts

    def of_late(self, slot: Slot, file: str, *, fair_s: float) -> list[Action]:
        """
        The long cases of a file just collected that would begin too late to end with all the others.

        `fair_s` is what each slot has left, if all work were shared out evenly. An idle slot would take such cases over
        in the end, but a case that is as long as what is left of the run must begin now.
        """
        worth_s = max(fair_s * LONG_SHARE, self._limits.steal_s, slot.collect_s[file] * LONG_TO_COLLECT)
        late: list[str] = []
        ahead_s = 0.0
        for index, case in enumerate(slot.queue):
            expected_s = slot.expected_s(case)
            is_movable = index >= max(slot.credit, 1) and not self._ledger[case].group
            if is_movable and expected_s > worth_s and ahead_s + expected_s > fair_s:
                late.append(case)
            else:
                ahead_s += expected_s
        if not late:
            return []
        slot.give_up((), late, self._verdicts.pieces)
        admitted = [action for case in late for action in self._verdicts.admit_cases(slot.file_of(case), [case])]
        return [Send(slot=slot.name, command=Drop(cases=tuple(late))), *admitted]

    def of_demanding(self, slot: Slot, file: str) -> list[Action]:
        """What takes something of the worker waits for that case by case, but for what may have begun already."""
        sure = max(slot.credit, 1)
        begun = {self._ledger[case].group for case in itertools.islice(slot.queue, sure)} - {""}
        late = [
            case
            for case in itertools.islice(slot.queue, sure, None)
            if self._ledger[case].group not in begun
            and self._backlog.demands(slot.worker, self._ledger[case].case.requirement)
        ]
        if not late:
            return []
        slot.give_up((), late, self._verdicts.pieces)
        return [Send(slot=slot.name, command=Drop(cases=tuple(late))), *self._verdicts.admit_cases(file, late)]

    def of_barred(self, slot: Slot, barred: frozenset[str]) -> list[Action]:
        """
        What is of the files that are barred to the slot, and may not begin without asking.

        What it may begin it has perhaps prepared for, and fails there; that is no outcome (`Dispatcher.case_finished`).
        """
        cases = tuple(case for case in slot.uncommitted() if slot.file_of(case) in barred)
        held = {slot.file_of(case) for case in slot.queue}
        files = tuple({piece.file: None for piece in slot.spare_pieces() if piece.file in barred - held})
        return self._take_away(slot, cases, files) if cases or files else []

    def of_uncommitted(self, slot: Slot) -> list[Action]:
        """What it may not begin without asking, but for groups that it has begun."""
        group_of = {case: self._ledger[case].group for case in slot.queue}
        stays = {group_of[case] for case in itertools.islice(slot.queue, slot.credit)} | slot.begun_groups
        stays |= {group for group in group_of.values() if self._ledger.spans(group)}
        cases = tuple(case for case in slot.uncommitted() if not group_of[case] or group_of[case] not in stays)
        return self._take_away(slot, cases) if cases else []

    def _take_away(self, slot: Slot, cases: tuple[str, ...], files: tuple[str, ...] = ()) -> list[Action]:
        pieces = slot.give_up(files, cases, self._verdicts.pieces)
        admitted = [action for piece in pieces for action in self._verdicts.admit(piece)]
        return [Send(slot=slot.name, command=Drop(cases=cases, files=files)), *admitted]
