"""From a run to all that is told of it: documents, annotations and badges, each within what its reader can take."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from dt_action.errors import ConfigurationError, PublishingError
from dt_action.model.case import TestResult
from dt_action.model.paths import Paths
from dt_action.model.report import FORMATS, Annotation, Document, Publication
from dt_action.model.run import Run
from dt_action.reports.formats import junit, run_json
from dt_action.reports.formats.text import one_line, strip_ansi
from dt_action.reports.redaction import Redactor
from dt_action.reports.renderers.badge import badges
from dt_action.reports.renderers.digest import Digest, digest, headline
from dt_action.reports.renderers.markdown import Markdown

SUMMARY_BYTES = 60_000
"""
The summary goes into a check run (65,535 bytes) or a comment (65,536 characters) with room for a provider's own
lines: https://docs.github.com/en/rest/checks/runs.
"""
DOCUMENT_BYTES = 1_000_000
"""The Markdown document also serves as a GitHub job summary (1 MiB a step, else it is dropped as a whole)."""

ANNOTATION_CHARACTERS = 4_000
"""GitHub's runner cuts a workflow command's message at 4,096 characters."""


class ReportsNotWrittenError(PublishingError):
    """Some documents could not be written; `written` holds the paths of those that were."""

    def __init__(self, problems: Sequence[str], written: Sequence[Path], directory: Path) -> None:
        count = len(problems)
        super().__init__(
            f"{count} of {count + len(written)} reports could not be written: " + "; ".join(problems),
            hint=f"is there room, and may this user write, in {directory}?",
        )
        self.written = tuple(written)


def publication(
    run: Run,
    *,
    formats: Collection[str],
    timestamp: str,
    redact: Redactor | None = None,
    template_dir: Path | None = None,
) -> Publication:
    """
    Everything that is to be told of `run`; the JUnit document is always among it.

    With `redact`, secrets are masked first, before anything is cut. Files are named from the top of the repository
    wherever a service links to them; a remark on one that lies outside has no path. `timestamp` goes into the names of
    the documents. One that cannot be made for a bug of ours is among the problems. Raises ConfigurationError for a
    format that does not exist or a template that cannot be rendered.
    """
    wanted = chosen_formats(formats)
    run = redact.run(run) if redact is not None else run
    seen = digest(run)
    remarks = remarks_of(run, seen)
    documents: list[Document] = []
    problems: list[str] = []
    for word in wanted:
        try:
            parts = RENDERERS[word](_Told(run, remarks, template_dir))
        except ConfigurationError:
            raise
        except Exception as error:  # the other documents are not to be lost to it
            problems.append(f"the report {word} could not be made, which is a bug in dt: {error!r}")
            continue
        for number, content in enumerate(parts, 1):
            part = f"-{number}" if number > 1 else ""
            documents.append(
                Document(name=f"test_report_{timestamp}{part}{FORMATS[word].suffix}", format=word, content=content)
            )
    summary = Markdown(budget_bytes=SUMMARY_BYTES, link=run.build.url, template_dir=template_dir)
    return Publication(
        title=one_line(headline(seen), 250),
        summary_markdown=summary.render(run).decode(),
        documents=tuple(documents),
        annotations=remarks,
        badges=badges(run),
        problems=tuple(problems),
    )


def chosen_formats(words: Collection[str]) -> tuple[str, ...]:
    """The formats to write, in the order of `FORMATS`, JUnit included. Raises ConfigurationError."""
    aliases = {alias: word for word, row in FORMATS.items() for alias in row.aliases}
    chosen = {aliases.get(word, word) for word in words} | {"xml"}
    unknown = sorted(chosen.difference(FORMATS))
    if unknown:
        raise ConfigurationError(
            f"--report-formats has {', '.join(map(repr, unknown))}; expected some of {', '.join(FORMATS)}"
        )
    return tuple(word for word in FORMATS if word in chosen)


def write(documents: Sequence[Document], output_dir: Path) -> list[Path]:
    """
    Write the documents and return their paths.

    The directory is made, even where a test deleted it. A document is whole or absent, never half: it is written
    beside its name and then moved. Raises ReportsNotWrittenError after all others were tried.
    """
    written: list[Path] = []
    problems: list[str] = []
    for document in documents:
        try:
            written.append(_write_whole(document.content, output_dir / document.name))
        except OSError as error:
            problems.append(f"{document.name}: {error.strerror or error}")
    if problems:
        raise ReportsNotWrittenError(problems, written, output_dir)
    return written


def remarks_of(run: Run, seen: Digest) -> tuple[Annotation, ...]:
    """
    Remarks beside the code, the most useful first, since a CI service shows only some.

    One for each failing test, at its own line: first one of each error, new errors before those that the baseline
    has, then those with most victims; then the second of each, and so on. Then what could not run, then flaky and
    tolerated tests, then findings.
    """
    alike: dict[int, list[TestResult]] = {}
    for result in seen.failures:
        alike.setdefault(seen.alike[result.id], []).append(result)

    def rank(error: list[TestResult]) -> tuple[bool, int]:
        return not any(result.id in seen.new for result in error), -len(error)

    errors = sorted(alike.values(), key=rank)
    remarks = [
        _failure(result, seen, like_it=len(error) - 1 if turn == 0 else 0)
        for turn, row in enumerate(zip_longest(*errors))
        for error, result in zip(errors, row, strict=True)
        if result is not None
    ]
    remarks += [*_not_run(run, seen), *_doubts(run, seen)]
    places = run.paths or Paths()
    findings = (replace(remark, path=places.of_start(remark.path)) for remark in _findings(run))
    return (*(replace(remark, path=places.in_repository(remark.path)) for remark in remarks), *findings)


@dataclass(frozen=True, slots=True)
class _Told:
    """What documents are made of."""

    run: Run
    remarks: Sequence[Annotation]
    template_dir: Path | None


def _codequality(told: _Told) -> list[bytes]:
    from dt_action.reports.formats import codequality

    return [codequality.write(told.remarks)]


def _sarif(told: _Told) -> list[bytes]:
    from dt_action.reports.formats import sarif

    return [sarif.write(told.remarks)]


def _ctrf(told: _Told) -> list[bytes]:
    from dt_action.reports.formats import ctrf

    return [ctrf.write(told.run)]


def _html(told: _Told) -> list[bytes]:
    from dt_action.reports.renderers.html import Html

    return [Html(template_dir=told.template_dir).render(told.run)]


def _markdown(told: _Told) -> list[bytes]:
    run = told.run
    return [Markdown(budget_bytes=DOCUMENT_BYTES, link=run.build.url, template_dir=told.template_dir).render(run)]


RENDERERS: Mapping[str, Callable[[_Told], list[bytes]]] = {
    "json": lambda told: [run_json.write(told.run)],
    "md": _markdown,
    "html": _html,
    "xml": lambda told: junit.write(told.run),
    "ctrf": _ctrf,
    "codequality": _codequality,
    "sarif": _sarif,
}
"""How each of `FORMATS` is made: as one document or, where its readers take only so much, as several."""


def _write_whole(content: bytes, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return path


def _failure(result: TestResult, seen: Digest, *, like_it: int) -> Annotation:
    case, final = result.case, result.final
    message = one_line(final.message, ANNOTATION_CHARACTERS // 2) or final.outcome
    if like_it:
        message += f"\n{like_it:,} more fail{'s' * (like_it == 1)} like this"
    where = f" ({one_line(result.environment, 50)})" if result.environment else ""
    return Annotation(
        path=case.file,
        line=_line_of(result, seen.paths),
        level="failure",
        title=f"{final.outcome}: {one_line(case.name, 200)}{where}",
        message=message[:ANNOTATION_CHARACTERS],
        detail=strip_ansi(final.detail)[-ANNOTATION_CHARACTERS:],
    )


def _line_of(result: TestResult, paths: Paths) -> int:
    """The line in the test's own file where the traceback ends, else the line of the test."""
    names = {result.case.file, paths.from_start(result.case.file)}  # pytest's tracebacks are seen from the start
    names |= {name.replace("/", "\\") for name in names}
    pattern = "|".join(map(re.escape, sorted(names)))
    places = re.findall(rf"^(?:{pattern}):(\d{{1,7}}):", strip_ansi(result.final.detail), re.MULTILINE)
    return int(places[-1]) if places else max(result.case.line, 1)


