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
class Transfer:
    """Whole files not collected yet, or cases of one file, of slot `giver`; worth `expected_s`."""

    giver: str
    files: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    What limits a transfer: `least_s` is the least gain in seconds, `group_of` names what a case must stay together with
    ("" for nothing), `may_take_case` and `may_take_piece` tell what may move to the taker.
    """

    least_s: float
    group_of: Callable[[str], str]
    may_take_case: Callable[[str], bool]
    may_take_piece: Callable[[Piece], bool]


class Busy:
    """
    The slots that can give something up, by how much they have ahead of them, most first.

    `note` each one that has more ahead, or that can give up more; both may shrink unsaid. Nothing but the slots
    themselves decides on the order, so that a run that is lived through again goes the same way.
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


def choose_transfer(givers: Iterable[Slot], taker: Slot, rules: Rules) -> Transfer | None:
    """
    About half of what the first of the givers that can give up something may not begin without asking.

    `givers` come with most ahead first: the slot that will end last is the one to relieve, also where another one
    had more to give.
    """
    for giver in givers:
        if giver is not taker and not giver.is_doomed:
            options = (_files(giver, rules), _cases(giver, taker, rules))
            transfer = max(options, key=lambda transfer: transfer.expected_s if transfer is not None else -1.0)
            if transfer is not None:
                return transfer
    return None


def _files(giver: Slot, rules: Rules) -> Transfer | None:
    """The last half of the files it has not collected, by expected time; all but nothing of one file is still one."""
    spare_s: dict[str, float] = {}
    spare = giver.spare_pieces()
    if not spare:
        return None
    for piece in spare:
        spare_s[piece.file] = spare_s.get(piece.file, 0.0) + piece.expected_s
    for file in _held_files(giver, rules):
        spare_s.pop(file, None)
    total_s = sum(spare_s.values())
    taken: list[str] = []
    taken_s = 0.0
    for file, expected_s in reversed(spare_s.items()):
        if taken and taken_s + expected_s > total_s / 2:
            break
        taken.append(file)
        taken_s += expected_s
    busy = bool(giver.running or giver.queue or giver.collecting)
    if not taken or not (busy or len(spare_s) > 1):
        return None
    return Transfer(giver=giver.name, files=tuple(taken), expected_s=taken_s)


def _held_files(giver: Slot, rules: Rules) -> set[str]:
    """
    The files that it keeps: something of them is collected, or may not move.

    A slot may collect a file ahead while the word that it is taken away is on its way, so that word takes back all
    that it has of the file.
    """
    held = {giver.file_of(case) for case in giver.queue}
    held |= {piece.file for piece in giver.pieces if not rules.may_take_piece(piece)}
    return held | ({giver.collecting.file} if giver.collecting is not None else set())


def _cases(giver: Slot, taker: Slot, rules: Rules) -> Transfer | None:
    """
    The last half of the cases of its last file, in whole groups.

    The taker has to collect the file too, so the half must be worth more than that, together with the time for which
    it is held up where it is; and a group that the giver has begun, or may begin by itself, stays.
    """
    if giver.credit >= len(giver.queue):
        return None
    last = giver.queue[-1]
    file = giver.file_of(last)
    if file in giver.kept_files:
        return None
    overhead_s = 0.0 if file in taker.collect_s else giver.collect_s.get(file, 0.0)
    least_s = rules.least_s + overhead_s - giver.held_up_s
    is_small = giver.expected_s(last) < least_s and not rules.group_of(last)
    if giver.queue_s < (2 * least_s if is_small else least_s):
        return None  # not even half of all that it holds is worth it; so it is with most, and quickly seen
    spare = giver.uncommitted()
    left_s = sum(map(giver.expected_s, spare))
    if left_s < least_s:
        return None
    stays = {rules.group_of(case) for case in islice(giver.queue, giver.credit)} - {""}
    of_file = [case for case in spare if giver.file_of(case) == file]
    stays |= giver.begun_groups.intersection(map(rules.group_of, of_file))
    if file in stays and all(rules.group_of(case) == file for case in of_file):
        giver.kept_files.add(file)
        return None
    taken: list[str] = []
    taken_s = 0.0
    for group in _groups_from_the_end(of_file, rules):
        group_s = sum(map(giver.expected_s, group))
        if taken and taken_s + group_s > left_s / 2:
            break
        name = rules.group_of(group[0])
        if (not name or name not in stays) and all(map(rules.may_take_case, group)):
            taken += group
            taken_s += group_s
    if not taken or taken_s < least_s:
        return None
    chosen = set(taken)
    return Transfer(giver=giver.name, cases=tuple(case for case in spare if case in chosen), expected_s=taken_s)


def _groups_from_the_end(cases: list[str], rules: Rules) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(rules.group_of(case) or case, []).append(case)
    return reversed(groups.values())
