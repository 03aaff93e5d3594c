"""Who gets which work: from the backlog, from a busy slot, or none yet; and how far a slot may go without asking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from contextlib import closing

from dt_action.engine.actions import Action, Limits, Send
from dt_action.engine.backlog import Backlog
from dt_action.engine.ledger import Ledger
from dt_action.engine.pace import Pace
from dt_action.engine.pieces import Allowance, Piece, parts_of
from dt_action.engine.singles import Singles
from dt_action.engine.slots import Slot
from dt_action.engine.stealing import Busy, Rules, choose_transfer
from dt_action.engine.verdicts import Verdicts
from dt_action.model.hardware import Requirement
from dt_action.model.holding import NO_HOLDING, Visible, demand_of
from dt_action.model.plan import PlannedFile
from dt_action.model.slot_protocol import Assign, Drop, Grant, Recall, Rest, Stop, Unit

WORTH_A_SLOT_S = 2.0
"""So much work that a busy slot could give up makes one more process worth its start."""

EARLY_SHARE = 0.1
"""A file with a case longer than this part of a slot's share starts early: at the end, others would wait for it."""

LONG_SHARE = 0.1
"""A case is long when it takes this share of what a slot has left, if all work were shared out evenly."""

LONG_TO_COLLECT = 4.0
"""A case is worth collecting its file once more when it takes so many times as long as that."""

OVERSTAYED = 4
"""A case that runs for so many windows of credit longer than expected holds up what waits: it goes to idle slots."""

LOOK_AT = 16
"""So many of the busiest slots are looked at when one is to give up work, before a tick looks at all of them."""


