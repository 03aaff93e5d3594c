"""What a run changed, in sections for every renderer: what broke against the baseline, what is forgiven, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dt_action.model.change import Change, Tolerated
from dt_action.model.coverage import Coverage, Patch
from dt_action.model.run import Run
from dt_action.reports.formats.text import one_line, seconds

MOST_LINES = 50
SHORT_LINES = 10

Weight = Literal["bad", "good", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A test or file (hostile text) and a remark about it, which may quote hostile text."""

    subject: str
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Lines that belong together. `count` may be larger than the number of lines, which are cut."""

    title: str
    count: int
    lines: tuple[Line, ...]
    weight: Weight = "plain"


def change_sections(run: Run) -> tuple[Section, ...]:
    """The sections that have something to tell, what broke first. None for a run that knows nothing of others."""
    change = run.change or Change()
    owners = {item.path: " ".join(item.owners) for item in run.owners}
    rates = {item.id: f"flaky in {item.flaky} of {item.runs} runs before" for item in run.flaky_rates}
    of_case = {result.id: owners.get(result.case.file, "") for result in run.results} if owners else {}

    def with_facts(ids: Sequence[str]) -> Iterator[Line]:
        for id in ids:
            facts = (rates.get(id, ""), of_case.get(id, ""))
            yield Line(subject=id, remark="; ".join(filter(None, facts)))

    forgiven = {item.id for item in run.tolerated}
    broken = [id for id in change.new_failures if id not in forgiven]
    still = [id for id in change.still_failing if id not in forgiven]
    slower = [
        Line(subject=item.id, remark=f"{seconds(item.now_s)}, before {seconds(item.before_s)}")
        for item in change.slower
    ]
    sections = (
        _section("New failures", [*with_facts(broken)], "bad"),
        _section("Still failing", [*with_facts(still)], "bad", most=SHORT_LINES),
        _section("Known failures", [_forgiven(item) for item in run.tolerated]),
        _section("Fixed", [*with_facts(change.fixed)], "good"),
        _section("Newly skipped", [*with_facts(change.newly_skipped)]),
        _section("Slower", slower),
        _section("Removed tests", [*with_facts(change.removed_tests)], most=SHORT_LINES),
        _section("New tests", [*with_facts(change.new_tests)], "good", most=SHORT_LINES),
        *_of_patch(run.coverage.patch if run.coverage else None),
        *_of_types(run.coverage),
        *_of_selection(run),
    )
    return tuple(section for section in sections if section.count)


def change_title(run: Run) -> str:
    """`What this change did, against commit 0123456789ab`."""
    against = one_line(run.change.against, 100) if run.change else ""
    return f"What this change did, against {against}" if against else "What this change did"


def change_line(run: Run) -> str:
    """The same in one line for a headline: `2 new failures, 30 known`; empty where nothing is compared."""
    change = run.change
    known = len(run.tolerated)
    parts = []
    if change is not None and change.against:
        forgiven = {item.id for item in run.tolerated}
        broken = sum(id not in forgiven for id in change.new_failures)
        parts.append(f"{broken} new failure{'s' * (broken != 1)}")
        parts += [f"{len(change.fixed)} fixed"] if change.fixed else []
    return ", ".join([*parts, *([f"{known} known"] if known else [])])


def _section(title: str, lines: Sequence[Line], weight: Weight = "plain", *, most: int = MOST_LINES) -> Section:
    return Section(title=title, count=len(lines), lines=tuple(lines[:most]), weight=weight)


def _forgiven(item: Tolerated) -> Line:
    facts = (item.reason, item.owner, item.issue)
    return Line(subject=item.id, remark="; ".join(one_line(fact, 300) for fact in facts if fact))


def _of_patch(patch: Patch | None) -> Iterator[Section]:
    if patch is None or not patch.missed:
        return
    lines = [Line(subject=item.path, remark=f"lines {', '.join(_ranges(item.lines))}") for item in patch.missed]
    yield _section(f"Changed lines that no test ran ({patch.percent:.2f} % ran)", lines)


def _of_types(coverage: Coverage | None) -> Iterator[Section]:
    if coverage is None or not coverage.by_type:
        return
    lines = [
        Line(subject=part.test_type, remark=f"{coverage.percent_of(part):.2f} % of the code ran")
        for part in coverage.by_type
    ]
    yield _section("Coverage by test type", lines)


def _of_selection(run: Run) -> Iterator[Section]:
    if run.selection is None:
        return
    left_out = len(run.selection.left_out)
    title = f"Chosen by {one_line(run.selection.asked, 200)}, {left_out} test file{'s' * (left_out != 1)} left out"
    lines = [Line(subject=item.path, remark=item.reason) for item in run.selection.chosen]
    yield Section(title=title, count=max(1, len(lines)), lines=tuple(lines[:MOST_LINES]))


def _ranges(lines: Iterable[int]) -> Iterator[str]:
    """Lines for people: 1, 2, 3 and 7 are `1-3` and `7`."""
    ordered = sorted(set(lines))
    start = 0
    for index, line in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != line + 1:
            yield f"{ordered[start]}-{line}" if line > ordered[start] else f"{line}"
            start = index + 1
