"""The fleet that is a Ray cluster: actors on its nodes, with Ray's resources, fed by the same brain as every fleet."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import urlsplit

import dt_action
from dt_action.bundle import make_bundle
from dt_action.dispatch import Limits
from dt_action.errors import ConfigurationError, FleetError
from dt_action.execution import Execution, Place, Terms
from dt_action.fleets import ray_actor
from dt_action.fleets.ray_host import Cargo, RayHost, Seat
from dt_action.hosting import Session
from dt_action.model.event import Event
from dt_action.model.hardware import ACCELERATORS, Capability, Device, DeviceKind, Requirement
from dt_action.model.plan import Plan

REACH_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 60.0
SCALE_POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RayFleet:
    """
    Runs a plan on actors of the cluster at `address`: `ray://HOST:PORT`, `HOST:PORT`, or `auto` for one that runs here.

    `slots` is the most slots at a time, None for as many as the cluster has processors. `python` is the tests'
    interpreter on the nodes, None for that of Ray. Tests see the environment of their node, without the variables
    named in `hidden`. Where `scale_s` is not 0, what no node has is asked of Ray's autoscaler, and waited for.
    """

    address: str
    root: Path
    python: str | None = None
    args: tuple[str, ...] = ()
    slots: int | None = None
    limits: Limits = field(default_factory=Limits)
    isolation: str = "session"
    hidden: tuple[str, ...] = ()
    scale_s: float = 0.0
    say: Callable[[str], None] = print

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises FleetError where the cluster cannot be reached or used."""
        ray = _imported()
        was_connected = ray.is_initialized()
        if not was_connected:
            _connect(ray, self.address)
        try:
            yield from self._execute(ray, plan)
        finally:
            if not was_connected:
                ray.shutdown()

    def _execute(self, ray: Any, plan: Plan) -> Iterator[Event]:
        ray.cloudpickle.register_pickle_by_value(ray_actor)
        package = _package()
        package_ref, digest = ray.put(package), hashlib.sha256(package).hexdigest()
        needs = [need for file in plan.files for need in (file.needs.default, *file.needs.cases.values())]
        nodes = self._nodes(ray, needs, package_ref, digest)
        places, seats = offers(nodes, needs, self.slots)
        bundle = make_bundle(self.root)
        session = Session(root=self.root, python="", args=self.args, slots=0, environ={})
        setup = {
            "run": session.run,
            "digest": bundle.digest,
            "directory": bundle.directory,
            "python": self.python,
            "args": self.args,
            "slots": sum(place.slots for place in places),
            "imports": self.isolation != "file",
            "hidden": self.hidden,
        }
        cargo = Cargo(package=package_ref, package_digest=digest, bundle=ray.put(bundle.content), setup=setup)
        host = RayHost(ray, cargo, seats, say=self.say)
        terms = Terms(limits=self.limits, isolation=self.isolation, root=self.root, python=self.python or "python")
        try:
            yield from Execution(plan, terms, host, places).events()
        finally:
            host.close()

    def _nodes(self, ray: Any, needs: Sequence[Requirement], package: Any, digest: str) -> list[Node]:
        """The nodes that live, waiting for the autoscaler where that was asked for."""
        deadline = time.monotonic() + self.scale_s
        while True:
            nodes = _look(ray, package, digest, probes=any(not need.needs_nothing for need in needs))
            missing = [need for need in needs if not any(node.capability.satisfies(need) for node in nodes)]
            if not missing or time.monotonic() >= deadline:
                return nodes
            from ray.autoscaler.sdk import request_resources

            request_resources(bundles=[_bundle_for(need) for need in dict.fromkeys(missing)])
            time.sleep(SCALE_POLL_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster, and what Ray deals out of it: processors, GPUs, and resources named like a device kind."""

    id: str
    name: str
    capability: Capability
    cpus: int
    gpus: int
    custom: Mapping[str, int] = field(default_factory=dict)


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
        wanted = _most_devices(node, needs)
        holders = min(node.cpus, max((_dealt(node, kind) // count for kind, count in wanted.items()), default=0))
        if holders:
            held = {kind: min(count, _dealt(node, kind)) for kind, count in wanted.items()}
            places.append(_holder(node, held, holders))
            seats[places[-1].worker] = _seat(node, held)
        elif node.capability.devices and any(need.kinds for need in needs):
            places.append(Place(worker=f"{node.name}+devices", capability=node.capability, slots=0))
        if node.cpus > holders:
            plain = node.capability.without_devices()
            places.append(Place(worker=node.name, capability=plain, slots=node.cpus - holders))
            seats[node.name] = _seat(node, {})
    return _bounded(places, most), seats


def _bounded(places: Sequence[Place], most: int | None) -> tuple[Place, ...]:
    total = sum(place.slots for place in places)
    if most is None or total <= most:
        return tuple(places)
    share = {place.worker: min(1, place.slots) for place in places}
    while sum(share.values()) < most:
        grown = [place for place in places if share[place.worker] < place.slots]
        poorest = min(grown, key=lambda place: share[place.worker])
        share[poorest.worker] += 1
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


def _dealt(node: Node, kind: str) -> int:
    """How many devices of the kind Ray deals out on the node."""
    return node.custom.get(kind, node.gpus)


def _holder(node: Node, held: Mapping[str, int], slots: int) -> Place:
    devices = [device for kind, count in held.items() for device in _of_kind(node.capability.devices, kind)[:count]]
    capability = Capability(
        devices=tuple(devices),
        browsers=node.capability.browsers,
        platform=node.capability.platform,
        memory_bytes=node.capability.memory_bytes,
        cpu_count=node.capability.cpu_count,
        labels=node.capability.labels,
    )
    return Place(worker=f"{node.name}+{'+'.join(sorted(held))}", capability=capability, slots=slots)


def _of_kind(devices: Sequence[Device], kind: str) -> list[Device]:
    return [device for device in devices if device.kind == kind]


def _seat(node: Node, held: Mapping[str, int]) -> Seat:
    custom = {kind: float(count) for kind, count in held.items() if kind in node.custom}
    gpus = sum(count for kind, count in held.items() if kind not in node.custom)
    has_devices = bool(node.capability.devices)
    return Seat(node_id=node.id, cpus=1.0, gpus=gpus, resources=custom, hides_devices=has_devices and not gpus)


# --- looking at the cluster -------------------------------------------------------------------------------------------


def _look(ray: Any, package: Any, digest: str, *, probes: bool) -> list[Node]:
    living = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not living:
        raise FleetError("the Ray cluster has no node with a processor", hint="`ray status` shows what it has")
    probed = _probed(ray, [node["NodeID"] for node in living], package, digest) if probes else {}
    return [_node(node, probed.get(node["NodeID"], {})) for node in living]


def _probed(ray: Any, ids: Sequence[str], package: Any, digest: str) -> dict[str, dict[str, Any]]:
    """What our probes find on each node; a node that does not answer in time counts by what Ray says alone."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(ray_actor.probe)
    refs = {
        task.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(id, soft=False)
        ).remote(package, digest): id
        for id in ids
    }
    done, _ = ray.wait([*refs], num_returns=len(refs), timeout=PROBE_TIMEOUT_S)
    found = {}
    for ref in done:
        try:
            found[refs[ref]] = ray.get(ref)
        except Exception:  # noqa: S112 - the node went away, or has another Python: what Ray says of it counts
            continue
    return found


