"""What a reader wants to know first of a run: failures, doubts, reasons and the slowest tests, in a fixed order."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dt_action.model.case import Attempt, TestResult
from dt_action.model.hardware import Requirement
from dt_action.model.paths import Paths
from dt_action.model.run import Conclusion, Run, Totals
from dt_action.reports.formats.text import one_line, reproduce
from dt_action.reports.renderers.change import Section, change_line, change_sections

SLOWEST = 10
_SLOW_FROM_S = 0.05  # nobody wants to be told that a test took a millisecond
_CHANGING = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?|'[^']*/[^']*'|\S*/\S+|[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tests (or files) that share a reason."""

    reason: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """
    A run, sorted by what it takes from a reader.

    `shortfalls` says why the run is not whole, a sentence each. `failures` are those that are not tolerated, those
    that the baseline does not have (`new`) first; `alike` gives each of their ids the number of its error, so that one
    error with many victims can be told once. `nowhere` are tests for which no machine of the run has what they need:
    they are green because they are skipped everywhere. `change` is what the run says against earlier ones, where it
    `is_compared` with any.
    """

    totals: Totals
    conclusion: Conclusion
    shortfalls: tuple[str, ...]
    failures: tuple[TestResult, ...]
    alike: dict[str, int]
    lost: tuple[TestResult, ...]
    left_open: tuple[Group, ...]
    flaky: tuple[TestResult, ...]
    skips: tuple[Group, ...]
    unplaced: tuple[Group, ...]
    slowest: tuple[TestResult, ...]
    change: tuple[Section, ...] = ()
    change_line: str = ""
    breaches: tuple[str, ...] = ()
    new: frozenset[str] = frozenset()
    nowhere: tuple[Group, ...] = ()
    paths: Paths = field(default_factory=Paths)
    is_compared: bool = False
    output_dir: str = ""

    def again(self, result: TestResult) -> str:
        """The command that runs a test again, where dt was started."""
        return reproduce(self.paths.from_start(result.case.id))


def digest(run: Run) -> Digest:
    """Sort the run once, for every renderer. Groups stand largest first, then by reason."""
    remarkable = [result for result in run.results if len(result.attempts) != 1 or result.outcome != "passed"]
    new = frozenset(run.change.new_failures if run.change and run.change.against else ())
    failures = tuple(sorted(run.failures(), key=lambda result: result.id not in new))
    lost = tuple(result for result in remarkable if result.outcome == "lost")
    totals = run.totals()
    errors: dict[str, int] = {}
    alike = {result.id: errors.setdefault(fingerprint(result.final), len(errors)) for result in failures}
    slow = (result for result in run.results if result.duration_s >= _SLOW_FROM_S)
    return Digest(
        totals=totals,
        conclusion=run.conclusion(),
        shortfalls=tuple(_shortfalls(run, totals)),
        failures=failures,
        alike=alike,
        lost=lost,
        left_open=_groups((result.final.message, result.id) for result in lost),
        flaky=tuple(result for result in remarkable if result.is_flaky),
        skips=_groups(_skips(run, remarkable)),
        unplaced=_groups((item.reason, item.case.id) for item in run.unplaced),
        slowest=tuple(heapq.nsmallest(SLOWEST, slow, key=lambda result: (-result.duration_s, result.id))),
        change=change_sections(run),
        change_line=change_line(run),
        breaches=run.breaches,
        new=new,
        nowhere=_groups(_nowhere(run, remarkable)),
        paths=run.paths or Paths(),
        is_compared=bool(run.change and run.change.against),
        output_dir=run.output_dir,
    )


def fingerprint(attempt: Attempt) -> str:
    """The same for errors that differ in numbers, addresses and paths alone."""
    return f"{attempt.outcome}: {_CHANGING.sub('#', one_line(attempt.message, 300))}"


def _shortfalls(run: Run, totals: Totals) -> Iterator[str]:
    if run.status != "completed":
        yield f"the run was {run.status}" if run.status != "timeout" else "the run's time was up"
    if run.reason:
        yield run.reason
    met = sum(bool(result.attempts) and result.outcome == "lost" for result in run.results)
    if met:
        yield f"{_tests(met)} met by it while they ran"
    if totals.lost > met:
        yield f"{_tests(totals.lost - met)} planned, but never reported"
    if totals.unplaced:
        yield f"no worker could take {_tests(totals.unplaced)}"
    if run.uncollected:
        yield f"{len(run.uncollected)} file{'s' * (len(run.uncollected) != 1)} planned, but never collected"
    if run.missing_shards:
        yield "no report came from shard " + ", ".join(run.missing_shards)


def coverage_line(run: Run) -> str:
    """`95.50 % of the code ran, 80.00 % of the change`; empty where nothing was measured."""
    if run.coverage is None:
        return ""
    change = f", {run.coverage.patch.percent:.2f} % of the change" if run.coverage.patch else ""
    return f"{run.coverage.percent:.2f} % of the code ran{change}"


def headline(seen: Digest) -> str:
    """`failed: 410 passed, 2 failed, 3 skipped`, and what else kept the run from being green."""
    rest = "; ".join(filter(None, (seen.change_line, *seen.breaches, *seen.shortfalls)))
    return f"{conclusion_word(seen.conclusion)}: {seen.totals.line()}" + (f" ({rest})" if rest else "")


def conclusion_word(conclusion: Conclusion) -> str:
    """A conclusion for people: `no tests`."""
    return conclusion.replace("-", " ")


def _tests(count: int) -> str:
    return f"{count} test{'s' * (count != 1)}"


def _skips(run: Run, remarkable: Iterable[TestResult]) -> Iterator[tuple[str, str]]:
    for result in remarkable:
        if result.outcome in ("skipped", "xfailed"):
            expected = "expected to fail: " if result.outcome == "xfailed" else ""
            yield expected + (result.final.message or "no reason given"), result.id
    for file in run.skipped_files:
        yield file.reason or "no reason given", file.path


def _nowhere(run: Run, remarkable: Iterable[TestResult]) -> Iterator[tuple[str, str]]:
    if not run.workers:
        return
    somewhere: dict[Requirement, bool] = {}
    for result in remarkable:
        need = result.case.requirement
        if result.outcome != "skipped" or need.needs_nothing:
            continue
        if need not in somewhere:
            somewhere[need] = any(worker.capability.satisfies(need) for worker in run.workers)
        if not somewhere[need]:
            yield f"no machine of this run has {need}", result.id


def nowhere_line(group: Group) -> str:
    """`12 tests are green because skipped everywhere: no machine of this run has 2 cuda (such as a.py::b)`."""
    verb = "is" if len(group.ids) == 1 else "are"
    such_as = one_line(group.ids[0], 200)
    return f"{_tests(len(group.ids))} {verb} green because skipped everywhere: {group.reason} (such as {such_as})"


def _groups(pairs: Iterable[tuple[str, str]]) -> tuple[Group, ...]:
    by_reason: dict[str, list[str]] = {}
    for reason, case_id in pairs:
        by_reason.setdefault(one_line(reason, 300), []).append(case_id)
    groups = [Group(reason=reason, ids=tuple(ids)) for reason, ids in by_reason.items()]
    return tuple(sorted(groups, key=lambda group: (-len(group.ids), group.reason)))
