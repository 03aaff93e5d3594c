"""What becomes of cases: in which pieces they wait, whether they are tried again, and who is blamed in the end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from dt_action.engine.actions import Action, Tell
from dt_action.engine.backlog import Backlog
from dt_action.engine.ledger import Entry, Ledger
from dt_action.engine.misplaced import placement_miss
from dt_action.engine.pace import Pace
from dt_action.engine.pieces import Piece
from dt_action.engine.slots import Slot
from dt_action.model.case import Attempt
from dt_action.model.event import CaseFinished, CaseUnplaced, Notice
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.holding import demand_of

MOST_STRIKES = 2
"""So many processes may die with a piece in hand and nothing better to blame, before the piece is blamed."""


class Verdicts:
    """Books in the ledger what came of cases, tells of it, and lets wait in the backlog what is to run (again)."""

    def __init__(self, ledger: Ledger, backlog: Backlog, pace: Pace, *, now: float) -> None:
        self.last_case_at = now
        self._ledger = ledger
        self._backlog = backlog
        self._pace = pace
        self._blind: set[str] = set()

    def may_move(self, case: str, worker: str, *, lacks: Collection[str] = ()) -> bool:
        """True where a slot of `worker`, which `lacks` the tests of some files, may take the case over from another."""
        entry = self._ledger[case]
        if entry.case.file in lacks or self._ledger.spanning_group_of(case):
            return False
        requirement = entry.case.requirement
        may_run = self._backlog.may_run(worker, requirement) and worker not in entry.failed_on
        return may_run and not requirement.exclusive and not self._backlog.demands(worker, requirement)

    # --- pieces that wait -----------------------------------------------------------------------------------------

    def pieces(self, file: str, cases: Sequence[str]) -> list[Piece]:
        """
        Pieces of cases of one file: together is what needs the same and failed on the same workers.

        What is in a group with cases of other files is apart. What takes something of its worker while it runs is by
        itself, so that it has that no longer than it must.
        """
        groups: dict[tuple[Requirement, frozenset[str], str], list[str]] = {}
        for case in cases:
            entry = self._ledger[case]
            requirement, alone = entry.case.requirement, self._ledger.spanning_group_of(case)
            if not demand_of(requirement).is_nothing and self._backlog.lending.anybody_lends(requirement):
                alone = entry.group or case
            groups.setdefault((requirement, entry.failed_on, alone), []).append(case)
        return [self._piece(file, members) for members in groups.values()]

    def admit(self, piece: Piece) -> list[Action]:
        """Let a piece wait for a slot, or say at once that no worker can run it."""
        reason = self._backlog.why_nobody(piece)
        if not reason:
            self._backlog.add(piece)
            return []
        ids = self._ids_of(piece)
        self._ledger.close_file(piece.file, piece.part)
        ids = tuple(id for id in ids if not self._ledger[id].is_final)
        for id in ids:
            self._ledger.finish(id)
        return [Tell(CaseUnplaced(case=self._ledger[id].case, reason=reason)) for id in ids]

    def admit_cases(self, file: str, cases: Sequence[str]) -> list[Action]:
        """Let cases of a file wait for other slots than the one that told of them."""
        return [action for piece in self.pieces(file, cases) for action in self.admit(piece)]

    def judge_again(self) -> list[Action]:
        """The workers changed: say of what waits, and none of them can run, that it is unplaced."""
        return [action for piece in self._backlog.drain() for action in self.admit(piece)]

    # --- what was tried -------------------------------------------------------------------------------------------

    def conclude(
        self, case: str, attempt: Attempt, *, now: float, final: bool = False, by: Slot | None = None
    ) -> list[Action]:
        """
        An attempt at a case is over: the case has its outcome, or is tried again. One that is final stays so.

        It is tried again `by` the slot that ran it, at once, where that is given; else by whoever comes.
        """
        entry = self._ledger[case]
        if entry.is_final:
            return []
        self.last_case_at = now
        elsewhere = self._send_elsewhere(entry, attempt)
        if elsewhere:
            return elsewhere
        will_retry = self._ledger.conclude(case, attempt, worker=attempt.worker, final=final)
        told = Tell(CaseFinished(case=entry.case, attempt=attempt, will_retry=will_retry))
        if will_retry and by is not None:
            by.try_again(case)
            return [told]
        return [told, *self.admit_cases(entry.case.file, [case])] if will_retry else [told]

    def _send_elsewhere(self, entry: Entry, attempt: Attempt) -> list[Action]:
        """A case that skipped itself for a device that another worker has is run there, once."""
        capability = self._seen_by(attempt)
        if attempt.outcome != "skipped" or entry.was_sent_elsewhere or capability is None:
            return []
        miss = placement_miss(entry.case, attempt, capability)
        if miss is None or not self._backlog.anybody(miss.wanted):
            return []
        told: list[Action] = [Tell(CaseFinished(case=entry.case, attempt=attempt, will_retry=True))]
        if miss.blind not in self._blind:
            self._blind.add(miss.blind)
            text = (
                f"{entry.case.id} skipped itself on {attempt.worker} and is run again where it finds {miss.wanted}: "
                f"{miss.blind} (`dt explain {entry.case.file}`; a mark or pragma says it outright)"
            )
            told.append(Tell(Notice(level="warning", text=text)))
        self._ledger.send_elsewhere(entry, miss.wanted)
        return [*told, *self.admit_cases(entry.case.file, [entry.case.id])]

    def _seen_by(self, attempt: Attempt) -> Capability | None:
        """The worker, as the process of the attempt saw it."""
        capability = self._backlog.capabilities.get(attempt.worker)
        lending = self._backlog.lending
        if capability is None or not lending.lends(attempt.worker) or lending.sees(attempt.slot):
            return capability
        return capability.without_devices()

    def blame(self, id: str, attempt: Attempt, *, now: float, final: bool = False) -> list[Action]:
        """A file, folder or class cannot be collected, or lets no process start. It is told once."""
        if id in self._ledger:
            return []
        self._ledger.register_file(id)
        return self.conclude(id, attempt, now=now, final=final)

    def strike(self, piece: Piece, attempt: Attempt, *, halve: bool) -> list[Action]:
        """A process died with this piece in hand: try it again, in halves where that helps, and in the end blame it."""
        strikes = piece.strikes + 1
        halves: tuple[tuple[str, ...], ...] = (piece.cases,)
        if halve and len(piece.cases) > 1:
            middle = len(piece.cases) // 2
            halves = piece.cases[:middle], piece.cases[middle:]
        elif strikes >= MOST_STRIKES:
            blamed = self._ids_of(piece)
            self._ledger.close_file(piece.file, piece.part)
            return [action for id in blamed for action in self.conclude(id, attempt, now=self.last_case_at)]
        return [
            action
            for half in halves
            for action in self.admit(
                replace(piece, cases=half, strikes=strikes, is_whole=piece.is_whole and half == piece.cases)
            )
        ]

    def _ids_of(self, piece: Piece) -> tuple[str, ...]:
        """Its cases; of a file whose cases are not known, the file."""
        return piece.cases or (self._ledger.register_file(piece.file).id,)

    def _piece(self, file: str, cases: Sequence[str]) -> Piece:
        entry = self._ledger[cases[0]]
        return Piece(
            file=file,
            needs=self._ledger.needs_of(file),
            cases=tuple(cases),
            requirement=entry.case.requirement,
            expected_s=sum(self._pace.of_case(file, case) for case in cases),
            avoid=entry.failed_on,
            group=self._ledger.spanning_group_of(cases[0]),
            is_timed=all(self._pace.known(case) is not None for case in cases),
        )
