"""The HTML report: one file that needs nothing else, with totals and failures readable even where scripts are off."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import quote

from dt_action.model.case import Attempt, TestResult
from dt_action.model.run import Run
from dt_action.reports.formats.text import cut_middle, one_line, seconds, size, told
from dt_action.reports.renderers.ansi_html import ansi_to_html
from dt_action.reports.renderers.change import change_title
from dt_action.reports.renderers.digest import (
    Digest,
    Group,
    conclusion_word,
    coverage_line,
    digest,
    headline,
    nowhere_line,
)
from dt_action.reports.renderers.limit import limit_line
from dt_action.reports.renderers.page_data import data_blocks
from dt_action.reports.renderers.templates import fill, source

SCRIPTS = ("report.js", "report_detail.js", "report_pictures.js")
FAILURES_WITHOUT_SCRIPT = 50
OPEN_FAILURES = 5
TRACES_CHARACTERS = 1_500_000
"""For all failures that are readable without scripts together."""
IDS_PER_GROUP = 20
_OUTCOMES = ("failed", "error", "timeout", "crashed", "lost", "flaky", "skipped", "xfailed", "xpassed", "passed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Html:
    """
    Renders the page. A file in `template_dir` takes the place of the built-in one of the same name.

    Its Content-Security-Policy allows the page's own script and style by their hashes and nothing else, so even a
    mistake in escaping could run no foreign code and reach no host.
    """

    template_dir: Path | None = None
    format: str = "html"
    suffix: str = ".html"

    def render(self, run: Run) -> bytes:
        """The page in UTF-8."""
        seen = digest(run)
        style = source("report.css", self.template_dir).strip()
        script = "\n".join(source(name, self.template_dir).strip() for name in SCRIPTS)
        parts = {
            "policy": _policy(style, script),
            "title": escape(one_line(headline(seen), 200)),
            "style": style,
            "script": script,
            "head": _head(run, seen),
            "failures": _failures(seen),
            "left_out": _left_out(run, seen),
            "change": _change(run, seen),
            "flaky": _flaky(seen),
            "slowest": _slowest(seen),
            "skipped": _folded_groups("Skipped", seen.skips),
            "remarks": _remarks(run, seen),
            "workers": _workers(run),
            "foot": _foot(run),
            "data": data_blocks(run),
        }
        facts = {"run": run, "digest": seen, "totals": seen.totals, "conclusion": seen.conclusion}
        return fill("report.html.j2", parts, facts, template_dir=self.template_dir).encode("utf-8", "replace")


def _policy(style: str, script: str) -> str:
    def allowed(text: str) -> str:
        return "'sha256-" + base64.b64encode(sha256(text.encode()).digest()).decode("ascii") + "'"

    return (
        f"default-src 'none'; script-src {allowed(script)}; style-src {allowed(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _text(text: str, limit: int = 0) -> str:
    return escape(one_line(text, limit))


def _head(run: Run, seen: Digest) -> str:
    conclusion = seen.conclusion
    build = run.build
    about = [build.repository, build.branch, build.commit[:12], build.environment]
    about += [f"#{build.pull_request}"] if build.pull_request else []
    about += [f"attempt {build.attempt}"] if build.attempt > 1 else []
    facts = [seen.change_line, limit_line(run), coverage_line(run)]
    reasons = "".join(f"<li>{_text(reason)}</li>" for reason in (*seen.breaches, *seen.shortfalls))
    counts = {name: getattr(seen.totals, name) for name in _OUTCOMES} | {"unplaced": seen.totals.unplaced}
    chips = "".join(
        f'<li class="chip o-{name}"><b>{count:,}</b> {name}</li>' for name, count in counts.items() if count
    )
    return "\n".join(
        [
            f'<header class="verdict v-{conclusion}">',
            f'<p class="about">{" · ".join(_text(word, 100) for word in about if word)}</p>',
            f"<h1>{conclusion_word(conclusion)}</h1>",
            f'<p class="line">{seen.totals.line()}</p>',
            f'<ul class="reasons">{reasons}</ul>' if reasons else "",
            _stripe(counts),
            f'<ul class="chips">{chips}</ul>',
            f'<p class="fact">{" · ".join(_text(fact) for fact in facts if fact)}</p>',
            "</header>",
        ]
    )


def _stripe(counts: dict[str, int]) -> str:
    """The outcomes' shares as one bar, in which even a single failure keeps a visible width."""
    shares = {name: count for name, count in counts.items() if count and name != "flaky"}
    least = 0.006 * sum(shares.values())
    widths = {name: max(count, least) for name, count in shares.items()}
    scale = 1_000 / (sum(widths.values()) or 1)
    bars, x = [], 0.0
    for name, width in widths.items():
        bars.append(f'<rect class="o-{name}" x="{x:.1f}" width="{max(width * scale - 2, 1):.1f}" height="10"/>')
        x += width * scale
    return f'<svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">{"".join(bars)}</svg>'


