"""
Makespan against the lower bound, and decisions a second: the real dispatch brain over simulated slots.

    python benchmarks/simulate.py                                     # the table of docs/scale.md
    python benchmarks/simulate.py --slots 2000 --profile even --events
    python benchmarks/simulate.py --project . --profile   # the measured durations of a real project
    python benchmarks/simulate.py --known 0                # a first run: nobody knows how long anything takes

Nothing runs but the brain: slots are those of tests/support/fake_slot.py, on a clock that jumps from event to
event, with `--latency` seconds on the way between a slot and the brain. The bound is the largest of: the sum of all
cases and one collection of each file over the slots, the same of what needs a GPU over the slots that have one, and
the longest case, or group that must stay together, with the collection of its file. A file that is split over slots is
collected by each of them, which the bound leaves out.

That bound is for those who know all durations. Who knows none cannot see to it that the longest case begins early.
So for `--known` below 1 a second figure is given, `blind`: what it takes on average (of 5 orders) when every case, or
group, is dealt to the next free slot, one by one, in random order, at no cost: without knowledge, nothing does better
on average, but by what is learnt from other cases of the same file.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import itertools
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.fake_slot import FakeCase, FakeFile, FakeSlot, Suite, Told, Waits, Works

from dt_action.engine import Limits, RunState
from dt_action.engine.engine import MemoryStore
from dt_action.engine.inputs import Input
from dt_action.engine.loop import Loop
from dt_action.history import history_at
from dt_action.model.event import CaseFinished, Ended
from dt_action.model.hardware import Capability, Clause, Device, DeviceNeed, FileNeeds, Requirement
from dt_action.model.holding import Visible
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.slot_protocol import Command, Died
from dt_action.ports import Happened, Heard, Place

SLOTS_PER_WORKER = 8
GPU = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda"),)),), enforced=True)
GIB = 1 << 30
GPUS_PER_WORKER = 8
GPU_GIB = 24


# --- suites -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Files to run, and which of them need a GPU."""

    name: str
    files: Mapping[str, FakeFile]
    gpu_files: frozenset[str] = frozenset()
    needs: Mapping[str, Requirement] = field(default_factory=dict)

    def plan(self, known: float, random_: random.Random) -> Plan:
        """A plan with a history of the share `known` of the files; that of earlier runs is off by some 20 %."""
        planned = []
        for path, file in self.files.items():
            own = GPU if path in self.gpu_files else Requirement()
            needs = FileNeeds(path=path, default=self.needs.get(path, own))
            if random_.random() < known:
                cases_s = {case.id: case.duration_s * random_.uniform(0.8, 1.2) for case in file.cases}
                planned.append(PlannedFile(path=path, needs=needs, expected_s=sum(cases_s.values()), cases_s=cases_s))
            else:
                planned.append(PlannedFile(path=path, needs=needs, expected_s=0.02 * len(file.cases)))
        return Plan(files=tuple(sorted(planned, key=lambda file: (-file.expected_s, file.path))), is_selection=True)

    def bound_s(self, places: Sequence[Place]) -> float:
        """The seconds that no schedule can beat: all work on all slots, GPU work on GPU slots, the longest group."""
        gpu_slots = sum(place.slots for place in places if place.capability.devices)
        gpu_work_s = sum(_work_s(self.files[path]) for path in self.gpu_files)
        return max(
            sum(map(_work_s, self.files.values())) / sum(place.slots for place in places),
            gpu_work_s / max(gpu_slots, 1),
            sum(_device_s(self.files[path], need) for path, need in self.needs.items())
            / max(sum(len(place.capability.devices) for place in places), 1),
            *(_longest_group_s(file) for file in self.files.values()),
        )

    def blind_s(self, places: Sequence[Place], orders: int = 5) -> float:
        """The seconds that dealing without any knowledge takes on average, at no cost: see the top of this module."""
        return sum(self._dealt_blindly_s(places, random.Random(seed)) for seed in range(orders)) / orders

    def _dealt_blindly_s(self, places: Sequence[Place], random_: random.Random) -> float:
        for_gpu = [s for path in sorted(self.gpu_files) for s in _groups_s(self.files[path])]
        for_any = [s for path, file in self.files.items() if path not in self.gpu_files for s in _groups_s(file)]
        random_.shuffle(for_gpu)
        random_.shuffle(for_any)
        slots = [bool(place.capability.devices) for place in places for _ in range(place.slots)]
        collecting_s = sum(file.collect_s for file in self.files.values()) / len(slots)
        free = [(collecting_s, number, has_gpu) for number, has_gpu in enumerate(slots)]
        heapq.heapify(free)
        makespan_s = 0.0
        while for_gpu or for_any:
            now, number, has_gpu = heapq.heappop(free)
            queue = for_gpu if has_gpu and for_gpu else for_any
            if queue:
                ends = now + queue.pop()
                makespan_s = max(makespan_s, ends)
                heapq.heappush(free, (ends, number, has_gpu))
        return makespan_s


