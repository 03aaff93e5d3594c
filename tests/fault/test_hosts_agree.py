"""Wherever slots live, one project has one set of outcomes, attempts and artifacts."""

# dt: exclusive container-engine

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coordinator_rig import Coordinator, Worker, closing_all
from project_on_disk import Project, Told

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
pytest.importorskip("ray")
if sys.platform != "linux":
    pytest.skip("containers are a matter of Linux", allow_module_level=True)

MANY = """
import os, pytest

@pytest.mark.parametrize("n", range(8))
def test_mixed(n):
    if n == 3: pytest.skip("no")
    if n == 5: pytest.xfail("known")
    assert n != 6

@pytest.fixture
def broken(): raise ValueError
def test_error(broken): pass
@pytest.mark.xfail
def test_unexpected(): pass
"""
DIES = "import os\ndef test_before(): pass\ndef test_dies(): os.abort()\ndef test_after(): pass\n"
HANGS = "import time\ndef test_hangs(): time.sleep(600)\ndef test_after(): pass\n"
LEAVES = "def test_leaves(dt_artifacts):\n    (dt_artifacts / 'left.txt').write_text('here')\n"
FLAKY = "import pathlib\ndef test_flaky(): assert pathlib.Path('SEEN').exists() or pathlib.Path('SEEN').touch()\n"
OPTIONS = ("--case-timeout", "5", "--retries", "1")


@pytest.fixture
def varied(project: Project) -> Project:
    for name, text in {"many": MANY, "dies": DIES, "hangs": HANGS, "leaves": LEAVES, "flaky": FLAKY}.items():
        project.write(f"test_{name}.py", text)
    project.write("test_not_importable.py", "import nothing_of_that_name\n")
    return project


def said(told: Told, *, leaves: bool = True) -> dict[str, Any]:
    assert told.report, told.output[-3000:]
    tests = {
        test["id"]: (
            test["outcome"],
            [attempt["outcome"] for attempt in test["attempts"]],
            [Path(file["path"]).name for file in test.get("artifacts", ())] if leaves else [],
        )
        for test in told.report["tests"]
    }
    return {"tests": tests, "code": told.code}


@contextlib.contextmanager
def containers(tmp_path: Path, image: str) -> Iterator[tuple[str, ...]]:
    yield ("--isolation", "container", "--image", image)


@contextlib.contextmanager
def ray_fleet(tmp_path: Path, image: str) -> Iterator[tuple[str, ...]]:
    with cluster() as address:
        yield ("--fleet", "ray", "--ray-address", address)


@contextlib.contextmanager
def process_workers(tmp_path: Path, image: str) -> Iterator[tuple[str, ...]]:
    with workers(tmp_path) as told:
        yield told


@contextlib.contextmanager
def container_workers(tmp_path: Path, image: str) -> Iterator[tuple[str, ...]]:
    with workers(tmp_path, "--isolation", "container", "--image", image) as told:
        yield told


@contextlib.contextmanager
def ray_workers(tmp_path: Path, image: str) -> Iterator[tuple[str, ...]]:
    with cluster() as address, workers(tmp_path, "--ray", address) as told:
        yield told


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        yield started.address
    finally:
        started.shutdown()


@contextlib.contextmanager
def workers(tmp_path: Path, *options: str) -> Iterator[tuple[str, ...]]:
    coordinator = Coordinator(tmp_path / "coordinator").start()
    try:
        token = coordinator.token("--pool")
        worker = Worker(tmp_path / "w", coordinator.url, token, ("--slots", "2", "--name", "one", *options)).start()
        with closing_all(worker):
            yield ("--coordinator", coordinator.url, "--fleet", "coordinator", "--api-key", coordinator.key())
    finally:
        coordinator.stop()


@pytest.mark.long
@pytest.mark.parametrize(
    "fleet", [containers, ray_fleet, process_workers, container_workers, ray_workers], ids=lambda fleet: fleet.__name__
)
def test_a_fleet_tells_what_processes_here_tell(varied: Project, tmp_path: Path, image: str, fleet: Any) -> None:
    leaves = fleet in (containers, ray_fleet)  # nothing comes through a coordinator
    here = said(varied.run(*OPTIONS), leaves=leaves)
    (varied.root / "SEEN").unlink(missing_ok=True)
    with fleet(tmp_path, image) as options:
        there = said(varied.run(*options, *OPTIONS), leaves=leaves)

    assert there == here