def _failures(seen: Digest) -> str:
    if not seen.failures:
        return ""
    first = seen.failures[:FAILURES_WITHOUT_SCRIPT]
    limit = min(TRACES_CHARACTERS // len(first), 30_000)
    shown = "".join(_failure(result, seen, limit, is_open=place < OPEN_FAILURES) for place, result in enumerate(first))
    hidden = len(seen.failures) - FAILURES_WITHOUT_SCRIPT
    more = f"<p>{hidden:,} more failures are in the list of all tests below.</p>" if hidden > 0 else ""
    return f'<section id="failures"><h2>Failures <small>{len(seen.failures):,}</small></h2>\n{shown}{more}</section>'


def _failure(result: TestResult, seen: Digest, limit: int, *, is_open: bool) -> str:
    case, final = result.case, result.final
    place = f"{case.file}:{case.line}" if case.line else case.file
    about = [place, seconds(final.duration_s), final.worker, case.test_type]
    about += [] if case.requirement.needs_nothing else [f"needs {case.requirement}"]
    earlier = "".join(
        f"<details><summary>attempt {number}: {attempt.outcome} after {seconds(attempt.duration_s)}</summary>"
        f"{_told(attempt, limit // 4)}</details>"
        for number, attempt in enumerate(result.attempts[:-1], 1)
    )
    new = '<span class="badge o-new">new</span> ' if result.id in seen.new else ""
    badge = f'{new}<span class="badge o-{final.outcome}">{final.outcome}</span>'
    message = f'<span class="message">{_text(final.message, 300)}</span>'
    return (
        f'<details class="failure"{" open" if is_open else ""}><summary>{badge} '
        f'<code class="id">{_text(result.id)}</code> {message}</summary>\n'
        f'<p class="about">{" · ".join(_text(word) for word in about if word)}</p>\n{_told(final, limit)}{earlier}'
        f'{_files(result)}<pre class="again">{escape(seen.again(result))}</pre></details>\n'
    )


def _files(result: TestResult) -> str:
    """Links to what the test left, which lies beside the page."""
    links = (
        f'<a href="{escape(quote(item.path))}">{_text(item.name, 200)}</a> ({size(item.bytes)})'
        for item in result.artifacts
    )
    return f'<p class="about">left: {", ".join(links)}</p>\n' if result.artifacts else ""


def _told(attempt: Attempt, limit: int) -> str:
    said = told(attempt.message, attempt.detail) or attempt.outcome
    blocks = [f'<pre class="trace">{_colored(said, limit)}</pre>']
    for name, text in (("stdout", attempt.stdout), ("stderr", attempt.stderr)):
        if text.strip():
            blocks.append(
                f'<details><summary>{name}</summary><pre class="log">{_colored(text, limit // 3)}</pre></details>'
            )
    return "".join(blocks)


def _colored(text: str, limit: int) -> str:
    return ansi_to_html(cut_middle(text.strip("\n"), limit))


def _left_out(run: Run, seen: Digest) -> str:
    groups = [*seen.unplaced, *seen.left_open]
    if run.uncollected:
        groups.append(Group(reason="planned, but never collected", ids=run.uncollected))
    if not groups:
        return ""
    return f'<section id="not-run"><h2>Not run</h2>{_group_list(groups)}</section>'


def _group_list(groups: Iterable[Group]) -> str:
    items = []
    for group in groups:
        names = "".join(f"<li><code>{_text(name)}</code></li>" for name in group.ids[:IDS_PER_GROUP])
        more = f"<li>and {len(group.ids) - IDS_PER_GROUP:,} more</li>" if len(group.ids) > IDS_PER_GROUP else ""
        summary = f"<summary><b>{len(group.ids):,}</b> {_text(group.reason)}</summary>"
        items.append(f"<details>{summary}<ul>{names}{more}</ul></details>")
    return "".join(items)


def _folded_groups(title: str, groups: Sequence[Group]) -> str:
    if not groups:
        return ""
    count = sum(len(group.ids) for group in groups)
    return f'<section class="reasons"><h2>{title} <small>{count:,}</small></h2>{_group_list(groups)}</section>'


def _change(run: Run, seen: Digest) -> str:
    if not seen.change:
        return ""
    items = []
    for section in seen.change:
        lines = "".join(
            f"<li><code>{_text(line.subject)}</code> {_text(line.remark, 300)}</li>" for line in section.lines
        )
        left = section.count - len(section.lines)
        more = f"<li>and {left:,} more</li>" if left > 0 and section.lines else ""
        summary = f"<summary><b>{section.count:,}</b> {_text(section.title, 300)}</summary>"
        items.append(f'<details class="w-{section.weight}">{summary}<ul>{lines}{more}</ul></details>')
    title = _text(change_title(run), 200)
    return f'<section class="reasons" id="change"><h2>{title}</h2>{"".join(items)}</section>'


def _flaky(seen: Digest) -> str:
    if not seen.flaky:
        return ""
    rows = []
    for result in seen.flaky[:1_000]:
        first = next(attempt for attempt in result.attempts if attempt.is_failing)
        rows.append((f"<code>{_text(result.id)}</code>", str(len(result.attempts)), _text(first.message, 300)))
    table = _table(("test", "attempts", "first error"), rows)
    return f"<section><h2>Flaky <small>{len(seen.flaky):,}</small></h2>{table}</section>"


def _slowest(seen: Digest) -> str:
    if not seen.slowest:
        return ""
    rows = [(seconds(result.duration_s), f"<code>{_text(result.id)}</code>") for result in seen.slowest]
    return f"<section><h2>Slowest</h2>{_table(('time', 'test'), rows)}</section>"


def _remarks(run: Run, seen: Digest) -> str:
    items = [f'<li class="n-{item.level}">{item.level}: {_text(item.text)}</li>' for item in run.notices]
    for finding in run.findings:
        items.append(f"<li><code>{_text(str(finding.evidence))}</code> {_text(finding.message)}</li>")
    items += [f'<li class="n-warning">warning: {_text(nowhere_line(group))}</li>' for group in seen.nowhere]
    return f"<section><h2>Remarks</h2><ul>{''.join(items)}</ul></section>" if items else ""


def _workers(run: Run) -> str:
    rows = []
    for worker in run.workers:
        devices = ", ".join(device.name or device.kind for device in worker.capability.devices)
        rows.append((_text(worker.name), str(worker.slots), _text(worker.environment), _text(devices)))
    table = _table(("worker", "slots", "environment", "devices"), rows)
    return f"<section><h2>Workers</h2>{table}</section>" if rows else ""


def _foot(run: Run) -> str:
    link = run.build.url
    is_web = link.startswith(("https://", "http://"))
    leads = f' <a href="{escape(link)}" rel="noreferrer">the build</a>' if is_web else ""
    return f"<footer><code>{_text(run.command or run.id)}</code>{leads}</footer>"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