def _device_s(file: FakeFile, need: Requirement) -> float:
    """Devices times seconds, of which the file's cases have a part where they say how much memory they take."""
    devices = [clause.any_of[0] for clause in need.all_of]
    share = sum(one.count * (one.memory_bytes / (GPU_GIB * GIB) if one.memory_bytes else 1.0) for one in devices)
    return share * sum(case.duration_s for case in file.cases)


def _work_s(file: FakeFile) -> float:
    return file.collect_s + sum(case.duration_s for case in file.cases)


def _longest_group_s(file: FakeFile) -> float:
    return file.collect_s + max(_groups_s(file))


def _groups_s(file: FakeFile) -> list[float]:
    """The seconds of each case, or of all cases that must stay together."""
    groups: dict[str, float] = {}
    for case in file.cases:
        name = case.group or case.id
        groups[name] = groups.get(name, 0.0) + case.duration_s
    return [*groups.values()]


def even(cases: int, random_: random.Random) -> Profile:
    """Unit tests: log-normal around 30 ms (sigma 1.5), files of about 20 cases, some far larger."""
    return _log_normal("even", cases, random_, median_s=0.03, sigma=1.5, longest_s=30.0)


def heavy(cases: int, random_: random.Random) -> Profile:
    """Model tests: log-normal around 0.8 s (sigma 1.8), up to 2 minutes; a tenth of the files needs a GPU."""
    profile = _log_normal("heavy", cases, random_, median_s=0.8, sigma=1.8, longest_s=120.0)
    gpu_files = frozenset(path for path in profile.files if random_.random() < 0.1)
    return Profile(name="heavy", files=profile.files, gpu_files=gpu_files)


def devices(cases: int, random_: random.Random) -> Profile:
    """As `heavy`, with needs of 1 or 2 whole GPUs, or of 2 to 20 GiB of one, in a fifth of the files, and of RAM."""
    profile = _log_normal("devices", cases, random_, median_s=0.8, sigma=1.2, longest_s=60.0)
    needs = {}
    for path in profile.files:
        if random_.random() < 0.2:
            count, gib = random_.choice(((1, 0), (2, 0), (1, 2), (1, 6), (1, 12), (1, 20)))
            need = DeviceNeed(kind="cuda", count=count, memory_bytes=gib * GIB)
            ram = random_.choice((0, 4, 16)) * GIB
            needs[path] = Requirement(all_of=(Clause(any_of=(need,)),), min_memory_bytes=ram, enforced=True)
    return Profile(name="devices", files=profile.files, needs=needs)


def grouped(cases: int, random_: random.Random) -> Profile:
    """As `even`, but a fifth of the files has a module fixture, so that its cases stay together."""
    files = {
        path: file if random_.random() < 0.8 else _with_module_fixture(path, file)
        for path, file in even(cases, random_).files.items()
    }
    return Profile(name="grouped", files=files)


