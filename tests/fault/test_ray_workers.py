"""A Ray cluster's nodes as workers of a coordinator, beside an ordinary worker: one queue, two kinds of slots."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coordinator_rig import (
    DT,
    Coordinator,
    Worker,
    closing_all,
    free_port,
    make_project,
    results_of,
    start_run,
    wait_until,
)
from project_on_disk import processes_marked
from ray_rig import cluster_elsewhere

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

GPU_TEST = """# dt: requires cuda
import os, time, pytest

@pytest.mark.parametrize("n", range(5))
def test_gpu(n):
    time.sleep(0.1)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without GPUs and a node with one, as far as Ray knows."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    started.add_node(num_cpus=2, num_gpus=1)
    yield started
    started.shutdown()


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    made = Coordinator(tmp_path / "coordinator", options=("--lease", "6s", "--eviction-timeout", "60s")).start()
    yield made
    made.stop()


def on_ray(tmp_path: Path, coordinator: Coordinator, cluster: Any, *options: str) -> Worker:
    return Worker(
        tmp_path / "ray-worker",
        coordinator.url,
        coordinator.token("--pool"),
        ("--ray", cluster.address, "--name", "ray", *options),
    )


def actors_alive(cluster: Any) -> int:
    return len(cluster.global_state.actor_table(None, None, "ALIVE"))


def has_workers(coordinator: Coordinator, count: int) -> Any:
    return lambda: coordinator.rows("select count(*) from workers where state = 'active'") == [(count,)]


def has_started(coordinator: Coordinator) -> Any:
    return lambda: coordinator.rows("select 1 from events where kind = 'CaseStarted'")


def all_passed_once(coordinator: Coordinator, told: Any, ids: set[str]) -> None:
    assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
    assert told.code == 0, told.output[-3000:]
    counts = results_of(coordinator)
    assert set(counts) == ids
    assert set(counts.values()) == {1}


def test_one_run_uses_processes_and_actors_and_gpu_cases_go_to_gpu_actors_only(
    tmp_path: Path, coordinator: Coordinator, cluster: Any
) -> None:
    ids = make_project(tmp_path / "project", files=6, cases=10, case_s=0.2)
    (tmp_path / "project" / "tests" / "test_gpu.py").write_text(GPU_TEST)
    on_gpu = {f"tests/test_gpu.py::test_gpu[{n}]" for n in range(5)}
    plain = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "1", "--name", "plain")).start()
    rays = on_ray(tmp_path, coordinator, cluster).start()
    with closing_all(plain, rays):
        wait_until(has_workers(coordinator, 4), what="a worker for each node, and one for the devices")

        options = ("--coverage", "--coverage-formats", "json")
        told = start_run(tmp_path / "project", coordinator.url, coordinator.key(), *options).finish()

        all_passed_once(coordinator, told, ids | on_gpu)
        coverage = told.report["run"]["coverage"]
        assert coverage["covered"] == coverage["statements"] > 20, "what processes and actors measured came back"
        kinds = {id: "plain" if name == "plain" else name.rpartition(".")[2] for id, name in told.workers.items()}
        assert {kinds[id] for id in on_gpu} == {"cuda"}
        assert "plain" in {kinds[id] for id in ids}
        assert rays.stop() == 0
        wait_until(lambda: actors_alive(cluster) == 0, what="the end of all actors")
        assert coordinator.rows("select name from workers where state = 'active'") == [("plain",)]


def test_a_node_killed_in_the_middle_loses_no_case(tmp_path: Path, coordinator: Coordinator, cluster: Any) -> None:
    ids = make_project(tmp_path / "project", files=6, cases=15, case_s=0.2)
    doomed = cluster.add_node(num_cpus=2)
    name = f"ray-{doomed.node_id[-6:]}"
    rays = on_ray(tmp_path, coordinator, cluster).start()
    with closing_all(rays):
        wait_until(has_workers(coordinator, 4), what="the workers")
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--retries", "2")
        wait_until(lambda: coordinator.rows(f"select 1 from results where worker = '{name}'"), what="its first result")

        cluster.remove_node(doomed, allow_graceful=False)

        told = run.finish()
        all_passed_once(coordinator, told, ids)
        again = [test for test in told.report["tests"] if len(test["attempts"]) > 1]
        print(f"cases that ran when the node died, and were tried again: {len(again)}")
        print({test["attempts"][0]["message"] for test in again})
        assert len(again) <= 2
        gone = f"select 1 from workers where name = '{name}' and state = 'gone'"
        wait_until(lambda: coordinator.rows(gone), what="the worker's goodbye")


