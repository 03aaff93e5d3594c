"""From the options of `dt worker` to workers of other kinds than processes here: containers, a Ray cluster's nodes."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.app.fleets import VARIABLES_OF_NO_TRUST
from dt_action.cli.arguments import Parser, add_rows
from dt_action.errors import ConfigurationError
from dt_action.options import read_flags, secret_variables
from dt_action.remote.wire import IN_CONTAINERS

if TYPE_CHECKING:
    from dt_action.model.hardware import Capability
    from dt_action.worker.pool import WorkerSpec
    from dt_action.worker.workspaces import Workspaces

WorkerSpecs = Callable[[], Mapping[str, "WorkerSpec"]]

_BOX = ("image", "container_network", "container_memory", "container_cpus", "container_pids", "container_env")
_LOG = logging.getLogger("dt.worker")


def add_options(parser: Parser) -> None:
    """What says where slots live, if not as processes here."""
    containers = parser.add_argument_group("tests in containers")
    containers.add_argument(
        "--isolation", choices=("session", "container"), help="container: every slot is one [session]"
    )
    add_rows(containers, _BOX)
    ray = parser.add_argument_group("a Ray cluster's nodes as workers, in place of this machine")
    ray.add_argument("--ray", metavar="ADDRESS", help="ray://HOST:PORT, HOST:PORT, or auto for one that runs here")
    ray.add_argument(
        "--devices-per-slot", type=int, metavar="N", help="devices of each kind that a slot on such a node holds [1]"
    )


def check(given: Namespace) -> None:
    """Raises ConfigurationError where the options say two things at once."""
    in_containers = getattr(given, "isolation", "session") == "container"
    for_boxes = [name for name in _BOX if hasattr(given, name)]
    if in_containers and not hasattr(given, "image"):
        raise ConfigurationError(
            "--isolation container needs an image", hint="name one that has Python and pytest: --image python:3.13"
        )
    if for_boxes and not in_containers:
        raise ConfigurationError(f"--{for_boxes[0].replace('_', '-')} is for --isolation container")
    if hasattr(given, "ray") and in_containers:
        raise ConfigurationError(
            "--isolation container is not for --ray: its slots are on other machines",
            hint="run the cluster's nodes in containers (KubeRay does)",
        )
    if hasattr(given, "ray") and hasattr(given, "device"):
        raise ConfigurationError("--device is not for --ray: its nodes tell what they have as resources")
    if hasattr(given, "devices_per_slot") and not (hasattr(given, "ray") and given.devices_per_slot >= 0):
        raise ConfigurationError(f"--devices-per-slot is {given.devices_per_slot}; expected 0 or more, beside --ray")


@contextlib.contextmanager
def container_workers(
    given: Namespace, environ: Mapping[str, str], name: str, probe: Callable[[], Capability], workspaces: Workspaces
) -> Iterator[WorkerSpecs]:
    """
    This machine as workers whose slots are containers: one without devices, and one slot that gets them all.

    Raises FleetError where no engine answers, ConfigurationError where the image cannot be had.
    """
    from dt_action.hosts.container import Box, Grant
    from dt_action.hosts.container_engine import Engine, is_leftover
    from dt_action.worker.pool import WorkerSpec
    from dt_action.worker.slot_hosts import ContainerHosts

    values = read_flags(vars(given), _BOX)
    passed = (*VARIABLES_OF_NO_TRUST, *values["container_env"])
    box = Box(
        image=values["image"],
        network=values["container_network"],
        memory_bytes=values["container_memory"],
        cpus=values["container_cpus"],
        pids=values["container_pids"],
        environ={name: environ[name] for name in passed if name in environ},
    )
    engine = Engine.connect(environ)
    engine.sweep(is_leftover)
    engine.ensure_image(box.image, _LOG.info)

    def labelled(capability: Capability) -> Capability:
        return replace(capability, labels=capability.labels | {IN_CONTAINERS})

    here = probe()
    plain = WorkerSpec(
        name=name,
        slots=getattr(given, "slots", 0) or here.cpu_count,
        probe=lambda: labelled(probe().without_devices()),
        hosts=ContainerHosts(workspaces, box, engine),
    )
    specs = {name: plain}
    if here.devices:
        lending = replace(box, grants={"": Grant(gpus=("all",))})
        specs[f"{name}.devices"] = WorkerSpec(
            name=f"{name}.devices",
            slots=1,
            probe=lambda: replace(labelled(probe()), is_per_slot=True),
            hosts=ContainerHosts(workspaces, lending, engine),
        )
    yield lambda: specs


@contextlib.contextmanager
def ray_workers(given: Namespace, name: str) -> Iterator[WorkerSpecs]:
    """
    The nodes of a Ray cluster as workers.

    Raises ConfigurationError without the extra `ray`, FleetError where the cluster cannot be reached or used.
    """
    from dt_action.hosts.ray_cluster import Cluster
    from dt_action.worker.ray_hosts import Bundles, NodeSettings, workers_on

    cluster = Cluster(given.ray)
    coverage = tempfile.TemporaryDirectory(prefix="dt-coverage-")
    settings = NodeSettings(
        coverage=Path(coverage.name),
        name=name,
        devices=getattr(given, "devices_per_slot", 1),
        most_slots=getattr(given, "slots", 0),
        labels=frozenset(getattr(given, "labels", ())),
        python=getattr(given, "python", None),
        hidden=(*secret_variables(), "DT_WORKER_TOKEN"),
    )
    bundles = Bundles(cluster)
    try:
        yield lambda: workers_on(cluster, settings, bundles)
    finally:
        cluster.close()
        coverage.cleanup()
