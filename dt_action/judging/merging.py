"""Makes one run of the runs of several shards, environments and CI attempts, in whatever order their files came."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import TypeVar

from dt_action.judging import shards
from dt_action.model.build import Build
from dt_action.model.case import FAILING, LOST, Attempt, TestCase, TestResult
from dt_action.model.event import Notice
from dt_action.model.paths import Paths
from dt_action.model.run import Run, Status, Unplaced, WorkerInfo
from dt_action.reports.formats import run_json

T = TypeVar("T")
_WORST_FIRST: tuple[Status, ...] = ("timeout", "cancelled", "stopped", "completed")
_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})")
MOST_SHARDS = 10_000


@dataclass(frozen=True, slots=True)
class _Leg:
    """The runs of one share in one environment: the CI service's attempts at it, oldest first."""

    label: str
    runs: tuple[Run, ...]

    @property
    def last(self) -> Run:
        return self.runs[-1]


def merge(runs: Iterable[Run], expected_shards: Iterable[str] = ()) -> Run:
    """
    One run; the same one for any order of `runs`, and for a run that is given twice.

    Results are keyed by (test id, environment, CI attempt): an id that ran in two environments stands there twice,
    a later CI attempt adds its attempts after the earlier ones and decides, and where one key was reported twice
    a failure outranks a pass. A run that another one includes is left out, and so is a file that could not be collected
    at one attempt and could be at a later one. What else a run tells is taken from the last CI attempt at each share.

    A run of shards that are not of one plan, or have a test of it twice or not at all, is `stopped`, and the reason
    tells which. Shards that never came are named: those of `expected_shards` (`2/4`, or `linux 2/4` in the environment
    `linux`), and those that a shard `1/4` implies. What cannot be added up (a coverage total, the change against a
    baseline) stays only where all tell the same: work it out anew from the merged run. An empty `runs` gives a run
    in which every expected shard is missing.
    """
    legs = _legs(_seen_from_one_folder(_not_included(runs)))
    last = [leg.last for leg in legs]
    names = _worker_names(legs)
    ids = sorted({run.id for run in last})
    starts = [run.started_at for run in last if run.started_at > 0]
    missing = _missing(legs, expected_shards)
    plan = shards.judge(last, is_whole=not missing)
    reasons = [*plan.faults, *(run.reason for run in last if run.reason)]
    statuses: tuple[Status, ...] = (*(run.status for run in last), *(("stopped",) if plan.faults else ()))
    return Run(
        id=ids[0] if len(ids) == 1 else "merged-" + sha256("\0".join(ids).encode("utf-8", "replace")).hexdigest()[:12],
        build=_common_build([run.build for run in last]),
        results=tuple(_results(legs, names)),
        uncollected=_unique([*(path for run in last for path in run.uncollected), *plan.unreported]),
        unplaced=_unplaced(last),
        skipped_files=_unique(file for run in last for file in run.skipped_files),
        workers=_workers(legs, names),
        findings=_unique(finding for run in last for finding in run.findings),
        notices=_unique(_labelled(leg.label, notice) for leg in legs for notice in leg.last.notices),
        warnings=_unique(warning for run in last for warning in run.warnings),
        plugin_summary="\n".join(_unique(run.plugin_summary for run in last if run.plugin_summary)),
        order_dependent=_unique(file for run in last for file in run.order_dependent),
        single_fixtures=_unique(fixture for run in last for fixture in run.single_fixtures),
        not_run=_unique(id for run in last for id in run.not_run),
        missing_shards=missing,
        untested_commit=next((run.untested_commit for run in last if run.untested_commit), ""),
        change=_same([run.change for run in last], None),
        tolerated=_unique(item for run in last for item in run.tolerated),
        breaches=_unique(breach for run in last for breach in run.breaches),
        flaky_rates=_unique(rate for run in last for rate in run.flaky_rates),
        owners=_unique(owned for run in last for owned in run.owners),
        selection=_same([run.selection for run in last], None),
        is_selection=any(run.is_selection for run in last),
        coverage=_same([run.coverage for run in last], None),
        status=min(statuses, key=_WORST_FIRST.index, default="completed"),
        reason="; ".join(_unique(reasons)),
        started_at=min(starts, default=0.0),
        makespan_s=max((run.makespan_s for run in last), default=0.0),
        collect_s=sum(run.collect_s for run in last),
        command=_same([run.command for run in last], ""),
        paths=_same([run.paths for run in last], None),
        properties=_unique(item for run in last for item in run.properties),
        output_dir=_same([run.output_dir for run in last], ""),
    )


