"""
One box with GPUs that are not there: 60 tests that need 0 to 2 of them, device memory and RAM, over real processes.

    python benchmarks/devices.py            # 4 GPUs x 24 GiB, 64 GiB of RAM
    python benchmarks/devices.py --tests 60 --slots 12 --unit 0.5
    python benchmarks/devices.py --simulate 8      # 8 draws on a clock that jumps, without the cost of processes

Each test writes down when it ran and what it saw. From that is checked, to the byte, that nothing was promised beyond
its size, that each test saw just what it needs, and how long the longest waited. The bound is the largest of: the
longest test, and device memory, whole devices and RAM times seconds over what there is. A second run knows how long
each test takes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dt_action.engine import Limits
from dt_action.fleets.local import LocalFleet
from dt_action.hosts.process import Host
from dt_action.hosts.session import Session, new_run
from dt_action.model.event import CaseFinished, Ended
from dt_action.model.hardware import Capability, Clause, Device, DeviceNeed, FileNeeds, Requirement
from dt_action.model.holding import Sharing, Visible
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.pytest_start import PytestStart

GIB = 1 << 30
GPUS, GPU_GIB, RAM_GIB = 4, 24, 64

TEST = """
import json, os, time

def test_{number}():
    began = time.time()
    time.sleep({seconds})
    seen = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("DT_DEVICES")
    with open({record!r}, "a") as file:
        file.write(json.dumps([{number}, began, time.time(), *seen]) + "\\n")
