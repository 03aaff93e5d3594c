"""Who runs what next: what slots and workers tell goes in, what is to be done comes out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Literal

from dt_action.dispatch.actions import Action, Assign, Drop, Grant, Kill, Limits, Recall, Rest, Stop, Tell
from dt_action.dispatch.backlog import Backlog
from dt_action.dispatch.ledger import Collected, Entry, Ledger
from dt_action.dispatch.misplaced import placement_miss
from dt_action.dispatch.pace import Pace
from dt_action.dispatch.pieces import Piece
from dt_action.dispatch.slots import Slot
from dt_action.dispatch.stealing import Busy, Rules, choose_loot
from dt_action.model.case import Attempt
from dt_action.model.event import (
    CaseFinished,
    CaseStarted,
    CaseUnplaced,
    Ended,
    FileCollected,
    FileSkipped,
    FilesKnown,
    Notice,
)
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.plan import Batch, Plan, Unit

WORTH_A_SLOT_S = 2.0
"""So much work that a busy slot could give up makes one more process worth its start."""

EARLY_SHARE = 0.1
"""A file with a case longer than this part of a slot's share starts early: at the end, others would wait for it."""

BLIND_CREDIT = 2
"""So many cases of a file that is not collected yet may be begun without asking: each may take minutes."""

LONG_SHARE = 0.1
"""A case is long when it takes this share of what a slot has left, if all work were shared out evenly."""

LONG_TO_COLLECT = 4.0
"""A case is worth collecting its file once more when it takes so many times as long as that."""

OVERSTAYED = 4
"""A case that runs for so many windows of credit was not expected to: what it holds up goes to idle slots."""

LOOK_AT = 16
"""So many of the busiest slots are looked at when one is to give up work, before a tick looks at all of them."""

MOST_STRIKES = 2
"""So many processes may die with a piece in hand and nothing better to blame, before the piece is blamed."""


