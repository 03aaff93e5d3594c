"""
Shards one after the other and side by side, over every kind of history, with failures and re-runs in between.

The real parts are used but for the processes: what cuts a plan, what a slot does with a portion, what gathers a run,
the history, and what merges the reports.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from report_samples import attempt

from dt_action.app.shards import Shards
from dt_action.engine.results import Collector
from dt_action.history.past import KnownPast
from dt_action.history.records import RunRecord, Seen, records_of
from dt_action.judging.merging import merge
from dt_action.model.build import Build
from dt_action.model.case import TestCase, TestFile
from dt_action.model.event import CaseFinished, Ended, FileCollected, FilesKnown
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.plan import Divided, Plan, PlannedFile, Shard
from dt_action.model.run import Run
from dt_action.options import Settings
from dt_action.planning.plan import make_plan
from dt_action.reports.formats import run_json
from dt_action.runner.portions import own_cases, told_of

BEYOND = ("docs/usage.txt", "docs/more.txt", "checks/a.yaml")
"""What pytest finds beside the files that were planned."""


def expected_cases(sizes: dict[str, int]) -> Counter[str]:
    planned = Counter(f"{path}::test_{n}" for path, size in sizes.items() for n in range(size))
    return planned + Counter(f"{path}::it" for path in BEYOND)


class ShardsTogether(RuleBasedStateMachine):
    """A project, whose shards run in any order and number, while what is remembered of it changes all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.records: list[RunRecord] = []
        self.reports: list[Run] = []
        self.ran: dict[tuple[int, int], list[str]] = {}
        self.attempts: Counter[int] = Counter()
        self.time = 1.0

    def teardown(self) -> None:
        self.folder.cleanup()

    @initialize(
        sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
        count=st.integers(1, 4),
        by=st.sampled_from(["tests", "files"]),
    )
    def make_project(self, sizes: list[int], count: int, by: str) -> None:
        self.sizes = {f"test_{number}.py": size for number, size in enumerate(sizes)}
        self.count, self.by = count, by
        for path, size in self.sizes.items():
            (self.root / path).write_text("".join(f"def test_{n}(): ...\n" for n in range(size)))

    @rule(data=st.data(), failing=st.sampled_from([0, 3, 7]))
    def run_a_shard(self, data: st.DataObject, failing: int) -> None:
        index = data.draw(st.integers(1, self.count))
        self.attempts[index] += 1
        run = self.executed(self.planned(index), failing, attempt_number=self.attempts[index])
        self.reports.append(run_json.read(run_json.write(run)))
        self.records.extend(records_of(run))

    @rule(seconds=st.floats(0, 100), failed=st.booleans())
    def remember_a_run_of_somebody_else(self, seconds: float, failed: bool) -> None:
        outcome = "failed" if failed else "passed"
        cases = {f"{path}::test_0": Seen(outcome, seconds) for path in self.sizes}
        self.time += 1
        self.records.append(RunRecord(id=f"other-{self.time}", started_at=self.time, cases=cases))

    @rule()
    def forget_everything(self) -> None:
        self.records.clear()

    @invariant()
    def the_reports_are_green_only_where_each_test_ran_once(self) -> None:
        merged = merge(self.reports)
        last = Counter(id for (index, number), ids in self.ran.items() if number == self.attempts[index] for id in ids)
        if self.reports and len(self.attempts) == self.count:
            assert last == expected_cases(self.sizes)
            assert merged.conclusion() != "incomplete", merged.reason
        elif self.reports:
            assert merged.conclusion() != "passed"

    # --- what a run of a shard does ---------------------------------------------------------------------------------

    def planned(self, index: int) -> Plan:
        files = [TestFile(path=path) for path in self.sizes]
        past = KnownPast(tuple(reversed(self.records)))
        plan = make_plan(files, {}, past, file_bytes={path: 20 * size for path, size in self.sizes.items()})
        shard = Shard(index=index, count=self.count)
        return Shards(Settings(root=self.root, shard=shard, shard_by=self.by), {}).cut(plan)

    def executed(self, plan: Plan, failing: int, *, attempt_number: int) -> Run:
        self.time += 1
        collector = Collector(plan, build=Build(attempt=attempt_number), started_at=self.time)
        known = [*self.sizes, *BEYOND]
        collector.add(FilesKnown(files=tuple(known)))
        planned = {file.path: file for file in plan.files}
        assert plan.shard is not None
        ran = self.ran[plan.shard.index, attempt_number] = []
        for path in plan.own(known):
            cases, divided = self.collected(planned.get(path), path)
            collector.add(FileCollected(file=path, cases=tuple(cases), divided=divided))
            for number, case in enumerate(cases):
                ran.append(case.id)
                outcome = "failed" if failing and number % failing == 1 else "passed"
                collector.add(CaseFinished(case=case, attempt=attempt(outcome)))
        collector.add(Ended(status="completed"))
        return collector.run()

    def collected(self, file: PlannedFile | None, path: str) -> tuple[list[TestCase], Divided | None]:
        ids = [f"{path}::test_{n}" for n in range(self.sizes[path])] if path in self.sizes else [f"{path}::it"]
        if file is None or file.portion is None:
            return [TestCase(id=id, file=path) for id in ids], None
        portion = to_jsonable(file.portion)
        mine = own_cases([(id, "") for id in ids], portion)
        divided = from_jsonable(Divided, told_of(path, ids, mine, portion), source="a slot")
        return [TestCase(id=id, file=path) for id in ids if id in mine], divided


