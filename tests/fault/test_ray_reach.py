"""Ways to a Ray cluster: ray:// addresses, tokens, versions, an autoscaler; and each of them when it is not right."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from coordinator_rig import free_port, wait_until
from project_on_disk import Project, processes_marked
from ray_rig import cluster_elsewhere, cluster_that_grows

pytest.importorskip("ray", reason="the extra `ray` is not installed")

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.long
def test_a_ray_client_address_runs_tests_and_a_killed_client_leaves_nothing(
    project: Project, good: dict[str, str]
) -> None:
    project.write("test_bad.py", "def test_bad(): assert 0\ndef test_crash():\n    import os; os.abort()\n")
    port = free_port()
    with cluster_elsewhere({"num_cpus": 2, "ray_client_server_port": port}) as _:
        where = ("--fleet", "ray", "--ray-address", f"ray://127.0.0.1:{port}")

        told = project.run(*where)

        assert told.outcomes == {**good, "test_bad.py::test_bad": "failed", "test_bad.py::test_crash": "crashed"}
        assert told.code == 1

        project.write("test_long.py", "import time\ndef test_long(): time.sleep(600)\n")
        mark = f"not {project.root.parent.name}"
        run = project.start(*where, "--test-files", "test_long.py", "--pytest-args", f"-k '{mark}'")
        wait_until(lambda: _slots(mark), what="a slot")
        run.kill()
        run.wait()
        wait_until(lambda: not _slots(mark), within_s=120.0, what="the end of the slots")


@pytest.mark.long
def test_a_cluster_with_a_token_wants_it_and_tests_do_not_see_it(project: Project, good: dict[str, str]) -> None:
    project.write("test_secret.py", f"import os\ndef test_secret(): assert {TOKEN!r} not in repr(dict(os.environ))\n")
    with cluster_elsewhere({"num_cpus": 2}, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as address:
        where = ("--fleet", "ray", "--ray-address", address)

        without = project.run(*where)
        wrong = project.run(*where, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN[::-1])
        told = project.run(*where, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)

    for refused in (without, wrong):
        assert refused.code == 7, refused.output
        assert "RAY_AUTH_MODE=token" in refused.output
        assert TOKEN not in refused.output
    assert told.outcomes == {**good, "test_secret.py::test_secret": "passed"}


@pytest.mark.parametrize("scheme", ["", pytest.param("ray://", marks=pytest.mark.long)])
def test_another_version_of_ray_is_told_with_both_versions(tmp_path: Path, scheme: str) -> None:
    client_port = free_port()
    code = (
        "import sys, ray\nray.__version__ = '2.0.0'\n"
        "from dt_action.hosts.ray_cluster import Cluster\n"
        "from dt_action.errors import FleetError\n"
        "try:\n    Cluster(sys.argv[1])\nexcept FleetError as error:\n    print(error)"
    )
    with cluster_elsewhere({"num_cpus": 1, "ray_client_server_port": client_port}) as direct:
        address = f"ray://127.0.0.1:{client_port}" if scheme else direct
        done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, check=False)

    assert "Ray: 2.0.0" in done.stdout, done.stderr
    assert "hint: install the cluster's version of Ray and of Python" in done.stdout


def test_an_autoscaler_is_asked_for_what_no_node_has(project: Project, good: dict[str, str]) -> None:
    project.write("test_gpu.py", "# dt: requires cuda\ndef test_gpu(): pass\n")
    # A short path of its own: Ray makes Unix sockets in it.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        kinds = {"processors": {"CPU": 2}, "gpus": {"CPU": 1, "GPU": 1}}
        with cluster_that_grows(Path(folder), kinds) as address:
            told = project.run("--fleet", "ray", "--ray-address", address, "--ray-wait", "60s")

    assert told.outcomes == {**good, "test_gpu.py::test_gpu": "passed"}, told.output
    assert told.of("test_gpu.py::test_gpu")["attempts"][-1]["worker"].endswith(".cuda")


@pytest.mark.parametrize("address", ["host:port", "ray://", "ray://:10001"])
def test_an_address_that_is_none_is_told(project: Project, address: str) -> None:
    told = project.run("--fleet", "ray", "--ray-address", address)
    assert told.code == 4, told.output
    assert "expected ray://HOST:PORT" in told.output


def _slots(mark: str) -> list[int]:
    """The processes of slots that were started with the mark in their arguments."""
    found = []
    for pid in processes_marked(mark):
        try:
            found += [pid] if "bootstrap.py" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace") else []
        except OSError:
            continue
    return found
