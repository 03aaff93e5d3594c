"""Tests that mean harm, in containers of a real engine: what they can reach, use up and leave behind."""

# dt: exclusive container-engine

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from engine_here import BASE, containers
from project_on_disk import Project, wait_until


@pytest.fixture
def options(image: str) -> tuple[str, ...]:
    return ("--isolation", "container", "--image", image, "--container-memory", "256MiB", "--container-pids", "64")


def test_a_container_runs_tests_as_the_machine_does(
    project: Project, options: tuple[str, ...], good: dict[str, str]
) -> None:
    project.write("test_bad.py", "def test_bad():\n    print('printed')\n    assert 1 == 2\n")

    told = project.run(*options)

    assert told.outcomes == {**good, "test_bad.py::test_bad": "failed"}
    assert told.of("test_bad.py::test_bad")["attempts"][-1]["stdout"] == "printed\n"
    assert not containers()


def test_no_secret_file_or_network_of_the_machine_is_reached(
    project: Project, options: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "host_secret").write_text("of the host")
    project.write(".git/config", "[http]\n\textraheader = AUTHORIZATION: basic c2VjcmV0\n")
    project.write(
        "test_hostile.py",
        f"""
import os, pathlib, socket, subprocess
import pytest

def test_environment():
    assert "of the host" not in repr(dict(os.environ))
    assert "GITHUB_TOKEN" not in os.environ

def test_files():
    assert not pathlib.Path({str(tmp_path / "host_secret")!r}).exists()
    assert not pathlib.Path("/var/run/docker.sock").exists()
    assert pathlib.Path("/workspace/.git/config").read_text() == ""

def test_other_processes():
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        assert b"of the host" not in (entry / "environ").read_bytes() if os.access(entry / "environ", os.R_OK) else True
    assert len(list(pathlib.Path("/proc").glob("[0-9]*"))) < 10

@pytest.mark.parametrize("address", [("1.1.1.1", 53), ("172.17.0.1", 80), ("169.254.169.254", 80)])
def test_network(address):
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=2)

def test_no_interface_but_loopback():
    assert [name for _, name in socket.if_nameindex() if name != "lo"] == []

@pytest.mark.parametrize("path", ["/etc/passwd", "/usr/lib/evil", "/dt/../evil"])
def test_root_is_read_only(path):
    with pytest.raises(OSError):
        pathlib.Path(path).write_text("evil")

def test_capabilities():
    line = next(line for line in open("/proc/self/status") if line.startswith("CapEff"))
    assert int(line.split()[1], 16) == 0

def test_no_device():
    allowed = {{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd",
               "stdin", "stdout", "stderr", "core"}}
    assert set(os.listdir("/dev")) <= allowed
""",
    )

    told = project.run(*options, GITHUB_TOKEN="of the host", AWS_SECRET_ACCESS_KEY="of the host")

    assert {id: outcome for id, outcome in told.outcomes.items() if outcome != "passed"} == {}
    assert len(told.outcomes) == 32
    assert not containers()


def test_a_fork_bomb_ends_at_the_limit_of_processes(
    project: Project, options: tuple[str, ...], good: dict[str, str]
) -> None:
    project.write(
        "test_bomb.py",
        """
import os, time
def test_bomb():
    born = 0
    try:
        for _ in range(10000):
            if os.fork() == 0:
                time.sleep(600)
            born += 1
    except OSError:
        pass
    assert born < 64
""",
    )

    told = project.run(*options, "--case-timeout", "60")

    assert told.outcomes == {**good, "test_bomb.py::test_bomb": "passed"}
    assert not containers()


def test_memory_beyond_the_limit_costs_that_test_only(
    project: Project, options: tuple[str, ...], good: dict[str, str]
) -> None:
    project.write("test_hog.py", "def test_hog():\n    hog = [bytearray(1 << 24) for _ in range(1000)]\n")
    project.write("test_tmp.py", "def test_fills_tmp():\n    open('/tmp/f', 'wb').write(b'x' * (1 << 30))\n")

    told = project.run(*options)

    outcomes = told.outcomes
    assert outcomes.pop("test_hog.py::test_hog") == "crashed"
    assert outcomes.pop("test_tmp.py::test_fills_tmp") in ("crashed", "failed")
    assert outcomes == good
    assert "memory limit of 256 MiB" in told.of("test_hog.py::test_hog")["attempts"][-1]["message"]
    assert not containers()


def test_a_limit_too_small_for_pytest_itself_is_told_at_once(project: Project, options: tuple[str, ...]) -> None:
    told = project.run(*options, "--container-memory", "8MiB", "--timeout", "60s")

    assert told.code == 4, told.output
    assert "memory limit of 8 MiB" in told.output
    assert not containers()


def test_a_test_that_hangs_is_ended_with_its_container(
    project: Project, options: tuple[str, ...], good: dict[str, str]
) -> None:
    project.write("test_hang.py", "import time\ndef test_hang():\n    time.sleep(600)\n")

    told = project.run(*options, "--case-timeout", "2")

    assert told.outcomes == {**good, "test_hang.py::test_hang": "timeout"}
    assert "test_hang" in told.detail("test_hang.py::test_hang"), "faulthandler tells where"
    assert not containers()


def test_containers_of_a_killed_run_are_removed_by_the_next_one(
    project: Project, options: tuple[str, ...], good: dict[str, str]
) -> None:
    project.write("test_long.py", "import time\ndef test_long():\n    time.sleep(600)\n")
    process = project.start(*options)
    wait_until(lambda: len(containers()) == 2)
    process.kill()
    process.wait()
    left = containers()
    assert left

    told = project.run(*options, "--test-files", "test_good.py")

    assert told.outcomes == good
    assert not containers() & left


def test_an_absent_engine_and_an_absent_image_are_told(project: Project, options: tuple[str, ...]) -> None:
    absent = project.run(*options, DOCKER_HOST="unix:///nowhere/docker.sock")
    no_image = project.run("--isolation", "container")
    bare = project.run("--isolation", "container", "--image", BASE)

    assert absent.code == 7
    assert "no container engine answers" in absent.output
    assert no_image.code == 4
    assert "needs an image" in no_image.output
    assert bare.code == 4
    assert "has no pytest" in bare.output


if sys.platform != "linux":
    pytest.skip("what containers hold back is a matter of Linux", allow_module_level=True)


def test_what_containers_measure_is_the_coverage_of_the_machine(project: Project, options: tuple[str, ...]) -> None:
    project.write("signs.py", "def sign(n):\n    if n > 0:\n        return 1\n    return 0\n")
    project.write("test_one.py", "from signs import sign\ndef test(): assert sign(1) == 1\n")
    project.write("test_zero.py", "from signs import sign\ndef test(): assert sign(0) == 0\n")
    project.write(
        "test_hostile.py",
        "import os, pathlib\ndef test():\n    if os.path.isdir('/dt/measured'):\n"
        "        pathlib.Path('/dt/measured/.coverage.evil').symlink_to('/etc/passwd')\n",
    )
    ours, theirs = (
        project.run("--coverage", "--coverage-formats", "json", *more).report["run"]["coverage"]
        for more in (options, ("--workers", "1"))
    )
    assert (ours["statements"], ours["covered"]) == (theirs["statements"], theirs["covered"] + 1), (
        "and the line of harm"
    )
    assert not containers()
