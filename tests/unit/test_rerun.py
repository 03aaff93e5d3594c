"""A further attempt runs what failed, died or never ran, and takes the rest from the one before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import attempt

from dt_action.engine.results import Collector
from dt_action.judging.merging import merge
from dt_action.judging.rerun import continued, earlier_attempt, still_to_run
from dt_action.model.build import Build
from dt_action.model.case import TestCase, TestResult
from dt_action.model.event import CaseFinished, Ended, FileCollected, FileSkipped, FilesKnown
from dt_action.model.hardware import FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.run import Run
from dt_action.planning.cut import whole
from dt_action.reports.formats import run_json

BEYOND = "docs/usage.txt"
Outcomes = dict[str, str]
"""What each test would come to in one attempt; a file that stands there itself cannot be collected."""


def a_plan(*paths: str) -> Plan:
    return whole(Plan(files=tuple(PlannedFile(path=path, needs=FileNeeds(path=path)) for path in paths)))


class Project:
    """Files with tests, and how often each of them ran."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.cases = {path: [f"{path}::test_{n}" for n in range(size)] for path, size in sizes.items()}
        self.cases[BEYOND] = [f"{BEYOND}::it"]
        self.plan = a_plan(*sizes)
        self.ran: Counter[str] = Counter()
        self.last: Outcomes = {}

    def attempt(
        self, plan: Plan, comes_to: Outcomes, *, most: int = 1000, number: int = 1, commit: str = "c0ffee"
    ) -> Run:
        """One attempt, which is killed after `most` tests."""
        build = Build(commit=commit, attempt=number)
        collector = Collector(plan, build=build, started_at=float(number))
        collector.add(FilesKnown(files=tuple(self.cases)))
        is_killed = False
        wanted = {file.path: file.chosen for file in plan.files}
        for path in plan.own(self.cases):
            if path in comes_to:
                collector.add(
                    CaseFinished(case=TestCase(id=path, file=path), attempt=attempt(comes_to[path], "broken"))
                )
                continue
            is_killed |= most <= 0
            if is_killed:
                continue
            if not self.cases[path]:
                collector.add(FileSkipped(file=path, reason="not here"))
            chosen = wanted.get(path, ())
            cases = [TestCase(id=id, file=path) for id in self.cases[path] if not chosen or id in chosen]
            collector.add(FileCollected(file=path, cases=tuple(cases)))
            for case in cases:
                is_killed |= most <= 0
                most -= 1
                if not is_killed:
                    self.ran[case.id] += 1
                    self.last[case.id] = comes_to.get(case.id, "passed")
                    collector.add(CaseFinished(case=case, attempt=attempt(self.last[case.id], "boom")))
        collector.add(Ended(status="cancelled" if is_killed else "completed"))
        return run_json.read(run_json.write(collector.run()))

    def again(self, earlier: Run, comes_to: Outcomes, *, most: int = 1000, number: int = 2) -> Run:
        """A further attempt, as `--rerun-failed` makes it."""
        found = earlier_attempt([earlier], self.plan, Build(commit="c0ffee", attempt=number), str)
        assert isinstance(found, Run), found
        return continued(
            found, self.attempt(still_to_run(found, self.plan, str), comes_to, most=most, number=number), str
        )


@st.composite
def attempts_of(draw: st.DrawFn) -> tuple[dict[str, int], list[tuple[Outcomes, int]]]:
    """A project, and what its tests come to in each attempt, and after how many tests that one is killed."""
    sizes = {f"test_{n}.py": size for n, size in enumerate(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))}
    cases = [f"{path}::test_{n}" for path, size in sizes.items() for n in range(size)] + [f"{BEYOND}::it"]
    bad = st.dictionaries(st.sampled_from(cases), st.sampled_from(["failed", "crashed", "timeout"]), max_size=3)
    broken = st.dictionaries(st.sampled_from(list(sizes)), st.just("error"), max_size=1)
    one = st.tuples(st.builds(lambda a, b: {**a, **b}, bad, broken), st.sampled_from([1000, 1000, 0, 1, 3]))
    return sizes, draw(st.lists(one, min_size=2, max_size=5))


