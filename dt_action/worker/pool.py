"""Several workers in one process: the nodes of a cluster, or a machine that lends its devices to some slots only."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dt_action.errors import FleetError
from dt_action.model.hardware import Capability
from dt_action.worker.agent import Agent
from dt_action.worker.slot_hosts import SlotHosts

_LOG = logging.getLogger("dt.worker")

LOOK_EVERY_S = 1.0
POOL_HINT = "several workers need a token that is good for as many: dt coordinator enrol --pool"
AGAIN_AFTER_S = 60.0
"""A worker that the coordinator has refused is not proposed again sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """One worker to be: its name, a `probe` for what it has, and where its `slots` live."""

    name: str
    slots: int
    probe: Callable[[], Capability]
    hosts: SlotHosts


class WorkerPool:
    """
    Keeps an agent at work for each of the `specs`, which are looked at again and again.

    `make_agent` makes the agent of one. The enrolment token has to be good for as many workers.
    """

    def __init__(
        self, specs: Callable[[], Mapping[str, WorkerSpec]], make_agent: Callable[[WorkerSpec], Agent]
    ) -> None:
        self._list_workers = specs
        self._make_agent = make_agent
        self._members: dict[str, _Member] = {}
        self._refused: dict[str, float] = {}
        self._asked = 0
        self._is_asked = threading.Event()

    def ask(self, *_: object) -> None:
        """As a signal handler: let what runs finish, and end; asked again, end at once."""
        self._asked += 1
        self._is_asked.set()

    def run(self) -> None:
        """Work until asked to end. Raises FleetError where the coordinator refuses every worker, or `specs` does."""
        try:
            while not self._asked:
                self._look(self._list_workers())
                self._is_asked.wait(LOOK_EVERY_S)
            self._drain()
        finally:
            living = [member for member in self._members.values() if member.is_alive()]
            _at_once([partial(member.agent.leave, "the worker ends") for member in living])
            for member in living:
                member.join(timeout=10.0)

    def _look(self, specs: Mapping[str, WorkerSpec]) -> None:
        for name, member in [*self._members.items()]:
            if not member.is_alive():
                del self._members[name]
                self._bear(member)
            elif name not in specs:
                member.agent.leave("its node is gone")
        for name, spec in specs.items():
            if name not in self._members and time.monotonic() >= self._refused.get(name, 0.0):
                member = self._members[name] = _Member(self._make_agent(spec), spec.name)
                member.start()

    def _bear(self, member: _Member) -> None:
        """One that was refused, while others are at work, is a warning."""
        if member.error is None:
            return
        if not any(other.agent.is_enrolled for other in self._members.values()):
            raise member.error
        _LOG.warning("%s is no worker: %s; %s", member.name, member.error.message, POOL_HINT)
        self._refused[member.name] = time.monotonic() + AGAIN_AFTER_S

    def _drain(self) -> None:
        _LOG.info("draining: no new leases; what runs is finished first")
        self._is_asked.clear()
        _at_once([member.agent.drain for member in self._members.values()])
        while any(member.is_alive() for member in self._members.values()):
            if self._is_asked.wait(0.1):
                _LOG.warning("asked a second time: what runs is ended now")
                return


def _at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Make calls that may wait for a coordinator, each in a thread of its own."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class _Member(threading.Thread):
    """An agent at work. `error` is why it was refused."""

    def __init__(self, agent: Agent, name: str) -> None:
        super().__init__(name=f"dt-worker-{name}", daemon=True)
        self.agent = agent
        self.error: FleetError | None = None

    def run(self) -> None:
        """The thread."""
        try:
            self.agent.run()
        except FleetError as error:
            self.error = error
