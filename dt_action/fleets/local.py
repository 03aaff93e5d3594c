"""The fleet that is this machine: processes, no server, nothing to configure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.dispatch import Limits
from dt_action.execution import Execution, Place, Terms
from dt_action.hosting import Host, Session
from dt_action.model.event import Event
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan

WORKER = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFleet:
    """
    Runs a plan in `workers` processes of the interpreter `python`, started in `root` with pytest's arguments `args`.

    `isolation` is `session` (a process lives as long as it can) or `file` (a fresh process for each file).

    `environ` is what the tests see of the environment: pass none of our secrets in it.
    """

    root: Path
    python: str
    workers: int
    capability: Capability
    args: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    isolation: str = "session"
    environ: Mapping[str, str] = field(default_factory=dict)

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises ConfigurationError where pytest cannot be started or refuses its arguments."""
        session = Session(
            run=uuid.uuid4().hex,
            root=self.root,
            python=self.python,
            args=self.args,
            slots=self.workers,
            environ=self.environ,
        )
        terms = Terms(limits=self.limits, isolation=self.isolation, root=self.root, python=self.python)
        here = Place(worker=WORKER, capability=self.capability, slots=self.workers)
        with Host(session) as host:
            yield from Execution(plan, terms, host, (here,)).events()
