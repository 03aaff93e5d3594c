"""Who gets which work: from the backlog, from a busy slot, or none yet; and how far a slot may go without asking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection
from contextlib import closing

from dt_action.engine.actions import Action, Limits, Send
from dt_action.engine.backlog import Backlog
from dt_action.engine.intake import Intake
from dt_action.engine.ledger import Ledger
from dt_action.engine.locks import Locks
from dt_action.engine.pace import Pace
from dt_action.engine.pieces import Allowance, Piece
from dt_action.engine.singles import Singles
from dt_action.engine.slots import Slot
from dt_action.engine.stealing import Busy, Rules, choose_transfer
from dt_action.engine.verdicts import Verdicts
from dt_action.engine.withdrawal import Withdrawal
from dt_action.model.holding import NO_HOLDING, Visible
from dt_action.model.slot_protocol import Assign, Drop, Grant, Recall, Rest, Stop, Unit

WORTH_A_SLOT_S = 2.0
"""So much work that a busy slot could give up makes one more process worth its start."""

OVERSTAYED = 4
"""A case that runs for so many windows of credit longer than expected holds up what waits: it goes to idle slots."""

LOOK_AT = 16
"""So many of the busiest slots are looked at when one is to give up work, before a tick looks at all of them."""


class Dealer:
    """
    The slots, and the work that they hold. `has_learnt` is set where time alone changes what will be decided.
    """

    def __init__(
        self,
        limits: Limits,
        ledger: Ledger,
        backlog: Backlog,
        pace: Pace,
        verdicts: Verdicts,
        intake: Intake,
        locks: Locks,
        singles: Singles,
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
        self._intake = intake
        self._withdrawal = Withdrawal(limits, ledger, backlog, verdicts)
        self._locks = locks
        self._resting: dict[str, Slot] = {}
        self._busy = Busy()
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

    # --- processes that see devices -----------------------------------------------------------------------------------

    def wants_seat_on(self, worker: str) -> bool:
        """True where a process with devices of the worker could be started now, and has something to do."""
        return self._backlog.seat_on(worker, self._locks.locked) is not None

    def claim_seat_on(self, worker: str) -> None:
        """Where such a process cannot be started now, keep for who is first in turn what it waits for."""
        self._backlog.claim_seat(worker, self._locks.locked)

    def start(self, slot: str, worker: str, *, sees_none: bool) -> Visible | None:
        """A process is started: what it sees of the worker's devices; None for all that is there."""
        found = None if sees_none else self._backlog.seat_on(worker, self._locks.locked)
        if found is None:
            return self._lending.open(slot, worker, NO_HOLDING)
        piece, holding = found
        self._backlog.take_out(piece)
        self._promised[slot] = piece
        self._locks.lock(slot, piece.exclusive)
        return self._lending.open(slot, worker, holding, piece.known_s)

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
            slot, state.worker, self._locks.locked, self._not_for(state)
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

    def unlock(self, name: str) -> None:
        """What the slot had for itself is anybody's."""
        self._backlog.has_news |= self._locks.unlock(name)

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
        """Deal anew what of a file just collected would begin too late where it is, or waits for what it takes."""
        shared = self._withdrawal.of_demanding(slot, file)
        self._busy.note(slot)
        if len(self.slots) == 1:
            return shared
        return [*shared, *self._withdrawal.of_late(slot, file, fair_s=self._intake.left_s / len(self.slots))]

    def keep_off(self, slot: Slot) -> list[Action]:
        """Take away what needs a fixture that only another slot can have, and may not begin without asking."""
        return self._withdrawal.of_barred(slot, self.singles.barred(slot.name))

    def take_rest(self, slot: Slot) -> list[Action]:
        """Take away what may not begin without asking, but for groups that the slot has begun."""
        return self._withdrawal.of_uncommitted(slot)

    def _deal(self, slot: Slot) -> list[Action]:
        """A batch from the backlog."""
        pieces: list[Piece] = []
        units: list[Unit] = []
        target_s = min(self._limits.batch_s, self._backlog.expected_s / (2 * len(self.slots)))
        got_s = 0.0
        promised = self._promised.pop(slot.name, None)
        if promised is not None:
            self._locks.lock(slot.name, promised.exclusive)
            allowance = self._backlog.allowance(slot.worker, promised)
            rest = self._backlog.take_rest_of(promised, slot.worker, self._locks.locked, self._not_for(slot))
            together = sorted([promised, *rest], key=lambda piece: piece.turn)
            return [self._assign(slot, together, [self._unit(piece, allowance) for piece in together])]
        while not pieces or got_s < target_s:
            taken = self._backlog.take(
                slot.worker,
                slot.name,
                self._locks.locked,
                self._not_for(slot),
                is_torn_down=not slot.running,
                may_demand=not pieces,
            )
            if taken is None:
                break
            piece, allowance = taken
            rest = self._backlog.take_rest_of(piece, slot.worker, self._locks.locked, slot.lacks)
            together = sorted([piece, *rest], key=lambda piece: piece.turn)
            pieces += together
            units += [self._unit(one, allowance) for one in together]
            got_s += sum(one.expected_s for one in together)
            self._locks.lock(slot.name, piece.exclusive)
            if piece.exclusive or self._backlog.demands(slot.worker, piece.requirement):
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
