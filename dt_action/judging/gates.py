"""What makes a run red: failures that count, and limits that coverage must reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dt_action.model.change import BY_A_PLUGIN, Tolerated
from dt_action.model.coverage import Coverage
from dt_action.model.run import Run


def tolerate(run: Run, quarantined: Sequence[Tolerated], *, fail_on: str) -> Run:
    """
    The run with the failures that do not make it red: quarantined ones, and known ones under `fail_on="regressions"`.

    A quarantine is of a case, in whatever environment; what is known of the baseline is of a result.

    Under `regressions`, failures of the baseline's commit are known. Where no commit is the baseline, every failure
    counts: a gate that compared with just any run before would let through on the second try what it stopped first.
    """
    failing = [result.id for result in run.results if result.final.is_failing]
    known = {item.id: item for item in quarantined}
    tolerated = {item.id: item for item in run.tolerated if item.reason == BY_A_PLUGIN}
    tolerated |= {
        result.id: replace(known[result.case.id], id=result.id)
        for result in run.results
        if result.final.is_failing and result.case.id in known
    }
    change = run.change
    if fail_on == "regressions" and change is not None and change.commit:
        for case in change.still_failing:
            tolerated.setdefault(case, Tolerated(id=case, reason=f"fails in {change.against}, too"))
    return replace(run, tolerated=tuple(tolerated[id] for id in failing if id in tolerated))


def demand_coverage(run: Run, *, total: float | None, patch: float | None, why: str = "") -> Run:
    """
    The run with a breach for each limit (percent) that its coverage does not reach, or that nothing measured.

    `why` says why there is no base, where that is known.
    """
    return replace(run, breaches=(*run.breaches, *_breaches(run.coverage, total, patch, why)))


def _breaches(coverage: Coverage | None, total: float | None, patch: float | None, why: str) -> Iterator[str]:
    if coverage is None:
        if total is not None or patch is not None:
            yield "no coverage was measured, so that its limits cannot be met"
        return
    if total is not None and coverage.percent < total:
        yield f"coverage is {_shown(coverage.percent, total)} %; --fail-under asks for {total:g} %"
    if patch is None:
        return
    if coverage.patch is None:
        reason = why or "no base was found to compare with"
        yield f"the coverage of the change is not known: {reason}"
    elif coverage.patch.percent < patch:
        found = _shown(coverage.patch.percent, patch)
        yield f"coverage of the change is {found} %; --patch-fail-under asks for {patch:g} %"


def _shown(percent: float, limit: float) -> str:
    """With as many digits as it takes to look smaller than the limit: 79.996 is not 80.00."""
    digits = next((digits for digits in (2, 4, 6) if round(percent, digits) < limit), 12)
    return f"{percent:.{digits}f}"
