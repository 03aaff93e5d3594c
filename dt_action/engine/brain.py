"""Who runs what next: what slots and workers tell goes in, what is to be done comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from dt_action.engine.actions import Action, Kill, Limits, Send, Tell
from dt_action.engine.backlog import Backlog
from dt_action.engine.catalogue import Catalogue
from dt_action.engine.dealing import Dealer
from dt_action.engine.doubts import Doubts
from dt_action.engine.fixtures import SingleFixtures
from dt_action.engine.intake import Intake
from dt_action.engine.interrupting import Met, attempt_met, met_by
from dt_action.engine.ledger import Ledger
from dt_action.engine.lending import Lending
from dt_action.engine.locks import Locks
from dt_action.engine.losses import Losses
from dt_action.engine.overtime import Overtime
from dt_action.engine.pace import Pace
from dt_action.engine.singles import Singles
from dt_action.engine.slots import Slot
from dt_action.engine.verdicts import Verdicts
from dt_action.model.case import Attempt
from dt_action.model.event import CaseStarted, Ended, FileSkipped
from dt_action.model.hardware import Capability
from dt_action.model.holding import Holding, Visible
from dt_action.model.plan import Plan
from dt_action.model.slot_protocol import Collected, Collection, SettingUp, Stop, Working


class Dispatcher:
    """
    Deals a plan out to slots.

    Every method takes what happened (and `now`, seconds on any steady clock) and returns what is to be done, in
    order. Guarantees: each case gets exactly one final outcome, or none when the run ends early; no case runs where
    its requirement is not satisfied, but that one which skips itself may run where nobody satisfies it; what a slot
    says after it was lost is ignored. A slot's name stands for one process: a new process needs a new name.

    What waits is in `backlog`, what only one test may have in `locks`, failures to be confirmed in `doubts`, and
    fixtures that only one process can have in `singles`: for reading.
    """

    def __init__(self, plan: Plan, limits: Limits, *, now: float = 0.0) -> None:
        self._limits = limits
        self._plan = plan
        self._ledger = Ledger(plan, limits.retries)
        sharing = limits.gpu_sharing
        self.backlog = Backlog(lending=Lending(shares=sharing == "auto", is_off=sharing == "all"))
        pace = Pace({case: seconds for file in plan.files for case, seconds in file.cases_s.items()})
        self._verdicts = Verdicts(self._ledger, self.backlog, pace, now=now)
        single = {name: [file.path for file in plan.files if name in file.single] for name in plan.single_fixtures}
        self.singles = Singles(single)
        self.locks = Locks()
        self._intake = Intake(self._ledger, self.backlog.lending, pace, self._verdicts)
        self._dealer = Dealer(
            limits, self._ledger, self.backlog, pace, self._verdicts, self._intake, self.locks, self.singles
        )
        self.doubts = Doubts(limits, self._ledger, self.backlog)
        self._losses = Losses(self._verdicts)
        self._fixtures = SingleFixtures(self.singles, self._dealer, self._losses)
        self._overtime = Overtime(limits, self._dealer, self.singles)
        self._catalogue = Catalogue(
            plan, limits, self._ledger, self._verdicts, self._intake, dealer=self._dealer, fixtures=self._fixtures
        )
        self._started_at = now
        self.is_finished = False

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The slots that take part, by name, with what they hold."""
        return self._dealer.slots

    @property
    def resting(self) -> list[str]:
        """The slots that wait for work, with nothing in hand."""
        return [slot.name for slot in self._dealer.resting]

    @property
    def has_learnt(self) -> bool:
        """True where the last tick changed what will be decided, though it may have returned nothing."""
        return self._dealer.has_learnt

    def wants_slot_on(self, worker: str) -> bool:
        """True where one more slot there would have something to do: what waits, or what a busy slot could give up."""
        return not self.is_finished and (not self._catalogue.is_known or self._dealer.wants_slot_on(worker))

    def reserve_elsewhere(self, names: frozenset[str], lent: Mapping[str, Holding]) -> list[Action]:
        """Other runs have this for themselves now, and nothing else any more; `lent` is by worker."""
        is_freed = bool(self.locks.elsewhere - names)
        is_freed |= self.backlog.lending.note_elsewhere(lent)
        self.locks.elsewhere = names
        return self._dealer.feed_resting() if is_freed and self._catalogue.is_known and not self.is_finished else []

    # --- workers and slots come and go ----------------------------------------------------------------------------

    def worker_joined(self, worker: str, capability: Capability, now: float) -> list[Action]:
        """A machine takes part from now on. What waited for any machine at all is judged by the first one."""
        may_only_add = bool(self.backlog.capabilities) and worker not in self.backlog.capabilities
        self.backlog.set_worker(worker, capability)
        if may_only_add:
            return self._dealer.feed_resting(steal=True) if self._catalogue.is_known and not self.is_finished else []
        return [] if self.is_finished else self._verdicts.judge_again() + self._after(now)

    def worker_lost(self, worker: str, reason: str, now: float) -> list[Action]:
        """A machine is gone, and its slots with it. What nobody else can run is told as unplaced."""
        self.backlog.set_worker(worker, None)
        lost = self._dealer.retire(worker)
        actions = [] if self.is_finished else self._verdicts.judge_again()
        for slot in lost:
            actions += self.slot_lost(slot, "crashed", f"worker {worker} was lost: {reason}", now=now)
        return actions + self._after(now)

    def run_in_one_process(self) -> None:
        """One process runs all tests, as plain pytest's: it has everything, and what it tells is what pytest tells."""
        self.backlog.lending.is_off = True
        self.doubts.run_in_one_process()

    def wants_seat_on(self, worker: str) -> bool:
        """True where a process with devices of the worker could be started now, and has something to do."""
        return self._catalogue.is_known and not self.is_finished and self._dealer.wants_seat_on(worker)

    def claim_seat_on(self, worker: str) -> None:
        """See `Dealer`. A question, such as `wants_seat_on`, changes nothing: nobody records it."""
        if self._catalogue.is_known and not self.is_finished:
            self._dealer.claim_seat_on(worker)

    def start(self, slot: str, worker: str, *, sees_none: bool) -> Visible | None:
        """A process is started: what it sees of the worker's devices; None for all that is there."""
        return self._dealer.start(slot, worker, sees_none=sees_none or not self._catalogue.is_known)

    def process_gone(self, slot: str, now: float) -> list[Action]:
        """The process has ended, by whatever cause: what it had of its worker is free."""
        actions = self._dealer.process_gone(slot)
        return [] if self.is_finished else actions + self._after(now)

    def is_done_with(self, slot: str) -> bool:
        """True for a process that sees devices of which nothing that waits could make use now."""
        return slot in self._dealer.slots and self._dealer.is_done_with(slot)

    def slot_joined(self, slot: str, worker: str, now: float) -> list[Action]:
        """A process is ready to take work, on a worker that has joined."""
        self._dealer.join(slot, worker, now)
        return []

    def slot_left(self, slot: str, now: float) -> list[Action]:
        """The slot's process ends of its own will. What it was handed while it told so is for others."""
        state = self._dealer.remove(slot)
        return [] if state is None or self.is_finished else self._losses.take_back(state) + self._after(now)

    def let_go(self, slot: str) -> list[Action]:
        """The slot's process is to end when the case that it runs is torn down: nothing more is for it."""
        return self._dealer.let_go(self._dealer.slots[slot])

    def take_rest(self, slot: str) -> list[Action]:
        """The slot's process is to end soon: what it has not begun, and may not begin by itself, is for others."""
        return self._dealer.take_rest(self._dealer.slots[slot]) if slot in self._dealer.slots else []

    def slot_lost(
        self, slot: str, outcome: Literal["timeout", "crashed"], reason: str, *, now: float, detail: str = ""
    ) -> list[Action]:
        """
        The slot's process is gone: the file that was imported, else the case that was running, is blamed.

        A process that died while it did neither leaves all that it held under suspicion: it is dealt out again in
        halves, until one case is left to blame.
        """
        state = self._dealer.remove(slot)
        if state is None or self.is_finished:
            return []
        attempt = Attempt(outcome=outcome, message=reason, detail=detail, worker=state.worker, slot=slot)
        return self._losses.blame(state, attempt, now) + self._after(now)

    def distrusted(self, slot: str, what: str, now: float) -> list[Action]:
        """
        The slot's process told what no runner tells, such as the end of a case that it never began.

        A test wrote that, since it runs in the same process: it is blamed as if it had ended the process, which is
        ended now. `what` says what was expected and found.
        """
        reason = f"something in this process wrote into dt's line to it: {what}"
        if slot not in self._dealer.slots:
            return []
        return [Kill(slot=slot, outcome="crashed", reason=reason), *self.slot_lost(slot, "crashed", reason, now=now)]

    # --- what a slot tells ----------------------------------------------------------------------------------------

    def files_known(self, files: Sequence[str], now: float, *, places: int = 1) -> list[Action]:
        """
        What pytest would collect: the word that counts. The first slot's word is taken.

        `places` is how many slots there will be, as far as one can know.
        """
        if self._catalogue.is_known:
            return []
        return self._catalogue.take_files(files, max(1, places)) + self._after(now)

    def collection_known(self, slot: str, collection: Collection, now: float, *, places: int = 1) -> list[Action]:
        """
        The slot has collected, all or only what files there are. The first slot's word is taken.

        `places` is how many slots there will be, as far as one can know.
        """
        state = self._dealer.slots.get(slot)
        if state is None or self.is_finished:
            return []
        state.importing = ""
        if not collection.whole:
            return self.files_known(collection.files, now, places=places)
        if not self._catalogue.is_known:
            actions = self._catalogue.take_cases(state, collection, max(1, places))
            self.doubts.expect(self._catalogue.order)
            return actions + self._after(now)
        self._catalogue.compare(state, collection)
        return []

    def wants(self, slot: str, now: float) -> list[Action]:
        """The slot can begin nothing more: it has no credit, or no cases."""
        state = self._dealer.slots.get(slot)
        if state is None:
            return []
        if self.is_finished:
            return [Send(slot=slot, command=Stop())]
        state.importing, state.heard_at = "", now
        if state.retrying:  # it asks instead: it tore down too much to run its case again
            cases, state.retrying = state.retrying, []
            pieces = state.give_up((), cases, self._verdicts.pieces)
            return [action for piece in pieces for action in self._verdicts.admit(piece)] + self.wants(slot, now)
        if state.has_work:
            return self._dealer.grant(state)
        if self.locks.has_some(slot) and state.running:
            return [self._dealer.rest(state, clear=True)]  # others wait for what it holds
        return self._dealer.feed(state) + self._after(now)

    @property
    def suspects(self) -> frozenset[str]:
        """The files whose import ended a process: a new one should not import them before they are due."""
        return frozenset(self._losses.suspects)

    def importing(self, slot: str, file: str, now: float) -> list[Action]:
        """The slot imports a test module before it asks for work."""
        state = self._dealer.slots.get(slot)
        if state is not None:
            if state.handed:
                return self.distrusted(slot, f"expected no import of {file} so late", now)
            state.importing, state.since, state.heard_at = file, now, now
        return []

    def collecting(self, slot: str, file: str, now: float) -> list[Action]:
        """The slot begins to collect a file."""
        state = self._dealer.slots.get(slot)
        if state is not None:
            if file not in state.handed:
                return self.distrusted(slot, f"expected a file that it was handed, found {file}", now)
            state.heard_at = now
            state.begin_file(file, now)
        return []

    def collected(self, slot: str, told: Collected, now: float) -> list[Action]:
        """The slot knows the cases of a file: those it will run, and those that its unit withholds."""
        state, file = self._dealer.slots.get(slot), told.file
        if state is None or self.is_finished:
            return []
        if file not in state.handed:
            return self.distrusted(slot, f"expected the cases of a file that it was handed, found {file}", now)
        return self._catalogue.take_file(state, told, now) + self._after(now)

    def uncollectable(self, slot: str, id: str, attempt: Attempt, now: float) -> list[Action]:
        """A file, folder or class that cannot be collected. It is told once, however many slots meet it."""
        if slot not in self._dealer.slots or id in self._ledger or self.is_finished:
            return []
        if id.partition("::")[0] in self._plan.others:
            return []  # where all tests are collected, so are those of other shards
        return self._verdicts.blame(id or ".", attempt, now=now) + self._after(now)

    def cannot_start(self, id: str, attempt: Attempt, now: float) -> list[Action]:
        """No process can take work at all, because of the file `id` (a conftest, say)."""
        return self._verdicts.blame(id, attempt, now=now, final=True)

    def file_skipped(self, slot: str, file: str, reason: str) -> list[Action]:
        """A file, or a class in it, that skipped itself at collection."""
        is_heard = slot in self._dealer.slots and not self.is_finished
        return [Tell(FileSkipped(file=file, reason=reason))] if is_heard else []

    def case_started(self, slot: str, case: str, now: float, *, at: float = 0.0) -> list[Action]:
        """The slot began a case. `at` is Unix time in seconds, for those who listen."""
        state = self._dealer.slots.get(slot)
        if state is None or self.is_finished:
            return []
        if state.running or case not in state.known:
            expected = f"the end of {state.running}" if state.running else "a case that it has"
            return self.distrusted(slot, f"expected {expected}, found the start of {case}", now)
        if not state.begin_case(case, now, self._ledger[case].group):
            return []
        self.doubts.case_started(case, state.file_of(case), slot)
        told = Tell(CaseStarted(case=case, worker=state.worker, slot=slot, at=at))
        return [told, *self._dealer.began(state, case)]

    def case_finished(
        self, slot: str, case: str, attempt: Attempt, now: float, *, made_files: bool = False
    ) -> list[Action]:
        """
        The slot ended the case that it ran. One that it was not to run any more, or told before, is ignored.

        A failure of one that `made_files` which are still there is told as it is: they may make it pass from now on.
        """
        state = self._dealer.slots.get(slot)
        if state is None or self.is_finished:
            return []
        if case not in state.begun:
            return self.distrusted(slot, f"expected the end of a case that it began, found that of {case}", now)
        if state.running != case:
            return []
        state.end_case(now)
        self._dealer.ended_case(state)
        if state.is_resting:
            self._dealer.unlock(slot)
        self._intake.learn(state.file_of(case), case, attempt.duration_s)
        self.doubts.case_took(case, attempt.duration_s)
        placed = replace(attempt, worker=state.worker, slot=slot)
        file = self._ledger[case].case.file
        if attempt.outcome in ("failed", "error") and file in self.singles.barred(slot):
            return [*self._verdicts.admit_cases(file, [case]), *self._after(now)]  # it wanted what only one can have
        if not made_files and self.doubts.is_doubtful(case, attempt, state.worker):
            self.doubts.add(case, file, placed)
            return self._after(now)
        has_torn_down = state.is_leaving or state.is_resting
        return self._verdicts.conclude(case, placed, now=now, by=None if has_torn_down else state) + self._after(now)

    # --- what only one process can have -------------------------------------------------------------------------------

    def setting_up(self, slot: str, told: SettingUp | Working, now: float) -> list[Action]:
        """The slot sets up a fixture that lives on, has it, or has it no longer; or a program that it started runs."""
        if slot not in self._dealer.slots:
            return []
        if isinstance(told, Working):
            self.singles.works(slot, now)
            return []
        actions = self._fixtures.hear(slot, told, now)
        return actions + self._after(now) if actions else []

    # --- failures that plain pytest might not have ------------------------------------------------------------------

    @property
    def can_confirm(self) -> bool:
        """True where there are doubts, and nothing else that an idle slot could do."""
        if self.is_finished or not self.doubts or len(self.backlog) or self._dealer.has_promised:
            return False
        return self._ledger.awaits_only(len(self.doubts)) or bool(self._dealer.resting)

    @property
    def order(self) -> list[tuple[str, tuple[str, ...]]]:
        """All cases in pytest's order, by file."""
        known = [(path, tuple(cases)) for path, cases in self._ledger.cases_in_order()]
        return self._catalogue.order or known

    def dismiss_idle(self, worker: str, now: float) -> list[Action]:
        """Let an idle slot of the worker end: its place is needed."""
        return self._dealer.dismiss_idle(worker, now)

    def settle(self, case: str, attempt: Attempt, now: float) -> list[Action]:
        """What became of a doubt."""
        if not self.doubts.remove(case) or self.is_finished:
            return []
        return self._verdicts.conclude(case, attempt, now=now, final=True) + self._after(now)

    def note_output(self, slot: str, now: float) -> list[Action]:
        """The slot printed something."""
        if slot in self._dealer.slots:
            self._dealer.slots[slot].heard_at = now
        return []

    # --- time and the end -----------------------------------------------------------------------------------------

    def overdue(self, now: float) -> str:
        """Why the run has to end by now; empty while it has time."""
        limit_s = self._limits.run_timeout_s
        is_overdue = limit_s is not None and now - self._started_at >= limit_s and not self.is_finished
        return f"the run's timeout of {limit_s:g} s passed" if is_overdue else ""

    def tick(self, now: float) -> list[Action]:
        """Time passed: what takes too long, what idle slots may take over. No actions: no change, or `has_learnt`."""
        self._dealer.has_learnt = False
        if self.is_finished:
            return []
        nobody_is_busy = not any(slot.is_busy and not slot.is_held for slot in self._dealer.slots.values())
        waits = bool(self.doubts or len(self.backlog) or self._dealer.has_promised)
        if self._catalogue.is_known and nobody_is_busy and not waits:
            if self._dealer.held:
                return self._dealer.release_held(now)
            lost = f"{self._ledger.open_names()} got no outcome, and nobody has it to do: that is a bug of dt"
            return self.cancel("stopped", lost, now)  # rather than wait in vain until the run's timeout
        actions = self._overtime.check(now)
        actions += self._fixtures.end_stalled(now)
        return actions + (self._dealer.feed_resting(steal=True) if self._catalogue.is_known else [])

    def cancel(
        self,
        status: Literal["cancelled", "timeout", "stopped"],
        reason: str,
        now: float,
        *,
        is_wanted: bool = False,
        met: Mapping[str, Met] | None = None,
    ) -> list[Action]:
        """
        End the run early.

        The cases that run are told with where they were, as far as `met` or the slots know it. Where time ran out they
        are blamed; else they have no outcome, as all that has not begun.

        `is_wanted` tells that the tests themselves, or an option such as `-x`, asked for it.
        """
        if self.is_finished:
            return []
        actions: list[Action] = []
        for doubt in self.doubts.clear():  # what failed, failed
            actions += self._verdicts.conclude(doubt.case, doubt.attempt, now=now, final=True)
        met = {found.case: found for found in met_by(self.slots.values(), now)} if met is None else met
        for found in met.values() if status != "stopped" else ():
            actions += self._verdicts.conclude(found.case, attempt_met(found, status, reason), now=now, final=True)
        return actions + self._end(status, reason, is_wanted=is_wanted)

    def _after(self, now: float) -> list[Action]:
        if self.is_finished or not self._catalogue.is_known:
            return []
        if self._limits.fail_fast and self._ledger.failures >= self._limits.fail_fast:
            reason = f"{self._ledger.failures} failed, as many as --fail-fast allows"
            return self.cancel("stopped", reason, now, is_wanted=True)
        if self._ledger.is_settled:
            return self._end("completed", "")
        if self._dealer.held and self._ledger.awaits_only(self._dealer.held + len(self.doubts)):
            return self._dealer.release_held(now)
        return self._dealer.feed_resting() if self.backlog.has_news else []

    def _end(
        self,
        status: Literal["completed", "cancelled", "timeout", "stopped"],
        reason: str,
        *,
        is_wanted: bool = False,
    ) -> list[Action]:
        self.is_finished = True
        stops: list[Action] = [Send(slot=slot, command=Stop()) for slot in self._dealer.slots]
        makespan_s = max(0.0, self._verdicts.last_case_at - self._started_at)
        return [*stops, Tell(Ended(status=status, reason=reason, is_wanted=is_wanted, makespan_s=makespan_s))]
