from __future__ import annotations

import io
import re
from unicodedata import east_asian_width

from report_samples import HOSTILE, attempt, result

from dt_action.model.event import (
    CaseFinished,
    CaseStarted,
    CaseUnplaced,
    Ended,
    Event,
    FileCollected,
    FileSkipped,
    Notice,
    WorkerJoined,
)
from dt_action.model.hardware import Capability
from dt_action.reports.renderers.progress import FAILURES_TOLD, Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(*events: Event | float, is_terminal: bool = False, files: int = 0, width: int = 80) -> str:
    """What is written for these events; a number lets as many seconds pass."""
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock=clock, is_terminal=is_terminal, files=files, width=width)
    for event in events:
        if isinstance(event, float):
            clock.now += event
            progress.tick()
        else:
            progress(event)
    return stream.getvalue()


def collected(file: str, count: int) -> FileCollected:
    return FileCollected(file=file, cases=tuple(result(f"{file}::t{n}").case for n in range(count)))


def finished(case_id: str, outcome: str = "passed", message: str = "", *, will_retry: bool = False) -> CaseFinished:
    return CaseFinished(case=result(case_id).case, attempt=attempt(outcome, message), will_retry=will_retry)


def passing(count: int) -> list[Event]:
    return [finished(f"a.py::t{n}") for n in range(count)]


def test_a_log_gets_a_line_for_every_tenth_and_not_for_every_test() -> None:
    slowly = [event for done in passing(100) for event in (0.2, done)]
    lines = told(collected("a.py", 100), *slowly, files=1).splitlines()
    assert len(lines) == 9
    assert lines[4] == " 50%  50 of 100 tests, 10.0 s"


def test_a_short_run_is_over_without_a_word_of_how_far_it_is() -> None:
    assert told(collected("a.py", 8), *passing(8), files=1) == ""


def test_a_log_gets_a_line_when_nothing_else_was_said_for_long() -> None:
    assert told(collected("a.py", 1000), 31.0, *passing(1), 31.0, files=1).splitlines() == [
        "  0%  0 of 1,000 tests, 31.0 s",
        "  0%  1 of 1,000 tests, 62.0 s",
    ]


def test_the_number_of_tests_is_a_guess_until_all_files_are_collected() -> None:
    assert " 10%  2 of ~20 tests" in told(collected("a.py", 5), 2.0, *passing(2), files=4)
    assert " of 5 tests" in told(collected("a.py", 5), FileSkipped(file="b.py", reason=""), 2.0, *passing(2), files=2)
    again = FileCollected(file="a.py", cases=(), worker="local", slot="gw1")
    assert " 10%  2 of ~20 tests" in told(collected("a.py", 5), again, again, again, 2.0, *passing(2), files=4)


def test_a_failure_is_told_when_it_happens() -> None:
    assert told(collected("a.py", 2), finished("a.py::t0", "failed", "assert 1 == 2"), files=1).startswith(
        "FAILED a.py::t0 - assert 1 == 2 (0.250 s)\n"
    )
    assert told(finished("a.py::t0", "crashed", will_retry=True)).startswith("RETRY a.py::t0 (0.250 s)\n")


def test_thousands_of_failures_do_not_flood_the_log() -> None:
    lines = told(*(finished(f"a.py::t{n}", "failed") for n in range(1_000)), files=5).splitlines()
    assert sum(line.startswith("FAILED") for line in lines) == FAILURES_TOLD
    assert "further failures are told at the end" in lines


def test_workers_and_notices_are_told() -> None:
    joined = WorkerJoined(worker="box", slots=2, capability=Capability(), environment="linux, Python 3.13.0")
    assert told(joined, Notice(level="warning", text="slot 1 died")) == (
        "box: 2 slots, linux, Python 3.13.0\nwarning: slot 1 died\n"
    )


def test_a_terminal_gets_one_line_that_changes_and_is_gone_at_the_end() -> None:
    started = CaseStarted(case="tests/a.py::test_slow", worker="box", slot="1", at=0.0)
    written = told(
        collected("a.py", 4), started, 0.5, 1.0, finished("a.py::t0"), Ended(status="completed"), is_terminal=True
    )
    assert "\n" not in written
    assert "\r\x1b[K  0%  0 of 4 tests, 1.5 s  tests/a.py::test_slow (1.5 s)" in written
    assert written.endswith("\r\x1b[K")


def test_a_failure_on_a_terminal_stands_above_the_changing_line() -> None:
    written = told(collected("a.py", 4), 0.5, finished("a.py::t0", "failed"), 0.5, is_terminal=True)
    assert "\r\x1b[KFAILED a.py::t0 (0.250 s)\n" in written


def test_the_changing_line_fits_the_terminal_whatever_a_test_is_called() -> None:
    for text in ("x" * 500, "日本語" * 99, *HOSTILE):
        started = CaseStarted(case=f"a.py::t[{text}]", worker="box", slot="1", at=0.0)
        written = told(collected("a.py", 4), started, 0.5, is_terminal=True, width=50)
        shown = re.sub(r"\r\x1b\[K", "\n", written).split("\n")[-1]
        assert sum(2 if east_asian_width(sign) in "WF" else 1 for sign in shown) < 50
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


def test_a_case_that_no_worker_takes_counts_as_dealt_with() -> None:
    unplaced = CaseUnplaced(case=result("a.py::t0").case, reason="needs cuda")
    assert " 50%  1 of 2 tests" in told(collected("a.py", 2), 2.0, unplaced, files=1)


def test_closing_twice_does_nothing() -> None:
    stream = io.StringIO()
    progress = Progress(stream, clock=Clock(), is_terminal=True)
    progress.close()
    progress.close()
    assert stream.getvalue() == ""
