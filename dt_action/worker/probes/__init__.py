"""What this machine has. Each probe is a small module that asks one vendor's way, and never raises."""

from __future__ import annotations

from collections.abc import Mapping

from dt_action.hosting import processors
from dt_action.model.hardware import Capability
from dt_action.worker.probes import amd, apple, browsers, memory, nvidia
from dt_action.worker.probes.system import System

_PLATFORMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}


def this_machine(environ: Mapping[str, str]) -> Capability:
    """
    What this machine has, as far as it can be told within a few milliseconds.

    Tools such as nvidia-smi are only run where a driver or device file says that they will find something.
    """
    return probe(System(environ=environ))


def probe(system: System) -> Capability:
    """Ask every probe about `system`."""
    devices = (*nvidia.devices(system), *amd.devices(system), *apple.devices(system))
    return Capability(
        devices=devices,
        browsers=browsers.names(system),
        platform=_PLATFORMS.get(system.platform, system.platform),
        memory_bytes=memory.total_bytes(system),
        cpu_count=processors(),
    )
