"""Those whom the coordinator deals with: workers as they are in memory, their leases, owners of runs, its patience."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Any

from dt_action.coordinator.health import Starts
from dt_action.coordinator.live_run import LiveLease, capability_of
from dt_action.model.hardware import Capability
from dt_action.remote import wire

MOST_LOG_LINES = 200
PRESENT = ("active", "draining", "aside")
"""The states of a worker that is enrolled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    How long a worker may be silent, in seconds: `lease_s` until its leases are given to others, `eviction_timeout_s`
    until it no longer counts as one that will come back.
    """

    lease_s: float = 45.0
    eviction_timeout_s: float = 300.0


@dataclass(slots=True, kw_only=True)
class LiveWorker:
    """
    A worker. `name` is unique among them; `heard_at` is by the steady clock.

    `state` is `active`, `draining`, or `aside` where it does not get anything started, for a `reason`. `vitals` and the
    last lines of its `log` are what it sent of itself; they are not kept over a restart of the coordinator.
    """

    id: str
    name: str
    boot: str
    slots: int
    capability: Capability
    heard_at: float
    state: str = "active"
    version: str = ""
    enrolled_at: float = 0.0
    noted_at: float = 0.0
    is_silent: bool = False
    reason: str = ""
    aside_until: float = 0.0
    vitals: wire.Vitals | None = None
    log: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LOG_LINES))
    starts: Starts = field(default_factory=Starts)


class Leases:
    """The open leases, by id and by worker."""

    def __init__(self, leases: Iterable[LiveLease] = ()) -> None:
        self._by_id: dict[str, LiveLease] = {}
        self._by_worker: dict[str, dict[str, LiveLease]] = {}
        for lease in leases:
            self.add(lease)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, id: str) -> bool:
        return id in self._by_id

    def __getitem__(self, id: str) -> LiveLease:
        return self._by_id[id]

    def get(self, id: str) -> LiveLease | None:
        """The lease with this id, where it is open."""
        return self._by_id.get(id)

    def values(self) -> ValuesView[LiveLease]:
        """All of them."""
        return self._by_id.values()

    def on(self, worker: str) -> list[LiveLease]:
        """Those of one worker, by its id, the oldest first."""
        return [*self._by_worker.get(worker, {}).values()]

    def add(self, lease: LiveLease) -> None:
        """One more."""
        self._by_id[lease.id] = self._by_worker.setdefault(lease.worker, {})[lease.id] = lease

    def remove(self, id: str) -> bool:
        """The lease is over; False where it was already."""
        lease = self._by_id.pop(id, None)
        if lease is None:
            return False
        mine = self._by_worker[lease.worker]
        del mine[id]
        if not mine:
            del self._by_worker[lease.worker]
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who submits: the key or claim it came with, and what it may have."""

    name: str
    max_slots: int = 0
    max_runs: int = 0
    max_priority: int = 0


class RowToBe:
    """The columns of a row that is about to be written, as attributes, as those of one that was read."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.__dict__.update(columns)


def worker_of(row: Any, now: float) -> LiveWorker:
    """A worker as its row tells, last heard of `now`."""
    return LiveWorker(
        id=row.id,
        name=row.name,
        boot=row.boot,
        slots=row.slots,
        capability=capability_of(row.capability, f"worker {row.id}"),
        heard_at=now,
        state=row.state,
        reason=row.reason,
        version=row.version,
        enrolled_at=row.enrolled_at,
        noted_at=row.seen_at,
    )
