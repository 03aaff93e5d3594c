"""JUnit XML as GitLab, Jenkins and the GitHub publishers read it: what all of them show, nothing that breaks one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from dt_action.formats.text import cut_middle, iso_time, one_line, xml_text
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.run import Run, WorkerInfo

CASES_PER_FILE = 5_000
"""
GitLab counts 250,000 XML objects in one file (https://gitlab.com/gitlab-org/gitlab/-/issues/507482) and 30 MB
(https://docs.gitlab.com/ci/testing/unit_test_reports/); this many cases stay below both.
"""
BYTES_PER_FILE = 25_000_000
STDIO_CHARACTERS = 50_000
"""What Jenkins keeps of each stream of a failing test; of a passing one it keeps next to nothing."""

_IN_TEXT = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#13;"}
_IN_ATTRIBUTE = {**_IN_TEXT, ord('"'): "&quot;", ord("\n"): "&#10;", ord("\t"): "&#9;"}

Entry: TypeAlias = tuple[str, str]
"""The suite's key (a worker's name) and the finished `<testcase>` element."""


def write(run: Run) -> list[bytes]:
    """
    One document, or several where one would be larger than GitLab reads. Each is complete by itself.

    There is a `<testsuite>` for each worker, named after it and its environment. A test that was lost or that no
    worker could take, and a file that was never collected, is an `<error>`: it must not look green.
    """
    parts: list[list[Entry]] = [[]]
    size = 0
    for entry in _entries(run):
        length = len(entry[1])
        if parts[-1] and (len(parts[-1]) == CASES_PER_FILE or size + length > BYTES_PER_FILE):
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += length
    return [_document(part, run).encode("utf-8") for part in parts]


def class_and_name(case: TestCase) -> tuple[str, str]:
    """
    `tests/unit/test_a.py::TestB::test_c[x::y]` -> (`tests.unit.test_a.TestB`, `test_c[x::y]`), as pytest names them.

    A file that could not be collected has its path as name.
    """
    module = case.file.removesuffix(".py").replace("/", ".").replace("\\", ".")
    if case.name == case.id:
        return module, case.id
    head, bracket, parameters = case.name.partition("[")
    *classes, function = head.split("::")
    return ".".join([module, *classes]), function + bracket + parameters


def _entries(run: Run) -> Iterator[Entry]:
    seen: dict[tuple[str, str], int] = {}
    for result in run.results:
        worker = result.final.worker
        yield worker, _testcase(result.case, result.duration_s, _verdict(result), seen, worker)
    for unplaced in run.unplaced:
        yield "", _testcase(unplaced.case, 0.0, _element("error", "unplaced", unplaced.reason), seen, "")
    for path in run.uncollected:
        verdict = _element("error", "uncollected", "planned, but never collected")
        yield "", _testcase(TestCase(id=path, file=path), 0.0, verdict, seen, "")


def _testcase(case: TestCase, duration_s: float, inside: str, seen: dict[tuple[str, str], int], worker: str) -> str:
    """GitLab keeps the first of two cases with one class and name, so a second one gets its worker's name too."""
    class_name, name = class_and_name(case)
    count = seen[class_name, name] = seen.get((class_name, name), 0) + 1
    if count > 1:
        name = f"{name} ({worker})" if worker and count == 2 else f"{name} ({worker or 'again'}, {count})"
    attributes = f'classname="{_attribute(class_name)}" name="{_attribute(name)}" file="{_attribute(case.file)}"'
    line = f' line="{case.line}"' if case.line else ""
    start = f'<testcase {attributes}{line} time="{duration_s:.6f}"'
    return f"{start}>{inside}</testcase>" if inside else f"{start}/>"


def _verdict(result: TestResult) -> str:
    """
    What stands inside a `<testcase>`: the deciding attempt, then the earlier ones that failed.

    Jenkins reads `flakyFailure` under a test that passed in the end and `rerunFailure` under one that did not.
    """
    final = result.final
    earlier = [attempt for attempt in result.attempts[:-1] if attempt.is_failing]
    if final.outcome == "passed" and not earlier:
        return ""
    parts = []
    if final.is_failing or final.outcome == "lost":
        tag = "failure" if final.outcome == "failed" else "error"
        parts.append(_element(tag, final.outcome, final.message, final.detail))
        parts.append(_stdio(final))
    elif final.outcome in ("skipped", "xfailed"):
        message = f"xfail: {final.message}" if final.outcome == "xfailed" else final.message
        parts.append(_element("skipped", "pytest.skip" if final.outcome == "skipped" else "pytest.xfail", message))
    tag = "rerunFailure" if final.is_failing else "flakyFailure"
    parts += [_rerun(tag, attempt) for attempt in earlier]
    return "".join(parts)


def _element(tag: str, kind: str, message: str, detail: str = "") -> str:
    """The message stands in the text too, since GitLab shows nothing but the text."""
    text = detail if message in detail else f"{message}\n{detail}"
    shown = _attribute(one_line(message, 1_000))
    return f'<{tag} type="{_attribute(kind)}" message="{shown}">{_content(text.strip())}</{tag}>'


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
    return xml_text(text).translate(_IN_ATTRIBUTE)


def _document(entries: Sequence[Entry], run: Run) -> str:
    by_worker: dict[str, list[str]] = {}
    for worker, element in entries:
        by_worker.setdefault(worker, []).append(element)
    workers = {worker.name: worker for worker in run.workers}
    suites = [_suite(name, elements, run, workers.get(name)) for name, elements in by_worker.items()]
    start = f'<testsuites name="dt" {_counts(element for _, element in entries)}>'
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', start, *suites, "</testsuites>", ""])


def _suite(name: str, elements: list[str], run: Run, worker: WorkerInfo | None) -> str:
    environment = worker.environment if worker and worker.environment else run.build.environment
    title = " ".join(word for word in (name or "no worker", f"({environment})" if environment else "") if word)
    at = iso_time(run.started_at)
    host = f' hostname="{_attribute(name)}"' if name else ""
    start = f'<testsuite name="{_attribute(title)}" {_counts(elements)} timestamp="{at}"{host}>'
    return "\n".join([start, *elements, "</testsuite>"])


def _counts(elements: Iterable[str]) -> str:
    """Counted from the finished elements: escaped text cannot hold `<`, so what looks like a tag is one."""
    tests = failures = errors = skipped = 0
    seconds = 0.0
    for element in elements:
        tests += 1
        failures += "<failure " in element
        errors += "<error " in element
        skipped += "<skipped " in element
        seconds += float(element.partition(' time="')[2].partition('"')[0])
    return f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}" time="{seconds:.3f}"'
