"""Events to a Run: what came of every case, and the names of those that never reported."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from dt_action.model.build import Build
from dt_action.model.case import Attempt, Property, TestCase, TestResult
from dt_action.model.change import BY_A_PLUGIN, Tolerated
from dt_action.model.event import (
    CaseFinished,
    CaseUnplaced,
    Ended,
    Event,
    FileCollected,
    FileSkipped,
    FilesKnown,
    FixtureIsSingle,
    Notice,
    OrderDependent,
    PropertyRecorded,
    SessionOver,
    Warned,
    WorkerJoined,
    abandon,
)
from dt_action.model.hardware import Finding
from dt_action.model.plan import Divided, Plan, Share
from dt_action.model.run import DependentFile, PytestWarning, Run, SingleFixture, SkippedFile, Unplaced, WorkerInfo


def collect(
    plan: Plan,
    events: Iterator[Event],
    *,
    build: Build | None = None,
    listener: Callable[[Event], None] = lambda event: None,
    command: str = "",
    clock: Callable[[], float] = time.time,
) -> Run:
    """
    Take in a fleet's events until it ends, passing each on to `listener`.

    Ctrl-C ends the run there and then, as `cancelled`, with all that had finished kept. A listener that fails is told
    in a notice and hears no more.
    """
    collector = Collector(plan, build=build or Build(), command=command, started_at=clock())
    hears: Callable[[Event], None] | None = listener

    def take_in(event: Event) -> None:
        nonlocal hears
        collector.add(event)
        try:
            if hears is not None:
                hears(event)
        except Exception as error:  # a bug of what shows the progress costs nobody the results
            hears = None
            collector.add(Notice(level="error", text=f"the progress could not be shown: {error!r}"))

    try:
        for event in events:
            take_in(event)
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            abandon(events)
        makespan_s = clock() - collector.started_at
        take_in(Ended(status="cancelled", reason="interrupted from the keyboard", makespan_s=makespan_s))
    return collector.run()


class Collector:
    """Gathers the events of one run. Each case counts once, however often it is told."""

    def __init__(self, plan: Plan, *, build: Build, command: str = "", started_at: float = 0.0) -> None:
        self.started_at = started_at
        self._plan = plan
        self._build = build
        self._command = command
        self._cases: dict[str, TestCase] = {}
        self._attempts: dict[str, list[Attempt]] = {}
        self._final: set[str] = set()
        self._unplaced: dict[str, Unplaced] = {}
        self._skipped_files: dict[str, SkippedFile] = {}
        self._workers: dict[str, WorkerInfo] = {}
        self._notices: list[Notice] = []
        self._properties: dict[str, Property] = {}
        self._warnings: Counter[tuple[str, str, str, int]] = Counter()
        self._sessions: list[SessionOver] = []
        self._dependent: dict[str, OrderDependent] = {}
        self._single: dict[str, set[str]] = {}
        self._known: Sequence[str] | None = None
        self._collected: set[str] = set()
        self._divided: dict[str, Divided] = {}
        self._collect_s = 0.0
        self._ended = Ended(status="stopped", reason="the fleet never said that it was done")

    def add(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case FileCollected():
                self._collected.add(event.file)
                if event.divided is not None:
                    self._divided[event.file] = event.divided
                self._collect_s += event.duration_s
                self._cases.update({case.id: case for case in event.cases})
            case CaseFinished():
                if event.case.id not in self._final:
                    self._cases[event.case.id] = event.case
                    self._attempts.setdefault(event.case.id, []).append(event.attempt)
                    if not event.will_retry:
                        self._final.add(event.case.id)
            case CaseUnplaced():
                self._unplaced[event.case.id] = Unplaced(case=event.case, reason=event.reason)
            case FileSkipped():
                self._skipped_files[event.file] = SkippedFile(path=event.file, reason=event.reason)
            case WorkerJoined():
                self._workers[event.worker] = WorkerInfo(
                    name=event.worker,
                    slots=event.slots,
                    capability=event.capability,
                    environment=event.environment,
                )
            case FilesKnown():
                self._known = event.files
            case Ended():
                self._ended = event
            case _:
                self._remark(event)

    def _remark(self, event: Event) -> None:
        """Take in what is no test's outcome."""
        match event:
            case PropertyRecorded():
                self._properties[event.name] = Property(name=event.name, value=event.value)
            case Notice():
                self._notices.append(event)
            case Warned():
                self._warnings[(event.category, event.text, event.file, event.line)] += 1
            case SessionOver():
                self._sessions.append(event)
            case OrderDependent():
                self._dependent[event.file] = event
                self._notices.append(Notice(level="warning", text=_dependence(event)))
            case FixtureIsSingle():
                self._single.setdefault(event.fixture, set()).add(event.file)
            case _:
                pass

    def run(self) -> Run:
        """Everything so far as a Run, in the order of the plan's files and of the cases in them."""
        place = {file.path: index for index, file in enumerate(sorted(self._plan.files, key=lambda file: file.path))}
        order = sorted(self._cases.values(), key=lambda case: (place.get(case.file, len(place)), case.file))
        was_left = self._ended.status == "stopped" and self._ended.is_wanted
        not_run = [case for case in order if was_left and case.id not in self._attempts]
        left_out = {*self._unplaced, *(case.id for case in not_run)}
        results = tuple(
            TestResult(case=case, attempts=tuple(self._attempts.get(case.id, ())))
            for case in order
            if case.id not in left_out
        )
        findings: tuple[Finding, ...] = tuple(finding for file in self._plan.files for finding in file.needs.findings)
        return Run(
            id=os.urandom(16).hex(),
            build=self._build,
            results=results,
            uncollected=self._uncollected(),
            unplaced=tuple(self._unplaced.values()),
            skipped_files=tuple(self._skipped_files.values()),
            workers=tuple(self._workers.values()),
            findings=findings,
            notices=tuple(self._notices),
            warnings=tuple(
                PytestWarning(category=category, text=text, file=file, line=line, count=count)
                for (category, text, file, line), count in self._warnings.items()
            ),
            order_dependent=tuple(
                DependentFile(path=path, was_split=told.was_split) for path, told in sorted(self._dependent.items())
            ),
            single_fixtures=tuple(
                SingleFixture(name=name, files=tuple(sorted(files))) for name, files in sorted(self._single.items())
            ),
            not_run=tuple(case.id for case in not_run),
            breaches=tuple(dict.fromkeys(map(_breach, filter(_is_breach, self._sessions)))),
            properties=tuple(self._properties.values()),
            plugin_summary="\n".join(over.summary for over in self._sessions if over.summary),
            exit_code=self._exit_code,
            tolerated=tuple(_forgiven(results)) if self._exit_code == 0 else (),
            status=self._ended.status,
            reason=self._ended.reason,
            started_at=self.started_at,
            makespan_s=self._ended.makespan_s,
            collect_s=self._collect_s,
            command=self._command,
            is_selection=self._plan.is_selection,
            shard=str(self._plan.shard or ""),
            share=self._share(),
            selection=self._plan.selection,
        )

    @property
    def _exit_code(self) -> int | None:
        return next((over.exit_code for over in self._sessions if over.exit_code is not None), None)

    def _share(self) -> Share | None:
        plan = self._plan
        if not plan.digest:
            return None
        mine = tuple(file.path for file in plan.files)
        planned = {*mine, *plan.elsewhere}
        return Share(
            plan=plan.digest,
            files=tuple(sorted(planned)),
            mine=tuple(sorted(mine)),
            divided=tuple(self._divided.values()),
            beyond=tuple(sorted(set(self._known or ()) - planned)) if plan.shard and not plan.is_selection else (),
        )

    def _uncollected(self) -> tuple[str, ...]:
        """
        The planned files of which nothing is known.

        One that pytest would not collect anyway holds no tests; but where a folder failed as a whole, pytest could
        not say what is in it.
        """
        broken = tuple(f"{case.id}/" for case in self._cases.values() if case.id == case.file)
        known = None if self._known is None else set(self._known)
        told = self._collected | {case.file for case in self._cases.values()} | set(self._unplaced)
        return tuple(
            file.path
            for file in self._plan.files
            if file.path not in told and (known is None or file.path in known or file.path.startswith(broken))
        )


def _forgiven(results: Sequence[TestResult]) -> Iterator[Tolerated]:
    """The failing results, where the project's own plugins let its pytest end with 0 all the same."""
    return (Tolerated(id=result.id, reason=BY_A_PLUGIN) for result in results if result.final.is_failing)


def _is_breach(over: SessionOver) -> bool:
    return over.is_gate


def _breach(over: SessionOver) -> str:
    """Why a session makes the run red, though its tests did not."""
    if over.error:
        last = over.error.strip().rpartition("\n")[2]
        return f"the pytest session raised at its end: {last}"
    last = over.summary.strip().rpartition("\n")[2]
    return f"a plugin or conftest ended pytest with status {over.status}" + (f": {last}" if last else "")


def _dependence(told: OrderDependent) -> str:
    """What a person should know of a file whose tests need their order."""
    if told.was_split:
        return (
            f"{told.file} depends on its order: tests of it failed in several processes and pass in one, as in plain "
            "pytest; from now on they stay together"
        )
    return f"{told.file} depends on what runs before it: tests of it failed here and pass in pytest's own order"
