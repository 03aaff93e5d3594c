"""The brain, one situation at a time: those that random runs found to go wrong, and those worth reading."""

from __future__ import annotations

import pytest

from dt_action.engine import Action, Dispatcher, Kill, Limits, Send, Tell
from dt_action.model.case import Attempt
from dt_action.model.event import CaseFinished, CaseUnplaced, Ended
from dt_action.model.hardware import Capability, FileNeeds, Requirement
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.slot_protocol import Assign, Collected, Drop, Found, Unit

CHROME = Requirement(browser="chrome", enforced=True)
PASSED = Attempt(outcome="passed")
FAILED = Attempt(outcome="failed")


def brain_with(*files: PlannedFile, limits: Limits | None = None, slots: int = 1) -> Dispatcher:
    """A brain with slots s0, s1, ... on workers w0, w1, ..., that knows its files."""
    brain = Dispatcher(Plan(files=files), limits or Limits())
    for number in range(slots):
        brain.worker_joined(f"w{number}", Capability(), 0.0)
    brain.files_known([file.path for file in files], 0.0)
    for number in range(slots):
        brain.slot_joined(f"s{number}", f"w{number}", 0.0)
    return brain


def planned(path: str, requirement: Requirement | None = None, expected_s: float = 0.0) -> PlannedFile:
    needs = FileNeeds(path=path, default=requirement or Requirement())
    return PlannedFile(path=path, needs=needs, expected_s=expected_s)


def collect(brain: Dispatcher, slot: str, file: str, *cases: str) -> list[Action]:
    brain.collecting(slot, file, 0.0)
    found = tuple(Found(id=f"{file}::{case}") for case in cases)
    return brain.collected(slot, Collected(file=file, cases=found, duration_s=0.0), 0.0)


def finish(brain: Dispatcher, slot: str, case: str, attempt: Attempt = PASSED) -> list[Action]:
    brain.case_started(slot, case, 0.0)
    return brain.case_finished(slot, case, attempt, 0.0)


def told(actions: list[Action], kind: type) -> list[object]:
    return [action.event for action in actions if isinstance(action, Tell) and isinstance(action.event, kind)]


def test_work_that_waited_for_any_machine_is_unplaced_when_the_first_one_cannot_run_it() -> None:
    brain = brain_with(planned("a.py", CHROME), slots=0)

    actions = brain.worker_joined("w0", Capability(), 0.0)

    assert told(actions, CaseUnplaced)
    assert told(actions, Ended), "there is nothing else to wait for"


def test_nothing_is_told_after_the_end() -> None:
    brain = brain_with(planned("a.py"), limits=Limits(fail_fast=1), slots=2)
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1", "t2")
    brain.case_started("s0", "a.py::t0", 0.0)

    assert told(brain.cancel("cancelled", "enough", 0.0), Ended)

    assert not told(brain.case_finished("s0", "a.py::t0", PASSED, 0.0), CaseFinished)
    assert not brain.case_started("s0", "a.py::t1", 0.0)
    assert not brain.file_skipped("s0", "b.py", "no")
    assert not brain.worker_lost("w0", "gone", 0.0)
    assert not brain.worker_joined("w9", Capability(), 0.0)


def test_a_failure_told_twice_is_one_attempt() -> None:
    brain = brain_with(planned("a.py"), limits=Limits(retries=1))
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    first = finish(brain, "s0", "a.py::t0", FAILED)

    again = brain.case_finished("s0", "a.py::t0", FAILED, 0.0)

    assert [event.will_retry for event in told(first, CaseFinished)] == [True]  # type: ignore[attr-defined]
    assert not told(again, CaseFinished)


def test_a_file_that_was_collected_ahead_while_it_was_taken_away_stays_away() -> None:
    """The giver, out of credit, looks ahead; the word that the file is no longer its own crosses its telling."""
    limits = Limits(window_s=0.0, batch_s=100.0, steal_s=0.0)
    files = [planned(path, expected_s=3) for path in ("a.py", "b.py", "c.py")]
    brain = brain_with(*files, limits=limits)
    brain.wants("s0", 0.0)  # half of the work: a.py and b.py
    brain.worker_joined("w1", Capability(), 0.0)
    brain.slot_joined("s1", "w1", 0.0)
    brain.wants("s1", 0.0)
    collect(brain, "s1", "c.py")
    collect(brain, "s0", "a.py", "t0")
    brain.case_started("s0", "a.py::t0", 0.0)

    theft = brain.wants("s1", 0.0)
    collect(brain, "s0", "b.py", "t0")
    collect(brain, "s1", "b.py", "t0")
    brain.case_finished("s0", "a.py::t0", PASSED, 0.0)

    assert [drop.files for drop in dropped(theft)] == [("b.py",)]
    assert assigned(theft) == ["s1"]
    assert not brain.case_started("s0", "b.py::t0", 0.0), "it is not the giver's any more"
    assert brain.case_started("s1", "b.py::t0", 0.0)