"""


@dataclass(frozen=True, kw_only=True)
class Test:
    """What one test needs, and for how many seconds; `gpu_gib` is of each GPU, 0 for whole ones."""

    gpus: int
    gpu_gib: int
    ram_gib: int
    seconds: float

    @property
    def requirement(self) -> Requirement:
        """In the words of a mark."""
        need = DeviceNeed(kind="cuda", count=self.gpus, memory_bytes=self.gpu_gib * GIB)
        clauses = (Clause(any_of=(need,)),) if self.gpus else ()
        return Requirement(all_of=clauses, min_memory_bytes=self.ram_gib * GIB, enforced=True)


def made_up(count: int, unit_s: float, random_: random.Random) -> list[Test]:
    """Tests as the issue has them: 0 to 2 GPUs, 2 to 20 GiB of device memory and of RAM."""
    made = []
    for _ in range(count):
        gpus = random_.choice((0, 1, 1, 2))
        memory = random_.randint(2, 20) if gpus else 0
        made.append(
            Test(gpus=gpus, gpu_gib=memory, ram_gib=random_.randint(2, 20), seconds=unit_s * random_.uniform(1, 6))
        )
    return made


def bound_s(tests: Sequence[Test]) -> float:
    """The seconds that no schedule can beat."""
    return max(
        *(test.seconds for test in tests),
        sum(test.seconds * test.gpus * test.gpu_gib for test in tests) / (GPUS * GPU_GIB),
        sum(test.seconds * test.ram_gib for test in tests) / RAM_GIB,
    )


def run(tests: Sequence[Test], folder: Path, slots: int, known: bool, sharing: Sharing) -> tuple[float, list[list]]:
    """Run them once; the makespan, and what the tests wrote down."""
    record = folder / "record.jsonl"
    record.write_text("")
    planned = []
    for number, test in enumerate(tests):
        path = f"test_{number:03}.py"
        (folder / path).write_text(TEST.format(number=number, seconds=test.seconds, record=str(record)))
        cases_s = {f"{path}::test_{number}": test.seconds} if known else {}
        needs = FileNeeds(path=path, default=test.requirement)
        expected_s = test.seconds if known else 0.02
        planned.append(PlannedFile(path=path, needs=needs, expected_s=expected_s, cases_s=cases_s))
    capability = Capability(
        devices=tuple(
            Device(kind="cuda", name="made up", index=at, uuid=f"GPU-{at:08}", memory_bytes=GPU_GIB * GIB)
            for at in range(GPUS)
        ),
        platform="linux",
        memory_bytes=RAM_GIB * GIB,
        cpu_count=slots,
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA", "PYTEST"))}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # what is measured is not how long plugins take to load
    start = PytestStart(args=("-p", "no:cacheprovider"), run=new_run(), slots=slots)
    session = Session(
        root=folder,
        python=sys.executable,
        start=start,
        environ=environ,
        visible=Visible(kinds=frozenset({"cuda"})),
    )
    fleet = LocalFleet(host=Host(session), capability=capability, limits=Limits(gpu_sharing=sharing))
    finished = 0
    for event in fleet.execute(Plan(files=tuple(planned), is_selection=True)):
        if isinstance(event, CaseFinished):
            finished += event.attempt.outcome == "passed"
        elif isinstance(event, Ended):
            ended = event
    assert finished == len(tests), f"{finished} of {len(tests)} passed; {ended}"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    return max(line[2] for line in lines) - min(line[1] for line in lines), lines


def check(tests: Sequence[Test], lines: list[list]) -> dict[str, float]:
    """Raises AssertionError where anything was promised twice, or seen by who did not need it."""
    assert sorted(line[0] for line in lines) == [*range(len(tests))]
    moments: list[tuple[float, int, int]] = []
    for number, began, ended, visible, told in lines:
        names = [name for name in (visible or "").split(",") if name]
        assert visible is not None
        assert len(names) == tests[number].gpus, f"test {number} needs {tests[number].gpus} and saw {visible!r}"
        assert [f"GPU-{int(device.partition(':')[2]):08}" for device in told.split(",") if device] == names
        moments += [(began, 1, number), (ended, -1, number)]
    seen = {number: [name for name in visible.split(",") if name] for number, _, _, visible, _ in lines}
    ram, gpus = 0, {f"GPU-{at:08}": 0 for at in range(GPUS)}
    most_ram, most_gpu = 0, 0
    for _, sign, number in sorted(moments):
        ram += sign * tests[number].ram_gib
        for name in seen[number]:
            gpus[name] += sign * (tests[number].gpu_gib or GPU_GIB)
            most_gpu = max(most_gpu, gpus[name])
        most_ram = max(most_ram, ram)
        assert ram <= RAM_GIB, f"{ram} GiB of RAM were promised"
        assert max(gpus.values()) <= GPU_GIB, f"{gpus} GiB of device memory were promised"
    first = min(line[1] for line in lines)
    return {"ram": most_ram, "gpu": most_gpu, "last began": max(line[1] for line in lines) - first}


def simulated_s(tests: Sequence[Test], slots: int, known: bool) -> float:
    """The makespan of the same engine over simulated slots, which start and collect in no time."""
    from simulate import FakeCase, FakeFile, Loop, Place, RunState, Suite, TimedHost

    files, planned = {}, []
    for number, test in enumerate(tests):
        path = f"test_{number:03}.py"
        case = FakeCase(id=f"{path}::test_{number}", duration_s=test.seconds)
        files[path] = FakeFile(cases=(case,), collect_s=0.001)
        needs = FileNeeds(path=path, default=test.requirement)
        cases_s = {case.id: test.seconds} if known else {}
        expected_s = test.seconds if known else 0.02
        planned.append(PlannedFile(path=path, needs=needs, expected_s=expected_s, cases_s=cases_s))
    devices = tuple(Device(kind="cuda", index=at, memory_bytes=GPU_GIB * GIB) for at in range(GPUS))
    box = Capability(devices=devices, platform="linux", memory_bytes=RAM_GIB * GIB, cpu_count=slots)
    host = TimedHost(Suite(files), 0.001)
    state = RunState(Plan(files=tuple(planned), is_selection=True), Limits(run_timeout_s=None))
    loop = Loop(state, host, [Place(worker="box", capability=box, slots=slots)], clock=host.clock)
    return next(event.makespan_s for event in loop.events() if isinstance(event, Ended))


def simulate(count: int, options: argparse.Namespace) -> None:
    """Print the ratio of makespan and bound of so many draws."""
    for known in (False, True):
        ratios = []
        for seed in range(options.seed, options.seed + count):
            tests = made_up(options.tests, options.unit, random.Random(seed))
            ratios.append(simulated_s(tests, options.slots, known) / bound_s(tests))
        told = " ".join(f"{ratio:.3f}" for ratio in ratios)
        durations = "known" if known else "not known"
        print(f"durations {durations}: makespan over bound {told}; mean {sum(ratios) / count:.3f}", flush=True)


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=60)
    parser.add_argument("--slots", type=int, default=12)
    parser.add_argument("--unit", type=float, default=1.0, help="the shortest test takes so many seconds")
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--sharing", choices=("auto", "off"), default="auto")
    parser.add_argument("--simulate", type=int, default=0, help="so many draws, simulated")
    options = parser.parse_args()
    if options.simulate:
        simulate(options.simulate, options)
        return 0
    tests = made_up(options.tests, options.unit, random.Random(options.seed))
    bound = bound_s(tests)
    alone = sum(test.seconds for test in tests)
    for known in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            makespan, lines = run(tests, Path(folder), options.slots, known, options.sharing)
            wall = time.monotonic() - began
        most = check(tests, lines)
        print(
            f"{'second' if known else 'first '} run: {len(tests)} tests, bound {bound:.1f} s, "
            f"makespan {makespan:.1f} s, ratio {makespan / bound:.3f} (with starts {wall:.1f} s), one by one "
            f"{alone:.1f} s ({alone / makespan:.1f} x); at most {most['ram']} of {RAM_GIB} GiB RAM and "
            f"{most['gpu']} of {GPU_GIB} GiB of a GPU at once; the last test began after {most['last began']:.1f} s",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
