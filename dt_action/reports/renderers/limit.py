"""How near a run came to the shortest time that its tests allow, and where the rest of the time went."""

from __future__ import annotations

from collections.abc import Iterator

from dt_action.model.case import Attempt
from dt_action.model.run import Run
from dt_action.reports.formats.text import seconds

_WORTH_TELLING_S = 0.05
_AS_GOOD_AS = 1.01
_CLOCK_DIFFERS_S = 1.0  # beginnings are told by the clocks of the workers


def limit_line(run: Run) -> str:
    """
    `2 slots: 10.8 s; the best possible is 9.6 s; the rest: 0.7 s start, 0.5 s waiting for the last test`.

    The best possible is `Run.lower_bound_s`: tests and collection spread evenly over the slots, or the longest test.
    The parts of the rest are a mean over the slots, and left out where the run cannot tell them: a report merged of
    several runs, or clocks that differ. Empty where nothing was measured, and in a report of other reports.
    """
    bound = run.lower_bound_s
    if run.makespan_s <= 0 or bound <= 0 or run.slots <= 0:
        return ""
    took = f"{run.slots} slot{'s' * (run.slots != 1)}: {seconds(run.makespan_s)}"
    rest = run.makespan_s - bound
    if rest < max(bound * (_AS_GOOD_AS - 1), _WORTH_TELLING_S):
        return f"{took}, the best possible"
    attempts = (attempt for result in run.results for attempt in result.attempts)
    longest = max(attempts, key=lambda one: one.duration_s, default=None)
    is_longest = longest is not None and bound > run.even_share_s
    line = f"{took}; the best possible is {seconds(bound)}" + ", the time of the longest test" * is_longest
    if not _fits_one_clock(run):
        return line
    parts = _around(run, longest) if longest and is_longest else _lost_on_slots(run, rest)
    told = ", ".join(f"{seconds(part)} {why}" for part, why in parts if part >= _WORTH_TELLING_S)
    return f"{line}; the rest: {told}" if told else line


def _fits_one_clock(run: Run) -> bool:
    """True where every test ran within the run, by its own beginning and duration."""
    first, last = run.started_at - _CLOCK_DIFFERS_S, run.started_at + run.makespan_s + _CLOCK_DIFFERS_S
    return run.slots > 0 and all(
        first <= attempt.started_at <= attempt.started_at + attempt.duration_s <= last
        for result in run.results
        for attempt in result.attempts
        if attempt.started_at > 0
    )


def _around(run: Run, longest: Attempt) -> Iterator[tuple[float, str]]:
    rest = run.makespan_s - longest.duration_s
    before = min(max(0.0, longest.started_at - run.started_at), rest)
    yield before, "before it began"
    yield rest - before, "after it ended"


def _lost_on_slots(run: Run, rest: float) -> Iterator[tuple[float, str]]:
    """
    The rest by its cause, in seconds a slot.

    A slot starts until its first test begins, and waits from the end of its last one; a slot without a test waited all
    the time. What collecting took is part of the bound, and is here only where it came before a slot's first test.
    """
    begin: dict[tuple[str, str], float] = {}
    end: dict[tuple[str, str], float] = {}
    for result in run.results:
        for attempt in result.attempts:
            if attempt.started_at > 0:
                slot, started = (attempt.worker, attempt.slot), attempt.started_at - run.started_at
                begin[slot] = min(begin.get(slot, started), started)
                end[slot] = max(end.get(slot, 0.0), started + attempt.duration_s)
    idle = max(run.slots - len(end), 0) * run.makespan_s
    waited = (idle + sum(max(0.0, run.makespan_s - at) for at in end.values())) / run.slots
    waited = min(waited, rest)
    start = min(sum(max(0.0, at) for at in begin.values()) / run.slots, rest - waited)
    yield start, "start"
    yield rest - waited - start, "between tests"
    yield waited, "waiting for the last test"
