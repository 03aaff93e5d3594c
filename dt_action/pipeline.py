"""A run, left to right: discover, analyze, plan, execute, collect, judge, redact, report, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
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

    `prepare` starts what takes its time by itself, such as an interpreter. `discover` may return files that pytest then
    ignores; the fleet's word counts. `judge` says what a run is worth: coverage, baseline, quarantine, gates, history.
    `redact` takes the secrets out, and no step after it sees the run as it was.
    """

    prepare: Callable[[], None]
    discover: Callable[[], Sequence[TestFile]]
    analyze: Callable[[Sequence[TestFile]], Mapping[str, FileNeeds]]
    plan: Callable[[Sequence[TestFile], Mapping[str, FileNeeds]], Plan]
    execute: Callable[[Plan], Iterator[Event]]
    collect: Callable[[Plan, Iterator[Event]], Run]
    judge: Callable[[Run], Run]
    redact: Callable[[Run], Run]
    report: Callable[[Run], Publication]
    publish: Callable[[Run, Publication], Sequence[str]]

    @classmethod
    def from_methods_of(cls, parts: object) -> Steps:
        """The steps that are methods of `parts`."""
        return cls(**{step.name: getattr(parts, step.name) for step in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    A finished run without its secrets, what was told of it, and what the CI service refused.

    `troubles` are the errors that a fleet or a step raised once tests had run; what they cost is told in the run.
    """

    run: Run
    publication: Publication
    refusals: Sequence[str] = ()
    troubles: Sequence[Exception] = ()


def run(steps: Steps) -> Outcome:
    """
    Take a project from its test files to what the CI service shows.

    Nothing finished is thrown away: once tests have run, whatever is raised ends the run as `stopped` with the reason,
    and the rest is judged and reported. So does Ctrl-C, as `cancelled` (`collect` sees to that). Raises NoTestsError
    where there is nothing to run, FleetError where no test could be started.
    """
    plan = planned(steps)
    return followed(steps, plan, steps.execute(plan))


def planned(steps: Steps) -> Plan:
    """What there is to run. Raises NoTestsError where that is nothing."""
    steps.prepare()
    files = steps.discover()
    if not files:
        raise NoTestsError(
            "no test file was found", hint="name a directory with --test-dir, or a glob with --test-pattern"
        )
    return steps.plan(files, steps.analyze(files))


def followed(steps: Steps, plan: Plan, events: Iterator[Event]) -> Outcome:
    """From what is told of a run to what the CI service shows."""
    troubles: list[Exception] = []
    collected = steps.collect(plan, _to_the_end(events, troubles))
    return conclude(steps, collected, troubles)


def conclude(steps: Steps, collected: Run, troubles: Sequence[Exception] = ()) -> Outcome:
    """Judge, report and publish what was collected. What one of these steps raises is told, and the next ones go on."""
    from dt_action.model.report import Publication

    met = [*troubles]
    judged = collected
    with _kept(met):
        judged = steps.judge(collected)
    told = steps.redact(_with_notices(judged, met[len(troubles) :]))
    publication = Publication(title="", summary_markdown="")
    refusals: Sequence[str] = ()
    with _kept(met):
        publication = steps.report(told)
    with _kept(met):
        refusals = steps.publish(told, publication)
    return Outcome(run=told, publication=publication, refusals=refusals, troubles=met)


def _to_the_end(events: Iterator[Event], troubles: list[Exception]) -> Iterator[Event]:
    """The fleet's events; what it raises once the first test is known is its end, with the reason."""
    from dt_action.model.event import CaseFinished, Ended, FileCollected, abandon

    has_begun = False
    try:
        for event in events:
            has_begun = has_begun or isinstance(event, (CaseFinished, FileCollected))
            yield event
    except Exception as error:
        if not has_begun:
            raise
        troubles.append(error)
        yield Ended(status="stopped", reason=_reason(error))
    finally:
        abandon(events)


class _kept:  # noqa: N801 - a context manager
    """Keeps an error instead of raising it."""

    def __init__(self, met: list[Exception]) -> None:
        self._met = met

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        if isinstance(error, Exception):
            self._met.append(error)
            return True
        return False


def _with_notices(run: Run, troubles: Sequence[Exception]) -> Run:
    from dt_action.model.event import Notice

    notices = (Notice(level="error", text=f"the run could not be judged: {_reason(error)}") for error in troubles)
    return replace(run, notices=(*run.notices, *notices))


def _reason(error: Exception) -> str:
    """What an error says, in a line; a bug's type says more than its text."""
    from dt_action.errors import DtError

    return error.message if isinstance(error, DtError) else f"a bug in dt: {type(error).__name__}: {error}"
