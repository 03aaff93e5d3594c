"""Tests that a project ties together run in one process and in order, also where they stand in several files."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_slot import FakeCase, FakeFile
from support.scenes import Scene, run

from dt_action.engine import Limits
from dt_action.model.event import CaseFinished
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.ports import Place

MEMBERS = st.lists(st.sampled_from(("", "", "@one", "@two")), min_size=1, max_size=5)


@given(
    files=st.lists(MEMBERS, min_size=2, max_size=4),
    slots=st.integers(2, 4),
    moves=st.lists(st.integers(0, 15).map(lambda number: 16 * number + 5), max_size=80),
    long=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_test_of_a_group_finds_that_those_before_it_ran(
    files: list[list[str]], slots: int, moves: list[int], long: bool
) -> None:
    before: dict[str, list[str]] = {"@one": [], "@two": []}
    suite: dict[str, FakeFile] = {}
    for number, groups in enumerate(files):
        cases = []
        for index, group in enumerate(groups):
            id = f"test_{number}.py::t{index}"
            needs = frozenset(before.get(group, ()))
            cases.append(FakeCase(id=id, duration_s=1.0 if long else 0.01, group=group, needs=needs))
            before.get(group, []).append(id)
        suite[f"test_{number}.py"] = FakeFile(cases=tuple(cases), collect_s=0.001)
    plan = Plan(files=tuple(PlannedFile(path=path, needs=FileNeeds(path=path)) for path in suite))
    places = (Place(worker="w0", capability=Capability(), slots=slots),)
    limits = Limits(batch_s=0.0, window_s=0.0, steal_s=0.0)
    scene = Scene(
        plan=plan,
        suite=suite,
        places=places,
        limits=limits,
        isolation="session",
        is_whole=True,
        slot_retries=0,
        moves=tuple(moves),
    )
    told = [event for event in run(scene)[1] if isinstance(event, CaseFinished)]
    assert len(told) == sum(map(len, files))
    assert {event.attempt.outcome for event in told} == {"passed"}
