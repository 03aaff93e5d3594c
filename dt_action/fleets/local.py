"""The fleet that is this machine: processes, no server, nothing to configure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dt_action.engine import Limits
from dt_action.engine.execution import Execution, Place, Terms
from dt_action.hosts.process import Host
from dt_action.model.event import Event
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan

if TYPE_CHECKING:
    from dt_action.hosts.container import ContainerHost

WORKER = "local"
WITH_DEVICES = "local-devices"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFleet:
    """
    Runs a plan in the processes or containers of `host`, whose first process may have been started already.

    `isolation` is `session` (a process lives as long as it can), `file` (a fresh process for each file) or
    `container`. `apart` are places beside the one that has everything: see `apart_by_devices`.
    """

    host: Host | ContainerHost
    capability: Capability
    apart: tuple[Place, ...] = ()
    limits: Limits = field(default_factory=Limits)
    isolation: str = "session"

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises ConfigurationError where pytest cannot be started or refuses its arguments."""
        session = self.host.session
        terms = Terms(
            limits=self.limits,
            isolation=self.isolation,
            root=session.root,
            python=session.python,
            measures=session.measuring is not None,
            is_plain=session.slots == 1 and not self.apart,
            start_controller=self.host.start_controller if isinstance(self.host, Host) else None,
        )
        here = Place(worker=WORKER, capability=self.capability, slots=session.slots)
        places = self.apart or (here,)
        try:
            yield from Execution(plan, terms, self.host, places).events()
        finally:
            self.host.close()


def apart_by_devices(capability: Capability, slots: int) -> tuple[Place, ...]:
    """
    This machine as places: one whose slots get no device, and, where there are devices, one slot that gets them all.

    So a container holds a device only for cases that need it, and no two containers hold the same one.
    """
    places = [Place(worker=WORKER, capability=capability.without_devices(), slots=slots)]
    if capability.devices:
        places.append(Place(worker=WITH_DEVICES, capability=capability, slots=1))
    return tuple(places)
