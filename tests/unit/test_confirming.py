"""A failure that only the dealing out of tests made is never told, whatever tests need of one another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_slot import FakeCase, FakeFile
from support.scenes import Scene
from support.scenes import run as run_scene

from dt_action.engine import Limits
from dt_action.engine.actions import Send, StartController, Tell
from dt_action.engine.brain import Dispatcher
from dt_action.engine.confirming import Confirming, Doubt, Settled
from dt_action.engine.controlling import Controlling, EarlyWarnings
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt
from dt_action.model.event import CaseFinished, Event, OrderDependent
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.ports import Place

FAILED = Attempt(outcome="failed", worker="w0")
NAMES = [(f"test_{file}.py", f"test_{file}.py::t{number}") for file in range(3) for number in range(4)]


@st.composite
def suites(draw: st.DrawFn) -> dict[str, FakeFile]:
    """Tests that need others to have run before them, or not to have run, as suites come to do over the years."""
    ids = [id for _, id in NAMES]
    some = st.frozensets(st.sampled_from(ids), max_size=2)
    files: dict[str, list[FakeCase]] = {}
    for path, id in NAMES:
        case = FakeCase(id=id, duration_s=0.01, needs=draw(some) - {id}, bane=draw(some) - {id})
        files.setdefault(path, []).append(case)
    return {path: FakeFile(cases=tuple(cases), collect_s=0.001) for path, cases in files.items()}


def in_one_process(suite: dict[str, FakeFile]) -> dict[str, str]:
    """What plain pytest tells."""
    ran: set[str] = set()
    told: dict[str, str] = {}
    for file in suite.values():
        for case in file.cases:
            told[case.id] = case.outcome_after(ran, "passed")
            ran.add(case.id)
    return told


def run(suite: dict[str, FakeFile], *, slots: int, is_whole: bool, moves: tuple[int, ...]) -> list[Event]:
    files = tuple(
        PlannedFile(
            path=path,
            needs=FileNeeds(path=path),
            is_measured=True,
            cases_s={case.id: case.duration_s for case in file.cases},
        )
        for path, file in suite.items()
    )
    limits = Limits(confirm_budget_s=1000.0, batch_s=0.0, window_s=0.0, steal_s=0.0)
    places = (Place(worker="w0", capability=Capability(), slots=slots),)
    scene = Scene(
        plan=Plan(files=files),
        suite=suite,
        places=places,
        limits=limits,
        isolation="session",
        is_whole=is_whole,
        slot_retries=0,
        moves=moves,
    )
    return run_scene(scene)[1]


@given(
    suites(),
    st.integers(2, 4),
    st.booleans(),
    st.lists(st.integers(0, 15).map(lambda number: 16 * number + 5), max_size=80),
)
@settings(max_examples=60)
def test_what_is_told_as_failed_fails_in_plain_pytest_too(
    suite: dict[str, FakeFile], slots: int, is_whole: bool, moves: list[int]
) -> None:
    truth = in_one_process(suite)
    told = {
        event.case.id: event.attempt.outcome
        for event in run(suite, slots=slots, is_whole=is_whole, moves=tuple(moves))
        if isinstance(event, CaseFinished)
    }
    assert told.keys() == truth.keys()
    assert {id for id, outcome in told.items() if outcome == "failed"} <= {
        id for id, outcome in truth.items() if outcome == "failed"
    }


def test_a_file_whose_tests_build_on_each_other_is_named_when_it_was_split() -> None:
    ids = [f"test_a.py::t{number}" for number in range(6)]
    cases = tuple(FakeCase(id=id, duration_s=1.0, needs=frozenset(ids[:index])) for index, id in enumerate(ids))
    suite = {
        "test_a.py": FakeFile(cases=cases, collect_s=0.0),
        "test_b.py": FakeFile(cases=(FakeCase(id="test_b.py::t"),), collect_s=0.0),
    }
    events = run(suite, slots=2, is_whole=True, moves=())
    assert {event.attempt.outcome for event in events if isinstance(event, CaseFinished)} == {"passed"}
    assert [event for event in events if isinstance(event, OrderDependent)] == [
        OrderDependent(file="test_a.py", was_split=True)
    ]


def test_failures_beyond_the_budget_are_told_as_they_are_and_the_others_confirmed() -> None:
    order = [("a.py", ("a.py::t",)), ("b.py", ("b.py::t",))]
    doubts = [Doubt(case=f"{name}.py::t", file=f"{name}.py", attempt=FAILED) for name in "ab"]
    confirming = Confirming(budget_s=10.0)
    settled = confirming.begin(doubts, order, lambda case: 1.0 if case == "a.py::t" else 100.0)
    assert settled == [Settled(doubt=doubts[1], attempt=FAILED)]
    assert confirming.wants_process


def test_what_cannot_be_run_again_stays_failed() -> None:
    confirming = Confirming(budget_s=10.0)
    doubt = Doubt(case="a.py::t", file="a.py", attempt=FAILED)
    confirming.begin([doubt], [("a.py", ("a.py::t",))], lambda case: 1.0)
    assert confirming.give_up() == [Settled(doubt=doubt, attempt=FAILED)]
    assert not confirming.is_under_way


def test_what_runs_again_beside_a_controller_session_is_a_node_of_it_and_writes_no_reports_of_its_own() -> None:
    controlling = Controlling(is_possible=True)
    assert not controlling.is_missed
    assert controlling.needed("gw0", ["a plugin"]) == [StartController()]
    controlling.hear(protocol.Configured(environ={"A": "1"}))
    assert controlling.is_missed
    controlling.needed("gw2", [], confirms=True)
    begun = controlling.hear(protocol.NodeConfigured(slot="gw2", workerinput={"x": 1}))
    begin = protocol.Begin(workerinput={"x": 1}, environ={"A": "1"}, looks_alone=True)
    assert begun == [Send(slot="gw2", command=begin)]


@pytest.mark.parametrize(
    ("in_one_process", "made_files", "begins", "is_confirmed"),
    [
        pytest.param(True, False, ["a.py::t0", "a.py::t1"], False, id="as plain pytest runs them"),
        pytest.param(True, False, ["a.py::t1"], True, id="another order"),
        pytest.param(False, False, ["a.py::t0", "a.py::t1"], True, id="one of several processes"),
        pytest.param(False, True, ["a.py::t0", "a.py::t1"], False, id="it may have written what it missed"),
    ],
)
def test_a_failure_that_plain_pytest_has_too_is_not_run_once_more(
    in_one_process: bool, made_files: bool, begins: list[str], is_confirmed: bool
) -> None:
    plan = Plan(files=(PlannedFile(path="a.py", needs=FileNeeds(path="a.py")),))
    brain = Dispatcher(plan, Limits(confirm_budget_s=60.0))
    if in_one_process:
        brain.run_in_one_process()
    brain.worker_joined("w0", Capability(), 0.0)
    brain.slot_joined("gw0", "w0", 0.0)
    cases = tuple(protocol.Found(id=f"a.py::t{number}", line=1) for number in range(2))
    brain.collection_known("gw0", protocol.Collection(files=("a.py",), whole=("a reason",), cases=cases), 0.0, places=1)
    brain.wants("gw0", 0.0)
    brain.collecting("gw0", "a.py", 0.0)
    brain.collected("gw0", protocol.Collected(file="a.py", cases=cases, duration_s=0.0), 0.0)
    for case in begins:
        assert brain.case_started("gw0", case, 0.0)
        told = brain.case_finished("gw0", case, FAILED, 0.0, made_files=made_files)
    has_outcome = any(isinstance(action, Tell) and isinstance(action.event, CaseFinished) for action in told)
    assert has_outcome is not is_confirmed


def test_a_warning_of_collecting_is_told_as_often_as_one_process_gives_it() -> None:
    warnings = EarlyWarnings()
    old = protocol.Warned(category="UserWarning", text="old", file="a.py", line=1, id="a.py", when="collect")
    assert [warnings.is_repeated("gw0", old) for _ in range(2)] == [False, False]
    assert [warnings.is_repeated("gw1", old) for _ in range(3)] == [True, True, False]
    other = replace(old, line=2)
    assert not warnings.is_repeated("gw1", other)
    of_a_test = replace(old, when="runtest")
    assert not any(warnings.is_repeated(slot, of_a_test) for slot in ("gw0", "gw1"))
