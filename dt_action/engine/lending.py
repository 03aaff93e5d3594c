"""Who has what of which worker: stocks, what processes see of the devices, and what is kept for who waits longest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dt_action.engine.pieces import Piece
from dt_action.engine.stock import Stock
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.holding import NO_HOLDING, Demand, Holding, Visible, combined, larger


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """
    A piece that waits for so much of a worker that others must not go on taking what it waits for.

    By what is expected it can be met at `by`: who is done by then may run meanwhile. Who is not must leave free what is
    `kept`. Both are as reckoned `at` a version and a time.
    """

    piece: Piece
    by: float
    kept: Holding
    at: tuple[int, float]


@dataclass(slots=True)
class Lending:
    """
    The stocks of the workers that lend, and what each process has of them.

    A process sees the devices that it was started with and no other ones, since a library looks only once; so it has
    them until it ends. Memory and processors are had by a case, until its teardown is over. `version` changes
    whenever something is lent or given back. `shares` tells that several cases may have a device by its memory. `now`
    is the time, in seconds of the clock by which the ends of cases are expected.
    """

    shares: bool = True
    is_off: bool = False
    version: int = 0
    now: float = 0.0
    _stocks: dict[str, Stock] = field(default_factory=dict)
    _worker_of: dict[str, str] = field(default_factory=dict)
    _held: dict[str, Holding] = field(default_factory=dict)
    _holders: dict[str, dict[str, None]] = field(default_factory=dict)
    _ends: dict[str, float] = field(default_factory=dict)
    _seen: dict[str, frozenset[int]] = field(default_factory=dict)
    _claims: dict[str, _Claim] = field(default_factory=dict)
    _elsewhere: Mapping[str, Holding] = field(default_factory=dict)

    # --- workers ------------------------------------------------------------------------------------------------------

    def set_worker(self, worker: str, capability: Capability | None) -> None:
        """A worker came, changed, or (None) went. What its processes have stays lent."""
        self._stocks.pop(worker, None)
        self._claims.pop(worker, None)
        if capability is None or capability.is_per_slot:
            return
        stock = self._stocks[worker] = Stock(capability, shares=self.shares)
        stock.note_elsewhere(self._elsewhere.get(worker, NO_HOLDING))
        for slot, holding in self._held.items():
            if self._worker_of[slot] == worker:
                stock.lend(holding, is_checked=False)

    def lends(self, worker: str) -> bool:
        """True where the worker's devices and memory are lent case by case."""
        return worker in self._stocks and not self.is_off

    def anybody_lends(self, requirement: Requirement) -> bool:
        """True where some worker that lends satisfies the requirement."""
        return not self.is_off and any(stock.capability.satisfies(requirement) for stock in self._stocks.values())

    def note_elsewhere(self, lent: Mapping[str, Holding]) -> bool:
        """What other runs have of each worker now; True where there may be more for us than before."""
        before, self._elsewhere = self._elsewhere, lent
        for worker, stock in self._stocks.items():
            stock.note_elsewhere(lent.get(worker, NO_HOLDING))
        return any(holding != lent.get(worker) for worker, holding in before.items())

    @property
    def elsewhere(self) -> Mapping[str, Holding]:
        """What other runs have, as far as was told."""
        return self._elsewhere

    def lent(self) -> dict[str, Holding]:
        """What this run has of each worker."""
        by_worker: dict[str, list[Holding]] = {}
        for slot, holding in self._held.items():
            if not holding.is_nothing:
                by_worker.setdefault(self._worker_of[slot], []).append(holding)
        return {worker: combined(holdings) for worker, holdings in by_worker.items()}

    # --- processes ----------------------------------------------------------------------------------------------------

    def open(self, slot: str, worker: str, holding: Holding, known_s: float | None = None) -> Visible | None:
        """
        A process is started with this, for so many seconds where that is known; what it sees.

        None where it sees what it likes: nobody lends there.
        """
        stock = self._stocks.get(worker)
        if stock is None or self.is_off:
            return None
        self._worker_of[slot] = worker
        self._seen[slot] = holding.devices
        self._hold(slot, worker, holding, known_s)
        devices = stock.capability.devices
        kinds = frozenset(device.kind for device in devices)
        return Visible(devices=tuple(devices[at] for at in sorted(holding.devices)), kinds=kinds) if kinds else None

    def close(self, slot: str) -> bool:
        """The process is gone; True where it had something."""
        worker = self._worker_of.pop(slot, "")
        self._seen.pop(slot, None)
        return self._give_back(slot, worker)

    def sees(self, slot: str) -> frozenset[int]:
        """The devices that a process sees, by their places in the worker's capability."""
        return self._seen.get(slot, frozenset())

    def has_something(self, slot: str) -> bool:
        """True where something is lent to the process."""
        return slot in self._held

    def end_case(self, slot: str) -> bool:
        """The last case of a process is torn down; what its devices hold stays until the process ends. True for news"""
        if self._seen.get(slot) or slot not in self._held:
            return False
        return self._give_back(slot, self._worker_of[slot])

    def holding_for(self, slot: str, worker: str, demand: Demand, piece: Piece) -> Holding | None:
        """What the process would have for a demand, in the place of what it has; None where that is not free."""
        stock = self._stocks[worker]
        mine = self._held.get(slot, NO_HOLDING)
        seen = self._seen.get(slot, frozenset())
        beside = self._beside(worker, piece)
        if not mine.is_nothing:
            stock.take_back(mine)
        found = stock.fit(demand, within=seen, beside=beside)
        if not mine.is_nothing:
            stock.lend(mine, is_checked=False)
        return found

    def change(
        self, slot: str, worker: str, holding: Holding, known_s: float | None = None, *, is_torn_down: bool
    ) -> None:
        """The process has this from now on; until its last case is torn down, it has that one's as well."""
        stock, mine = self._stocks[worker], self._held.get(slot, NO_HOLDING)
        if not mine.is_nothing:
            stock.take_back(mine)
        self._worker_of[slot] = worker
        self._hold(slot, worker, holding if is_torn_down else larger(mine, holding), known_s)

    # --- new processes ------------------------------------------------------------------------------------------------

    def seat_for(self, worker: str, demand: Demand, piece: Piece) -> Holding | None:
        """What a new process would be started with for the demand."""
        return self._stocks[worker].fit(demand, beside=self._beside(worker, piece))

    def claim(self, worker: str, demand: Demand, piece: Piece) -> None:
        """
        The piece is the first in turn and does not fit: others get of what it waits for only what does not delay it.

        A claim of one that needs the same, and has lost its turn to this one, is this one's.
        """
        held = self._claims.get(worker)
        if held is not None and held.piece.key != piece.key:
            return
        if held is None and any(claim.piece is piece for claim in self._claims.values()):
            return
        if held is None or held.piece is not piece:
            self._reckon(worker, piece, demand)

    def _reckon(self, worker: str, piece: Piece, demand: Demand) -> None:
        """
        Work out when the claim can be met, and what is kept for it until then.

        What nobody knows the end of, or is longer than expected, may end at any moment, or late: the claim is not to be
        put off in either case.
        """
        stock = self._stocks[worker]
        ends = sorted((max(self._ends[slot], self.now), slot) for slot in self._holders.get(worker, ()))
        known = [(at, self._held[slot]) for at, slot in ends if self.now < at < math.inf]
        anytime = [(self.now, self._held[slot]) for at, slot in ends if not self.now < at < math.inf]
        found = stock.soonest_after(demand, [*anytime, *known])
        by = found[0] if found is not None else self.now
        wanted = stock.soonest_after(demand, [*known, *anytime]) if anytime else found
        holding = wanted[1] if wanted is not None else stock.soonest(demand)
        if holding is not None:
            kept = stock.to_keep(holding, [given for at, given in known if at <= by])
            self._claims[worker] = _Claim(piece=piece, by=by, kept=kept, at=(self.version, self.now))

    def claimants(self) -> dict[str, Piece]:
        """The piece for which something of each worker is kept. All else about a claim follows from the time."""
        return {worker: claim.piece for worker, claim in self._claims.items()}

    def unclaim(self, piece: Piece | None = None) -> None:
        """The piece (or every piece) waits no more."""
        for worker in [worker for worker, claim in self._claims.items() if piece is None or claim.piece is piece]:
            del self._claims[worker]

    def _beside(self, worker: str, piece: Piece) -> Iterable[Holding]:
        claim = self._claims.get(worker)
        if claim is None or claim.piece is piece:
            return ()
        if claim.at != (self.version, self.now):
            self._reckon(worker, claim.piece, claim.piece.demand)
            claim = self._claims[worker]
        is_done_by_then = piece.known_s is not None and self.now + piece.known_s <= claim.by
        return () if is_done_by_then else (claim.kept,)

    def _hold(self, slot: str, worker: str, holding: Holding, known_s: float | None) -> None:
        if not holding.is_nothing:
            self._stocks[worker].lend(holding)
            self._held[slot] = holding
            self._holders.setdefault(worker, {})[slot] = None
            self._ends[slot] = math.inf if known_s is None else self.now + known_s
        elif self._forget(slot, worker) is None:
            return
        self.version += 1

    def _give_back(self, slot: str, worker: str) -> bool:
        holding = self._forget(slot, worker)
        if holding is None:
            return False
        if worker in self._stocks:
            self._stocks[worker].take_back(holding)
        self.version += 1
        return True

    def _forget(self, slot: str, worker: str) -> Holding | None:
        self._ends.pop(slot, None)
        self._holders.get(worker, {}).pop(slot, None)
        return self._held.pop(slot, None)
