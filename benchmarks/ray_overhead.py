"""
What the Ray fleet costs over the local one: seconds a batch, cold start, and how the source tree travels best.

    python benchmarks/ray_overhead.py [--batches 300] [--slots 2]

Starts a Ray cluster of one node here. Every batch is one file with one test that does nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dt_action.engine import Limits
from dt_action.fleets.local import LocalFleet
from dt_action.fleets.ray import RayFleet
from dt_action.hosts.process import Host, Session
from dt_action.model.event import CaseStarted, Ended, Event, WorkerJoined
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.pytest_start import PytestStart

NO_BATCHING = Limits(batch_s=0.0)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    try:
        import ray
        from ray.cluster_utils import Cluster
    except ImportError:
        print("ray is not installed: nothing to measure")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        plan = _project(root, options.batches)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": options.slots})
        try:
            local = [_timed(_local(root, options.slots).execute(plan)) for _ in range(3)]
            fleet = RayFleet(address=cluster.address, root=root, slots=options.slots, limits=NO_BATCHING)
            clustered = [_timed(fleet.execute(plan)) for _ in range(3)]
            _print("local", local, options)
            _print("ray", clustered, options)
            gap_s = statistics.median(made for *_, made in clustered) - statistics.median(made for *_, made in local)
            print(f"a batch costs {gap_s / options.batches * options.slots * 1000:.2f} ms more of a slot on Ray")
            _travel(ray, cluster, root)
        finally:
            cluster.shutdown()
    return 0


def _project(root: Path, files: int) -> Plan:
    (root / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    names = [f"test_{number}.py" for number in range(files)]
    for name in names:
        (root / name).write_text("def test(): pass\n")
    return Plan(files=tuple(PlannedFile(path=name, needs=FileNeeds(path=name), expected_s=0.01) for name in names))


def _local(root: Path, slots: int) -> LocalFleet:
    session = Session(
        root=root, python=sys.executable, start=PytestStart(run="r", slots=slots), environ={"PATH": "/usr/bin:/bin"}
    )
    return LocalFleet(host=Host(session), capability=Capability(platform="linux"), limits=NO_BATCHING)


def _timed(events: Iterator[Event]) -> tuple[float, float, float]:
    """Seconds until a worker joined, until the end, and from the first case to the end of the last."""
    started = time.perf_counter()
    joined = first = ended = 0.0
    for event in events:
        now = time.perf_counter() - started
        if isinstance(event, WorkerJoined):
            joined = joined or now
        elif isinstance(event, CaseStarted):
            first = first or now
        elif isinstance(event, Ended):
            ended = now
    return joined, time.perf_counter() - started, ended - first


def _print(name: str, times: list[tuple[float, float, float]], options: argparse.Namespace) -> None:
    for joined, whole, cases in times:
        print(
            f"{name:>6}: first slot after {joined:5.2f} s, {options.batches} batches on {options.slots} slots in "
            f"{cases:5.2f} s, whole run {whole:5.2f} s"
        )


def _travel(ray: Any, cluster: Any, root: Path) -> None:
    """An actor that has the tree: through Ray's runtime environment, and through its object store as we do it."""
    from dt_action.remote.bundle import make_bundle

    class Reads:
        def __init__(self, bundle: bytes | None = None) -> None:
            self._bundle = bundle

        def size(self) -> int:
            return len(self._bundle or b"")

    for round_number in range(2):
        for name in ("runtime environment", "object store"):
            (root / "changed.txt").write_text(f"{round_number} {name}")  # another digest each time
            environment = {} if name == "object store" else {"working_dir": str(root)}
            started = time.perf_counter()
            ray.init(address=cluster.address, log_to_driver=False, configure_logging=False, runtime_env=environment)
            content = [] if environment else [ray.put(make_bundle(root).content)]
            actor = ray.remote(Reads).remote(*content)
            ray.get(actor.size.remote())
            print(f"{name:>20}: connected, and an actor has the tree, after {time.perf_counter() - started:5.2f} s")
            ray.shutdown()


if __name__ == "__main__":
    raise SystemExit(main())
