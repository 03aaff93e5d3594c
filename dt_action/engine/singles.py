"""Fixtures that only one process can have at a time: found while another one waits, and kept to one slot after that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dt_action.model.slot_protocol import SettingUp

LEAST_WAIT_S = 5.0
"""A second process may take so long to set a fixture up, however quick the first one was: machines are busy."""

SLOWER = 20.0
"""A second process that takes so many times as long as the first one waits for something that the first one holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """`slot` waits for what the `fixture` holds in the slot `home`, or could not have it; `waited_s` for how long."""

    fixture: str
    slot: str
    home: str
    waited_s: float
    took_s: float


class Singles:
    """
    Which slot has which fixture of the session's or a package's scope, and which of them are there only once.

    A port, a lock file or a database that a fixture takes for itself is not seen from here. What is seen is a process
    that waits, or fails, to set up what another one has, and had in a moment. One in which a program runs that it has
    started, such as the build of an image, is at work and does not wait. `files` are those of earlier runs, by
    fixture. The slot that first gets a file of such a fixture is the fixture's home, until it is gone.
    """

    def __init__(self, files: Mapping[str, Iterable[str]]) -> None:
        self._files = {fixture: set(paths) for fixture, paths in files.items()}
        self._homes = dict.fromkeys(self._files, "")
        self._users: dict[str, set[str]] = {}
        self._under_way: dict[str, list[tuple[str, float]]] = {}
        self._has: dict[str, dict[str, float]] = {}
        self._worked_at: dict[str, float] = {}

    def use(self, file: str, fixtures: Collection[str]) -> list[str]:
        """Tests of a file use these fixtures; those of them that are single, and were not known of this file."""
        for fixture in fixtures:
            self._users.setdefault(fixture, set()).add(file)
        news = [fixture for fixture in fixtures if fixture in self._homes and file not in self._files[fixture]]
        for fixture in news:
            self._files[fixture].add(file)
        return news

    def hear(self, slot: str, told: SettingUp, now: float) -> Conflict | None:
        """A slot sets a fixture up, has it, or not. A conflict where it failed, and another slot has it."""
        under_way = self._under_way.setdefault(slot, [])
        has = self._has.setdefault(slot, {})
        if told.state == "begun":
            under_way.append((told.fixture, now))
            return None
        since = next((at for fixture, at in under_way if fixture == told.fixture), now)
        self._under_way[slot] = [entry for entry in under_way if entry[0] != told.fixture]
        if told.state == "done":
            has[told.fixture] = now - since
        else:
            has.pop(told.fixture, None)
        return self._conflict(slot, told.fixture, now - since) if told.state == "failed" else None

    def works(self, slot: str, now: float) -> None:
        """The slot was seen at work: a program that it started runs."""
        self._worked_at[slot] = now

    def maybe_stalled(self, now: float) -> list[str]:
        """The slots that may soon be taken to wait in vain: who can should look whether they are at work."""
        return [
            slot
            for slot, under_way in self._under_way.items()
            if under_way and now - max(under_way[0][1], self._worked_at.get(slot, 0.0)) >= LEAST_WAIT_S / 2
        ]

    def stalled(self, now: float) -> Iterator[Conflict]:
        """The slots that wait for what another one has."""
        for slot, under_way in self._under_way.items():
            for fixture, since in under_way:
                conflict = self._conflict(slot, fixture, now - max(since, self._worked_at.get(slot, since)))
                if conflict is not None and conflict.waited_s >= max(LEAST_WAIT_S, SLOWER * conflict.took_s):
                    yield conflict
                    break

    def keep_single(self, conflict: Conflict) -> list[str]:
        """From now on, only one slot has the fixture; the files whose tests use it, as far as they are known."""
        files = self._files.setdefault(conflict.fixture, set())
        files |= self._users.get(conflict.fixture, set())
        self._homes[conflict.fixture] = conflict.home
        return sorted(files)

    def claim(self, slot: str, files: Iterable[str]) -> None:
        """The slot is handed these files: what they need for themselves and nobody has is at home there."""
        files = set(files) if self._homes else set()
        for fixture, home in self._homes.items():
            if not home and self._files[fixture] & files:
                self._homes[fixture] = slot

    def barred(self, slot: str) -> frozenset[str]:
        """The files whose tests need what is at home in another slot."""
        homes = [fixture for fixture, home in self._homes.items() if home not in ("", slot)]
        return frozenset().union(*(self._files[fixture] for fixture in homes)) if homes else frozenset()

    def leave(self, slot: str) -> None:
        """The slot is gone, and what it had with it."""
        self._under_way.pop(slot, None)
        self._has.pop(slot, None)
        self._worked_at.pop(slot, None)
        self._homes = {fixture: "" if home == slot else home for fixture, home in self._homes.items()}

    def waits_for(self, slot: str) -> str:
        """The fixture that the slot sets up now; empty where it does not."""
        under_way = self._under_way.get(slot)
        return under_way[-1][0] if under_way else ""

    def _conflict(self, slot: str, fixture: str, waited_s: float) -> Conflict | None:
        holders = [(other, has[fixture]) for other, has in self._has.items() if other != slot and fixture in has]
        if len(holders) != 1:
            return None  # nobody to wait for, or there may be several
        ((home, took_s),) = holders
        return Conflict(fixture=fixture, slot=slot, home=home, waited_s=waited_s, took_s=took_s)
