"""The course of a run, put in from outside: what slots tell goes to the brain, what it decides comes out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from dt_action.engine import Action, Dispatcher, Kill, Limits, Send, StartController, Tell
from dt_action.engine.execution import MOST_FAILED_STARTS, crash_detail, named_from, start_error, tell_brain, warned
from dt_action.hosts.process import slot_name
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt
from dt_action.model.event import Event, Notice, WorkerJoined
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.plan import Plan
from dt_action.remote import wire

_CONFTEST = re.compile(r"while loading conftest '(?P<path>[^'\n]+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No worker can start pytest for this run at all; `message` says what it said, `hint` what to do."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """
    A slot's process ended: how, in words, and the last of what it printed. `root` is where the tests lie.

    `with_worker` tells that it was not the process but its whole worker that is gone.
    """

    reason: str
    log_tail: str = ""
    root: str = ""
    with_worker: bool = False


Output: TypeAlias = Event | Send | Kill | Refusal


class Course:
    """
    Carries what slots tell to the brain, and what the brain decides to the slots. As pure as the brain itself.

    Every method takes what happened (`now`: seconds on any steady clock) and returns what is to be done, in order.
    The same calls in the same order give the same answers, so a record of the calls is a record of the run.
    `isolation` is `session` (a process lives as long as it can) or `file` (a fresh process for each file).
    """

    def __init__(self, plan: Plan, limits: Limits, *, isolation: str = "session", now: float = 0.0) -> None:
        self._plan = plan
        self._isolation = isolation
        self._limits = replace(limits, batch_s=0.0) if isolation == "file" else limits
        self._brain = Dispatcher(plan, self._limits, now=now)
        self._workers: dict[str, tuple[Capability, int]] = {}
        self._worker_of: dict[str, str] = {}
        self._starting: set[str] = set()
        self._leaving: set[str] = set()
        self._used: set[str] = set()
        self._sent: dict[str, int] = {}
        self._killed: dict[str, Kill] = {}
        self._failed_starts: dict[str, int] = {}
        self._told_workers: set[str] = set()
        self._names = 0
        self._is_ready = False
        self._is_based = False

    @property
    def is_finished(self) -> bool:
        """True when all is told: nothing follows but the slots' leaving."""
        return self._brain.is_finished

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers that take part."""
        return tuple(self._workers)

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots whose process lives, as far as was told."""
        return tuple(self._worker_of)

    @property
    def starting(self) -> int:
        """How many processes were asked for and are not ready yet."""
        return len(self._starting)

    def wants_slot_on(self, worker: str) -> bool:
        """True where one more process on `worker` would have something to do."""
        if worker not in self._workers or self.is_finished:
            return False
        if len(self._starting) >= max(1, self._brain.waiting if self._is_ready else len(self._plan.files)):
            return False
        return not self.resting_on(worker) and self._brain.wants_slot_on(worker)

    def resting_on(self, worker: str) -> list[str]:
        """The slots of `worker` that wait for work."""
        return [slot for slot in self._brain.resting if self._worker_of.get(slot) == worker]

    @property
    def has_learnt(self) -> bool:
        """True where the last tick must be in the record, whatever it returned."""
        return self._brain.has_learnt

    def needs_waiting(self) -> Iterator[tuple[Requirement, float]]:
        """What waits needs, each with the seconds that it is expected to take."""
        return self._brain.needs_waiting()

    def why_waiting(self) -> Iterator[tuple[str, str]]:
        """The file of each piece of work that waits, and what it waits for."""
        return self._brain.why_waiting()

    # --- workers and slots come and go ----------------------------------------------------------------------------

    def worker_joined(self, worker: str, capability: Capability, slots: int, now: float) -> list[Output]:
        """A machine with `slots` places takes part, or has changed."""
        self._workers[worker] = capability, slots
        return self._follow(self._brain.worker_joined(worker, capability, now))

    def worker_lost(self, worker: str, reason: str, now: float) -> list[Output]:
        """A machine is gone for good, and its slots with it."""
        if self._workers.pop(worker, None) is None:
            return []
        for slot in [slot for slot, owner in self._worker_of.items() if owner == worker]:
            self._forget(slot)
        return self._follow(self._brain.worker_lost(worker, reason, now))

    def slot_starting(self, worker: str) -> str:
        """A process is about to start on `worker`: the name for its slot."""
        slot = slot_name(self._names)
        self._names += 1
        self._worker_of[slot] = worker
        self._starting.add(slot)
        return slot

    @property
    def has_suspects(self) -> bool:
        """True where a file has killed a process that imported it ahead of its turn."""
        return bool(self._brain.suspects)

    def brief(self, slot: str) -> list[Output]:
        """Tell a process that is about to start which files it should not import ahead of their turn."""
        self._sent[slot] = self._sent.get(slot, 0) + 1
        return [Send(slot=slot, command=protocol.Avoid(files=tuple(sorted(self._brain.suspects))))]

    def release(self, slot: str, now: float) -> list[Output]:
        """Let the slot go as soon as it has nothing in hand: somebody else has more need of the place."""
        if slot not in self._worker_of or slot in self._starting:
            return []
        self._leaving.add(slot)
        return self._make_way(slot, now) if slot in self._brain.resting else []

    def died(self, slot: str, death: Death, now: float) -> list[Output]:
        """A slot's process ended, or its worker was lost."""
        worker, was_starting = self._worker_of.get(slot), slot in self._starting
        kill = self._killed.get(slot)
        self._forget(slot)
        if worker is None or self.is_finished:
            return []
        if was_starting and not self._brain.is_importing(slot):
            self._brain.slot_left(slot, now)
            death = replace(death, reason=kill.reason) if kill else death
            return [] if death.with_worker else self._failed_to_start(worker, death, now)
        reason, outcome = (kill.reason, kill.outcome) if kill else (death.reason, "crashed")
        detail = crash_detail(death.log_tail)
        return self._follow(self._brain.slot_lost(slot, outcome, reason, detail=detail, now=now))

    # --- what slots tell ------------------------------------------------------------------------------------------

    def heard(self, slot: str, message: protocol.Message, *, now: float, at: float) -> list[Output]:
        """A slot's process told something. `at` is Unix time in seconds."""
        if slot not in self._worker_of:
            return []
        match message:
            case protocol.Ready() if slot in self._starting and not self._brain.has_slot(slot):
                return self._ready(slot, message, now)
            case protocol.Alone() | protocol.NeedsController() if slot in self._starting:
                return self._follow([Send(slot=slot, command=protocol.Begin(reports=False))])
            case protocol.Collection() if slot in self._starting:
                self._starting.discard(slot)
                self._is_ready = True
                return self._follow(self._brain.collection_known(slot, message, now))
            case protocol.Spent():
                return self._follow(self._brain.slot_left(slot, now))
            case protocol.Warned():
                return [warned(message)]
            case protocol.Garbled() if slot in self._starting:
                return self._follow([Kill(slot=slot, outcome="crashed", reason=message.what)])
            case protocol.Want():  # one that crossed a command is no longer true; the slot asks again
                return self._follow(self._wants(slot, now)) if message.seen == self._sent.get(slot, 0) else []
        outputs = self._follow(tell_brain(self._brain, slot, message, now, at=at))
        return outputs + self._make_way(slot, now) if isinstance(message, protocol.Finished) else outputs

    def _ready(self, slot: str, message: protocol.Ready, now: float) -> list[Output]:
        worker = self._worker_of[slot]
        outputs: list[Output] = []
        if worker not in self._told_workers:
            self._told_workers.add(worker)
            capability, slots = self._workers[worker]
            environment = f"{capability.platform}, Python {message.python}, pytest {message.pytest}"
            outputs.append(WorkerJoined(worker=worker, slots=slots, capability=capability, environment=environment))
        if not self._is_based:
            self._is_based = True
            self._rebase(message.base, message.rootdir, now)
        return outputs + self._follow(self._brain.slot_joined(slot, worker, now))

    def _rebase(self, base: str, rootdir: str, now: float) -> None:
        """Name the planned files as pytest does: see `dt_action.engine.execution.named_from`."""
        if base == ".":
            return
        self._plan = self._plan.renamed(lambda path: named_from(rootdir, base, path))
        self._brain = Dispatcher(self._plan, self._limits, now=now)
        for worker, (capability, _) in self._workers.items():
            self._brain.worker_joined(worker, capability, now)

    def _failed_to_start(self, worker: str, death: Death, now: float) -> list[Output]:
        """pytest could not start: the same for every slot, unless it had worked before or somewhere else."""
        conftest = _CONFTEST.search(death.log_tail)
        self._failed_starts[worker] = self._failed_starts.get(worker, 0) + 1
        message = death.log_tail.strip().rpartition("\n")[2] or death.reason
        if not self._is_ready and conftest:
            return self._stop_for(_within(conftest["path"], death.root), message, death, now)
        if self._is_ready and self._failed_starts[worker] < MOST_FAILED_STARTS:
            return []
        has_workspace = death.reason != wire.NO_WORKSPACE
        why = f"pytest could not start there: {message}" if has_workspace else f"{death.reason} there: {message}"
        if len(self._workers) > 1:
            text = f"{worker} takes no part in this run: {why}"
            return [Notice(level="warning", text=text), *self.worker_lost(worker, why, now)]
        if self._is_ready:
            return self._stop_for("pytest", message, death, now)
        return [_refusal(worker, death), *self.cancel("stopped", why, now)]

    def _stop_for(self, path: str, message: str, death: Death, now: float) -> list[Output]:
        """End the run because of one file, which gets the blame."""
        attempt = Attempt(outcome="error", message=message, detail=death.log_tail)
        blamed = self._brain.cannot_start(path, attempt, now)
        return self._follow([*blamed, *self._brain.cancel("stopped", f"pytest could not start: {message}", now)])

    def _wants(self, slot: str, now: float) -> list[Action]:
        """Under file isolation a process that has had its file makes way for a fresh one."""
        if self._brain.holds_work(slot) or self.is_finished:
            return self._brain.wants(slot, now)
        if self._isolation == "file" and slot in self._used:
            self._leaving.add(slot)
        self._used.add(slot)
        if slot not in self._leaving:
            return self._brain.wants(slot, now)
        if self._brain.is_running(slot):
            return self._brain.let_go(slot)  # first the teardown, which belongs to the last test
        return [Send(slot=slot, command=protocol.Stop()), *self._brain.slot_left(slot, now)]

    def _make_way(self, slot: str, now: float) -> list[Output]:
        if slot not in self._leaving or self.is_finished or self._brain.holds_work(slot):
            return []
        return self._follow([Send(slot=slot, command=protocol.Stop()), *self._brain.slot_left(slot, now)])

    # --- time and the end -----------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Output]:
        """Time passed."""
        return self._follow(self._brain.tick(now))

    def cancel(self, status: str, reason: str, now: float) -> list[Output]:
        """End the run early: `cancelled`, `timeout` or `stopped`."""
        if status not in ("cancelled", "timeout", "stopped"):
            raise ValueError(status)
        return self._follow(self._brain.cancel(status, reason, now))  # type: ignore[arg-type]  # checked above

    # --- from the brain to the slots ------------------------------------------------------------------------------

    def _follow(self, actions: Sequence[Action]) -> list[Output]:
        return [self._output(action) for action in actions]

    def _output(self, action: Action) -> Output:
        match action:
            case Tell(event):
                return event
            case Kill():
                self._killed[action.slot] = action
                return action
            case StartController():
                raise AssertionError("a course has no controller session")
            case _:
                self._sent[action.slot] = self._sent.get(action.slot, 0) + 1
                return action

    def _forget(self, slot: str) -> None:
        self._worker_of.pop(slot, None)
        self._killed.pop(slot, None)
        self._sent.pop(slot, None)
        for names in (self._starting, self._leaving, self._used):
            names.discard(slot)


def _refusal(worker: str, death: Death) -> Refusal:
    if death.reason == wire.NO_WORKSPACE:
        return Refusal(
            message=f"{death.reason} on {worker}, and there is no other worker: {death.log_tail}",
            hint="has its disk room, and do --requirements and --setup work there?",
        )
    died = protocol.Died(reason=death.reason, log_tail=death.log_tail)
    error = start_error("the worker's interpreter", died)
    return Refusal(message=error.message, hint=error.hint)


def _within(path: str, root: str) -> str:
    """`path` as seen from `root`, with forward slashes."""
    path, root = path.replace("\\", "/"), root.replace("\\", "/").rstrip("/")
    return path.removeprefix(f"{root}/") if root else path
