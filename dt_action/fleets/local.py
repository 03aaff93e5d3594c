"""The fleet that is this machine: processes, no server, nothing to configure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dt_action.engine import Limits, RunState
from dt_action.engine.loop import Loop
from dt_action.hosts.process import Host
from dt_action.model.event import Event
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan
from dt_action.ports import Interruption, Place

if TYPE_CHECKING:
    from dt_action.hosts.container import ContainerHost

WORKER = "local"
WITH_DEVICES = "local-devices"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFleet:
    """
    Runs a plan in the processes or containers of `host`, whose first process may have been started already.

    `apart` are places beside the one that has everything: see `apart_by_devices`.
    """

    host: Host | ContainerHost
    capability: Capability
    apart: tuple[Place, ...] = ()
    limits: Limits = field(default_factory=Limits)
    interruption: Interruption | None = None

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises what `errors.no_session` says."""
        session = self.host.session
        here = Place(worker=WORKER, capability=self.capability, slots=session.start.slots)
        start_controller = self.host.start_controller if isinstance(self.host, Host) else None
        state = RunState(
            plan,
            self.limits,
            start=session.start,
            python=session.python,
            has_controller=start_controller is not None,
            is_alone=session.start.slots == 1 and not self.apart,
        )
        loop = Loop(
            state,
            self.host,
            self.apart or (here,),
            watches_output=self.limits.no_output_timeout_s is not None,
            start_controller=start_controller,
            interruption=self.interruption,
        )
        try:
            yield from loop.events()
        finally:
            self.host.close()


def apart_by_devices(capability: Capability, slots: int) -> tuple[Place, ...]:
    """
    This machine as places: one whose slots get no device, and, where there are devices, one slot that gets them all.

    So a container holds a device only for cases that need it, and no two containers hold the same one.
    """
    places = [Place(worker=WORKER, capability=capability.without_devices(), slots=slots)]
    if capability.devices:
        places.append(Place(worker=WITH_DEVICES, capability=replace(capability, is_per_slot=True), slots=1))
    return tuple(places)
