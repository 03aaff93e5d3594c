"""Coverage over several workers of a coordinator is the coverage of `coverage run -m pytest`, line for line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
pytest.importorskip("coverage")

from coordinator_rig import Coordinator, Told, Worker, closing_all, start_run, wait_until
from test_coverage_equals_plain import SETTINGS, TESTS, plain, project

MEETING = """
import pathlib, time
def test_it_meets_the_others():
    from pkg.code import sign
    assert sign({number}) == {sign}
    place = pathlib.Path({place!r})
    (place / "{number}").touch()
    give_up_at = time.monotonic() + 30
    while len([*place.iterdir()]) < 3:
        assert time.monotonic() < give_up_at, "the others did not come"
        time.sleep(0.01)
"""
"""Three of these end only when three of them run at the same time."""


@pytest.fixture
def coordinator(tmp_path: Path):
    made = Coordinator(tmp_path / "coordinator", options=("--lease", "4s", "--eviction-timeout", "15s")).start()
    yield made
    made.stop()


def a_meeting(tmp_path: Path, settings: str) -> Path:
    """The project of the other coverage tests, with three test files that need three slots."""
    root = project(tmp_path / "project", settings)
    place = tmp_path / "place"
    place.mkdir()
    for number, sign in ((5, 1), (-5, -1), (0, 0)):
        text = MEETING.format(number=number, sign=sign, place=str(place))
        (root / f"tests/test_meets_{abs(number) + sign}.py").write_text(text)
    return root


def workers(tmp_path: Path, coordinator: Coordinator, *names: str) -> list[Worker]:
    return [
        Worker(tmp_path / name, coordinator.url, coordinator.token(), ("--slots", "1", "--name", name)).start()
        for name in names
    ]


def notices(told: Told) -> str:
    return "\n".join(notice["text"] for notice in told.report["run"].get("notices", ()))


@pytest.mark.parametrize("settings", [SETTINGS["branches of a package"], SETTINGS["children"]], ids=["branch", "child"])
def test_three_workers_cover_what_one_process_covers(tmp_path, coordinator, settings):
    root = a_meeting(tmp_path, settings)
    with closing_all(*workers(tmp_path, coordinator, "one", "two", "three")):
        run = start_run(root, coordinator.url, coordinator.key(), "--coverage", "--coverage-formats", "json", "xml")
        told = run.finish()
    assert "6 passed, 1 failed, 0 skipped" in told.output, told.output[-3000:]
    assert {told.workers[id] for id in told.workers if "meets" in id} == {"one", "two", "three"}
    assert "coverage" not in notices(told), "nothing is missing"
    ours = json.loads((run.out / "coverage.json").read_text())
    theirs = plain(root, tmp_path)
    assert ours["files"] == theirs["files"]
    assert ours["totals"] == theirs["totals"]
    assert told.report["run"]["coverage"]["covered"] == theirs["totals"]["covered_lines"]
    assert str(tmp_path) not in (run.out / "coverage.xml").read_text().replace(str(root), "")
    for name in ("one", "two", "three"):
        assert not [*(tmp_path / name / "data" / "coverage").iterdir()], "a worker keeps no data"


@pytest.mark.long
def test_a_worker_that_is_killed_costs_its_coverage_and_the_report_says_so(tmp_path, coordinator):
    root = project(tmp_path / "project", SETTINGS["lines"])
    flag = tmp_path / "flag"
    first = "import os, pathlib, time\nfrom pkg.code import Shape\n\ndef test_a(): assert Shape().area() == 2\n"
    wait = f"def test_b():\n    worker = os.getppid()\n    pathlib.Path({str(flag)!r}).touch()\n"
    wait += "    while os.getppid() == worker:\n        time.sleep(0.05)\n"
    (root / "tests/test_dies.py").write_text(first + wait)
    (doomed,) = workers(tmp_path, coordinator, "doomed")
    run = start_run(root, coordinator.url, coordinator.key(), "--coverage", "--coverage-formats", "json")
    with closing_all(doomed):
        wait_until(flag.exists, what="the test that hangs")
        (other,) = workers(tmp_path, coordinator, "other")
        with closing_all(other):
            doomed.kill()
            told = run.finish()
    assert told.outcomes["tests/test_dies.py::test_b"] == "crashed"
    assert "the coverage of slot gw0 on doomed did not come" in notices(told), notices(told)
    assert (run.out / "coverage.json").is_file(), "what the other one measured is told"


def test_a_slot_that_is_killed_keeps_what_it_had_saved(tmp_path, coordinator):
    root = project(tmp_path / "project", SETTINGS["lines"])
    text = "import os\nfrom pkg.code import Shape\ndef test_a(): Shape().area()\n"
    text += "def test_b(): os.kill(os.getpid(), 9)\n"
    for name in TESTS:
        if "test_" in name:
            (root / name).unlink()
    (root / "tests/test_dies.py").write_text(text)
    with closing_all(*workers(tmp_path, coordinator, "one")):
        run = start_run(root, coordinator.url, coordinator.key(), "--coverage", "--coverage-formats", "json")
        told = run.finish()
    assert told.outcomes["tests/test_dies.py::test_b"] == "crashed"
    assert "a process of tests died" in notices(told)
    covered = json.loads((run.out / "coverage.json").read_text())["files"]["pkg/code.py"]["executed_lines"]
    assert 21 in covered, "the loop of area(), which the first test ran"
