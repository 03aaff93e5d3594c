"""Random plans, machines and misfortunes: a host of simulated slots that watches what must never happen."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from dt_action.engine import Limits, RunState
from dt_action.engine.engine import MemoryStore
from dt_action.engine.loop import Loop
from dt_action.engine.run_state import MOST_FAILED_STARTS
from dt_action.model.event import (
    CaseFinished,
    CaseStarted,
    CaseUnplaced,
    Ended,
    Event,
)
from dt_action.model.hardware import Capability, Clause, Device, DeviceNeed, FileNeeds, Requirement
from dt_action.model.holding import Visible
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import Assign, Collection, Command, Died, Drop, Finished, Message, Started, Stop
from dt_action.ports import Happened, Heard, Left, Place
from support.fake_slot import Dies, FakeCase, FakeFile, FakeSlot, Suite, Told, Waits

CUDA = (Clause(any_of=(DeviceNeed(kind="cuda"),)),)
REQUIREMENTS = (
    Requirement(),
    Requirement(),
    Requirement(all_of=CUDA, enforced=True),
    Requirement(all_of=CUDA),
    Requirement(excludes=frozenset({"cuda"}), enforced=True),
    Requirement(browser="chrome", enforced=True),
    Requirement(exclusive=frozenset({"license"})),
    Requirement(exclusive=frozenset({"license", "port"}), all_of=CUDA, enforced=True),
    Requirement(min_memory_bytes=8, enforced=True),
    Requirement(priority=3),
    Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda", count=2),)),), enforced=True),
    Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda", memory_bytes=5),)),)),
    Requirement(all_of=CUDA, min_memory_bytes=7, enforced=True),
)
MACHINES = (
    Capability(),
    Capability(devices=(Device(kind="cuda"),), memory_bytes=16),
    Capability(browsers=frozenset({"chrome"})),
    Capability(devices=(Device(kind="cuda"),), browsers=frozenset({"chrome"})),
    Capability(devices=tuple(Device(kind="cuda", index=at, memory_bytes=12) for at in range(2)), memory_bytes=16),
)
FAIR_MOVES = 3000
"""So many moves in which nothing more goes wrong must be enough for any of these small runs."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A run to be simulated. `moves` are the choices that chance makes; when they are used up, the world is fair."""

    plan: Plan
    suite: dict[str, FakeFile]
    places: tuple[Place, ...]
    limits: Limits
    isolation: str
    is_whole: bool
    slot_retries: int
    moves: tuple[int, ...]


@dataclass(eq=False)
class Process:
    """A slot's process and both directions of its line."""

    name: str
    worker: str
    slot: FakeSlot
    visible: Visible | None = None
    is_alive: bool = True
    has_started: bool = False
    is_waiting: bool = False
    is_stopped: bool = False
    to_slot: deque[Command] = field(default_factory=deque)
    to_host: deque[Message] = field(default_factory=deque)
    finished: list[Message] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)