def _node(described: Mapping[str, Any], probed: Mapping[str, Any]) -> Node:
    resources = described["Resources"]
    gpus = int(resources.get("GPU", 0))
    custom = {name.lower(): int(count) for name, count in resources.items() if name.lower() in get_args(DeviceKind)}
    custom.pop("cpu", None)
    custom.pop("gpu", None)
    devices = [*_gpus(gpus, resources, probed)]
    for kind, count in custom.items():
        devices += [Device(kind=cast(DeviceKind, kind))] * count
    cpus = int(resources.get("CPU", 0))
    name = described.get("NodeName") or described["NodeManagerAddress"]
    return Node(
        id=described["NodeID"],
        name=f"{name}-{described['NodeID'][:6]}",
        capability=Capability(
            devices=tuple(devices),
            browsers=frozenset(probed.get("browsers", ())),
            platform=probed.get("platform", "linux"),
            memory_bytes=int(probed.get("memory_bytes") or resources.get("memory", 0)),
            cpu_count=cpus,
            labels=frozenset(f"{key}={value}" for key, value in (described.get("Labels") or {}).items()),
        ),
        cpus=cpus,
        gpus=gpus,
        custom=custom,
    )


def _gpus(count: int, resources: Mapping[str, float], probed: Mapping[str, Any]) -> Iterator[Device]:
    """Ray's GPUs: as our probes found them, where these found as many; else of the kind that Ray's type tells."""
    known = [
        Device(kind=kind, name=name, memory_bytes=memory_bytes, features=frozenset(features))
        for kind, name, memory_bytes, features in probed.get("devices", ())
        if kind in ACCELERATORS
    ]
    if len(known) >= count:
        yield from known[:count]
        return
    types = [name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")]
    kind: DeviceKind = "cuda"
    if any(type_.startswith("AMD") for type_ in types):
        kind = "rocm"
    elif any(type_.startswith("Intel-GPU") for type_ in types):
        kind = "xpu"
    for _ in range(count):
        yield Device(kind=kind, name=types[0] if types else "")


def _bundle_for(need: Requirement) -> dict[str, float]:
    """A need in the words of Ray's autoscaler."""
    bundle = {"CPU": 1.0}
    for clause in need.all_of:
        first = clause.any_of[0]
        bundle["GPU" if first.kind in ("gpu", "cuda", "rocm", "xpu") else first.kind] = float(first.count)
    return bundle


# --- reaching it ------------------------------------------------------------------------------------------------------


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "--fleet ray needs the package ray, which is not installed here",
            hint="pip install 'distributed-testing[ray]', in the version that the cluster runs",
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Raises FleetError: in seconds where nothing listens, where Ray itself would try for minutes."""
    where = urlsplit(address if "://" in address else f"//{address}")
    if where.hostname:
        port = where.port or (10001 if where.scheme == "ray" else 6379)
        try:
            socket.create_connection((where.hostname, port), timeout=REACH_TIMEOUT_S).close()
        except OSError as error:
            raise FleetError(
                f"no Ray cluster answers at {address}: {error}",
                hint="check --ray-address; the head listens on 10001 for ray:// and on 6379 within the cluster",
            ) from error
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="dt")
    except Exception as error:  # Ray raises RuntimeError, ConnectionError, ValueError and its own for all of these
        said = str(error).strip()
        raise FleetError(f"the Ray cluster at {address} cannot be used: {said[:1000]}", hint=_hint(said)) from error


def _hint(said: str) -> str:
    low = said.lower()
    if "version mismatch" in low or "ray version" in low or "python version" in low:
        return "install the cluster's version of Ray, in the cluster's minor version of Python"
    if "auth" in low or "token" in low:
        return "set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
    return "start one with `ray start --head`, or name it with --ray-address ray://HOST:10001"


def _package() -> bytes:
    """Our own package as a tar archive: the nodes run what the driver runs, installed there or not."""
    packed = io.BytesIO()
    folder = Path(dt_action.__file__).parent
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            info = tarfile.TarInfo(f"dt_action/{path.relative_to(folder).as_posix()}")
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
