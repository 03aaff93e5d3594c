"""The coordinator and its workers under faults, as processes: every case exactly one final outcome, none lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from coordinator_rig import (
    Coordinator,
    Worker,
    closing_all,
    make_project,
    results_of,
    start_run,
    wait_until,
)

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")


@pytest.fixture
def coordinator(tmp_path: Path):
    made = Coordinator(tmp_path / "coordinator", options=("--lease", "4s", "--eviction-timeout", "60s")).start()
    yield made
    made.stop()


def _all_passed_once(coordinator: Coordinator, told, ids: set[str]) -> None:
    assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
    assert told.code == 0, told.output[-3000:]
    counts = results_of(coordinator)
    assert set(counts) == ids
    assert set(counts.values()) == {1}


def _has_results(coordinator: Coordinator, least: int):
    return lambda: sum(results_of(coordinator).values()) >= least


@pytest.mark.long
def test_the_coordinator_is_killed_again_and_again_in_the_middle_of_a_run(tmp_path, coordinator):
    ids = make_project(tmp_path / "project", files=6, cases=20, case_s=0.1)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    run = start_run(tmp_path / "project", coordinator.url, coordinator.key())
    with closing_all(worker):
        kills = []
        for number in range(3):
            wait_until(_has_results(coordinator, 5 + number * 15), what=f"progress before kill {number + 1}")
            assert worker.lives(), worker.process.returncode
            coordinator.kill()
            kills.append(sum(results_of(coordinator).values()))
            coordinator.start()
        told = run.finish()
    print(f"results on disk at each kill: {kills}")
    assert max(kills) < len(ids), "the last kill came too late to matter"
    _all_passed_once(coordinator, told, ids)


def test_a_worker_is_killed_in_the_middle_of_a_run(tmp_path, coordinator):
    ids = make_project(tmp_path / "project", files=6, cases=20, case_s=0.1)
    doomed = Worker(tmp_path / "w1", coordinator.url, coordinator.token(), ("--slots", "2", "--name", "doomed")).start()
    other = Worker(tmp_path / "w2", coordinator.url, coordinator.token(), ("--slots", "1", "--name", "other")).start()
    run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--retries", "1")
    with closing_all(doomed, other):
        wait_until(_has_results(coordinator, 20), what="progress")
        doomed.kill()
        told = run.finish()
    _all_passed_once(coordinator, told, ids)
    crashed = [test for test in told.report["tests"] if len(test["attempts"]) > 1]
    print(f"cases that were running when the worker died, and were tried again: {len(crashed)}")
    assert len(crashed) <= 2
    assert all("was not heard of" in test["attempts"][0]["message"] for test in crashed)


@pytest.mark.long
def test_a_case_under_which_a_worker_dies_is_blamed_where_nothing_is_tried_again(tmp_path, coordinator):
    make_project(tmp_path / "project", files=1, cases=3, case_s=30)
    doomed = Worker(tmp_path / "w1", coordinator.url, coordinator.token(), ("--slots", "1")).start()
    run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--timeout", "30s")
    with closing_all(doomed):
        wait_until(lambda: coordinator.rows("select 1 from events where kind = 'CaseStarted'"), what="a start")
        doomed.kill()
        told = run.finish()
    assert sorted(told.outcomes.values()) == ["crashed", "lost", "lost"]
    assert told.code == 1


def test_a_slot_process_outlives_neither_its_worker_nor_its_run(tmp_path, coordinator):
    make_project(tmp_path / "project", files=1, cases=2, case_s=60)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "1")).start()
    run = start_run(tmp_path / "project", coordinator.url, coordinator.key())
    with closing_all(worker):
        wait_until(lambda: coordinator.rows("select 1 from events where kind = 'CaseStarted'"), what="a start")
        assert worker.process is not None
        slots = _children(worker.process.pid)
        assert slots
        run.process.send_signal(signal.SIGINT)
        told = run.finish()
        assert told.code == 2, told.output[-2000:]
        wait_until(lambda: not any(map(_lives, slots)), what="the end of the slot")
    assert coordinator.rows("select status from runs") == [("cancelled",)]


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for path in text for word in path.read_text().split()]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]


def test_a_slow_reader_of_events_costs_nobody_anything(tmp_path, coordinator):
    import socket

    ids = make_project(tmp_path / "project", files=4, cases=25, case_s=0.01)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    key = coordinator.key()
    with closing_all(worker):
        run = start_run(tmp_path / "project", coordinator.url, key)
        wait_until(lambda: coordinator.rows("select 1 from runs"), what="the submission")
        ((id,),) = coordinator.rows("select id from runs")
        with socket.create_connection(("127.0.0.1", coordinator.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            head = f"GET /api/v1/runs/{id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
            sock.sendall(head.encode())  # and never read
            _all_passed_once(coordinator, run.finish(), ids)
            assert coordinator.is_ready()
