"""Clients that go: killed and detached ones, and others that take a run over; each test is told once to who stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from coordinator_rig import DT, Coordinator, Run, Worker, closing_all, make_project, results_of, start_run, wait_until

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    home = tmp_path_factory.mktemp("clients")
    coordinator = Coordinator(home / "c").start()
    worker = Worker(home / "w", coordinator.url, coordinator.token(), ("--slots", "2", "--name", "bench")).start()
    with closing_all(worker, coordinator):
        yield coordinator, coordinator.key("--scopes", "submit,read,admin")


@pytest.fixture
def project(tmp_path) -> Path:
    make_project(tmp_path / "project", files=4, cases=10, case_s=0.1)
    return tmp_path / "project"


@pytest.fixture
def endless(tmp_path) -> Path:
    """One whose run takes minutes, so that it cannot be over before it is ended, however busy the machine is."""
    make_project(tmp_path / "endless", files=1, cases=2000, case_s=0.1)
    return tmp_path / "endless"


def ids(project: Path) -> set[str]:
    return {f"tests/test_f{number}.py::test_it[{n}]" for number in range(4) for n in range(10)}


def state_of(coordinator: Coordinator, run: str) -> tuple[str, str]:
    return coordinator.rows(f"select status, reason from runs where id = '{run}'")[0]  # type: ignore[return-value]


def latest(coordinator: Coordinator) -> str:
    return str(coordinator.rows("select id from runs order by created_at desc limit 1")[0][0])


def begin(lab, project: Path, *options: str) -> tuple[Run, str]:
    """A run that has got some results, and its id."""
    coordinator, key = lab
    before = sum(results_of(coordinator).values())
    run = start_run(project, coordinator.url, key, *options)
    wait_until(lambda: sum(results_of(coordinator).values()) > before + 5, what="progress")
    return run, latest(coordinator)


def detach(lab, project: Path) -> str:
    coordinator, key = lab
    told = start_run(project, coordinator.url, key, "--detach").finish()
    assert told.code == 0, told.output
    assert not told.report, "nothing has been run yet that could be reported"
    return re.search(r"^run ([0-9a-f]{16}) on ", told.output, re.MULTILINE)[1]


def test_the_run_of_a_client_that_was_killed_ends_after_the_client_timeout(lab, endless):
    run, id = begin(lab, endless, "--client-timeout", "2s")
    run.process.kill()
    run.process.communicate()
    wait_until(lambda: state_of(lab[0], id)[0] == "cancelled", what="the run's end")
    assert "its client was not heard of" in state_of(lab[0], id)[1]


def test_another_client_takes_over_the_run_of_one_that_was_killed(lab, project):
    run, id = begin(lab, project)
    run.process.kill()
    run.process.communicate()
    told = start_run(project, lab[0].url, lab[1], "--attach", id).finish()
    assert told.outcomes == dict.fromkeys(ids(project), "passed"), told.output[-3000:]
    assert told.code == 0
    assert state_of(lab[0], id)[0] == "completed"


def test_a_detached_run_goes_on_by_itself_and_is_reported_by_who_attaches_also_when_it_is_over(lab, project):
    id = detach(lab, project)
    wait_until(lambda: state_of(lab[0], id)[0] == "completed", what="the run's end")
    for _ in range(2):
        told = start_run(project, lab[0].url, lab[1], "--attach", id).finish()
        assert told.outcomes == dict.fromkeys(ids(project), "passed"), told.output[-3000:]


def test_leaving_a_detached_run_lets_it_go_on_and_leaving_any_other_one_cancels_it(lab, project, endless):
    id = detach(lab, project)
    attached = start_run(project, lab[0].url, lab[1], "--attach", id)
    while id not in attached.process.stdout.readline():  # it says first which run it follows
        assert attached.process.poll() is None
    attached.process.send_signal(signal.SIGINT)
    assert attached.finish().code == 2
    wait_until(lambda: state_of(lab[0], id)[0] == "completed", what="the run's end")
    run, id = begin(lab, endless)
    run.process.send_signal(signal.SIGINT)
    assert run.finish().code == 2
    wait_until(lambda: state_of(lab[0], id)[0] == "cancelled", what="the run's end")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--attach", "0" * 16), "no such run"),
        (("--attach", "0" * 16, "--detach"), "expected one of them"),
        (("--fleet", "local", "--detach"), "is for runs on a coordinator"),
    ],
)
def test_what_cannot_be_attached_or_detached_says_so(lab, project, options, words):
    told = start_run(project, lab[0].url, lab[1], *options).finish()
    assert told.code in (4, 7)
    assert words in told.output
    assert "Traceback" not in told.output


def dt(lab, *words: str) -> str:
    environ = {**os.environ, "COORDINATOR_URL": lab[0].url, "COORDINATOR_API_KEY": lab[1]}
    done = subprocess.run([*DT, *words], capture_output=True, text=True, timeout=120, env=environ, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
def test_runs_and_workers_on_the_terminal(lab, endless):
    first = detach(lab, endless)
    for words, commands in (("runs", "show results cancel again"), ("workers", "drain resume remove readmit")):
        for command in commands.split():
            assert re.search(rf"^  {command} ", dt(lab, words, "--help"), re.MULTILINE)
            assert f"dt {words} {command}" in dt(lab, words, command, "--help")
    dt(lab, "runs", "cancel", first)
    wait_until(
        lambda: "cancelled" in dt(lab, "runs", "--conclusion", "cancelled"), what="the cancelled run in the list"
    )
    assert first in dt(lab, "runs", "--words", first)
    again = re.search(r"run ([0-9a-f]{16})", dt(lab, "runs", "again", first))[1]
    wait_until(lambda: lab[0].rows(f"select 1 from results where run = '{again}'"), what="progress")
    dt(lab, "runs", "cancel", again)
    assert "expected dt runs show or results" in dt(lab, "runs", "shwo")
    dt(lab, "workers", "drain", "bench")
    wait_until(lambda: "draining" in dt(lab, "workers"), what="the drained worker")
    assert "those that could be meant: bench" in dt(lab, "workers", "drain", "nobody")
    dt(lab, "workers", "resume", "bench")
    wait_until(lambda: "active" in dt(lab, "workers"), what="the worker's return")


@pytest.mark.long
def test_a_higher_priority_goes_first_up_to_what_the_key_allows(lab, tmp_path, endless):
    coordinator = lab[0]
    key = coordinator.key("--max-priority", "5")
    make_project(tmp_path / "high", files=2, cases=10, case_s=0.1)
    low, _ = begin((coordinator, key), endless)
    told = start_run(tmp_path / "high", coordinator.url, key, "--priority", "9").finish()
    low.process.send_signal(signal.SIGINT)
    low.finish()
    assert told.code == 0
    assert "--priority 9 is more than this key may ask for; the run has priority 5" in told.output
    began = "select min(started_at), max(started_at) from results where run = "
    first, last = coordinator.rows(f"{began} '{latest(coordinator)}'")[0]
    meanwhile = f"select count(*) from results where started_at > {first} and started_at < {last}"
    others = coordinator.rows(f"{meanwhile} and run != '{latest(coordinator)}'")[0][0]
    assert others < 10, "half of the slots were left to the run of lower priority"
