"""What an idle slot may take over from a busy one, so that no slot is left alone with a long tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dt_action.dispatch.pace import Pace
from dt_action.dispatch.pieces import Piece
from dt_action.dispatch.slots import Slot


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


def choose_loot(slots: Iterable[Slot], thief: Slot, pace: Pace, rules: Rules) -> Loot | None:
    """The most worthwhile half of what a busy slot may not begin without asking; None where none is worth it."""
    best: Loot | None = None
    for victim in slots:
        if victim is thief or victim.is_doomed or not victim.has_work:
            continue
        for loot in (_files(victim, rules), _cases(victim, thief, pace, rules)):
            if loot is not None and (best is None or loot.expected_s > best.expected_s):
                best = loot
    return best


def _files(victim: Slot, rules: Rules) -> Loot | None:
    """The last half of the files it has not collected, by expected time; all but nothing of one file is still one."""
    spare_s: dict[str, float] = {}
    for piece in victim.spare_pieces():
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


def _cases(victim: Slot, thief: Slot, pace: Pace, rules: Rules) -> Loot | None:
    """
    The last half of the cases of its last file, in whole groups.

    The thief has to collect the file too, so the half must be worth more than that; and a group that the victim has
    begun, or may begin by itself, stays.
    """
    spare = victim.uncommitted()
    if not spare:
        return None
    file = victim.file_of(spare[-1])
    stays = {rules.group_of(case) for case in list(victim.queue)[: victim.credit]} - {""}
    stays |= {rules.group_of(victim.running)} if victim.running else set()
    if file in victim.begun_files:
        stays.add(file)  # a group named after the whole file: its first test has run, or is running
    left_s = sum(pace.of_case(victim.file_of(case), case) for case in spare)
    taken: list[str] = []
    taken_s = 0.0
    for group in _groups_from_the_end([case for case in spare if victim.file_of(case) == file], rules):
        group_s = sum(pace.of_case(file, case) for case in group)
        if taken and taken_s + group_s > left_s / 2:
            break
        name = rules.group_of(group[0])
        if (not name or name not in stays) and all(map(rules.may_take_case, group)):
            taken += group
            taken_s += group_s
    overhead_s = 0.0 if file in thief.collect_s else victim.collect_s.get(file, 0.0)
    if not taken or taken_s < rules.least_s + overhead_s:
        return None
    chosen = set(taken)
    return Loot(victim=victim.name, cases=tuple(case for case in spare if case in chosen), expected_s=taken_s)


def _groups_from_the_end(cases: list[str], rules: Rules) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(rules.group_of(case) or case, []).append(case)
    return reversed(groups.values())
