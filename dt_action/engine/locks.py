"""What only one test may have at a time, by name: which slot has it, and what other runs have."""

from __future__ import annotations


class Locks:
    """The names that slots have for themselves. `elsewhere` are those of other runs, as far as was told."""

    def __init__(self) -> None:
        self.elsewhere: frozenset[str] = frozenset()
        self._held: dict[str, frozenset[str]] = {}

    def lock(self, slot: str, names: frozenset[str]) -> None:
        """The slot has these for itself, where there are any."""
        if names:
            self._held[slot] = names

    def unlock(self, slot: str) -> bool:
        """What the slot had for itself is anybody's; False where it had nothing."""
        return self._held.pop(slot, None) is not None

    def has_some(self, slot: str) -> bool:
        """True where the slot has something that no other one may have before it is torn down."""
        return slot in self._held

    @property
    def reserved(self) -> frozenset[str]:
        """What some slot of this run has for itself."""
        return frozenset().union(*self._held.values()) if self._held else frozenset()

    @property
    def locked(self) -> frozenset[str]:
        """What nobody can have now, since some slot of this run or of another one has it for itself."""
        return self.reserved | self.elsewhere
