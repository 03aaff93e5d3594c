"""The work that no slot holds: pieces in queues by what they need, longest first, and which worker may take them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from dt_action.engine.lending import Lending
from dt_action.engine.pieces import Allowance, Piece
from dt_action.engine.stretches import Stretches
from dt_action.model.hardware import Capability, Requirement
from dt_action.model.holding import Holding, demand_of


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """A piece in its queue, in the order of `rank`: priority, what goes first, most devices, longest, then by file."""

    rank: tuple[int, bool, int, float, str, int]
    piece: Piece = field(compare=False)


@dataclass(slots=True)
class Backlog:
    """
    Plain files in stretches, in pytest's order; everything else in queues by what it needs, longest first.

    What needs something waits for few slots, so it goes first; first of all what takes something of its worker while
    it runs, by `lending`. `capabilities` are the workers present or expected.
    `has_news` tells that something came, or became free to run, since idle slots were last fed from here.
    """

    lending: Lending = field(default_factory=Lending)
    capabilities: dict[str, Capability] = field(default_factory=dict)
    expected_s: float = 0.0
    has_news: bool = False
    _stretches: Stretches = field(default_factory=Stretches)
    _count: int = 0
    _queues: dict[object, list[_Entry]] = field(default_factory=dict)
    _demanding: dict[object, list[_Entry]] = field(default_factory=dict)
    _kinds: dict[Capability, str] = field(default_factory=dict)
    _kind_of: dict[str, str] = field(default_factory=dict)
    _allowances: dict[tuple[str, object], Allowance] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Piece]:
        yield from self._stretches.waiting()
        queues = (*self._queues.values(), *self._demanding.values())
        yield from (entry.piece for queue in queues for entry in queue)

    def why_waiting(self, locked: frozenset[str]) -> Iterator[tuple[str, str]]:
        """The file of each piece, and what it waits for. Nobody can have what is `locked`."""
        for piece in self:
            names = piece.exclusive & locked
            yield (
                piece.file,
                f"waits for {', '.join(sorted(names))}" if names else f"waits for a slot with {piece.requirement}",
            )

    def add(self, piece: Piece) -> None:
        """Let a piece wait. Plain files are to come in pytest's order."""
        self.expected_s += piece.expected_s
        self._count += 1
        self.has_news = True
        if piece.is_plain:
            self._stretches.add(piece)
            return
        takes = not piece.demand.is_nothing and self.lending.anybody_lends(piece.requirement)
        queue = (self._demanding if takes else self._queues).setdefault(piece.key, [])
        piece.turn = next(self._numbers)
        first, width = not piece.goes_first, piece.demand.width if takes else 0
        rank = (-piece.priority, first, -width, -piece.expected_s, piece.file, piece.turn)
        heapq.heappush(queue, _Entry(rank=rank, piece=piece))

    def set_worker(self, name: str, capability: Capability | None) -> None:
        """A worker came, changed, or (None) went."""
        self.lending.set_worker(name, capability)
        known = self.capabilities.pop(name, None)
        if known is not None:
            self._kinds.clear()
        if capability is not None:
            self.capabilities[name] = capability
        for other, same in self.capabilities.items() if known is not None else ((name, capability),):
            if same is not None:
                self._kind_of[other] = self._kinds.setdefault(same, other)
        self._allowances.clear()
        if self.lending.lends(name):
            self._sort_again()

    def take(
        self,
        worker: str,
        slot: str,
        locked: frozenset[str],
        lacks: Collection[str] = (),
        *,
        is_torn_down: bool = True,
        may_demand: bool = True,
    ) -> tuple[Piece, Allowance] | None:
        """
        The piece that `slot` of `worker` should run next, taken out; None when nothing here is for it.

        `lacks` names files whose tests the slot does not find. What the piece takes of the worker is lent to the slot;
        what its last case had, too, as long as that is not torn down. Where it may not demand, it takes nothing.
        """
        piece = None
        if self._demanding and may_demand:
            piece = self._take_demanding(worker, slot, locked, lacks, is_torn_down=is_torn_down)
        if piece is None and not self.lending.sees(slot):
            piece = self._take_ranked(worker, locked, lacks) or self._stretches.next(slot, lacks)
        if piece is None:
            return None
        self._forget(piece)
        return piece, self.allowance(worker, piece)

    def _forget(self, piece: Piece) -> None:
        self._count -= 1
        self.expected_s = max(0.0, self.expected_s - piece.expected_s) if self._count else 0.0

    # --- what takes something of its worker ---------------------------------------------------------------------------

    def demands(self, worker: str, requirement: Requirement) -> bool:
        """True where a test with this requirement takes something of the worker while it runs there."""
        if demand_of(requirement).is_nothing or not self.lending.lends(worker):
            return False
        return self.capabilities[worker].satisfies(requirement)

    def seat_on(self, worker: str, locked: frozenset[str]) -> tuple[Piece, Holding] | None:
        """The piece for which a process with devices should be started on the worker, and what with; None for none."""
        if not self._demanding or not self.lending.lends(worker):
            return None
        for piece, holding in self._seats(worker, locked):
            if holding is not None and holding.shares:
                return piece, holding
        return None

    def claim_seat(self, worker: str, locked: frozenset[str]) -> None:
        """Keep what the first in turn waits for, where no process with devices can be started for it now."""
        if not self._demanding or not self.lending.lends(worker):
            return
        for piece, holding in self._seats(worker, locked):
            if holding is None:
                self.lending.claim(worker, piece.demand, piece)
            elif holding.shares:
                return

    def _seats(self, worker: str, locked: frozenset[str]) -> Iterator[tuple[Piece, Holding | None]]:
        """What waits for devices, in turn, with what a process for it would be started with now."""
        for entry in self._heads(worker, locked, ()):
            piece = entry.piece
            if piece.demand.width and self.demands(worker, piece.requirement):
                yield piece, self.lending.seat_for(worker, piece.demand, piece)

    def take_out(self, piece: Piece) -> None:
        """The piece that was found by `seat_on` waits no more."""
        self._remove(self._demanding, next(entry for entry in self._demanding[piece.key] if entry.piece is piece))
        self._forget(piece)

    def has_seat_work(self, slot: str, worker: str, locked: frozenset[str], lacks: Collection[str]) -> bool:
        """True where something waits that a process which sees devices could run now."""
        return any(
            self.lending.holding_for(slot, worker, entry.piece.demand, entry.piece) is not None
            for entry in self._heads(worker, locked, lacks)
            if self.demands(worker, entry.piece.requirement)
        )

    def _take_demanding(
        self, worker: str, slot: str, locked: frozenset[str], lacks: Collection[str], *, is_torn_down: bool
    ) -> Piece | None:
        for entry in self._heads(worker, locked, lacks):
            piece, is_seat = entry.piece, bool(self.lending.sees(slot))
            if self.demands(worker, piece.requirement):
                holding = self.lending.holding_for(slot, worker, piece.demand, piece)
                if holding is None:
                    if not is_seat and not piece.demand.width:
                        self.lending.claim(worker, piece.demand, piece)
                    continue
                self.lending.change(slot, worker, holding, piece.known_s, is_torn_down=is_torn_down)
            elif is_seat:
                continue
            self._remove(self._demanding, entry)
            return piece
        return None

    def _heads(self, worker: str, locked: frozenset[str], lacks: Collection[str]) -> list[_Entry]:
        """The first of each kind that takes something and that the worker may run, the first of all first."""
        queues = (queue for queue in self._demanding.values() if self.allowance(worker, queue[0].piece).anything)
        heads = (self._first_free(queue, worker, locked, lacks) for queue in queues)
        return sorted(head for head in heads if head is not None)

    def _remove(self, queues: dict[object, list[_Entry]], entry: _Entry) -> None:
        queue = queues[entry.piece.key]
        if queue[0] is entry:
            heapq.heappop(queue)
        else:
            queue.remove(entry)
            heapq.heapify(queue)
        if not queue:
            del queues[entry.piece.key]
        self.lending.unclaim(entry.piece)

    def _sort_again(self) -> None:
        """A worker that lends came: what it could be asked for waits in turn for it from now on."""
        for key in [key for key, queue in self._queues.items() if queue and not queue[0].piece.demand.is_nothing]:
            for entry in self._queues.pop(key):
                self._forget(entry.piece)
                self.add(entry.piece)

    def take_rest_of(
        self, piece: Piece, worker: str, locked: frozenset[str], lacks: Collection[str] = ()
    ) -> list[Piece]:
        """The other pieces of the group that `piece` is in, taken out, as far as the slot that has it may run them."""
        if not piece.group:
            return []
        rest: list[Piece] = []
        for queues in (self._queues, self._demanding):
            of_group = [entry for entry in queues.get(piece.key, ()) if entry.piece.group == piece.group]
            for entry in [entry for entry in of_group if self._is_free(entry.piece, worker, locked, lacks)]:
                self._remove(queues, entry)
                self._forget(entry.piece)
                rest.append(entry.piece)
        return rest

    def release(self, slot: str) -> None:
        """The slot is gone; the files that were before it are anybody's."""
        self._stretches.release(slot)

    def _take_ranked(self, worker: str, locked: frozenset[str], lacks: Collection[str]) -> Piece | None:
        """
        The first in the queues that the worker may run.

        A piece that failed on this worker is left for another one that can run it, where there is one.
        """
        best: _Entry | None = None
        for queue in self._queues.values():
            if queue and (best is None or queue[0] < best) and self.allowance(worker, queue[0].piece).anything:
                entry = self._first_free(queue, worker, locked, lacks)
                if entry is not None and (best is None or entry < best):
                    best = entry
        if best is None:
            return None
        self._remove(self._queues, best)
        return best.piece

    def has_for(self, worker: str) -> bool:
        """True where something waits that `worker` may run in a process without devices."""
        if len(self._stretches):
            return True
        heads = (queue[0].piece for queue in self._queues.values() if queue)
        if any(self.allowance(worker, piece).anything for piece in heads):
            return True
        return any(self._is_for_plain(worker, entry.piece) for entry in self._heads(worker, frozenset(), ()))

    def _is_for_plain(self, worker: str, piece: Piece) -> bool:
        if not self.demands(worker, piece.requirement):
            return True
        holding = self.lending.seat_for(worker, piece.demand, piece)
        return holding is not None and not holding.shares

    def allowance(self, worker: str, piece: Piece) -> Allowance:
        """What `worker` may run of `piece`."""
        key = (self.kind_of(worker), piece.key if piece.is_uniform else piece.file)
        known = self._allowances.get(key)
        if known is None:
            known = self._allowances[key] = self._work_out(worker, piece)
        return known

    def kind_of(self, worker: str) -> str:
        """The name of a worker that stands for all with the same capability."""
        return self._kind_of[worker]

    def may_move(self, piece: Piece, worker: str) -> bool:
        """True where a slot of `worker` may take over the whole piece; one whose cases need different things stays."""
        if piece.exclusive or piece.group or worker in piece.avoid or not piece.is_uniform:
            return False
        if self.demands(worker, piece.requirement):
            return False
        return self.may_run(worker, piece.requirement)

    def may_run(self, worker: str, requirement: Requirement) -> bool:
        """
        True where `worker` satisfies the requirement, or where nobody does and the test skips itself.

        A requirement that was inferred from a gate in the test's own code needs no keeping away: pytest skips there.
        """
        capability = self.capabilities[worker]
        if capability.satisfies(requirement):
            return True
        return not requirement.enforced and not self.anybody(requirement)

    def anybody(self, requirement: Requirement) -> bool:
        """True where some worker, present or expected, satisfies the requirement."""
        return any(capability.satisfies(requirement) for capability in self._kinds)

    def why_nobody(self, piece: Piece) -> str:
        """Why no worker may run anything of the piece, each in its words; empty where one may, or none is here yet."""
        if not self.capabilities or any(self.allowance(worker, piece).anything for worker in self._kinds.values()):
            return ""
        reasons = ((name, capability.why_not(piece.requirement)) for name, capability in self.capabilities.items())
        return "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons))

    def drain(self) -> list[Piece]:
        """Take every piece out."""
        pieces = list(self)
        self._stretches = Stretches()
        self._queues.clear()
        self._demanding.clear()
        self.lending.unclaim()
        self._count = 0
        self.expected_s = 0.0
        return pieces

    def _first_free(
        self, queue: list[_Entry], worker: str, locked: frozenset[str], lacks: Collection[str]
    ) -> _Entry | None:
        if self._is_free(queue[0].piece, worker, locked, lacks):
            return queue[0]
        return min((entry for entry in queue if self._is_free(entry.piece, worker, locked, lacks)), default=None)

    def _is_free(self, piece: Piece, worker: str, locked: frozenset[str], lacks: Collection[str]) -> bool:
        if (locked and piece.exclusive & locked) or piece.file in lacks:
            return False
        if worker not in piece.avoid:
            return True
        others = (other for other in self.capabilities if other not in piece.avoid)
        return not any(self.allowance(other, piece).anything for other in others)

    def _work_out(self, worker: str, piece: Piece) -> Allowance:
        if piece.is_uniform:
            return Allowance(anything=self.may_run(worker, piece.requirement))

        def may_run_here(need: Requirement) -> bool:
            """What takes something of the worker waits for it case by case."""
            return self.may_run(worker, need) and not self.demands(worker, need)

        may = {name: may_run_here(need) for name, need in piece.needs.cases.items()}
        if may_run_here(piece.needs.default):
            return Allowance(
                anything=True, withheld=tuple(sorted(name for name, allowed in may.items() if not allowed))
            )
        only = tuple(sorted(name for name, allowed in may.items() if allowed))
        return Allowance(anything=bool(only), only=only)
