"""A piece of work that is not in any slot's hands, and what of it a worker may run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

from dt_action.model.hardware import FileNeeds, Requirement
from dt_action.model.plan import Portion


@dataclass(slots=True, kw_only=True)
class Piece:
    """
    Cases of one file that wait together; `cases` is empty for a whole file that is not collected yet.

    Of a whole file, `chosen` names the only cases that are wanted, or none for all, and `portion` the part that is this
    shard's; such a file with `goes_first` comes before others. One that is `in_order` has cases that are known already,
    and its turn all the same where pytest would have it; where these are all of the file, it `is_whole`. `strikes`
    counts the processes that died with the piece in hand and nothing else to blame; `avoid` names the workers on which
    its case failed before. `group` names what its cases are in with those of other files: one slot runs them all, in
    the order of `turn`.
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
    key: object = field(init=False)

    def __post_init__(self) -> None:
        """Pieces with the same key may run on the same workers."""
        is_one = bool(self.cases) or self.needs.is_uniform
        places = map(_place, (self.requirement, *self.needs.cases.values()))
        self.key = _place(self.requirement) if is_one else frozenset(places)

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


@lru_cache(maxsize=4096)
def _place(requirement: Requirement) -> Requirement:
    """What of a requirement decides where it can run."""
    return replace(requirement, evidence=(), timeout_s=None, priority=0, exclusive=frozenset())
