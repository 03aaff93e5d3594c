"""How planned files, and cases that are collected, become pieces that wait; and how much work is left of them."""

from __future__ import annotations

from collections.abc import Sequence

from dt_action.engine.actions import Action
from dt_action.engine.ledger import Ledger
from dt_action.engine.lending import Lending
from dt_action.engine.pace import Pace
from dt_action.engine.pieces import Piece, parts_of
from dt_action.engine.verdicts import Verdicts
from dt_action.model.hardware import Requirement
from dt_action.model.holding import demand_of
from dt_action.model.plan import PlannedFile

EARLY_SHARE = 0.1
"""A file with a case longer than this part of a slot's share starts early: at the end, others would wait for it."""


class Intake:
    """Lets work wait for slots. `left_s` is about how many seconds of it are still to be run."""

    def __init__(self, ledger: Ledger, lending: Lending, pace: Pace, verdicts: Verdicts) -> None:
        self.left_s = 0.0
        self._ledger = ledger
        self._lending = lending
        self._pace = pace
        self._verdicts = verdicts

    def open(self, files: Sequence[PlannedFile], places: int) -> list[Action]:
        """Let files that are collected in their turn wait for slots, of which there will be about so many."""
        self.left_s += sum(file.expected_s for file in files)
        share_s = self.left_s / places
        actions: list[Action] = []
        for file in files:
            longest_s = max(file.cases_s.values(), default=0.0)
            parts = parts_of(file.needs, self._takes) if self._takes_something(file) else [(file.needs, None)]
            if len(parts) > 1:
                self._ledger.divide(file.path, [part for _, part in parts])
            for needs, part in parts:
                cases_s = [seconds for case, seconds in file.cases_s.items() if part is None or part.has(case)]
                is_timed = bool(cases_s) and not file.chosen and file.portion is None
                piece = Piece(
                    file=file.path,
                    needs=needs,
                    requirement=needs.default,
                    expected_s=sum(cases_s) if is_timed and len(parts) > 1 else file.expected_s / len(parts),
                    is_timed=is_timed,
                    chosen=file.chosen,
                    portion=file.portion,
                    goes_first=file.goes_first or longest_s > EARLY_SHARE * share_s,
                    part=part if len(parts) > 1 else None,
                )
                actions += self._verdicts.admit(piece)
        return actions

    def _takes_something(self, file: PlannedFile) -> bool:
        return any(self._takes(requirement) for requirement in (file.needs.default, *file.needs.cases.values()))

    def _takes(self, requirement: Requirement) -> bool:
        """True for tests that take something of their worker while they run."""
        return not demand_of(requirement).is_nothing and self._lending.anybody_lends(requirement)

    def needs_devices(self, file: PlannedFile) -> bool:
        """True where tests of the file see devices, so that each part of it is collected by who sees the same."""
        needs = (file.needs.default, *file.needs.cases.values())
        return any(demand_of(need).width and self._takes(need) for need in needs)

    def open_cases(self, segments: Sequence[tuple[PlannedFile, Sequence[str], bool]], places: int) -> list[Action]:
        """
        Let cases that are all known wait for slots, in pytest's order.

        A segment is cases of one file that follow each other, and whether they are all there is of the file.
        """
        self.left_s += sum(self._pace.of_case(file.path, case) for file, cases, _ in segments for case in cases)
        share_s = self.left_s / places
        actions: list[Action] = []
        for file, cases, is_whole in segments:
            longest_s = max((self._pace.of_case(file.path, case) for case in cases), default=0.0)
            goes_first = file.goes_first or (file.is_measured and longest_s > EARLY_SHARE * share_s)
            pieces = self._verdicts.pieces(file.path, cases)
            for piece in pieces:
                piece.in_order = True
                piece.goes_first = goes_first
                piece.is_whole = is_whole and len(pieces) == 1
                actions += self._verdicts.admit(piece)
        return actions

    def learn(self, file: str, case: str, duration_s: float) -> None:
        """A case took so long: so much less is left, and others of its file may take as long."""
        self.left_s = max(0.0, self.left_s - self._pace.of_case(file, case))
        self._pace.learn(file, duration_s)
