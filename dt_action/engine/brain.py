"""Who runs what next: what slots and workers tell goes in, what is to be done comes out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from dt_action.engine.actions import Action, Kill, Limits, Send, Tell
from dt_action.engine.backlog import Backlog
from dt_action.engine.confirming import Doubt, PlainOrder
from dt_action.engine.dealing import Dealer
from dt_action.engine.intake import Intake
from dt_action.engine.interrupting import Met, attempt_met
from dt_action.engine.ledger import Ledger
from dt_action.engine.lending import Lending
from dt_action.engine.locks import Locks
from dt_action.engine.pace import Pace
from dt_action.engine.singles import Conflict, Singles
from dt_action.engine.slots import Slot
from dt_action.engine.verdicts import Verdicts
from dt_action.model.case import Attempt
from dt_action.model.event import CaseStarted, Ended, FileCollected, FileSkipped, FilesKnown, FixtureIsSingle, Notice
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.holding import Holding, Visible
from dt_action.model.plan import Plan
from dt_action.model.slot_protocol import Collected, Collection, Found, Interrupt, SettingUp, Stop, Working

SLOW_S = 60.0
SLOWER = 20.0
"""A case is told to be slow where it takes so many seconds, and so many times as long as expected."""


class Dispatcher:
    """
    Deals a plan out to slots.

    Every method takes what happened (and `now`, seconds on any steady clock) and returns what is to be done, in
    order. Guarantees: each case gets exactly one final outcome, or none when the run ends early; no case runs where
    its requirement is not satisfied, but that one which skips itself may run where nobody satisfies it; what a slot
    says after it was lost is ignored. A slot's name stands for one process: a new process needs a new name.
    """

    def __init__(self, plan: Plan, limits: Limits, *, now: float = 0.0) -> None:
        self._limits = limits
        self._plan = plan
        self._ledger = Ledger(plan, limits.retries)
        sharing = limits.gpu_sharing
        self._backlog = Backlog(lending=Lending(shares=sharing == "auto", is_off=sharing == "all"))
        pace = Pace({case: seconds for file in plan.files for case, seconds in file.cases_s.items()})
        self._verdicts = Verdicts(self._ledger, self._backlog, pace, now=now)
        single = {name: [file.path for file in plan.files if name in file.single] for name in plan.single_fixtures}
        self._singles = Singles(single)
        self._locks = Locks()
        self._intake = Intake(self._ledger, self._backlog.lending, pace, self._verdicts)
        self._dealer = Dealer(
            limits,
            self._ledger,
            self._backlog,
            pace,
            self._verdicts,
            intake=self._intake,
            locks=self._locks,
            singles=self._singles,
        )
        self._suspects: set[str] = set()
        self._started_at = now
        self._is_dealt = False
        self._digest = ""
        self._listed: dict[str, frozenset[str]] = {}
        self._order: list[tuple[str, tuple[str, ...]]] = []
        self._doubts: dict[str, Doubt] = {}
        self._ran_in: dict[str, set[str]] = {}
        self._took_s: dict[str, float] = {}
        self._plain_order: PlainOrder | None = None
        self.is_finished = False

    @property
    def waiting(self) -> int:
        """How many pieces of work no slot holds."""
        return len(self._backlog)

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
        return not self.is_finished and (not self._is_dealt or self._dealer.wants_slot_on(worker))

    def needs_waiting(self) -> Iterator[tuple[Requirement, float]]:
        """The requirement of each piece that waits, and the seconds that it is expected to take."""
        return ((piece.requirement, piece.expected_s) for piece in self._backlog)

    def why_waiting(self) -> Iterator[tuple[str, str]]:
        """The file of each piece that waits, and what it waits for."""
        locked = self._locks.locked
        for piece in self._backlog:
            names = piece.exclusive & locked
            yield (
                piece.file,
                f"waits for {', '.join(sorted(names))}" if names else f"waits for a slot with {piece.requirement}",
            )

    @property
    def reserved(self) -> frozenset[str]:
        """The names of what some slot has for itself."""
        return self._locks.reserved

    @property
    def reserved_elsewhere(self) -> frozenset[str]:
        """The names of what other runs have for themselves, as far as was told."""
        return self._locks.elsewhere

    @property
    def lending(self) -> Lending:
        """What is lent of the workers."""
        return self._backlog.lending

    def reserve_elsewhere(self, names: frozenset[str], lent: Mapping[str, Holding]) -> list[Action]:
        """Other runs have this for themselves now, and nothing else any more; `lent` is by worker."""
        is_freed = bool(self._locks.elsewhere - names)
        is_freed |= self._backlog.lending.note_elsewhere(lent)
        self._locks.elsewhere = names
        return self._dealer.feed_resting() if is_freed and self._is_dealt and not self.is_finished else []

    # --- workers and slots come and go ----------------------------------------------------------------------------

    def worker_joined(self, worker: str, capability: Capability, now: float) -> list[Action]:
        """A machine takes part from now on. What waited for any machine at all is judged by the first one."""
        may_only_add = bool(self._backlog.capabilities) and worker not in self._backlog.capabilities
        self._backlog.set_worker(worker, capability)
        if may_only_add:
            return self._dealer.feed_resting(steal=True) if self._is_dealt and not self.is_finished else []
        return [*self._judge_again(), *self._after(now)]

    def worker_lost(self, worker: str, reason: str, now: float) -> list[Action]:
        """A machine is gone, and its slots with it. What nobody else can run is told as unplaced."""
        self._backlog.set_worker(worker, None)
        lost = self._dealer.retire(worker)
        actions = self._judge_again()
        for slot in lost:
            actions += self.slot_lost(slot, "crashed", f"worker {worker} was lost: {reason}", now=now)
        return actions + self._after(now)

    def run_in_one_process(self) -> None:
        """One process runs all tests, as plain pytest's: it has everything, and what it tells is what pytest tells."""
        self._backlog.lending.is_off = True
        self._plain_order = PlainOrder()

    def wants_seat_on(self, worker: str) -> bool:
        """True where a process with devices of the worker could be started now, and has something to do."""
        return self._is_dealt and not self.is_finished and self._dealer.wants_seat_on(worker)

    def start(self, slot: str, worker: str, *, sees_none: bool) -> Visible | None:
        """A process is started: what it sees of the worker's devices; None for all that is there."""
        return self._dealer.start(slot, worker, sees_none=sees_none or not self._is_dealt)

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
        return self._take_back(self._dealer.remove(slot)) + self._after(now)

    def let_go(self, slot: str) -> list[Action]:
        """The slot's process is to end when the case that it runs is torn down: nothing more is for it."""
        return self._dealer.let_go(self._dealer.slots[slot])

    def take_rest(self, slot: str) -> list[Action]:
        """The slot's process is to end soon: what it has not begun, and may not begin by itself, is for others."""
        return self._dealer.take_rest(self._dealer.slots[slot]) if slot in self._dealer.slots else []

    def is_held(self, slot: str) -> bool:
        """True while the slot keeps the fixtures of a case that is over but for its teardown, and waits for more."""
        return slot in self._dealer.slots and self._dealer.slots[slot].is_held

    def has_slot(self, slot: str) -> bool:
        """True while the slot takes part."""
        return slot in self._dealer.slots

    def is_importing(self, slot: str) -> bool:
        """True while the slot imports a test module, before it asks for work."""
        return slot in self._dealer.slots and bool(self._dealer.slots[slot].importing)

    def holds_work(self, slot: str) -> bool:
        """True while the slot has something that it has not begun."""
        return slot in self._dealer.slots and self._dealer.slots[slot].has_work

    def is_running(self, slot: str) -> bool:
        """True while the slot runs a case, its teardown included."""
        return slot in self._dealer.slots and bool(self._dealer.slots[slot].running)

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
        actions: list[Action] = []
        suspect = state.collecting
        if state.importing:
            self._suspects.add(state.importing)
        elif suspect is not None:
            actions += self._verdicts.strike(suspect, attempt, halve=False)
        elif state.running:
            timed = replace(attempt, duration_s=max(0.0, now - state.since))
            actions += self._verdicts.conclude(state.running, timed, now=now)
        elif not state.has_work and not state.is_leaving:
            actions.append(Tell(Notice(level="warning", text=f"{slot}: {reason}, while it held no test")))
        for piece in state.unfinished(self._verdicts.pieces):
            is_cleared = suspect is not None or bool(state.running)
            actions += self._verdicts.admit(piece) if is_cleared else self._verdicts.strike(piece, attempt, halve=True)
        return actions + self._after(now)

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
        if self._is_dealt:
            return []
        self._is_dealt = True
        own = self._plan.own(files)
        self._ledger.set_files(own, add=not self._plan.is_selection)
        planned = self._ledger.in_order_of(own)
        told = Tell(FilesKnown(files=tuple(files)))
        return [told, *self._intake.open(planned, max(1, places)), *self._after(now)]

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
        if not self._is_dealt:
            return self._cases_known(state, collection, max(1, places), now)
        if self._listed and collection.digest != self._digest:
            found = {case.id for case in collection.cases}
            state.lacks.update(file for file, cases in self._listed.items() if not found.issuperset(cases))
        return []

    def _cases_known(self, state: Slot, collection: Collection, places: int, now: float) -> list[Action]:
        self._is_dealt = True
        self._digest = collection.digest
        self._ledger.set_files(self._plan.own(collection.files), add=not self._plan.is_selection)
        actions: list[Action] = [Tell(FilesKnown(files=collection.files, whole=collection.whole))]
        # A file of which only a part is this shard's is dealt as a file: the slot that takes it works out the part.
        # So is one whose tests need devices, which this slot may not see: what there is to collect may depend on them.
        late = {
            *collection.late,
            *(
                path
                for path, file in self._ledger.files.items()
                if file.portion is not None or self._intake.needs_devices(file)
            ),
        }
        segments = segments_of(collection.cases)
        if self._limits.one_by_one:
            segments = [(path, [case]) for path, cases in segments for case in cases]
        self._ledger.note_groups(segments)
        by_file: dict[str, list[Found]] = {}
        for path, cases in segments:
            by_file.setdefault(path, []).extend(cases)
        for path in [path for path in collection.files if path in self._ledger.files and path not in late]:
            file = self._ledger.files[path]
            chosen = [case for case in by_file.get(path, ()) if not file.chosen or case.id in file.chosen]
            self._listed[path] = frozenset(case.id for case in chosen)
            actions += self._use_fixtures(path, chosen)
            fresh = self._ledger.register(path, chosen)
            self._ledger.close_file(path)
            actions.append(Tell(FileCollected(file=path, cases=fresh, worker=state.worker, slot=state.name)))
        opened = []
        self._order = [(path, tuple(case.id for case in cases)) for path, cases in segments]
        if self._plain_order is not None:
            self._plain_order.expect(self._order)
        for path, cases in segments:
            wanted = [case.id for case in cases if case.id in self._listed.get(path, ())]
            if wanted:
                is_whole = len(wanted) == len(self._listed[path]) == len(cases)
                opened.append((self._ledger.files[path], wanted, is_whole))
        actions += self._intake.open_cases(opened, places)
        left = [file for file in self._ledger.in_order_of(collection.files) if file.path in late]
        return [*actions, *self._intake.open(left, places), *self._after(now)]

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
        if self._locks.has_some(slot) and state.running:
            return [self._dealer.rest(state, clear=True)]  # others wait for what it holds
        return self._dealer.feed(state) + self._after(now)

    def importing(self, slot: str, file: str, now: float) -> list[Action]:
        """The slot imports a test module before it asks for work."""
        state = self._dealer.slots.get(slot)
        if state is not None:
            if state.handed:
                return self.distrusted(slot, f"expected no import of {file} so late", now)
            state.importing, state.since, state.heard_at = file, now, now
        return []

    @property
    def suspects(self) -> frozenset[str]:
        """The files whose import ended a process: a new one should not import them before they are due."""
        return frozenset(self._suspects)

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
        state.heard_at = now
        state.known.update(case.id for case in told.cases)
        withheld, part = told.withheld, None
        if self._ledger.is_divided(file):  # what is of another part is told by who collects that
            part = state.collecting.part if state.collects(file) and state.collecting is not None else None
            withheld = tuple(case for case in withheld if part is not None and part.has(case.id))
        fresh = self._ledger.register(file, [*told.cases, *withheld])
        self._ledger.close_file(file, part)
        event = FileCollected(
            file=file,
            cases=fresh,
            duration_s=told.duration_s,
            worker=state.worker,
            slot=slot,
            divided=told.divided,
        )
        actions: list[Action] = [Tell(event)]
        if not state.collects(file):
            return [*actions, *self._after(now)]  # the file was taken away from it meanwhile
        found = [case.id for case in told.cases]
        to_run = [id for id in dict.fromkeys(found) if not self._ledger[id].is_final]
        piece = state.end_file(file, to_run, told.duration_s, now)
        gone = sorted(set(piece.cases).difference(found)) if piece is not None else []
        if gone:
            state.lacks.add(file)
            actions += self._not_found(file, gone, now)
        actions += self._use_fixtures(file, told.cases)
        actions += self._dealer.keep_off(state)
        actions += self._dealer.spread(state, file)
        elsewhere = [case.id for case in withheld if not self._ledger[case.id].is_final]
        actions += self._verdicts.admit_cases(file, elsewhere)
        return actions + self._after(now)

    def _not_found(self, file: str, cases: Sequence[str], now: float) -> list[Action]:
        """A slot does not find these cases under the ids that another one told: only that one can run them."""
        if any(set(cases) <= other.known for other in self._dealer.slots.values() if file not in other.lacks):
            return self._verdicts.admit_cases(file, [case for case in cases if not self._ledger[case].is_final])
        again = "pytest did not find it when the file was collected again; its id may differ from process to process"
        attempt = Attempt(outcome="error", message=again)
        return [action for case in cases for action in self._verdicts.conclude(case, attempt, now=now, final=True)]

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
        self._ran_in.setdefault(state.file_of(case), set()).add(slot)
        if self._plain_order is not None:
            self._plain_order.began(slot, case)
        told = Tell(CaseStarted(case=case, worker=state.worker, slot=slot, at=at))
        return [told, *self._dealer.began(state, case)]

    def case_finished(self, slot: str, case: str, attempt: Attempt, now: float) -> list[Action]:
        """The slot ended the case that it ran. One that it was not to run any more, or told before, is ignored."""
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
        self._took_s[case] = attempt.duration_s
        placed = replace(attempt, worker=state.worker, slot=slot)
        file = self._ledger[case].case.file
        if attempt.outcome in ("failed", "error") and file in self._singles.barred(slot):
            return [*self._verdicts.admit_cases(file, [case]), *self._after(now)]  # it wanted what only one can have
        if self._is_doubtful(case, attempt, state.worker):
            was_split = len(self._ran_in[file]) > 1
            self._doubts[case] = Doubt(case=case, file=file, attempt=placed, was_split=was_split)
            return self._after(now)
        has_torn_down = state.is_leaving or state.is_resting
        return self._verdicts.conclude(case, placed, now=now, by=None if has_torn_down else state) + self._after(now)

    # --- what only one process can have -------------------------------------------------------------------------------

    def setting_up(self, slot: str, told: SettingUp | Working, now: float) -> list[Action]:
        """The slot sets up a fixture that lives on, has it, or has it no longer; or a program that it started runs."""
        if slot not in self._dealer.slots:
            return []
        if isinstance(told, Working):
            self._singles.works(slot, now)
            return []
        conflict = self._singles.hear(slot, told, now)
        return self._keep_single(conflict) + self._after(now) if conflict is not None else []

    def maybe_stalled(self, now: float) -> list[str]:
        """The slots that may soon be taken to wait in vain for what another one has."""
        return self._singles.maybe_stalled(now)

    def _use_fixtures(self, file: str, cases: Sequence[Found]) -> list[Action]:
        """Tests of a file use fixtures: those that only one process can have are told."""
        names = dict.fromkeys(name for case in cases for name in case.fixtures)
        return [Tell(FixtureIsSingle(fixture=name, file=file)) for name in self._singles.use(file, tuple(names))]

    def _keep_single(self, conflict: Conflict) -> list[Action]:
        """Only one process can have a fixture: its tests are all for the slot that has it."""
        name, took = conflict.fixture, f"which took {conflict.took_s:.2g} s there"
        what = "waited" if self._singles.waits_for(conflict.slot) else "failed to set it up"
        text = (
            f"only one process can have the fixture {name}: {conflict.slot} {what} (after {conflict.waited_s:.2g} s) "
            f"while {conflict.home} has it, {took}; its tests run in one slot from now on"
        )
        actions: list[Action] = [Tell(Notice(level="warning", text=text))]
        actions += [Tell(FixtureIsSingle(fixture=name, file=file)) for file in self._singles.keep_single(conflict)]
        others = [slot for slot in self._dealer.slots.values() if slot.name != conflict.home]
        return [*actions, *(action for slot in others for action in self._dealer.keep_off(slot))]

    def _evict(self, slot: str) -> list[Action]:
        """The slot would wait for ever: it leaves, and what it has not finished is for others. Nothing is to blame."""
        return [Send(slot=slot, command=Interrupt()), *self._take_back(self._dealer.remove(slot))]

    def _take_back(self, state: Slot | None) -> list[Action]:
        """A slot is gone, and not to blame: what it has not finished is for others."""
        if state is None or self.is_finished:
            return []
        running = [state.running] if state.running and not state.collecting else []
        actions = self._verdicts.admit_cases(state.file_of(running[0]), running) if running else []
        pieces = [*state.unfinished(self._verdicts.pieces), *([state.collecting] if state.collecting else [])]
        return [*actions, *(action for piece in pieces for action in self._verdicts.admit(piece))]

    def _slow(self, state: Slot, now: float) -> list[Action]:
        """Tell of a case that takes far longer than expected, and again after four times as long."""
        runs_s, known_s = now - state.since, state.pace.known(state.running)
        if state.is_held or runs_s < max(SLOW_S, SLOWER * (known_s or 0.0), 4 * state.told_s):
            return []
        state.told_s = runs_s
        fixture = self._singles.waits_for(state.name)
        doing = f", and sets up the fixture {fixture}" if fixture else ""
        expected = f", where {known_s:.2g} s was expected" if known_s is not None else ""
        place = f"on {state.name}{expected}{doing}"
        return [Tell(Notice(level="info", text=f"{state.running} has run for {runs_s:.0f} s {place}"))]

    # --- failures that plain pytest might not have ------------------------------------------------------------------

    def _is_doubtful(self, case: str, attempt: Attempt, worker: str) -> bool:
        is_asked = self._limits.confirm_budget_s > 0 and not self._limits.fail_fast
        if self._plain_order is not None and self._plain_order.is_kept:
            return False
        if not is_asked or attempt.outcome not in ("failed", "error") or self._ledger.may_retry(case):
            return False
        # One that runs alone with its devices is not run again beside all the others, which have none.
        return not self._backlog.demands(worker, self._ledger[case].case.requirement)

    @property
    def can_confirm(self) -> bool:
        """True where there are doubts, and nothing else that an idle slot could do."""
        if self.is_finished or not self._doubts or len(self._backlog) or self._dealer.has_promised:
            return False
        return self._ledger.awaits_only(len(self._doubts)) or bool(self._dealer.resting)

    def doubts(self) -> tuple[list[Doubt], list[tuple[str, tuple[str, ...]]]]:
        """The doubts that are open, and all cases in pytest's order."""
        known = [(path, tuple(cases)) for path, cases in self._ledger.cases_in_order()]
        for case, doubt in self._doubts.items():
            self._doubts[case] = replace(doubt, was_split=len(self._ran_in[doubt.file]) > 1)
        return list(self._doubts.values()), self._order or known

    def seconds_of(self, case: str) -> float:
        """The seconds that a case took in this run."""
        return self._took_s.get(case, 0.0)

    def dismiss_idle(self, worker: str, now: float) -> list[Action]:
        """Let an idle slot of the worker end: its place is needed."""
        return self._dealer.dismiss_idle(worker, now)

    def settle(self, case: str, attempt: Attempt, now: float) -> list[Action]:
        """What became of a doubt."""
        if self._doubts.pop(case, None) is None or self.is_finished:
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

    def running(self, now: float) -> list[Met]:
        """The cases that run, but for those of which only the teardown is left."""
        slots = [slot for slot in self._dealer.slots.values() if slot.running and not slot.is_held]
        return [
            Met(case=slot.running, slot=slot.name, worker=slot.worker, duration_s=max(0.0, now - slot.since))
            for slot in slots
        ]

    def tick(self, now: float) -> list[Action]:
        """
        Time passed: look for what takes too long, and for work that idle slots may take over.

        A tick that returns nothing changed nothing, either, unless `has_learnt` is true after it.
        """
        self._dealer.has_learnt = False
        if self.is_finished:
            return []
        nobody_is_busy = not any(slot.is_busy and not slot.is_held for slot in self._dealer.slots.values())
        waits = bool(self._doubts or len(self._backlog) or self._dealer.has_promised)
        if self._is_dealt and nobody_is_busy and not waits:
            if self._dealer.held:
                return self._dealer.release_held(now)
            lost = f"{self._ledger.open_names()} got no outcome, and nobody has it to do: that is a bug of dt"
            return self.cancel("stopped", lost, now)  # rather than wait in vain until the run's timeout
        actions: list[Action] = []
        for state in self._dealer.slots.values():
            if state.since == math.inf and not state.is_held:  # it has work again; the teardown counts from here
                state.since = now
                self._dealer.has_learnt = True
            reason = "" if state.is_doomed else self._overdue(state, now)
            if reason:
                state.is_doomed = True
                actions.append(Kill(slot=state.name, outcome="timeout", reason=reason))
            elif state.running:
                actions += self._slow(state, now)
            if not state.is_doomed and state.running and (state.credit or now >= state.overstays_at):
                actions += self._dealer.hold_up(state, now)
        for conflict in [*self._singles.stalled(now)]:
            actions += [*self._keep_single(conflict), *self._evict(conflict.slot)]
        return actions + (self._dealer.feed_resting(steal=True) if self._is_dealt else [])

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
        for doubt in self._doubts.values():  # what failed, failed
            actions += self._verdicts.conclude(doubt.case, doubt.attempt, now=now, final=True)
        self._doubts.clear()
        met = {found.case: found for found in self.running(now)} if met is None else met
        for found in met.values() if status != "stopped" else ():
            actions += self._verdicts.conclude(found.case, attempt_met(found, status, reason), now=now, final=True)
        return actions + self._end(status, reason, is_wanted=is_wanted)

    def _judge_again(self) -> list[Action]:
        return [] if self.is_finished else self._verdicts.judge_again()

    def _after(self, now: float) -> list[Action]:
        if self.is_finished or not self._is_dealt:
            return []
        if self._limits.fail_fast and self._ledger.failures >= self._limits.fail_fast:
            reason = f"{self._ledger.failures} failed, as many as --fail-fast allows"
            return self.cancel("stopped", reason, now, is_wanted=True)
        if self._ledger.is_settled:
            return self._end("completed", "")
        if self._dealer.held and self._ledger.awaits_only(self._dealer.held + len(self._doubts)):
            return self._dealer.release_held(now)
        return self._dealer.feed_resting() if self._backlog.has_news else []

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

    def _overdue(self, state: Slot, now: float) -> str:
        is_collecting = state.collecting is not None or bool(state.importing)
        if state.is_held or not (state.running or is_collecting):
            return ""
        limit_s = self._limits.collect_timeout_s if is_collecting else self._limits.case_timeout_s
        if state.limit_s is not None and not is_collecting:
            limit_s = state.limit_s
        if limit_s is not None and now - state.since >= limit_s:
            return f"took longer than its timeout of {limit_s:g} s"
        silent_s = self._limits.no_output_timeout_s
        if silent_s is not None and now - max(state.heard_at, state.since) >= silent_s:
            return f"printed nothing for {silent_s:g} s"
        return ""


def segments_of(cases: Sequence[Found]) -> list[tuple[str, list[Found]]]:
    """Cases by file, as long as those of one file follow each other."""
    segments: list[tuple[str, list[Found]]] = []
    for case in cases:
        file = case.id.partition("::")[0]
        if not segments or segments[-1][0] != file:
            segments.append((file, []))
        segments[-1][1].append(case)
    return segments
