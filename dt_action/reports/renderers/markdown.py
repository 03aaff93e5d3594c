"""The report in Markdown, for job summaries, comments and people: within a budget of bytes, safe with hostile names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from dt_action.model.case import TestResult
from dt_action.model.run import Conclusion, Run
from dt_action.reports.formats.text import cut_middle, one_line, plain, seconds, size, told
from dt_action.reports.renderers.budget import Cut, fit
from dt_action.reports.renderers.change import change_title
from dt_action.reports.renderers.digest import (
    Digest,
    Group,
    conclusion_word,
    coverage_line,
    digest,
    nowhere_line,
)
from dt_action.reports.renderers.limit import limit_line
from dt_action.reports.renderers.templates import fill

ROWS = 1_000
IDS_PER_GROUP = 20
SIGNS: dict[Conclusion, str] = {
    **{"passed": "✅", "failed": "❌", "cancelled": "🚫", "timeout": "⏱️", "incomplete": "⚠️"},
    **{"skipped": "⏭️", "no-tests": "⚪"},
}
_UNSAFE_IN_SPAN = re.compile(r"[`|\\\n]")
_STRUCTURE = re.compile(r"[^\w .,;=/-]|_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Markdown:
    """
    Renders at most `budget_bytes`; `link` leads to the whole report.

    The limits it is used with are in `reporting`. The dialect is GitHub's; GitLab reads it as well.
    """

    budget_bytes: int = 1_000_000
    link: str = ""
    template_dir: Path | None = None
    format: str = "md"
    suffix: str = ".md"

    def render(self, run: Run) -> bytes:
        """The fullest report that fits, and a line that counts what it had to leave out."""
        seen = digest(run)
        passing = cache(lambda: _passing(run))
        return fit(lambda cut: self._page(run, seen, cut, passing), self.budget_bytes)

    def _page(self, run: Run, seen: Digest, cut: Cut, passing: Callable[[], str]) -> str:
        parts = {
            "head": _head(run, seen) + _change(run, seen, cut),
            "failures": _failures(seen, cut),
            "left_out": _left_out(run, seen, cut),
            "flaky": _flaky(seen, cut),
            "slowest": _slowest(seen) if cut.in_full else "",
            "skipped": _skipped(seen) if cut.skipped else "",
            "remarks": _remarks(run, seen) if cut.in_full else "",
            "passing": passing() if cut.passing else "",
            "foot": _foot(seen, cut, self.link),
        }
        facts = {"run": run, "digest": seen, "totals": seen.totals, "conclusion": seen.conclusion, "link": self.link}
        return fill("report.md.j2", parts, facts, template_dir=self.template_dir).rstrip("\n") + "\n"


def code(text: str) -> str:
    """Hostile text as code on one line: it can mention nobody, link nothing and end no table cell."""
    line = one_line(text)
    if not line:
        return ""
    if not _UNSAFE_IN_SPAN.search(line):
        return f"`{line}`"
    return "<code>" + _STRUCTURE.sub(lambda match: f"&#{ord(match.group())};", line) + "</code>"


def fence(text: str, language: str = "") -> str:
    """Hostile text as a block of code, in a fence longer than any in what is shown of it."""
    body = plain(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{body}\n{ticks}\n"


def _head(run: Run, seen: Digest) -> str:
    conclusion = seen.conclusion
    lines = [f"## {SIGNS[conclusion]} {conclusion_word(conclusion)}: {seen.totals.line()}", ""]
    lines += [f"- {code(reason)}" for reason in (*seen.breaches, *seen.shortfalls)]
    facts = [limit_line(run)]
    if seen.flaky:
        facts.append(f"{len(seen.flaky)} flaky")
    facts.append(coverage_line(run))
    lines += [f"- {fact}" for fact in facts if fact]
    return "\n".join(lines) + "\n"


def _change(run: Run, seen: Digest, cut: Cut) -> str:
    if not seen.change:
        return ""
    parts = [f"\n### {escape(change_title(run))}\n\n"]
    for section in seen.change:
        title = f"{escape(section.title)}: {section.count}"
        if not cut.failures:
            parts.append(f"- {title}\n")
            continue
        lines = [f"- {code(line.subject)}{': ' if line.remark else ''}{code(line.remark)}" for line in section.lines]
        if section.count > len(lines) > 0:
            lines.append(f"- and {section.count - len(lines)} more")
        body = "\n".join(lines) + "\n"
        parts.append(f"**{title}**\n\n{body}\n" if section.weight == "bad" else _folded(title, body))
    return "".join(parts)


def _failures(seen: Digest, cut: Cut) -> str:
    if not seen.failures or not cut.failures:
        return ""
    told = _distinct_first(seen, cut.failures)
    in_full, rest = told[: cut.in_full], told[cut.in_full :]
    parts = [f"### Failures: {len(seen.failures)}\n\n", *(_failure(result, seen, cut) for result in in_full)]
    return "".join([*parts, *_by_error(rest, seen), "\n"])


def _by_error(results: Sequence[TestResult], seen: Digest) -> Iterator[str]:
    """Failures that are told by name only, those of one error together, the most frequent one first."""
    errors: dict[int, list[TestResult]] = {}
    for result in results:
        errors.setdefault(seen.alike[result.id], []).append(result)
    for same in sorted(errors.values(), key=len, reverse=True):
        first = same[0].final
        said = code(one_line(first.message, 200)) or first.outcome
        yield f"\n{len(same)} {'' if len(same) > 1 else 'time '}{first.outcome}: {said}\n\n"
        yield from (f"- {'**new** ' if result.id in seen.new else ''}{code(result.id)}\n" for result in same)


def _distinct_first(seen: Digest, count: int) -> Sequence[TestResult]:
    """All failures in order where there is room, else one of each error before a second one of any."""
    if len(seen.failures) <= count:
        return seen.failures
    turns: Counter[int] = Counter()
    ranked = []
    for result in seen.failures:
        error = seen.alike[result.id]
        turns[error] += 1
        ranked.append((turns[error], result))
    return [result for _, result in sorted(ranked, key=lambda pair: pair[0])[:count]]


def _failure(result: TestResult, seen: Digest, cut: Cut) -> str:
    final, case = result.final, result.case
    message = one_line(final.message, 200)
    place = f"{case.file}:{case.line}" if case.line else case.file
    about = [code(place), f"{seconds(final.duration_s)}"]
    about += [f"on {code(final.worker)}"] if final.worker else []
    about += [f"attempt {len(result.attempts)}"] if len(result.attempts) > 1 else []
    said = told(final.message, final.detail) or final.outcome
    new = "<b>new</b> " if result.id in seen.new else ""
    summary = f"{new}<b>{final.outcome}</b> <code>{escape(one_line(result.id))}</code> <code>{escape(message)}</code>"
    blocks = [f"<details><summary>{summary}</summary>\n", " · ".join(about) + "\n"]
    blocks.append(fence(cut_middle(said, cut.trace_characters)))
    for name, text in (("stdout", final.stdout), ("stderr", final.stderr)):
        if text.strip():
            blocks.append(f"{name}:\n\n{fence(cut_middle(text.strip(), cut.trace_characters // 4))}")
    if result.artifacts:
        shown = [f"{code(item.name)} ({size(item.bytes)})" for item in result.artifacts[:IDS_PER_GROUP]]
        blocks.append(f"files: {', '.join(shown)}\n")
    blocks.append(fence(seen.again(result), "sh"))
    return "\n".join([*blocks, "</details>\n\n"])


def _left_out(run: Run, seen: Digest, cut: Cut) -> str:
    groups = [*seen.unplaced, *seen.left_open]
    if run.uncollected:
        groups.append(Group(reason="planned, but never collected", ids=run.uncollected))
    if not groups or not cut.failures:
        return ""
    return "### Not run\n\n" + _group_list(groups) + "\n"


def _group_list(groups: Iterable[Group]) -> str:
    lines = []
    for group in groups:
        lines.append(f"- {len(group.ids)} × {code(group.reason)}")
        lines += [f"  - {code(name)}" for name in group.ids[:IDS_PER_GROUP]]
        lines += [f"  - and {len(group.ids) - IDS_PER_GROUP} more"] if len(group.ids) > IDS_PER_GROUP else []
    return "\n".join(lines) + "\n"


def _flaky(seen: Digest, cut: Cut) -> str:
    if not seen.flaky or not cut.in_full:
        return ""
    rows = []
    for result in seen.flaky[:ROWS]:
        first = next(attempt for attempt in result.attempts if attempt.is_failing)
        rows.append((code(result.id), f"{len(result.attempts)}", code(one_line(first.message, 200))))
    return "### Flaky\n\n" + _table(("test", "attempts", "first error"), rows)


def _slowest(seen: Digest) -> str:
    rows = [(code(result.id), seconds(result.duration_s)) for result in seen.slowest]
    return _folded("Slowest", _table(("test", "time"), rows)) if rows else ""


def _skipped(seen: Digest) -> str:
    count = sum(len(group.ids) for group in seen.skips)
    rows = [(f"{len(group.ids)}", code(group.reason), code(group.ids[0])) for group in seen.skips[:ROWS]]
    return _folded(f"Skipped: {count}", _table(("tests", "reason", "such as"), rows)) if rows else ""


def _remarks(run: Run, seen: Digest) -> str:
    lines = [f"- {item.level}: {code(item.text)}" for item in run.notices[:ROWS]]
    for finding in run.findings[:ROWS]:
        lines.append(f"- {code(f'{finding.evidence.file}:{finding.evidence.line}')}: {code(finding.message)}")
    lines += [f"- warning: {code(nowhere_line(group))}" for group in seen.nowhere[:ROWS]]
    return _folded("Remarks", "\n".join(lines) + "\n") if lines else ""


def _passing(run: Run) -> str:
    """Every passing test where they are few, else a line for each file."""
    passing = [result for result in run.results if result.outcome in ("passed", "xpassed")]
    title = f"Passed: {len(passing)}"
    if len(passing) <= ROWS:
        rows = [(code(result.id), seconds(result.duration_s)) for result in passing]
        return _folded(title, _table(("test", "time"), rows)) if rows else ""
    counts: Counter[str] = Counter()
    spent: dict[str, float] = {}
    for result in passing:
        counts[result.case.file] += 1
        spent[result.case.file] = spent.get(result.case.file, 0.0) + result.duration_s
    lines = [(code(file), f"{count}", seconds(spent[file])) for file, count in list(counts.items())[:ROWS]]
    return _folded(title, _table(("file", "tests", "time"), lines))


def _foot(seen: Digest, cut: Cut, link: str) -> str:
    omitted = list(_omitted(seen, cut))
    lines = [f"Left out to fit: {', '.join(omitted)}."] if omitted else []
    if link:
        lines.append(f"[The whole report]({escape(link)})")
    return "\n".join(["", *lines]) if lines else ""


def _omitted(seen: Digest, cut: Cut) -> Iterator[str]:
    passed = seen.totals.passed + seen.totals.xpassed
    if not cut.passing and passed:
        yield f"{passed} passing"
    if not cut.skipped and seen.skips:
        yield f"{sum(len(group.ids) for group in seen.skips)} skipped"
    hidden = len(seen.failures) - cut.failures
    if hidden > 0:
        yield f"{hidden} failures"
    told = min(len(seen.failures), cut.failures)
    in_full = min(told, cut.in_full)
    if told > in_full:
        yield f"the traces of {told - in_full} failures"
    if in_full and cut.trace_characters < Cut().trace_characters:
        yield f"what traces have beyond {cut.trace_characters:,} characters"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n\n"
