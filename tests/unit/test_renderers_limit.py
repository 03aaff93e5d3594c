"""The line on how near a run came to the shortest time that its tests allow."""

from __future__ import annotations

from report_samples import attempt, result

from dt_action.model.case import Attempt
from dt_action.model.hardware import Capability
from dt_action.model.run import Run, WorkerInfo
from dt_action.reports.renderers.limit import limit_line


def ran(*attempts: Attempt, slots: int = 2, makespan_s: float = 10.0, collect_s: float = 0.0) -> Run:
    return Run(
        id="r",
        results=tuple(result(f"a.py::t{number}", one) for number, one in enumerate(attempts)),
        workers=(WorkerInfo(name="box", slots=slots, capability=Capability()),),
        started_at=1000.0,
        makespan_s=makespan_s,
        collect_s=collect_s,
    )


def timed(slot: str, begins: float, ends: float) -> Attempt:
    return attempt("passed", slot=slot, started_at=1000.0 + begins, duration_s=ends - begins)


def test_the_rest_is_told_by_its_causes_and_adds_up() -> None:
    first = [timed("1", 1, 4), timed("1", 5, 10)]
    run = ran(*first, timed("2", 1, 5), timed("2", 5, 8))
    assert limit_line(run) == (
        "2 slots: 10.0 s; the best possible is 7.5 s; "
        "the rest: 1.0 s start, 0.500 s between tests, 1.0 s waiting for the last test"
    )


def test_the_longest_test_is_the_limit_where_it_takes_longer_than_an_even_share() -> None:
    run = ran(timed("1", 1, 9), timed("2", 1, 2))
    assert limit_line(run) == (
        "2 slots: 10.0 s; the best possible is 8.0 s, the time of the longest test; "
        "the rest: 1.0 s before it began, 1.0 s after it ended"
    )


def test_a_slot_without_a_test_waited_all_the_time() -> None:
    run = ran(timed("1", 0, 5), timed("1", 5, 10))
    assert limit_line(run) == "2 slots: 10.0 s; the best possible is 5.0 s; the rest: 5.0 s waiting for the last test"


def test_collecting_belongs_to_the_best_possible() -> None:
    run = ran(timed("1", 1, 5), timed("1", 5, 10), timed("2", 1, 6), timed("2", 6, 10), collect_s=2)
    assert limit_line(run) == "2 slots: 10.0 s, the best possible"


def test_causes_that_a_run_cannot_tell_are_left_out() -> None:
    elsewhen = ran(timed("1", 400, 404), timed("1", 404, 408), timed("1", 408, 410))
    assert limit_line(elsewhen) == "2 slots: 10.0 s; the best possible is 5.0 s"


def test_nothing_is_told_of_nothing_and_of_collecting_alone_only_what_is_known() -> None:
    assert limit_line(ran()) == ""
    assert limit_line(ran(timed("1", 0, 1), makespan_s=0)) == ""
    assert limit_line(ran(collect_s=4)).startswith("2 slots: 10.0 s; the best possible is 2.0 s")