class World:
    """A host of simulated slots. In each move, chance picks what happens next; it watches what must never happen."""

    def __init__(self, scene: Scene) -> None:
        self.suite = Suite(scene.suite, is_whole=scene.is_whole, retries=scene.slot_retries)
        self.requirements = {
            case.id: _needs(scene, path).of(case.id.partition("::")[2])
            for path, file in scene.suite.items()
            for case in file.cases
        }
        self.machines = {place.worker: place for place in scene.places}
        self.processes: dict[str, Process] = {}
        self.lost: dict[str, str] = {}
        self.now = 0.0
        self.failed_on: dict[str, set[str]] = {}
        self.starts: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self._moves = deque(scene.moves)
        self._turn = 0
        self._joined = 0
        self._early_deaths = 0

    # --- the port -------------------------------------------------------------------------------------------------

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(name for name, process in self.processes.items() if process.is_alive)

    def start(self, slot: str, worker: str, *, is_plain: bool = False, visible: Visible | None = None) -> None:
        assert worker in self.machines, "a slot is started only on a worker that is there"
        there = [process for process in self.processes.values() if process.is_alive and process.worker == worker]
        assert sum(not process.is_stopped for process in there) < self.machines[worker].slots
        self.processes[slot] = Process(name=slot, worker=worker, slot=FakeSlot(self.suite), visible=visible)

    def send(self, slot: str, command: Command) -> None:
        process = self.processes[slot]
        if not process.is_alive:
            return
        process.to_slot.append(command)
        process.is_stopped |= isinstance(command, Stop)
        if isinstance(command, Drop):
            process.dropped |= {*command.cases, *command.files}
        for unit in command.units if isinstance(command, Assign) else ():
            for case in unit.cases:
                self._assert_elsewhere(case, process.worker)
            names = unit.cases or [case.id for case in self.suite.files[unit.file].cases]
            process.dropped -= {unit.file, *names}

    def has_program(self, slot: str) -> bool:
        """True where a program runs that the slot's process has started; False also where nobody can tell."""
        return False

    def output_bytes(self, slot: str) -> int:
        return 0

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        self._end(self.processes[slot])

    def close(self, *, grace_s: float = 0.0) -> None:
        """Nothing to end."""

    def poll(self, timeout_s: float) -> Iterator[Happened]:
        """A few moves; what they bring is heard at once."""
        for _ in range(3):
            yield from self._any_move()

    def _any_move(self) -> Iterator[Happened]:
        is_fair = not self._moves
        self._turn += 1
        assert self._turn < FAIR_MOVES, "the run must come to its end"
        choice = self._turn if is_fair else self._moves.popleft()
        kind, which = choice % 16, choice // 16
        if not is_fair and kind < 5:
            yield from self._misfortune(kind, which)
            return
        if not self.machines:
            yield self._join(which)
            return
        movable = [process for process in self.processes.values() if self._can_move(process)]
        if not movable:
            self.now += 0.1
            return
        yield from self._move(movable[which % len(movable)], kind)

    # --- moves ----------------------------------------------------------------------------------------------------

    def _misfortune(self, kind: int, which: int) -> Iterator[Happened]:
        living = [process for process in self.processes.values() if process.is_alive]
        if kind == 0 and living:
            process = living[which % len(living)]
            self._early_deaths += not process.has_started
            if process.has_started or self._early_deaths < MOST_FAILED_STARTS:  # else the run rightly gives up
                self._end(process)
        elif kind == 1 and self.machines:
            yield self._leave(sorted(self.machines)[which % len(self.machines)])
        elif kind == 2 and self._joined < 3:
            yield self._join(which)
        elif kind == 3:
            self.now += 0.1
        elif kind == 4 and living:
            process = living[which % len(living)]
            process.to_host.extend(process.finished[-2:])  # told once more, whenever it arrives

    def _can_move(self, process: Process) -> bool:
        if not process.is_alive:
            return True
        return bool(process.to_host or process.to_slot or not process.is_waiting)

    def _move(self, process: Process, kind: int) -> Iterator[Happened]:
        if process.to_host and (kind % 2 or not process.is_alive):
            yield self._heard(process)
        elif not process.is_alive:
            del self.processes[process.name]
            if process.name not in self.lost:
                yield Heard(slot=process.name, message=Died(reason="killed by the simulation", how="taken"))
        elif process.to_slot and (kind % 3 == 0 or process.is_waiting):
            process.slot.inbox.append(process.to_slot.popleft())
            process.is_waiting = False
        elif not process.is_waiting:
            self._step(process)
        elif process.to_host:
            yield self._heard(process)

    def _heard(self, process: Process) -> Heard:
        message = process.to_host.popleft()
        process.has_started |= isinstance(message, Collection)
        return Heard(slot=process.name, message=message)

    def _step(self, process: Process) -> None:
        step = next(process.slot.steps, None)
        if step is None or isinstance(step, Dies):
            self._end(process)
        elif isinstance(step, Waits):
            process.is_waiting = True
        elif isinstance(step, Told):
            process.to_host.append(step.message)
            if isinstance(step.message, Started):
                self._started(process, step.message.id)
            elif isinstance(step.message, Finished):
                process.finished.append(step.message)

    def _end(self, process: Process) -> None:
        if process.is_alive:
            process.is_alive = False
            self.excused.update(_started_in(process))

    def _leave(self, worker: str) -> Left:
        del self.machines[worker]
        for process in self.processes.values():
            if process.worker == worker and process.name not in self.lost:
                self.lost[process.name] = worker  # it goes on and tells late what nobody wants to know any more
                self.excused.update(_started_in(process))
        return Left(worker=worker, reason="gone")

    def _join(self, which: int) -> Place:
        self._joined += 1
        place = Place(worker=f"late{self._joined}", capability=MACHINES[which % len(MACHINES)], slots=1 + which % 2)
        self.machines[place.worker] = place
        return place

    # --- what must never happen -----------------------------------------------------------------------------------

    def _assert_elsewhere(self, case: str, worker: str) -> None:
        able = {name for name, place in self.machines.items() if place.capability.satisfies(self.requirements[case])}
        failed_on = self.failed_on.get(case, set())
        assert worker not in failed_on or able <= failed_on, f"{case} again on {worker}, not on {able - failed_on}"

    def _started(self, process: Process, case: str) -> None:
        if process.name in self.lost:
            return
        self.starts[case] += 1
        requirement = self.requirements[case]
        assert case not in process.dropped and case.partition("::")[0] not in process.dropped, f"{case} was dropped"
        if requirement.enforced:
            assert self.machines[process.worker].capability.satisfies(requirement), f"{case} on {process.worker}"
        self._assert_has_what_it_needs(process, case)
        self._assert_nothing_is_had_twice(self.machines[process.worker])
        for other in self.processes.values():
            if other is not process and other.is_alive and other.name not in self.lost and other.slot.running:
                assert other.slot.running != case, f"{case} runs twice at once"
                both = requirement.exclusive & self.requirements[other.slot.running].exclusive
                assert not both, f"{case} and {other.slot.running} at once"

    def _assert_has_what_it_needs(self, process: Process, case: str) -> None:
        needed, machine = self.requirements[case], self.machines[process.worker].capability
        seen = process.visible.devices if process.visible else ()
        if machine.satisfies(needed):
            assert replace(machine, devices=seen).satisfies(needed), f"{case} sees {seen}"

    def _assert_nothing_is_had_twice(self, place: Place) -> None:
        """No device and no memory of a worker that processes which live have more of than there is."""
        room = {device.index: device.memory_bytes or 1 for device in place.capability.devices}
        memory = place.capability.memory_bytes
        for process in self.processes.values():
            if not process.is_alive or process.worker != place.worker or process.name in self.lost:
                continue
            needed = self.requirements.get(process.slot.running)
            if needed is None or not place.capability.satisfies(needed):
                continue
            memory -= needed.min_memory_bytes
            for device in process.visible.devices if process.visible else ():
                sizes = [need.memory_bytes for clause in needed.all_of for need in clause.any_of]
                room[device.index] -= max(sizes, default=0) if device.memory_bytes and any(sizes) else room_of(device)
        assert all(left >= 0 for left in room.values()), f"{place.worker} has {room} left"
        assert memory >= 0 or not place.capability.memory_bytes, f"{place.worker} has {memory} bytes left"


