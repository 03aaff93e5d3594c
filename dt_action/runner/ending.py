"""How a pytest session ends: its exit status, what plugins print in the summary, what they raise."""

from __future__ import annotations

import io
import traceback
from typing import Any, Dict, Optional

from _pytest._io import TerminalWriter
from _pytest.reports import BaseReport

from .outcomes import shortened

_OF_PYTEST = (
    "summary_errors",
    "summary_failures",
    "summary_failures_combined",
    "summary_xfailures",
    "summary_warnings",
    "summary_passes",
    "summary_passes_combined",
    "summary_xpasses",
    "short_test_summary",
    "summary_stats",
    "_report_keyboardinterrupt",
)
"""Parts of the summary that dt tells in its own words."""

GREEN = (0, 5)  # pytest.ExitCode.OK and NO_TESTS_COLLECTED


class Ending:
    """
    Watches the end of a session. `told` is what the fleet learns of it.

    `has_begun` tells that pytest collects, `knows_tests` that it has done so. A quiet one (a worker's) prints no
    summary at all, as xdist's workers; else what plugins add to it is kept.
    """

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._reporter: Any = None
        self._writer: Any = None
        self._text: Optional[io.StringIO] = None
        self._exit: Optional[BaseException] = None
        self._is_stopped = False
        self._error = ""
        self.has_begun = False
        self.knows_tests = False
        self.failing_reports = 0
        self.status_before: Optional[int] = None

    def count(self, report: BaseReport) -> None:
        """Take note of a report: a session with failing ones ends red by itself."""
        self.failing_reports += bool(report.failed)

    def watch(self, session: Any) -> None:
        """From here on, the session ends, and what is printed is kept. A second call changes nothing."""
        if self._reporter is not None:
            return
        config = session.config
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is None:
            return
        if self._is_quiet:
            # It stays registered, for plugins that write to it, but a summary that nobody reads can take longer than a
            # small suite: plugins load what they need to print it.
            for name in ("pytest_sessionfinish", "pytest_terminal_summary"):
                caller = getattr(config.pluginmanager.hook, name)
                if any(implementation.plugin is reporter for implementation in caller.get_hookimpls()):
                    caller._remove_plugin(reporter)
            return
        for name in _OF_PYTEST:
            if hasattr(reporter, name):
                setattr(reporter, name, _nothing)
        self._reporter, self._writer, self._text = reporter, reporter._tw, io.StringIO()
        writer = TerminalWriter(self._text)
        writer.hasmarkup = False
        writer.fullwidth = 100
        reporter._tw = writer

    def left_by(self, leaving: BaseException) -> None:
        """The session is left by `pytest.exit`."""
        self._exit = leaving

    def leave_as_pytest(self, session: Any) -> None:
        """Leave pytest's loop as it does where a plugin, or `-x`, wants the session to end."""
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            self._is_stopped = True
            raise session.Interrupted(session.shouldstop)

    def broken(self, error: BaseException) -> None:
        """Something was raised where nobody catches it: in a plugin's last hooks."""
        self._error = "".join(traceback.format_exception(type(error), error, error.__traceback__))

    def release(self) -> None:
        """Give the terminal back."""
        if self._reporter is not None:
            self._reporter._tw = self._writer

    def told(self, status: int) -> Dict[str, Any]:
        """
        The fields of an `ended` event.

        `exit_code` is one that somebody chose: by `pytest.exit`, in the last hooks, or by whatever ends a session
        before its tests are known. One that began, knows none and is green comes of no choice. `gate` tells that the
        status is not what the tests' outcomes alone would give: a plugin or a conftest set it. It is the run's exit
        code then, where the session is that of the whole run.
        """
        before = self.status_before
        is_changed = before is not None and status != before
        is_gate = status not in GREEN and (is_changed or status != 1 or not self.failing_reports)
        fields: Dict[str, Any] = {"status": status, "gate": is_gate or bool(self._error)}
        if self._exit is not None and getattr(self._exit, "returncode", None) is not None:
            fields["exit_code"] = int(self._exit.returncode)  # type: ignore[attr-defined]
        elif self._ended_early(status) or ((is_changed or self._is_stopped) and not (self._is_quiet or self._error)):
            fields["exit_code"] = status
        text = self._text.getvalue() if self._text is not None else ""
        text = "\n".join(line for line in text.split("\n") if line.strip() != "[100%]").strip("\n")
        if text.strip():
            fields["summary"] = shortened(text)
        if self._error:
            fields["error"] = shortened(self._error)
        return fields

    def _ended_early(self, status: int) -> bool:
        return not self.knows_tests and not (self.has_begun and status in GREEN)


def status_of(error: BaseException) -> int:
    """The exit status of a program that nobody keeps from raising this."""
    if not isinstance(error, SystemExit):
        return 1
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands in for a part of the summary."""