def test_an_idle_slot_does_not_take_over_a_case_that_failed_on_its_worker() -> None:
    limits = Limits(retries=1, window_s=0.0, steal_s=0.0, batch_s=100.0)
    brain = brain_with(planned("a.py"), limits=limits)
    brain.worker_joined("w1", Capability(), 0.0)
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1", "t2")
    for case in ("t0", "t1", "t2"):
        finish(brain, "s0", f"a.py::{case}", FAILED)
    assert not assigned(brain.wants("s0", 0.0)), "they wait for the other worker"
    brain.slot_left("s0", 0.0)
    brain.slot_joined("s1", "w1", 0.0)

    retry = brain.wants("s1", 0.0)
    collect(brain, "s1", "a.py", "t0", "t1")
    brain.slot_joined("s2", "w0", 0.0)

    assert assigned(retry) == ["s1"]
    assert not assigned(brain.wants("s2", 0.0))


def test_what_waits_behind_a_case_that_overstays_goes_to_an_idle_slot_however_short_it_looks() -> None:
    brain = brain_with(planned("a.py"), limits=Limits(window_s=0.25, steal_s=0.05), slots=2)
    brain.wants("s0", 0.0)
    brain.wants("s1", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    brain.case_started("s0", "a.py::t0", 0.0)

    assert not assigned(brain.tick(0.9)), "20 ms, as far as anybody knows"
    late = brain.tick(1.1)

    assert [drop.cases for drop in dropped(late)] == [("a.py::t1",)]
    assert assigned(late) == ["s1"]


def test_a_tick_that_changes_its_mind_without_a_word_says_that_it_learnt() -> None:
    brain = brain_with(planned("a.py"))
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    brain.case_started("s0", "a.py::t0", 0.0)

    assert not brain.tick(0.5)
    assert not brain.has_learnt
    assert not brain.tick(2.5)
    assert brain.has_learnt
    assert brain.wants_slot_on("w0"), "what waits may wait for as long again"
    assert not brain.tick(3.0)
    assert not brain.has_learnt, "not at each tick: a record would be full of them"


def test_cases_are_worth_what_their_file_has_shown_since_it_was_collected() -> None:
    brain = brain_with(planned("a.py"), limits=Limits(window_s=0.0, steal_s=0.5), slots=2)
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", *(f"t{number}" for number in range(10)))
    assert not assigned(brain.wants("s1", 0.0)), "0.2 s, as far as anybody knows"

    finish(brain, "s0", "a.py::t0", Attempt(outcome="passed", duration_s=3.0))

    assert assigned(brain.tick(3.1)) == ["s1"]


def told_by_a_test(brain: Dispatcher, what: str) -> list[Action]:
    """What a test may write into its process's line, while a.py::t0 runs and a.py::t1 is next."""
    match what:
        case "the end of another case":
            return brain.case_finished("s0", "a.py::t1", PASSED, 1.0)
        case "the end of a case of another file":
            return brain.case_finished("s0", "b.py::t0", PASSED, 1.0)
        case "the start of another case":
            return brain.case_started("s0", "a.py::t1", 1.0)
        case "a file that is not its own":
            return brain.collecting("s0", "b.py", 1.0)
        case "cases of a file that is not its own":
            found = (Found(id="b.py::made_up"),)
            return brain.collected("s0", Collected(file="b.py", cases=found, duration_s=0.0), 1.0)
        case "an import":
            return brain.importing("s0", "a.py", 1.0)
        case _:
            return brain.distrusted("s0", "expected a message, found {}", 1.0)


@pytest.mark.parametrize(
    "what",
    [
        "nonsense",
        "the end of another case",
        "the end of a case of another file",
        "the start of another case",
        "a file that is not its own",
        "cases of a file that is not its own",
        "an import",
    ],
)
def test_a_test_that_tells_what_no_runner_tells_is_blamed_and_the_rest_runs_elsewhere(what: str) -> None:
    files = planned("a.py", expected_s=1.0), planned("b.py", expected_s=1.0)
    brain = brain_with(*files, limits=Limits(window_s=0.0), slots=2)
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    brain.case_started("s0", "a.py::t0", 0.0)

    actions = told_by_a_test(brain, what)

    (finished,) = told(actions, CaseFinished)
    assert (finished.case.id, finished.attempt.outcome) == ("a.py::t0", "crashed")  # type: ignore[attr-defined]
    assert "wrote into dt's line" in finished.attempt.message  # type: ignore[attr-defined]
    assert [action.slot for action in actions if isinstance(action, Kill)] == ["s0"]
    assert not brain.case_finished("s0", "a.py::t1", PASSED, 1.0), "nothing more is believed of that process"
    files = [unit.file for _ in range(2) for unit in units(brain.wants("s1", 1.0))]
    assert files == ["a.py", "b.py"]


def test_a_case_that_ran_although_it_had_been_taken_away_is_nobodys_fault() -> None:
    """The word that it is another slot's crossed its start."""
    brain = brain_with(planned("a.py"), limits=Limits(window_s=0.25, steal_s=0.05), slots=2)
    brain.wants("s0", 0.0)
    brain.wants("s1", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    brain.case_started("s0", "a.py::t0", 0.0)
    brain.tick(1.1)
    brain.case_finished("s0", "a.py::t0", PASSED, 1.2)

    assert not brain.case_started("s0", "a.py::t1", 1.2)
    assert not brain.case_finished("s0", "a.py::t1", FAILED, 1.3)


def test_a_case_that_nobody_has_to_do_ends_the_run_at_once_and_not_at_its_timeout() -> None:
    """A slot made it up while it collected a file that had just been taken away from it."""
    files = [planned(path, expected_s=3) for path in ("a.py", "b.py", "c.py")]
    brain = brain_with(*files, limits=Limits(window_s=0.0, batch_s=100.0, steal_s=0.0))
    brain.wants("s0", 0.0)
    brain.worker_joined("w1", Capability(), 0.0)
    brain.slot_joined("s1", "w1", 0.0)
    brain.wants("s1", 0.0)
    collect(brain, "s1", "c.py")
    collect(brain, "s0", "a.py", "t0")
    brain.case_started("s0", "a.py::t0", 0.0)
    assert dropped(brain.wants("s1", 0.0)), "b.py"
    collect(brain, "s0", "b.py", "made_up")
    collect(brain, "s1", "b.py")
    assert not told(brain.case_finished("s0", "a.py::t0", PASSED, 0.0), Ended)

    (ended,) = told(brain.tick(0.1), Ended)

    assert ended.status == "stopped" and "b.py::made_up" in ended.reason  # type: ignore[attr-defined]


def units(actions: list[Action]) -> list[Unit]:
    assigns = [action.command for action in actions if isinstance(action, Send) and isinstance(action.command, Assign)]
    return [unit for assign in assigns for unit in assign.units]


def assigned(actions: list[Action]) -> list[str]:
    return [action.slot for action in actions if isinstance(action, Send) and isinstance(action.command, Assign)]


def dropped(actions: list[Action]) -> list[Drop]:
    return [action.command for action in actions if isinstance(action, Send) and isinstance(action.command, Drop)]


def test_what_a_slot_was_handed_while_it_told_that_it_leaves_runs_elsewhere() -> None:
    brain = brain_with(planned("a.py"), slots=2)
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    finish(brain, "s0", "a.py::t0")

    brain.slot_left("s0", 0.0)

    (handed,) = units(brain.wants("s1", 0.0))
    assert handed.cases == ("a.py::t1",)


def test_slots_that_keep_fixtures_for_work_that_nobody_has_let_them_go() -> None:
    brain = brain_with(planned("a.py"))
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    brain.case_started("s0", "a.py::t0", 0.0)
    brain._dealer.slots["s0"].give_up((), ["a.py::t1"], brain._verdicts.pieces)  # a bug, if there is one
    brain.wants("s0", 0.0)
    assert brain.slots["s0"].is_held

    brain.tick(1.0)

    assert not brain.slots["s0"].is_held


def test_the_time_for_which_a_slot_waits_for_more_work_is_not_its_tests() -> None:
    brain = brain_with(planned("a.py"), limits=Limits(case_timeout_s=10.0))
    brain.wants("s0", 0.0)
    collect(brain, "s0", "a.py", "t0", "t1")
    brain.case_started("s0", "a.py::t0", 0.0)
    brain._dealer.slots["s0"].give_up((), ["a.py::t1"], brain._verdicts.pieces)
    brain.wants("s0", 1.0)
    brain._verdicts.admit_cases("a.py", ["a.py::t1"])

    assert brain.tick(100.0), "it is handed the other test"

    assert not [action for action in brain.tick(105.0) if isinstance(action, Kill)]
    assert [action for action in brain.tick(120.0) if isinstance(action, Kill)], "the teardown hangs"
