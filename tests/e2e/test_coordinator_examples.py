"""The examples of a deployment are what they say: the units are well formed, and the compose file really runs tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from coordinator_rig import start_run, wait_until
from shop_project import make_shop

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "coordinator"


@pytest.mark.parametrize("name", ["dt-coordinator.service", "dt-worker.service"])
def test_a_unit_is_one_that_systemd_takes(tmp_path: Path, name: str):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = tmp_path / "dt"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / name
    unit.write_text((EXAMPLES / name).read_text().replace("/opt/dt/bin/dt ", f"{command} "))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    told = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
    assert (done.returncode, told) == (0, []), done.stderr


def _compose() -> list[str]:
    """The command: Docker's plugin, else the program of before."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            return command
    pytest.skip("docker compose is not installed")


class Composed:
    """The compose file under way, as its header says to start it."""

    def __init__(self, home: Path, image: str) -> None:
        self.home = home
        self._command = _compose()
        self._environ = {**os.environ, "DT_IMAGE": image, "COMPOSE_PROJECT_NAME": f"dt-example-{os.getpid()}"}
        shutil.copy(EXAMPLES / "compose.yaml", home)
        (home / "tls").mkdir()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._command, *words]
        return subprocess.run(
            command, cwd=self.home, env=self._environ, capture_output=True, text=True, check=False, timeout=300
        )

    def __call__(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout.strip()

    def is_healthy(self, service: str) -> bool:
        ask = ["docker", "inspect", "--format", "{{.State.Health.Status}}", self("ps", "-q", service)]
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "healthy"

    def bring_up(self) -> None:
        names = "subjectAltName=DNS:coordinator,DNS:localhost,IP:127.0.0.1"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=coordinator"
        )
        files = ["-addext", names, "-keyout", "tls/key.pem", "-out", "tls/cert.pem"]
        subprocess.run([*command.split(), *files], cwd=self.home, check=True, capture_output=True)
        os.chown(self.home / "tls" / "key.pem", 10001, 10001)
        (self.home / ".env").write_text("DB_PASSWORD=0123456789abcdef\n")
        self("up", "-d", "coordinator")
        wait_until(lambda: self.is_healthy("coordinator"), within_s=120, what="the coordinator's health")
        token = self("exec", "-T", "coordinator", "dt", "coordinator", "enrol", "--pool")
        with (self.home / ".env").open("a") as file:
            file.write(f"DT_WORKER_TOKEN={token}\n")
        self("up", "-d")


@pytest.fixture
def composed(tmp_path: Path, image: str):
    if os.geteuid() != 0:
        pytest.skip("only root can give the private key to the image's user")
    has_database = subprocess.run(["docker", "image", "inspect", "postgres:17"], capture_output=True, check=False)
    if has_database.returncode != 0:
        pull = ["docker", "pull", "-q", "postgres:17"]
        if subprocess.run(pull, capture_output=True, check=False, timeout=300).returncode != 0:
            pytest.skip("the image postgres:17 cannot be had")
    made = Composed(tmp_path, image)
    try:
        yield made
    finally:
        made("down", "--volumes", "--timeout", "5")


# dt: exclusive port-8470
def test_the_compose_file_runs_a_projects_tests(tmp_path: Path, composed: Composed):
    composed.bring_up()
    key = composed("exec", "-T", "coordinator", "dt", "coordinator", "key", "create", "--name", "ci")
    shop = make_shop(tmp_path / "shop")
    options = ("--test-files", "tests/test_stock.py", "--timeout", "2m")
    trust = {"REQUESTS_CA_BUNDLE": str(composed.home / "tls" / "cert.pem")}
    told = start_run(shop, "https://127.0.0.1:8470", key, *options, **trust).finish()
    assert told.code == 1, told.output
    assert sum(outcome == "passed" for outcome in told.outcomes.values()) == 34, told.output
    look = "cat /proc/1/environ /proc/1/cmdline; ls -R /run /tls"
    found = composed.run("exec", "-T", "worker", "sh", "-c", look).stdout
    assert "cert.pem" in found
    assert "dte_" not in found, "the token is within reach of tests"
    assert "key.pem" not in found


# dt: exclusive port-8470
def test_a_worker_of_the_compose_file_does_not_reach_the_database(composed: Composed):
    composed.bring_up()
    reach = "import socket; socket.create_connection(('database', 5432), timeout=3)"
    done = composed.run("exec", "-T", "worker", "python3", "-c", reach)
    assert done.returncode != 0
    assert "gaierror" in done.stderr or "timed out" in done.stderr, done.stderr
