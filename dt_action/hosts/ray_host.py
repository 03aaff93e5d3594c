"""Slots as actors of a Ray cluster: the port `ports.SlotHost` over Ray's calls."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dt_action.errors import FleetError, UnreadableError
from dt_action.hosts import ray_actor
from dt_action.hosts.coverage_data import CoverageData
from dt_action.hosts.ray_cluster import Cluster, in_short
from dt_action.model.holding import Visible
from dt_action.model.json_codec import to_jsonable
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import (
    Command,
    Died,
    Log,
    Printed,
    ToController,
    command_to_jsonable,
    parse_relayed,
)
from dt_action.ports import Happened, Heard, Left

KILL_GRACE_S = 3.0
PENDING_NOTICE_S = 10.0
AGAIN_AFTER_S = 0.5
MOST_FRESH = 65536
"""So many characters of what a slot printed wait for somebody who asks for them."""

MOST_LOST_STARTS = 20
"""So many actors in a row may die before they are ready; then it is no accident."""

_START_HINT = "the nodes need the driver's version of Python and Ray; `ray logs actor` has more"

END_S = 2.0
"""So long the actors may take to end their slots' processes before they are killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where the actors of a worker go, and what Ray is asked to keep for each."""

    node_id: str
    cpus: float
    gpus: float
    resources: Mapping[str, float]
    hides_devices: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """
    What the actors of a run have in common. `start` is how pytest is started, and what each node prepares for it.

    `bundle` is the source tree in Ray's object store, `python` the tests' interpreter on the nodes, None for that of
    Ray. Tests see the environment of their node without the variables named in `hidden`. `listen_s` is how long a
    silent actor may take to tell what it printed.
    """

    start: PytestStart
    bundle: Any
    python: str | None = None
    hidden: tuple[str, ...] = ()
    listen_s: float = 10.0

    def message(self) -> dict[str, Any]:
        """For the actor, which knows no class of ours before it has unpacked them."""
        return {
            "start": to_jsonable(self.start),
            "python": self.python,
            "hidden": self.hidden,
            "listen_s": self.listen_s,
        }


def listen_s(no_output_timeout_s: float | None, *, most_s: float = 10.0) -> float:
    """How often an actor has to tell what it printed, so that no case is taken for silent."""
    return most_s if no_output_timeout_s is None else max(0.1, min(most_s, no_output_timeout_s / 4))


@dataclass(slots=True, kw_only=True, eq=False)
class _Actor:
    slot: str
    worker: str
    is_plain: bool
    started_at: float
    handle: Any = None
    again_at: float = 0.0
    commands: list[Command | ToController] = field(default_factory=list)
    sent: int = 0
    printed: int = 0
    fresh: str = ""
    is_ready: bool = False
    kill_by: float | None = None


