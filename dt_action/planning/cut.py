"""A plan cut into shards: a function of the plan alone, so that shards which never meet take each test once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from dt_action.model.plan import Plan, PlannedFile, Portion, Shard

SPARE = 20
"""A shard may have a twentieth more than its fair share before a file is cut inside for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """
    How heavy a file is, in whole units, since all machines must add up alike: milliseconds, or thousandths of a case.

    A file is cut inside only where each part has at least `least` units; 0 for one that stays whole. `cases` has the
    units of single cases, where they are known.
    """

    units: int
    least: int = 0
    cases: Mapping[str, int] | None = None

    @property
    def can_be_cut(self) -> bool:
        """True where two parts of it are large enough."""
        return 0 < 2 * self.least <= self.units


Piece = tuple[int, Portion | None]
"""The index of a shard (from 0), and what of a file it has; None for all of it."""


def cut(plan: Plan, weights: Mapping[str, Weight], shard: Shard, *, basis: str = "") -> Plan:
    """
    The part of a plan that is this shard's; together the shards are the plan, and no case is in two.

    `weights` has every file of the plan. `basis` goes into the digest: what else the shards must agree on.
    """
    pieces = divide(plan.files, weights, shard.count)
    mine: list[PlannedFile] = []
    elsewhere: list[str] = []
    for file in plan.files:
        own = [portion for index, portion in pieces[file.path] if index == shard.index - 1]
        if not own:
            elsewhere.append(file.path)
        elif own[0] is None:
            mine.append(file)
        else:
            share = (own[0].end - own[0].start) / own[0].of
            mine.append(replace(file, portion=own[0], expected_s=file.expected_s * share))
    digest = digest_of(plan, pieces, shard.count, basis)
    return replace(plan, files=tuple(mine), shard=shard, elsewhere=tuple(sorted(elsewhere)), digest=digest)


def whole(plan: Plan) -> Plan:
    """A plan that is not cut, with its digest."""
    return replace(plan, digest=digest_of(plan, {}, 1, ""))


def divide(files: Sequence[PlannedFile], weights: Mapping[str, Weight], count: int) -> dict[str, list[Piece]]:
    """
    Which shard has what of each file: heaviest first, each to the shard with the least so far.

    A file that would give a shard more than its fair share, and some, is cut inside where that can be: each of the
    lightest shards is filled up to the fair share with a part of it.
    """
    total = sum(weights[file.path].units for file in files)
    fair = -(-total // count)
    loads = [0] * count
    pieces: dict[str, list[Piece]] = {}
    for path in sorted((file.path for file in files), key=lambda path: (-weights[path].units, path)):
        weight = weights[path]
        lightest = min(range(count), key=lambda index: (loads[index], index))
        if loads[lightest] + weight.units <= fair + fair // SPARE or not weight.can_be_cut or count == 1:
            loads[lightest] += max(weight.units, 1)
            pieces[path] = [(lightest, None)]
        else:
            pieces[path] = list(_parts(weight, loads, fair))
    return pieces


def _parts(weight: Weight, loads: list[int], fair: int) -> Iterator[Piece]:
    """Fill up the lightest shards, none of them twice; `loads` grows by what they get."""
    free = sorted(range(len(loads)), key=lambda index: (loads[index], index))
    start = 0
    for number, index in enumerate(free):
        left = weight.units - start
        wanted = max(weight.least, fair - loads[index])
        size = left if number == len(free) - 1 or left - wanted < weight.least else wanted
        loads[index] += size
        is_all = size == weight.units
        yield (
            index,
            None if is_all else Portion(start=start, end=start + size, of=weight.units, weights=weight.cases or {}),
        )
        start += size
        if start == weight.units:
            return


def digest_of(plan: Plan, pieces: Mapping[str, Sequence[Piece]], count: int, basis: str) -> str:
    """Stands for the files of a plan, the cases chosen of them, and how they are cut."""
    files = [
        [
            file.path,
            sorted(file.chosen),
            [
                [index, *([part.start, part.end, part.of, sorted(part.weights.items())] if part else [])]
                for index, part in pieces.get(file.path, ())
            ],
        ]
        for file in sorted(plan.files, key=lambda file: file.path)
    ]
    content = json.dumps([count, basis, plan.is_selection, files], separators=(",", ":"))
    return sha256(content.encode("ascii")).hexdigest()[:16]