TestShardsTogether = ShardsTogether.TestCase
TestShardsTogether.settings = settings(max_examples=60, stateful_step_count=12)


def shards_of(sizes: dict[str, int], count: int, **options: str) -> Iterator[Run]:
    """All shards of a project, with nothing remembered."""
    machine = ShardsTogether()
    machine.make_project(list(sizes.values()), count, options.get("by", "tests"))
    for index in range(1, count + 1):
        yield machine.executed(machine.planned(index), 0, attempt_number=1)
    machine.teardown()


def test_shards_of_different_files_are_never_green_and_say_why() -> None:
    first, _, third = shards_of({"a": 5, "b": 7, "c": 9}, 3)
    _, second, _ = shards_of({"a": 5, "b": 7, "c": 9, "d": 2}, 3)
    merged = merge([first, second, third])
    assert merged.conclusion() == "incomplete"
    assert "the shards were cut from different plans (" in merged.reason
    assert first.share is not None
    assert f"1/3, 3/3 of plan {first.share.plan}" in merged.reason


def test_shards_cut_in_different_ways_are_never_green() -> None:
    first, _ = shards_of({"a": 50}, 2)
    _, second = shards_of({"a": 50}, 2, by="files")
    assert merge([first, second]).conclusion() == "incomplete"


def test_shards_of_different_commits_are_never_green() -> None:
    runs = [
        replace(run, build=Build(commit=commit))
        for run, commit in zip(shards_of({"a": 1, "b": 1}, 2), "xy", strict=True)
    ]
    assert "different commits: x, y" in merge(runs).reason


def test_a_planned_file_that_is_in_no_report_is_named() -> None:
    first, second = shards_of({"a": 1, "b": 1}, 2)
    assert second.share is not None
    merged = merge([first, replace(second, share=replace(second.share, mine=()), results=())])
    assert merged.uncollected == ("test_1.py",)
    assert merged.conclusion() == "incomplete"


def test_a_test_that_ran_in_two_shards_is_told() -> None:
    first, second = shards_of({"a": 1, "b": 1}, 2)
    merged = merge([first, replace(second, results=(*first.results, *second.results))])
    assert merged.conclusion() == "incomplete"
    assert "ran in two shards" in merged.reason


def test_a_file_that_two_shards_did_not_see_alike_is_told() -> None:
    """Parametrised by a set, whose order is another one in each process."""
    first, second = shards_of({"a": 50}, 2)
    assert second.share is not None
    other = replace(second.share.divided[0], ids="other")
    merged = merge([first, replace(second, share=replace(second.share, divided=(other,)))])
    assert merged.conclusion() == "incomplete"
    assert "pytest does not find the same tests of test_0.py in each process" in merged.reason


def test_a_shard_that_does_not_tell_its_plan_is_never_green() -> None:
    first, second = shards_of({"a": 1, "b": 1}, 2)
    assert merge([first, replace(second, share=None)]).conclusion() == "incomplete"


def test_what_only_one_shard_found_beside_the_plan_is_told() -> None:
    first, second = shards_of({"a": 1, "b": 1}, 2)
    assert second.share is not None
    merged = merge([first, replace(second, share=replace(second.share, beyond=("docs/usage.txt",)))])
    assert "pytest found checks/a.yaml, docs/more.txt in some of the shards only" in merged.reason
