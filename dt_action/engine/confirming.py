"""
Failures that plain pytest might not have: they are run as plain pytest runs them, before they are told.

pytest runs the tests of a project in one process and one order. What was split among processes, or ran after other
tests than there, may fail for that alone. Pure: messages and time in, commands and verdicts out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from dt_action.engine.actions import Kill, Send
from dt_action.engine.attempts import attempt_of
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt

CHEAP_S = 2.0
"""Where all tests before a doubtful one take so little, they run before it at once, and not only its own file."""

PATIENCE = 3.0
"""Confirming takes so many times as long as is expected, and the budget on top, before it is given up."""

Segment: TypeAlias = tuple[str, Sequence[str]]
"""A file, and cases of it that follow each other in pytest's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A failing attempt, and whether tests of its file ran in several processes."""

    case: str
    file: str
    attempt: Attempt
    was_split: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A doubtful case has its outcome; `passes` tells that plain pytest does not have its failure."""

    doubt: Doubt
    attempt: Attempt

    @property
    def passes(self) -> bool:
        """True where the failure was made by how the tests were dealt out."""
        return not self.attempt.is_failing


Output: TypeAlias = Send | Kill | Settled


@dataclass(slots=True, kw_only=True)
class _Stage:
    """What one process of plain pytest is to run, in order; `is_prefix` where pytest would have run nothing else."""

    segments: Sequence[Segment]
    doubts: Mapping[str, Doubt]
    is_prefix: bool
    expected_s: float
    slot: str = ""
    worker: str = ""
    gives_up_at: float = 0.0
    is_assigned: bool = False
    is_told_to_stop: bool = False
    results: dict[str, Attempt] = field(default_factory=dict)


class Confirming:
    """
    Confirms doubts, in at most `budget_s` expected seconds for all tests that are run for that.

    First the file of a failing test runs whole and in order, up to it, in a process of its own; where the test fails
    there, too, everything that pytest would have run before it. The caller starts a process whenever `wants_process`,
    and passes on what it tells.
    """

    def __init__(self, *, budget_s: float) -> None:
        self._left_s = budget_s
        self._budget_s = budget_s
        self._stage: _Stage | None = None
        self._order: Sequence[Segment] = ()
        self._seconds: Callable[[str], float] = lambda case: 0.0

    @property
    def is_under_way(self) -> bool:
        """True from `begin` until the last doubt is settled."""
        return self._stage is not None

    @property
    def wants_process(self) -> bool:
        """True where a process of plain pytest is to be started."""
        return self._stage is not None and not self._stage.slot

    @property
    def slot(self) -> str:
        """The process that runs; empty for none."""
        return self._stage.slot if self._stage is not None else ""

    def begin(self, doubts: Sequence[Doubt], order: Sequence[Segment], seconds: Callable[[str], float]) -> list[Output]:
        """Take up doubts. `order` has all cases in pytest's order, `seconds` tells what a case takes."""
        self._order, self._seconds = order, seconds
        by_case = {doubt.case: doubt for doubt in doubts}
        file_s = {path: 0.0 for path, _ in order}
        own = _up_to_last([segment for segment in order if segment[0] in {doubt.file for doubt in doubts}], by_case)
        for path, cases in own:
            file_s[path] += self._sum_s(cases)
        fits: set[str] = set()
        left_s = self._left_s
        for path in dict.fromkeys(path for path, _ in own):
            if file_s[path] <= left_s:
                fits.add(path)
                left_s -= file_s[path]
        taken = {case: doubt for case, doubt in by_case.items() if doubt.file in fits}
        outputs: list[Output] = [
            Settled(doubt=doubt, attempt=doubt.attempt) for case, doubt in by_case.items() if case not in taken
        ]
        if not taken:
            return outputs
        own = [segment for segment in own if segment[0] in fits]
        prefix = _up_to_last(order, taken)
        own_s, prefix_s = (sum(self._sum_s(cases) for _, cases in segments) for segments in (own, prefix))
        is_cheap = prefix_s <= max(CHEAP_S, 1.5 * own_s) and prefix_s <= self._left_s
        self._open(prefix if is_cheap else own, taken, is_prefix=is_cheap or _is_same(own, prefix))
        return outputs

    def started(self, slot: str, worker: str, now: float) -> None:
        """The process that was wanted is `slot`."""
        stage = self._stage
        if stage is not None:
            stage.slot, stage.worker = slot, worker
            stage.gives_up_at = now + PATIENCE * stage.expected_s + self._budget_s

    def hear(self, message: protocol.Message, *, sent: int) -> list[Output]:
        """Its process told something; `sent` is how many commands it was sent."""
        stage = self._stage
        if stage is None:
            return []
        match message:
            case protocol.Want() if message.seen == sent:
                return self._next_command(stage)
            case protocol.Finished():
                stage.results[message.id] = replace(attempt_of(message), worker=stage.worker, slot=stage.slot)
            case protocol.Died():
                return self._judge(stage)
        return []

    def tick(self, now: float) -> list[Output]:
        """Time passed: give up where it takes far longer than expected. Its death is heard of then."""
        stage = self._stage
        if stage is None or not stage.slot or now < stage.gives_up_at:
            return []
        stage.gives_up_at = float("inf")
        return [Kill(slot=stage.slot, outcome="timeout", reason="confirming a failure took too long")]

    def give_up(self) -> list[Output]:
        """No process can be started: what failed, failed."""
        stage, self._stage = self._stage, None
        doubts = stage.doubts.values() if stage is not None else ()
        return [Settled(doubt=doubt, attempt=doubt.attempt) for doubt in doubts]

    def _next_command(self, stage: _Stage) -> list[Output]:
        if not stage.is_assigned:
            stage.is_assigned = True
            units = tuple(protocol.Unit(file=path, cases=tuple(cases)) for path, cases in stage.segments)
            credit = sum(len(cases) for _, cases in stage.segments)
            return [Send(slot=stage.slot, command=protocol.Assign(units=units, credit=credit))]
        if stage.is_told_to_stop:
            return []
        stage.is_told_to_stop = True
        return [Send(slot=stage.slot, command=protocol.Stop())]

    def _judge(self, stage: _Stage) -> list[Output]:
        """Its process is gone, for good or bad: what it found counts, what it did not reach stays as it was."""
        self._stage = None
        self._left_s -= stage.expected_s
        outputs: list[Output] = []
        again: dict[str, Doubt] = {}
        for case, doubt in stage.doubts.items():
            found = stage.results.get(case)
            if found is not None and found.is_failing and not stage.is_prefix:
                again[case] = doubt
            else:
                outputs.append(Settled(doubt=doubt, attempt=found or doubt.attempt))
        prefix = _up_to_last(self._order, again)
        prefix_s = sum(self._sum_s(cases) for _, cases in prefix)
        if again and prefix_s <= self._left_s:
            self._open(prefix, again, is_prefix=True)
            return outputs
        return [*outputs, *(Settled(doubt=doubt, attempt=stage.results[case]) for case, doubt in again.items())]

    def _open(self, segments: Sequence[Segment], doubts: Mapping[str, Doubt], *, is_prefix: bool) -> None:
        expected_s = sum(self._sum_s(cases) for _, cases in segments)
        self._stage = _Stage(segments=segments, doubts=doubts, is_prefix=is_prefix, expected_s=expected_s)

    def _sum_s(self, cases: Sequence[str]) -> float:
        return sum(map(self._seconds, cases))


