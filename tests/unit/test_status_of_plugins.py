"""A plugin or conftest that decides on pytest's exit status decides on dt's."""

from __future__ import annotations

import pytest

from dt_action.cli.run import exit_code
from dt_action.engine.results import Collector
from dt_action.judging.gates import tolerate
from dt_action.model.build import Build
from dt_action.model.case import Attempt, TestCase
from dt_action.model.event import CaseFinished, Ended, SessionOver
from dt_action.model.plan import Plan
from dt_action.model.run import Run


def ended(*outcomes: str, session: SessionOver | None = None) -> Run:
    """A run of tests with these outcomes, whose session ended so."""
    collector = Collector(Plan(files=()), build=Build())
    for number, outcome in enumerate(outcomes):
        case = TestCase(id=f"t.py::t{number}", file="t.py")
        attempt = Attempt(outcome=outcome, duration_s=0.1)  # type: ignore[arg-type]
        collector.add(CaseFinished(case=case, attempt=attempt, will_retry=False))
    if session is not None:
        collector.add(session)
    collector.add(Ended(status="completed", makespan_s=1.0))
    return tolerate(collector.run(), (), fail_on="failures")


@pytest.mark.parametrize("outcomes", [("passed", "failed"), ("failed", "crashed"), ()])
def test_status_0_set_by_a_plugin_is_the_exit_code_whatever_failed(outcomes: tuple[str, ...]) -> None:
    run = ended(*outcomes, session=SessionOver(session="controller", status=0, exit_code=0))
    assert exit_code(run) == 0
    assert run.conclusion() != "failed"


def test_any_other_status_set_by_a_plugin_is_the_exit_code_and_the_run_is_red() -> None:
    run = ended("passed", session=SessionOver(session="controller", status=77, is_gate=True, exit_code=77))
    assert exit_code(run) == 77
    assert run.conclusion() == "failed"


def test_status_0_forgives_nothing_that_never_reported() -> None:
    run = ended("passed", "lost", session=SessionOver(session="controller", status=0, exit_code=0))
    assert exit_code(run) == 6


def test_without_a_word_of_a_plugin_a_failure_is_red() -> None:
    assert exit_code(ended("passed", "failed", session=SessionOver(session="controller", status=1))) == 1
