"""Which cases of a file are a shard's: worked out from the cases alone, so that all shards agree."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Collection, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

Case = Tuple[str, str]
"""A case's id, and the group that it must stay together with ("" for none)."""


def own_cases(cases: Sequence[Case], portion: Mapping[str, Any]) -> Set[str]:
    """
    The ids of the cases in a portion of a file (`dt_action.model.plan.Portion`, as JSON has it).

    The cases, in pytest's order, stand beside one another on a line as long as their weights; a case is in the portion
    that holds its middle. Cases of one group are one block there, at the place of the first. The portions of a file
    have no gap and no overlap, so that each case is in one of them, also where weights are missing or out of date.
    """
    blocks = list(_blocks(cases, portion.get("weights", {})))
    length = sum(weight for weight, _ in blocks)
    start, end, of = portion["start"], portion["end"], portion["of"]
    mine: Set[str] = set()
    before = 0
    for weight, members in blocks:
        middle = (2 * before + weight) * of  # in units of 1 / (2 * length), to stay with whole numbers
        if 2 * start * length <= middle < 2 * end * length:
            mine.update(members)
        before += weight
    return mine


def told_of(file: str, ids: Sequence[str], mine: Collection[str], portion: Mapping[str, Any]) -> Dict[str, Any]:
    """What the report of a shard says of a file that it has a portion of: `dt_action.model.plan.Divided`."""
    return {
        "path": file,
        "portion": {key: portion[key] for key in ("start", "end", "of")},
        "cases": len(ids),
        "mine": len(mine),
        "ids": sha256("\0".join(ids).encode("utf-8", "surrogatepass")).hexdigest()[:16],
    }


def _blocks(cases: Sequence[Case], weights: Mapping[str, int]) -> Iterator[Tuple[int, List[str]]]:
    """The weight and the cases of each block. A case of unknown weight weighs what the known ones do on average."""
    known = [max(1, weights[id]) for id, _ in cases if id in weights]
    usual = max(1, sum(known) // len(known)) if known else 1
    blocks: Dict[Tuple[str, str], List[str]] = {}
    for id, group in cases:
        blocks.setdefault(("group", group) if group else ("case", id), []).append(id)
    for members in blocks.values():
        yield sum(max(1, weights[id]) if id in weights else usual for id in members), members
