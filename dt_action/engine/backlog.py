"""The work that no slot holds: pieces in queues by what they need, longest first, and which worker may take them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from dt_action.engine.pieces import Allowance, Piece
from dt_action.engine.stretches import Stretches
from dt_action.model.hardware import Capability, Requirement


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """A piece in its queue, in the order of `rank`: priority, what goes first, the longest expected, then by file."""

    rank: tuple[int, bool, float, str, int]
    piece: Piece = field(compare=False)


@dataclass(slots=True)
class Backlog:
    """
    Plain files in stretches, in pytest's order; everything else in queues by what it needs, longest first.

    What needs something waits for few slots, so it goes first. `capabilities` are the workers present or expected.
    `has_news` tells that something came, or became free to run, since idle slots were last fed from here.
    """

    capabilities: dict[str, Capability] = field(default_factory=dict)
    expected_s: float = 0.0
    has_news: bool = False
    _stretches: Stretches = field(default_factory=Stretches)
    _count: int = 0
    _queues: dict[object, list[_Entry]] = field(default_factory=dict)
    _kinds: dict[Capability, str] = field(default_factory=dict)
    _kind_of: dict[str, str] = field(default_factory=dict)
    _allowances: dict[tuple[str, object], Allowance] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Piece]:
        yield from self._stretches.waiting()
        yield from (entry.piece for queue in self._queues.values() for entry in queue)

    def add(self, piece: Piece) -> None:
        """Let a piece wait. Plain files are to come in pytest's order."""
        self.expected_s += piece.expected_s
        self._count += 1
        self.has_news = True
        if piece.is_plain:
            self._stretches.add(piece)
            return
        queue = self._queues.setdefault(piece.key, [])
        piece.turn = next(self._numbers)
        rank = (-piece.priority, not piece.goes_first, -piece.expected_s, piece.file, piece.turn)
        heapq.heappush(queue, _Entry(rank=rank, piece=piece))

    def set_worker(self, name: str, capability: Capability | None) -> None:
        """A worker came, changed, or (None) went."""
        known = self.capabilities.pop(name, None)
        if known is not None:
            self._kinds.clear()
        if capability is not None:
            self.capabilities[name] = capability
        for other, same in self.capabilities.items() if known is not None else ((name, capability),):
            if same is not None:
                self._kind_of[other] = self._kinds.setdefault(same, other)
        self._allowances.clear()

    def take(
        self, worker: str, slot: str, locked: frozenset[str], lacks: Collection[str] = ()
    ) -> tuple[Piece, Allowance] | None:
        """
        The piece that `slot` of `worker` should run next, taken out; None when nothing here is for it.

        `lacks` names files whose tests the slot does not find.
        """
        piece = self._take_ranked(worker, locked, lacks) or self._stretches.next(slot, lacks)
        if piece is None:
            return None
        self._count -= 1
        self.expected_s = max(0.0, self.expected_s - piece.expected_s) if self._count else 0.0
        return piece, self.allowance(worker, piece)

    def take_rest_of(
        self, piece: Piece, worker: str, locked: frozenset[str], lacks: Collection[str] = ()
    ) -> list[Piece]:
        """The other pieces of the group that `piece` is in, taken out, as far as the slot that has it may run them."""
        queue = self._queues.get(piece.key, []) if piece.group else []
        of_group = [entry for entry in queue if entry.piece.group == piece.group]
        rest = [entry for entry in of_group if self._is_free(entry.piece, worker, locked, lacks)]
        if not rest:
            return []
        self._queues[piece.key] = [entry for entry in queue if entry not in rest]
        heapq.heapify(self._queues[piece.key])
        self._count -= len(rest)
        self.expected_s = max(0.0, self.expected_s - sum(entry.piece.expected_s for entry in rest))
        return [entry.piece for entry in rest]

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
        queue = self._queues[best.piece.key]
        if queue[0] is best:
            heapq.heappop(queue)
        else:
            queue.remove(best)
            heapq.heapify(queue)
        return best.piece

    def has_for(self, worker: str) -> bool:
        """True where something waits that `worker` may run."""
        if len(self._stretches):
            return True
        heads = (queue[0].piece for queue in self._queues.values() if queue)
        return any(self.allowance(worker, piece).anything for piece in heads)

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
        may = {name: self.may_run(worker, need) for name, need in piece.needs.cases.items()}
        if self.may_run(worker, piece.needs.default):
            return Allowance(
                anything=True, withheld=tuple(sorted(name for name, allowed in may.items() if not allowed))
            )
        only = tuple(sorted(name for name, allowed in may.items() if allowed))
        return Allowance(anything=bool(only), only=only)
