"""Failures that plain pytest might not have, which wait until it is known whether it has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dt_action.engine.actions import Limits
from dt_action.engine.backlog import Backlog
from dt_action.engine.confirming import Doubt, PlainOrder, Segment
from dt_action.engine.ledger import Ledger
from dt_action.model.case import Attempt


class Doubts:
    """The failures that wait, and in which slots the tests of each file ran, since that may have made them fail."""

    def __init__(self, limits: Limits, ledger: Ledger, backlog: Backlog) -> None:
        self._limits = limits
        self._ledger = ledger
        self._backlog = backlog
        self._open: dict[str, Doubt] = {}
        self._ran_in: dict[str, set[str]] = {}
        self._took_s: dict[str, float] = {}
        self._plain_order: PlainOrder | None = None

    def __len__(self) -> int:
        return len(self._open)

    def run_in_one_process(self) -> None:
        """One process runs all tests: what runs in pytest's order there is not doubted."""
        self._plain_order = PlainOrder()

    def expect(self, order: Sequence[Segment]) -> None:
        """All cases in pytest's order are known."""
        if self._plain_order is not None:
            self._plain_order.expect(order)

    def case_started(self, case: str, file: str, slot: str) -> None:
        """The slot runs a case of the file."""
        if self._plain_order is not None:
            self._plain_order.began(slot, case)
        self._ran_in.setdefault(file, set()).add(slot)

    def case_took(self, case: str, duration_s: float) -> None:
        """A case took so long, in seconds."""
        self._took_s[case] = duration_s

    def seconds_of(self, case: str) -> float:
        """The seconds that a case took in this run."""
        return self._took_s.get(case, 0.0)

    def is_doubtful(self, case: str, attempt: Attempt, worker: str) -> bool:
        """True for a failure that plain pytest might not have, where anybody asked to find out."""
        if self._plain_order is not None and self._plain_order.is_kept:
            return False
        is_asked = self._limits.confirm_budget_s > 0 and not self._limits.fail_fast
        if not is_asked or attempt.outcome not in ("failed", "error") or self._ledger.may_retry(case):
            return False
        # One that runs alone with its devices is not run again beside all the others, which have none.
        return not self._backlog.demands(worker, self._ledger[case].case.requirement)

    def add(self, case: str, file: str, attempt: Attempt) -> None:
        """Let a failure wait."""
        self._open[case] = Doubt(case=case, file=file, attempt=attempt, was_split=self._was_split(file))

    def waiting(self) -> list[Doubt]:
        """Those that wait, by what is known now."""
        return [replace(doubt, was_split=self._was_split(doubt.file)) for doubt in self._open.values()]

    def remove(self, case: str) -> bool:
        """It is known what the failure is; False where it did not wait."""
        return self._open.pop(case, None) is not None

    def clear(self) -> list[Doubt]:
        """Nobody will find out any more: those that waited."""
        doubts = [*self._open.values()]
        self._open.clear()
        return doubts

    def _was_split(self, file: str) -> bool:
        return len(self._ran_in[file]) > 1
