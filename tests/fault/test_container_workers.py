"""Workers of a coordinator whose slots are containers, with a real engine: what goes there, and what they hold back."""

# dt: exclusive container-engine

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from coordinator_rig import Coordinator, Worker, closing_all, make_project, results_of, start_run, wait_until
from engine_here import containers

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
if sys.platform != "linux":
    pytest.skip("what containers hold back is a matter of Linux", allow_module_level=True)

HOSTILE = """
import os, pathlib, socket
import pytest

def test_environment():
    assert "of the host" not in repr(dict(os.environ))

def test_files():
    assert not pathlib.Path({secret!r}).exists()
    with pytest.raises(OSError):
        pathlib.Path("/usr/evil").touch()

def test_network():
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", {port}), timeout=2)
"""


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    made = Coordinator(tmp_path / "coordinator", options=("--lease", "4s")).start()
    yield made
    made.stop()


def boxed(tmp_path: Path, coordinator: Coordinator, image: str) -> Worker:
    options = ("--isolation", "container", "--image", image, "--container-memory", "256MiB", "--name", "boxed")
    return Worker(
        tmp_path / "boxed",
        coordinator.url,
        coordinator.token("--pool"),
        (*options, "--slots", "2"),
        {"CREDENTIAL": "of the host"},
    )


def plain(tmp_path: Path, coordinator: Coordinator) -> Worker:
    return Worker(tmp_path / "plain", coordinator.url, coordinator.token(), ("--slots", "1", "--name", "plain"))


def test_a_run_that_asks_for_containers_goes_to_such_workers_only(
    tmp_path: Path, coordinator: Coordinator, image: str
) -> None:
    (tmp_path / "secret").write_text("of the host")
    ids = make_project(tmp_path / "project", files=4, cases=10, case_s=0.1)
    hostile = HOSTILE.format(secret=str(tmp_path / "secret"), port=coordinator.port)
    (tmp_path / "project" / "tests" / "test_hostile.py").write_text(hostile)
    ids |= {f"tests/test_hostile.py::test_{name}" for name in ("environment", "files", "network")}
    beside, worker = plain(tmp_path, coordinator).start(), boxed(tmp_path, coordinator, image).start()
    with closing_all(beside, worker):
        options = ("--isolation", "container", "--coverage", "--coverage-formats", "json")
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), *options)
        told = run.finish()

        assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
        assert set(told.workers.values()) == {"boxed"}
        assert set(results_of(coordinator).values()) == {1}
        assert len({test["attempts"][-1]["slot"] for test in told.report["tests"]}) == 2, "two containers at a time"
        coverage = told.report["run"]["coverage"]
        assert coverage["covered"] == coverage["statements"] > 20, "what the containers measured came back"
        wait_until(lambda: not containers(), what="the end of the containers")


@pytest.mark.long
def test_a_run_that_asks_for_nothing_may_use_both_kinds(tmp_path: Path, coordinator: Coordinator, image: str) -> None:
    make_project(tmp_path / "project", files=6, cases=10, case_s=0.2)
    beside, worker = plain(tmp_path, coordinator).start(), boxed(tmp_path, coordinator, image).start()
    with closing_all(beside, worker):
        told = start_run(tmp_path / "project", coordinator.url, coordinator.key()).finish()

    assert set(told.outcomes.values()) == {"passed"}
    assert set(told.workers.values()) == {"boxed", "plain"}


def test_without_such_a_worker_nothing_runs_and_that_is_told(tmp_path: Path, coordinator: Coordinator) -> None:
    make_project(tmp_path / "project", files=1, cases=1)
    beside = plain(tmp_path, coordinator).start()
    with closing_all(beside):
        told = start_run(
            tmp_path / "project", coordinator.url, coordinator.key(), "--isolation", "container", "--timeout", "3s"
        ).finish()

    assert "no worker that runs tests in containers has enrolled yet" in told.output
    assert told.code != 0
    assert "passed" not in told.outcomes.values()


def test_what_would_be_installed_or_set_up_outside_of_the_container_is_refused(
    tmp_path: Path, coordinator: Coordinator, image: str
) -> None:
    make_project(tmp_path / "project", files=1, cases=1)
    ran = tmp_path / "ran"
    worker = boxed(tmp_path, coordinator, image).start()
    with closing_all(worker):
        key = coordinator.key()
        by_run = start_run(tmp_path / "project", coordinator.url, key, "--setup", f"touch {ran}").finish()
        by_client = start_run(
            tmp_path / "project", coordinator.url, key, "--setup", f"touch {ran}", "--isolation", "container"
        ).finish()

    assert "where nothing is installed or set up" in by_run.output
    assert by_client.code == 4
    assert "outside of the containers" in by_client.output
    assert not ran.exists()


def test_containers_of_a_killed_worker_are_removed_by_the_next_one(
    tmp_path: Path, coordinator: Coordinator, image: str
) -> None:
    make_project(tmp_path / "project", files=1, cases=1, case_s=300)
    worker = boxed(tmp_path, coordinator, image).start()
    run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--timeout", "30s")
    with closing_all(worker):
        wait_until(lambda: coordinator.rows("select 1 from events where kind = 'CaseStarted'"), what="a start")
        left = containers()
        assert left
        worker.kill()
        run.process.send_signal(signal.SIGINT)
        run.finish()

        worker.start()
        wait_until(lambda: not containers() & left, what="their removal")


def test_an_engine_that_is_absent_and_options_that_contradict_are_told(
    tmp_path: Path, coordinator: Coordinator
) -> None:
    import subprocess

    from coordinator_rig import DT

    def said(*options: str, **environ: str) -> str:
        command = [*DT, "worker", "--coordinator", coordinator.url, "--data", str(tmp_path / "data"), *options]
        variables = {**environ, "DT_WORKER_TOKEN": "x"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        return done.stderr

    boxes = ("--isolation", "container", "--image", "python:3")
    assert "no container engine answers" in said(*boxes, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert "needs an image" in said("--isolation", "container")
    assert "--image is for --isolation container" in said("--image", "python:3")
    assert "not for --ray" in said("--ray", "auto", *boxes)
    assert "expected a size" in said(*boxes, "--container-memory", "much")
