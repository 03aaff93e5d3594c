"""The state of a run: what happens is put in, what is to be done comes out. Pure, and the same behind every fleet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dt_action.engine.actions import Kill, Limits, Output, Send, Start, Tell
from dt_action.engine.brain import Dispatcher
from dt_action.engine.closing import Closing
from dt_action.engine.confirmation import Confirmation
from dt_action.engine.controlling import Controlling, EarlyWarnings, session_over, told_at_start
from dt_action.engine.inputs import Cancel, Hear, Input, Join, Leave, Open, Release, Reserve, Tick
from dt_action.engine.interrupting import Interrupting, met_by
from dt_action.engine.making_way import MakingWay
from dt_action.engine.outbox import Outbox
from dt_action.engine.processes import Process, Processes
from dt_action.engine.relaying import event_of, pass_on, worker_joined
from dt_action.engine.starting import conftest_of, crash_detail, last_words, refusal
from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt
from dt_action.model.event import (
    Notice,
)
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.plan import Plan
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import CONTROLLER, Died, slot_name

MOST_FAILED_STARTS = 3
"""So many processes in a row may fail to start on a worker where others have started, or may still."""


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
        self._interrupting = Interrupting()
        self._processes = Processes()
        self._outbox = Outbox(self._processes, self._controlling, self._interrupting)
        self._making_way = MakingWay(
            self._processes, self._outbox, self._controlling, has_fresh_processes=self._has_fresh_processes
        )
        self._closing = Closing(self._processes, self._outbox, self._controlling)
        self._confirmation = Confirmation(
            self._processes, self._outbox, self._controlling, self._interrupting, budget_s=limits.confirm_budget_s
        )
        self._has_learnt = False
        self._is_alone = is_alone
        self._workers: dict[str, tuple[Capability, int]] = {}
        self._failed_starts: dict[str, int] = {}
        self._told_workers: set[str] = set()
        self._opened = 0
        self._is_based = False
        self.is_ready = False  # until pytest has started somewhere

    def put(self, what: Input, now: float) -> list[Output]:
        """Take in what happened; what is to be done."""
        if self.is_over:
            return []
        self._brain.backlog.lending.now = now
        outputs = self._put(what, now)
        if self._interrupting.is_due(now, has_living=bool(self._processes.working)) and not self.is_finished:
            outputs += self._end_interrupted(now)
        if not self.is_finished:
            return outputs
        if not self._closing.has_begun:
            outputs += self._begin_closing(now)
        return outputs + self._closing.go_on(now)

    def _put(self, what: Input, now: float) -> list[Output]:
        match what:
            case Hear():
                return self._heard(what, now)
            case Tick():
                overdue = self._brain.overdue(now)
                if overdue and not self._interrupting.asked:
                    return self._interrupt(Cancel(status="timeout", reason=overdue), now)
                return self._tick(now)
            case Open():
                return self._open(what.worker, now)
            case Join():
                self._workers[what.worker] = what.capability, what.slots
                return self._outbox.follow(self._brain.worker_joined(what.worker, what.capability, now))
            case Leave():
                return self._leave(what.worker, what.reason, now)
            case Release():
                return self._making_way.release(self._brain, what.slot, now)
            case Reserve():
                return self._outbox.follow(self._brain.reserve_elsewhere(what.names, what.lent))
            case Cancel():
                return self._interrupt(what, now)

    def _heard(self, what: Hear, now: float) -> list[Output]:
        process = self._processes.get(what.slot)
        outputs = [output for message in what.messages for output in self._hear(what.slot, message, what.at, now)]
        if process is not None:
            self._brain.claim_seat_on(process.worker)
        return outputs

    def _tick(self, now: float) -> list[Output]:
        claimants = self._brain.backlog.lending.claimants()
        outputs = self._outbox.follow(self._brain.tick(now))
        outputs += self._confirmation.tick(self._brain, self._room, now)
        self._has_learnt = self._making_way.note_evicted(now)
        outputs += self._making_way.end_evicted(now) + self._making_way.make_room(self._brain, self._room, now)
        self._has_learnt |= self._brain.backlog.lending.claimants() != claimants
        return outputs

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """True when all is told, and the sessions have ended."""
        return self._closing.is_over

    @property
    def is_finished(self) -> bool:
        """True when nothing more is to be run: what follows is the end of the sessions."""
        return self._brain.is_finished

    @property
    def has_learnt(self) -> bool:
        """True where the last tick must be in the record, whatever it returned."""
        return self._brain.has_learnt or self._confirmation.has_learnt or self._has_learnt

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
        return self._processes.starting

    def maybe_stalled(self, now: float) -> list[str]:
        """The slots that may soon be taken to wait in vain: their host should tell where they are at work."""
        return self._brain.singles.maybe_stalled(now)

    def room_on(self, worker: str) -> int:
        """How many more slots of the run the worker has places for, if all of them are the run's."""
        _, slots = self._workers.get(worker, (None, 0))
        return slots - self._processes.staying_on(worker)

    @property
    def _room(self) -> dict[str, int]:
        return {worker: self.room_on(worker) for worker in self._workers}

    def wants_slot_on(self, worker: str) -> bool:
        """True where one more process on `worker` would have something to do."""
        if worker not in self._workers or self.is_finished or self._interrupting.asked:
            return False
        if self._is_alone and any(not process.is_stopped for process in self._processes.values()):
            return False
        if self._confirmation.wants_process_on(worker) or self._brain.wants_seat_on(worker):
            return True
        if len(self.starting) >= max(1, len(self._brain.backlog) if self.is_ready else len(self._plan.files)):
            return False
        return not self.resting_on(worker) and self._brain.wants_slot_on(worker)

    def resting_on(self, worker: str) -> list[str]:
        """The slots of `worker` that wait for work."""
        here = self._processes.on(worker)
        return [slot for slot in self._brain.resting if slot in here]

    def is_resting(self, slot: str) -> bool:
        """True where the slot waits for work."""
        return slot in self._brain.resting

    @property
    def reserved(self) -> Reserve:
        """What tests of this run have for themselves now."""
        if self.is_over:
            return Reserve(names=frozenset())
        return Reserve(names=self._brain.locks.reserved, lent=self._brain.backlog.lending.lent())

    @property
    def reserved_version(self) -> tuple[frozenset[str], int]:
        """What changes whenever `reserved` does."""
        return self._brain.locks.reserved, self._brain.backlog.lending.version

    @property
    def reserved_elsewhere(self) -> Reserve:
        """What tests of other runs have, as far as was told."""
        return Reserve(names=self._brain.locks.elsewhere, lent=self._brain.backlog.lending.elsewhere)

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
        for slot, process in self._processes.on(worker).items():
            del self._processes[slot]
            if process.confirms:
                outputs += self._confirmation.lost(self._brain, process, reason, now)
            outputs += self._outbox.follow(self._controlling.slot_gone(slot, reason))
            outputs += self._outbox.follow(self._brain.process_gone(slot, now))
        return outputs + self._outbox.follow(self._brain.worker_lost(worker, reason, now))

    def _open(self, worker: str, now: float) -> list[Output]:
        slot = self.next_slot
        self._opened += 1
        confirms = self._confirmation.wants_process_on(worker)
        self._processes[slot] = Process(worker=worker, is_starting=not confirms, confirms=confirms)
        if confirms:
            self._confirmation.started(slot, worker, now)
        commands: list[protocol.Command] = []
        if self._asked.files:
            commands.append(protocol.Files(files=tuple(file.path for file in self._asked.files)))
        if self._brain.suspects:
            commands.append(protocol.Avoid(files=tuple(sorted(self._brain.suspects))))
        told = self._outbox.follow([Send(slot=slot, command=command) for command in commands])
        is_plain = self._is_alone or (confirms and not self._controlling.is_missed)
        visible = self._brain.start(slot, worker, sees_none=confirms)
        self._brain.claim_seat_on(worker)
        return [Start(slot=slot, worker=worker, is_plain=is_plain, visible=visible), *told]

    def _go_alone(self, reason: str, now: float) -> list[Output]:
        """Only one process can run these tests, as plain pytest does it: the others end before they began."""
        self._is_alone = True
        self._brain.run_in_one_process()
        told = Tell(Notice(level="info", text=f"all tests run in one process: {reason}"))
        return [told, *self._making_way.discard(self._brain, [*self._processes], now)]

    def _died(self, slot: str, process: Process, died: Died, now: float) -> list[Output]:
        del self._processes[slot]
        gone = self._outbox.follow(self._controlling.slot_gone(slot, died.reason))
        if process.kill is not None:
            died = replace(died, reason=process.kill.reason)
        if not self._interrupting.asked:
            gone += self._outbox.follow(self._brain.process_gone(slot, now))
        if self.is_finished or self._interrupting.asked:
            return gone
        state = self._brain.slots.get(slot)
        is_importing = state is not None and bool(state.importing)
        if process.is_starting and (died.how == "lost" or not is_importing):
            left = self._outbox.follow(self._brain.slot_left(slot, now))
            failed = [] if died.how == "lost" else self._failed_to_start(process, died, now)
            return [*gone, *left, *failed]
        outcome = process.kill.outcome if process.kill else "crashed"
        detail = crash_detail(died.log_tail)
        return gone + self._outbox.follow(self._brain.slot_lost(slot, outcome, died.reason, detail=detail, now=now))

    def _failed_to_start(self, process: Process, died: Died, now: float) -> list[Output]:
        """pytest could not start: the same for every slot, unless it had worked before, or was not to blame."""
        worker = process.worker
        self._failed_starts[worker] = self._failed_starts.get(worker, 0) + 1
        message, conftest = last_words(died), conftest_of(died)
        if not self.is_ready and conftest:
            return self._stop_for(conftest, message, died, now)
        if (self.is_ready or died.how == "taken") and self._failed_starts[worker] < MOST_FAILED_STARTS:
            return []
        why = f"{died.reason if died.how == 'unmade' else 'pytest could not start'} there: {message}"
        if len(self._workers) > 1:
            told = Tell(Notice(level="warning", text=f"{worker} takes no part in this run: {why}"))
            discarded = self._making_way.discard(self._brain, [*self._processes.on(worker)], now)
            return [told, *discarded, *self._leave(worker, why, now)]
        if self.is_ready:
            return self._stop_for(conftest or "pytest", message, died, now)
        if not self._is_alone and died.how == "ended":
            return self._go_alone(f"as one of several, pytest did not start: {message}", now)
        refused = refusal(died, python=self._python, worker=worker, exit_code=process.exit_code)
        return [refused, *self._outbox.follow(self._brain.cancel("stopped", why, now))]

    def _stop_for(self, path: str, message: str, died: Died, now: float) -> list[Output]:
        """End the run because of one file, which gets the blame."""
        attempt = Attempt(outcome="error", message=message, detail=died.log_tail)
        blamed = self._brain.cannot_start(path, attempt, now)
        return self._outbox.follow([*blamed, *self._brain.cancel("stopped", f"pytest could not start: {message}", now)])

    # --- what slots tell ------------------------------------------------------------------------------------------

    def _hear(self, slot: str, message: protocol.Message, at: float, now: float) -> list[Output]:
        if slot == CONTROLLER:
            return self._hear_controller(message, now)
        process = self._processes.get(slot)
        if process is None:
            return []
        if process.confirms:
            return self._confirmation.hear(self._brain, slot, process, message, now)
        if isinstance(message, protocol.Warned) and self._early_warnings.is_repeated(slot, message):
            return []
        outputs = self._outbox.follow(self._controlling.slot_heard(slot, message))
        match message:
            case Died():
                return outputs + self._died(slot, process, message, now)
            case protocol.Interrupted():
                self._interrupting.heard(met_by(self._brain.slots.values(), now), slot, message)
                return outputs
            case protocol.Spent():
                process.is_stopped = True
                return outputs + self._outbox.follow(self._brain.slot_left(slot, now))
            case protocol.SessionEnded():
                return outputs + self._session_ended(slot, process, message)
            case protocol.SettingUp() | protocol.Working():
                return outputs + self._outbox.follow(self._brain.setting_up(slot, message, now))
            case protocol.Warned() | protocol.SuiteProperty():
                return [*outputs, Tell(event_of(message))]
        if process.is_starting:
            return outputs + self._hear_starting(slot, process, message, at, now)
        return outputs + self._hear_working(slot, process, message, at, now)

    def _session_ended(self, slot: str, process: Process, message: protocol.SessionEnded) -> list[Output]:
        """pytest's session is over. Of one that had not collected, its process's end tells what is to be done."""
        if process.is_starting:
            process.exit_code = message.exit_code
            return []
        if self._interrupting.asked or process.is_evicted:
            message = replace(message, gate=False)  # the interrupt made the status what it is
        is_news = message.gate or message.error or message.summary or message.exit_code is not None
        return [Tell(session_over(slot, message))] if is_news else []

    def _hear_starting(
        self, slot: str, process: Process, message: protocol.Message, at: float, now: float
    ) -> list[Output]:
        """A process that has not collected yet told something."""
        match message:
            case protocol.Alone():
                return self._go_alone(message.reason, now)
            case protocol.NeedsController():
                return self._outbox.follow(self._controlling.needed(slot, message.reasons))
            case protocol.Ready() if slot not in self._brain.slots:
                return self._ready(slot, process, message, now)
            case protocol.Garbled():
                return self._outbox.follow([Kill(slot=slot, outcome="crashed", reason=message.what)])
            case protocol.Collection():
                process.is_starting = False
                self.is_ready = True
                self._failed_starts.pop(process.worker, None)
                places = 1 if self._is_alone else sum(slots for _, slots in self._workers.values())
                return self._outbox.follow(self._brain.collection_known(slot, message, now, places=places))
        return self._outbox.follow(pass_on(self._brain, slot, message, at=at, now=now))

    def _hear_working(
        self, slot: str, process: Process, message: protocol.Message, at: float, now: float
    ) -> list[Output]:
        """A process that takes work told something."""
        if isinstance(message, protocol.Want):  # one that crossed a command is no longer true; the slot asks again
            return self._making_way.wants(self._brain, slot, process, now) if message.seen == process.sent else []
        outputs = self._outbox.follow(pass_on(self._brain, slot, message, at=at, now=now))
        if isinstance(message, protocol.Finished):
            outputs += self._making_way.end_leaving(self._brain, slot, process, now)
        return outputs

    def _hear_controller(self, message: protocol.Message, now: float) -> list[Output]:
        if isinstance(message, Died):
            if not self.is_ready and self._controlling.state == "starting":
                return self._go_alone(f"as the session of several, pytest did not start: {last_words(message)}", now)
            reason = f"the controller session: {message.reason}\n{message.log_tail}"
            return self._outbox.follow(self._controlling.died(reason))
        if isinstance(message, protocol.Exit):
            return self._outbox.follow(self._brain.cancel("stopped", message.reason, now, is_wanted=True))
        return self._outbox.follow(self._controlling.hear(message))

    def _ready(self, slot: str, process: Process, ready: protocol.Ready, now: float) -> list[Output]:
        worker = process.worker
        outputs: list[Output] = []
        if worker not in self._told_workers:
            self._told_workers.add(worker)
            capability, slots = self._workers[worker]
            joined = worker_joined(worker, capability, ready, slots=1 if self._is_alone else slots)
            outputs += [Tell(joined), *told_at_start(ready.header)]
        if not self._is_based:
            self._is_based = True
            self._rebase(ready.base, ready.rootdir, now)
        return outputs + self._outbox.follow(self._brain.slot_joined(slot, worker, now))

    def _rebase(self, base: str, rootdir: str, now: float) -> None:
        """Name the planned files as pytest does, see `Plan.seen_from`."""
        if base == ".":
            return
        self._plan = self._plan.seen_from(rootdir, base)
        self._brain = Dispatcher(self._plan, self._limits, now=now)
        if self._is_alone:
            self._brain.run_in_one_process()
        for slot, process in self._processes.items():
            self._brain.start(slot, process.worker, sees_none=True)
        for worker, (capability, _) in self._workers.items():
            self._brain.worker_joined(worker, capability, now)

    # --- the end --------------------------------------------------------------------------------------------------

    def _interrupt(self, asked: Cancel, now: float) -> list[Output]:
        """Let the tests that run tear down what they have set up before the run ends; asked again, it ends at once."""
        if self.is_finished or self._interrupting.asked:
            return self._end_interrupted(now) if self._interrupting.asked and not self.is_finished else []
        self._interrupting.begin(asked, met_by(self._brain.slots.values(), now), now)
        return self._outbox.follow([Send(slot=slot, command=protocol.Interrupt()) for slot in self._processes.working])

    def _end_interrupted(self, now: float) -> list[Output]:
        asked = self._interrupting.asked
        if asked is None:
            return []
        return self._outbox.follow(self._brain.cancel(asked.status, asked.reason, now, met=self._interrupting.met))

    def _begin_closing(self, now: float) -> list[Output]:
        """Nothing more is to be run: the brain told the slots to stop, but for those that it does not know yet."""
        has_reports = self._start.measures or self._controlling.is_open or self._is_alone  # whose status is the run's
        self._closing.begin(now, has_reports=has_reports)
        confirming = [slot for slot, process in self._processes.items() if process.confirms]
        if self._controlling.is_open:
            unknown = [slot for slot in self.starting if slot not in self._brain.slots]
            stops = [Send(slot=slot, command=protocol.Stop()) for slot in unknown]
            return [*self._making_way.discard(self._brain, confirming, now), *self._outbox.follow(stops)]
        return self._making_way.discard(self._brain, [*confirming, *self.starting], now)
