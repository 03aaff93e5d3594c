"""One run of a plan: carries what the slots tell to the brain, and what the brain decides to the slots."""

from __future__ import annotations

import posixpath
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dt_action.engine import Action, Dispatcher, Kill, Limits, StartController, Tell
from dt_action.engine.attempts import attempt_of
from dt_action.engine.confirming import Confirming, Output, Settled
from dt_action.engine.controlling import Controlling, session_over
from dt_action.errors import ConfigurationError
from dt_action.hosts.process import slot_name
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt
from dt_action.model.event import CaseFinished, Ended, Event, Notice, OrderDependent, Warned, WorkerJoined
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan
from dt_action.model.slot_protocol import CONTROLLER, Died
from dt_action.ports import Happened, Joined, Left, SlotHost

TICK_S = 0.1
STOP_GRACE_S = 5.0
SAVE_GRACE_S = 60.0
"""A process that measures coverage, or whose plugins write reports, has something to do before it ends."""

MOST_FAILED_STARTS = 3
_CONFTEST = re.compile(r"while loading conftest '(?P<path>[^'\n]+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A worker as a host offers it: what it has, and how many slots may run on it at once."""

    worker: str
    capability: Capability
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    How a plan is executed. `isolation` is `session` (a process lives as long as it can), `file` (a fresh process for
    each file), or one that the host sees to. `root` shortens paths in messages, `python` names the interpreter there,
    and `measures` tells that coverage is measured. `start_controller`
    starts the controller session's process, heard of as the slot `controller`, where the host can.
    `is_plain` tells that there is one process only, which is what plain pytest's is.
    """

    limits: Limits
    isolation: str = "session"
    root: Path = Path()
    python: str = "python"
    measures: bool = False
    start_controller: Callable[[], None] | None = None
    is_plain: bool = False


class Execution:
    """
    Runs a plan on the slots of `host`, on the workers that `places` offer at the start and that join later.

    `clock` gives seconds on a steady clock; a simulation has its own.
    """

    def __init__(
        self,
        plan: Plan,
        terms: Terms,
        host: SlotHost,
        places: Sequence[Place],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._terms = terms
        self._host = host
        self._clock = clock
        self._unix_at_0 = time.time() - clock()
        self._places = {place.worker: place for place in places}
        self._limits = replace(terms.limits, batch_s=0.0) if terms.isolation == "file" else terms.limits
        self._brain = self._new_brain(plan)
        self._controlling = Controlling(is_possible=terms.start_controller is not None)
        self._is_alone = terms.is_plain
        self._confirming = Confirming(budget_s=self._limits.confirm_budget_s)
        self._is_based = False
        self._is_dealt = False
        self._ended: Ended | None = None
        self._greeted: set[str] = set()
        self._names = 0
        self._worker_of: dict[str, str] = {}
        self._starting: set[str] = set()
        self._failed_starts = 0
        self._used: set[str] = set()
        self._making_way: set[str] = set()
        self._retired: set[str] = set()
        self._dependent: set[str] = set()
        self._confirms_on = ""
        self._killed: dict[str, Kill] = {}
        self._printed: dict[str, int] = {}

    def events(self) -> Iterator[Event]:
        """See `ports.Fleet.execute`. Raises ConfigurationError where pytest cannot start or refuses its arguments."""
        self._start_first()
        next_tick = self._clock() + TICK_S
        while not self._brain.is_finished:
            for happened in self._host.poll(max(0.0, next_tick - self._clock())):
                yield from self._happened(happened)
                if self._brain.is_finished:
                    break
            if self._clock() >= next_tick:
                self._listen()
                yield from self._do(self._brain.tick(self._clock()))
                self._start_missing()
                yield from self._confirm()
                next_tick = self._clock() + TICK_S
        yield from self._finish()

    def _finish(self) -> Iterator[Event]:
        """Let the sessions end, with all that their plugins do then; the controller's last, over everything."""
        for slot in self._starting:  # nobody told it to stop
            if self._controlling.is_open:
                self._host.send(slot, protocol.Stop())
            else:
                self._host.kill(slot)
        has_reports = self._terms.measures or self._controlling.is_open
        yield from self._wait_for_ends(lambda: bool(self._host.slots), SAVE_GRACE_S if has_reports else STOP_GRACE_S)
        yield from self._do(self._controlling.stop())
        yield from self._wait_for_ends(lambda: self._controlling.is_open, SAVE_GRACE_S)
        self._host.close()
        if self._ended is not None:
            yield self._ended

    def _wait_for_ends(self, is_pending: Callable[[], bool], grace_s: float) -> Iterator[Event]:
        deadline = self._clock() + grace_s
        while is_pending() and self._clock() < deadline:
            for happened in self._host.poll(min(TICK_S, max(0.0, deadline - self._clock()))):
                yield from self._happened(happened)

    def _new_brain(self, plan: Plan) -> Dispatcher:
        places = sum(place.slots for place in self._places.values())
        brain = Dispatcher(plan, self._limits, now=self._clock(), places=places)
        for place in self._places.values():
            brain.worker_joined(place.worker, place.capability, self._clock())
        return brain

    # --- slots ----------------------------------------------------------------------------------------------------

    def _start_first(self) -> None:
        """One slot for each file, in turns over the workers, as far as their places go; and those that run already."""
        left = max(1, len(self._plan.files), len(self._host.slots))
        for turn in range(max((place.slots for place in self._places.values()), default=0)):
            for place in self._places.values():
                if turn < place.slots and left > 0:
                    self._start(place.worker)
                    left -= 1

    def _start(self, worker: str, *, is_plain: bool = False) -> str:
        slot = slot_name(self._names)
        self._names += 1
        self._worker_of[slot] = worker
        if slot not in self._host.slots:  # the first one may have been started before there was a plan
            self._host.start(slot, worker, is_plain=is_plain or self._is_alone)
        if self._plan.files:
            self._host.send(slot, protocol.Files(files=tuple(file.path for file in self._plan.files)))
        if self._brain.suspects:
            self._host.send(slot, protocol.Avoid(files=tuple(sorted(self._brain.suspects))))
        if not is_plain:
            self._starting.add(slot)
        return slot

    def _start_missing(self) -> None:
        """A new process for one that died, or one more where a file turned out to be worth splitting."""
        workers = (self._worker_of[slot] for slot in self._host.slots if slot not in self._retired)
        living = Counter(worker for worker in workers if worker in self._places)
        starting = {self._worker_of[slot] for slot in self._starting}
        for place in self._places.values():
            most = (0 if living.total() else 1) if self._is_alone else place.slots
            has_room = living[place.worker] < most and place.worker not in starting
            if has_room and self._brain.wants_slot_on(place.worker):
                self._start(place.worker)

    def _listen(self) -> None:
        if self._limits.no_output_timeout_s is None:
            return
        for slot in self._host.slots:
            printed = self._host.output_bytes(slot)
            if printed != self._printed.get(slot):
                self._printed[slot] = printed
                self._brain.heard(slot, self._clock())

    # --- from the host to the brain -------------------------------------------------------------------------------

    def _happened(self, happened: Happened) -> Iterator[Event]:
        now = self._clock()
        if isinstance(happened, Joined):
            self._places[happened.worker] = Place(
                worker=happened.worker, capability=happened.capability, slots=happened.slots
            )
            yield from self._do(self._brain.worker_joined(happened.worker, happened.capability, now))
        elif isinstance(happened, Left):
            self._places.pop(happened.worker, None)
            self._starting = {slot for slot in self._starting if self._worker_of[slot] != happened.worker}
            yield from self._do(self._brain.worker_lost(happened.worker, happened.reason, now))
        else:
            yield from self._heard(happened.slot, happened.message, now)

    def _heard(self, slot: str, message: protocol.Message, now: float) -> Iterator[Event]:
        if slot == CONTROLLER:
            yield from self._controller_heard(message, now)
        elif slot == self._confirming.slot:
            yield from self._settle(self._confirming.heard(message, sent=self._host.sent(slot)))
        elif slot not in self._retired:
            yield from self._slot_heard(slot, message, now)

    def _slot_heard(self, slot: str, message: protocol.Message, now: float) -> Iterator[Event]:
        yield from self._do(self._controlling.slot_heard(slot, message))
        match message:
            case protocol.Spent():
                yield from self._do(self._brain.slot_left(slot, now))
            case protocol.SessionEnded():
                if message.gate or message.error or message.summary or message.exit_code is not None:
                    yield session_over(slot, message)
            case protocol.Warned():
                yield warned(message)
            case Died():
                yield from self._do(self._died(slot, message, now))
            case _ if slot in self._starting:
                yield from self._heard_starting(slot, message, now)
            case protocol.Want():
                if message.seen == self._host.sent(slot):  # else it crosses a command, and another one will follow
                    yield from self._do(self._wants(slot, now))
            case _:
                yield from self._do(tell_brain(self._brain, slot, message, now, at=self._unix_at_0 + now))
                if isinstance(message, protocol.Finished):
                    yield from self._do(self._make_way(slot, now))

    def _heard_starting(self, slot: str, message: protocol.Message, now: float) -> Iterator[Event]:
        """A process that has not collected yet told something."""
        match message:
            case protocol.Alone():
                yield from self._go_alone(slot, message.reason)
            case protocol.NeedsController():
                yield from self._do(self._controlling.needed(slot, message.reasons))
            case protocol.Ready() if not self._brain.has_slot(slot):
                yield from self._ready(slot, message, now)
            case protocol.Garbled():
                yield from self._do([Kill(slot=slot, outcome="crashed", reason=message.what)])
            case protocol.Collection():
                self._starting.discard(slot)
                self._is_dealt, self._failed_starts = True, 0
                yield from self._do(self._brain.collection_known(slot, message, now))
            case _:
                yield from self._do(tell_brain(self._brain, slot, message, now, at=self._unix_at_0 + now))

    def _controller_heard(self, message: protocol.Message, now: float) -> Iterator[Event]:
        if isinstance(message, Died):
            if not self._is_dealt and self._controlling.state == "starting":
                raise start_error(self._terms.python, message)
            yield from self._do(self._controlling.died(f"the controller session: {message.reason}\n{message.log_tail}"))
        elif isinstance(message, protocol.Exit):
            yield from self._do(self._brain.cancel("stopped", message.reason, now, is_wanted=True))
        else:
            yield from self._do(self._controlling.heard(message))

    def _go_alone(self, slot: str, reason: str) -> Iterator[Event]:
        """Only one process can run these tests, as plain pytest does it: the others end before they began."""
        self._is_alone = True
        self._retired.update(self._host.slots)
        for other in self._host.slots:
            self._host.kill(other)
        self._starting.clear()
        yield Notice(level="info", text=f"all tests run in one process: {reason}")
        self._start(self._worker_of[slot])

    def _ready(self, slot: str, message: protocol.Ready, now: float) -> Iterator[Event]:
        place = self._places.get(self._worker_of[slot])
        if place is None:
            return  # its worker is lost
        if place.worker not in self._greeted:
            self._greeted.add(place.worker)
            environment = f"{place.capability.platform}, Python {message.python}, pytest {message.pytest}"
            yield WorkerJoined(
                worker=place.worker,
                slots=1 if self._is_alone else place.slots,
                capability=place.capability,
                environment=environment,
                cache=message.cache,
            )
        if not self._is_based:
            self._is_based = True
            self._rebase(message.base, message.rootdir)
        yield from self._do(self._brain.slot_joined(slot, place.worker, now))

    def _rebase(self, base: str, rootdir: str) -> None:
        """
        Name the planned files as pytest does, from its rootdir, which may lie above or below where we were started.

        `base` is the way from the rootdir to there, `rootdir` the way back.
        """
        if base == ".":
            return
        plan = self._plan.renamed(lambda path: named_from(rootdir, base, path))
        self._brain = self._new_brain(plan)

    def _died(self, slot: str, died: Died, now: float) -> list[Action | GoAlone]:
        gone = self._controlling.slot_gone(slot, died.reason)
        kill = self._killed.pop(slot, None)
        if slot in self._starting:
            self._starting.discard(slot)
            if not self._brain.is_importing(slot):
                left = self._brain.slot_left(slot, now)
                died = replace(died, reason=kill.reason) if kill else died
                return [*gone, *left, *self._failed_to_start(slot, died, now)]
        reason, outcome = (kill.reason, kill.outcome) if kill else (died.reason, "crashed")
        lost = self._brain.slot_lost(slot, outcome, reason, detail=crash_detail(died.log_tail), now=now)
        return [*gone, *lost]

    def _failed_to_start(self, slot: str, died: Died, now: float) -> list[Action | GoAlone]:
        """pytest itself could not start: the same for every slot, unless it had worked before, or was not to blame."""
        if self._brain.is_finished:
            return []
        conftest = _CONFTEST.search(died.log_tail)
        self._failed_starts += 1
        if (self._is_dealt or died.was_taken) and self._failed_starts < MOST_FAILED_STARTS:
            return []
        if not self._is_dealt and not self._is_alone and conftest is None:
            last = died.log_tail.strip().rpartition("\n")[2]
            return [GoAlone(slot=slot, reason=f"as one of several, pytest did not start: {last or died.reason}")]
        if conftest is None and not self._is_dealt:
            raise start_error(self._terms.python, died)
        root = Path(died.root) if died.root else self._terms.root
        id = _relative(conftest["path"], root) if conftest else "pytest"
        message = died.log_tail.strip().rpartition("\n")[2] or died.reason
        attempt = Attempt(outcome="error", message=message, detail=died.log_tail)
        blamed = self._brain.cannot_start(id, attempt, now)
        return [*blamed, *self._brain.cancel("stopped", f"pytest could not start: {message}", now)]

    # --- failures that plain pytest might not have ----------------------------------------------------------------

    def _confirm(self) -> Iterator[Event]:
        """Run doubtful failures as plain pytest would, in the place of a slot that has nothing else to do."""
        now = self._clock()
        if self._confirming.is_under_way:
            yield from self._settle(self._confirming.tick(now))
        elif self._brain.can_confirm:
            doubts, order = self._brain.doubts()
            self._confirms_on = doubts[0].attempt.worker
            here = [doubt for doubt in doubts if doubt.attempt.worker == self._confirms_on]
            yield from self._settle(self._confirming.begin(here, order, self._brain.seconds_of))
        if self._confirming.wants_process and not self._brain.is_finished:
            yield from self._start_confirming(now)

    def _start_confirming(self, now: float) -> Iterator[Event]:
        """On the machine where it failed, since another one may have other devices."""
        place = self._places.get(self._confirms_on)
        if place is None:
            yield from self._settle(self._confirming.give_up())
            return
        living = sum(self._worker_of[slot] == place.worker for slot in self._host.slots if slot not in self._retired)
        if living < place.slots:
            slot = self._start(place.worker, is_plain=True)
            self._confirming.started(slot, place.worker, now)
        else:
            yield from self._do(self._brain.dismiss_idle(place.worker, now))

    def _settle(self, outputs: Sequence[Output]) -> Iterator[Event]:
        for output in outputs:
            if isinstance(output, Settled):
                yield from self._settled(output)
            else:
                yield from self._do([output])

    def _settled(self, settled: Settled) -> Iterator[Event]:
        doubt = settled.doubt
        if settled.passes and doubt.file not in self._dependent:
            self._dependent.add(doubt.file)
            yield OrderDependent(file=doubt.file, was_split=doubt.was_split)
        yield from self._do(self._brain.settle(doubt.case, settled.attempt, self._clock()))

    # --- a fresh process for each file ----------------------------------------------------------------------------

    def _wants(self, slot: str, now: float) -> list[Action]:
        """Under file isolation a process that has had its file makes way for a fresh one."""
        if self._terms.isolation != "file" or self._brain.holds_work(slot):
            return self._brain.wants(slot, now)
        if slot not in self._used:
            self._used.add(slot)
            return self._brain.wants(slot, now)
        self._making_way.add(slot)
        if self._brain.is_running(slot):
            return self._brain.let_go(slot)  # first the teardown, which belongs to the last test
        return self._make_way(slot, now)

    def _make_way(self, slot: str, now: float) -> list[Action]:
        if slot not in self._making_way or self._brain.is_finished:
            return []
        self._making_way.discard(slot)
        left = self._brain.slot_left(slot, now)
        self._host.send(slot, protocol.Stop())
        if self._worker_of[slot] in self._places:
            self._start(self._worker_of[slot])
        return left

    # --- from the brain to the slots ------------------------------------------------------------------------------

    def _do(self, actions: Sequence[Action | GoAlone]) -> Iterator[Event]:
        for action in actions:
            if isinstance(action, Tell):
                yield from self._tell(action.event)
            elif isinstance(action, Kill):
                self._killed[action.slot] = action
                self._host.kill(action.slot, show_where=True)
            elif isinstance(action, StartController):
                if self._terms.start_controller is not None:
                    self._terms.start_controller()
            elif isinstance(action, GoAlone):
                yield from self._go_alone(action.slot, action.reason)
            else:
                self._host.send(action.slot, action.command)

    def _tell(self, event: Event) -> Iterator[Event]:
        """Pass an event on: what plain pytest would tell its plugins, to the controller session, too."""
        yield from self._do(self._controlling.told(event))
        if isinstance(event, Ended):
            self._ended = event  # it is the last one, and the sessions are still to end
            return
        if isinstance(event, CaseFinished) and event.attempt.reports:
            event = replace(event, attempt=replace(event.attempt, reports=()))
        yield event


@dataclass(frozen=True, slots=True)
class GoAlone:
    """Run all tests in one process: several do not even start."""

    slot: str
    reason: str


def warned(message: protocol.Warned) -> Warned:
    """A warning that a slot told, for those who listen to the run."""
    return Warned(category=message.category, text=message.text, file=message.file, line=message.line, case=message.id)


def tell_brain(brain: Dispatcher, slot: str, message: protocol.Message, now: float, *, at: float) -> list[Action]:
    """
    Pass on what a slot told while it worked; returns what is to be done. `at` is `now` as Unix time in seconds.

    `Ready`, `Want` and `Died` are not among it: they are about the slot itself, which its host or coordinator minds.
    """
    match message:
        case protocol.Started():
            return brain.case_started(slot, message.id, now, at=at)
        case protocol.Finished():
            return brain.case_finished(slot, message.id, attempt_of(message), now)
        case protocol.Importing():
            return brain.importing(slot, message.file, now)
        case protocol.Collecting():
            return brain.collecting(slot, message.file, now)
        case protocol.Collected():
            return brain.collected(slot, message, now)
        case protocol.Uncollectable():
            attempt = Attempt(outcome="error", message=message.message, detail=message.detail, slot=slot)
            return brain.uncollectable(slot, message.id, attempt, now)
        case protocol.FileSkipped():
            return brain.file_skipped(slot, message.file, message.reason)
        case protocol.Printed():
            return brain.heard(slot, now)
        case protocol.Exit():
            return brain.cancel("stopped", message.reason, now, is_wanted=True)
        case protocol.Ready() | protocol.Alone() | protocol.NeedsController():
            return brain.distrusted(slot, "expected no second start of the session", now)
        case protocol.Configured() | protocol.NodeConfigured():
            return brain.distrusted(slot, f"expected no word of a controller session, found {message.word}", now)
        case protocol.Garbled():
            return brain.distrusted(slot, message.what, now)
    return []


def named_from(rootdir: str, base: str, path: str) -> str:
    """`path` as pytest names it. `base` is the way from its rootdir to where it was started, `rootdir` the way back."""
    if rootdir.startswith(".."):
        return posixpath.normpath(posixpath.join(base, path))
    return posixpath.relpath(path, rootdir)


def crash_detail(log_tail: str) -> str:
    """The part of a dead process's output that says why: from faulthandler's report on, else the last lines."""
    start = log_tail.rfind("Fatal Python error")
    return log_tail[start:] if start >= 0 else "\n".join(log_tail.splitlines()[-20:])


def _relative(path: str, root: Path) -> str:
    try:
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path


def start_error(python: str, died: Died) -> ConfigurationError:
    """Why pytest did not start, in words that say what to do."""
    if "No module named 'pytest'" in died.log_tail:
        return ConfigurationError(
            f"{python} has no pytest",
            hint=f"install it (`{python} -m pip install pytest`), or name the tests' interpreter with --python",
        )
    said = died.log_tail.strip() or "nothing"
    if "coverage cannot be imported" in said:
        return ConfigurationError(
            f"--coverage needs coverage.py in the tests' environment, and {python} has none; it said:\n{said}",
            hint=f"install it: {python} -m pip install coverage",
        )
    if "coverage cannot be measured" in said:
        return ConfigurationError(said, hint="check the project's settings for coverage.py (docs/coverage.md)")
    return ConfigurationError(
        f"pytest did not start ({died.reason}); it said:\n{said}",
        hint="check --test-dir, --pytest-args, pytest.ini",
    )
