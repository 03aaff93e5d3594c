"""The runs of one job that worked off parts of a plan one after the other, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dt_action.model.plan import Share
from dt_action.model.run import Run, Status, WorkerInfo

_WORST_FIRST: tuple[Status, ...] = ("timeout", "cancelled", "stopped", "completed")


def together(runs: Sequence[Run], shard: str) -> Run:
    """
    All of `runs`, which have no test in common, as the run of one share. `runs` are in the order of time.

    What is the same for all of them is taken from the first one.
    """
    first = runs[0]
    workers: dict[str, WorkerInfo] = {worker.name: worker for run in runs for worker in run.workers}
    return replace(
        first,
        shard=shard,
        share=_share([run.share for run in runs if run.share is not None]),
        results=tuple(result for run in runs for result in run.results),
        uncollected=tuple(path for run in runs for path in run.uncollected),
        unplaced=tuple(item for run in runs for item in run.unplaced),
        skipped_files=tuple(dict.fromkeys(file for run in runs for file in run.skipped_files)),
        workers=tuple(workers.values()),
        findings=tuple(dict.fromkeys(finding for run in runs for finding in run.findings)),
        warnings=tuple(warning for run in runs for warning in run.warnings),
        order_dependent=tuple(dict.fromkeys(file for run in runs for file in run.order_dependent)),
        properties=tuple(dict.fromkeys(item for run in runs for item in run.properties)),
        not_run=tuple(case for run in runs for case in run.not_run),
        exit_code=next((run.exit_code for run in runs if run.exit_code), None),
        notices=tuple(dict.fromkeys(notice for run in runs for notice in run.notices)),
        status=min((run.status for run in runs), key=_WORST_FIRST.index),
        reason="; ".join(dict.fromkeys(run.reason for run in runs if run.reason)),
        makespan_s=sum(run.makespan_s for run in runs),
        collect_s=sum(run.collect_s for run in runs),
    )


def _share(shares: Sequence[Share]) -> Share | None:
    if not shares:
        return None
    return replace(
        shares[0],
        mine=tuple(sorted({path for share in shares for path in share.mine})),
        divided=tuple(part for share in shares for part in share.divided),
        beyond=tuple(sorted({path for share in shares for path in share.beyond})),
    )