def from_history(root: Path, cases: int, random_: random.Random) -> Profile:
    """The measured durations of a real project's files, drawn again until there are `cases` cases."""
    past = history_at(root / ".dt_cache" / "history").load()
    measured = [list(seconds.values()) for path in root.rglob("*.py") if (seconds := past.cases_of(_named(path, root)))]
    if not measured:
        raise SystemExit(f"{root} has no history: run `dt run` in it first")
    files: dict[str, FakeFile] = {}
    left = cases
    while left > 0:
        durations = random_.choice(measured)[:left]
        path = f"tests/test_{len(files)}.py"
        files[path] = _file(path, durations, random_)
        left -= len(durations)
    return Profile(name=root.resolve().name, files=files)


def _named(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


PROFILES = {"even": even, "heavy": heavy, "grouped": grouped, "devices": devices}


def _log_normal(
    name: str, cases: int, random_: random.Random, *, median_s: float, sigma: float, longest_s: float
) -> Profile:
    files: dict[str, FakeFile] = {}
    left = cases
    while left > 0:
        count = min(left, max(1, int(random_.paretovariate(1.2) * 6)), 3000)
        scale = median_s * random_.lognormvariate(0.0, 0.7)
        path = f"tests/test_{len(files)}.py"
        durations = [min(longest_s, scale * random_.lognormvariate(0.0, sigma)) for _ in range(count)]
        files[path] = _file(path, durations, random_)
        left -= count
    return Profile(name=name, files=files)


def _file(path: str, durations: Sequence[float], random_: random.Random) -> FakeFile:
    cases = tuple(FakeCase(id=f"{path}::test_{number}", duration_s=seconds) for number, seconds in enumerate(durations))
    return FakeFile(cases=cases, collect_s=0.005 + 0.0002 * len(cases) * random_.uniform(0.5, 2.0))


def _with_module_fixture(path: str, file: FakeFile) -> FakeFile:
    cases = tuple(FakeCase(id=case.id, duration_s=case.duration_s, group=path) for case in file.cases)
    return FakeFile(cases=cases, collect_s=file.collect_s)


# --- slots on a clock that jumps --------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Seat:
    slot: FakeSlot
    is_waiting: bool = False


@dataclass(slots=True)
class TimedHost:
    """A host of simulated slots. `latency_s` is how long a message takes, either way."""

    suite: Suite
    latency_s: float
    now: float = 0.0
    _seats: dict[str, _Seat] = field(default_factory=dict)
    _agenda: list[tuple[float, int, str, Any]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def slots(self) -> tuple[str, ...]:
        """See `ports.SlotHost`."""
        return tuple(self._seats)

    def clock(self) -> float:
        """The simulation's seconds."""
        return self.now

    def start(self, slot: str, worker: str, *, is_plain: bool = False, visible: Visible | None = None) -> None:
        """See `ports.SlotHost`. Slots start at once: the bound knows of no start either."""
        self._seats[slot] = _Seat(FakeSlot(self.suite))
        self._at(0.0, slot, None)

    def send(self, slot: str, command: Command) -> None:
        """See `ports.SlotHost`."""
        self._at(self.latency_s, slot, command)

    def poll(self, timeout_s: float) -> Iterator[Happened]:
        """See `ports.SlotHost`."""
        end = self.now + timeout_s
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, slot, what = heapq.heappop(self._agenda)
            if isinstance(what, Told):
                yield Heard(slot=slot, message=what.message)
                continue
            seat = self._seats.get(slot)
            if seat is None:
                continue
            if what == "dies":
                del self._seats[slot]
                yield Heard(slot=slot, message=Died(reason="it was told to stop"))
                continue
            if what is not None:
                seat.slot.inbox.append(what)
            if what is None or seat.is_waiting:
                self._go_on(slot, seat)
        self.now = end

    def output_bytes(self, slot: str) -> int:
        """See `ports.SlotHost`."""
        return 0

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        """See `ports.SlotHost`."""

    def close(self, *, grace_s: float = 0.0) -> None:
        """See `ports.SlotHost`."""

    def _at(self, delay_s: float, slot: str, what: Any) -> None:
        heapq.heappush(self._agenda, (self.now + delay_s, next(self._numbers), slot, what))

    def _go_on(self, slot: str, seat: _Seat) -> None:
        seat.is_waiting = False
        for step in seat.slot.steps:
            if isinstance(step, Told):
                self._at(self.latency_s, slot, step)
            elif isinstance(step, Works):
                self._at(step.seconds, slot, None)
                return
            elif isinstance(step, Waits):
                seat.is_waiting = True
                return
        self._at(self.latency_s, slot, "dies")  # it was told to stop


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Measured:
    """
    One simulated run. `events_per_s` is what the state alone decided in a second of its own time.

    `blind_s` is None where all durations were known.
    """

    profile: str
    cases: int
    files: int
    slots: int
    bound_s: float
    blind_s: float | None
    makespan_s: float
    events: int
    events_per_s: float

    def __str__(self) -> str:
        blind = ""
        if self.blind_s is not None:
            blind = f"blind {self.blind_s:9.2f} s  ratio {self.makespan_s / self.blind_s:6.3f}  "
        return (
            f"{self.profile:>12} {self.cases:>7} cases {self.files:>6} files {self.slots:>5} slots  "
            f"bound {self.bound_s:9.2f} s  makespan {self.makespan_s:9.2f} s  "
            f"ratio {self.makespan_s / self.bound_s:6.3f}  {blind}"
            f"{self.events:>7} events  {self.events_per_s:>8.0f} events/s"
        )


def simulate(profile: Profile, slots: int, *, known: float, latency_s: float, seed: int = 1) -> Measured:
    """Run the profile once on that many slots; raises AssertionError where a case got no outcome."""
    plan = profile.plan(known, random.Random(seed))
    host = TimedHost(Suite(profile.files), latency_s)
    places = _places(slots, bool(profile.gpu_files), bool(profile.needs))
    store = MemoryStore(keeps_inputs=True)
    loop = Loop(RunState(plan, Limits(run_timeout_s=None)), host, places, clock=host.clock, store=store)
    finished, makespan_s = 0, 0.0
    for event in loop.events():
        if isinstance(event, CaseFinished):
            finished += 1
        elif isinstance(event, Ended):
            makespan_s = event.makespan_s
    cases = sum(len(file.cases) for file in profile.files.values())
    assert finished == cases, f"{cases - finished} cases got no outcome"
    return Measured(
        profile=profile.name,
        cases=cases,
        files=len(profile.files),
        slots=slots,
        bound_s=profile.bound_s(places),
        blind_s=profile.blind_s(places) if known < 1 else None,
        makespan_s=makespan_s,
        events=len(store.inputs),
        events_per_s=_decisions_per_s(plan, store.inputs),
    )


def _decisions_per_s(plan: Plan, inputs: Sequence[tuple[float, Input]]) -> float:
    """Decide the recorded run again with a fresh state, and nothing else on the clock."""
    state = RunState(plan, Limits(run_timeout_s=None))
    gc.collect()
    started = time.process_time()  # of this process alone: others may be busy on the machine
    for now, what in inputs:
        state.put(what, now)
    return len(inputs) / (time.process_time() - started)


def _places(slots: int, with_gpus: bool, with_boxes: bool = False) -> tuple[Place, ...]:
    """
    Workers of up to 8 slots; with GPUs, one worker in four has one (the first one always).

    With boxes, one in four has 8 GPUs of 24 GiB, 256 GiB of RAM, and so many more slots that none lies idle.
    """
    if with_boxes:
        return _boxes(slots)
    gpu = Capability(devices=(Device(kind="cuda"),), platform="linux", cpu_count=SLOTS_PER_WORKER)
    plain = Capability(platform="linux", cpu_count=SLOTS_PER_WORKER)
    counts = [min(SLOTS_PER_WORKER, slots - start) for start in range(0, slots, SLOTS_PER_WORKER)]
    return tuple(
        Place(worker=f"w{number}", capability=gpu if with_gpus and number % 4 == 0 else plain, slots=count)
        for number, count in enumerate(counts)
    )


def _boxes(slots: int) -> tuple[Place, ...]:
    gpus = tuple(Device(kind="cuda", index=at, memory_bytes=GPU_GIB * GIB) for at in range(GPUS_PER_WORKER))
    box = Capability(devices=gpus, platform="linux", cpu_count=32, memory_bytes=256 * GIB)
    plain = Capability(platform="linux", cpu_count=SLOTS_PER_WORKER, memory_bytes=64 * GIB)
    boxes = slots // 32
    made = [Place(worker=f"box{number}", capability=box, slots=16) for number in range(boxes)]
    left = slots - 16 * boxes
    counts = [min(SLOTS_PER_WORKER, left - start) for start in range(0, left, SLOTS_PER_WORKER)]
    return (*made, *(Place(worker=f"w{at}", capability=plain, slots=count) for at, count in enumerate(counts)))


INKS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#9a6700")


def plot(figures: Sequence[Measured]) -> str:
    """An SVG: makespan over the bound (up) by the number of slots (to the right, logarithmic), a line each profile."""
    slots = sorted({figure.slots for figure in figures})
    top = max(1.2, *(figure.makespan_s / figure.bound_s for figure in figures))

    def x(count: int) -> float:
        return 60 + 560 * math.log(count / slots[0]) / max(math.log(slots[-1] / slots[0]), 1e-9)

    def y(ratio: float) -> float:
        return 260 - 220 * (ratio - 1) / (top - 1)

    parts = [f'<text x="{x(count):.0f}" y="282" text-anchor="middle">{count}</text>' for count in slots]
    for ratio in (value for value in (1.0, 1.1, 1.2, 1.4, 1.6, 1.8) if value <= top):
        dash = ' stroke-dasharray="5 4"' if ratio == 1.1 else ""
        parts.append(f'<path d="M60 {y(ratio):.1f}H620" stroke="#8c959f" stroke-width=".6"{dash}/>')
        parts.append(f'<text x="52" y="{y(ratio) + 4:.1f}" text-anchor="end">{ratio:.2f}</text>')
    for number, name in enumerate(dict.fromkeys(figure.profile for figure in figures)):
        ink = INKS[number % len(INKS)]
        points = [(x(f.slots), y(f.makespan_s / f.bound_s)) for f in figures if f.profile == name]
        line = " ".join(f"{left:.1f},{up:.1f}" for left, up in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{ink}" stroke-width="2"/>')
        parts += [f'<circle cx="{left:.1f}" cy="{up:.1f}" r="3" fill="{ink}"/>' for left, up in points]
        parts.append(f'<text x="{70 + 110 * number}" y="24" fill="{ink}">{escape(name)}</text>')
    parts.append('<text x="340" y="304" text-anchor="middle">slots; dashed: 1.10 times the lower bound</text>')
    body = "\n".join(parts)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 315" font-family="sans-serif" font-size="12" '
        f'fill="#57606a" role="img" aria-label="makespan over the lower bound by slots">\n{body}\n</svg>\n'
    )


def main() -> int:
    """Print one line for each profile and number of slots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="*", default=[2, 8, 32, 128, 512, 2000])
    parser.add_argument("--profile", choices=sorted(PROFILES), nargs="*", default=[*PROFILES])
    parser.add_argument("--project", type=Path, nargs="*", default=[], help="projects that dt has run before")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--known", type=float, default=1.0, help="the share of the files that ran before")
    parser.add_argument("--latency", type=float, default=0.001, help="seconds that a message takes, either way")
    parser.add_argument("--plot", type=Path, help="draw the ratios into this SVG file")
    options = parser.parse_args()
    profiles = [PROFILES[name](options.cases, random.Random(7)) for name in options.profile]
    profiles += [from_history(path, options.cases, random.Random(7)) for path in options.project]
    figures: list[Measured] = []
    for profile in profiles:
        for slots in options.slots:
            measured = simulate(profile, slots, known=options.known, latency_s=options.latency)
            print(measured, flush=True)
            figures.append(measured)
    if options.plot:
        options.plot.write_text(plot(figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
