"""Over TLS, with workers that have different devices: plain pytest's outcomes, each gated test where it can run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from coordinator_rig import Coordinator, Worker, closing_all, start_run
from tls_rig import SecureCoordinator, make_certificate

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
pytest.importorskip("cryptography", reason="the extra `coordinator` is not installed")

GATED = """
import pytest

@pytest.mark.dt(requires="cuda")
def test_on_cuda(): pass

@pytest.mark.dt(requires="rocm")
def test_on_rocm(): pass

@pytest.mark.dt(requires="npu")
def test_nowhere(): pass

@pytest.mark.parametrize("n", range(30))
def test_anywhere(n):
    assert n != 7
"""
HOSTILE = '''
import os, pathlib

def _readable(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""

def test_finds_no_credential():
    """What a fork's pull request could do: look through the environment, the processes and the disk."""
    needles = [pathlib.Path("needles").read_bytes().split()]
    found = []
    here = pathlib.Path(__file__).resolve()
    places = [*pathlib.Path("/proc").glob("[0-9]*/environ"), *pathlib.Path("/proc").glob("[0-9]*/cmdline")]
    own = os.environ.get("DT_RUN_IDS", "")
    workers = here
    while workers.name != "data":
        workers = workers.parent
    places += [path for path in workers.rglob("*") if path.is_file() and path.name != "needles"]
    for place in places:
        content = _readable(place)
        found += [(str(place), needle) for needle in needles[0] if needle in content]
    assert not found, found
    assert not [name for name in os.environ if name.startswith("COORDINATOR") or name == "DT_WORKER_TOKEN"]
'''


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(tmp_path: Path, certificate):
    made = SecureCoordinator.made(tmp_path / "c", certificate)
    made.start()
    yield made
    made.stop()


def test_three_kinds_of_workers_over_tls(tmp_path, secure):
    project = tmp_path / "project"
    (project / "tests").mkdir(parents=True)
    (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\nmarkers =\n  dt: needs\n")
    (project / "tests" / "test_gated.py").write_text(GATED)
    trust = secure.trust
    workers = [
        Worker(tmp_path / name, secure.url, secure.token(), ("--name", name, "--slots", "1", *options), trust).start()
        for name, options in (("plain", ()), ("nvidia", ("--device", "cuda")), ("amd", ("--device", "rocm")))
    ]
    with closing_all(*workers):
        told = start_run(project, secure.url, secure.key(), **trust).finish()
    plain = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    expected = {
        line.split()[1]: line.split()[0].lower()
        for line in plain.splitlines()
        if line.startswith(("PASSED ", "FAILED ")) and "::" in line
    }
    assert len(expected) == 33
    outcomes = told.outcomes
    where = told.workers
    nowhere = "tests/test_gated.py::test_nowhere"
    assert {id: outcome for id, outcome in expected.items() if id != nowhere} == {
        id: outcome for id, outcome in outcomes.items() if id != nowhere
    }
    assert where["tests/test_gated.py::test_on_cuda"] == "nvidia"
    assert where["tests/test_gated.py::test_on_rocm"] == "amd"
    assert "needs npu" in json.dumps(told.report)
    assert told.code == 1


def test_a_certificate_that_nobody_vouches_for_is_exit_7_and_says_so(tmp_path, secure):
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_a.py").write_text("def test_a(): pass\n")
    told = start_run(project, secure.url, "dtk_x_y").finish()
    assert told.code == 7, told.output
    assert "TLS failed" in told.output
    assert "REQUESTS_CA_BUNDLE" in told.output


@pytest.mark.parametrize(
    ("url", "key", "words"),
    [
        ("http://127.0.0.1:1", "k", "no connection"),
        ("http://no-such-host.invalid", "k", "its name cannot be resolved"),
    ],
)
def test_a_coordinator_out_of_reach_is_exit_7_with_the_cause(tmp_path, url, key, words):
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_a.py").write_text("def test_a(): pass\n")
    told = start_run(project, url, key, "--connect-timeout", "1s").finish()
    assert told.code == 7, told.output
    assert words in told.output
    local = start_run(project, url, key, "--connect-timeout", "1s", "--fallback", "local").finish()
    assert local.code == 0, local.output
    assert "the tests run on this machine" in local.output


def test_a_wrong_key_is_exit_7_at_once(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_a.py").write_text("def test_a(): pass\n")
    coordinator = Coordinator(tmp_path / "c").start()
    with closing_all(coordinator):
        told = start_run(project, coordinator.url, "dtk_00000000_wrong").finish(within_s=30)
    assert told.code == 7
    assert "answered 401" in told.output


def test_plain_http_beyond_this_machine_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "dt_action", "coordinator", "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4
    assert "--allow-insecure-http" in done.stderr


def test_test_code_finds_no_credential(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_hostile.py").write_text(HOSTILE)
    coordinator = Coordinator(tmp_path / "c").start()
    token, key = coordinator.token(), coordinator.key()
    (project / "needles").write_text(f"{token.rsplit('_', 1)[1]}\n")
    worker = Worker(tmp_path / "w", coordinator.url, token, ("--slots", "1")).start()
    with closing_all(worker, coordinator):
        told = start_run(project, coordinator.url, key).finish()
    assert told.code == 0, told.output
    shutil.rmtree(project)
