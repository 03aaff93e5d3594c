"""What a test takes from its worker while it runs, and what it was given: devices, memory, processors, names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from dt_action.model.hardware import Clause, Device, DeviceNeed, Requirement, format_bytes

Sharing: TypeAlias = Literal["auto", "off", "all"]

UNCOUNTED: frozenset[str] = frozenset({"cpu", "openvino", "webgpu", "webnn"})
"""
Kinds of which a test uses what is there without having it for itself: runtimes over other hardware. Of a processor,
only a need for several is counted.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """
    What a test takes while it runs: all of it at once, or it does not run.

    A clause is of devices as in `Requirement`. Names of which no two tests may run at once are not in here: they are
    not of one worker, but of all.
    """

    clauses: tuple[Clause, ...] = ()
    memory_bytes: int = 0
    processors: int = 0

    @property
    def is_nothing(self) -> bool:
        """True for a test that runs anywhere beside anything."""
        return self == NO_DEMAND

    @property
    def width(self) -> int:
        """About how many devices it takes."""
        return sum(min(need.count for need in clause.any_of) for clause in self.clauses)

    def __str__(self) -> str:
        words = [str(clause) for clause in self.clauses]
        words += [f"{self.processors} processors"] if self.processors else []
        words += [f"{format_bytes(self.memory_bytes)} of memory"] if self.memory_bytes else []
        return " and ".join(words) or "nothing"


NO_DEMAND = Demand()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    A part of one device, which stands at place `device` in its worker's `Capability.devices`.

    `units` are bytes of its memory, or 1 for a device whose memory is not known; `is_whole` where nobody else has any.
    """

    device: int
    units: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What was given for a demand. `shares` are in the order of the devices."""

    shares: tuple[Share, ...] = ()
    memory_bytes: int = 0
    processors: int = 0

    @property
    def devices(self) -> frozenset[int]:
        """The places of its devices."""
        return frozenset(share.device for share in self.shares)

    @property
    def is_nothing(self) -> bool:
        """True where nothing has to be given back."""
        return self == NO_HOLDING


NO_HOLDING = Holding()


def combined(holdings: Collection[Holding]) -> Holding:
    """All of them as one: sums, for those who see them from outside. Shares of one device are one share."""
    units: dict[int, int] = {}
    whole: set[int] = set()
    for holding in holdings:
        for share in holding.shares:
            units[share.device] = units.get(share.device, 0) + share.units
            whole |= {share.device} if share.is_whole else set()
    return Holding(
        shares=tuple(Share(device=at, units=units[at], is_whole=at in whole) for at in sorted(units)),
        memory_bytes=sum(holding.memory_bytes for holding in holdings),
        processors=sum(holding.processors for holding in holdings),
    )


def combined_by_worker(lent: Collection[Mapping[str, Holding]]) -> dict[str, Holding]:
    """What several have of each worker, as one."""
    workers = {worker for mine in lent for worker in mine}
    return {worker: combined([mine[worker] for mine in lent if worker in mine]) for worker in sorted(workers)}


def larger(one: Holding, other: Holding) -> Holding:
    """What covers either of two: for a process in which one test is torn down before the next one is set up."""
    shares = {share.device: share for share in one.shares}
    for share in other.shares:
        known = shares.get(share.device)
        shares[share.device] = share if known is None or share.units > known.units else known
    return Holding(
        shares=tuple(shares[at] for at in sorted(shares)),
        memory_bytes=max(one.memory_bytes, other.memory_bytes),
        processors=max(one.processors, other.processors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The `devices` that a process sees of its worker's; of their `kinds`, it sees no other one."""

    devices: tuple[Device, ...] = ()
    kinds: frozenset[str] = frozenset()


@lru_cache(maxsize=4096)
def demand_of(requirement: Requirement) -> Demand:
    """What a test with this requirement takes of a worker that satisfies it."""
    processors = 0
    clauses: list[Clause] = []
    for clause in requirement.all_of:
        if all(need.kind == "cpu" for need in clause.any_of):
            processors = max(processors, min(need.count for need in clause.any_of))
        elif any(map(is_counted, clause.any_of)):
            clauses.append(clause)
    return Demand(
        clauses=tuple(clauses),
        memory_bytes=requirement.min_memory_bytes,
        processors=processors if processors > 1 else 0,
    )


def is_counted(need: DeviceNeed) -> bool:
    """True where a device that meets the need is given to somebody, and not only used."""
    return need.kind not in UNCOUNTED
