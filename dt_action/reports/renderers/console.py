"""The last words of a run on the console: what failed and how to see it again, why tests were left out, the verdict."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dt_action.model.case import TestResult
from dt_action.model.run import Run
from dt_action.reports.formats.text import cut_middle, one_line, plain, seconds, size, told
from dt_action.reports.renderers.change import SHORT_LINES, change_title
from dt_action.reports.renderers.colors import CONCLUSION_COLORS, paint
from dt_action.reports.renderers.digest import Digest, Group, coverage_line, digest, nowhere_line
from dt_action.reports.renderers.limit import limit_line

DETAIL_CHARACTERS = 20_000
STDIO_CHARACTERS = 4_000
FULL_PER_ERROR = 3
"""Failures with the same error that are shown in full; further ones get two lines each."""
IDS_PER_GROUP = 5
ARTIFACTS = 5
MOST_WARNINGS = 20

Painter = Callable[..., str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """
    Renders the text that follows the progress; its last line is `N passed, N failed, N skipped`, alone.

    Failures come last before the verdict, where a person looks first in a log. Every line of a test's own text
    stands behind a gutter, so that it can start neither a workflow command nor anything else.
    """

    color: bool = False
    width: int = 80
    format: str = "console"
    suffix: str = ".txt"

    def render(self, run: Run) -> bytes:
        """The text in UTF-8."""
        return self.text(run).encode("utf-8", "replace")

    def text(self, run: Run) -> str:
        """The text; coloured by nothing but this project's own codes."""
        seen = digest(run)
        sections = [
            *self._groups("Skipped", seen.skips, show_ids=False),
            *self._slowest(seen),
            *self._warnings(run),
            *self._of_plugins(run),
            *self._remarks(run, seen),
            *self._flaky(seen),
            *self._left_out(run, seen),
            *self._failures(seen),
            *self._change(run, seen),
            *self._verdict(run, seen),
        ]
        return "\n".join(sections) + "\n"

    def _paint(self, text: str, *styles: str) -> str:
        return paint(text, *styles, color=self.color)

    def _title(self, words: str, *styles: str) -> Iterator[str]:
        yield ""
        yield self._paint(f"── {words} ".ljust(self.width, "─"), "bold", *styles)

    def _groups(self, title: str, groups: tuple[Group, ...], *, show_ids: bool) -> Iterator[str]:
        if not groups:
            return
        yield from self._title(f"{title}: {sum(len(group.ids) for group in groups)}")
        for group in groups:
            yield f"{len(group.ids):6}  {group.reason}"
            if show_ids or len(group.ids) == 1:
                yield from (f"        {self._paint(one_line(name), 'dim')}" for name in group.ids[:IDS_PER_GROUP])
                if len(group.ids) > IDS_PER_GROUP:
                    yield f"        and {len(group.ids) - IDS_PER_GROUP} more"

    def _slowest(self, seen: Digest) -> Iterator[str]:
        if not seen.slowest:
            return
        yield from self._title("Slowest")
        yield from (f"{seconds(result.duration_s):>14}  {one_line(result.id)}" for result in seen.slowest)

    def _warnings(self, run: Run) -> Iterator[str]:
        if not run.warnings:
            return
        yield from self._title(f"Warnings: {sum(warning.count for warning in run.warnings)}", "yellow")
        for warning in run.warnings[:MOST_WARNINGS]:
            times = f" ({warning.count} times)" if warning.count > 1 else ""
            place = f"{one_line(warning.file)}:{warning.line}"
            yield f"  {place}: {self._paint(one_line(warning.category), 'yellow')}{times}"
            yield f"    {one_line(warning.text, 500)}"
        if len(run.warnings) > MOST_WARNINGS:
            yield f"  and {len(run.warnings) - MOST_WARNINGS} more, in the JSON report"

    def _of_plugins(self, run: Run) -> Iterator[str]:
        if not run.plugin_summary:
            return
        yield from self._title("What plugins say")
        shown = cut_middle(run.plugin_summary, STDIO_CHARACTERS * 2)
        yield from (f"  │ {plain(line)}" for line in shown.splitlines())

    def _remarks(self, run: Run, seen: Digest) -> Iterator[str]:
        if not (run.notices or run.findings or seen.nowhere):
            return
        yield from self._title("Remarks")
        for finding in run.findings:
            place = f"{one_line(finding.evidence.file)}:{finding.evidence.line}"
            yield f"  {place}: {self._paint(one_line(finding.message), 'yellow')}"
        levels = {"info": (), "warning": ("yellow",), "error": ("red",)}
        for notice in run.notices:
            yield f"  {self._paint(notice.level, *levels[notice.level])}: {one_line(notice.text)}"
        for group in seen.nowhere:
            yield f"  {self._paint('warning', 'yellow')}: {nowhere_line(group)}"

    def _flaky(self, seen: Digest) -> Iterator[str]:
        if not seen.flaky:
            return
        yield from self._title(f"Flaky, passed on another attempt: {len(seen.flaky)}", "yellow")
        for result in seen.flaky:
            yield f"  {one_line(result.id)}"
            failed = next(attempt for attempt in result.attempts if attempt.is_failing)
            yield f"    {failed.outcome} at first: {one_line(failed.message, 300)}"

    def _left_out(self, run: Run, seen: Digest) -> Iterator[str]:
        yield from self._groups("No worker could take", seen.unplaced, show_ids=True)
        yield from self._groups("Lost", seen.left_open, show_ids=True)
        files = Group(reason="planned, but never collected", ids=run.uncollected)
        yield from self._groups("Files", (files,) if files.ids else (), show_ids=True)
        not_run = Group(reason=f"not begun, since {run.reason}", ids=run.not_run)
        yield from self._groups("Not run", (not_run,) if run.not_run else (), show_ids=True)

    def _failures(self, seen: Digest) -> Iterator[str]:
        if not seen.failures:
            return
        yield from self._title(f"Failures: {len(seen.failures)}", "red")
        shown: Counter[int] = Counter()
        for number, result in enumerate(seen.failures, 1):
            error = seen.alike[result.id]
            shown[error] += 1
            yield ""
            yield from self._failure(number, result, seen, in_full=shown[error] <= FULL_PER_ERROR)
        if len(seen.failures) > FULL_PER_ERROR:
            yield from self._title("In short", "red")
            yield from (
                f"  {self._paint(result.outcome.upper(), 'red')} {one_line(result.id)} - "
                f"{one_line(result.final.message, 160)}"
                for result in seen.failures
            )

    def _failure(self, number: int, result: TestResult, seen: Digest, *, in_full: bool) -> Iterator[str]:
        final = result.final
        where = f" on {one_line(final.worker)}" if final.worker else ""
        new = ", new: the baseline does not have it" if result.id in seen.new else ""
        tries = f", attempt {len(result.attempts)}" if len(result.attempts) > 1 else ""
        yield self._paint(f"{number}. {one_line(result.id)}", "bold", "red")
        place = f"{one_line(result.case.file)}:{result.case.line}, " if result.case.line else ""
        yield self._paint(f"   {place}{final.outcome} after {seconds(final.duration_s)}{where}{tries}{new}", "dim")
        if in_full:
            yield from self._gutter(
                told(final.message, final.detail) or final.outcome, DETAIL_CHARACTERS, emphasis="red"
            )
            for name, text in (("stdout", final.stdout), ("stderr", final.stderr)):
                if text.strip():
                    yield f"   {name}:"
                    yield from self._gutter(text, STDIO_CHARACTERS)
        else:
            yield from self._gutter(final.message or final.outcome, STDIO_CHARACTERS)
        for artifact in result.artifacts[:ARTIFACTS]:
            yield f"   left: {one_line(posixpath.join(seen.output_dir, artifact.path))} ({size(artifact.bytes)})"
        if len(result.artifacts) > ARTIFACTS:
            yield f"   left: and {len(result.artifacts) - ARTIFACTS} more files"
        yield f"   again: {self._paint(seen.again(result), 'cyan')}"

    def _gutter(self, text: str, limit: int, emphasis: str = "") -> Iterator[str]:
        for line in plain(cut_middle(text.strip("\n"), limit)).split("\n"):
            is_error = bool(emphasis) and line.startswith("E ")
            yield f"   │ {self._paint(line, emphasis) if is_error else line}"

    def _change(self, run: Run, seen: Digest) -> Iterator[str]:
        if not seen.change:
            return
        yield from self._title(change_title(run))
        colors = {"bad": ("red",), "good": ("green",), "plain": ()}
        for section in seen.change:
            yield self._paint(f"{section.title}: {section.count}", "bold", *colors[section.weight])
            for line in section.lines[:SHORT_LINES]:
                remark = f"  {self._paint(one_line(line.remark, 300), 'dim')}" if line.remark else ""
                yield f"  {one_line(line.subject)}{remark}"
            left = section.count - len(section.lines[:SHORT_LINES])
            if left > 0 and section.lines:
                yield f"  and {left} more"

    def _verdict(self, run: Run, seen: Digest) -> Iterator[str]:
        yield ""
        yield from (line for line in (coverage_line(run), limit_line(run)) if line)
        color = CONCLUSION_COLORS.get(seen.conclusion, "yellow")
        word = "incomplete" if seen.conclusion == "failed" else seen.conclusion
        for breach in seen.breaches:
            yield self._paint(f"{seen.conclusion}: {one_line(breach)}", color)
        for reason in seen.shortfalls:
            yield self._paint(f"{word}: {one_line(reason)}", color)
        yield self._paint(seen.totals.line(), "bold", color)