def _not_run(run: Run, seen: Digest) -> Iterator[Annotation]:
    cases = {item.case.id: item.case for item in run.unplaced}
    for group in seen.unplaced:
        case = cases[group.ids[0]]
        more = f" and {len(group.ids) - 1} more" if len(group.ids) > 1 else ""
        yield Annotation(
            path=case.file,
            line=max(case.line, 1),
            level="failure",
            title=f"no worker could take {one_line(case.name, 200)}{more}",
            message=group.reason,
        )
    for result in seen.lost[:1]:
        more = f" and {len(seen.lost) - 1} more" if len(seen.lost) > 1 else ""
        title = f"lost: {one_line(result.case.name, 200)}{more}"
        yield Annotation(
            path=result.case.file, line=max(result.case.line, 1), level="failure", title=title, message="never reported"
        )
    for path in run.uncollected:
        yield Annotation(path=path, line=1, level="failure", title="never collected", message="planned, but not run")


def _doubts(run: Run, seen: Digest) -> Iterator[Annotation]:
    for result in seen.flaky:
        first = next(attempt for attempt in result.attempts if attempt.is_failing)
        yield Annotation(
            path=result.case.file,
            line=max(result.case.line, 1),
            level="warning",
            title=f"flaky: {one_line(result.case.name, 200)}",
            message=f"passed on attempt {len(result.attempts)}; at first: {one_line(first.message, 1_000)}",
        )
    tolerated = {item.id: item.reason for item in run.tolerated}
    for result in run.results if tolerated else ():
        if result.final.is_failing and result.id in tolerated:
            yield Annotation(
                path=result.case.file,
                line=_line_of(result, seen.paths),
                level="notice",
                title=f"{result.outcome}, but tolerated: {one_line(result.case.name, 200)}",
                message=one_line(tolerated[result.id], 1_000),
            )


def _findings(run: Run) -> Iterator[Annotation]:
    for finding in run.findings:
        yield Annotation(
            path=finding.evidence.file,
            line=max(finding.evidence.line, 1),
            level="warning",
            title=finding.evidence.rule,
            message=one_line(finding.message, ANNOTATION_CHARACTERS),
        )
