"""A Ray cluster: reaching it, and what its nodes have."""

from __future__ import annotations

import atexit
import hashlib
import io
import queue
import socket
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import urlsplit

import dt_action
from dt_action.errors import ConfigurationError, FleetError
from dt_action.hosts import ray_actor
from dt_action.model.hardware import ACCELERATORS, Capability, Device, DeviceKind

HERE = "auto"
"""The address of the cluster that this machine is part of."""

REACH_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 20.0
LIVING_FOR_S = 1.0
ID_SHOWN = 6
"""So many letters of a node's id stand in names: the last ones, since those of one machine may begin alike."""

_CUSTOM_KINDS = frozenset(get_args(DeviceKind)) - {"cpu", "gpu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """
    A node of the cluster, and what Ray deals out of it: processors, GPUs, and resources named like a device kind.

    `custom` counts these by kind, `custom_names` tells how they are written there (Ray itself writes TPU).
    """

    id: str
    name: str
    capability: Capability
    cpus: int
    gpus: int
    custom: Mapping[str, int] = field(default_factory=dict)
    custom_names: Mapping[str, str] = field(default_factory=dict)

    def dealt(self, kind: str) -> int:
        """How many devices of the kind Ray deals out."""
        return self.custom.get(kind, self.gpus)


class Cluster:
    """
    The cluster at `address`: `ray://HOST:PORT`, `HOST:PORT`, or `auto` for one that runs here.

    `ray` is the module, connected; `package` our own code in Ray's object store, `package_digest` its sha256. Raises
    ConfigurationError where Ray is not installed, FleetError where the cluster cannot be reached or used.
    """

    def __init__(self, address: str) -> None:
        self.ray = _imported()
        self._was_connected = self.ray.is_initialized()
        if not self._was_connected:
            _connect(self.ray, address)
        self.ray.cloudpickle.register_pickle_by_value(ray_actor)
        package = _package()
        self.package_digest = hashlib.sha256(package).hexdigest()
        self.package = self.ray.put(package)
        self._probed: dict[str, Mapping[str, Any]] = {}
        self._living: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._lock = threading.Lock()
        self._is_gone = False

    def close(self) -> None:
        """Let go of it; all actors of ours end."""
        if self._is_gone:
            atexit.unregister(self.ray.shutdown)  # it would wait for the head, too
        elif not self._was_connected:
            self.ray.shutdown()

    def living(self, *, fresh: bool = False) -> frozenset[str]:
        """The ids of the nodes that live, as of a second ago unless `fresh`. Raises FleetError without an answer."""
        with self._lock:
            if fresh or time.monotonic() - self._looked_at > LIVING_FOR_S:
                self._living = frozenset(node["NodeID"] for node in self._described())
                self._looked_at = time.monotonic()
            return self._living

    def nodes(self, *, probes: bool) -> list[Node]:
        """The nodes that live and have a processor; with `probes`, what our own probes find on each counts, too."""
        living = [node for node in self._described() if node["Resources"].get("CPU", 0) >= 1]
        new = [node["NodeID"] for node in living if node["NodeID"] not in self._probed]
        if probes and new:
            found = self._probe(new)
            self._probed.update({id: found.get(id, {}) for id in new})
        return [_node(node, self._probed.get(node["NodeID"], {})) for node in living]

    def _described(self) -> list[Mapping[str, Any]]:
        """What Ray says of the nodes that live. It waits for a head that is gone, in which we must not be stuck."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self.ray.nodes())
            except Exception as error:  # Ray has many words for a head that is gone
                answers.put(error)

        if not self._is_gone:
            threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=0.0 if self._is_gone else ANSWER_TIMEOUT_S)
        except queue.Empty:
            answer = TimeoutError(f"no answer for {ANSWER_TIMEOUT_S:g} s")
        if isinstance(answer, Exception):
            self._is_gone = True
            raise FleetError(f"the Ray cluster does not answer any more: {in_short(answer)}") from answer
        return [node for node in answer if node["Alive"]]

    def _probe(self, ids: list[str]) -> dict[str, Mapping[str, Any]]:
        """What our probes find on each node; a node that does not answer in time counts by what Ray says alone."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self.ray.remote(ray_actor.probe)
        refs = {
            task.options(
                num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(id, soft=False)
            ).remote(self.package, self.package_digest): id
            for id in ids
        }
        done, _ = self.ray.wait([*refs], num_returns=len(refs), timeout=PROBE_TIMEOUT_S)
        found = {}
        for ref in done:
            try:
                found[refs[ref]] = self.ray.get(ref)
            except Exception:  # noqa: S112 - the node went away, or has another Python: what Ray says of it counts
                continue
        return found


def in_short(error: BaseException) -> str:
    """What Ray says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3])[:500] or type(error).__name__


def _node(described: Mapping[str, Any], probed: Mapping[str, Any]) -> Node:
    resources = described["Resources"]
    gpus = int(resources.get("GPU", 0))
    names = {name.lower(): name for name in resources if name.lower() in _CUSTOM_KINDS}
    custom = {kind: int(resources[name]) for kind, name in names.items()}
    devices = [*_gpus(gpus, resources, probed)]
    for kind, count in custom.items():
        devices += [Device(kind=cast(DeviceKind, kind))] * count
    cpus = int(resources.get("CPU", 0))
    name = described.get("NodeName") or described["NodeManagerAddress"]
    return Node(
        id=described["NodeID"],
        name=f"{name}-{described['NodeID'][-ID_SHOWN:]}",
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
        custom_names=names,
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


# --- reaching it ------------------------------------------------------------------------------------------------------


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigurationError(
            "a Ray cluster needs the package ray, which is not installed here",
            hint="pip install 'distributed-testing[ray]', in the version that the cluster runs",
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Raises FleetError: in seconds where nothing listens, where Ray itself would try for minutes."""
    if address != HERE:
        where = urlsplit(address if "://" in address else f"//{address}")
        try:
            port = where.port or (10001 if where.scheme == "ray" else 6379)
        except ValueError:
            port = 0
        if not where.hostname or not port:
            raise ConfigurationError(
                f"the address of the Ray cluster is {address!r}; expected ray://HOST:PORT, HOST:PORT or {HERE}"
            )
        try:
            socket.create_connection((where.hostname, port), timeout=REACH_TIMEOUT_S).close()
        except OSError as error:
            raise FleetError(
                f"no Ray cluster answers at {address}: {error}",
                hint="check the address; the head listens on 10001 for ray:// and on 6379 within the cluster",
            ) from error
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, namespace="dt")
    except Exception as error:  # Ray raises RuntimeError, ConnectionError, ValueError and its own for all of these
        said = str(error).strip()
        raise FleetError(
            f"the Ray cluster at {address} cannot be used: {said[:1000]}", hint=_hint(address, said)
        ) from error


_AUTH_HINT = "set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"


def _hint(address: str, said: str) -> str:
    low = said.lower()
    if "version mismatch" in low or "ray version" in low or "python version" in low:
        return "install the cluster's version of Ray and of Python; by ray://, the minor version of Python will do"
    if "auth" in low or "token" in low:
        return _AUTH_HINT
    if address == HERE:
        return "start one with `ray start --head`, or name it with its address, such as ray://HOST:10001"
    return f"something listens there: is it Ray's head, of this version? Does it want a token? Then {_AUTH_HINT}"


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
