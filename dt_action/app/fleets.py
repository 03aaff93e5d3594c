"""From settings to the fleets that few runs use: containers on this machine, and a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from dt_action.errors import ConfigurationError
from dt_action.hosts.session import Session

if TYPE_CHECKING:
    from dt_action.engine import Limits
    from dt_action.fleets.local import LocalFleet
    from dt_action.hosts.coverage_data import CoverageData
    from dt_action.model.pytest_start import PytestStart
    from dt_action.options import Settings
    from dt_action.ports import Fleet, Interruption

VARIABLES_OF_NO_TRUST = ("LANG", "LC_ALL", "TZ", "CI")
"""Passed into containers without being named: they tell nothing, and outcomes may depend on them."""


def check_containers(settings: Settings) -> None:
    """Raises ConfigurationError where containers cannot run what the settings ask for."""
    from dt_action.workspace.environments import AUTO

    if settings.fleet == "ray":
        raise ConfigurationError(
            "--isolation container is not for the fleet ray",
            hint="run the cluster's nodes in containers (KubeRay does), or use --fleet local",
        )
    is_local = settings.fleet == "local" or settings.fallback == "local"
    if settings.image and not is_local:
        raise ConfigurationError(
            f"{settings.told_by('image')} names an image, which on the fleet coordinator is for its workers to name",
            hint="leave it out here, and start workers with --isolation container --image IMAGE",
        )
    if is_local and not settings.image:
        raise ConfigurationError(
            "--isolation container needs an image", hint="name one that has Python and pytest: --image python:3.13"
        )
    if settings.setup or set(settings.requirements) - {AUTO}:
        raise ConfigurationError(
            "--isolation container installs nothing and sets nothing up: that would happen outside of the containers",
            hint="leave --requirements and --setup out, and have the image hold what the tests need",
        )


def container_fleet(
    settings: Settings,
    start: PytestStart,
    limits: Limits,
    environ: Mapping[str, str],
    *,
    say: Callable[[str], None],
    interruption: Interruption,
    coverage: CoverageData | None,
) -> LocalFleet:
    """Containers on this machine; what they measure is brought to `coverage`. Raises FleetError: no engine answers."""
    from dt_action.fleets.local import WITH_DEVICES, LocalFleet, apart_by_devices
    from dt_action.hosts.container import Box, ContainerHost, Grant
    from dt_action.hosts.container_engine import Engine
    from dt_action.probes import this_machine

    check_containers(settings)
    passed = {name: environ[name] for name in (*VARIABLES_OF_NO_TRUST, *settings.container_env) if name in environ}
    box = Box(
        image=settings.image or "",
        network=settings.container_network,
        memory_bytes=settings.container_memory,
        cpus=settings.container_cpus,
        pids=settings.container_pids,
        environ=passed,
        grants={WITH_DEVICES: Grant(gpus=("all",))},
    )
    threads = max(1, int(box.cpus))
    session = Session(root=settings.root, python=box.python, start=start, environ=passed, fair_threads=threads)
    capability = this_machine(environ)
    return LocalFleet(
        host=ContainerHost(session, box, Engine.connect(environ), say=say, coverage=coverage),
        capability=capability,
        limits=limits,
        apart=apart_by_devices(capability, start.slots),
        interruption=interruption,
    )


def ray_fleet(
    settings: Settings,
    start: PytestStart,
    limits: Limits,
    hidden: Sequence[str],
    *,
    say: Callable[[str], None],
    interruption: Interruption,
    coverage: CoverageData | None,
) -> Fleet:
    """A Ray cluster, whose tests see none of the variables in `hidden`."""
    from dt_action.fleets.ray import RayFleet

    return RayFleet(
        address=settings.ray_address or "auto",
        root=settings.root,
        start=start,
        python=settings.python,
        slots=settings.workers,
        limits=limits,
        hidden=tuple(hidden),
        scale_s=settings.ray_wait_s or 0.0,
        say=say,
        interruption=interruption,
        coverage=coverage,
    )
