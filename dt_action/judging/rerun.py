"""A further attempt at a run: what of its plan is still to be run, and both attempts as one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce

from dt_action.judging.merging import merge
from dt_action.model.build import Build
from dt_action.model.case import MASK
from dt_action.model.event import Notice
from dt_action.model.hardware import FileNeeds
from dt_action.model.plan import Plan, PlannedFile, Share
from dt_action.model.run import Run

Named = Callable[[str], str]


def earlier_attempt(runs: Iterable[Run], plan: Plan, build: Build, named: Named, shard: str = "") -> Run | str:
    """
    The earlier attempts at the same share of the same plan as one run, or why nothing can be taken from any.

    Reports of other legs, environments, shards and commits may lie beside them. `named` gives pytest's name for a
    planned file. `shard` names the share of a plan that is not cut.
    """
    shard = shard or str(plan.shard or "")
    ours = [run for run in runs if run.build.environment == build.environment and run.shard == shard]
    ours.sort(key=lambda run: (run.build.attempt, run.started_at, run.id))
    included = {id for run in ours for id in run.includes}
    attempts = [run for run in ours if run.id not in included and not _why_not(run, plan, build.commit)]
    if not attempts:
        return _why_not(ours[-1], plan, build.commit) if ours else "there is no report of an earlier attempt"
    earlier = reduce(lambda earlier, run: continued(earlier, run, named), attempts)
    if not _left(earlier) and not earlier.uncollected and earlier.status == "completed":
        return "no test failed in the earlier attempt, and none is missing"
    return earlier


def _why_not(earlier: Run, plan: Plan, commit: str) -> str:
    if not commit or earlier.build.commit != commit:
        then, now = (word[:12] or "code that no commit holds" for word in (earlier.build.commit, commit))
        return f"the earlier attempt ran {then}, and this is {now}"
    if earlier.share is None or earlier.share.plan != plan.digest:
        return "the earlier attempt had another plan"
    return ""


def still_to_run(earlier: Run, plan: Plan, named: Named) -> Plan:
    """
    What of the plan failed, died or never ran in the earlier attempt.

    Of a file that was collected these cases are chosen; one whose name holds a mask is not to be found by it, so that
    its file runs as a whole. A file that pytest found beyond the plan is added where a test of it is left.
    """
    left = _left(earlier)
    for name in {result.case.file for result in earlier.results if result.case.id != result.case.file} & left.keys():
        left[name] = [id for id in left[name] if id != name]  # its cases are known, so that it need not run as a whole
    for name, ids in left.items():
        left[name] = [name if MASK in id else id for id in ids]
    seen = {result.case.file for result in earlier.results} | {file.path for file in earlier.skipped_files}
    unknown = {named(path) for path in earlier.uncollected} | set(earlier.uncollected)
    files = []
    for file in plan.files:
        name = named(file.path)
        if name in unknown or name not in seen or name in left.get(name, ()):
            files.append(file)
        elif name in left:
            files.append(_narrowed(file, left[name]))
    known = {named(file.path) for file in plan.files}
    for name in sorted(left.keys() - known):
        beyond = PlannedFile(path=name, needs=FileNeeds(path=name))
        files.append(beyond if name in left[name] else _narrowed(beyond, left[name]))
    return replace(plan, files=tuple(files), done=tuple(sorted(seen - unknown - left.keys())))


def continued(earlier: Run, run: Run, named: Named) -> Run:
    """
    Both attempts as one run: each result with all its tries, what was not run again as it was.

    A file that could not be collected before, and now can be, counts no more.
    """
    attempt = max(run.build.attempt, earlier.build.attempt + 1)
    later = replace(run, build=replace(run.build, attempt=attempt), shard="")
    before = replace(earlier, build=replace(run.build, attempt=earlier.build.attempt), shard="", share=None)
    both = merge([before, later])
    collected = {result.case.file for result in run.results}
    known = {result.case.file for result in earlier.results if result.case.id != result.case.file}
    again = {result.case.id for result in run.results}
    skipped = {file.path for file in run.skipped_files}
    taken = sum(result.case.id not in again for result in both.results)
    notice = Notice(level="info", text=f"{len(again)} tests were run again, {taken} are those of an earlier attempt")
    return replace(
        both,
        id=run.id,
        build=later.build,
        shard=run.shard,
        share=_share(earlier.share, run.share),
        uncollected=tuple(path for path in both.uncollected if path not in known and named(path) not in known),
        skipped_files=(
            *(file for file in earlier.skipped_files if file.path not in collected | skipped),
            *run.skipped_files,
        ),
        workers=tuple({worker.name: worker for worker in (*earlier.workers, *run.workers)}.values()),
        findings=tuple(dict.fromkeys((*earlier.findings, *run.findings))),
        includes=(*earlier.includes, earlier.id),
        is_selection=run.is_selection,
        selection=run.selection,
        notices=(*run.notices, notice),
        coverage=None,
        makespan_s=earlier.makespan_s + run.makespan_s,
        started_at=run.started_at,
    )


def _left(earlier: Run) -> dict[str, list[str]]:
    """The cases that are not finished well, by file as pytest names it; a file that is one itself among them."""
    left: dict[str, list[str]] = defaultdict(list)
    for result in earlier.results:
        if result.final.is_failing or result.outcome == "lost":
            left[result.case.file].append(result.case.id)
    for item in earlier.unplaced:
        left[item.case.file].append(item.case.id)
    return dict(left)


def _narrowed(file: PlannedFile, cases: Sequence[str]) -> PlannedFile:
    expected_s = sum(file.cases_s.get(case, 0.0) for case in cases) or file.expected_s
    return replace(file, chosen=tuple(cases), portion=None, expected_s=expected_s)


def _share(earlier: Share | None, now: Share | None) -> Share | None:
    """The share of the whole plan; of a divided file, what was collected last."""
    if earlier is None or now is None:
        return now
    divided = {(part.path, part.portion.start): part for part in (*earlier.divided, *now.divided)}
    mine = tuple(sorted({*earlier.mine, *now.mine}))
    return replace(earlier, mine=mine, divided=tuple(divided.values()))
