"""A fixture that only one process can have, such as a fixed port: no stall, nothing red, and its tests in one slot."""

from __future__ import annotations

import socket

import pytest
from project_on_disk import Project

CONFTEST = """
import os, pathlib, socket, time, pytest

def asked():
    return len(list(pathlib.Path(".").glob("asked-*")))

@pytest.fixture(scope="session")
def server():
    pathlib.Path(f"asked-{os.getpid()}").touch()
    server = socket.socket()
    while True:
        try:
            server.bind(("127.0.0.1", PORT))
            break
        except OSError:
            if not WAITS:
                raise
            time.sleep(0.01)
    yield server
    server.close()
"""

TESTS = """
import time, pytest
from conftest import asked

@pytest.mark.parametrize("number", range(4))
def test_served(server, number):
    give_up = time.monotonic() + GIVE_UP_S
    while asked() < 2 and time.monotonic() < give_up:  # both slots have come so far
        time.sleep(0.01)

def test_plain():
    pass
"""

SORTS = """
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.nodeid)
"""


@pytest.fixture
def port() -> int:
    """One that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.mark.parametrize(
    ("waits", "whole"),
    [
        pytest.param(True, True, id="waits-whole"),
        pytest.param(False, False, id="fails-by-file"),
        pytest.param(True, False, id="waits-by-file", marks=pytest.mark.long),
        pytest.param(False, True, id="fails-whole", marks=pytest.mark.long),
    ],
)
def test_what_only_one_process_can_have_makes_nothing_red_and_stays_in_one_slot(project: Project, port, waits, whole):
    hook = SORTS if whole else ""
    project.write("conftest.py", CONFTEST.replace("PORT", str(port)).replace("WAITS", str(waits)) + hook)
    for name in ("test_a.py", "test_b.py", "test_c.py"):
        project.write(name, TESTS.replace("GIVE_UP_S", "60"))

    first = project.run("--workers", "2", "--confirm-budget", "0")
    assert set(first.outcomes.values()) == {"passed"}, first.output
    assert {f"test_{file}.py::test_served[{number}]" for file in "abc" for number in range(4)} <= set(first.outcomes)
    assert first.code == 0
    assert "only one process can have the fixture server" in first.output

    for name in ("test_a.py", "test_b.py", "test_c.py"):
        project.write(name, TESTS.replace("GIVE_UP_S", "0"))
    for path in project.root.glob("asked-*"):
        path.unlink()
    second = project.run("--workers", "2", "--confirm-budget", "0")
    assert set(second.outcomes.values()) == {"passed"}, second.output
    assert len([*project.root.glob("asked-*")]) == 1