@settings(max_examples=200)
@given(attempts_of())
def test_any_number_of_attempts_is_one_run_that_lost_nothing(
    made: tuple[dict[str, int], list[tuple[Outcomes, int]]],
) -> None:
    sizes, tries = made
    project = Project(sizes)
    run = project.attempt(project.plan, tries[0][0], most=tries[0][1])
    for number, (comes_to, most) in enumerate(tries[1:], 2):
        before, good = Counter(project.ran), {item.case.id for item in run.results if item.outcome == "passed"}
        if isinstance(earlier_attempt([run], project.plan, run.build, str), str):
            assert run.conclusion() in ("passed", "skipped")
            return
        run = run_json.read(run_json.write(project.again(run, comes_to, most=most, number=number)))
        assert not good & set(project.ran - before), "what passed is not run again"
        assert good <= {item.case.id for item in run.results if item.outcome == "passed"}
    if run.conclusion() == "passed":
        assert {item.case.id for item in run.results} == {id for ids in project.cases.values() for id in ids}
    for item in run.results:
        if item.case.id in project.last and item.outcome != "lost":
            tried = [one for one in item.attempts if one.outcome != "lost"]
            assert (item.outcome, len(tried)) == (project.last[item.case.id], project.ran[item.case.id])


def test_a_test_that_passes_again_is_flaky_and_nothing_else_runs() -> None:
    project = Project({"a.py": 3, "b.py": 2})
    first = project.attempt(project.plan, {"a.py::test_1": "failed", "b.py::test_0": "crashed"})
    again = project.again(first, {"b.py::test_0": "failed"})
    assert project.ran - Counter(dict.fromkeys(project.ran, 1)) == Counter({"a.py::test_1": 1, "b.py::test_0": 1})
    assert [item.case.id for item in again.results if item.is_flaky] == ["a.py::test_1"]
    assert [item.case.id for item in again.failures()] == ["b.py::test_0"]
    assert again.totals().line() == "5 passed, 1 failed, 0 skipped"
    assert "2 tests were run again, 4 are those of an earlier attempt" in again.notices[-1].text


def test_a_file_that_could_not_be_collected_is_green_once_it_can_be() -> None:
    project = Project({"a.py": 2, "b.py": 1})
    first = project.attempt(project.plan, {"a.py": "error"})
    again = project.again(first, {})
    assert again.conclusion() == "passed"
    assert again.totals().line() == "4 passed, 0 failed, 0 skipped"
    assert merge([first, again]).totals().line() == "4 passed, 0 failed, 0 skipped"


def test_a_file_that_skipped_itself_is_not_run_again_and_not_forgotten() -> None:
    project = Project({"a.py": 1, "none.py": 0})
    first = project.attempt(project.plan, {"a.py::test_0": "failed"})
    again = project.again(first, {})
    assert [file.path for file in again.skipped_files] == ["none.py"]


def test_reports_of_both_attempts_count_once() -> None:
    project = Project({"a.py": 2})
    first = project.attempt(project.plan, {"a.py::test_0": "failed"})
    again = project.again(first, {})
    merged = merge([again, first])
    assert [len(item.attempts) for item in merged.results] == [2, 1, 1]
    assert merged.conclusion() == "passed"
    third = earlier_attempt([again, first], project.plan, first.build, str)
    assert third == "no test failed in the earlier attempt, and none is missing"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"build": Build(commit="other")}, "the earlier attempt ran other, and this is c0ffee"),
        ({"build": Build(commit="")}, "the earlier attempt ran code that no commit holds, and this is c0ffee"),
        ({"share": None}, "the earlier attempt had another plan"),
        ({"build": Build(commit="c0ffee", environment="mac")}, "there is no report of an earlier attempt"),
        ({"shard": "1/2"}, "there is no report of an earlier attempt"),
    ],
)
def test_everything_runs_where_the_earlier_report_is_of_something_else(change: dict[str, object], why: str) -> None:
    project = Project({"a.py": 2})
    first = project.attempt(project.plan, {"a.py::test_0": "failed"})
    other = replace(first, **change)  # type: ignore[arg-type]
    assert earlier_attempt([other], project.plan, first.build, str) == why


def test_everything_runs_where_the_earlier_attempt_was_green() -> None:
    project = Project({"a.py": 2})
    first = project.attempt(project.plan, {})
    assert isinstance(earlier_attempt([first], project.plan, first.build, str), str)


def test_a_test_with_a_secret_in_its_name_is_not_found_by_its_mask_so_that_its_file_runs_again() -> None:
    cases = {"a.py::test[***6df5]": "failed", "a.py::test_other": "passed", "b.py::test": "failed"}
    results = tuple(
        TestResult(case=TestCase(id=id, file=id[:4]), attempts=(attempt(outcome),)) for id, outcome in cases.items()
    )
    left = still_to_run(Run(id="r", results=results), a_plan("a.py", "b.py"), str)
    assert [(file.path, file.chosen) for file in left.files] == [("a.py", ()), ("b.py", ("b.py::test",))]