class RayHost:
    """
    The actors of one run, or of one lease of it. `seats` are by worker; `say` is told what takes long.

    Where the run measures coverage, the data is brought to `coverage`.
    """

    def __init__(
        self,
        cluster: Cluster,
        setup: Setup,
        seats: Mapping[str, Seat],
        *,
        say: Callable[[str], None],
        coverage: CoverageData | None = None,
    ) -> None:
        self._coverage = coverage
        self._cluster = cluster
        self._ray = cluster.ray
        self._setup = setup
        self._seats = dict(seats)
        self._say = say
        self._actors: dict[str, _Actor] = {}
        self._told: queue.SimpleQueue[tuple[_Actor, Any, Any] | None] = queue.SimpleQueue()
        self._lost_starts = 0
        self._has_said_pending = False
        self._class = self._ray.remote(ray_actor.SlotActor)

    @property
    def slots(self) -> tuple[str, ...]:
        """See `ports.SlotHost`."""
        return tuple(self._actors)

    def start(self, slot: str, worker: str, *, is_plain: bool = False, visible: Visible | None = None) -> None:
        """See `ports.SlotHost`."""
        actor = self._actors[slot] = _Actor(slot=slot, worker=worker, is_plain=is_plain, started_at=time.monotonic())
        self._launch(actor)

    def _launch(self, actor: _Actor) -> None:
        """Ray never restarts an actor by itself: what it held is dealt out anew by us."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        seat = self._seats[actor.worker]
        actor.handle = self._class.options(
            num_cpus=seat.cpus,
            num_gpus=seat.gpus,
            resources=dict(seat.resources),
            scheduling_strategy=NodeAffinitySchedulingStrategy(seat.node_id, soft=False),
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
        ).remote(
            self._cluster.package,
            self._cluster.package_digest,
            self._setup.bundle,
            {
                **self._setup.message(),
                "slot": actor.slot,
                "is_plain": actor.is_plain,
                "hides_devices": seat.hides_devices,
            },
        )
        self._listen(actor)
        for number, command in enumerate(actor.commands, start=1):
            self._command(actor, number, command)

    def send(self, slot: str, command: Command | ToController) -> None:
        """See `ports.SlotHost`."""
        actor = self._actors.get(slot)
        if actor is None:
            return
        actor.sent += 1
        if not actor.is_ready:
            actor.commands.append(command)
        if actor.handle is not None:
            self._command(actor, actor.sent, command)

    def poll(self, timeout_s: float) -> Iterator[Happened]:
        """See `ports.SlotHost`. Raises FleetError where no actor comes up, or the cluster is gone."""
        yield from self._look_at_nodes()
        with contextlib.suppress(queue.Empty):
            told = self._told.get(timeout=max(0.0, timeout_s))
            while True:
                if told is not None:
                    yield from self._hear(*told)
                told = self._told.get_nowait()
        yield from self._look_at_clocks()

    def wake(self) -> None:
        """Let a `poll` that waits in another thread return."""
        self._told.put(None)

    def has_program(self, slot: str) -> bool:
        """True where a program runs that the slot's process has started; False also where nobody can tell."""
        return False

    def output_bytes(self, slot: str) -> int:
        """See `ports.SlotHost`."""
        actor = self._actors.get(slot)
        return actor.printed if actor is not None else 0

    def new_output(self, slot: str) -> str:
        """What a slot printed outside of pytest's capture since this was asked last."""
        actor = self._actors.get(slot)
        if actor is None:
            return ""
        fresh, actor.fresh = actor.fresh, ""
        return fresh

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        """See `ports.SlotHost`. An actor that does not do it itself is killed by Ray."""
        actor = self._actors.get(slot)
        if actor is None:
            return
        if actor.kill_by is None:
            actor.kill_by = time.monotonic() + KILL_GRACE_S
        if actor.is_ready:
            actor.handle.end.remote(show_where)
        elif actor.handle is not None:
            self._ray.kill(actor.handle, no_restart=True)

    def close(self, *, grace_s: float = 0.0) -> None:
        """
        See `ports.SlotHost`. Every actor is gone when this returns, or Ray was told to kill it.

        The slots' processes are ended first: Ray ends an actor's children in any order, and may leave some.
        """
        self._hear_until_gone(time.monotonic() + grace_s)
        for actor in self._actors.values():
            if actor.handle is not None:
                with contextlib.suppress(Exception):
                    actor.handle.end.remote(False)
        self._hear_until_gone(time.monotonic() + END_S)
        for actor in [*self._actors.values()]:
            self._forget(actor)

    def _hear_until_gone(self, deadline: float) -> None:
        while self._actors and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty, FleetError):
                told = self._told.get(timeout=0.05)
                if told is not None:
                    list(self._hear(*told))

    # --- hearing --------------------------------------------------------------------------------------------------

    def _listen(self, actor: _Actor) -> None:
        handle = actor.handle
        handle.listen.remote().future().add_done_callback(lambda done: self._told.put((actor, handle, done)))

    def _command(self, actor: _Actor, number: int, command: Command | ToController) -> None:
        """An actor that cannot be reached for one command is lost, though it may go on listening."""
        handle = actor.handle

        def sent(done: Any) -> None:
            if done.exception() is not None:
                self._told.put((actor, handle, done))

        handle.obey.remote(number, command_to_jsonable(command)).future().add_done_callback(sent)

    def _hear(self, actor: _Actor, handle: Any, done: Any) -> Iterator[Happened]:
        if self._actors.get(actor.slot) is not actor or actor.handle is not handle:
            return  # of an actor that is forgotten
        error = done.exception()
        if error is not None:
            yield from self._lost(actor, error)
            return
        told, measured = done.result()
        messages = [parse_relayed(value) for value in told]
        if not any(isinstance(message, Died) for message in messages):
            self._listen(actor)  # before anything is told: who hears of the end hears no further
        for message in messages:
            match message:
                case Printed():
                    actor.printed += 1
                case Log():
                    actor.fresh = (actor.fresh + message.text)[-MOST_FRESH:]
                case Died():
                    self._forget(actor)
                    self._take_coverage(actor, measured, message.root)
                    yield Heard(slot=actor.slot, message=message)
                    return
                case _:
                    actor.is_ready = True
                    actor.commands.clear()
                    self._lost_starts = 0
                    yield Heard(slot=actor.slot, message=message)

    def _take_coverage(self, actor: _Actor, measured: bytes, workspace: str) -> None:
        """What cannot be had is missing from the coverage; the results of the tests stand."""
        if self._coverage is not None and measured:
            try:
                self._coverage.take([measured], workspace)
            except UnreadableError as error:
                self._say(f"the coverage of slot {actor.slot} is not to be had: {error}")

    def _lost(self, actor: _Actor, error: BaseException) -> Iterator[Happened]:
        """The actor is gone. Its node may be, too: then that is what is told."""
        yield from self._look_at_nodes(fresh=True)
        if actor.slot not in self._actors:
            return
        said = in_short(error)
        if actor.is_ready or actor.kill_by is not None:
            self._forget(actor)
            yield _taken(actor, f"its Ray actor died: {said}")
            return
        self._lost_starts += 1
        if self._lost_starts >= MOST_LOST_STARTS or getattr(error, "actor_init_failed", False):
            self._forget(actor)
            raise FleetError(f"Ray's actors die before they are ready: {said}", hint=_START_HINT)
        actor.handle, actor.again_at = None, time.monotonic() + AGAIN_AFTER_S  # no test has seen it: it loses nothing

    def _look_at_nodes(self, *, fresh: bool = False) -> Iterator[Happened]:
        living = self._cluster.living(fresh=fresh)
        for worker in [worker for worker, seat in self._seats.items() if seat.node_id not in living]:
            del self._seats[worker]
            for actor in [actor for actor in self._actors.values() if actor.worker == worker]:
                self._forget(actor)
            yield Left(worker=worker, reason="its Ray node died")
            if not self._seats:
                raise FleetError("the last node of the Ray cluster that the run had died")

    def _look_at_clocks(self) -> Iterator[Happened]:
        now = time.monotonic()
        pending = 0
        for actor in [*self._actors.values()]:
            if actor.handle is None and actor.kill_by is not None:
                self._forget(actor)
                yield _taken(actor, "it was ended before it began")
            elif actor.handle is None and now > actor.again_at:
                self._launch(actor)
            elif actor.kill_by is not None and now > actor.kill_by:
                actor.kill_by = float("inf")
                self._ray.kill(actor.handle, no_restart=True)
            pending += not actor.is_ready and now - actor.started_at > PENDING_NOTICE_S
        if pending and not self._has_said_pending:
            self._has_said_pending = True
            self._say(f"{pending} slots are not there yet: others hold the nodes' resources, or much is installed")

    def _forget(self, actor: _Actor) -> None:
        self._actors.pop(actor.slot, None)
        if actor.handle is not None:
            with contextlib.suppress(Exception):
                self._ray.kill(actor.handle, no_restart=True)


def _taken(actor: _Actor, reason: str) -> Heard:
    return Heard(slot=actor.slot, message=Died(reason=reason, how="taken"))
