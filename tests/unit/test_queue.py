"""Jobs that work off one plan: whoever comes when, each part of it is claimed once, and nobody waits for a late one."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from dt_action.model.hardware import FileNeeds
from dt_action.model.json_codec import to_jsonable
from dt_action.model.plan import Plan, PlannedFile
from dt_action.planning.cut import Weight
from dt_action.planning.queue import BEYOND, Queue, claimed, items_of, next_claim
from dt_action.runner.portions import own_cases

LEAST = 2_000


def a_plan(sizes: list[int]) -> tuple[Plan, dict[str, Weight]]:
    paths = [f"test_{number}.py" for number in range(len(sizes))]
    plan = Plan(files=tuple(PlannedFile(path=path, needs=FileNeeds(path=path)) for path in paths), digest="d")
    return plan, {path: Weight(units=size, least=LEAST) for path, size in zip(paths, sizes, strict=True)}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=20), st.integers(1, 6), st.data())
def test_whoever_comes_when_each_case_is_claimed_once(sizes: list[int], jobs: int, data: st.DataObject) -> None:
    plan, weights = a_plan(sizes)
    items = items_of(plan, weights, jobs)
    cases = {file.path: [(f"{file.path}::{n}", "") for n in range(20)] for file in plan.files}
    queue, ran, idle = Queue(plan="d"), Counter[str](), set[str]()
    while len(idle) < jobs:
        job = data.draw(st.sampled_from(sorted({f"job {n}" for n in range(jobs)} - idle)))
        numbers = next_claim(queue, items, job, jobs=jobs)
        if not numbers:
            idle.add(job)
            continue
        queue = queue.with_claim(job, numbers)
        share = claimed(plan, items, numbers)
        named = [items[number].path for number in numbers]
        assert len(named) == len(set(named)), "no two parts of a file in one claim"
        assert {file.path for file in share.files} == {*named} - {BEYOND}
        assert share.is_selection == (BEYOND not in named)
        for file in share.files:
            mine = own_cases(cases[file.path], to_jsonable(file.portion)) if file.portion else None
            ran.update(id for id, _ in cases[file.path] if mine is None or id in mine)
    assert ran == Counter(id for found in cases.values() for id, _ in found)


def makespan(sizes: list[int], starts_s: list[float], overhead_s: float) -> float:
    """The time at which the last job ends, where each claim costs so much."""
    plan, weights = a_plan([1000 * size for size in sizes])
    items = items_of(plan, weights, len(starts_s))
    queue, free_at, over = Queue(plan="d"), dict(enumerate(starts_s)), set[int]()
    while len(over) < len(starts_s):
        job = min((time, job) for job, time in free_at.items() if job not in over)[1]
        numbers = next_claim(queue, items, str(job), jobs=len(starts_s))
        if not numbers:
            over.add(job)
            continue
        queue = queue.with_claim(str(job), numbers)
        free_at[job] += overhead_s + sum(items[number].units for number in numbers) / 1000
    return max(free_at.values())


def test_a_job_that_comes_a_minute_late_costs_only_its_own_idle_time() -> None:
    sizes = [5 + number % 17 for number in range(120)]  # 1,530 s on four jobs
    in_time = makespan(sizes, [0, 0, 0, 0], overhead_s=0)
    late = makespan(sizes, [0, 0, 0, 60], overhead_s=0)
    assert in_time <= sum(sizes) / 4 * 1.07
    assert late <= (sum(sizes) + 60) / 4 * 1.07
    assert makespan(sizes, [0, 0, 0, 60], overhead_s=4) <= (sum(sizes) + 60) / 4 * 1.07 + 6 * 4


def test_a_job_that_never_comes_costs_no_test() -> None:
    sizes = [10] * 30
    assert makespan(sizes, [0, 0, 10_000], overhead_s=0) <= 10_000
    assert makespan(sizes, [0, 0], overhead_s=0) <= 150 * 1.1


def test_one_large_file_is_worked_off_by_all() -> None:
    assert makespan([400], [0, 0, 0, 0], overhead_s=0) <= 125
