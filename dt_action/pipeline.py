"""A run, left to right: discover, analyze, plan, execute, collect, report, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dt_action.errors import NoTestsError

if TYPE_CHECKING:
    from dt_action.model.case import TestFile
    from dt_action.model.event import Event
    from dt_action.model.hardware import FileNeeds
    from dt_action.model.plan import Plan
    from dt_action.model.report import Publication
    from dt_action.model.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """
    The steps of a run, each a function of what the step before it gave.

    `cli` builds them from the options; `CICDIntegration` builds them from its methods, so that a subclass can
    change one. `prepare` starts what takes its time by itself, such as an interpreter. `discover` may return files
    that pytest then ignores; the fleet's word counts.
    """

    prepare: Callable[[], None]
    discover: Callable[[], Sequence[TestFile]]
    analyze: Callable[[Sequence[TestFile]], Mapping[str, FileNeeds]]
    plan: Callable[[Sequence[TestFile], Mapping[str, FileNeeds]], Plan]
    execute: Callable[[Plan], Iterator[Event]]
    collect: Callable[[Plan, Iterator[Event]], Run]
    report: Callable[[Run], Publication]
    publish: Callable[[Run, Publication], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished run, what was told of it, and what the CI service refused."""

    run: Run
    publication: Publication
    refusals: Sequence[str]


def run(steps: Steps) -> Outcome:
    """
    Take a project from its test files to what the CI service shows.

    Ctrl-C while tests execute ends the run as `cancelled` and still reports what had finished (`collect` sees to
    that). Raises NoTestsError where there is nothing to run, FleetError where no test could be started.
    """
    steps.prepare()
    files = steps.discover()
    if not files:
        raise NoTestsError(
            "no test file was found", hint="name a directory with --test-dir, or a glob with --test-pattern"
        )
    needs = steps.analyze(files)
    plan = steps.plan(files, needs)
    finished = steps.collect(plan, steps.execute(plan))
    publication = steps.report(finished)
    return Outcome(run=finished, publication=publication, refusals=steps.publish(finished, publication))
