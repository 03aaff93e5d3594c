"""How a plan is cut into shards: whatever its files, each case is in one of them, and they are about even."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from dt_action.model.hardware import FileNeeds
from dt_action.model.json_codec import to_jsonable
from dt_action.model.plan import Plan, PlannedFile, Portion, Shard
from dt_action.planning.cut import Weight, cut
from dt_action.runner.portions import own_cases

Cases = dict[str, list[tuple[str, str]]]


def a_plan(paths: Sequence[str]) -> Plan:
    return Plan(files=tuple(PlannedFile(path=path, needs=FileNeeds(path=path), expected_s=8.0) for path in paths))


def shares(plan: Plan, weights: Mapping[str, Weight], count: int) -> list[Plan]:
    return [cut(plan, weights, Shard(index=index, count=count)) for index in range(1, count + 1)]


def run_by(share: Plan, cases: Cases) -> list[str]:
    """The cases that a shard runs, as its slots work them out."""
    found: list[str] = []
    for file in share.files:
        ids = [id for id, _ in cases[file.path]]
        mine = own_cases(cases[file.path], to_jsonable(file.portion)) if file.portion else set(ids)
        found += [id for id in ids if id in mine]
    return found


@st.composite
def projects(draw: st.DrawFn) -> tuple[Cases, dict[str, Weight]]:
    """Files with cases in groups, and weights that may have little to do with them."""
    cases: Cases = {}
    weights = {}
    for number in range(draw(st.integers(1, 8))):
        path = f"test_{number}.py"
        groups = draw(st.lists(st.sampled_from(["", "", "", "A", "B"]), max_size=30))
        cases[path] = [(f"{path}::test_{index}", group) for index, group in enumerate(groups)]
        known = draw(st.lists(st.sampled_from([id for id, _ in cases[path]] or [""]), unique=True))
        weights[path] = Weight(
            units=draw(st.integers(0, 60_000)),
            least=draw(st.sampled_from([0, 500, 10_000])),
            cases={id: draw(st.integers(0, 5_000)) for id in known},
        )
    return cases, weights


@settings(max_examples=200)
@given(projects(), st.integers(1, 7))
def test_each_case_of_any_project_is_in_one_shard(project: tuple[Cases, dict[str, Weight]], count: int) -> None:
    cases, weights = project
    ran = Counter(id for share in shares(a_plan(list(cases)), weights, count) for id in run_by(share, cases))
    assert ran == Counter(id for found in cases.values() for id, _ in found)


@settings(max_examples=100)
@given(projects(), st.integers(1, 7))
def test_cases_that_share_a_class_or_a_group_stay_in_one_shard(
    project: tuple[Cases, dict[str, Weight]], count: int
) -> None:
    cases, weights = project
    group_of = {id: f"{path} {group}" for path, found in cases.items() for id, group in found if group}
    owners: dict[str, set[int]] = {}
    for number, share in enumerate(shares(a_plan(list(cases)), weights, count)):
        for id in run_by(share, cases):
            if id in group_of:
                owners.setdefault(group_of[id], set()).add(number)
    assert all(len(found) == 1 for found in owners.values())


@settings(max_examples=100)
@given(projects(), st.integers(1, 7))
def test_every_shard_tells_the_same_digest_and_the_same_files(
    project: tuple[Cases, dict[str, Weight]], count: int
) -> None:
    cases, weights = project
    found = shares(a_plan(list(cases)), weights, count)
    assert len({share.digest for share in found}) == 1
    assert {tuple(sorted({*share.elsewhere, *(file.path for file in share.files)})) for share in found} == {
        tuple(sorted(cases))
    }


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=40), st.integers(2, 8))
def test_shards_of_files_that_can_be_cut_are_within_a_tenth_of_even(units: list[int], count: int) -> None:
    weights = {f"test_{number}.py": Weight(units=size, least=1) for number, size in enumerate(units)}
    loads = []
    for share in shares(a_plan(list(weights)), weights, count):
        parts = [(weights[file.path].units, file.portion) for file in share.files]
        loads.append(sum(part.end - part.start if part else whole for whole, part in parts))
    assert max(loads) <= sum(units) / count * 1.1 + count


def test_a_file_of_a_thousand_cases_is_cut_evenly_between_small_ones() -> None:
    cases: Cases = {"test_large.py": [(f"test_large.py::test_n[{n}]", "") for n in range(1000)]}
    cases |= {f"test_{n}.py": [(f"test_{n}.py::test_{k}", "") for k in range(7)] for n in range(12)}
    weights = {path: Weight(units=1000 * len(found), least=10_000) for path, found in cases.items()}
    counts = [len(run_by(share, cases)) for share in shares(a_plan(list(cases)), weights, 4)]
    assert sum(counts) == 1084
    assert max(counts) <= 271 * 1.1
    assert min(counts) >= 271 * 0.9


def test_known_times_of_cases_decide_where_a_file_is_cut() -> None:
    cases: Cases = {"test_a.py": [("test_a.py::test_slow", ""), *((f"test_a.py::test_{n}", "") for n in range(10))]}
    times = {id: 10_000 if id.endswith("slow") else 1_000 for id, _ in cases["test_a.py"]}
    weights = {"test_a.py": Weight(units=20_000, least=2_000, cases=times)}
    assert [len(run_by(share, cases)) for share in shares(a_plan(["test_a.py"]), weights, 2)] == [1, 10]


def test_small_files_are_never_cut() -> None:
    weights = {f"test_{n}.py": Weight(units=5_000, least=10_000) for n in range(5)}
    assert not any(file.portion for share in shares(a_plan(list(weights)), weights, 3) for file in share.files)


def test_a_case_that_no_weights_knew_is_in_one_of_the_portions() -> None:
    cases = [(f"t::{n}", "") for n in range(5)]
    halves = [
        own_cases(cases, to_jsonable(Portion(start=a, end=b, of=10, weights={"t::gone": 9})))
        for a, b in ((0, 5), (5, 10))
    ]
    assert halves[0] | halves[1] == {id for id, _ in cases}
    assert not halves[0] & halves[1]


def test_other_files_other_cases_or_another_number_of_shards_make_another_plan() -> None:
    weights = {name: Weight(units=1_000) for name in ("a.py", "b.py", "c.py")}
    first = cut(a_plan(["a.py", "b.py"]), weights, Shard(index=1, count=2)).digest
    others = [
        cut(a_plan(["a.py", "c.py"]), weights, Shard(index=1, count=2)).digest,
        cut(a_plan(["a.py", "b.py"]), weights, Shard(index=1, count=3)).digest,
        cut(
            a_plan(["a.py", "b.py"]), {**weights, "a.py": Weight(units=9_000, least=1)}, Shard(index=1, count=2)
        ).digest,
    ]
    assert first not in others