class PlainOrder:
    """
    Whether the tests that one process ran are those that plain pytest would have run so far, one after the other.

    What fails then fails under plain pytest, and running it once more would only cost time, and do twice whatever the
    project's hooks do about a failure.
    """

    def __init__(self) -> None:
        self.is_kept = True
        self._slot = ""
        self._expected: Iterator[str] = iter(())

    def expect(self, order: Sequence[Segment]) -> None:
        """All cases in pytest's order."""
        self._expected = iter([case for _, cases in order for case in cases])

    def began(self, slot: str, case: str) -> None:
        """A process began a case."""
        self._slot = self._slot or slot
        self.is_kept = self.is_kept and slot == self._slot and next(self._expected, None) == case


def _up_to_last(order: Sequence[Segment], doubts: Mapping[str, Doubt]) -> list[Segment]:
    """What of the order comes up to the last doubt of each file that ends it: nothing after the last one of all."""
    last = max((index for index, (_, cases) in enumerate(order) if any(case in doubts for case in cases)), default=-1)
    kept = [(path, list(cases)) for path, cases in order[: last + 1]]
    if kept:
        path, cases = kept[-1]
        end = max(index for index, case in enumerate(cases) if case in doubts)
        kept[-1] = path, cases[: end + 1]
    return [(path, tuple(cases)) for path, cases in kept]


def _is_same(one: Sequence[Segment], other: Sequence[Segment]) -> bool:
    return [(path, tuple(cases)) for path, cases in one] == [(path, tuple(cases)) for path, cases in other]
