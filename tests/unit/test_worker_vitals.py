"""What a worker tells of itself: each line of its log once, also where a poll is lost; vitals where there are any."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from dt_action.probes.system import System
from dt_action.worker.vitals import MOST_LINES, SelfReport


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("dt.worker", logging.INFO, "", 0, text, None, None)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=20))
def test_every_line_arrives_once_and_in_order_unless_there_are_too_many(polls: list[tuple[int, bool]]) -> None:
    report, said, arrived = SelfReport(), 0, []
    for lines, is_heard in [*polls, (0, True)]:
        for _ in range(lines):
            report.emit(record(f"line {said};"))
            said += 1
        told, number = report.untold()
        report.emit(record(f"line {said};"))  # while the poll is on its way
        said += 1
        assert len(told) <= MOST_LINES
        if is_heard:
            arrived += told
            report.confirm(number)
    numbers = [int(line.rpartition("line ")[2].rstrip(";")) for line in arrived]
    assert numbers == sorted(set(numbers))
    untold_at_once = max((lines for lines, _ in polls), default=0)
    if all(is_heard for _, is_heard in polls) and untold_at_once + 1 <= MOST_LINES:
        assert numbers == [*range(said - 1)]


def test_a_line_is_one_line_of_bounded_length() -> None:
    report = SelfReport()
    report.emit(record("a\nb" + "x" * 10_000))
    (line,) = report.untold()[0]
    assert "\n" not in line
    assert len(line) <= 500


def test_vitals_of_this_machine_and_of_one_that_tells_nothing(tmp_path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 8 kB\nMemAvailable:    2048 kB\n")
    vitals = SelfReport(tmp_path, System(root=tmp_path)).vitals()
    assert vitals is not None
    assert vitals.memory_free_bytes == 2048 * 1024
    assert 0 < vitals.disk_free_bytes <= vitals.disk_bytes
    poor = SelfReport(tmp_path / "missing", System(root=tmp_path / "missing")).vitals()
    assert poor is not None
    assert (poor.memory_free_bytes, poor.disk_bytes) == (0, 0)
    assert SelfReport(None).vitals() is None
