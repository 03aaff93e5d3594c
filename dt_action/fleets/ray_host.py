"""Slots as actors of a Ray cluster: the port `execution.SlotHost` over Ray's calls."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dt_action.errors import FleetError
from dt_action.fleets import ray_actor
from dt_action.hosting import Died, Happened, Heard, Left

NODES_EVERY_S = 1.0
KILL_GRACE_S = 3.0
PENDING_NOTICE_S = 10.0
MOST_LOST_STARTS = 20
"""So many actors in a row may die before they are ready; then it is no accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where the actors of a worker go, and what Ray is asked to keep for each."""

    node_id: str
    cpus: float
    gpus: float
    resources: Mapping[str, float]
    hides_devices: bool


@dataclass(slots=True, kw_only=True)
class _Actor:
    slot: str
    worker: str
    handle: Any
    started_at: float
    sent: int = 0
    printed: int = 0
    is_ready: bool = False
    kill_by: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """What every actor is made with: references to our package and the bundle in Ray's object store, and the setup."""

    package: Any
    package_digest: str
    bundle: Any
    setup: Mapping[str, Any]


class RayHost:
    """The actors of one run. `ray` is the module, connected; `seats` are by worker."""

    def __init__(self, ray: Any, cargo: Cargo, seats: Mapping[str, Seat], *, say: Callable[[str], None]) -> None:
        self._ray = ray
        self._cargo = cargo
        self._seats = dict(seats)
        self._say = say
        self._actors: dict[str, _Actor] = {}
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._nodes_at = 0.0
        self._lost_starts = 0
        self._has_said_pending = False
        self._class = ray.remote(ray_actor.SlotActor)

    @property
    def slots(self) -> tuple[str, ...]:
        """See `execution.SlotHost`."""
        return tuple(self._actors)

    def start(self, slot: str, worker: str) -> None:
        """See `execution.SlotHost`. Ray never restarts an actor by itself: what it held is dealt out anew by us."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        seat, cargo = self._seats[worker], self._cargo
        handle = self._class.options(
            num_cpus=seat.cpus,
            num_gpus=seat.gpus,
            resources=dict(seat.resources),
            scheduling_strategy=NodeAffinitySchedulingStrategy(seat.node_id, soft=False),
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
        ).remote(
            cargo.package,
            cargo.package_digest,
            cargo.bundle,
            {**cargo.setup, "slot": slot, "hides_devices": seat.hides_devices},
        )
        self._actors[slot] = _Actor(slot=slot, worker=worker, handle=handle, started_at=time.monotonic())
        self._listen(slot, handle)

    def send(self, slot: str, **command: Any) -> None:
        """See `execution.SlotHost`."""
        actor = self._actors.get(slot)
        if actor is not None:
            actor.sent += 1
            actor.handle.obey.remote(actor.sent, command)

    def sent(self, slot: str) -> int:
        """See `execution.SlotHost`."""
        actor = self._actors.get(slot)
        return actor.sent if actor is not None else -1

    def poll(self, timeout_s: float) -> Iterator[Happened]:
        """See `execution.SlotHost`. Raises FleetError where no actor comes up, or the cluster is gone."""
        yield from self._look_at_nodes()
        with contextlib.suppress(queue.Empty):
            slot, told = self._told.get(timeout=max(0.0, timeout_s))
            yield from self._hear(slot, told)
            while True:
                slot, told = self._told.get_nowait()
                yield from self._hear(slot, told)
        self._look_at_clocks()

    def output_bytes(self, slot: str) -> int:
        """See `execution.SlotHost`."""
        actor = self._actors.get(slot)
        return actor.printed if actor is not None else 0

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        """See `execution.SlotHost`. An actor that does not do it itself is killed by Ray."""
        actor = self._actors.get(slot)
        if actor is None:
            return
        actor.kill_by = time.monotonic() + KILL_GRACE_S
        if actor.is_ready:
            actor.handle.end.remote(show_where)
        else:
            self._ray.kill(actor.handle, no_restart=True)

    def close(self, *, grace_s: float = 0.0) -> None:
        """See `execution.SlotHost`. Every actor is gone when this returns, or Ray was told to kill it."""
        deadline = time.monotonic() + grace_s
        while self._actors and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty, FleetError):
                slot, told = self._told.get(timeout=0.05)
                list(self._hear(slot, told))
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                actor.handle.end.remote(False)
        for actor in self._actors.values():
            self._ray.kill(actor.handle, no_restart=True)
        self._actors.clear()

    # --- hearing --------------------------------------------------------------------------------------------------

    def _listen(self, slot: str, handle: Any) -> None:
        future = handle.listen.remote().future()
        future.add_done_callback(lambda done: self._told.put((slot, done)))

    def _hear(self, slot: str, done: Any) -> Iterator[Happened]:
        actor = self._actors.get(slot)
        if actor is None:
            return
        error = done.exception()
        if error is not None:
            yield from self._lost(actor, error)
            return
        messages = done.result()
        if not any(message["e"] == "died" for message in messages):
            self._listen(slot, actor.handle)  # before anything is told: who hears of the end hears no further
        for message in messages:
            if message["e"] == "printed":
                actor.printed = message["bytes"]
            elif message["e"] == "died":
                self._forget(actor)
                yield Died(slot=slot, code=message["code"], log_tail=message["log_tail"])
                return
            else:
                actor.is_ready = True
                self._lost_starts = 0
                yield Heard(slot=slot, message=message)

    def _lost(self, actor: _Actor, error: BaseException) -> Iterator[Happened]:
        """The actor is gone. Its node may be, too: then that is what is told."""
        self._forget(actor)
        said = _in_short(error)
        if not actor.is_ready and actor.kill_by is None:
            self._lost_starts += 1
            if self._lost_starts >= MOST_LOST_STARTS or "Error" in type(getattr(error, "cause", None)).__name__:
                raise FleetError(f"Ray's actors die before they are ready: {said}", hint=_START_HINT)
        self._nodes_at = 0.0
        yield from self._look_at_nodes()
        if actor.worker in self._seats:
            yield Died(slot=actor.slot, code=-9, log_tail="", why=f"its Ray actor died: {said}")

    def _look_at_nodes(self) -> Iterator[Happened]:
        now = time.monotonic()
        if now < self._nodes_at:
            return
        self._nodes_at = now + NODES_EVERY_S
        try:
            alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        except Exception as error:  # the head is gone: Ray has many words for that
            raise FleetError(f"the Ray cluster does not answer any more: {_in_short(error)}") from error
        for worker in [worker for worker, seat in self._seats.items() if seat.node_id not in alive]:
            del self._seats[worker]
            for actor in [actor for actor in self._actors.values() if actor.worker == worker]:
                self._forget(actor)
            yield Left(worker=worker, reason="its Ray node died")

    def _look_at_clocks(self) -> None:
        now = time.monotonic()
        pending = 0
        for actor in [*self._actors.values()]:
            if actor.kill_by is not None and now > actor.kill_by:
                actor.kill_by = None
                self._ray.kill(actor.handle, no_restart=True)
            pending += not actor.is_ready and now - actor.started_at > PENDING_NOTICE_S
        if pending and not self._has_said_pending:
            self._has_said_pending = True
            self._say(f"{pending} slots wait for resources that others hold in the Ray cluster")

    def _forget(self, actor: _Actor) -> None:
        self._actors.pop(actor.slot, None)
        with contextlib.suppress(Exception):
            self._ray.kill(actor.handle, no_restart=True)


_START_HINT = "the nodes need the driver's version of Python and Ray; `ray logs actor` has more"


def _in_short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])[:500] or type(error).__name__
