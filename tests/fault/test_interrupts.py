"""A run that ends early lets its tests tear down, and tells which were running, for how long, and where."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest
from project_on_disk import Project, processes_marked, wait_until

CONFTEST = """
import os, pathlib, pytest

@pytest.fixture(scope="session", autouse=True)
def database():
    yield
    pathlib.Path(f"removed-{os.getpid()}").touch()

@pytest.fixture
def began():
    pathlib.Path(f"began-{os.getpid()}").touch()
    yield
    pathlib.Path(f"ended-{os.getpid()}").touch()
"""

SLEEPS = """
import time

def test_sleeps(began):
    time.sleep(600)
"""

SPINS = """
def test_spins(began):
    while True:
        spin()

def spin():
    sum(range(1000))
"""


@pytest.fixture
def busy(project: Project) -> Project:
    """A project with two tests that never end, and fixtures of both scopes that tear down."""
    project.write("conftest.py", CONFTEST)
    project.write("test_sleeps.py", SLEEPS)
    project.write("test_spins.py", SPINS)
    return project


def made(project: Project, word: str) -> set[str]:
    """The numbers of the processes that left such a file."""
    return {path.name.partition("-")[2] for path in project.root.glob(f"{word}-*")}


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_an_interrupt_tears_down_and_tells_what_ran_how_long_and_where(busy: Project, number: int, start: str):
    process = busy.start("--start", start)
    wait_until(lambda: len(made(busy, "began")) == 2)
    process.send_signal(number)
    told = busy.told(process)
    assert made(busy, "removed") == made(busy, "ended") == made(busy, "began")
    assert told.outcomes["test_sleeps.py::test_sleeps"] == told.outcomes["test_spins.py::test_spins"] == "lost"
    said = "interrupted: it had run for [0-9.]+ s, at"
    assert re.fullmatch(f"{said} test_sleeps.py:5", told.of("test_sleeps.py::test_sleeps")["message"])
    assert re.fullmatch(f"{said} test_spins.py:[347]", told.of("test_spins.py::test_spins")["message"])
    assert (told.report["conclusion"], told.code) == ("cancelled", 2)
    assert processes_marked(str(busy.root)) == []


def test_what_ends_while_the_others_tear_down_counts(busy: Project):
    busy.write(
        "test_spins.py",
        "import time\ndef test_ends(began):\n    try: time.sleep(600)\n    except KeyboardInterrupt: pass\n",
    )
    process = busy.start()
    wait_until(lambda: len(made(busy, "began")) == 2)
    process.send_signal(signal.SIGINT)
    told = busy.told(process)
    assert told.outcomes["test_spins.py::test_ends"] == "passed"
    assert (told.report["conclusion"], told.code) == ("cancelled", 2)


def test_the_second_interrupt_ends_what_the_first_one_waits_for(busy: Project):
    slow = CONFTEST.replace(
        "    yield\n", "    yield\n    pathlib.Path('waits').touch()\n    import time; time.sleep(600)\n"
    )
    busy.write("conftest.py", slow)
    process = busy.start()
    wait_until(lambda: len(made(busy, "began")) == 2)
    process.send_signal(signal.SIGINT)
    wait_until((busy.root / "waits").exists)
    process.send_signal(signal.SIGINT)
    asked_at = time.monotonic()
    told = busy.told(process)
    assert time.monotonic() - asked_at < 600
    assert (told.report["conclusion"], told.code) == ("cancelled", 2)
    assert processes_marked(str(busy.root)) == []


def test_a_slot_that_waits_with_its_fixtures_tears_them_down_too(busy: Project):
    both = "while len([*pathlib.Path().glob('began-*')]) < 2: time.sleep(0.02)"  # or one process would run both tests
    busy.write("test_spins.py", f"import pathlib, time\ndef test_quick(began):\n    {both}\n")
    process = busy.start()
    wait_until(lambda: len(made(busy, "began")) == 2)
    process.send_signal(signal.SIGINT)
    told = busy.told(process)
    assert made(busy, "removed") == made(busy, "began")
    assert told.outcomes["test_spins.py::test_quick"] == "passed"


def test_a_run_out_of_time_tears_down_and_blames_what_ran_with_where_it_was(busy: Project):
    process = busy.start("--timeout", "20")
    told = busy.told(process)
    assert len(made(busy, "began")) == 2
    assert made(busy, "removed") == made(busy, "began")
    assert told.outcomes["test_sleeps.py::test_sleeps"] == "timeout"
    message = told.of("test_sleeps.py::test_sleeps")["message"]
    assert re.fullmatch(r"the run's timeout of 20 s passed: it had run for [0-9.]+ s, at test_sleeps.py:5", message)
    assert (told.report["conclusion"], told.code) == ("failed", 1)


def test_an_interrupt_before_the_first_test_ends_the_run_with_its_code(busy: Project):
    busy.write("test_slow.py", "import pathlib, time\npathlib.Path('began-import').touch()\ntime.sleep(600)\n")
    process = busy.start()
    wait_until((busy.root / "began-import").exists)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    told = busy.told(process)
    assert told.code == 2
    assert processes_marked(str(busy.root)) == []


def test_an_interrupted_client_waits_until_its_workers_have_torn_down(tmp_path: Path, busy: Project):
    pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
    from coordinator_rig import Coordinator, Worker, closing_all, start_run

    notes = tmp_path / "notes"
    notes.mkdir()
    busy.write("conftest.py", CONFTEST.replace("pathlib.Path(f", f"pathlib.Path({str(notes)!r}, f"))
    coordinator = Coordinator(tmp_path / "coordinator").start()
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    try:
        with closing_all(worker):
            run = start_run(busy.root, coordinator.url, coordinator.key())
            wait_until(lambda: len([*notes.glob("began-*")]) == 2)
            run.process.send_signal(signal.SIGINT)
            told = run.finish()
            assert len([*notes.glob("removed-*")]) == 2
            assert "it had run for" in told.output
            assert "test_sleeps.py:5" in told.output
            assert told.code == 2
    finally:
        coordinator.stop()
