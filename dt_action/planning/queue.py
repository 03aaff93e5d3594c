"""A plan as a queue that several jobs work off: what the next claim of a job is, given what others have claimed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise

from dt_action.model.plan import Plan, PlannedFile, Portion
from dt_action.planning.cut import Weight

BEYOND = "(files that no plan knew)"

PARTS_OF_A_SHARE = 4
"""A file that takes more than a quarter of a job's fair share is divided into parts of about that size."""

SMALLEST_CLAIM = 16
"""A claim is at least a sixteenth of a job's fair share: jobs end so far apart at most, after about five claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is claimed as one: a file, or a part of one, with its weight."""

    path: str
    units: int
    portion: Portion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job, and the numbers of the items that it took."""

    job: str
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What has been claimed of the plan with this digest, oldest first."""

    plan: str
    claims: tuple[Claim, ...] = ()

    def of(self, job: str) -> tuple[int, ...]:
        """What a job has claimed so far."""
        return tuple(number for claim in self.claims if claim.job == job for number in claim.items)

    def with_claim(self, job: str, items: Sequence[int]) -> Queue:
        """The queue after one more claim."""
        return replace(self, claims=(*self.claims, Claim(job=job, items=tuple(items))))


def items_of(plan: Plan, weights: Mapping[str, Weight], jobs: int) -> tuple[Item, ...]:
    """
    The plan's files, the heaviest first, those that are large for one of so many jobs in parts.

    One more item stands for the files that pytest finds and no plan knew, where those are to run, too.
    """
    part = max(1, sum(weights[file.path].units for file in plan.files) // (jobs * PARTS_OF_A_SHARE))
    items: list[Item] = []
    for file in plan.files:
        weight = weights[file.path]
        count = min(jobs, weight.units // max(part, weight.least, 1)) if weight.can_be_cut and jobs > 1 else 1
        items += _parts(file.path, weight, max(1, count))
    ordered = sorted(items, key=lambda item: (-item.units, item.path, item.portion.start if item.portion else 0))
    return (*ordered, *([] if plan.is_selection else [Item(path=BEYOND, units=1)]))


def next_claim(queue: Queue, items: Sequence[Item], job: str, *, jobs: int) -> tuple[int, ...]:
    """
    What a job takes next: half of its fair share of what is left, down to a sixteenth of the whole; nothing at the end.

    So claims get smaller towards the end, and a job that comes late finds less; but each costs a start of pytest, so
    that there are not many. A part of a file of which the job has
    another part already is left to others as long as there is anything else.
    """
    taken = {number for claim in queue.claims for number in claim.items}
    left = [number for number in range(len(items)) if number not in taken]
    mine = {items[number].path for number in queue.of(job)}
    fair = sum(item.units for item in items) // jobs
    wanted = max(fair // SMALLEST_CLAIM, sum(items[number].units for number in left) // (2 * jobs))
    claim: list[int] = []
    for number in sorted(left, key=lambda number: (items[number].path in mine, number)):
        if items[number].path in mine and claim:
            break
        if not claim or sum(items[other].units for other in claim) + items[number].units <= wanted:
            claim.append(number)
            mine.add(items[number].path)
    return tuple(claim)


def claimed(plan: Plan, items: Sequence[Item], numbers: Iterable[int]) -> Plan:
    """The part of a plan that a claim stands for. Its other files are elsewhere."""
    wanted = {items[number].path: items[number].portion for number in numbers}
    files = tuple(_narrowed(file, wanted[file.path]) for file in plan.files if file.path in wanted)
    elsewhere = tuple(sorted(file.path for file in plan.files if file.path not in wanted))
    return replace(plan, files=files, elsewhere=elsewhere, is_selection=BEYOND not in wanted)


def rounds_of(items: Sequence[Item], numbers: Iterable[int]) -> list[list[int]]:
    """Numbers in as few rounds as it takes for no round to have two parts of one file."""
    rounds: list[list[int]] = []
    for number in numbers:
        path = items[number].path
        free = next((found for found in rounds if all(items[other].path != path for other in found)), None)
        if free is None:
            rounds.append([number])
        else:
            free.append(number)
    return rounds


def digest_of_items(items: Sequence[Item]) -> str:
    """Stands for the items: jobs with other ones cannot share a queue."""
    told = [[item.path, item.units, item.portion and [item.portion.start, item.portion.end]] for item in items]
    return sha256(json.dumps(told).encode("ascii")).hexdigest()[:16]


def _parts(path: str, weight: Weight, count: int) -> list[Item]:
    if count == 1:
        return [Item(path=path, units=max(1, weight.units))]
    edges = [weight.units * number // count for number in range(count + 1)]
    return [
        Item(
            path=path,
            units=end - start,
            portion=Portion(start=start, end=end, of=weight.units, weights=weight.cases or {}),
        )
        for start, end in pairwise(edges)
    ]


def _narrowed(file: PlannedFile, portion: Portion | None) -> PlannedFile:
    if portion is None:
        return file
    share = (portion.end - portion.start) / portion.of
    return replace(file, portion=portion, expected_s=file.expected_s * share)
