"""
Slots that are forked from one process: the tests see what they would see in processes of their own.

Each project writes down, while its tests run, which process each one ran in and which process had forked that.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from pathlib import Path

import pytest
from project_on_disk import Project, Told, processes_marked, wait_until

from dt_action.hosts import template
from dt_action.model.pytest_start import PytestStart

pytestmark = pytest.mark.skipif(not template.IS_POSSIBLE, reason="processes are not forked here")

WHO = """
import json, os, random, sys
from pathlib import Path

def who(name, **more):
    told = {"name": name, "pid": os.getpid(), "parent": os.getppid(), "slot": os.environ["PYTEST_XDIST_WORKER"], **more}
    note = Path(os.environ["NOTES"], f"{name}-{os.getpid()}")
    note.write_text(json.dumps(told))
    note.rename(note.with_suffix(".json"))
"""


class Noting(Project):
    """A project whose tests write notes."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.notes_in = root.parent / "notes"
        self.notes_in.mkdir()
        self.write("who.py", WHO)

    def fork(self, *options: str, workers: int = 3) -> Told:
        return self.run("--start", "fork", "--workers", str(workers), *options, **self.environ)

    @property
    def environ(self) -> dict[str, str]:
        return {"NOTES": str(self.notes_in), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    @property
    def notes(self) -> list[dict[str, object]]:
        return [json.loads(path.read_text()) for path in sorted(self.notes_in.glob("*.json"))]

    @property
    def refusal(self) -> str:
        note = self.root / ".dt_cache" / "fork_refused.json"
        return json.loads(note.read_text())["reason"] if note.exists() else ""


@pytest.fixture
def noting(tmp_path: Path) -> Noting:
    root = tmp_path / "project"
    root.mkdir()
    project = Noting(root)
    for file in "abc":
        tests = "".join(
            f"def test_{number}(tmp_path):\n    time.sleep(0.1)\n    who('{file}{number}', tmp=str(tmp_path), "
            f"drawn=random.random(), print=print('printed by {file}{number}'))\n"
            for number in range(6)
        )
        project.write(f"test_{file}.py", f"import random, time\nfrom who import who\n{tests}")
    return project


def test_all_slots_come_from_one_process_and_differ_in_all_that_belongs_to_one(noting: Noting):
    told = noting.fork()
    assert (told.code, noting.refusal) == (0, "")
    assert list(told.outcomes.values()) == ["passed"] * 18
    notes = noting.notes
    assert len({note["parent"] for note in notes}) == 1
    by_pid = {note["pid"]: note["slot"] for note in notes}
    assert len(by_pid) > 1
    assert len(set(by_pid.values())) == len(by_pid)
    assert len({note["tmp"] for note in notes}) == len(notes)
    first_drawn = {note["pid"]: note["drawn"] for note in reversed(notes)}
    assert len(set(first_drawn.values())) == len(first_drawn)


def test_what_a_test_prints_is_told_with_it_alone(noting: Noting):
    noting.write("test_d.py", "def test_fails():\n    print('printed by d')\n    assert 0\n")
    told = noting.fork()
    attempt = told.of("test_d.py::test_fails")["attempts"][-1]
    assert attempt["stdout"] == "printed by d\n"


def test_a_project_that_seeds_its_random_numbers_draws_the_same_ones_as_in_pytest(noting: Noting):
    noting.write("conftest.py", "import random\nrandom.seed(7)\n")
    noting.write(
        "test_d.py",
        "import random\nfrom who import who\nDRAWN = random.random()\ndef test_d():\n    who('d', at=DRAWN)\n",
    )
    noting.fork()
    drawn = next(note["at"] for note in noting.notes if note["name"] == "d")
    assert (noting.refusal, drawn) == ("", random.Random(7).random())


UNSAFE = {
    "a thread": (
        "import threading as t\nstop = t.Event()\nt.Thread(target=stop.wait, name='mine', daemon=True).start()",
        "thread mine runs",
    ),
    "an open socket": ("import socket\nline = socket.socketpair()", "socket:"),
    "a port": (
        "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); port = s.getsockname(); s.close()",
        "binds",
    ),
    "a process": ("import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''])", "starts python"),
    "a folder": ("import tempfile\nfolder = tempfile.mkdtemp()", "makes"),
    "a file": ("open('left.txt', 'w').close()", "writes"),
    "a temporary file": ("import tempfile\nfile = tempfile.TemporaryFile()", "writes"),
    "a file removed": ("import os\nos.remove('old.txt')", "removes"),
    "a database": ("import sqlite3\ndatabase = sqlite3.connect('mine.db')", "opens the database"),
    "memory that is shared": ("import multiprocessing\ncount = multiprocessing.Value('i')", ""),
    "its slot by the environment": ("import os\nname = os.environ.get('PYTEST_XDIST_WORKER', 'main')", "which slot"),
    "its slot by xdist's words": (
        "def pytest_pycollect_makeitem(collector):\n    collector.config.workerinput['workerid']",
        "which slot",
    ),
    "its own number": ("import os\nname = f'db_{os.getpid()}'", "number of its process"),
}


IN_CI = ("a thread", "an open socket", "a temporary file", "its slot by the environment", "its own number")
KINDS = [pytest.param(kind, marks=() if kind in IN_CI else pytest.mark.long) for kind in UNSAFE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_that_has_more_than_read_and_computed_is_not_forked(noting: Noting, kind: str):
    content, reason = UNSAFE[kind]
    noting.write("old.txt", "")
    noting.write("conftest.py", content + "\n")
    if kind == "a file removed":  # by each process alike
        noting.write("conftest.py", "import os\nif os.path.exists('old.txt'):\n    os.remove('old.txt')\n")
    told = noting.fork()
    assert list(told.outcomes.values()) == ["passed"] * 18
    assert noting.refusal
    assert reason in noting.refusal
    mine = {note["parent"] for note in noting.notes}
    assert mine != {note["pid"] for note in noting.notes}
    assert len(mine) == 1  # dt's own process


HARMLESS = {
    "a folder that is gone": "import tempfile\nwith tempfile.TemporaryDirectory() as f:\n    open(f + '/x', 'w')",
    "a question to git": "import subprocess\nsubprocess.run(['git', '--version'], capture_output=True)",
    "bytecode": "import py_compile, who\npy_compile.compile(who.__file__)",
    "a thread that has ended": "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()",
    "a database in memory": "import sqlite3\ndatabase = sqlite3.connect(':memory:')",
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_leaves_nothing_behind_does_not_keep_a_process_from_being_forked(noting: Noting, kind: str):
    noting.write("conftest.py", HARMLESS[kind] + "\n")
    told = noting.fork()
    assert (told.code, noting.refusal) == (0, "")


def test_auto_does_not_try_again_where_a_fork_was_refused(noting: Noting):
    noting.write("conftest.py", UNSAFE["a thread"][0])
    noting.run("--start", "auto", "--workers", "4", **noting.environ)
    auto, fork = (PytestStart(start_method=method, slots=4) for method in ("auto", "fork"))
    assert not template.is_wanted(auto, noting.root, sys.executable)
    assert template.is_wanted(auto, noting.root, "another python")
    assert template.is_wanted(fork, noting.root, sys.executable)


@pytest.mark.parametrize(("body", "word"), [("os._exit(3)", "exited with code 3"), ("os.abort()", "SIGABRT")])
def test_a_forked_slot_that_dies_is_named_with_how_and_another_takes_its_place(noting: Noting, body: str, word: str):
    noting.write("test_bad.py", f"import os\ndef test_bad():\n    {body}\n")
    told = noting.fork()
    assert told.outcomes["test_bad.py::test_bad"] == "crashed"
    assert word in told.of("test_bad.py::test_bad")["message"]
    assert list(told.outcomes.values()).count("passed") == 18
    assert len({note["parent"] for note in noting.notes}) == 1


def test_a_forked_slot_that_takes_too_long_is_ended_and_shows_where_it_was(noting: Noting):
    noting.write("test_bad.py", "def test_spin():\n    while True:\n        pass\n")
    told = noting.fork("--case-timeout", "1")
    assert told.outcomes["test_bad.py::test_spin"] == "timeout"
    assert "in test_spin" in told.detail("test_bad.py::test_spin")
    assert list(told.outcomes.values()).count("passed") == 18


def test_a_file_whose_import_ends_the_process_that_collects_is_named_and_the_others_run(noting: Noting):
    noting.write("test_bad.py", "import os\nos._exit(3)\ndef test_never(): pass\n")
    told = noting.fork()
    assert told.outcomes["test_bad.py"] == "crashed"
    assert list(told.outcomes.values()).count("passed") == 18


def test_a_run_goes_on_when_the_process_that_forks_is_killed(noting: Noting):
    noting.write("test_bad.py", "import os, signal\ndef test_bad():\n    os.kill(os.getppid(), signal.SIGKILL)\n")
    told = noting.fork("--isolation", "file")
    assert set(told.outcomes.values()) == {"passed"}
    assert len(told.outcomes) == 19


@pytest.mark.parametrize(("isolation", "processes"), [("file", 3), ("test", 18)])
def test_each_file_or_test_gets_a_process_of_its_own(noting: Noting, isolation: str, processes: int):
    told = noting.fork("--isolation", isolation, workers=2)
    assert (told.code, len(told.outcomes)) == (0, 18)
    assert len({note["pid"] for note in noting.notes}) == processes
    assert len({note["parent"] for note in noting.notes}) == 1


def test_tests_have_processes_of_their_own_also_where_none_may_be_forked(noting: Noting):
    told = noting.run("--isolation", "test", "--start", "spawn", **noting.environ)
    assert (told.code, len(told.outcomes)) == (0, 18)
    assert len({note["pid"] for note in noting.notes}) == 18


def test_no_process_stays_behind_an_interrupt(noting: Noting):
    noting.write(
        "test_bad.py", "import time\nfrom who import who\ndef test_bad():\n    who('bad')\n    time.sleep(300)\n"
    )
    process = noting.start("--start", "fork", "--workers", "3", **noting.environ)
    wait_until(lambda: any(note["name"] == "bad" for note in noting.notes))
    process.send_signal(signal.SIGINT)
    noting.told(process)
    left = {note["pid"] for note in noting.notes} | {note["parent"] for note in noting.notes}
    assert not [pid for pid in left if pid != process.pid and Path(f"/proc/{pid}").exists()]
    assert not processes_marked(str(noting.root))
