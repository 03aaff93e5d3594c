"""A skip for want of a device that another worker has: recognised, sent there once, and told."""

from __future__ import annotations

import pytest

from dt_action.engine import Action, Dispatcher, Limits, Send, Tell
from dt_action.engine.misplaced import placement_miss
from dt_action.model.case import Attempt, TestCase
from dt_action.model.event import CaseFinished, Notice
from dt_action.model.hardware import NOTHING, Capability, Clause, Device, DeviceNeed, Evidence, FileNeeds, Requirement
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.slot_protocol import Assign, Collected, Found, Rest

PLAIN = Capability(platform="linux")
CUDA = Capability(platform="linux", devices=(Device(kind="cuda"),))
XPU = Capability(platform="linux", devices=(Device(kind="xpu"),))
NEEDS_CUDA = Requirement(
    all_of=(Clause(any_of=(DeviceNeed(kind="cuda"),)),), evidence=(Evidence(file="a.py", line=3, rule="skipif"),)
)
PASSED = Attempt(outcome="passed")


def skip(message: str, detail: str = "") -> Attempt:
    return Attempt(outcome="skipped", message=message, detail=detail)


def case(requirement: Requirement = NOTHING) -> TestCase:
    return TestCase(id="a.py::t", file="a.py", line=9, requirement=requirement)


def test_a_skip_for_a_device_that_nobody_asked_for_is_a_miss() -> None:
    miss = placement_miss(case(), skip("needs a CUDA GPU"), PLAIN)
    assert miss is not None
    assert (str(miss.wanted), miss.blind) == ("cuda", "no rule saw a.py:9")


def test_the_place_of_the_skip_is_told() -> None:
    miss = placement_miss(case(), skip("no TPU", detail="helpers.py:12"), PLAIN)
    assert miss is not None
    assert (str(miss.wanted), miss.blind) == ("tpu", "no rule saw helpers.py:12")


def test_the_rule_that_read_the_place_otherwise_is_named() -> None:
    known = case(NEEDS_CUDA)
    miss = placement_miss(known, skip("needs an XPU", detail="a.py:3"), CUDA)
    assert miss is not None
    assert (str(miss.wanted), miss.blind) == ("cuda and xpu", "skipif read a.py:3 as needing cuda")


@pytest.mark.parametrize(
    ("known", "attempt", "capability"),
    [
        (NEEDS_CUDA, skip("needs CUDA"), PLAIN),
        (NOTHING, skip("needs CUDA"), CUDA),
        (NOTHING, skip("not supported on MPS"), PLAIN),
        (NOTHING, skip("slow"), PLAIN),
        (NOTHING, Attempt(outcome="passed", message="CUDA is there"), PLAIN),
    ],
    ids=["foreseen", "not lacking", "turned away", "no hardware", "not skipped"],
)
def test_other_skips_are_no_misses(known: Requirement, attempt: Attempt, capability: Capability) -> None:
    assert placement_miss(case(known), attempt, capability) is None


def assignments(actions: list[Action]) -> list[Assign]:
    return [action.command for action in actions if isinstance(action, Send) and isinstance(action.command, Assign)]


class Fleet:
    """A brain with one slot on each worker, and one file of which slot s0 knows the cases."""

    def __init__(self, *capabilities: Capability, cases: int = 1) -> None:
        file = PlannedFile(path="a.py", needs=FileNeeds(path="a.py"))
        self.brain = Dispatcher(Plan(files=(file,)), Limits())
        for number, capability in enumerate(capabilities):
            self.brain.worker_joined(f"w{number}", capability, 0.0)
        self.brain.files_known(["a.py"], 0.0)
        for number in range(len(capabilities)):
            self.brain.start(f"s{number}", f"w{number}", sees_none=True)
            self.brain.slot_joined(f"s{number}", f"w{number}", 0.0)
        self.begin("s0", *(f"a.py::t{number}" for number in range(cases)))

    def start_with_device(self, slot: str, worker: str) -> None:
        """A process that sees a device of the worker is started, since something waits for that."""
        assert self.brain.wants_seat_on(worker)
        visible = self.brain.start(slot, worker, sees_none=False)
        assert visible is not None
        assert len(visible.devices) == 1
        self.brain.slot_joined(slot, worker, 0.0)

    def begin(self, slot: str, *cases: str) -> list[Assign]:
        """The slot asks for work and collects what it is given."""
        assigned = assignments(self.brain.wants(slot, 0.0))
        self.brain.collecting(slot, "a.py", 0.0)
        found = tuple(Found(id=case) for case in cases)
        self.brain.collected(slot, Collected(file="a.py", cases=found, duration_s=0.0), 0.0)
        return assigned

    def finish(self, slot: str, attempt: Attempt, number: int = 0) -> list[Action]:
        self.brain.case_started(slot, f"a.py::t{number}", 0.0)
        return self.brain.case_finished(slot, f"a.py::t{number}", attempt, 0.0)


