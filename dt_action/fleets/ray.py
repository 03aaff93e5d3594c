"""The fleet that is a Ray cluster: actors on its nodes, with Ray's resources, fed by the same brain as every fleet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dt_action.engine import Limits, RunState
from dt_action.engine.loop import Loop
from dt_action.errors import FleetError
from dt_action.hosts.coverage_data import CoverageData
from dt_action.hosts.ray_cluster import Cluster, Node
from dt_action.hosts.ray_host import RayHost, Seat, Setup, listen_s
from dt_action.hosts.session import new_run
from dt_action.model.event import Event
from dt_action.model.hardware import ACCELERATORS, Device, Requirement
from dt_action.model.plan import Plan
from dt_action.model.pytest_start import PytestStart
from dt_action.ports import Interruption, Place
from dt_action.remote.bundle import make_bundle

SCALE_POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayFleet:
    """
    Runs a plan on actors of the cluster at `address`: `ray://HOST:PORT`, `HOST:PORT`, or `auto` for one that runs here.

    `slots` is the most slots at a time, None for as many as the cluster has processors. `python` is the tests'
    interpreter on the nodes, None for that of Ray; what `start` wants prepared is seen to on each node. Tests see the
    environment of their node, without the variables named in `hidden`. Where `scale_s` is not 0, what no node has is
    asked of Ray's autoscaler, and waited for. Where the run measures, the data is brought to `coverage`.
    """

    address: str
    root: Path
    start: PytestStart = field(default_factory=PytestStart)
    python: str | None = None
    slots: int | None = None
    limits: Limits = field(default_factory=Limits)
    hidden: tuple[str, ...] = ()
    scale_s: float = 0.0
    say: Callable[[str], None] = print
    interruption: Interruption | None = None
    coverage: CoverageData | None = None

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises FleetError where the cluster cannot be reached or used."""
        cluster = Cluster(self.address)
        try:
            yield from self._execute(cluster, plan)
        finally:
            if self.scale_s:
                _ask_for([])  # else the autoscaler would keep for ever what this run has asked for
            cluster.close()

    def _execute(self, cluster: Cluster, plan: Plan) -> Iterator[Event]:
        needs = [need for file in plan.files for need in (file.needs.default, *file.needs.cases.values())]
        places, seats = offers(self._nodes(cluster, needs), needs, self.slots)
        bundle = make_bundle(self.root)
        slots = sum(place.slots for place in places)
        setup = Setup(
            start=replace(self.start, run=new_run(), slots=slots, directory=bundle.directory),
            bundle=cluster.ray.put(bundle.content),
            python=self.python,
            hidden=self.hidden,
            listen_s=listen_s(self.limits.no_output_timeout_s),
        )
        host = RayHost(cluster, setup, seats, say=self.say, coverage=self.coverage)
        state = RunState(plan, self.limits, start=self.start, python=self.python or "python")
        watches_output = self.limits.no_output_timeout_s is not None
        loop = Loop(state, host, places, watches_output=watches_output, interruption=self.interruption)
        try:
            yield from loop.events()
        finally:
            host.close()

    def _nodes(self, cluster: Cluster, needs: Sequence[Requirement]) -> list[Node]:
        """The nodes that live, waiting for the autoscaler where that was asked for."""
        deadline = time.monotonic() + self.scale_s
        while True:
            nodes = cluster.nodes(probes=any(not need.needs_nothing for need in needs))
            missing = [need for need in needs if not any(node.capability.satisfies(need) for node in nodes)]
            few = (self.slots or 1) > sum(node.cpus for node in nodes)
            if time.monotonic() >= deadline or not (missing or few):
                break
            _ask_for([_bundle_for(need) for need in dict.fromkeys(missing)] + [{"CPU": 1.0}] * (self.slots or 1) * few)
            time.sleep(SCALE_POLL_S)
        if not nodes:
            raise FleetError("the Ray cluster has no node with a processor", hint="`ray status` shows what it has")
        return nodes