def room_of(device: Device) -> int:
    """The units that a device is lent in."""
    return device.memory_bytes or 1


def _started_in(process: Process) -> list[str]:
    """What a slot that is no more had begun, as far as its host has not heard the end of it."""
    begun = [message.id for message in process.to_host if isinstance(message, (Started, Finished))]
    return list({*begun, process.slot.running} - {""})


def _needs(scene: Scene, path: str) -> FileNeeds:
    return next((file.needs for file in scene.plan.files if file.path == path), FileNeeds(path=path))


# --- random scenes ----------------------------------------------------------------------------------------------------


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    suite, planned = {}, []
    for number in range(draw(st.integers(1, 4))):
        path = f"test_{number}.py"
        suite[path] = draw(files(path))
        if draw(st.integers(0, 5)):
            planned.append(draw(planned_files(path, suite[path])))
    if not planned:
        planned.append(PlannedFile(path="test_gone.py", needs=FileNeeds(path="test_gone.py")))
    machines = draw(st.lists(st.sampled_from(MACHINES), min_size=1, max_size=3))
    places = tuple(
        Place(worker=f"w{number}", capability=machine, slots=draw(st.integers(1, 2)))
        for number, machine in enumerate(machines)
    )
    limits = Limits(
        retries=draw(st.integers(0, 2)),
        fail_fast=draw(st.sampled_from((0, 0, 0, 1, 2))),
        batch_s=draw(st.sampled_from((0.0, 0.25, 100.0))),
        window_s=draw(st.sampled_from((0.0, 0.25, 100.0))),
        steal_s=draw(st.sampled_from((0.0, 0.05))),
        case_timeout_s=draw(st.sampled_from((None, 0.5))),
    )
    plan = Plan(files=tuple(planned), is_selection=draw(st.booleans()))
    moves = tuple(draw(st.lists(st.integers(0, 255), max_size=200)))
    isolation = draw(st.sampled_from(("session", "session", "file")))
    return Scene(
        plan=plan,
        suite=suite,
        places=places,
        limits=limits,
        isolation=isolation,
        is_whole=draw(st.booleans()),
        slot_retries=draw(st.sampled_from((limits.retries, limits.retries, 0))),
        moves=moves,
    )


