"""The Ray fleet on a cluster of several nodes here: outcomes, devices, and nodes and actors that are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project_on_disk import Project, processes_marked, wait_until

from dt_action.engine import Limits
from dt_action.errors import FleetError
from dt_action.fleets.ray import RayFleet
from dt_action.model.event import CaseFinished, CaseStarted, CaseUnplaced, Event, WorkerJoined
from dt_action.model.hardware import Clause, DeviceKind, DeviceNeed, FileNeeds, Requirement
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.pytest_start import PytestStart

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without GPUs and a node with two of them, as far as Ray knows."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    started.add_node(num_cpus=2, num_gpus=2)
    yield started
    started.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return tmp_path


def run(cluster: Any, root: Path, needs: dict[str, Requirement] | None = None, **options: Any) -> Iterator[Event]:
    files = sorted(path.name for path in root.glob("test_*.py"))
    planned = tuple(
        PlannedFile(
            path=name, needs=FileNeeds(path=name, default=(needs or {}).get(name, Requirement())), expected_s=1.0
        )
        for name in files
    )
    fleet = RayFleet(address=cluster.address, root=root, say=lambda _: None, **options)
    return fleet.execute(Plan(files=planned))


def outcomes(events: list[Event]) -> dict[str, str]:
    finals = [event for event in events if isinstance(event, CaseFinished) and not event.will_retry]
    assert Counter(event.case.id for event in finals).most_common(1)[0][1] == 1
    return {event.case.id: event.attempt.outcome for event in finals}


def needing(kind: DeviceKind, count: int = 1) -> Requirement:
    return Requirement(all_of=(Clause(any_of=(DeviceNeed(kind=kind, count=count),)),), enforced=True)


def actors_alive(cluster: Any) -> int:
    return len(cluster.global_state.actor_table(None, None, "ALIVE"))


def slow_cases(root: Path, files: int = 4, cases: int = 10, seconds: float = 0.2) -> set[str]:
    for number in range(files):
        (root / f"test_slow{number}.py").write_text(
            f"import time, pytest\n@pytest.mark.parametrize('n', range({cases}))\ndef test(n): time.sleep({seconds})\n"
        )
    return {f"test_slow{number}.py::test[{n}]" for number in range(files) for n in range(cases)}


def test_outcomes_are_pytests(cluster: Any, root: Path) -> None:
    (root / "test_all.py").write_text(
        "import pytest, os\ndef test_good(): pass\ndef test_bad(): assert 0\ndef test_skip(): pytest.skip('no')\n"
        "@pytest.mark.xfail\ndef test_x(): assert 0\n@pytest.fixture\ndef broken(): raise ValueError\n"
        "def test_error(broken): pass\ndef test_crash(): os.abort()\ndef test_after(): pass\n"
    )
    (root / "test_import.py").write_text("import nothing_of_that_name\n")

    told = outcomes(list(run(cluster, root)))

    assert told == {
        "test_all.py::test_good": "passed",
        "test_all.py::test_bad": "failed",
        "test_all.py::test_skip": "skipped",
        "test_all.py::test_x": "xfailed",
        "test_all.py::test_error": "error",
        "test_all.py::test_crash": "crashed",
        "test_all.py::test_after": "passed",
        "test_import.py": "error",
    }


def test_gpu_cases_run_on_gpu_nodes_with_their_own_devices(cluster: Any, root: Path) -> None:
    for number in range(2):
        (root / f"test_gpu{number}.py").write_text(
            "import os, time\ndef test():\n    time.sleep(0.5)\n    assert os.environ['CUDA_VISIBLE_DEVICES'] in '01'\n"
        )
        (root / f"test_cpu{number}.py").write_text("def test(): pass\n")
    needs = {f"test_gpu{number}.py": needing("cuda") for number in range(2)}

    events = list(run(cluster, root, needs))

    assert set(outcomes(events).values()) == {"passed"}
    workers = {event.worker: event.capability for event in events if isinstance(event, WorkerJoined)}
    where = {event.case: workers[event.worker] for event in events if isinstance(event, CaseStarted)}
    assert all(where[f"test_gpu{number}.py::test"].devices for number in range(2))


def test_what_no_node_can_satisfy_is_told_at_once(cluster: Any, root: Path) -> None:
    (root / "test_tpu.py").write_text("def test(): pass\n")
    (root / "test_big.py").write_text("def test(): pass\n")
    (root / "test_good.py").write_text("def test(): pass\n")
    needs = {"test_tpu.py": needing("tpu"), "test_big.py": needing("cuda", 8)}

    events = list(run(cluster, root, needs))

    unplaced = {event.case.file: event.reason for event in events if isinstance(event, CaseUnplaced)}
    assert set(unplaced) == set(needs)
    assert "needs 8 cuda, has 2 cuda" in unplaced["test_big.py"]
    assert outcomes(events) == {"test_good.py::test": "passed"}


@pytest.mark.long
def test_a_node_killed_in_the_middle_loses_no_case(cluster: Any, root: Path) -> None:
    expected = slow_cases(root)
    doomed = cluster.add_node(num_cpus=2)
    events: list[Event] = []
    doomed_worker = ""

    for event in run(cluster, root, limits=Limits(retries=2)):
        events.append(event)
        if isinstance(event, CaseStarted) and not doomed_worker and doomed.node_id[-6:] in event.worker:
            doomed_worker = event.worker
            cluster.remove_node(doomed, allow_graceful=False)

    assert doomed_worker, "the node had work when it was killed"
    assert set(outcomes(events)) == expected
    assert set(outcomes(events).values()) == {"passed"}


def test_an_actor_killed_ten_times_loses_no_case(cluster: Any, root: Path) -> None:
    expected = slow_cases(root, files=4, cases=15)
    killed: set[str] = set()
    events: list[Event] = []
    mark = f"not {root.name}"
    for event in run(cluster, root, limits=Limits(retries=20), start=PytestStart(args=("-k", mark))):
        events.append(event)
        if isinstance(event, CaseStarted) and len(killed) < 10 and event.slot not in killed:
            killed.add(event.slot)
            _kill_actor_of(event.slot, mark)

    assert len(killed) == 10
    assert set(outcomes(events)) == expected
    assert set(outcomes(events).values()) == {"passed"}
    lost = [event.attempt for event in events if isinstance(event, CaseFinished) and event.will_retry]
    assert all("its Ray actor died" in attempt.message for attempt in lost)


def _kill_actor_of(slot: str, mark: str) -> None:
    """
    Kill the actor's process on its node, which on this machine we can see.

    Only a slot of this test's run has its mark: the dt that runs this test has slots of the same names.
    """
    for pid in processes_marked(mark):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        if f'"slot": "{slot}"' in line:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            subprocess.run(["kill", "-9", str(parent)], check=False)


def test_cancelling_frees_every_actor_and_ends_every_process(cluster: Any, root: Path) -> None:
    slow_cases(root, seconds=60.0)
    mark = f"not {root.name}"
    events = run(cluster, root, start=PytestStart(args=("-k", mark)))
    next(event for event in events if isinstance(event, CaseStarted))
    assert processes_marked(mark)

    events.close()  # type: ignore[attr-defined]

    wait_until(lambda: actors_alive(cluster) == 0)
    wait_until(lambda: not processes_marked(mark))


@pytest.mark.long
def test_a_hanging_case_times_out_and_the_rest_goes_on(cluster: Any, root: Path) -> None:
    (root / "test_hang.py").write_text("import time\ndef test_hang(): time.sleep(600)\ndef test_after(): pass\n")

    told = outcomes(list(run(cluster, root, limits=Limits(case_timeout_s=1.0))))

    assert told == {"test_hang.py::test_hang": "timeout", "test_hang.py::test_after": "passed"}


def test_dt_run_tells_of_a_run_on_the_cluster(cluster: Any, project: Project, good: dict[str, str]) -> None:
    told = project.run("--fleet", "ray", "--ray-address", cluster.address)

    assert told.code == 0, told.output
    assert told.outcomes == good


def test_what_actors_measure_is_brought_back_and_each_file_may_have_a_process(cluster: Any, project: Project) -> None:
    code = "import os\nold = os.environ.get('SEEN')\nos.environ['SEEN'] = 'yes'\n"
    project.write("signs.py", f"{code}def sign(n):\n    if n > 0:\n        return 1\n    return 0\n")
    for number, sign in ((1, 1), (0, 0), (-1, 0)):
        test = f"from signs import old, sign\ndef test(): assert (sign({number}), old) == ({sign}, None)\n"
        project.write(f"test_{number + 1}.py", test)
    options = ("--isolation", "file", "--coverage", "--coverage-formats", "json")

    told = project.run("--fleet", "ray", "--ray-address", cluster.address, *options)

    assert set(told.outcomes.values()) == {"passed"}, told.output
    coverage = told.report["run"]["coverage"]
    assert coverage["covered"] == coverage["statements"] == 17, told.output


def test_a_cluster_that_is_not_there_is_told_in_seconds(root: Path) -> None:
    (root / "test_good.py").write_text("def test(): pass\n")
    for address in ("ray://127.0.0.1:1", "127.0.0.1:1"):
        started = time.monotonic()
        with pytest.raises(FleetError, match="no Ray cluster answers"):
            list(
                RayFleet(address=address, root=root).execute(
                    Plan(files=(PlannedFile(path="a", needs=FileNeeds(path="a")),))
                )
            )
        assert time.monotonic() - started < 20


def test_a_missing_ray_is_told(root: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\nfrom pathlib import Path\nfrom dt_action.fleets.ray import RayFleet\n"
        "from dt_action.model.plan import Plan\n"
        "list(RayFleet(address='auto', root=Path()).execute(Plan(files=())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigurationError: a Ray cluster needs the package ray" in done.stderr
    assert "distributed-testing[ray]" in done.stderr
