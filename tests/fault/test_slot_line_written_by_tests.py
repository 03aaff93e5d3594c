"""Tests that write into the line between their process and dt: each is named as the culprit, and no other is lost."""

from __future__ import annotations

import json
import textwrap

import pytest
from project_on_disk import Project

WRITES = """
    import os, socket, stat

    def line():
        for fd in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    return fd
            except OSError:
                continue

    def test_before(): pass

    def test_liar():
        os.write(line(), {written!r})

    def test_after(): pass
"""
FALSE_END = {"e": "finished", "id": "test_bad.py::test_after", "outcome": "passed", "duration_s": 0, "started_at": 1}


@pytest.mark.parametrize(
    "written",
    [
        b"1\n",
        b"{}\n",
        b'{"e":"ready"}\n',
        b"\xff\xfe garbage",
        json.dumps(FALSE_END).encode() + b"\n",
        b'{"e": "started", "id": "test_bad.py::test_after"}\n',
        b'{"e": "died", "reason": "an end that is none"}\n',
    ],
    ids=["a number", "an empty object", "half a message", "bytes", "a false end", "a false start", "a false death"],
)
def test_a_test_that_writes_into_its_line_is_named_and_the_others_keep_their_outcomes(
    project: Project, good, written
) -> None:
    project.write("test_bad.py", textwrap.dedent(WRITES.format(written=written)))
    told = project.run()
    own = {
        "test_bad.py::test_before": "passed",
        "test_bad.py::test_liar": "crashed",
        "test_bad.py::test_after": "passed",
    }
    assert told.outcomes == {**good, **own}
    assert "dt's line" in told.of("test_bad.py::test_liar")["message"]
    assert told.code == 1


def test_a_conftest_that_writes_into_the_line_is_told_and_does_not_hang_the_run(project: Project, good) -> None:
    body = """
        import os, stat
        for fd in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(fd).st_mode):
                    os.write(fd, b"hello\\n")
            except OSError:
                pass
    """
    project.write("conftest.py", textwrap.dedent(body))
    told = project.run()
    assert told.code == 4
    assert "hello" in told.output
