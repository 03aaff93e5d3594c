"""The fleet that is this machine: processes, no server, nothing to configure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dt_action.dispatch import Limits
from dt_action.execution import Execution, Place, Terms
from dt_action.hosting import Host
from dt_action.model.event import Event
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan

WORKER = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFleet:
    """
    Runs a plan in the processes of `host`, whose first one may have been started already.

    `isolation` is `session` (a process lives as long as it can) or `file` (a fresh process for each file).
    """

    host: Host
    capability: Capability
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
        )
        here = Place(worker=WORKER, capability=self.capability, slots=session.slots)
        try:
            yield from Execution(plan, terms, self.host, (here,)).events()
        finally:
            self.host.close()
