"""A run keeps what is finished, whatever is raised in the middle, and nobody sees its secrets after one step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dt_action import pipeline
from dt_action.engine.results import collect
from dt_action.errors import FleetError, NoTestsError
from dt_action.model.case import Attempt, TestCase, TestFile
from dt_action.model.event import CaseFinished, Ended, Event, FileCollected
from dt_action.model.hardware import FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.report import Publication
from dt_action.model.run import Run

FILE = PlannedFile(path="test_a.py", needs=FileNeeds(path="test_a.py"))
CASES = tuple(TestCase(id=f"test_a.py::t{number}", file="test_a.py") for number in range(2))
BEGUN: tuple[Event, ...] = (
    FileCollected(file="test_a.py", cases=CASES),
    CaseFinished(case=CASES[0], attempt=Attempt(outcome="passed", stdout="hunter2hunter2")),
)


class Parts:
    """Steps that do next to nothing; `breaks` names one that raises `error`."""

    def __init__(self, *, breaks: str = "", error: Exception | None = None, events: tuple[Event, ...] = BEGUN) -> None:
        self.breaks, self.error, self.told = breaks, error or ValueError("a bug"), events
        self.reported: Run | None = None
        self.published: Run | None = None
        self.is_closed = False

    def prepare(self) -> None: ...

    def discover(self) -> list[TestFile]:
        return [TestFile(path="test_a.py")]

    def analyze(self, files: Any) -> dict[str, FileNeeds]:
        return {}

    def plan(self, files: Any, needs: Any) -> Plan:
        return Plan(files=(FILE,))

    def execute(self, plan: Plan) -> Iterator[Event]:
        try:
            yield from self.told
            self._break("execute")
            yield Ended(status="completed")
        finally:
            self.is_closed = True

    def collect(self, plan: Plan, events: Iterator[Event]) -> Run:
        return collect(plan, events, listener=lambda event: self._break("progress"))

    def judge(self, run: Run) -> Run:
        self._break("judge")
        return run

    def redact(self, run: Run) -> Run:
        return replace(run, reason=run.reason.replace("hunter2", "***"), command="redacted")

    def report(self, run: Run) -> Publication:
        self.reported = run
        self._break("report")
        return Publication(title="t", summary_markdown="s")

    def publish(self, run: Run, publication: Publication) -> list[str]:
        self.published = run
        self._break("publish")
        return ["refused"]

    def _break(self, step: str) -> None:
        if step == self.breaks:
            if isinstance(self.error, KeyboardInterrupt):
                self.breaks = ""  # nobody presses it twice
            raise self.error


def run(parts: Parts) -> pipeline.Outcome:
    return pipeline.run(pipeline.Steps.from_methods_of(parts))


@pytest.mark.parametrize("error", [FleetError("the head of the cluster is gone"), RuntimeError("dictionary changed")])
def test_what_a_fleet_raises_in_the_middle_ends_the_run_with_the_reason_and_all_results(error: Exception) -> None:
    parts = Parts(breaks="execute", error=error)
    outcome = run(parts)
    assert [(result.id, result.outcome) for result in outcome.run.results] == [
        ("test_a.py::t0", "passed"),
        ("test_a.py::t1", "lost"),
    ]
    assert (outcome.run.status, outcome.run.conclusion()) == ("stopped", "incomplete")
    assert str(error) in outcome.run.reason
    assert outcome.troubles == [error]
    assert parts.published is not None


def test_what_a_fleet_raises_before_any_test_is_known_is_raised() -> None:
    with pytest.raises(FleetError):
        run(Parts(breaks="execute", error=FleetError("nobody answers"), events=()))


@pytest.mark.parametrize("step", ["judge", "report", "publish"])
def test_what_a_step_after_the_tests_raises_is_kept_and_the_next_steps_go_on(step: str) -> None:
    parts = Parts(breaks=step)
    outcome = run(parts)
    assert outcome.run.totals().passed == 1
    assert outcome.troubles == [parts.error]
    assert parts.published is not None
    assert any("a bug" in notice.text for notice in outcome.run.notices) == (step == "judge")


def test_a_progress_that_cannot_be_shown_costs_no_result() -> None:
    outcome = run(Parts(breaks="progress"))
    assert outcome.run.totals().passed == 1
    assert any("progress" in notice.text for notice in outcome.run.notices)


def test_ctrl_c_closes_the_fleet_and_keeps_what_finished() -> None:
    parts = Parts(breaks="progress", error=KeyboardInterrupt())  # type: ignore[arg-type]
    outcome = run(parts)
    assert parts.is_closed
    assert outcome.run.status == "cancelled"


def test_a_fleet_may_tell_its_events_as_any_iterator() -> None:
    parts = Parts()
    outcome = pipeline.followed(
        pipeline.Steps.from_methods_of(parts), Plan(files=()), iter([Ended(status="completed")])
    )
    assert (outcome.run.status, outcome.troubles) == ("completed", [])


def test_no_step_after_redaction_sees_the_run_as_it_was() -> None:
    parts = Parts()
    outcome = run(parts)
    assert parts.reported is parts.published is outcome.run
    assert outcome.run.command == "redacted"


def test_nothing_to_run_is_an_error() -> None:
    parts = Parts()
    parts.discover = list  # type: ignore[method-assign]
    with pytest.raises(NoTestsError):
        run(parts)