def shard_names(count: int) -> tuple[str, ...]:
    """`4` -> `1/4`, `2/4`, `3/4`, `4/4`."""
    return tuple(f"{index}/{count}" for index in range(1, count + 1))


def _not_included(runs: Iterable[Run]) -> list[Run]:
    """Without those whose results are in another one, which was a further attempt at the same."""
    runs = list(runs)
    included = {id for run in runs for id in run.includes}
    return [run for run in runs if run.id not in included]


def _legs(runs: Iterable[Run]) -> list[_Leg]:
    """Sorted by environment, shard and job, so that nothing after this depends on the order in which files came."""
    by_share: dict[tuple[str, str, str], list[tuple[int, float, bytes, Run]]] = {}
    for run in runs:
        build = run.build
        content = sha256(run_json.write(run)).digest()
        share = by_share.setdefault((build.environment, run.shard, build.job), [])
        share.append((build.attempt, run.started_at, content, run))
    legs = []
    for key in sorted(by_share, key=lambda key: [_natural(word) for word in key]):
        distinct = {content: entry for entry in by_share[key] for content in [entry[2]]}
        ordered = sorted(distinct.values(), key=lambda entry: entry[:3])
        legs.append(_Leg(_label(key[0], key[1]), tuple(entry[3] for entry in ordered)))
    return legs


def _seen_from_one_folder(runs: Sequence[Run]) -> Sequence[Run]:
    """
    The runs, with files named from the repository's top where they are of several projects in it.

    Each names its files from its own folder, and two of them may call different files by one name.
    """
    if len({run.paths for run in runs}) < 2 or not all(run.paths for run in runs):
        return runs
    return [_seen_from_top(run, run.paths) for run in runs if run.paths]


def _seen_from_top(run: Run, paths: Paths) -> Run:
    def renamed(case: TestCase) -> TestCase:
        file = paths.in_repository(case.file) or case.file
        return replace(case, id=file + case.id.removeprefix(case.file), file=file)

    return replace(
        run,
        results=tuple(replace(result, case=renamed(result.case)) for result in run.results),
        unplaced=tuple(replace(item, case=renamed(item.case)) for item in run.unplaced),
        uncollected=tuple(paths.in_repository(file) or file for file in run.uncollected),
        skipped_files=tuple(
            replace(item, path=paths.in_repository(item.path) or item.path) for item in run.skipped_files
        ),
        paths=Paths(),
    )


def _results(legs: Sequence[_Leg], names: dict[tuple[str, str], str]) -> Iterator[TestResult]:
    merged: dict[tuple[str, str], dict[int, TestResult]] = {}
    has_several = len({run.build.environment for leg in legs for run in leg.runs}) > 1 or any(
        result.environment for leg in legs for run in leg.runs for result in run.results
    )
    for leg in legs:
        for run, result in _told(leg):
            environment = result.environment or run.build.environment
            tries = merged.setdefault((environment, result.case.id), {})
            renamed = _renamed(result, leg.label, names)
            renamed = replace(renamed, environment=environment if has_several else "")
            rival = tries.get(run.build.attempt)
            tries[run.build.attempt] = min(rival, renamed, key=_weight) if rival else renamed
    for tries in merged.values():
        ordered = [tries[attempt] for attempt in sorted(tries)]
        left = tuple(artifact for result in ordered for artifact in result.artifacts)
        yield (
            ordered[0] if len(ordered) == 1 else replace(ordered[-1], attempts=tuple(_chained(ordered)), artifacts=left)
        )


