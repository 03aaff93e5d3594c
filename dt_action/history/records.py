"""The record of one run, and how any number of records from anywhere become one bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dt_action.model.case import FAILING, Outcome
from dt_action.model.run import Run

MOST_RUNS = 300
"""So many runs are remembered, the newest; each shard and each leg of a matrix is a run."""

MOST_RAN = 8
"""Of so many runs it is kept what files their tests ran: as many as a run may have shards and legs of a matrix."""


MOST_RECORDED = 24
MOST_LARGE = 8
"""So many recordings of what tests entered are kept, of which so many are the largest."""


class Seen(NamedTuple):
    """What a run saw of a case. `duration_s` is that of the deciding attempt, in steps of 0.1 ms."""

    outcome: Outcome
    duration_s: float
    is_flaky: bool = False

    @property
    def is_failing(self) -> bool:
        """True for an outcome that makes a run red."""
        return self.outcome in FAILING


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """
    What is remembered of a run. `commit` is empty where the code had changes that no commit holds.

    `environment` tells the legs of a matrix apart, `attempt` counts re-runs of a build. `started_at` is Unix time in
    seconds. `ran` has the files of which the tests in each test file ran lines, where that was noted; `recorded` is
    what they entered and opened, as `recordings.pack` gives it. `whole` are files whose tests must stay together,
    `single` the files by the fixtures of theirs that only one process can have.
    """

    id: str
    commit: str = ""
    branch: str = ""
    environment: str = ""
    attempt: int = 1
    started_at: float = 0.0
    is_default_branch: bool = False
    cases: Mapping[str, Seen] = field(default_factory=dict)
    ran: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recorded: str = ""
    whole: tuple[str, ...] = ()
    single: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def records_of(run: Run, recorded: str = "") -> tuple[RunRecord, ...]:
    """
    The records of a run, one for each environment that it holds results of; one for a run that holds none.

    A record has every case that has an outcome. A case that never reported is not known. `recorded` is what the tests
    entered, of a run that took place in one environment.
    """
    environments = sorted({result.environment for result in run.results}) or [""]
    recorded = recorded if len(environments) == 1 else ""
    return tuple(_record_of(run, environment, recorded) for environment in environments)


def _record_of(run: Run, environment: str, recorded: str) -> RunRecord:
    build = run.build
    return RunRecord(
        id=f"{run.id} {environment}".rstrip(),
        commit=build.commit,
        branch=build.branch,
        environment=environment or build.environment,
        attempt=build.attempt,
        started_at=round(run.started_at, 3),
        is_default_branch=build.is_default_branch,
        cases={
            result.case.id: Seen(result.outcome, round(max(0.0, result.final.duration_s), 4), result.is_flaky)
            for result in run.results
            if result.environment == environment and result.attempts and result.outcome != "lost"
        },
        ran=run.coverage.ran if run.coverage else {},
        recorded=recorded,
        whole=tuple(file.path for file in run.order_dependent if file.was_split),
        single={fixture.name: fixture.files for fixture in run.single_fixtures},
    )


def merged(*memories: Iterable[RunRecord], most: int = MOST_RUNS) -> tuple[RunRecord, ...]:
    """
    The `most` newest of all records, newest first, each run once.

    The same for any order and grouping of the memories, and for any of them given twice: writers that know nothing
    of each other can merge whenever they meet.
    """
    by_id: dict[str, RunRecord] = {}
    for memory in memories:
        for record in memory:
            known = by_id.setdefault(record.id, record)
            if known != record and _strength(record) > _strength(known):
                by_id[record.id] = record
    newest = sorted(by_id.values(), key=lambda record: (record.started_at, record.id), reverse=True)
    return tuple(_without_old_files(_without_old_recordings(newest[:most])))


def _without_old_recordings(newest: Sequence[RunRecord]) -> Iterator[RunRecord]:
    """The newest recordings, and the largest: runs of a few tests, however many, never push out that of all."""
    recorded = [record for record in newest if record.recorded]
    largest = sorted(recorded, key=lambda record: len(record.recorded), reverse=True)[:MOST_LARGE]
    kept = {record.id for record in (*recorded[: MOST_RECORDED - MOST_LARGE], *largest)}
    for record in newest:
        yield record if not record.recorded or record.id in kept else replace(record, recorded="")


def _without_old_files(newest: Iterable[RunRecord]) -> Iterator[RunRecord]:
    """What files tests ran is large and soon outdated: the few newest runs that know it are enough."""
    known = 0
    for record in newest:
        known += bool(record.ran)
        yield replace(record, ran={}) if record.ran and known > MOST_RAN else record


def _strength(record: RunRecord) -> tuple[float, bool, bool, int, str]:
    """
    Of two records of one run, the stronger one is kept; any fixed total order would do.

    The time comes first, so that a merge never makes a record older: what was dropped as too old stays dropped.
    """
    words = (record.commit, record.branch, record.environment, record.attempt, record.is_default_branch)
    found = record.recorded, record.whole, sorted(record.single.items())
    rest = repr((words, sorted(record.cases.items()), sorted(record.ran.items()), found))
    return record.started_at, bool(record.ran), bool(record.recorded), len(record.cases), rest
