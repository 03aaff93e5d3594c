from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.errors import ConfigurationError
from dt_action.model.case import TestFile
from dt_action.model.hardware import Clause, DeviceNeed, FileNeeds, Requirement
from dt_action.model.plan import Plan, PlannedFile
from dt_action.planning.matrix import Leg, legs, read_runners
from dt_action.planning.plan import for_hardware

KINDS = ["cpu", "cuda", "rocm", "gpu", "mps"]


def a_file(path: str, test_type: str = "", *kinds: str) -> PlannedFile:
    """A file with one case per kind; `cpu` is a case that needs nothing."""
    needs = {
        f"test_{kind}": Requirement(all_of=(Clause(any_of=(DeviceNeed(kind=kind),)),))  # type: ignore[arg-type]
        for kind in kinds
        if kind != "cpu"
    }
    default = Requirement() if "cpu" in kinds or not kinds else next(iter(needs.values()))
    return PlannedFile(path=path, needs=FileNeeds(path=path, default=default, cases=needs), test_type=test_type)


def plan(*files: PlannedFile) -> Plan:
    return Plan(files=files)


def legs_of(made: Plan, shards: int = 1, runners: Sequence[str] = (), *, is_one_fleet: bool = False) -> list[Leg]:
    """The legs, where files are not cut inside."""
    return legs(
        made,
        shards=shards,
        runners=read_runners(runners),
        most_shards=lambda files, wanted: min(wanted, len(files)),
        is_one_fleet=is_one_fleet,
    )


def names(found: list[Leg]) -> list[object]:
    return [leg.as_json()["name"] for leg in found]


def test_each_type_is_a_leg_and_files_of_none_are_other() -> None:
    found = legs_of(plan(a_file("a", "stress"), a_file("b"), a_file("c", "fault")), shards=1)
    assert names(found) == ["fault", "stress", "other"]


def test_no_leg_has_more_shards_than_there_is_work_for() -> None:
    found = legs_of(plan(a_file("a", "stress"), a_file("b", "stress"), a_file("c", "fault")), shards=4)
    assert names(found) == ["fault", "stress-1-of-2", "stress-2-of-2"]


def test_hardware_with_runners_of_its_own_makes_a_leg_on_them_without_a_container() -> None:
    files = (a_file("a", "stress", "cpu", "cuda"), a_file("b", "stress", "rocm"))
    found = legs_of(plan(*files), shards=1, runners=["cuda=self-hosted+gpu", "default=big"])
    assert [(leg.label, leg.hardware, leg.runs_on) for leg in found] == [
        ("stress", ("cpu", "rocm"), ("big",)),
        ("stress-cuda", ("cuda",), ("self-hosted", "gpu")),
    ]
    assert [leg.as_json()["container"] for leg in found] == [True, False]


def test_with_a_coordinator_hardware_is_its_business() -> None:
    found = legs_of(plan(a_file("a", "", "cuda")), shards=1, runners=["cuda=x"], is_one_fleet=True)
    assert [(leg.label, leg.hardware) for leg in found] == [("other", ())]


def test_each_version_of_python_has_all_legs() -> None:
    made = plan(a_file("a", "stress"))
    found = legs(made, shards=1, runners={}, most_shards=lambda files, wanted: wanted, pythons=("3.11", "3.12"))
    assert names(found) == ["stress-py3.11", "stress-py3.12"]
    assert [leg.as_json(2)["python"] for leg in found] == ["3.11", "3.12"]
    assert {leg.as_json(2)["attempt"] for leg in found} == {2}


def test_names_are_safe_in_files_and_differ() -> None:
    found = legs_of(plan(a_file("a", "a/b"), a_file("b", "a:b"), a_file("c", "a-b")))
    assert len(set(names(found))) == 3
    assert all("/" not in str(name) and ":" not in str(name) for name in names(found))


@pytest.mark.parametrize("text", ["cuda", "cuda=", "warp=x", "=x", "cuda=+"])
def test_runners_that_make_no_sense_are_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected hardware and the labels"):
        read_runners([text])


def test_more_jobs_than_github_takes_are_told() -> None:
    files = tuple(a_file(f"f{n}") for n in range(300))
    with pytest.raises(ConfigurationError, match="expected at most 256"):
        legs_of(plan(*files), shards=300)


@given(
    st.lists(st.lists(st.sampled_from(KINDS), max_size=3, unique=True), min_size=1, max_size=12),
    st.lists(st.sampled_from(["cuda", "rocm", "gpu"]), unique=True),
)
def test_every_case_runs_in_a_leg_whose_hardware_was_asked_for(kinds: list[list[str]], mapped: list[str]) -> None:
    files = tuple(a_file(f"f{n}", "", *each) for n, each in enumerate(kinds))
    found = legs_of(plan(*files), shards=1, runners=[f"{kind}=x" for kind in mapped])
    needs = {file.path: file.needs for file in files}
    taken: set[str] = set()
    for leg in found:
        chosen = for_hardware([TestFile(path=file.path) for file in files], needs, leg.hardware)
        taken |= {file.path for file in chosen}
    assert taken == {file.path for file in files}
