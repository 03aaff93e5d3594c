"""Workers on networks of their own whose cable is pulled: every case one final outcome, whatever comes late."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from coordinator_rig import Coordinator, Told, Worker, closing_all, make_project, results_of, start_run, wait_until
from network_rig import Machine, Network, network_of

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")


@pytest.fixture(scope="module")
def network():
    made = network_of(2)
    yield made
    made.close()


def _served(home: Path, *options: str) -> Coordinator:
    return Coordinator(home / "c", options=("--host", "0.0.0.0", "--allow-insecure-http", *options)).start()


def _worker(home: Path, coordinator: Coordinator, name: str, machine: Machine, slots: int) -> Worker:
    options = ("--name", name, "--slots", str(slots), "--allow-insecure-http")
    url = f"http://{machine.host}:{coordinator.port}"
    return Worker(home / name, url, coordinator.token(), options, prefix=machine.prefix).start()


def _has_results(coordinator: Coordinator, least: int):
    return lambda: sum(results_of(coordinator).values()) >= least


def _lost_leases(coordinator: Coordinator) -> int:
    count: int = coordinator.rows("select count(*) from leases where state = 'lost'")[0][0]
    return count


def _all_passed_once(coordinator: Coordinator, told: Told, ids: set[str], *, lost: int, what: str) -> None:
    assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
    assert told.code == 0, told.output[-3000:]
    assert results_of(coordinator) == dict.fromkeys(ids, 1)
    again = [test for test in told.report["tests"] if len(test["attempts"]) > 1]
    print(f"{what}: {_lost_leases(coordinator)} leases given away, {len(again)} cases tried again, {len(ids)} outcomes")
    assert _lost_leases(coordinator) == lost
    assert len(again) <= lost


def test_a_cut_shorter_than_the_lease_costs_nothing_but_time(tmp_path, network: Network):
    coordinator = _served(tmp_path)
    ids = make_project(tmp_path / "project", files=4, cases=25, case_s=0.1)
    cut, other = network.machines
    workers = [_worker(tmp_path, coordinator, "cut", cut, 2), _worker(tmp_path, coordinator, "other", other, 1)]
    with closing_all(*workers, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key())
        wait_until(_has_results(coordinator, 10), what="progress")
        cut.cut()
        time.sleep(3.0)
        cut.heal()
        _all_passed_once(coordinator, run.finish(), ids, lost=0, what="3 s away")


@pytest.mark.long
def test_what_a_worker_tells_after_its_leases_were_given_away_counts_for_nothing(tmp_path, network: Network):
    coordinator = _served(tmp_path, "--lease", "4s")
    ids = make_project(tmp_path / "project", files=6, cases=20, case_s=0.15)
    cut, other = network.machines
    workers = [_worker(tmp_path, coordinator, "cut", cut, 2), _worker(tmp_path, coordinator, "other", other, 1)]
    with closing_all(*workers, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--retries", "1")
        wait_until(_has_results(coordinator, 20), what="progress")
        cut.cut()
        wait_until(lambda: _lost_leases(coordinator) == 2, what="the loss")
        cut.heal()
        wait_until(
            lambda: "it answered 410" in workers[0].log() or "was given away" in workers[0].log(),
            what="the refusal of what came late",
        )
        told = run.finish()
        _all_passed_once(coordinator, told, ids, lost=2, what="longer away than the lease")


def test_a_client_that_is_cut_off_follows_its_run_again(tmp_path, network: Network):
    coordinator = _served(tmp_path)
    ids = make_project(tmp_path / "project", files=4, cases=25, case_s=0.1)
    client, other = network.machines
    worker = _worker(tmp_path, coordinator, "other", other, 2)
    with closing_all(worker, coordinator):
        url = f"http://{client.host}:{coordinator.port}"
        run = start_run(tmp_path / "project", url, coordinator.key(), prefix=client.prefix)
        wait_until(_has_results(coordinator, 10), what="progress")
        client.cut()
        time.sleep(3.0)
        client.heal()
        _all_passed_once(coordinator, run.finish(), ids, lost=0, what="client 3 s away")


@pytest.mark.long
def test_a_cut_of_2_min_gives_the_leases_away_and_the_worker_comes_back(tmp_path, network: Network):
    coordinator = _served(tmp_path)
    ids = make_project(tmp_path / "project", files=10, cases=60, case_s=0.4)
    cut, other = network.machines
    workers = [_worker(tmp_path, coordinator, "cut", cut, 2), _worker(tmp_path, coordinator, "other", other, 1)]
    with closing_all(*workers, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key(), "--retries", "1")
        wait_until(_has_results(coordinator, 20), what="progress")
        cut.cut()
        time.sleep(120.0)
        healed_at = time.time()
        cut.heal()
        told = run.finish(within_s=400)
        _all_passed_once(coordinator, told, ids, lost=2, what="120 s away")
        query = f"select count(*) from results where worker = 'cut' and started_at > {healed_at}"
        assert coordinator.rows(query)[0][0] > 0, "it did not take part again"