class Dealer:
    """
    The slots, and the work that they hold. `has_learnt` is set where time alone changes what will be decided.
    """

    def __init__(
        self, limits: Limits, ledger: Ledger, backlog: Backlog, pace: Pace, verdicts: Verdicts, singles: Singles
    ) -> None:
        self.slots: dict[str, Slot] = {}
        self.singles = singles
        self.has_learnt = False
        self._overstay_s = OVERSTAYED * limits.window_s
        self._limits = limits
        self._ledger = ledger
        self._backlog = backlog
        self._pace = pace
        self._verdicts = verdicts
        self._resting: dict[str, Slot] = {}
        self._busy = Busy()
        self._locks: dict[str, frozenset[str]] = {}
        self.reserved_elsewhere: frozenset[str] = frozenset()
        self._left_s = 0.0
        self._held: dict[str, Slot] = {}
        self._lending = backlog.lending
        self._promised: dict[str, Piece] = {}

    @property
    def resting(self) -> list[Slot]:
        """The slots that wait for work, with nothing in hand."""
        return [slot for slot in self._resting.values() if not slot.running or slot.is_held]

    @property
    def held(self) -> int:
        """How many slots keep the fixtures of a case that is over but for its teardown."""
        return len(self._held)

    def open(self, files: Sequence[PlannedFile], places: int) -> list[Action]:
        """Let files that are collected in their turn wait for slots, of which there will be about so many."""
        self._left_s += sum(file.expected_s for file in files)
        share_s = self._left_s / places
        actions: list[Action] = []
        for file in files:
            longest_s = max(file.cases_s.values(), default=0.0)
            parts = parts_of(file.needs, self._takes) if self._takes_something(file) else [(file.needs, None)]
            if len(parts) > 1:
                self._ledger.divide(file.path, [part for _, part in parts])
            for needs, part in parts:
                piece = Piece(
                    file=file.path,
                    needs=needs,
                    requirement=needs.default,
                    expected_s=file.expected_s / len(parts),
                    chosen=file.chosen,
                    portion=file.portion,
                    goes_first=file.goes_first or longest_s > EARLY_SHARE * share_s,
                    part=part if len(parts) > 1 else None,
                )
                actions += self._verdicts.admit(piece)
        return actions

    def _takes_something(self, file: PlannedFile) -> bool:
        return any(self._takes(requirement) for requirement in (file.needs.default, *file.needs.cases.values()))

    def _takes(self, requirement: Requirement) -> bool:
        """True for tests that take something of their worker while they run."""
        return not demand_of(requirement).is_nothing and self._lending.anybody_lends(requirement)

    def needs_devices(self, file: PlannedFile) -> bool:
        """True where tests of the file see devices, so that each part of it is collected by who sees the same."""
        needs = (file.needs.default, *file.needs.cases.values())
        return any(demand_of(need).width and self._takes(need) for need in needs)

    def open_cases(self, segments: Sequence[tuple[PlannedFile, Sequence[str], bool]], places: int) -> list[Action]:
        """
        Let cases that are all known wait for slots, in pytest's order.

        A segment is cases of one file that follow each other, and whether they are all there is of the file.
        """
        self._left_s += sum(self._pace.of_case(file.path, case) for file, cases, _ in segments for case in cases)
        share_s = self._left_s / places
        actions: list[Action] = []
        for file, cases, is_whole in segments:
            longest_s = max((self._pace.of_case(file.path, case) for case in cases), default=0.0)
            goes_first = file.goes_first or (file.is_measured and longest_s > EARLY_SHARE * share_s)
            pieces = self._verdicts.pieces(file.path, cases)
            for piece in pieces:
                piece.in_order = True
                piece.goes_first = goes_first
                piece.is_whole = is_whole and len(pieces) == 1
                actions += self._verdicts.admit(piece)
        return actions

    # --- processes that see devices -----------------------------------------------------------------------------------

    def wants_seat_on(self, worker: str) -> bool:
        """True where a process with devices of the worker could be started now, and has something to do."""
        return self._backlog.seat_on(worker, self.locked) is not None

    def start(self, slot: str, worker: str, *, sees_none: bool) -> Visible | None:
        """A process is started: what it sees of the worker's devices; None for all that is there."""
        found = None if sees_none else self._backlog.seat_on(worker, self.locked)
        if found is None:
            return self._lending.open(slot, worker, NO_HOLDING)
        piece, holding = found
        self._backlog.take_out(piece)
        self._promised[slot] = piece
        if piece.exclusive:
            self._locks[slot] = piece.exclusive
        return self._lending.open(slot, worker, holding)

    def process_gone(self, slot: str) -> list[Action]:
        """The process has ended: what it had is free, and what it was started for waits for another one."""
        self._backlog.has_news |= self._lending.close(slot)
        self.unlock(slot)
        piece = self._promised.pop(slot, None)
        return self._verdicts.admit(piece) if piece is not None else []

    @property
    def has_promised(self) -> bool:
        """True while a process is being started for a piece that waits for it."""
        return bool(self._promised)

    def is_done_with(self, slot: str) -> bool:
        """True for a process that sees devices of which nothing that waits could make use now."""
        if not self._lending.sees(slot) or slot in self._promised:
            return False
        state = self.slots[slot]
        return not state.has_work and not self._backlog.has_seat_work(
            slot, state.worker, self.locked, self._not_for(state)
        )

    # --- slots ----------------------------------------------------------------------------------------------------

    def join(self, name: str, worker: str, now: float) -> None:
        """A process is ready to take work."""
        self.slots[name] = Slot(name=name, worker=worker, heard_at=now, pace=self._pace)

    def remove(self, name: str) -> Slot | None:
        """A process is gone."""
        self.unlock(name)
        self._backlog.release(name)
        self.singles.leave(name)
        self._resting.pop(name, None)
        self._held.pop(name, None)
        slot = self.slots.pop(name, None)
        if slot is not None:
            self._busy.forget(slot)
        return slot

    def retire(self, worker: str) -> list[str]:
        """The slots of a worker that is lost: there is no work for them any more."""
        lost = [slot.name for slot in self.slots.values() if slot.worker == worker]
        for name in lost:
            self._resting.pop(name, None)
        return lost

    def rest(self, slot: Slot, *, clear: bool = False) -> Send:
        """There is nothing for the slot now. With `clear`, it tears down what it holds, for which others wait."""
        slot.is_resting = True
        self._resting[slot.name] = slot
        return Send(slot=slot.name, command=Rest(clear=clear))

    def hold(self, slot: Slot) -> None:
        """There is nothing for the slot now. It keeps its fixtures: to set them up may take long, or work only once."""
        slot.is_held = slot.is_resting = True
        slot.since = math.inf  # what it waits for is nobody's time
        self._resting[slot.name] = self._held[slot.name] = slot

    def release_held(self, now: float) -> list[Action]:
        """Nothing will come for the slots that hold fixtures: they tear them down, which ends their cases."""
        held = list(self._held.values())
        for slot in held:
            slot.is_held = False
            slot.is_leaving = True
            slot.since = now
            self._resting.pop(slot.name, None)
        self._held.clear()
        return [Send(slot=slot.name, command=Stop()) for slot in held]

    def dismiss_idle(self, worker: str, now: float) -> list[Action]:
        """End one slot of the worker that waits for work."""
        for slot in [slot for slot in self.resting if slot.worker == worker and not slot.is_leaving][:1]:
            slot.since = now
            self._leave(slot)
            return [Send(slot=slot.name, command=Stop())]
        return []

    def let_go(self, slot: Slot) -> list[Action]:
        """The slot is to tear down what it holds, which ends its case; nothing more is for it."""
        self._leave(slot)
        return [Send(slot=slot.name, command=Rest(clear=True))]

    def _leave(self, slot: Slot) -> None:
        slot.is_leaving, slot.is_held = True, False
        self._resting.pop(slot.name, None)
        self._held.pop(slot.name, None)

    def ended_case(self, slot: Slot) -> None:
        """The slot's case is over, its teardown included."""
        self._held.pop(slot.name, None)
        if self._lending.has_something(slot.name) and not self._has_demanding(slot):
            self._backlog.has_news |= self._lending.end_case(slot.name)

    def _has_demanding(self, slot: Slot) -> bool:
        """True where something in the slot's hand takes what was lent to it."""
        pieces = [*slot.pieces, *([slot.collecting] if slot.collecting is not None else [])]
        if any(not piece.demand.is_nothing for piece in pieces):
            return True
        return any(self._backlog.demands(slot.worker, self._ledger[case].case.requirement) for case in slot.queue)

    def wants_slot_on(self, worker: str) -> bool:
        """True where one more slot there would have something to do: what waits, or what a busy slot could give up."""
        if self._backlog.has_for(worker):
            return True
        with closing(self._busy.most_first(WORTH_A_SLOT_S)) as busiest:
            return any(self._can_spare(slot, WORTH_A_SLOT_S) for slot in itertools.islice(busiest, LOOK_AT))

    def _can_spare(self, slot: Slot, worth_s: float) -> bool:
        """True where the slot could give up so much work, case by case; what is held up gains that time, too."""
        worth_s -= slot.held_up_s
        for case in slot.queue if slot.held_up_s else slot.uncommitted():
            if not self._ledger[case].group:
                worth_s -= slot.expected_s(case)
                if worth_s < 0:
                    return True
        return False

    # --- what only one may have at a time -------------------------------------------------------------------------

    def holds_exclusively(self, slot: Slot) -> bool:
        """True where the slot has something that no other one may have before it is torn down."""
        return slot.name in self._locks

    def unlock(self, name: str) -> None:
        """What the slot had for itself is anybody's."""
        self._backlog.has_news |= self._locks.pop(name, None) is not None

    @property
    def reserved(self) -> frozenset[str]:
        """The names of what some slot has for itself."""
        return frozenset().union(*self._locks.values()) if self._locks else frozenset()

    @property
    def locked(self) -> frozenset[str]:
        """The names of what nobody can have now, since some slot of this run or of another one has it for itself."""
        return self.reserved | self.reserved_elsewhere

    # --- credit ---------------------------------------------------------------------------------------------------

    def grant(self, slot: Slot) -> list[Action]:
        """The slot can go no further without being told: let it, by at least one case."""
        return [self._grant(slot, max(1, slot.fits_into(self._limits.window_s)))]

    def began(self, slot: Slot, case: str) -> list[Action]:
        """The slot began a case: see how long that may take, and give it more credit before it runs out."""
        slot.limit_s = self._ledger[case].case.timeout_s
        slot.overstays_at = slot.since + self._overstay_s + slot.expected_s(case)
        if slot.credit > slot.low_water:
            return []
        window = slot.fits_into(self._limits.window_s)
        slot.low_water = window // 2
        return [self._grant(slot, window - slot.credit)] if window > slot.credit else []

    def hold_up(self, slot: Slot, now: float) -> list[Action]:
        """
        Where the slot's case overstays, note that what waits behind it is held up.

        Credit for that is taken back where others could run it, however long the case was expected to take.
        """
        runs_s = now - slot.since
        if not slot.has_work or runs_s <= self._overstay_s:
            return []
        if now >= slot.overstays_at:
            slot.overstays_at = now + runs_s  # not at each tick: whoever records a run records this
            slot.held_up_s = runs_s
            slot.reckon()
            self._busy.note(slot)
            self.has_learnt = True
        if not self._resting or not slot.credit:
            return []
        slot.credit = slot.low_water = 0
        return [Send(slot=slot.name, command=Recall())]

    def _grant(self, slot: Slot, credit: int) -> Send:
        slot.credit += credit
        slot.reckon()
        self._busy.note(slot)  # its cases may have turned out to be longer than they looked
        return Send(slot=slot.name, command=Grant(credit=credit))

    # --- dealing --------------------------------------------------------------------------------------------------

    def feed(self, slot: Slot) -> list[Action]:
        """A batch from the backlog, else from a busy slot, else rest."""
        self.unlock(slot.name)
        fed = self._deal(slot)
        if not fed and not self._lending.sees(slot.name):
            fed = self._take_from_busy(slot, look_at=LOOK_AT)
        if not fed and slot.running and self._lending.has_something(slot.name):
            return [self.rest(slot, clear=True)]  # others may wait for what it has
        if fed or slot.running:
            if not fed:
                self.hold(slot)
            return fed
        return [self.rest(slot)]

    def feed_resting(self, *, steal: bool = False) -> list[Action]:
        """Find work for idle slots: what waits, and with `steal` also what a busy slot could give up."""
        self._backlog.has_news = False
        actions: list[Action] = []
        idle: set[tuple[str, frozenset[int]]] = set()  # what one slot does not get, its like does not get either
        fruitless: set[str] = set()  # kinds of worker for which no busy slot can give up anything
        for slot in self.resting:
            seen = self._lending.sees(slot.name)
            if (slot.worker, seen) in idle:
                continue
            kind = self._backlog.kind_of(slot.worker)
            fed = self._deal(slot)
            if not fed and steal and kind not in fruitless and not seen:
                fed = self._take_from_busy(slot, look_at=len(self.slots))
            if not fed and not self._not_for(slot):
                idle.add((slot.worker, seen))
                fruitless |= set() if seen else {kind}
            actions += fed
        return actions

    def spread(self, slot: Slot, file: str) -> list[Action]:
        """
        Deal the long cases of a file just collected anew, where they would begin too late to end with all the others.

        An idle slot would take them over in the end, but a case that is as long as what is left of the run must
        begin now.
        """
        shared = self._share_out(slot, file)
        self._busy.note(slot)
        fair_s = self._left_s / len(self.slots)
        worth_s = max(fair_s * LONG_SHARE, self._limits.steal_s, slot.collect_s[file] * LONG_TO_COLLECT)
        late: list[str] = []
        ahead_s = 0.0
        for index, case in enumerate(slot.queue):
            expected_s = slot.expected_s(case)
            is_movable = index >= max(slot.credit, 1) and not self._ledger[case].group
            if is_movable and expected_s > worth_s and ahead_s + expected_s > fair_s and len(self.slots) > 1:
                late.append(case)
            else:
                ahead_s += expected_s
        if not late:
            return shared
        slot.give_up((), late, self._verdicts.pieces)
        admitted = [action for case in late for action in self._verdicts.admit_cases(slot.file_of(case), [case])]
        return [*shared, Send(slot=slot.name, command=Drop(cases=tuple(late))), *admitted]

    def _share_out(self, slot: Slot, file: str) -> list[Action]:
        """What takes something of the worker waits for that case by case, but for what may have begun already."""
        sure = max(slot.credit, 1)
        begun = {self._ledger[case].group for case in itertools.islice(slot.queue, sure)} - {""}
        late = [
            case
            for case in itertools.islice(slot.queue, sure, None)
            if self._ledger[case].group not in begun
            and self._backlog.demands(slot.worker, self._ledger[case].case.requirement)
        ]
        if not late:
            return []
        slot.give_up((), late, self._verdicts.pieces)
        return [Send(slot=slot.name, command=Drop(cases=tuple(late))), *self._verdicts.admit_cases(file, late)]

    def learn(self, slot: Slot, case: str, duration_s: float) -> None:
        """A case of the slot took so long: so much less is left, and others of its file may take as long."""
        file = slot.file_of(case)
        self._left_s = max(0.0, self._left_s - self._pace.of_case(file, case))
        self._pace.learn(file, duration_s)

    def _deal(self, slot: Slot) -> list[Action]:
        """A batch from the backlog."""
        pieces: list[Piece] = []
        units: list[Unit] = []
        target_s = min(self._limits.batch_s, self._backlog.expected_s / (2 * len(self.slots)))
        got_s = 0.0
        promised = self._promised.pop(slot.name, None)
        if promised is not None:
            if promised.exclusive:
                self._locks[slot.name] = promised.exclusive
            allowance = self._backlog.allowance(slot.worker, promised)
            rest = self._backlog.take_rest_of(promised, slot.worker, self.locked, self._not_for(slot))
            together = sorted([promised, *rest], key=lambda piece: piece.turn)
            return [self._assign(slot, together, [self._unit(piece, allowance) for piece in together])]
        while not pieces or got_s < target_s:
            taken = self._backlog.take(
                slot.worker,
                slot.name,
                self.locked,
                self._not_for(slot),
                is_torn_down=not slot.running,
                may_demand=not pieces,
            )
            if taken is None:
                break
            piece, allowance = taken
            rest = self._backlog.take_rest_of(piece, slot.worker, self.locked, slot.lacks)
            together = sorted([piece, *rest], key=lambda piece: piece.turn)
            pieces += together
            units += [self._unit(one, allowance) for one in together]
            got_s += sum(one.expected_s for one in together)
            if piece.exclusive:
                self._locks[slot.name] = piece.exclusive
                break
            if self._backlog.demands(slot.worker, piece.requirement):
                break
        return [self._assign(slot, pieces, units)] if pieces else []

    def _take_from_busy(self, taker: Slot, *, look_at: int) -> list[Action]:
        """A batch of what one of the busiest slots could give up."""
        not_for_it = self._not_for(taker)
        rules = Rules(
            least_s=self._limits.steal_s,
            group_of=lambda case: self._ledger[case].group,
            may_take_case=lambda case: self._verdicts.may_move(case, taker.worker, lacks=not_for_it),
            may_take_piece=lambda piece: piece.file not in not_for_it and self._backlog.may_move(piece, taker.worker),
        )
        with closing(self._busy.most_first(0.0)) as givers:
            transfer = choose_transfer(itertools.islice(givers, look_at), taker, rules)
        if transfer is None:
            return []
        giver = self.slots[transfer.giver]
        pieces = giver.give_up(transfer.files, transfer.cases, self._verdicts.pieces)
        units = [self._unit(piece, self._backlog.allowance(taker.worker, piece)) for piece in pieces]
        taken = Send(slot=giver.name, command=Drop(cases=transfer.cases, files=transfer.files))
        return [taken, self._assign(taker, pieces, units)]

    def keep_off(self, slot: Slot) -> list[Action]:
        """
        Take away from the slot what needs a fixture that only another slot can have, and may not begin without asking.

        What it may begin it has perhaps prepared for, and fails there; that is no outcome (`Dispatcher.case_finished`).
        """
        barred = self.singles.barred(slot.name)
        cases = tuple(case for case in slot.uncommitted() if slot.file_of(case) in barred)
        held = {slot.file_of(case) for case in slot.queue}
        files = tuple({piece.file: None for piece in slot.spare_pieces() if piece.file in barred - held})
        if not (cases or files):
            return []
        pieces = slot.give_up(files, cases, self._verdicts.pieces)
        admitted = [action for piece in pieces for action in self._verdicts.admit(piece)]
        return [Send(slot=slot.name, command=Drop(cases=cases, files=files)), *admitted]

    def take_rest(self, slot: Slot) -> list[Action]:
        """Take away from the slot what it may not begin without asking, but for groups that it has begun."""
        group_of = {case: self._ledger[case].group for case in slot.queue}
        stays = {group_of[case] for case in itertools.islice(slot.queue, slot.credit)} | slot.begun_groups
        stays |= {group for group in group_of.values() if self._ledger.spans(group)}
        cases = tuple(case for case in slot.uncommitted() if not group_of[case] or group_of[case] not in stays)
        if not cases:
            return []
        pieces = slot.give_up((), cases, self._verdicts.pieces)
        admitted = [action for piece in pieces for action in self._verdicts.admit(piece)]
        return [Send(slot=slot.name, command=Drop(cases=cases)), *admitted]

    def _not_for(self, slot: Slot) -> Collection[str]:
        """The files of which the slot is to run nothing: it does not find their tests, or cannot have a fixture."""
        barred = self.singles.barred(slot.name)
        return barred | slot.lacks if barred else slot.lacks

    def _unit(self, piece: Piece, allowed: Allowance) -> Unit:
        """A piece as a slot is handed it."""
        test_type = self._ledger.told_type_of(piece.file)
        allowed = allowed.within(piece.part)
        if piece.cases:
            tried = {case: self._ledger[case].attempts for case in piece.cases if self._ledger[case].attempts}
            cases = () if piece.is_whole else piece.cases
            return Unit(file=piece.file, cases=cases, type=test_type, tried=tried)
        return Unit(
            file=piece.file,
            cases=piece.chosen,
            withheld=allowed.withheld,
            only=allowed.only,
            portion=piece.portion,
            type=test_type,
        )

    def _assign(self, slot: Slot, pieces: list[Piece], units: list[Unit]) -> Send:
        slot.is_resting = slot.is_held = False
        self._resting.pop(slot.name, None)
        self._held.pop(slot.name, None)
        slot.take(pieces)
        self.singles.claim(slot.name, [piece.file for piece in pieces])
        self._busy.note(slot)
        credit = max(1, slot.fits_into(self._limits.window_s) - slot.credit)
        slot.credit += credit
        return Send(slot=slot.name, command=Assign(units=tuple(units), credit=credit))