def _told(leg: _Leg) -> Iterator[tuple[Run, TestResult]]:
    """The results of all attempts at a share, but for files that could be collected at a later attempt only."""
    collected: dict[str, int] = {}
    for run in leg.runs:
        for item in run.results:
            if item.case.id != item.case.file:
                collected[item.case.file] = run.build.attempt
    for run in leg.runs:
        for item in run.results:
            is_file = item.case.id == item.case.file
            if not is_file or collected.get(item.case.file, 0) <= run.build.attempt:
                yield run, item


def _chained(results: Sequence[TestResult]) -> Iterator[Attempt]:
    """All attempts in a row. A test that is lost in the end stays lost, whatever it did before."""
    for result in results:
        yield from result.attempts
    if not results[-1].attempts:
        yield LOST


def _weight(result: TestResult) -> tuple[int, float, str]:
    """Of two reports of the same execution the one that weighs less is kept: a failure, then a loss, then the later."""
    outcome = result.outcome
    rank = 0 if outcome in FAILING else 1 if outcome == "lost" else 2
    return rank, -result.final.started_at, repr(result)


def _renamed(result: TestResult, label: str, names: dict[tuple[str, str], str]) -> TestResult:
    if not names or not any((label, attempt.worker) in names for attempt in result.attempts):
        return result
    attempts = (replace(item, worker=names.get((label, item.worker), item.worker)) for item in result.attempts)
    return replace(result, attempts=tuple(attempts))


def _worker_names(legs: Sequence[_Leg]) -> dict[tuple[str, str], str]:
    """New names for workers whose name, such as `local`, means different machines in different shares."""
    owners: dict[str, set[str]] = {}
    for leg in legs:
        for run in leg.runs:
            for worker in run.workers:
                owners.setdefault(worker.name, set()).add(leg.label)
    return {
        (label, name): f"{label}/{name}" if label else name
        for name, labels in owners.items()
        if len(labels) > 1
        for label in labels
    }


def _workers(legs: Sequence[_Leg], names: dict[tuple[str, str], str]) -> tuple[WorkerInfo, ...]:
    """One for each name; of several reports of one worker the last one."""
    workers: dict[str, WorkerInfo] = {}
    for leg in legs:
        for worker in leg.last.workers:
            name = names.get((leg.label, worker.name), worker.name)
            workers[name] = replace(worker, name=name)
    return tuple(workers.values())


def _unplaced(last: Sequence[Run]) -> tuple[Unplaced, ...]:
    """A case that no worker of one share could take is placed where another share of its environment ran it."""
    ran = {(run.build.environment, result.case.id) for run in last for result in run.results}
    return _unique(item for run in last for item in run.unplaced if (run.build.environment, item.case.id) not in ran)


def _missing(legs: Sequence[_Leg], expected: Iterable[str]) -> tuple[str, ...]:
    present = {leg.label for leg in legs}
    wanted = set(expected)
    for leg in legs:
        wanted.update(_label(leg.last.build.environment, shard) for shard in leg.last.missing_shards)
        match = _SHARD.fullmatch(leg.last.shard)
        if match and int(match.group(2)) <= MOST_SHARDS:
            wanted.update(_label(leg.last.build.environment, name) for name in shard_names(int(match.group(2))))
    return tuple(sorted(wanted - present, key=_natural))


def _common_build(builds: Sequence[Build]) -> Build:
    """What all builds agree on, and the highest attempt."""
    agreed = {
        field.name: _same([getattr(build, field.name) for build in builds], field.default) for field in fields(Build)
    }
    return Build(**{**agreed, "attempt": max((build.attempt for build in builds), default=1)})


def _labelled(label: str, notice: Notice) -> Notice:
    return replace(notice, text=f"{label}: {notice.text}") if label else notice


def _label(environment: str, shard: str) -> str:
    return f"{environment} {shard}".strip()


def _natural(text: str) -> list[tuple[int, str]]:
    """A sort key that puts `2/12` before `10/12`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", text)]


def _same(values: Sequence[T], otherwise: T) -> T:
    return values[0] if values and all(value == values[0] for value in values) else otherwise


def _unique(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(values))
