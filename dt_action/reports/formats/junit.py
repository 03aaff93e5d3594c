"""JUnit XML as GitLab, Jenkins and the GitHub publishers read it: what all of them show, nothing that breaks one."""

from __future__ import annotations

import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from dt_action.model.case import Attempt, Property, TestCase, TestResult
from dt_action.model.paths import Paths
from dt_action.model.run import Run, WorkerInfo
from dt_action.reports.formats.text import cut_middle, iso_time, one_line, told, xml_text

CASES_PER_FILE = 5_000
"""
GitLab counts 250,000 XML objects in one file (https://gitlab.com/gitlab-org/gitlab/-/issues/507482) and 30 MB
(https://docs.gitlab.com/ci/testing/unit_test_reports/); this many cases stay below both.
"""
BYTES_PER_FILE = 25_000_000
STDIO_CHARACTERS = 50_000
"""What Jenkins keeps of each stream of a failing test; of a passing one it keeps next to nothing."""

_MOST_S = 1e9  # a report from elsewhere may hold times whose sum is no number
_UNSAFE = re.compile(r"[^ !#-%'-;=?-~]|#x1B")
_IN_TEXT = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_IN_ATTRIBUTE = {**_IN_TEXT, ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A finished `<testcase>`, the worker whose suite it belongs to, and what counts in its suite."""

    worker: str
    element: str
    verdict: str
    duration_s: float


def write(run: Run) -> list[bytes]:
    """
    One document, or several where one would be larger than GitLab reads. Each is complete by itself.

    There is a `<testsuite>` for each worker, named after it and its environment. A test that was lost or that no
    worker could take, and a file that was never collected, is an `<error>`: it must not look green.
    """
    parts: list[list[_Entry]] = [[]]
    size = 0
    for entry in _entries(run):
        length = len(entry.element) if entry.element.isascii() else len(entry.element.encode("utf-8"))
        if parts[-1] and (len(parts[-1]) == CASES_PER_FILE or size + length > BYTES_PER_FILE):
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += length
    return [_document(part, run) for part in parts]


def class_and_name(case: TestCase) -> tuple[str, str]:
    """
    `tests/unit/test_a.py::TestB::test_c[x::y]` -> (`tests.unit.test_a.TestB`, `test_c[x::y]`), as pytest names them.

    A file that could not be collected has its path as name.
    """
    name = case.name
    if name == case.id:
        return _module(case.file), name
    head, bracket, parameters = name.partition("[")
    classes, _, function = head.rpartition("::")
    module = _module(case.file)
    return f"{module}.{classes.replace('::', '.')}" if classes else module, function + bracket + parameters


@lru_cache(maxsize=64)
def _module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").replace("\\", ".")


def _entries(run: Run) -> Iterator[_Entry]:
    seen: Counter[tuple[str, str]] = Counter()
    paths = run.paths or Paths()
    excused = {item.id: item.reason for item in run.tolerated}
    for result in run.results:
        worker = result.final.worker
        verdict, inside = _excused(result, excused[result.id]) if result.id in excused else _verdict(result)
        inside = _properties(result.final.properties) + _with_attachments(inside, result, paths, run.output_dir)
        duration_s = result.duration_s if math.isfinite(result.duration_s) else 0.0
        element = _testcase(result.case, duration_s, inside, seen, worker, paths)
        yield _Entry(worker, element, verdict, duration_s)
    missing = [(item.case, "unplaced", item.reason) for item in run.unplaced]
    missing += [(TestCase(id=path, file=path), "uncollected", "never collected") for path in run.uncollected]
    for case, kind, reason in missing:
        yield _Entry("", _testcase(case, 0.0, _element("error", kind, reason), seen, "", paths), "error", 0.0)


def _testcase(
    case: TestCase, duration_s: float, inside: str, seen: Counter[tuple[str, str]], worker: str, paths: Paths
) -> str:
    """
    GitLab keeps the first of two cases with one class and name, so a second one gets its worker's name too.

    It links to the file from the top of the repository.
    """
    class_name, name = class_and_name(case)
    seen[class_name, name] += 1
    count = seen[class_name, name]
    if count > 1:
        name = f"{name} ({worker})" if worker and count == 2 else f"{name} ({worker or 'again'}, {count})"
    file = paths.in_repository(case.file) or case.file
    attributes = f'classname="{_attribute(class_name)}" name="{_attribute(name)}" file="{_attribute(file)}"'
    line = f' line="{case.line}"' if case.line else ""
    start = f'<testcase {attributes}{line} time="{duration_s:.6f}"'
    return f"{start}>{inside}</testcase>" if inside else f"{start}/>"


def _properties(properties: Sequence[Property]) -> str:
    if not properties:
        return ""
    items = (f'<property name="{_attribute(item.name)}" value="{_attribute(item.value)}"/>' for item in properties)
    return f"<properties>{''.join(items)}</properties>"


def _with_attachments(inside: str, result: TestResult, paths: Paths, output_dir: str) -> str:
    """
    Files that the test left, in the words that GitLab and Jenkins' attachments plugin read; pictures first.

    GitLab takes the path from the top of the repository, and shows the first one beside a failure
    (https://docs.gitlab.com/ci/testing/unit_test_reports/#view-junit-screenshots-on-gitlab).
    """
    if not result.artifacts:
        return inside
    names = [posixpath.join(output_dir, artifact.path) for artifact in result.artifacts]
    ordered = sorted(names, key=lambda name: not name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp")))
    told = "\n".join(f"[[ATTACHMENT|{paths.of_start(name) or name}]]" for name in ordered)
    open_, found, rest = inside.partition("<system-out>")
    if found:
        return f"{open_}{found}{_content(told)}\n{rest}"
    return f"{inside}<system-out>{_content(told)}</system-out>"


def _verdict(result: TestResult) -> tuple[str, str]:
    """
    How a test counts (`failure`, `error`, `skipped` or nothing), and what stands inside its `<testcase>`.

    That is the deciding attempt, then the earlier ones that failed.
    Jenkins reads `flakyFailure` under a test that passed in the end and `rerunFailure` under one that did not.
    """
    final = result.final
    if final.outcome == "passed" and len(result.attempts) == 1:
        return "", ""
    parts, verdict = [], ""
    if final.is_failing or final.outcome == "lost":
        verdict = "failure" if final.outcome == "failed" else "error"
        parts.append(_element(verdict, final.outcome, final.message, final.detail))
        parts.append(_stdio(final))
    elif final.outcome in ("skipped", "xfailed"):
        verdict = "skipped"
        message = f"xfail: {final.message}" if final.outcome == "xfailed" else final.message
        parts.append(_element("skipped", "pytest.skip" if final.outcome == "skipped" else "pytest.xfail", message))
    tag = "rerunFailure" if final.is_failing else "flakyFailure"
    parts += [_rerun(tag, attempt) for attempt in result.attempts[:-1] if attempt.is_failing]
    return verdict, "".join(parts)


def _excused(result: TestResult, reason: str) -> tuple[str, str]:
    """A failure that does not make the run red stands as skipped, with its error, so that no reader makes it red."""
    final = result.final
    text = told(final.message, final.detail)
    return "skipped", _element("skipped", f"tolerated.{final.outcome}", f"failed, but tolerated: {reason}", text)


def _element(tag: str, kind: str, message: str, detail: str = "") -> str:
    """The message stands in the text too, since GitLab shows nothing but the text."""
    shown = _attribute(one_line(message, 1_000))
    return f'<{tag} type="{_attribute(kind)}" message="{shown}">{_content(told(message, detail))}</{tag}>'


def _rerun(tag: str, attempt: Attempt) -> str:
    trace = f"<stackTrace>{_content(attempt.detail or attempt.message)}</stackTrace>"
    message = _attribute(one_line(attempt.message, 1_000))
    return f'<{tag} type="{attempt.outcome}" message="{message}">{trace}{_stdio(attempt)}</{tag}>'


def _stdio(attempt: Attempt) -> str:
    streams = (("system-out", attempt.stdout), ("system-err", attempt.stderr))
    return "".join(f"<{tag}>{_content(text)}</{tag}>" for tag, text in streams if text)


def _content(text: str) -> str:
    return xml_text(cut_middle(text, 2 * STDIO_CHARACTERS)).translate(_IN_TEXT)


def _attribute(text: str) -> str:
    return xml_text(text).translate(_IN_ATTRIBUTE) if _UNSAFE.search(text) else text


def _document(entries: Sequence[_Entry], run: Run) -> bytes:
    by_worker: dict[str, list[_Entry]] = {}
    for entry in entries:
        by_worker.setdefault(entry.worker, []).append(entry)
    workers = {worker.name: worker for worker in run.workers}
    suites = [_suite(name, some, run, workers.get(name)) for name, some in by_worker.items()]
    start = f'<testsuites name="dt" {_counts(entries)}>'
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', start, *suites, "</testsuites>", ""]).encode("utf-8")


def _suite(name: str, entries: Sequence[_Entry], run: Run, worker: WorkerInfo | None) -> str:
    environment = worker.environment if worker and worker.environment else run.build.environment
    title = " ".join(word for word in (name or "no worker", f"({environment})" if environment else "") if word)
    host = f' hostname="{_attribute(name)}"' if name else ""
    start = f'<testsuite name="{_attribute(title)}" {_counts(entries)} timestamp="{iso_time(run.started_at)}"{host}>'
    recorded = [_properties(run.properties)] if run.properties else []
    return "\n".join([start, *recorded, *(entry.element for entry in entries), "</testsuite>"])


def _counts(entries: Sequence[_Entry]) -> str:
    verdicts = Counter(entry.verdict for entry in entries)
    time_s = min(sum(entry.duration_s for entry in entries), _MOST_S)
    return (
        f'tests="{len(entries)}" failures="{verdicts["failure"]}" errors="{verdicts["error"]}" '
        f'skipped="{verdicts["skipped"]}" time="{time_s:.3f}"'
    )
