"""What one worker has to lend, what of it is lent, and what fits beside that."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

from dt_action.model.hardware import Capability, DeviceNeed
from dt_action.model.holding import NO_HOLDING, Demand, Holding, Share, combined, is_counted


class Stock:
    """
    The devices, memory and processors of a worker. Nothing is ever lent beyond its size.

    A device is lent by memory where both its own and the need's are known and it `shares`, else whole. `elsewhere` is
    what others have of it, who keep their own books.
    """

    def __init__(self, capability: Capability, *, shares: bool = True) -> None:
        self.capability = capability
        self._shares = shares
        self._sizes = [device.memory_bytes or 1 for device in capability.devices]
        self._lent = [0] * len(self._sizes)
        self._memory_lent = 0
        self._processors_lent = 0
        self._elsewhere = NO_HOLDING

    def fit(
        self, demand: Demand, *, within: Collection[int] | None = None, beside: Iterable[Holding] = ()
    ) -> Holding | None:
        """
        What would be given for the demand now; None where something of it is not free.

        With `within`, all of these devices and no other one are to be given. Holdings `beside` which it should fit
        count as lent, though they are not.
        """
        beside = tuple(beside)
        memory = self.capability.memory_bytes - self._memory_lent - self._elsewhere.memory_bytes
        memory -= sum(holding.memory_bytes for holding in beside)
        processors = self.capability.cpu_count - self._processors_lent - self._elsewhere.processors
        processors -= sum(holding.processors for holding in beside)
        if demand.memory_bytes > max(memory, 0) or demand.processors > max(processors, 0):
            return None
        shares = self._fit_devices(demand, self._room(beside), within)
        if shares is None:
            return None
        return Holding(shares=shares, memory_bytes=demand.memory_bytes, processors=demand.processors)

    def could_fit(self, demand: Demand) -> bool:
        """True where the demand would be met if nothing were lent."""
        return Stock(self.capability, shares=self._shares).fit(demand) is not None

    def soonest(self, demand: Demand) -> Holding | None:
        """What would be given for the demand if nothing were lent, of the devices that have the most room now."""
        shares = self._fit_devices(demand, self._sizes, None, order=[-room for room in self._room(())])
        if shares is None:
            return None
        return Holding(shares=shares, memory_bytes=demand.memory_bytes, processors=demand.processors)

    def soonest_after(self, demand: Demand, ends: Sequence[tuple[float, Holding]]) -> tuple[float, Holding] | None:
        """When the demand could be met, and with what, if these are given back at their times, in this order."""
        given_back: list[Holding] = []
        found: tuple[float, Holding] | None = None
        for at, holding in ends:
            self.take_back(holding)
            given_back.append(holding)
            met = self.fit(demand)
            if met is not None:
                found = at, met
                break
        for holding in given_back:
            self.lend(holding, is_checked=False)
        return found

    def to_keep(self, wanted: Holding, given_back: Iterable[Holding]) -> Holding:
        """What of all that is free now must stay so, if `wanted` is to be free once these are given back as well."""
        back = combined([*given_back])
        units_back = {share.device: share.units for share in back.shares}
        units_wanted = {share.device: share.units for share in wanted.shares}
        shares = []
        for at, room in enumerate(self._room(())):
            units = min(max(room, 0), units_wanted.get(at, 0) - units_back.get(at, 0))
            if units > 0:
                shares.append(Share(device=at, units=units, is_whole=units == self._sizes[at]))
        return Holding(
            shares=tuple(shares),
            memory_bytes=max(0, wanted.memory_bytes - back.memory_bytes),
            processors=max(0, wanted.processors - back.processors),
        )

    def lend(self, holding: Holding, *, is_checked: bool = True) -> None:
        """
        Somebody has this now. Raises RuntimeError where it was not free: nothing is ever lent twice.

        Not `is_checked` is what somebody has already of a worker that has less than before.
        """
        for share in holding.shares:
            if share.device < len(self._lent):
                self._lent[share.device] += share.units
        self._memory_lent += holding.memory_bytes
        self._processors_lent += holding.processors
        if not is_checked:
            return
        has_too_little = self._memory_lent > self.capability.memory_bytes and holding.memory_bytes
        lacks_processors = self._processors_lent > self.capability.cpu_count and holding.processors
        is_twice = any(self._lent[share.device] > self._sizes[share.device] for share in holding.shares)
        if has_too_little or lacks_processors or is_twice:
            raise RuntimeError(f"{holding} of {self.capability} would be lent twice")

    def take_back(self, holding: Holding) -> None:
        """What was lent is free again."""
        for share in holding.shares:
            if share.device < len(self._lent):
                self._lent[share.device] -= share.units
        self._memory_lent -= holding.memory_bytes
        self._processors_lent -= holding.processors

    def note_elsewhere(self, held: Holding) -> None:
        """What others have of this worker now, in place of what was noted before."""
        self._elsewhere = held

    def _room(self, beside: Sequence[Holding]) -> list[int]:
        room = [size - lent for size, lent in zip(self._sizes, self._lent, strict=True)]
        for holding in (self._elsewhere, *beside):
            for share in holding.shares:
                if share.device < len(room):
                    room[share.device] -= share.units
        return room

    def _fit_devices(
        self,
        demand: Demand,
        room: Sequence[int],
        within: Collection[int] | None,
        *,
        order: Sequence[int] | None = None,
    ) -> tuple[Share, ...] | None:
        """The first choice of alternatives that is met; with the fewest devices, where several are."""
        if not demand.clauses:
            return () if not within else None
        met: dict[int, int] | None = None
        clauses = [[need for need in clause.any_of if self._has(need)] for clause in demand.clauses]
        for chosen in itertools.product(*clauses):
            units = self._choose([need for need in chosen if is_counted(need)], room, within, order or room)
            if units is None or (within is not None and len(units) != len(within)):
                continue
            if met is None or len(units) < len(met):
                met = units
        if met is None:
            return None
        return tuple(Share(device=at, units=met[at], is_whole=met[at] == self._sizes[at]) for at in sorted(met))

    def _has(self, need: DeviceNeed) -> bool:
        """True where the whole worker would do: one that does not, never does."""
        if need.kind == "cpu":
            return self.capability.cpu_count >= need.count
        return sum(device.serves(need) for device in self.capability.devices) >= need.count

    def _choose(
        self, needs: Sequence[DeviceNeed], room: Sequence[int], within: Collection[int] | None, order: Sequence[int]
    ) -> dict[int, int] | None:
        """
        Units by device that meet every need, the one with the least choice first.

        A device may meet several needs. Those first in `order` come first (fuller ones, so that empty
        ones stay whole), then plainer ones.
        """
        devices = self.capability.devices
        offered = range(len(devices)) if within is None else within
        serving = [(need, [at for at in offered if devices[at].serves(need)]) for need in needs]
        chosen: dict[int, int] = {}
        for need, able in sorted(serving, key=lambda entry: len(entry[1]) - entry[0].count):
            in_order = sorted(able, key=lambda at: (at not in chosen, order[at], len(devices[at].features), at))
            missing = need.count
            for at in in_order:
                units = max(self._units(at, need), chosen.get(at, 0))
                if missing and units <= room[at]:
                    chosen[at] = units
                    missing -= 1
            if missing:
                return None
        return chosen

    def _units(self, at: int, need: DeviceNeed) -> int:
        is_known = need.memory_bytes and self.capability.devices[at].memory_bytes
        return need.memory_bytes if is_known and self._shares else self._sizes[at]
