"""The nodes of a Ray cluster as workers: their slots are actors, which get the source tree by Ray's object store."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dt_action.errors import UnreadableError
from dt_action.fleets.ray import offers_of
from dt_action.hosts.coverage_data import CoverageData
from dt_action.hosts.ray_cluster import ID_SHOWN, Cluster, Node
from dt_action.hosts.ray_host import RayHost, Seat, Setup, listen_s
from dt_action.model.hardware import Capability
from dt_action.remote import wire
from dt_action.worker.pool import WorkerSpec
from dt_action.worker.slot_hosts import LeaseHost, made_folder
from dt_action.worker.workspaces import KEPT_S, Fetch

_LOG = logging.getLogger("dt.worker")

LISTEN_S = 2.0
"""So often a slot tells what it printed, since somebody may be looking at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """
    How a cluster's nodes become workers.

    `name` begins the workers' names, where it is not empty. A slot on a node with devices holds `devices` of each
    kind. `most_slots` bounds the slots of a node (0: as many as it has processors). Coverage data of leases lies in
    `coverage` until it is sent. `labels` are words that describe all of them; `python` and `hidden`
    as in `fleets.ray.RayFleet`.
    """

    coverage: Path
    name: str = ""
    devices: int = 1
    most_slots: int = 0
    labels: frozenset[str] = frozenset()
    python: str | None = None
    hidden: tuple[str, ...] = ()


def workers_on(cluster: Cluster, settings: NodeSettings, bundles: Bundles) -> Mapping[str, WorkerSpec]:
    """
    The workers that the nodes of the cluster are now, by name: one for each node, and one more for its devices.

    Ray counts devices by slot, and which case comes is not known when a slot is made. So slots with devices are a
    worker of their own, and only they are given cases that need one.
    """
    made = {}
    for node in cluster.nodes(probes=True):
        for place, seat in offers_of(node, _wanted(node, settings.devices)):
            name = re.sub(r"[^A-Za-z0-9._-]", "-", place.worker.replace(node.name, _name(node, settings), 1))[-63:]
            capability = replace(place.capability, labels=place.capability.labels | settings.labels)
            slots = min(place.slots, settings.most_slots or place.slots)
            hosts = RayHosts(cluster, seat, bundles, settings)
            made[name] = WorkerSpec(name=name, slots=slots, probe=partial(_same, capability), hosts=hosts)
    return made


def _same(capability: Capability) -> Capability:
    return capability


def _wanted(node: Node, devices: int) -> dict[str, int]:
    kinds = {device.kind for device in node.capability.devices}
    return {kind: min(devices, node.dealt(kind)) for kind in kinds} if devices else {}


def _name(node: Node, settings: NodeSettings) -> str:
    return f"{settings.name}-{node.id[-ID_SHOWN:]}" if settings.name else node.name


class RayHosts:
    """Slots are actors of a Ray cluster, in one seat: see `slot_hosts.SlotHosts`."""

    def __init__(self, cluster: Cluster, seat: Seat, bundles: Bundles, settings: NodeSettings) -> None:
        self._cluster = cluster
        self._seat = seat
        self._bundles = bundles
        self._settings = settings

    def host(self, lease: wire.Lease, fetch: Fetch) -> LeaseHost:
        """See `SlotHosts`."""
        setup = Setup(
            start=lease.start,
            bundle=self._bundles.enter(lease, fetch),
            python=self._settings.python,
            hidden=self._settings.hidden,
            listen_s=listen_s(lease.no_output_timeout_s, most_s=LISTEN_S),
        )
        coverage = CoverageData(folder=made_folder(self.data_folder(lease))) if lease.start.measures else None
        return RayHost(self._cluster, setup, {"": self._seat}, say=_LOG.info, coverage=coverage)

    def data_folder(self, lease: wire.Lease) -> Path:
        """See `SlotHosts`."""
        return self._settings.coverage / lease.id

    def leave(self, lease: wire.Lease) -> None:
        """See `SlotHosts`."""
        shutil.rmtree(self.data_folder(lease), ignore_errors=True)
        self._bundles.leave(lease)

    def sweep(self) -> None:
        """See `SlotHosts`."""
        self._bundles.sweep()


@dataclass(slots=True)
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    idle_since: float = 0.0
    reference: Any = None


class Bundles:
    """Source trees in Ray's object store, by digest: each is fetched once for all nodes, and let go of when idle."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def enter(self, lease: wire.Lease, fetch: Fetch) -> Any:
        """
        A reference to the lease's bundle; `leave` must follow, whatever comes of it.

        Raises UnreadableError, LinkError or OSError where it cannot be had.
        """
        with self._lock:
            kept = self._kept.setdefault(lease.bundle, _Kept())
            kept.users += 1
        with kept.lock:
            if kept.reference is None:
                kept.reference = self._cluster.ray.put(_fetched(lease, fetch))
            return kept.reference

    def leave(self, lease: wire.Lease) -> None:
        """A lease of the bundle is over."""
        with self._lock:
            kept = self._kept[lease.bundle]
            kept.users -= 1
            kept.idle_since = time.monotonic()

    def sweep(self, *, kept_s: float = KEPT_S) -> None:
        """Let go of what nobody has used for a while; Ray frees it when no actor holds it."""
        now = time.monotonic()
        with self._lock:
            for digest in [
                digest for digest, kept in self._kept.items() if not kept.users and now - kept.idle_since > kept_s
            ]:
                del self._kept[digest]


def _fetched(lease: wire.Lease, fetch: Fetch) -> bytes:
    with tempfile.TemporaryDirectory(prefix="dt-") as folder:
        path = Path(folder) / "bundle"
        fetch(lease, path)
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != lease.bundle:
        raise UnreadableError("the bundle that came is not the one that was asked for")
    return content
