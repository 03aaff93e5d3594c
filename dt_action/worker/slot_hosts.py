"""Where the slots of a worker live: the port that a lease's thread asks for a host, for processes and containers."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dt_action.errors import ConfigurationError
from dt_action.hosts.coverage_data import DATA_NAME, CoverageData
from dt_action.hosts.process import Host
from dt_action.hosts.session import Session
from dt_action.ports import SlotHost
from dt_action.remote import wire
from dt_action.worker.workspaces import Fetch, Workspaces

if TYPE_CHECKING:
    from dt_action.hosts.container import Box
    from dt_action.hosts.container_engine import Engine

_LOG = logging.getLogger("dt.worker")


class LeaseHost(SlotHost, Protocol):
    """A host of one slot, which its thread and others speak to."""

    def new_output(self, slot: str) -> str:
        """What the slot printed outside of pytest's capture since this was asked last."""

    def wake(self) -> None:
        """Let a `poll` that waits in another thread return."""


class SlotHosts(Protocol):
    """Makes hosts for leases. Its methods are called by the threads of several leases."""

    def host(self, lease: wire.Lease, fetch: Fetch) -> LeaseHost:
        """
        A host for the lease's slot, which starts nothing yet; `leave` must follow, whatever comes of it.

        `fetch` gets the lease's bundle. Raises DtError, LinkError or OSError where there can be none.
        """

    def data_folder(self, lease: wire.Lease) -> Path:
        """Where the coverage data that the slot measures is found when it has died."""

    def leave(self, lease: wire.Lease) -> None:
        """The lease is over."""

    def sweep(self) -> None:
        """Remove what nobody has used for a while."""


class ProcessHosts:
    """Slots are processes on this machine, in workspaces that are made once for all slots of a run."""

    def __init__(self, workspaces: Workspaces, *, fair_threads: int = 0) -> None:
        self._workspaces = workspaces
        self._fair_threads = fair_threads

    def host(self, lease: wire.Lease, fetch: Fetch) -> LeaseHost:
        """See `SlotHosts`."""
        workspace = self._workspaces.enter(lease, fetch)
        session = Session(
            root=workspace.root,
            python=workspace.environment.python,
            start=lease.start,
            environ=workspace.environment.variables,
            mark=lease.id,
            data_file=self.data_folder(lease) / DATA_NAME,
            fair_threads=self._fair_threads,
        )
        if lease.start.measures:
            made_folder(self.data_folder(lease))
        return Host(session)

    def data_folder(self, lease: wire.Lease) -> Path:
        """See `SlotHosts`."""
        return self._workspaces.data_folder(lease)

    def leave(self, lease: wire.Lease) -> None:
        """See `SlotHosts`."""
        shutil.rmtree(self.data_folder(lease), ignore_errors=True)
        self._workspaces.leave(lease.run)

    def sweep(self) -> None:
        """See `SlotHosts`."""
        self._workspaces.sweep()


class ContainerHosts:
    """Slots are containers of `engine`, made by `box`; the environment of the tests is the image."""

    def __init__(self, workspaces: Workspaces, box: Box, engine: Engine) -> None:
        self._workspaces = workspaces
        self._box = box
        self._engine = engine

    def host(self, lease: wire.Lease, fetch: Fetch) -> LeaseHost:
        """See `SlotHosts`. A setup command would have to run outside of the containers, so there is none."""
        from dt_action.hosts.container import ContainerHost

        start = replace(lease.start, requirements=(), setup="")
        workspace = self._workspaces.enter(replace(lease, start=start), fetch)
        if lease.start.requirements or lease.start.setup:
            raise ConfigurationError(
                f"this worker's tests run in containers of {self._box.image}, where nothing is installed or set up",
                hint="leave --requirements and --setup out, and have the image hold what the tests need",
            )
        session = Session(
            root=workspace.root,
            python=self._box.python,
            start=lease.start,
            environ=self._box.environ,
            mark=lease.id,
            fair_threads=max(1, int(self._box.cpus)),
        )
        coverage = CoverageData(folder=made_folder(self.data_folder(lease))) if lease.start.measures else None
        return ContainerHost(session, self._box, self._engine, say=_LOG.info, coverage=coverage)

    def data_folder(self, lease: wire.Lease) -> Path:
        """See `SlotHosts`."""
        return self._workspaces.data_folder(lease)

    def leave(self, lease: wire.Lease) -> None:
        """See `SlotHosts`."""
        shutil.rmtree(self.data_folder(lease), ignore_errors=True)
        self._workspaces.leave(lease.run)

    def sweep(self) -> None:
        """See `SlotHosts`."""
        self._workspaces.sweep()


def made_folder(path: Path) -> Path:
    """The folder, which is there from now on."""
    path.mkdir(parents=True, exist_ok=True)
    return path