class Dispatcher:
    """
    Deals a plan out to slots.

    Every method takes what happened (and `now`, seconds on any steady clock) and returns what is to be done, in
    order. Guarantees: each case gets exactly one final outcome, or none when the run ends early; no case runs where
    its requirement is not satisfied, but that one which skips itself may run where nobody satisfies it; what a slot
    says after it was lost is ignored. A slot's name stands for one process: a new process needs a new name.
    `places` is how many slots there will be, as far as one can know.
    """

    def __init__(self, plan: Plan, limits: Limits, *, now: float = 0.0, places: int = 1) -> None:
        self._limits = limits
        self._places = max(1, places)
        self._is_selection = plan.is_selection
        self._ledger = Ledger(plan, limits.retries)
        self._pace = Pace({case: seconds for file in plan.files for case, seconds in file.cases_s.items()})
        self._backlog = Backlog()
        self._slots: dict[str, Slot] = {}
        self._resting: dict[str, Slot] = {}
        self._busy = Busy()
        self._has_news = False
        self._locks: dict[str, frozenset[str]] = {}
        self._suspects: set[str] = set()
        self._blind: set[str] = set()
        self._leases = 0
        self._left_s = 0.0
        self._started_at = self._last_case_at = now
        self._is_dealt = False
        self.is_finished = False
        self.has_learnt = False

    @property
    def waits_for_slots(self) -> bool:
        """True while there is work that no slot holds."""
        return not self.is_finished and (not self._is_dealt or len(self._backlog) > 0)

    @property
    def waiting(self) -> int:
        """How many pieces of work no slot holds."""
        return len(self._backlog)

    @property
    def resting(self) -> list[str]:
        """The slots that wait for work, with nothing in hand."""
        return [state.name for state in self._resting.values() if not state.running]

    def wants_slot_on(self, worker: str) -> bool:
        """True where one more slot there would have something to do: what waits, or what a busy slot could give up."""
        if self.is_finished or not self._is_dealt or self._backlog.has_for(worker):
            return not self.is_finished
        with closing(self._busy.most_first(WORTH_A_SLOT_S)) as busiest:
            return any(self._can_spare(state, WORTH_A_SLOT_S) for state in itertools.islice(busiest, LOOK_AT))

    def needs_waiting(self) -> Iterator[tuple[Requirement, float]]:
        """The requirement of each piece that waits, and the seconds that it is expected to take."""
        return ((piece.requirement, piece.expected_s) for piece in self._backlog)

    def why_waiting(self) -> Iterator[tuple[str, str]]:
        """The file of each piece that waits, and what it waits for."""
        locked = self._locked()
        for piece in self._backlog:
            names = piece.exclusive & locked
            yield (
                piece.file,
                f"waits for {', '.join(sorted(names))}" if names else f"waits for a slot with {piece.requirement}",
            )

    # --- workers and slots come and go ----------------------------------------------------------------------------

    def worker_joined(self, worker: str, capability: Capability, now: float) -> list[Action]:
        """A machine takes part from now on. What waited for any machine at all is judged by the first one."""
        may_only_add = bool(self._backlog.capabilities) and worker not in self._backlog.capabilities
        self._backlog.set_worker(worker, capability)
        return self._feed_resting(rob=True) if may_only_add else [*self._judge_again(), *self._after(now)]

    def worker_lost(self, worker: str, reason: str, now: float) -> list[Action]:
        """A machine is gone, and its slots with it. What nobody else can run is told as unplaced."""
        self._backlog.set_worker(worker, None)
        lost = [slot.name for slot in self._slots.values() if slot.worker == worker]
        for slot in lost:
            self._resting.pop(slot, None)  # no work for it any more
        actions = self._judge_again()
        for slot in lost:
            actions += self.slot_lost(slot, "crashed", f"worker {worker} was lost: {reason}", now=now)
        return actions + self._after(now)

    def slot_joined(self, slot: str, worker: str, now: float) -> list[Action]:
        """A process is ready to take work, on a worker that has joined."""
        self._slots[slot] = Slot(name=slot, worker=worker, heard_at=now, pace=self._pace)
        return []

    def slot_left(self, slot: str, now: float) -> list[Action]:
        """The slot's process ends of its own will, with nothing in hand."""
        self._remove(slot)
        return self._after(now)

    def holds_work(self, slot: str) -> bool:
        """True while the slot has something that it has not begun."""
        return slot in self._slots and self._slots[slot].has_work

    def is_running(self, slot: str) -> bool:
        """True while the slot runs a case, its teardown included."""
        return slot in self._slots and bool(self._slots[slot].running)

    def slot_lost(
        self, slot: str, outcome: Literal["timeout", "crashed"], reason: str, *, now: float, detail: str = ""
    ) -> list[Action]:
        """
        The slot's process is gone: the file that was imported, else the case that was running, is blamed.

        A process that died while it did neither leaves all that it held under suspicion: it is dealt out again in
        halves, until one case is left to blame.
        """
        state = self._remove(slot)
        if state is None or self.is_finished:
            return []
        attempt = Attempt(outcome=outcome, message=reason, detail=detail, worker=state.worker, slot=slot)
        actions: list[Action] = []
        suspect = state.collecting
        if state.importing:
            self._suspects.add(state.importing)
        elif suspect is not None:
            actions += self._strike(suspect, attempt, halve=False)
        elif state.running:
            timed = replace(attempt, duration_s=max(0.0, now - state.since))
            actions += self._conclude(state.running, timed, now=now)
        elif not state.has_work:
            actions.append(Tell(Notice(level="warning", text=f"{slot}: {reason}, while it held no test")))
        for piece in state.unfinished(self._pieces):
            is_cleared = suspect is not None or bool(state.running)
            actions += self._admit(piece) if is_cleared else self._strike(piece, attempt, halve=True)
        return actions + self._after(now)

    # --- what a slot tells ----------------------------------------------------------------------------------------

    def files_known(self, files: Sequence[str], now: float) -> list[Action]:
        """What pytest would collect: the word that counts. The first slot's word is taken."""
        if self._is_dealt:
            return []
        self._is_dealt = True
        self._ledger.set_files(files, add=not self._is_selection)
        actions: list[Action] = [Tell(FilesKnown(files=tuple(files)))]
        self._left_s = sum(file.expected_s for file in self._ledger.files.values())
        share_s = self._left_s / self._places
        for file in self._ledger.in_order_of(files):
            longest_s = max(file.cases_s.values(), default=0.0)
            actions += self._admit(
                Piece(
                    file=file.path,
                    needs=file.needs,
                    requirement=file.needs.default,
                    expected_s=file.expected_s,
                    chosen=file.chosen,
                    goes_first=file.goes_first or longest_s > EARLY_SHARE * share_s,
                )
            )
        return actions + self._after(now)

    def wants(self, slot: str, now: float) -> list[Action]:
        """The slot can begin nothing more: it has no credit, or no cases."""
        state = self._slots.get(slot)
        if state is None:
            return []
        if self.is_finished:
            return [Stop(slot=slot)]
        state.importing, state.heard_at = "", now
        if state.has_work:
            return [self._grant(state, max(1, self._window(state)))]
        if slot in self._locks and state.running:
            self._rest(state)  # what it holds exclusively must be torn down before another one may have it
            return [Rest(slot=slot)]
        return self._feed(state) + self._after(now)

    def importing(self, slot: str, file: str, now: float) -> list[Action]:
        """The slot imports a test module before it asks for work."""
        state = self._slots.get(slot)
        if state is not None:
            state.importing, state.since, state.heard_at = file, now, now
        return []

    @property
    def suspects(self) -> frozenset[str]:
        """The files whose import ended a process: a new one should not import them before they are due."""
        return frozenset(self._suspects)

    def collecting(self, slot: str, file: str, now: float) -> list[Action]:
        """The slot begins to collect a file."""
        state = self._slots.get(slot)
        if state is not None:
            state.heard_at = now
            state.begin_file(file, now)
        return []

    def collected(
        self,
        slot: str,
        file: str,
        cases: Sequence[Collected],
        withheld: Sequence[Collected],
        *,
        duration_s: float,
        now: float,
    ) -> list[Action]:
        """The slot knows the cases of a file: those it will run, and those that its unit withholds."""
        state = self._slots.get(slot)
        if state is None or self.is_finished:
            return []
        state.heard_at = now
        fresh = self._ledger.register(file, [*cases, *withheld])
        self._ledger.close_file(file)
        told = FileCollected(file=file, cases=fresh, duration_s=duration_s, worker=state.worker, slot=slot)
        actions: list[Action] = [Tell(told)]
        if not state.collects(file):
            return [*actions, *self._after(now)]  # the file was taken away from it meanwhile
        found = [case.id for case in cases]
        to_run = [id for id in dict.fromkeys(found) if not self._ledger[id].is_final]
        piece = state.end_file(file, to_run, duration_s, now)
        self._busy.note(state)
        for id in sorted(set(piece.cases).difference(found)) if piece is not None else ():
            again = (
                "pytest did not find it when the file was collected again; its id may differ from process to process"
            )
            actions += self._conclude(id, Attempt(outcome="error", message=again), now=now)
        actions += self._spread(state, file)
        elsewhere = [case.id for case in withheld if not self._ledger[case.id].is_final]
        for piece in self._pieces(file, elsewhere):
            actions += self._admit(piece)
        return actions + self._share(state) + self._after(now)

    def uncollectable(self, slot: str, id: str, attempt: Attempt, now: float) -> list[Action]:
        """A file, folder or class that cannot be collected. It is told once, however many slots meet it."""
        if slot not in self._slots or id in self._ledger or self.is_finished:
            return []
        self._ledger.register_file(id)
        return self._conclude(id, attempt, now=now) + self._after(now)

    def cannot_start(self, id: str, attempt: Attempt, now: float) -> list[Action]:
        """No process can take work at all, because of the file `id` (a conftest, say)."""
        if id in self._ledger:
            return []
        self._ledger.register_file(id)
        return self._conclude(id, attempt, now=now, final=True)

    def file_skipped(self, slot: str, file: str, reason: str) -> list[Action]:
        """A file, or a class in it, that skipped itself at collection."""
        is_heard = slot in self._slots and not self.is_finished
        return [Tell(FileSkipped(file=file, reason=reason))] if is_heard else []

    def case_started(self, slot: str, case: str, now: float, *, at: float = 0.0) -> list[Action]:
        """The slot began a case. `at` is Unix time in seconds, for those who listen."""
        state = self._slots.get(slot)
        if state is None or self.is_finished or not state.begin_case(case, now):
            return []
        actions: list[Action] = [Tell(CaseStarted(case=case, worker=state.worker, slot=slot, at=at))]
        if state.credit <= state.low_water:
            window = self._window(state)
            state.low_water = window // 2
            if window > state.credit:
                actions.append(self._grant(state, window - state.credit))
        return actions

    def case_finished(self, slot: str, case: str, attempt: Attempt, now: float) -> list[Action]:
        """The slot ended the case that it ran. Anything else (late, twice, not its own) is ignored."""
        state = self._slots.get(slot)
        if state is None or self.is_finished or state.running != case:
            return []
        state.end_case(now)
        if state.is_resting:
            self._unlock(slot)
        self._left_s = max(0.0, self._left_s - self._pace.of_case(state.file_of(case), case))
        self._pace.learn(state.file_of(case), attempt.duration_s)
        return self._conclude(case, replace(attempt, worker=state.worker, slot=slot), now=now) + self._after(now)

    def heard(self, slot: str, now: float) -> list[Action]:
        """The slot printed something."""
        if slot in self._slots:
            self._slots[slot].heard_at = now
        return []

    # --- time and the end -----------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Action]:
        """
        Time passed: look for what takes too long, and for work that idle slots may take over.

        A tick that returns nothing changed nothing, either, unless `has_learnt` is true after it.
        """
        self.has_learnt = False
        if self.is_finished:
            return []
        limit_s = self._limits.run_timeout_s
        if limit_s is not None and now - self._started_at >= limit_s:
            return self.cancel("timeout", f"the run's timeout of {limit_s:g} s passed", now)
        actions: list[Action] = []
        for state in self._slots.values():
            reason = "" if state.is_doomed else self._overdue(state, now)
            if reason:
                state.is_doomed = True
                actions.append(Kill(slot=state.name, outcome="timeout", reason=reason))
            elif state.running and state.has_work and now - state.since > OVERSTAYED * self._limits.window_s:
                actions += self._hold_up(state, now)
        return actions + self._feed_resting(rob=True)

    def cancel(self, status: Literal["cancelled", "timeout", "stopped"], reason: str, now: float) -> list[Action]:
        """End the run early. Where time ran out, the running cases are blamed; all else stays without an outcome."""
        if self.is_finished:
            return []
        actions: list[Action] = []
        for state in self._slots.values():
            if status == "timeout" and state.running:
                attempt = Attempt(outcome="timeout", message=reason, worker=state.worker, slot=state.name)
                timed = replace(attempt, duration_s=max(0.0, now - state.since))
                actions += self._conclude(state.running, timed, now=now, final=True)
        return actions + self._end(status, reason)

    def _after(self, now: float) -> list[Action]:
        if self.is_finished or not self._is_dealt:
            return []
        if self._limits.fail_fast and self._ledger.failures >= self._limits.fail_fast:
            return self.cancel("stopped", f"{self._ledger.failures} failed, as many as --fail-fast allows", now)
        if self._ledger.is_settled:
            return self._end("completed", "")
        return self._feed_resting() if self._has_news else []

    def _end(self, status: Literal["completed", "cancelled", "timeout", "stopped"], reason: str) -> list[Action]:
        self.is_finished = True
        stops: list[Action] = [Stop(slot=slot) for slot in self._slots]
        makespan_s = max(0.0, self._last_case_at - self._started_at)
        return [*stops, Tell(Ended(status=status, reason=reason, makespan_s=makespan_s))]

    # --- dealing out ----------------------------------------------------------------------------------------------

    def _feed_resting(self, *, rob: bool = False) -> list[Action]:
        """Find work for idle slots: what waits, and with `rob` also what a busy slot could give up."""
        self._has_news = False
        actions: list[Action] = []
        if not self._is_dealt or self.is_finished:
            return actions
        idle: set[str] = set()  # what one slot of a worker does not get, another one does not get either
        poor: set[str] = set()  # kinds of worker for which no busy slot can give up anything
        for state in [state for state in self._resting.values() if not state.running]:
            if state.worker in idle:
                continue
            kind = self._backlog.kind_of(state.worker)
            fed = self._deal(state)
            if not fed and rob and kind not in poor:
                fed = self._rob(state, look_at=len(self._slots))
            if not fed:
                idle.add(state.worker)
                poor.add(kind)
            actions += fed
        return actions

    def _feed(self, state: Slot) -> list[Action]:
        """A batch from the backlog, else from a busy slot, else rest."""
        self._unlock(state.name)
        fed = self._deal(state) or self._rob(state, look_at=LOOK_AT)
        if fed:
            return fed
        self._rest(state)
        return [Rest(slot=state.name)]

    def _deal(self, state: Slot) -> list[Action]:
        """A batch from the backlog."""
        pieces: list[Piece] = []
        units: list[Unit] = []
        target_s = min(self._limits.batch_s, self._backlog.expected_s / (2 * len(self._slots)))
        got_s = 0.0
        while not pieces or got_s < target_s:
            taken = self._backlog.take(state.worker, state.name, self._locked())
            if taken is None:
                break
            piece, allowance = taken
            pieces.append(piece)
            units.append(piece.unit(allowance))
            got_s += piece.expected_s
            if piece.exclusive:
                self._locks[state.name] = piece.exclusive
                break
        return [self._assign(state, pieces, units)] if pieces else []

    def _share(self, state: Slot) -> list[Action]:
        """What the slot has just found in a file is dealt to idle slots at once, as far as it could give it up."""
        actions: list[Action] = []
        for thief in [thief for thief in self._resting.values() if not thief.running]:
            taken = self._rob_from([state], thief) if len(state.queue) > state.credit else []
            if not taken:
                break  # the next tick looks closer
            actions += taken
        return actions

    def _rob(self, thief: Slot, *, look_at: int) -> list[Action]:
        """A batch of what one of the busiest slots could give up."""
        with closing(self._busy.most_first(0.0)) as victims:
            return self._rob_from(itertools.islice(victims, look_at), thief)

    def _rob_from(self, victims: Iterable[Slot], thief: Slot) -> list[Action]:
        """A batch of what the first of the victims that can give up something could give up."""
        rules = Rules(
            least_s=self._limits.steal_s,
            group_of=lambda case: self._ledger[case].group,
            may_take_case=lambda case: self._may_move(case, thief.worker),
            may_take_piece=lambda piece: self._backlog.may_move(piece, thief.worker),
        )
        loot = choose_loot(victims, thief, rules)
        if loot is None:
            return []
        victim = self._slots[loot.victim]
        pieces = victim.give_up(loot.files, loot.cases, self._pieces)
        units = [piece.unit(self._backlog.allowance(thief.worker, piece)) for piece in pieces]
        return [Drop(slot=victim.name, cases=loot.cases, files=loot.files), self._assign(thief, pieces, units)]

    def _spread(self, state: Slot, file: str) -> list[Action]:
        """
        Deal the long cases of a file just collected anew, where they would begin too late to end with all the others.

        An idle slot would take them over in the end, but a case that is as long as what is left of the run must
        begin now.
        """
        fair_s = self._left_s / len(self._slots)
        worth_s = max(fair_s * LONG_SHARE, self._limits.steal_s, state.collect_s[file] * LONG_TO_COLLECT)
        late: list[str] = []
        ahead_s = 0.0
        for index, case in enumerate(state.queue):
            expected_s = state.expected_s(case)
            is_movable = index >= max(state.credit, 1) and not self._ledger[case].group
            if is_movable and expected_s > worth_s and ahead_s + expected_s > fair_s and len(self._slots) > 1:
                late.append(case)
            else:
                ahead_s += expected_s
        if not late:
            return []
        state.give_up((), late, self._pieces)
        admitted = [action for case in late for action in self._admit(self._piece(state.file_of(case), [case]))]
        return [Drop(slot=state.name, cases=tuple(late)), *admitted]

    def _hold_up(self, state: Slot, now: float) -> list[Action]:
        """The slot's case overstays: note what waits behind it, and take it back where others could run it."""
        if now - state.since > 2 * state.held_up_s:  # not at each tick: whoever records a run records this
            state.held_up_s = now - state.since
            state.reckon()
            self._busy.note(state)
            self.has_learnt = True
        if not self._resting or not state.credit:
            return []
        state.credit = state.low_water = 0
        return [Recall(slot=state.name)]

    def _can_spare(self, state: Slot, worth_s: float) -> bool:
        """True where the slot could give up so much work, case by case; what is held up gains that time, too."""
        worth_s -= state.held_up_s
        for case in state.queue if state.held_up_s else state.uncommitted():
            if not self._ledger[case].group:
                worth_s -= state.expected_s(case)
                if worth_s < 0:
                    return True
        return False

    def _rest(self, state: Slot) -> None:
        state.is_resting = True
        self._resting[state.name] = state

    def _unlock(self, slot: str) -> None:
        self._has_news |= self._locks.pop(slot, None) is not None

    def _remove(self, slot: str) -> Slot | None:
        self._unlock(slot)
        self._backlog.release(slot)
        self._resting.pop(slot, None)
        state = self._slots.pop(slot, None)
        if state is not None:
            self._busy.forget(state)
        return state

    def _assign(self, state: Slot, pieces: list[Piece], units: list[Unit]) -> Assign:
        self._leases += 1
        state.is_resting = False
        self._resting.pop(state.name, None)
        state.take(pieces)
        self._busy.note(state)
        credit = max(1, self._window(state) - state.credit)
        state.credit += credit
        lease = f"{state.name}/{self._leases}"
        return Assign(slot=state.name, batch=Batch(lease=lease, units=tuple(units)), credit=credit)

    def _grant(self, state: Slot, credit: int) -> Grant:
        state.credit += credit
        state.reckon()
        self._busy.note(state)  # its cases may have turned out to be longer than they looked
        return Grant(slot=state.name, credit=credit)

    def _window(self, state: Slot) -> int:
        """How many of the slot's next cases fit into the window of time that needs no asking."""
        left_s, count = self._limits.window_s, 0
        for expected_s in self._next_cases_s(state):
            left_s -= expected_s
            if left_s < 0:
                break
            count += 1
        return count

    def _next_cases_s(self, state: Slot) -> Iterator[float]:
        """The expected seconds of each case that the slot has before it, as far as that can be told."""
        for case in state.queue:
            yield self._pace.of_case(state.file_of(case), case)
        for piece in state.pieces:
            if piece.cases:
                yield from (self._pace.of_case(piece.file, case) for case in piece.cases)
            else:
                yield from itertools.repeat(self._pace.of_file(piece.file), BLIND_CREDIT)

    def _locked(self) -> frozenset[str]:
        return frozenset().union(*self._locks.values()) if self._locks else frozenset()

    def _overdue(self, state: Slot, now: float) -> str:
        if not state.running and state.collecting is None and not state.importing:
            return ""
        limit_s = self._limits.case_timeout_s
        if state.running and state.collecting is None:
            own_s = self._ledger[state.running].case.timeout_s
            limit_s = own_s if own_s is not None else limit_s
        if limit_s is not None and now - state.since >= limit_s:
            return f"took longer than its timeout of {limit_s:g} s"
        silent_s = self._limits.no_output_timeout_s
        if silent_s is not None and now - max(state.heard_at, state.since) >= silent_s:
            return f"printed nothing for {silent_s:g} s"
        return ""

    # --- keeping account ------------------------------------------------------------------------------------------

    def _requirement(self, case: str) -> Requirement:
        return self._ledger[case].case.requirement

    def _may_move(self, case: str, worker: str) -> bool:
        """True where a slot of `worker` may take the case over from another slot."""
        entry = self._ledger[case]
        requirement = entry.case.requirement
        may_run = self._backlog.may_run(worker, requirement) and worker not in entry.failed_on
        return may_run and not requirement.exclusive

    def _pieces(self, file: str, cases: Sequence[str]) -> list[Piece]:
        """Pieces of cases of one file: together is what needs the same and failed on the same workers."""
        groups: dict[tuple[Requirement, frozenset[str]], list[str]] = {}
        for case in cases:
            groups.setdefault((self._requirement(case), self._ledger[case].failed_on), []).append(case)
        return [self._piece(file, members) for members in groups.values()]

    def _piece(self, file: str, cases: Sequence[str]) -> Piece:
        return Piece(
            file=file,
            needs=self._ledger.needs_of(file),
            cases=tuple(cases),
            requirement=self._requirement(cases[0]),
            expected_s=sum(self._pace.of_case(file, case) for case in cases),
            avoid=self._ledger[cases[0]].failed_on,
        )

    def _admit(self, piece: Piece) -> list[Action]:
        """Let a piece wait for a slot, or say at once that no worker can run it."""
        reason = self._backlog.why_nobody(piece)
        if not reason:
            self._backlog.add(piece)
            self._has_news = True
            return []
        ids = piece.cases or (self._ledger.register_file(piece.file).id,)
        for id in ids:
            self._ledger.finish(id)
        return [Tell(CaseUnplaced(case=self._ledger[id].case, reason=reason)) for id in ids]

    def _judge_again(self) -> list[Action]:
        """The workers changed: say of what waits, and none of them can run, that it is unplaced."""
        if self.is_finished:
            return []
        return [action for piece in self._backlog.drain() for action in self._admit(piece)]

    def _strike(self, piece: Piece, attempt: Attempt, *, halve: bool) -> list[Action]:
        """A process died with this piece in hand: try it again, in halves where that helps, and in the end blame it."""
        strikes = piece.strikes + 1
        halves: tuple[tuple[str, ...], ...] = (piece.cases,)
        if halve and len(piece.cases) > 1:
            middle = len(piece.cases) // 2
            halves = piece.cases[:middle], piece.cases[middle:]
        elif strikes >= MOST_STRIKES:
            blamed = piece.cases or (self._ledger.register_file(piece.file).id,)
            return [action for case in blamed for action in self._conclude(case, attempt, now=self._last_case_at)]
        return [action for half in halves for action in self._admit(replace(piece, cases=half, strikes=strikes))]

    def _conclude(self, case: str, attempt: Attempt, *, now: float, final: bool = False) -> list[Action]:
        entry = self._ledger[case]
        if entry.is_final:
            return []
        self._last_case_at = now
        elsewhere = self._send_elsewhere(entry, attempt)
        if elsewhere:
            return elsewhere
        will_retry = self._ledger.conclude(case, attempt, worker=attempt.worker, final=final)
        told = Tell(CaseFinished(case=entry.case, attempt=attempt, will_retry=will_retry))
        return [told, *self._admit(self._piece(entry.case.file, [case]))] if will_retry else [told]

    def _send_elsewhere(self, entry: Entry, attempt: Attempt) -> list[Action]:
        """A case that skipped itself for a device that another worker has is run there, once."""
        capability = self._backlog.capabilities.get(attempt.worker)
        if attempt.outcome != "skipped" or entry.was_sent_elsewhere or capability is None:
            return []
        miss = placement_miss(entry.case, attempt, capability)
        if miss is None or not self._backlog.anybody(miss.wanted):
            return []
        told: list[Action] = [Tell(CaseFinished(case=entry.case, attempt=attempt, will_retry=True))]
        if miss.blind not in self._blind:
            self._blind.add(miss.blind)
            text = (
                f"{entry.case.id} skipped itself on {attempt.worker} and is run again where it finds {miss.wanted}: "
                f"{miss.blind} (`dt explain {entry.case.file}`; a mark or pragma says it outright)"
            )
            told.append(Tell(Notice(level="warning", text=text)))
        self._ledger.send_elsewhere(entry, miss.wanted)
        return [*told, *self._admit(self._piece(entry.case.file, [entry.case.id]))]
