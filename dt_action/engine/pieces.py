"""A piece of work that is not in any slot's hands, and what of it a worker may run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from dt_action.model.hardware import FileNeeds, Requirement
from dt_action.model.holding import NO_DEMAND, Demand, demand_of
from dt_action.model.plan import Portion


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    Some tests of a file that is not collected yet: all but `withheld`, of those `only` which are named, if any are.

    Names are as in `FileNeeds`: one without brackets stands for all parameters.
    """

    only: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    def has(self, case: str) -> bool:
        """True where the case, by its id, is in this part."""
        name = case.partition("::")[2]
        names = {name, name.partition("[")[0]}
        return not names.intersection(self.withheld) and (not self.only or bool(names.intersection(self.only)))


@dataclass(slots=True, kw_only=True)
class Piece:
    """
    Cases of one file that wait together; `cases` is empty for a whole file that is not collected yet.

    Of a whole file, `chosen` names the only cases that are wanted, or none for all, and `portion` the part that is this
    shard's; such a file with `goes_first` comes before others. One that is `in_order` has cases that are known already,
    and its turn all the same where pytest would have it; where these are all of the file, it `is_whole`. `strikes`
    counts the processes that died with the piece in hand and nothing else to blame; `avoid` names the workers on which
    its case failed before. `group` names what its cases are in with those of other files: one slot runs them all, in
    the order of `turn`. Of a file whose tests take different things of their workers, the piece may be one `part`, and
    `needs` speak of that alone. What its tests take while they run is its `demand`. It `is_timed` where earlier runs
    tell how long it takes.
    """

    file: str
    needs: FileNeeds
    cases: tuple[str, ...] = ()
    requirement: Requirement
    expected_s: float
    strikes: int = 0
    avoid: frozenset[str] = frozenset()
    chosen: tuple[str, ...] = ()
    portion: Portion | None = None
    goes_first: bool = False
    in_order: bool = False
    is_whole: bool = False
    group: str = ""
    turn: int = 0
    part: Part | None = None
    is_timed: bool = False
    key: object = field(init=False)
    demand: Demand = field(init=False)

    def __post_init__(self) -> None:
        """Pieces with the same key may run on the same workers."""
        is_one = bool(self.cases) or self.needs.is_uniform
        places = map(_place, (self.requirement, *self.needs.cases.values()))
        self.key = _place(self.requirement) if is_one else frozenset(places)
        self.demand = demand_of(self.requirement) if is_one else NO_DEMAND

    @property
    def known_s(self) -> float | None:
        """The seconds that it takes by what earlier runs tell; None where they do not, or more comes with it."""
        return self.expected_s if self.is_timed and not self.group else None

    @property
    def is_uniform(self) -> bool:
        """True where all of its cases need the same."""
        return not isinstance(self.key, frozenset)

    @property
    def is_plain(self) -> bool:
        """True for what any worker may run at any time: its turn is where pytest would have it."""
        has_wish = self.goes_first or self.priority or self.exclusive or self.strikes or self.avoid or self.group
        is_ordered = self.in_order or not self.cases
        return is_ordered and self.is_uniform and self.requirement.needs_nothing and not has_wish

    @property
    def priority(self) -> int:
        """The highest priority of a case in it."""
        if self.cases:
            return self.requirement.priority
        return max(self.requirement.priority, *(need.priority for need in self.needs.cases.values()), 0)

    @property
    def exclusive(self) -> frozenset[str]:
        """The names of which no two cases may run at once."""
        if self.cases:
            return self.requirement.exclusive
        return self.requirement.exclusive.union(*(need.exclusive for need in self.needs.cases.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a worker may run of a piece: nothing, or all but `withheld`, or (when not empty) `only`."""

    anything: bool
    withheld: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def within(self, part: Part | None) -> Allowance:
        """What of one part of a file may be run."""
        if part is None:
            return self
        only = [name for name in part.only if not self.only or name in self.only]
        return replace(self, only=tuple(only) or self.only, withheld=tuple(sorted({*self.withheld, *part.withheld})))


def parts_of(needs: FileNeeds, takes: Callable[[Requirement], bool]) -> list[tuple[FileNeeds, Part]]:
    """
    A file in parts: the tests of each requirement that `takes` something of its worker, and all the others.

    Each test is in one of them; a part without limits is the whole file.
    """
    groups: dict[Requirement | None, dict[str, Requirement]] = {}
    for name, requirement in needs.cases.items():
        groups.setdefault(_group(requirement) if takes(requirement) else None, {})[name] = requirement
    own = _group(needs.default) if takes(needs.default) else None
    mine = groups.pop(own, {})
    others = {name for names in groups.values() for name in names}
    overruled = {name: mine[name] for name in mine if _function(name) != name and _function(name) in others}
    whole = FileNeeds(path=needs.path, default=needs.default, cases={} if own else mine)
    parts = [(whole, Part(withheld=tuple(sorted(others))))]
    for group, names in [*groups.items(), *([(own, overruled)] if overruled else [])]:
        elsewhere = (name for name in needs.cases if name not in names and _function(name) in names)
        part = Part(only=tuple(sorted(names)), withheld=tuple(sorted(elsewhere)))
        cases = names if group is None else {}
        parts.append((FileNeeds(path=needs.path, default=next(iter(names.values())), cases=cases), part))
    return parts


def _function(name: str) -> str:
    return name.partition("[")[0]


@lru_cache(maxsize=4096)
def _group(requirement: Requirement) -> Requirement:
    """What of a requirement decides where and when it can run."""
    return replace(requirement, evidence=(), timeout_s=None)


@lru_cache(maxsize=4096)
def _place(requirement: Requirement) -> Requirement:
    """What of a requirement decides where it can run."""
    return replace(requirement, evidence=(), timeout_s=None, priority=0, exclusive=frozenset())