def _ask_for(bundles: Sequence[Mapping[str, float]]) -> None:
    """Tell the autoscaler what the cluster should have in all, in place of what it was told before."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[dict(bundle) for bundle in bundles])


def _bundle_for(need: Requirement) -> dict[str, float]:
    """A need in the words of Ray's autoscaler."""
    bundle = {"CPU": 1.0}
    for clause in need.all_of:
        first = clause.any_of[0]
        bundle["GPU" if first.kind in ("gpu", "cuda", "rocm", "xpu") else first.kind] = float(first.count)
    return bundle


# --- what the nodes offer ---------------------------------------------------------------------------------------------


def offers(
    nodes: Sequence[Node], needs: Sequence[Requirement], most: int | None
) -> tuple[tuple[Place, ...], dict[str, Seat]]:
    """
    The places on the nodes: some slots without a device, and, where a need calls for them, some that hold devices.

    A slot that holds devices holds as many as the largest need of this run that its node can meet, so that slots
    never wait for each other's. A node whose devices meet no need is told with all it has and no slot, so that the
    reason names what is there. `most` bounds the slots, shared out over the places in turn.
    """
    places: list[Place] = []
    seats: dict[str, Seat] = {}
    for node in nodes:
        mine = offers_of(node, _most_devices(node, needs))
        seats.update({place.worker: seat for place, seat in mine})
        places += [place for place, _ in mine]
        lends = any(place.capability.devices for place, _ in mine)
        if node.capability.devices and not lends and any(need.kinds for need in needs):
            places.append(Place(worker=f"{node.name}.devices", capability=node.capability, slots=0))
    return _bounded(places, most), seats


def offers_of(node: Node, wanted: Mapping[str, int]) -> list[tuple[Place, Seat]]:
    """The places on one node: first that whose slots hold `wanted` devices each, by kind, then that of the rest."""
    made = []
    holders = min(node.cpus, min((node.dealt(kind) // count for kind, count in wanted.items()), default=0))
    if holders:
        made.append((_holder(node, wanted, holders), _seat(node, wanted)))
    if node.cpus > holders:
        plain = node.capability.without_devices()
        made.append((Place(worker=node.name, capability=plain, slots=node.cpus - holders), _seat(node, {})))
    return made


def _bounded(places: Sequence[Place], most: int | None) -> tuple[Place, ...]:
    total = sum(place.slots for place in places)
    if most is None or total <= most:
        return tuple(places)
    share = {place.worker: min(1, place.slots) for place in places}
    while sum(share.values()) < most:
        grown = [place for place in places if share[place.worker] < place.slots]
        smallest = min(grown, key=lambda place: share[place.worker])
        share[smallest.worker] += 1
    return tuple(Place(worker=place.worker, capability=place.capability, slots=share[place.worker]) for place in places)


def _most_devices(node: Node, needs: Sequence[Requirement]) -> dict[str, int]:
    """The most devices of each kind on the node that one of the needs which the node satisfies calls for."""
    most: dict[str, int] = {}
    kinds = {device.kind for device in node.capability.devices}
    for requirement in set(needs):
        if not requirement.all_of or not node.capability.satisfies(requirement):
            continue
        for clause in requirement.all_of:
            for need in clause.any_of:
                for kind in kinds & (ACCELERATORS if need.kind == "gpu" else {need.kind}):
                    most[kind] = max(most.get(kind, 0), need.count)
    return most


def _holder(node: Node, held: Mapping[str, int], slots: int) -> Place:
    devices = [device for kind, count in held.items() for device in _of_kind(node.capability.devices, kind)[:count]]
    capability = replace(node.capability, devices=tuple(devices), is_per_slot=True)
    return Place(worker=f"{node.name}.{'-'.join(sorted(held))}", capability=capability, slots=slots)


def _of_kind(devices: Sequence[Device], kind: str) -> list[Device]:
    return [device for device in devices if device.kind == kind]


def _seat(node: Node, held: Mapping[str, int]) -> Seat:
    custom = {node.custom_names[kind]: float(count) for kind, count in held.items() if kind in node.custom}
    gpus = sum(count for kind, count in held.items() if kind not in node.custom)
    has_devices = bool(node.capability.devices)
    return Seat(node_id=node.id, cpus=1.0, gpus=gpus, resources=custom, hides_devices=has_devices and not gpus)