@pytest.mark.parametrize("how", [pytest.param(signal.SIGTERM, marks=pytest.mark.long), signal.SIGKILL])
def test_a_worker_that_is_ended_leaves_no_actor_and_no_process(
    tmp_path: Path, coordinator: Coordinator, cluster: Any, how: signal.Signals
) -> None:
    make_project(tmp_path / "project", files=2, cases=1, case_s=300)
    mark = f"not {tmp_path.name}"
    rays = on_ray(tmp_path, coordinator, cluster).start()
    run = start_run(
        tmp_path / "project", coordinator.url, coordinator.key(), "--timeout", "30s", "--pytest-args", f"-k '{mark}'"
    )
    with closing_all(rays):
        wait_until(has_started(coordinator), what="a start")
        assert [pid for pid in processes_marked(mark) if "bootstrap" in _line(pid)]
        assert rays.process is not None

        rays.process.send_signal(how)
        if how == signal.SIGTERM:
            wait_until(lambda: "draining" in rays.log(), what="draining")
            assert actors_alive(cluster), "what runs may finish"
            rays.process.send_signal(how)
        rays.process.wait(timeout=30)

        wait_until(lambda: actors_alive(cluster) == 0, what="the end of all actors")
        wait_until(lambda: not [p for p in processes_marked(mark) if "bootstrap" in _line(p)], what="that of processes")
        run.process.send_signal(signal.SIGINT)
        run.finish()


@pytest.mark.long
def test_a_cluster_whose_head_is_killed_loses_no_case(tmp_path: Path, coordinator: Coordinator) -> None:
    ids = make_project(tmp_path / "project", files=4, cases=15, case_s=0.2)
    plain = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "1", "--name", "plain")).start()
    port = free_port()
    with cluster_elsewhere({"num_cpus": 2, "gcs_server_port": port}) as address:
        rays = Worker(
            tmp_path / "r", coordinator.url, coordinator.token("--pool"), ("--ray", address, "--name", "ray")
        ).start()
        with closing_all(plain, rays):
            run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--retries", "2")
            wait_until(
                lambda: coordinator.rows("select 1 from results where worker like 'ray%'"), what="a result of an actor"
            )
            (head,) = processes_marked(f"--gcs_server_port={port}")
            os.kill(head, signal.SIGKILL)

            all_passed_once(coordinator, run.finish(), ids)
            assert rays.process is not None
            assert rays.process.wait(timeout=120) != 0, "its service manager starts it anew"


@pytest.mark.long
def test_a_crash_is_the_crash_of_one_case_on_an_actor_too(
    tmp_path: Path, coordinator: Coordinator, cluster: Any
) -> None:
    make_project(tmp_path / "project", files=1, cases=3, case_s=0.0)
    (tmp_path / "project" / "tests" / "test_bad.py").write_text(
        "import os, time\ndef test_abort(): os.abort()\ndef test_hang(): time.sleep(600)\ndef test_good(): pass\n"
    )
    rays = on_ray(tmp_path, coordinator, cluster).start()
    with closing_all(rays):
        told = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--case-timeout", "3").finish()

    outcomes = {id.rpartition("::")[2]: outcome for id, outcome in told.outcomes.items()}
    assert outcomes == {
        **{f"test_it[{n}]": "passed" for n in range(3)},
        "test_abort": "crashed",
        "test_hang": "timeout",
        "test_good": "passed",
    }


def test_a_token_that_is_used_up_is_told_and_the_worker_ends(
    tmp_path: Path, coordinator: Coordinator, cluster: Any
) -> None:
    token = coordinator.token()
    with closing_all(Worker(tmp_path / "w", coordinator.url, token).start()):
        done = subprocess.run(
            [*DT, "worker", "--coordinator", coordinator.url, "--ray", cluster.address],
            env={**os.environ, "DT_WORKER_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 7, done.stderr
    assert "this enrolment token was used up" in done.stderr


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
