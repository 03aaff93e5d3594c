"""The failures of a run as compact text: for a person on a slow line, and for a program that pays by the word."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dt_action.model.case import TestResult
from dt_action.model.run import Run
from dt_action.reports.formats.text import one_line, plain, strip_ansi
from dt_action.reports.renderers.digest import Digest, conclusion_word, digest

BUDGET_BYTES = 8_000
CAUSE_LINES = 12
_CAUSE = re.compile(r"^E {1,3}(.*)$")
_PLACE = re.compile(r"^(\S[^\n:]*:\d{1,7}): \S")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """How many errors are told with their cause, of how many lines, and how many more tests of each by name."""

    errors: int
    lines: int
    names: int


_LADDER = (
    *(_Cut(errors=errors, lines=lines, names=names) for errors, lines, names in ((500, 12, 500), (500, 12, 20))),
    *(_Cut(errors=errors, lines=8, names=5) for errors in (100, 40, 20)),
    *(_Cut(errors=errors, lines=4, names=3) for errors in (40, 30, 20, 12)),
    *(_Cut(errors=errors, lines=2, names=1) for errors in (20, 12, 8, 5, 3, 1, 0)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """
    Renders at most `budget_bytes` of UTF-8; plain text that a terminal can only show.

    One error stands there once, with its first cause, where it is, and the command that runs it again; the tests that
    fail in the same way follow by name. New failures come first.
    """

    budget_bytes: int = BUDGET_BYTES

    def text(self, run: Run) -> str:
        """The failures, and a line that counts what had to be left out."""
        seen = digest(run)
        for cut in _LADDER:
            text = "\n".join(_page(run, seen, cut)) + "\n"
            if len(text.encode("utf-8", "replace")) <= self.budget_bytes:
                return text
        return text.encode("utf-8", "replace")[: self.budget_bytes].decode("utf-8", "ignore")


def _page(run: Run, seen: Digest, cut: _Cut) -> Iterator[str]:
    build = run.build
    about = [build.repository, build.branch, f"commit {build.commit[:12]}" if build.commit else "", build.environment]
    change = f"; {seen.change_line}" if seen.change_line else ""
    yield f"{conclusion_word(seen.conclusion)}: {seen.totals.line()}{change}"
    if any(about):
        yield one_line(", ".join(filter(None, about)), 200)
    yield from (f"{one_line(reason, 300)}" for reason in (*seen.breaches, *seen.shortfalls))
    errors = _errors(seen)
    for error in errors[: cut.errors]:
        yield ""
        yield from _error(error, seen, cut)
    left = errors[cut.errors :]
    if left:
        tests = sum(map(len, left))
        yield f"\nand {len(left):,} more error{'s' * (len(left) != 1)} of {tests:,} test{'s' * (tests != 1)}"
    if seen.flaky:
        yield f"\n{len(seen.flaky)} flaky: " + one_line(", ".join(result.id for result in seen.flaky[:3]), 300)
    known = len(run.tolerated)
    if known:
        yield f"\n{known} known failure{'s' * (known != 1)} left out: " + one_line(run.tolerated[0].reason, 150)


def _errors(seen: Digest) -> list[list[TestResult]]:
    """The failures by error: those with a new failure first, then those of most tests."""
    errors: dict[int, list[TestResult]] = {}
    for result in seen.failures:
        errors.setdefault(seen.alike[result.id], []).append(result)
    return sorted(errors.values(), key=lambda same: (not any(item.id in seen.new for item in same), -len(same)))


def _error(error: Sequence[TestResult], seen: Digest, cut: _Cut) -> Iterator[str]:
    first, *others = error
    final = first.final
    knowledge = "" if not seen.is_compared else ", new" if first.id in seen.new else ", failed before"
    yield f"{final.outcome.upper()} {one_line(first.id, 300)}{knowledge}"
    yield f"  at {one_line(_place(first), 200)}"
    yield from (f"  | {line}" for line in _cause(first)[: cut.lines])
    if first.artifacts:
        others_left = f" and {len(first.artifacts) - 1} more" if len(first.artifacts) > 1 else ""
        yield f"  left: {one_line(posixpath.join(seen.output_dir, first.artifacts[0].path), 200)}{others_left}"
    yield f"  again: {one_line(seen.again(first), 400)}"
    for result in others[: cut.names]:
        yield f"  also {one_line(result.id, 200)}"
    more = len(others) - cut.names
    if more > 0:
        yield f"  also {more:,} more"


def _place(result: TestResult) -> str:
    """Where the traceback ends, which need not be in the test; else where the test is."""
    places = [found[1] for line in strip_ansi(result.final.detail).splitlines() if (found := _PLACE.match(line))]
    own = f"{result.case.file}:{max(result.case.line, 1)}"
    return f"{places[-1]}, of {own}" if places and places[-1] != own else own


def _cause(result: TestResult) -> list[str]:
    """What pytest says of the first exception of a chain, else the message, else the end of what was told."""
    lines = plain(strip_ansi(result.final.detail)).splitlines()
    blocks: list[list[str]] = []
    for before, line in zip(["", *lines], lines, strict=False):
        found = _CAUSE.match(line)
        if found:
            if not blocks or not _CAUSE.match(before):
                blocks.append([])
            blocks[-1].append(one_line(found[1], 200))
    message = one_line(result.final.message, 400)
    if not blocks:
        return [message] if message else [one_line(line, 200) for line in lines[-3:]]
    cause, end = blocks[0][:CAUSE_LINES], blocks[-1][0]
    return [*cause, f"... and then {end}"] if len(blocks) > 1 and end not in cause else cause
