"""The state of a run: what happens is put in, what is to be done comes out. Pure, and the same behind every fleet."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dt_action.engine.actions import Action, Discard, Kill, Limits, Output, Send, Start, Tell
from dt_action.engine.attempts import attempt_of
from dt_action.engine.brain import Dispatcher
from dt_action.engine.confirming import Confirming, Settled
from dt_action.engine.controlling import Controlling, EarlyWarnings, session_over, told_at_start
from dt_action.engine.inputs import Cancel, Hear, Input, Join, Leave, Open, Release, Reserve, Tick
from dt_action.engine.interrupting import GRACE_S, Interrupting, met_by
from dt_action.engine.starting import conftest_of, crash_detail, last_words, refusal
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt
from dt_action.model.event import (
    CaseFinished,
    Ended,
    FilesKnown,
    Notice,
    OrderDependent,
    PropertyRecorded,
    Warned,
    WorkerJoined,
)
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.holding import Holding
from dt_action.model.plan import Plan
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import CONTROLLER, Died, slot_name

MOST_FAILED_STARTS = 3
"""So many processes in a row may fail to start on a worker where others have started, or may still."""

STOP_GRACE_S = 5.0
SAVE_GRACE_S = 60.0
"""A process that measures coverage, or whose plugins write reports, has something to do before it ends."""


@dataclass(slots=True, kw_only=True)
class _Process:
    """
    A slot's process. `sent` counts the commands for it.

    It is `is_starting` until it has collected, `is_leaving` when it is to stop as soon as it has nothing in hand,
    `is_stopped` once it was told to, or leaves of its own will. One that `is_evicted`, since `evicted_at`, has some
    seconds to tear down. One that `confirms` runs failures once more, as plain pytest runs them. `kill` is why it is
    being ended, `exit_code` the one with which its session ended before it had collected.
    """

    worker: str
    is_starting: bool = True
    confirms: bool = False
    is_used: bool = False
    is_leaving: bool = False
    is_stopped: bool = False
    is_evicted: bool = False
    evicted_at: float | None = None
    sent: int = 0
    kill: Kill | None = None
    exit_code: int | None = None


class RunState:
    """
    Carries what slots tell to the brain, and what the brain decides to the slots.

    `put` takes what happened, with the seconds that a steady clock shows, and returns what is to be done, in order.
    The same inputs at the same times give the same outputs, so a record of the inputs is a record of the run.

    `start` is how pytest is started; isolation by `file` or `test` gives each a fresh process. `python` names the
    tests' interpreter in messages. `has_controller` tells that the fleet can start a controller session, `is_alone`
    that one process runs everything, as plain pytest's does. When nothing more is to be run, the sessions end, with
    all that their plugins do then, and the controller's last; after that the run is over, and `Ended` is told.
    """

    def __init__(
        self,
        plan: Plan,
        limits: Limits,
        *,
        start: PytestStart | None = None,
        python: str = "python",
        has_controller: bool = False,
        is_alone: bool = False,
        now: float = 0.0,
    ) -> None:
        self.is_over = False
        self._asked = self._plan = plan
        self._start = start or PytestStart()
        self._has_fresh_processes = self._start.isolation in ("file", "test")
        self._python = python
        one_by_one = self._start.isolation == "test"
        self._limits = replace(limits, batch_s=0.0, one_by_one=one_by_one) if self._has_fresh_processes else limits
        self._brain = Dispatcher(plan, self._limits, now=now)
        if is_alone:
            self._brain.run_in_one_process()
        self._controlling = Controlling(is_possible=has_controller)
        self._early_warnings = EarlyWarnings()
        self._confirming = Confirming(budget_s=limits.confirm_budget_s)
        self._interrupting = Interrupting()
        self._confirms_on = ""
        self._has_waited_for_place = False
        self._dependent: set[str] = set()
        self._has_learnt = False
        self._is_alone = is_alone
        self._workers: dict[str, tuple[Capability, int]] = {}
        self._processes: dict[str, _Process] = {}
        self._failed_starts: dict[str, int] = {}
        self._told_workers: set[str] = set()
        self._opened = 0
        self._is_based = False
        self._is_ready = False
        self._ended: Ended | None = None
        self._closes_by: float | None = None
        self._controller_by: float | None = None

    def put(self, what: Input, now: float) -> list[Output]:
        """Take in what happened; what is to be done."""
        if self.is_over:
            return []
        outputs = self._put(what, now)
        if self._interrupting.is_due(now, has_living=self._has_living_slots) and not self.is_finished:
            outputs += self._end_interrupted(now)
        if self.is_finished and self._closes_by is None:
            outputs += self._begin_closing(now)
        return outputs + self._close(now) if self.is_finished else outputs

    def _put(self, what: Input, now: float) -> list[Output]:
        match what:
            case Hear():
                return [output for message in what.messages for output in self._hear(what.slot, message, what.at, now)]
            case Tick():
                overdue = self._brain.overdue(now)
                if overdue and not self._interrupting.asked:
                    return self._interrupt(Cancel(status="timeout", reason=overdue), now)
                outputs = [*self._follow(self._brain.tick(now)), *self._confirm(now), *self._end_evicted(now)]
                return [*outputs, *self._make_room(now)]
            case Open():
                return self._open(what.worker, now)
            case Join():
                self._workers[what.worker] = what.capability, what.slots
                return self._follow(self._brain.worker_joined(what.worker, what.capability, now))
            case Leave():
                return self._leave(what.worker, what.reason, now)
            case Release():
                return self._release(what.slot, now)
            case Reserve():
                return self._follow(self._brain.reserve_elsewhere(what.names, what.lent))
            case Cancel():
                return self._interrupt(what, now)

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """True when nothing more is to be run: what follows is the end of the sessions."""
        return self._brain.is_finished

    @property
    def is_ready(self) -> bool:
        """True once pytest has started somewhere."""
        return self._is_ready

    @property
    def has_learnt(self) -> bool:
        """True where the last tick must be in the record, whatever it returned."""
        return self._brain.has_learnt or self._has_learnt

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers that take part."""
        return tuple(self._workers)

    @property
    def next_slot(self) -> str:
        """The name that the next slot to be opened gets."""
        return slot_name(self._opened)

    @property
    def starting(self) -> tuple[str, ...]:
        """The slots whose process is not ready yet."""
        return tuple(slot for slot, process in self._processes.items() if process.is_starting)

    def maybe_stalled(self, now: float) -> list[str]:
        """The slots that may soon be taken to wait in vain: their host should tell where they are at work."""
        return self._brain.maybe_stalled(now)

    def room_on(self, worker: str) -> int:
        """How many more slots of the run the worker has places for, if all of them are the run's."""
        _, slots = self._workers.get(worker, (None, 0))
        return slots - sum(p.worker == worker and not p.is_stopped for p in self._processes.values())

    def wants_slot_on(self, worker: str) -> bool:
        """True where one more process on `worker` would have something to do."""
        if worker not in self._workers or self.is_finished or self._interrupting.asked:
            return False
        if self._is_alone and any(not process.is_stopped for process in self._processes.values()):
            return False
        if (self._confirming.wants_process and worker == self._confirms_on) or self._brain.wants_seat_on(worker):
            return True
        if len(self.starting) >= max(1, len(self._brain.backlog) if self._is_ready else len(self._plan.files)):
            return False
        return not self.resting_on(worker) and self._brain.wants_slot_on(worker)

    def resting_on(self, worker: str) -> list[str]:
        """The slots of `worker` that wait for work."""
        here = {slot for slot, process in self._processes.items() if process.worker == worker}
        return [slot for slot in self._brain.resting if slot in here]

    def is_resting(self, slot: str) -> bool:
        """True where the slot waits for work."""
        return slot in self._brain.resting

    @property
    def reserved(self) -> frozenset[str]:
        """What tests of this run have for themselves now, by name."""
        return frozenset() if self.is_over else self._brain.locks.reserved

    @property
    def reserved_elsewhere(self) -> frozenset[str]:
        """The same of other runs, as far as was told."""
        return self._brain.locks.elsewhere

    @property
    def lending_version(self) -> int:
        """A number that changes with what is lent."""
        return self._brain.backlog.lending.version

    @property
    def lent(self) -> dict[str, Holding]:
        """What tests of this run have of each worker now."""
        return {} if self.is_over else self._brain.backlog.lending.lent()

    @property
    def lent_elsewhere(self) -> Mapping[str, Holding]:
        """The same of other runs, as far as was told."""
        return self._brain.backlog.lending.elsewhere

    def needs_waiting(self) -> Iterator[tuple[Requirement, float]]:
        """What waits needs, each with the seconds that it is expected to take."""
        return ((piece.requirement, piece.expected_s) for piece in self._brain.backlog)

    def why_waiting(self) -> Iterator[tuple[str, str]]:
        """The file of each piece of work that waits, and what it waits for."""
        return self._brain.backlog.why_waiting(self._brain.locks.locked)

    # --- workers and slots come and go ----------------------------------------------------------------------------

    def _leave(self, worker: str, reason: str, now: float) -> list[Output]:
        if self._workers.pop(worker, None) is None:
            return []
        outputs: list[Output] = []
        for slot in [slot for slot, process in self._processes.items() if process.worker == worker]:
            process = self._processes.pop(slot)
            if process.confirms:
                died = Died(reason=reason, how="lost")
                outputs += self._settle(self._confirming.hear(died, sent=process.sent), now)
            outputs += self._follow(self._controlling.slot_gone(slot, reason))
            outputs += self._follow(self._brain.process_gone(slot, now))
        return outputs + self._follow(self._brain.worker_lost(worker, reason, now))

    def _open(self, worker: str, now: float) -> list[Output]:
        slot = self.next_slot
        self._opened += 1
        confirms = self._confirming.wants_process and worker == self._confirms_on
        self._processes[slot] = _Process(worker=worker, is_starting=not confirms, confirms=confirms)
        if confirms:
            self._confirming.started(slot, worker, now)
        commands: list[protocol.Command] = []
        if self._asked.files:
            commands.append(protocol.Files(files=tuple(file.path for file in self._asked.files)))
        if self._brain.suspects:
            commands.append(protocol.Avoid(files=tuple(sorted(self._brain.suspects))))
        told = self._follow([Send(slot=slot, command=command) for command in commands])
        is_plain = self._is_alone or (confirms and not self._controlling.is_missed)
        visible = self._brain.start(slot, worker, sees_none=confirms)
        return [Start(slot=slot, worker=worker, is_plain=is_plain, visible=visible), *told]

    def _release(self, slot: str, now: float) -> list[Output]:
        process = self._processes.get(slot)
        if process is None or process.is_starting:
            return []
        process.is_leaving = True
        held = self._brain.slots.get(slot)
        if held is not None and held.is_held:
            return self._follow(self._brain.let_go(slot))
        if self.is_resting(slot):
            return self._make_way(slot, process, now)
        return self._follow(self._brain.take_rest(slot))

    def _discard(self, slots: Sequence[str], now: float) -> list[Output]:
        """Processes that are not wanted after all."""
        outputs: list[Output] = []
        for slot in slots:
            del self._processes[slot]
            outputs.append(Discard(slot=slot))
            outputs += self._follow([*self._controlling.slot_gone(slot), *self._brain.slot_left(slot, now)])
            outputs += self._follow(self._brain.process_gone(slot, now))
        return outputs

    def _go_alone(self, reason: str, now: float) -> list[Output]:
        """Only one process can run these tests, as plain pytest does it: the others end before they began."""
        self._is_alone = True
        self._brain.run_in_one_process()
        told = Tell(Notice(level="info", text=f"all tests run in one process: {reason}"))
        return [told, *self._discard([*self._processes], now)]

    def _died(self, slot: str, process: _Process, died: Died, now: float) -> list[Output]:
        del self._processes[slot]
        gone = self._follow(self._controlling.slot_gone(slot, died.reason))
        if process.kill is not None:
            died = replace(died, reason=process.kill.reason)
        if not self._interrupting.asked:
            gone += self._follow(self._brain.process_gone(slot, now))
        if self.is_finished or self._interrupting.asked:
            return gone
        state = self._brain.slots.get(slot)
        is_importing = state is not None and bool(state.importing)
        if process.is_starting and (died.how == "lost" or not is_importing):
            left = self._follow(self._brain.slot_left(slot, now))
            failed = [] if died.how == "lost" else self._failed_to_start(process, died, now)
            return [*gone, *left, *failed]
        outcome = process.kill.outcome if process.kill else "crashed"
        detail = crash_detail(died.log_tail)
        return gone + self._follow(self._brain.slot_lost(slot, outcome, died.reason, detail=detail, now=now))

    def _failed_to_start(self, process: _Process, died: Died, now: float) -> list[Output]:
        """pytest could not start: the same for every slot, unless it had worked before, or was not to blame."""
        worker = process.worker
        self._failed_starts[worker] = self._failed_starts.get(worker, 0) + 1
        message, conftest = last_words(died), conftest_of(died)
        if not self._is_ready and conftest:
            return self._stop_for(conftest, message, died, now)
        if (self._is_ready or died.how == "taken") and self._failed_starts[worker] < MOST_FAILED_STARTS:
            return []
        why = f"{died.reason if died.how == 'unmade' else 'pytest could not start'} there: {message}"
        if len(self._workers) > 1:
            told = Tell(Notice(level="warning", text=f"{worker} takes no part in this run: {why}"))
            others = [slot for slot, process in self._processes.items() if process.worker == worker]
            return [told, *self._discard(others, now), *self._leave(worker, why, now)]
        if self._is_ready:
            return self._stop_for(conftest or "pytest", message, died, now)
        if not self._is_alone and died.how == "ended":
            return self._go_alone(f"as one of several, pytest did not start: {message}", now)
        refused = refusal(died, python=self._python, worker=worker, exit_code=process.exit_code)
        return [refused, *self._follow(self._brain.cancel("stopped", why, now))]

    def _stop_for(self, path: str, message: str, died: Died, now: float) -> list[Output]:
        """End the run because of one file, which gets the blame."""
        attempt = Attempt(outcome="error", message=message, detail=died.log_tail)
        blamed = self._brain.cannot_start(path, attempt, now)
        return self._follow([*blamed, *self._brain.cancel("stopped", f"pytest could not start: {message}", now)])

    # --- what slots tell ------------------------------------------------------------------------------------------

    def _hear(self, slot: str, message: protocol.Message, at: float, now: float) -> list[Output]:
        if slot == CONTROLLER:
            return self._hear_controller(message, now)
        process = self._processes.get(slot)
        if process is None:
            return []
        if process.confirms:
            return self._hear_confirming(slot, process, message, now)
        if isinstance(message, protocol.Warned) and self._early_warnings.is_repeated(slot, message):
            return []
        outputs = self._follow(self._controlling.slot_heard(slot, message))
        match message:
            case Died():
                return outputs + self._died(slot, process, message, now)
            case protocol.Interrupted():
                self._interrupting.heard(met_by(self._brain.slots.values(), now), slot, message)
                return outputs
            case protocol.Spent():
                process.is_stopped = True
                return outputs + self._follow(self._brain.slot_left(slot, now))
            case protocol.SessionEnded():
                return outputs + self._session_ended(slot, process, message)
            case protocol.SettingUp() | protocol.Working():
                return outputs + self._follow(self._brain.setting_up(slot, message, now))
            case protocol.Warned():
                return [*outputs, Tell(_warned(message))]
            case protocol.SuiteProperty():
                return [*outputs, Tell(PropertyRecorded(name=message.name, value=message.value))]
        if process.is_starting:
            return outputs + self._hear_starting(slot, process, message, at, now)
        return outputs + self._hear_working(slot, process, message, at, now)

    def _session_ended(self, slot: str, process: _Process, message: protocol.SessionEnded) -> list[Output]:
        """pytest's session is over. Of one that had not collected, its process's end tells what is to be done."""
        if process.is_starting:
            process.exit_code = message.exit_code
            return []
        if self._interrupting.asked or process.is_evicted:
            message = replace(message, gate=False)  # the interrupt made the status what it is
        is_news = message.gate or message.error or message.summary or message.exit_code is not None
        return [Tell(session_over(slot, message))] if is_news else []

    def _hear_starting(
        self, slot: str, process: _Process, message: protocol.Message, at: float, now: float
    ) -> list[Output]:
        """A process that has not collected yet told something."""
        match message:
            case protocol.Alone():
                return self._go_alone(message.reason, now)
            case protocol.NeedsController():
                return self._follow(self._controlling.needed(slot, message.reasons))
            case protocol.Ready() if slot not in self._brain.slots:
                return self._ready(slot, process, message, now)
            case protocol.Garbled():
                return self._follow([Kill(slot=slot, outcome="crashed", reason=message.what)])
            case protocol.Collection():
                process.is_starting = False
                self._is_ready = True
                self._failed_starts.pop(process.worker, None)
                places = 1 if self._is_alone else sum(slots for _, slots in self._workers.values())
                return self._follow(self._brain.collection_known(slot, message, now, places=places))
        return self._follow(self._tell_brain(slot, message, at, now))

    def _hear_working(
        self, slot: str, process: _Process, message: protocol.Message, at: float, now: float
    ) -> list[Output]:
        """A process that takes work told something."""
        if isinstance(message, protocol.Want):  # one that crossed a command is no longer true; the slot asks again
            return self._follow(self._wants(slot, process, now)) if message.seen == process.sent else []
        outputs = self._follow(self._tell_brain(slot, message, at, now))
        return outputs + self._make_way(slot, process, now) if isinstance(message, protocol.Finished) else outputs

    def _hear_confirming(self, slot: str, process: _Process, message: protocol.Message, now: float) -> list[Output]:
        """
        A process that runs failures once more told something.

        Where there is a controller session, it is a node of it: by itself it would write, and first clear away, what
        the reports of the whole run go to. What it collects has been told.
        """
        outputs: list[Output] = []
        match message:
            case Died():
                del self._processes[slot]
                outputs = self._follow(self._controlling.slot_gone(slot, message.reason))
                outputs += self._follow(self._brain.process_gone(slot, now))
            case protocol.NeedsController():
                outputs = self._follow(self._controlling.needed(slot, message.reasons, confirms=True))
            case protocol.Ready() | protocol.Output():
                outputs = self._follow(self._controlling.slot_heard(slot, message))
        return outputs + self._settle(self._confirming.hear(message, sent=process.sent), now)

    def _hear_controller(self, message: protocol.Message, now: float) -> list[Output]:
        if isinstance(message, Died):
            if not self._is_ready and self._controlling.state == "starting":
                return self._go_alone(f"as the session of several, pytest did not start: {last_words(message)}", now)
            reason = f"the controller session: {message.reason}\n{message.log_tail}"
            return self._follow(self._controlling.died(reason))
        if isinstance(message, protocol.Exit):
            return self._follow(self._brain.cancel("stopped", message.reason, now, is_wanted=True))
        return self._follow(self._controlling.hear(message))

    def _tell_brain(self, slot: str, message: protocol.Message, at: float, now: float) -> list[Action]:
        """Pass on what a slot told while it worked."""
        brain = self._brain
        match message:
            case protocol.Started():
                return brain.case_started(slot, message.id, now, at=at)
            case protocol.Finished():
                return brain.case_finished(slot, message.id, attempt_of(message), now, made_files=message.made_files)
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
                return brain.note_output(slot, now)
            case protocol.Exit():
                return brain.cancel("stopped", message.reason, now, is_wanted=True)
            case protocol.Ready() | protocol.Collection() | protocol.Alone() | protocol.NeedsController():
                return brain.distrusted(slot, "expected no second start of the session", now)
            case protocol.Configured() | protocol.NodeConfigured():
                return brain.distrusted(slot, f"expected no word of a controller session, found {message.word}", now)
            case protocol.Garbled():
                return brain.distrusted(slot, message.what, now)
        return []

    def _ready(self, slot: str, process: _Process, ready: protocol.Ready, now: float) -> list[Output]:
        worker = process.worker
        outputs: list[Output] = []
        if worker not in self._told_workers:
            self._told_workers.add(worker)
            capability, slots = self._workers[worker]
            joined = WorkerJoined(
                worker=worker,
                slots=1 if self._is_alone else slots,
                capability=capability,
                environment=f"{capability.platform}, Python {ready.python}, pytest {ready.pytest}",
                cache=ready.cache,
            )
            outputs += [Tell(joined), *told_at_start(ready.header)]
        if not self._is_based:
            self._is_based = True
            self._rebase(ready.base, ready.rootdir, now)
        return outputs + self._follow(self._brain.slot_joined(slot, worker, now))

    def _rebase(self, base: str, rootdir: str, now: float) -> None:
        """
        Name the planned files as pytest does, from its rootdir, which may lie above or below where it was started.

        `base` is the way from the rootdir to there, `rootdir` the way back.
        """
        if base == ".":
            return
        self._plan = self._plan.renamed(lambda path: _named_from(rootdir, base, path))
        self._brain = Dispatcher(self._plan, self._limits, now=now)
        if self._is_alone:
            self._brain.run_in_one_process()
        for slot, process in self._processes.items():
            self._brain.start(slot, process.worker, sees_none=True)
        for worker, (capability, _) in self._workers.items():
            self._brain.worker_joined(worker, capability, now)

    # --- failures that plain pytest might not have ----------------------------------------------------------------

    def _confirm(self, now: float) -> list[Output]:
        """Run doubtful failures as plain pytest would, in the place of a slot that has nothing else to do."""
        self._has_learnt = False
        outputs: list[Output] = []
        if self._confirming.is_under_way:
            outputs = self._settle(self._confirming.tick(now), now)
        elif self._brain.can_confirm:
            doubts = self._brain.doubts.waiting()
            self._confirms_on = doubts[0].attempt.worker  # where it failed, since another one may have other devices
            here = [doubt for doubt in doubts if doubt.attempt.worker == self._confirms_on]
            outputs = self._settle(self._confirming.begin(here, self._brain.order, self._brain.doubts.seconds_of), now)
            self._has_learnt, self._has_waited_for_place = True, False
        if not self._confirming.wants_process or self.is_finished or self._interrupting.asked:
            return outputs
        if self._confirms_on not in self._workers:
            return outputs + self._settle(self._confirming.give_up(), now)
        if self.room_on(self._confirms_on) <= 0 or self._has_waited_for_place:
            outputs += self._follow(self._brain.dismiss_idle(self._confirms_on, now))
        self._has_learnt |= not self._has_waited_for_place
        self._has_waited_for_place = True
        return outputs

    def _settle(self, outputs: Sequence[Send | Kill | Settled], now: float) -> list[Output]:
        done: list[Output] = []
        for output in outputs:
            if not isinstance(output, Settled):
                done += self._follow([output])
                continue
            doubt = output.doubt
            if output.passes and doubt.file not in self._dependent:
                self._dependent.add(doubt.file)
                done.append(Tell(OrderDependent(file=doubt.file, was_split=doubt.was_split)))
            done += self._follow(self._brain.settle(doubt.case, output.attempt, now))
        return done

    # --- slots that make way --------------------------------------------------------------------------------------

    def _wants(self, slot: str, process: _Process, now: float) -> list[Action]:
        """
        Under isolation by file or test a process that has had one makes way for a fresh one.

        So does one that sees devices which nobody needs as they are, for one that sees others.
        """
        if self.is_finished or self._has_work(slot):
            return self._brain.wants(slot, now)
        process.is_leaving |= self._has_fresh_processes and process.is_used
        process.is_used = True
        process.is_leaving |= self._brain.is_done_with(slot)
        if not process.is_leaving:
            return self._brain.wants(slot, now)
        if slot in self._brain.slots and self._brain.slots[slot].running:
            return self._brain.let_go(slot)  # first the teardown, which belongs to the last test
        return self._stop(slot, process, now)

    def _has_work(self, slot: str) -> bool:
        state = self._brain.slots.get(slot)
        return state is not None and state.has_work

    def _make_way(self, slot: str, process: _Process, now: float) -> list[Output]:
        if not process.is_leaving or process.is_stopped or self.is_finished or self._has_work(slot):
            return []
        return self._follow(self._stop(slot, process, now))

    def _make_room(self, now: float) -> list[Output]:
        """Where the places of a worker are taken: let go of processes that are less needed than one with devices."""
        outputs: list[Output] = []
        for slot in filter(self._brain.is_done_with, self._brain.resting):
            if slot in self._processes:
                outputs += self._follow(self._stop(slot, self._processes[slot], now))
        for worker in self._workers:
            if self.room_on(worker) > 0 or not self._brain.wants_seat_on(worker):
                continue
            here = {slot: process for slot, process in self._processes.items() if process.worker == worker}
            if any(process.is_leaving for process in here.values()):
                continue
            plain = [slot for slot in here if not self._brain.backlog.lending.sees(slot) and not here[slot].confirms]
            resting = [slot for slot in self._brain.resting if slot in plain]
            for slot in [*resting, *(slot for slot in plain if not here[slot].is_starting)][:1]:
                outputs += self._release(slot, now)
        return outputs

    def _stop(self, slot: str, process: _Process, now: float) -> list[Action]:
        process.is_stopped = True
        return [Send(slot=slot, command=protocol.Stop()), *self._brain.slot_left(slot, now)]

    def _end_evicted(self, now: float) -> list[Output]:
        """End the processes that were asked to leave, and had their time to tear down."""
        outputs: list[Output] = []
        for slot, process in self._processes.items():
            if process.is_evicted and process.evicted_at is None:
                process.evicted_at = now
                self._has_learnt = True
            if process.evicted_at is not None and now - process.evicted_at >= GRACE_S and process.kill is None:
                outputs += self._follow([Kill(slot=slot, outcome="crashed", reason="it did not leave in time")])
        return outputs

    # --- the end --------------------------------------------------------------------------------------------------

    @property
    def _has_living_slots(self) -> bool:
        return any(not (process.is_starting or process.confirms) for process in self._processes.values())

    def _interrupt(self, asked: Cancel, now: float) -> list[Output]:
        """Let the tests that run tear down what they have set up before the run ends; asked again, it ends at once."""
        if self.is_finished or self._interrupting.asked:
            return self._end_interrupted(now) if self._interrupting.asked and not self.is_finished else []
        self._interrupting.begin(asked, met_by(self._brain.slots.values(), now), now)
        slots = [slot for slot, process in self._processes.items() if not (process.is_starting or process.confirms)]
        return self._follow([Send(slot=slot, command=protocol.Interrupt()) for slot in slots])

    def _end_interrupted(self, now: float) -> list[Output]:
        asked = self._interrupting.asked
        if asked is None:
            return []
        return self._follow(self._brain.cancel(asked.status, asked.reason, now, met=self._interrupting.met))

    def _begin_closing(self, now: float) -> list[Output]:
        """Nothing more is to be run: the brain told the slots to stop, but for those that it does not know yet."""
        confirming = [slot for slot, process in self._processes.items() if process.confirms]
        has_reports = self._start.measures or self._controlling.is_open or self._is_alone  # whose status is the run's
        self._closes_by = now + (SAVE_GRACE_S if has_reports else STOP_GRACE_S)
        if self._controlling.is_open:
            unknown = [slot for slot in self.starting if slot not in self._brain.slots]
            stops = [Send(slot=slot, command=protocol.Stop()) for slot in unknown]
            return [*self._discard(confirming, now), *self._follow(stops)]
        return self._discard([*confirming, *self.starting], now)

    def _close(self, now: float) -> list[Output]:
        """Go on as far as the sessions have ended, or had their time."""
        if self._closes_by is None or self._ended is None or (self._processes and now < self._closes_by):
            return []
        outputs: list[Output] = []
        if self._controlling.is_open and self._controller_by is None:
            self._controller_by = now + SAVE_GRACE_S
            outputs = self._follow(self._controlling.stop())
        if self._controlling.is_open and self._controller_by is not None and now < self._controller_by:
            return outputs
        self.is_over = True
        return [*outputs, Tell(self._ended)]

    # --- from the brain to the slots ------------------------------------------------------------------------------

    def _follow(self, actions: Sequence[Action]) -> list[Output]:
        outputs: list[Output] = []
        for action in actions:
            match action:
                case Tell(Ended() as ended):
                    self._ended = ended  # it is the last word, and the sessions are still to end
                    continue
                case Tell(FilesKnown() as known):
                    outputs.append(Tell(replace(known, controller=self._controlling.reasons)))
                    continue
                case Tell(event):
                    outputs += self._follow(self._controlling.hear_event(event))
                    if isinstance(event, CaseFinished) and event.attempt.reports:
                        event = replace(event, attempt=replace(event.attempt, reports=()))
                    outputs.append(Tell(event))
                    continue
                case Kill() if action.slot in self._processes:
                    self._processes[action.slot].kill = action
                case Send(command=protocol.Assign() | protocol.Grant()) if self._interrupting.asked:
                    continue
                case Send() if action.slot in self._processes:
                    process = self._processes[action.slot]
                    process.sent += 1
                    if isinstance(action.command, protocol.Interrupt) and not self._interrupting.asked:
                        process.is_stopped = process.is_evicted = True
            outputs.append(action)
        return outputs


def _warned(told: protocol.Warned) -> Warned:
    return Warned(category=told.category, text=told.text, file=told.file, line=told.line, case=told.id)


def _named_from(rootdir: str, base: str, path: str) -> str:
    """`path` as pytest names it. `base` is the way from its rootdir to where it was started, `rootdir` the way back."""
    if rootdir.startswith(".."):
        return posixpath.normpath(posixpath.join(base, path))
    return posixpath.relpath(path, rootdir)
