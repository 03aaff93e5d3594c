"""What an idle slot may take over from a busy one, so that no slot is left alone with a long tail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dt_action.dispatch.backlog import Piece
from dt_action.dispatch.pace import Pace
from dt_action.dispatch.slots import Slot
from dt_action.model.hardware import Requirement


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
    ("" for nothing), `may_take` tells whether a requirement may move to the thief.
    """

    least_s: float
    group_of: Callable[[str], str]
    requirement_of: Callable[[str], Requirement]
    may_take: Callable[[Requirement], bool]


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
    spare = [piece for piece in victim.spare_pieces() if not piece.exclusive and _may_take(piece, rules)]
    total_s = sum(piece.expected_s for piece in spare)
    taken: list[str] = []
    taken_s = 0.0
    for piece in reversed(spare):
        if taken and taken_s + piece.expected_s > total_s / 2:
            break
        taken.append(piece.file)
        taken_s += piece.expected_s
    busy = bool(victim.running or victim.queue or victim.collecting)
    if not taken or not (busy or len(spare) > 1):
        return None
    return Loot(victim=victim.name, files=tuple(taken), expected_s=taken_s)


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
        if (not name or name not in stays) and all(rules.may_take(rules.requirement_of(case)) for case in group):
            taken += group
            taken_s += group_s
    overhead_s = 0.0 if file in thief.collect_s else victim.collect_s.get(file, 0.0)
    if not taken or taken_s < rules.least_s + overhead_s:
        return None
    chosen = set(taken)
    return Loot(victim=victim.name, cases=tuple(case for case in spare if case in chosen), expected_s=taken_s)


def _may_take(piece: Piece, rules: Rules) -> bool:
    """True where the whole piece may move; one whose cases need different things stays where it is."""
    return bool(piece.cases or piece.needs.is_uniform) and rules.may_take(piece.requirement)


def _groups_from_the_end(cases: list[str], rules: Rules) -> Iterable[list[str]]:
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(rules.group_of(case) or case, []).append(case)
    return reversed(groups.values())
