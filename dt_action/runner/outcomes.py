"""pytest's reports of one test, folded into the one outcome that pytest's own summary would give it."""

from __future__ import annotations

import io
import os
from typing import Any, Dict, List

from _pytest._io import TerminalWriter

KEPT_CHARACTERS = 128 * 1024
"""How much of a captured stream or traceback is told, from its start and its end together."""

_STARTED_IN = os.path.join(os.getcwd(), "")  # a test may change the directory, or delete it


class CaseRecord:
    """
    Gathers the reports of one node id: setup, call, teardown, reruns and subtests.

    `duration_s` is wall time around all of them, pytest's own work included: what a schedule has to make room for.
    `tries` counts the runs of the case in this process. `is_left` tells that the test left the whole session, by
    `pytest.exit`, and has no outcome. `reports` are pytest's own, serialised, where a controller session wants them.
    """

    def __init__(self, started_at: float, tries: int = 1) -> None:
        self.started_at = started_at
        self.tries = tries
        self.is_left = False
        self.reports: List[Any] = []
        self.outcome = ""
        self.duration_s = 0.0
        self.message = ""
        self.skipped_at = ""
        self.details: List[str] = []
        self.sections: List[Any] = []
        self.properties: List[Any] = []

    def add(self, report: Any) -> None:
        """Take in one report. A failure stays; of two others the later one counts (a subtest's skip, then a pass)."""
        outcome = _outcome(report)
        if report.sections:
            self.sections = report.sections
        self.properties = getattr(report, "user_properties", None) or self.properties
        if not outcome or self.outcome in ("failed", "error"):
            if report.failed and self.outcome:
                self.details.append(_text(report))
            return
        self.outcome = outcome
        if outcome in ("failed", "error"):
            self.message = _crash_message(report)
            self.details.append(_text(report))
        elif outcome in ("skipped", "xfailed", "xpassed"):
            self.message = _reason(report)
            self.skipped_at = _place(report)

    @property
    def is_failing(self) -> bool:
        """True where the test is red by what was reported so far."""
        return self.outcome in ("failed", "error")

    def finished(self) -> Dict[str, Any]:
        """The fields of a `finished` event. Output is told only where somebody will look for it."""
        fields: Dict[str, Any] = {
            "outcome": self.outcome or "error",
            "duration_s": round(self.duration_s, 6),
            "started_at": round(self.started_at, 6),
        }
        if not self.outcome:
            fields["message"] = "pytest told no outcome for this test"
        if self.message:
            fields["message"] = self.message[:2000]
        if self.details:
            fields["detail"] = shortened("\n".join([*self.details, *self._of_plugins()]))
        elif self.skipped_at and self.outcome == "skipped":
            fields["detail"] = self.skipped_at
        if self.outcome in ("failed", "error"):
            for stream in ("stdout", "stderr"):
                text = "".join(content for title, content in self.sections if stream in title)
                if text:
                    fields[stream] = shortened(text)
            log = "".join(content for title, content in self.sections if title.startswith("Captured log"))
            if log:
                fields["stderr"] = shortened(fields.get("stderr", "") + "\n--- captured log ---\n" + log)
        if self.properties:
            fields["properties"] = [
                {"name": str(name)[:1000], "value": str(value)[:KEPT_CHARACTERS]} for name, value in self.properties
            ]
        if self.reports:
            fields["reports"] = self.reports
        return fields

    def _of_plugins(self) -> List[str]:
        """Sections that plugins and conftest files add to a failing report: where a screenshot lies, say."""
        return [
            "\n--- %s ---\n%s" % (title, content)
            for title, content in self.sections
            if content and not title.startswith("Captured ")
        ]


def shortened(text: str, kept: int = KEPT_CHARACTERS) -> str:
    """`text`, without its middle where it is longer than `kept` characters, and saying how much is gone."""
    if len(text) <= kept:
        return text
    head = kept // 4
    return f"{text[:head]}\n... {len(text) - kept} characters left out ...\n{text[-(kept - head) :]}"


def collect_failure(report: Any) -> Dict[str, Any]:
    """The message and detail of a collector that failed."""
    text = _text(report)
    return {"message": (_crash_message(report) or _last_line(text))[:2000], "detail": shortened(text)}


def skip_reason(report: Any) -> str:
    """Why a collector or a test skipped itself."""
    return _reason(report)


def _outcome(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return "xpassed" if report.passed else "xfailed"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if report.skipped:
        return "skipped"
    if report.passed and report.when == "call":
        return "passed"
    return ""


def _text(report: Any) -> str:
    try:
        written = io.StringIO()
        report.toterminal(TerminalWriter(written))
        return written.getvalue().strip("\n")  # not all white space, as `longreprtext` does: it starts with an indent
    except Exception as error:  # a plugin's own representation may fail to print
        return f"<the traceback could not be printed: {error!r}>"


def _crash_message(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message).split("\n", 1)[0]
    return _last_line(_text(report))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _place(report: Any) -> str:
    """Where a test skipped itself: `tests/helpers.py:12`."""
    longrepr = report.longrepr
    if not (isinstance(longrepr, tuple) and len(longrepr) == 3):
        return ""
    path = str(longrepr[0])
    inside = path[len(_STARTED_IN) :] if path.startswith(_STARTED_IN) else path
    return "%s:%s" % (inside.replace(os.sep, "/"), longrepr[1])


def _reason(report: Any) -> str:
    if getattr(report, "wasxfail", ""):
        return str(report.wasxfail).replace("reason: ", "", 1)
    longrepr = report.longrepr
    if isinstance(longrepr, tuple) and len(longrepr) == 3:  # (path, line, reason), pytest's form
        return str(longrepr[2]).replace("Skipped: ", "", 1)
    return str(longrepr or "")
