"""The files that any worker may run, in pytest's order, dealt out as stretches: each slot walks along its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from dt_action.engine.pieces import Piece

UNCLAIMED = ""


class Stretches:
    """
    Contiguous parts of the suite, by the slot that walks along them.

    Suites are run in one order for years, and come to depend on it: a test that leaves something behind stands after
    those that it would break. A slot that keeps pytest's order keeps that, too. So a slot without work takes over
    the back half (by time) of what is left of the longest stretch, instead of whatever is the longest file.
    """

    def __init__(self) -> None:
        self._stretches: dict[str, deque[Piece]] = {}
        self._expected_s: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(len(stretch) for stretch in self._stretches.values())

    def add(self, piece: Piece) -> None:
        """Put a file behind those that no slot has claimed yet."""
        self._stretches.setdefault(UNCLAIMED, deque()).append(piece)
        self._expected_s[UNCLAIMED] = self._expected_s.get(UNCLAIMED, 0.0) + piece.expected_s

    def next(self, slot: str, lacks: Collection[str] = ()) -> Piece | None:
        """The piece that comes next for the slot, but of no file that it `lacks`; None where there is none."""
        if not self._stretches.get(slot) and not self._claim(slot):
            return None
        for owner in (slot, *(name for name in self._stretches if name != slot)):
            stretch = self._stretches[owner]
            index = next((index for index, piece in enumerate(stretch) if piece.file not in lacks), None)
            if index is not None:
                piece = stretch[index]
                del stretch[index]
                self._expected_s[owner] -= piece.expected_s
                if not stretch:
                    self._drop(owner)
                return piece
        return None

    def release(self, slot: str) -> None:
        """The slot is gone: what it had before it may be claimed by any other one."""
        for piece in self._drop(slot):
            self.add(piece)

    def waiting(self) -> list[Piece]:
        """Every file in here."""
        return [piece for stretch in self._stretches.values() for piece in stretch]

    def _claim(self, slot: str) -> bool:
        if not self._stretches:
            return False
        owner = max(self._stretches, key=lambda name: (name == UNCLAIMED, self._expected_s[name], name))
        stretch = self._stretches[owner]
        half_s = 0.0 if owner == UNCLAIMED else self._expected_s[owner] / 2
        front: deque[Piece] = deque()
        front_s = 0.0
        while len(stretch) > 1 and front_s + stretch[0].expected_s <= half_s:
            piece = stretch.popleft()
            front.append(piece)
            front_s += piece.expected_s
        back_s = self._expected_s[owner] - front_s
        self._drop(owner)
        if front:
            self._stretches[owner], self._expected_s[owner] = front, front_s
        self._stretches[slot], self._expected_s[slot] = stretch, back_s
        return True

    def _drop(self, slot: str) -> deque[Piece]:
        self._expected_s.pop(slot, None)
        return self._stretches.pop(slot, deque())
