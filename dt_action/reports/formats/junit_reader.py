"""Reads JUnit XML of any tool as test results: streaming, bounded, and without obeying anything in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from xml.parsers import expat

from dt_action.errors import UnreadableError
from dt_action.model.case import Attempt, Outcome, TestCase, TestResult
from dt_action.reports.formats.text import one_line

MAX_BYTES = 200_000_000
MAX_CASES = 1_000_000
MAX_DEPTH = 50
_VERDICTS: dict[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_RERUNS: dict[str, Outcome] = {
    **{"rerunFailure": "failed", "flakyFailure": "failed"},
    **{"rerunError": "error", "flakyError": "error"},
}
_OURS: frozenset[str] = frozenset({"failed", "error", "timeout", "crashed"})


def read(content: bytes, *, source: str = "the JUnit file") -> tuple[TestResult, ...]:
    """
    The results in the file's order; reruns become earlier attempts.

    Raises UnreadableError for what is not JUnit XML, for a document type (through which XML can include files
    and grow without bound), and for what is larger or deeper than any real report.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableError(f"{source}: expected at most {MAX_BYTES:,} bytes, found {len(content):,}")
    handler = _Handler(source)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = handler.start, handler.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = handler.text, handler.doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as error:
        raise UnreadableError(f"{source}: expected XML, found something else ({error})") from None
    if not handler.is_junit:
        raise UnreadableError(f"{source}: expected a <testsuites> or <testsuite> element at the top")
    return tuple(handler.results)


@dataclass(slots=True)
class _Case:
    """A `<testcase>` while it is read."""

    attributes: dict[str, str]
    suite: str
    outcome: Outcome = "passed"
    message: str = ""
    detail: str = ""
    stdout: str = ""
    stderr: str = ""
    earlier: list[Attempt] = field(default_factory=list)

    def result(self) -> TestResult:
        final = Attempt(
            outcome=self.outcome,
            duration_s=_seconds(self.attributes.get("time", "")),
            worker=self.suite,
            message=self.message,
            detail=self.detail,
            stdout=self.stdout,
            stderr=self.stderr,
        )
        return TestResult(case=_test_case(self.attributes), attempts=(*self.earlier, final))


class _Handler:
    def __init__(self, source: str) -> None:
        self.results: list[TestResult] = []
        self.is_junit = False
        self._source, self._depth, self._host = source, 0, ""
        self._case: _Case | None = None
        self._rerun: dict[str, str] | None = None
        self._pieces: list[str] = []

    def doctype(self, *_: object) -> None:
        raise UnreadableError(f"{self._source}: expected no document type; a test report has none")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableError(f"{self._source}: expected at most {MAX_DEPTH} levels of elements")
        if self._depth == 1:
            self.is_junit = tag in ("testsuites", "testsuite")
        if tag == "testsuite":
            self._host = attributes.get("hostname", "")
        elif tag == "testcase":
            if len(self.results) >= MAX_CASES:
                raise UnreadableError(f"{self._source}: expected at most {MAX_CASES:,} test cases")
            self._case = _Case(attributes, self._host)
        elif self._case and tag in _VERDICTS:
            self._case.outcome = _outcome(tag, attributes)
            self._case.message = one_line(attributes.get("message", ""))
        elif self._case and tag in _RERUNS:
            self._rerun = {"message": one_line(attributes.get("message", "")), "type": attributes.get("type", "")}
        self._pieces = []

    def text(self, piece: str) -> None:
        if self._case:
            self._pieces.append(piece)

    def end(self, tag: str) -> None:
        self._depth -= 1
        text, self._pieces = "".join(self._pieces), []
        if not self._case:
            return
        if tag == "testcase":
            self.results.append(self._case.result())
            self._case = None
        elif tag in _RERUNS and self._rerun is not None:
            self._end_rerun(tag, text)
        elif self._rerun is not None:
            self._rerun[{"stackTrace": "detail", "system-out": "stdout", "system-err": "stderr"}.get(tag, tag)] = text
        elif tag in _VERDICTS:
            self._case.detail = text
            self._case.message = self._case.message or one_line(text, 300)
        elif tag == "system-out":
            self._case.stdout += text
        elif tag == "system-err":
            self._case.stderr += text

    def _end_rerun(self, tag: str, text: str) -> None:
        told, self._rerun = self._rerun or {}, None
        kind = told.get("type", "")
        attempt = Attempt(
            outcome=kind if kind in _OURS else _RERUNS[tag],  # type: ignore[arg-type]
            worker=self._host,
            message=told.get("message", ""),
            detail=told.get("detail") or text.strip(),
            stdout=told.get("stdout", ""),
            stderr=told.get("stderr", ""),
        )
        if self._case:
            self._case.earlier.append(attempt)


def _outcome(tag: str, attributes: dict[str, str]) -> Outcome:
    kind = attributes.get("type", "")
    if tag == "error" and kind in ("timeout", "crashed", "lost"):
        return kind  # type: ignore[return-value]
    if tag == "skipped" and kind == "pytest.xfail":
        return "xfailed"
    return _VERDICTS[tag]


def _test_case(attributes: dict[str, str]) -> TestCase:
    """The node id is put together again from class and name, as pytest and this project's writer take it apart."""
    class_name, name = attributes.get("classname", ""), attributes.get("name", "")
    file = attributes.get("file", "")
    module = file.removesuffix(".py").replace("/", ".").replace("\\", ".")
    if name == file and file:
        return TestCase(id=file, file=file)
    classes = class_name.removeprefix(module).strip(".") if file and class_name.startswith(module) else ""
    head = file or class_name or "unknown"
    line = attributes.get("line", "")
    return TestCase(
        id="::".join([head, *(word for word in classes.split(".") if word), name]),
        file=file or head,
        line=int(line) if line.isascii() and line.isdecimal() and len(line) < 9 else 0,
    )


def _seconds(text: str) -> float:
    """`1,234.5` too, which Java's tools write. 0 where it is no time."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value >= 0 else 0.0
