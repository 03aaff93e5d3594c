"""What control groups leave of a machine, on made-up file systems, and the thread limits of worker processes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dt_action.hosts.session import Session
from dt_action.model.pytest_start import PytestStart
from dt_action.probes import cgroup
from dt_action.probes.processor import auto_slots, processors
from dt_action.probes.system import System

V2 = {"/proc/self/cgroup": "0::/\n"}
NESTED = {"/proc/self/cgroup": "0::/a.slice/b.scope\n"}
V1 = {"/proc/self/cgroup": "4:memory:/docker/x\n2:cpu,cpuacct:/docker/x\n"}


def machine(root: Path, files: dict[str, str]) -> System:
    for path, text in files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return System(root=root)


@pytest.mark.parametrize(
    ("files", "quota", "limit", "kills"),
    [
        ({}, math.inf, 0, 0),
        ({**V2, "/sys/fs/cgroup/cpu.max": "max 100000\n", "/sys/fs/cgroup/memory.max": "max\n"}, math.inf, 0, 0),
        (
            {
                **V2,
                "/sys/fs/cgroup/cpu.max": "150000 100000\n",
                "/sys/fs/cgroup/memory.max": "2147483648\n",
                "/sys/fs/cgroup/memory.events": "oom 3\noom_kill 2\n",
            },
            1.5,
            2 << 30,
            2,
        ),
        (
            {
                **NESTED,
                "/sys/fs/cgroup/a.slice/cpu.max": "50000 100000\n",
                "/sys/fs/cgroup/a.slice/b.scope/cpu.max": "max 100000\n",
                "/sys/fs/cgroup/a.slice/b.scope/memory.max": "1024\n",
            },
            0.5,
            1024,
            0,
        ),
        (
            {
                **V1,
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
                "/sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
            },
            1.5,
            2 << 30,
            1,
        ),
        (
            {
                **V1,
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            math.inf,
            0,
            0,
        ),
    ],
    ids=["no groups", "v2 without limits", "v2", "v2 nested", "v1", "v1 without limits"],
)
def test_the_tightest_group_counts(tmp_path: Path, files: dict[str, str], quota: float, limit: int, kills: int) -> None:
    system = machine(tmp_path, files)
    assert (cgroup.cpu_quota(system), cgroup.memory_limit(system), cgroup.oom_kills(system)) == (quota, limit, kills)


@pytest.mark.skipif("sys.platform != 'linux'")
def test_auto_is_no_more_than_quota_and_memory_allow(tmp_path: Path) -> None:
    here = processors(System(root=tmp_path / "nothing"))
    system = machine(tmp_path, {**V2, "/sys/fs/cgroup/cpu.max": "50000 100000\n"})
    assert (processors(system), auto_slots(system)) == (1, 1)
    scarce = machine(
        tmp_path, {"/sys/fs/cgroup/cpu.max": "max 100000\n", "/sys/fs/cgroup/memory.max": f"{600 << 20}\n"}
    )
    assert (processors(scarce), auto_slots(scarce)) == (here, 1)


@pytest.mark.parametrize(
    ("environ", "asked", "limited"),
    [
        ({}, None, {"OMP_NUM_THREADS": "2", "NUMEXPR_NUM_THREADS": "2", "POLARS_MAX_THREADS": "2"}),
        ({}, 5, {"OMP_NUM_THREADS": "5", "POLARS_MAX_THREADS": "5"}),
        ({}, 0, {}),
        ({"MKL_NUM_THREADS": "4"}, None, {"POLARS_MAX_THREADS": "2"}),
    ],
)
def test_numerical_libraries_get_a_share_unless_the_user_says_more(
    tmp_path: Path, environ: dict[str, str], asked: int | None, limited: dict[str, str]
) -> None:
    start = PytestStart(slots=4, threads=asked)
    session = Session(root=tmp_path, python="python", start=start, environ=environ, fair_threads=2)
    told = session.variables("gw0")
    assert limited.items() <= told.items()
    assert ("OMP_NUM_THREADS" in told) == ("OMP_NUM_THREADS" in limited)
    assert "OMP_NUM_THREADS" not in session.variables("gw0", is_plain=True)
