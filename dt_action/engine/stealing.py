"""What an idle slot may take over from a busy one, so that no slot is left alone with a long tail."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import islice

from dt_action.engine.pieces import Piece
from dt_action.engine.slots import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Loot:
    """Whole files not collected yet, or cases of one file, of slot `victim`; worth `expected_s`."""

    victim: str
    files: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    What limits a theft: `least_s` is the least gain in seconds, `group_of` names what a case must stay together with
    ("" for nothing), `may_take_case` and `may_take_piece` tell what may move to the thief.
    """

    least_s: float
    group_of: Callable[[str], str]
    may_take_case: Callable[[str], bool]
    may_take_piece: Callable[[Piece], bool]


class Busy:
    """
    The slots that can give something up, by how much they have ahead of them, most first.

    `note` each one that has more ahead, or that can give up more; both may shrink unsaid. Nothing but the slots
    themselves decides on the order, so that a run that is lived through again takes the same course.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, int, Slot]] = []
        self._current: dict[str, tuple[float, str, int, Slot]] = {}
        self._numbers = itertools.count()

    def note(self, slot: Slot) -> None:
        """The slot was given work, found some in a file, or needs longer for it than was expected."""
        noted = self._current.get(slot.name)
        if noted is None or -noted[0] < slot.ahead_s:
            self._push(slot)

    def forget(self, slot: Slot) -> None:
        """The slot is gone, or has nothing ahead before it is noted again."""
        self._current.pop(slot.name, None)

    def most_first(self, least_s: float) -> Generator[Slot, None, None]:
        """Those with at least `least_s` ahead, most first. Close it when enough were seen."""
        seen: list[Slot] = []
        try:
            while self._heap and -self._heap[0][0] >= least_s:
                entry = heapq.heappop(self._heap)
                slot = entry[3]
                if self._current.get(slot.name) is not entry:
                    continue
                self.forget(slot)
                if not slot.can_give:
                    continue
                if slot.ahead_s < -entry[0]:
                    self._push(slot)
                else:
                    seen.append(slot)
                    yield slot
        finally:
            for slot in seen:
                self.note(slot)

    def _push(self, slot: Slot) -> None:
        entry = self._current[slot.name] = (-slot.ahead_s, slot.name, next(self._numbers), slot)
        heapq.heappush(self._heap, entry)


def choose_loot(victims: Iterable[Slot], thief: Slot, rules: Rules) -> Loot | None:
    """
    About half of what the first of the victims that can give up something may not begin without asking.

    `victims` come with most ahead first: the slot that will end last is the one to relieve, also where another one
    had more to give.
    """
    for victim in victims:
        if victim is not thief and not victim.is_doomed:
            loots = (_files(victim, rules), _cases(victim, thief, rules))
            loot = max(loots, key=lambda loot: loot.expected_s if loot is not None else -1.0)
            if loot is not None:
                return loot
    return None


def _files(victim: Slot, rules: Rules) -> Loot | None:
    """The last half of the files it has not collected, by expected time; all but nothing of one file is still one."""
    spare_s: dict[str, float] = {}
    spare = victim.spare_pieces()
    if not spare:
        return None
    for piece in spare:
        spare_s[piece.file] = spare_s.get(piece.file, 0.0) + piece.expected_s
    for file in _held_files(victim, rules):
        spare_s.pop(file, None)
    total_s = sum(spare_s.values())
    taken: list[str] = []
    taken_s = 0.0
    for file, expected_s in reversed(spare_s.items()):
        if taken and taken_s + expected_s > total_s / 2:
            break
        taken.append(file)
        taken_s += expected_s
    busy = bool(victim.running or victim.queue or victim.collecting)
    if not taken or not (busy or len(spare_s) > 1):
        return None
    return Loot(victim=victim.name, files=tuple(taken), expected_s=taken_s)


def _held_files(victim: Slot, rules: Rules) -> set[str]:
    """
    The files that it keeps: something of them is collected, or may not move.

    A slot may collect a file ahead while the word that it is taken away is on its way, so that word takes back all
    that it has of the file.
    """
    held = {victim.file_of(case) for case in victim.queue}
    held |= {piece.file for piece in victim.pieces if not rules.may_take_piece(piece)}
    return held | ({victim.collecting.file} if victim.collecting is not None else set())


def _cases(victim: Slot, thief: Slot, rules: Rules) -> Loot | None:
    """
    The last half of the cases of its last file, in whole groups.

    The thief has to collect the file too, so the half must be worth more than that, together with the time for which
    it is held up where it is; and a group that the victim has begun, or may begin by itself, stays.
    """
    if victim.credit >= len(victim.queue):
        return None
    last = victim.queue[-1]
    file = victim.file_of(last)
    if file in victim.kept_files:
        return None
    overhead_s = 0.0 if file in thief.collect_s else victim.collect_s.get(file, 0.0)
    least_s = rules.least_s + overhead_s - victim.held_up_s
    is_small = victim.expected_s(last) < least_s and not rules.group_of(last)
    if victim.queue_s < (2 * least_s if is_small else least_s):
        return None  # not even half of all that it holds is worth it; so it is with most, and quickly seen
    spare = victim.uncommitted()
    left_s = sum(map(victim.expected_s, spare))
    if left_s < least_s:
        return None
    stays = {rules.group_of(case) for case in islice(victim.queue, victim.credit)} - {""}
    stays |= {rules.group_of(victim.running)} if victim.running else set()
    if file in victim.begun_files:
        stays.add(file)  # a group named after the whole file: its first test has run, or is running
    of_file = [case for case in spare if victim.file_of(case) == file]
    if file in stays and all(rules.group_of(case) == file for case in of_file):
        victim.kept_files.add(file)
        return None
    taken: list[str] = []
    taken_s = 0.0
    for group in _groups_from_the_end(of_file, rules):
        group_s = sum(map(victim.expected_s, group))
        if taken and taken_s + group_s > left_s / 2:
            break
        name = rules.group_of(group[0])
        if (not name or name not in stays) and all(map(rules.may_take_case, group)):
            taken += group
            taken_s += group_s
    if not taken or taken_s < least_s:
        return None
    chosen = set(taken)
    return Loot(victim=victim.name, cases=tuple(case for case in spare if case in chosen), expected_s=taken_s)


def _groups_from_the_end(cases: list[str], rules: Rules) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(rules.group_of(case) or case, []).append(case)
    return reversed(groups.values())