def test_memory_that_others_wait_for_is_not_kept_with_the_fixtures() -> None:
    needs = FileNeeds(path="a.py", default=Requirement(min_memory_bytes=10, enforced=True))
    brain = Dispatcher(Plan(files=(PlannedFile(path="a.py", needs=needs),)), Limits())
    brain.worker_joined("w0", Capability(memory_bytes=16), 0.0)
    brain.files_known(["a.py"], 0.0)
    brain.start("s0", "w0", sees_none=True)
    brain.slot_joined("s0", "w0", 0.0)
    brain.wants("s0", 0.0)
    brain.collecting("s0", "a.py", 0.0)
    brain.collected("s0", Collected(file="a.py", cases=(Found(id="a.py::t"),), duration_s=0.0), 0.0)
    brain.case_started("s0", "a.py::t", 0.0)
    assert brain.backlog.lending.lent()["w0"].memory_bytes == 10

    (rests,) = brain.wants("s0", 0.0)
    assert isinstance(rests, Send)
    assert rests.command == Rest(clear=True)
    brain.case_finished("s0", "a.py::t", PASSED, 0.0)
    assert not brain.backlog.lending.lent()


def told(actions: list[Action], kind: type) -> list[object]:
    return [action.event for action in actions if isinstance(action, Tell) and isinstance(action.event, kind)]


def test_a_case_that_skipped_itself_is_run_where_the_device_is() -> None:
    fleet = Fleet(PLAIN, CUDA)
    told_first = fleet.finish("s0", skip("no CUDA device"))
    assert [event.will_retry for event in told(told_first, CaseFinished)] == [True]  # type: ignore[attr-defined]
    (notice,) = told(told_first, Notice)
    assert "no rule saw a.py" in notice.text  # type: ignore[attr-defined]

    fleet.start_with_device("s2", "w1")
    (assigned,) = fleet.begin("s2", "a.py::t0")
    assert [unit.cases for unit in assigned.units] == [("a.py::t0",)]
    (finished,) = told(fleet.finish("s2", PASSED), CaseFinished)
    assert not finished.will_retry  # type: ignore[attr-defined]
    assert str(finished.case.requirement) == "cuda"  # type: ignore[attr-defined]
    assert fleet.brain.is_finished


def test_it_is_not_given_to_a_worker_that_lacks_the_device_as_well() -> None:
    fleet = Fleet(PLAIN, XPU, CUDA)
    fleet.finish("s0", skip("no CUDA device"))
    assert not assignments(fleet.brain.wants("s1", 0.0))


def test_a_second_skip_is_the_last_word() -> None:
    fleet = Fleet(PLAIN, CUDA, XPU)
    fleet.finish("s0", skip("no CUDA device"))
    fleet.start_with_device("s3", "w1")
    fleet.begin("s3", "a.py::t0")
    (finished,) = told(fleet.finish("s3", skip("and no XPU")), CaseFinished)
    assert not finished.will_retry  # type: ignore[attr-defined]


def test_where_nobody_has_the_device_the_skip_counts() -> None:
    fleet = Fleet(PLAIN, XPU)
    (finished,) = told(fleet.finish("s0", skip("no CUDA device")), CaseFinished)
    assert not finished.will_retry  # type: ignore[attr-defined]


def test_one_place_that_skips_many_cases_is_told_once() -> None:
    fleet = Fleet(PLAIN, CUDA, cases=3)
    notices = [
        notice
        for number in range(3)
        for notice in told(fleet.finish("s0", skip("no CUDA", detail="conftest.py:4"), number), Notice)
    ]
    assert len(notices) == 1