@st.composite
def files(draw: st.DrawFn, path: str) -> FakeFile:
    outcomes = st.sampled_from((("passed",), ("passed",), ("failed",), ("failed", "passed"), ("crashed", "passed")))
    groups = st.sampled_from(("", "", path, f"{path}::A", "@over files"))
    cases = [
        FakeCase(id=f"{path}::t{number}", duration_s=0.1, group=draw(groups), outcomes=draw(outcomes))
        for number in range(draw(st.integers(0, 6)))
    ]
    crashes = draw(st.sampled_from((0, 0, 0, 1, 5)))
    return FakeFile(cases=tuple(cases), collect_s=0.01, crashes=crashes, error=not draw(st.integers(0, 7)))


@st.composite
def planned_files(draw: st.DrawFn, path: str, file: FakeFile) -> PlannedFile:
    requirements = st.sampled_from(REQUIREMENTS)
    names = [case.id.partition("::")[2] for case in file.cases if draw(st.booleans())]
    needs = FileNeeds(path=path, default=draw(requirements), cases={name: draw(requirements) for name in names})
    known = {case.id: draw(st.sampled_from((0.01, 1.0))) for case in file.cases if draw(st.booleans())}
    return PlannedFile(path=path, needs=needs, expected_s=draw(st.sampled_from((0.0, 0.5, 5.0))), cases_s=known)


# --- a run of a scene -------------------------------------------------------------------------------------------------


def state_of(scene: Scene) -> RunState:
    """The state with which a scene begins."""
    return RunState(scene.plan, scene.limits, start=PytestStart(isolation=scene.isolation))


def run(scene: Scene, store: MemoryStore | None = None) -> tuple[World, list[Event]]:
    """Run a scene to its end; what must hold at each moment is checked."""
    world = World(scene)
    state = state_of(scene)
    return world, watch(Loop(state, world, scene.places, clock=lambda: world.now, store=store).events(), world)


def watch(events: Iterator[Event], world: World) -> list[Event]:
    """Listen to the end, and check what can be checked at the moment when it is told."""
    told: list[Event] = []
    gone_before: set[str] = set()
    for event in events:
        assert not (told and isinstance(told[-1], Ended)), f"{event} after the end"
        told.append(event)
        if isinstance(event, CaseStarted):
            assert event.slot not in gone_before, "a slot of a lost worker is not listened to"
        if isinstance(event, CaseFinished) and event.will_retry:
            world.failed_on.setdefault(event.case.id, set()).add(event.attempt.worker)
        if isinstance(event, CaseUnplaced):
            requirement = world.requirements.get(event.case.id)
            if requirement is not None and world.machines:
                assert not any(place.capability.satisfies(requirement) for place in world.machines.values())
        gone_before = set(world.lost)
    return told
