"""Disks that fill up, the coordinator's or a worker's: clear words, and every case one final outcome."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from coordinator_rig import (
    DT,
    Coordinator,
    Worker,
    closing_all,
    make_project,
    results_of,
    start_run,
    wait_until,
)

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")


@dataclass(frozen=True)
class Disk:
    """A file system with little room."""

    root: Path

    def fill(self) -> None:
        """Take all the room there is."""
        with (self.root / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def make_room(self) -> None:
        """Give it back."""
        (self.root / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Makes disks of a size such as `16m`; skips, with the reason, where this user may not mount."""
    if not sys.platform.startswith("linux") or shutil.which("mount") is None:
        pytest.skip("a disk of its own needs Linux and the command `mount`")
    made: list[Path] = []

    def make(size: str) -> Disk:
        root = tmp_path / f"disk{len(made)}"
        root.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        made.append(root)
        return Disk(root)

    yield make
    for root in made:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def _all_passed_once(coordinator: Coordinator, told, ids: set[str]) -> None:
    assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
    assert told.code == 0, told.output[-3000:]
    assert results_of(coordinator) == dict.fromkeys(ids, 1)


def _has_results(coordinator: Coordinator, least: int):
    return lambda: sum(results_of(coordinator).values()) >= least


# --- the coordinator's ----------------------------------------------------------------------------------------------


def test_the_coordinators_disk_fills_in_the_middle_of_a_run(tmp_path, disk):
    small = disk("16m")
    coordinator = Coordinator(small.root / "c", options=("--lease", "5s")).start()
    ids = make_project(tmp_path / "project", files=6, cases=40, case_s=0.05)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    key = coordinator.key()
    with closing_all(worker, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, key)
        wait_until(_has_results(coordinator, 20), what="progress")
        small.fill()
        wait_until(lambda: _ready(coordinator) == 503, what="the trouble")
        stuck_at = sum(results_of(coordinator).values())
        wait_until(lambda: worker.log().count("it answered 503") > 5, what="tries of the worker")
        small.make_room()
        _all_passed_once(coordinator, run.finish(), ids)
        print(f"the disk was full at {stuck_at} of {len(ids)} results, and all were there in the end")
        assert stuck_at < len(ids)
        assert "database or disk is full" in coordinator.log()
        assert coordinator.log().count("Traceback") <= 3, "a full disk is told of again and again"
        assert coordinator.rows("select count(*) from leases where state = 'lost'") == [(0,)]


def _ready(coordinator: Coordinator) -> int:
    try:
        return int(urllib.request.urlopen(f"{coordinator.url}/readyz", timeout=10).status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.long
def test_a_bundle_for_which_there_is_no_room_ends_the_run_with_the_reason(tmp_path, disk):
    small = disk("16m")
    coordinator = Coordinator(small.root / "c").start()
    make_project(tmp_path / "project", files=1, cases=1)
    (tmp_path / "project" / "data.bin").write_bytes(os.urandom(1 << 20))
    key = coordinator.key()
    small.fill()
    with closing_all(coordinator):
        told = start_run(tmp_path / "project", coordinator.url, key).finish()
    assert told.code == 7, told.output
    assert "the blob cannot be kept: No space left on device" in told.output


def test_a_coordinator_that_has_no_room_to_start_says_so(disk):
    small = disk("1m")
    small.fill()
    command = [*DT, "coordinator", "--port", "0", "--data", str(small.root / "c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert "has the disk room" in done.stderr


# --- a worker's -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_without_room_for_the_tree_leaves_the_run_to_others(tmp_path, disk):
    coordinator = Coordinator(tmp_path / "c").start()
    ids = make_project(tmp_path / "project", files=4, cases=20)
    small = disk("16m")
    full = Worker(small.root, coordinator.url, coordinator.token(), ("--slots", "2", "--name", "full")).start()
    roomy = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "1", "--name", "roomy")).start()
    small.fill()
    with closing_all(full, roomy, coordinator):
        told = start_run(tmp_path / "project", coordinator.url, coordinator.key()).finish()
        _all_passed_once(coordinator, told, ids)
        assert set(told.workers.values()) == {"roomy"}
        assert "full takes no part in this run" in told.output
        assert "No space left on device" in told.output


def test_where_the_only_worker_has_no_room_the_run_ends_with_the_reason(tmp_path, disk):
    coordinator = Coordinator(tmp_path / "c").start()
    make_project(tmp_path / "project", files=2, cases=5)
    small = disk("16m")
    full = Worker(small.root, coordinator.url, coordinator.token(), ("--slots", "1", "--name", "full")).start()
    small.fill()
    with closing_all(full, coordinator):
        told = start_run(tmp_path / "project", coordinator.url, coordinator.key()).finish()
    assert told.code not in (0, 1, 3), told.output
    assert "No space left on device" in told.output


@pytest.mark.long
def test_a_workers_disk_that_fills_in_the_middle_of_a_run_costs_no_outcome(tmp_path, disk):
    coordinator = Coordinator(tmp_path / "c").start()
    ids = make_project(tmp_path / "project", files=6, cases=40, case_s=0.05)
    small = disk("16m")
    worker = Worker(small.root, coordinator.url, coordinator.token(), ("--slots", "2")).start()
    with closing_all(worker, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key())
        wait_until(_has_results(coordinator, 20), what="progress")
        small.fill()
        _all_passed_once(coordinator, run.finish(), ids)
