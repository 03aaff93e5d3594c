"""What this machine has. Each probe is a small module that asks one vendor's way, and never raises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dt_action.model.hardware import Capability, Device
from dt_action.model.visibility import allowed
from dt_action.probes import (
    accelerators,
    amd,
    apple,
    browsers,
    habana,
    intel,
    memory,
    nvidia,
    openvino,
    processor,
    webgpu,
)
from dt_action.probes.system import System

_DEVICES: tuple[Any, ...] = (nvidia, amd, apple, intel, habana, accelerators, openvino, webgpu)
_PLATFORMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}


def this_machine(environ: Mapping[str, str]) -> Capability:
    """
    What this machine has, as far as it can be told within a few milliseconds.

    Tools such as nvidia-smi are only run where a driver or device file says that they will find something.
    """
    return probe(System(environ=environ))


def probe(system: System) -> Capability:
    """Ask every probe about `system`."""
    devices = numbered([device for module in _DEVICES for device in module.devices(system)])
    return Capability(
        devices=allowed(devices, system.environ),
        browsers=browsers.names(system),
        platform=_PLATFORMS.get(system.platform, system.platform),
        memory_bytes=memory.total_bytes(system),
        cpu_count=processor.processors(),
        labels=processor.labels(system),
    )


def numbered(devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices with their numbers, as drivers count: for each kind and vendor from 0, where nobody told them."""
    counts: Counter[tuple[str, bool]] = Counter()
    made = []
    for device in devices:
        vendor = device.kind, "neuron" in device.features
        made.append(device if device.uuid else replace(device, index=counts[vendor]))
        counts[vendor] += 1
    return tuple(made)


def has_device_files(environ: Mapping[str, str]) -> bool:
    """True where something in the file system says that there may be a device: a look that takes no time."""
    system = System(environ=environ)
    if _PLATFORMS.get(system.platform) != "linux":
        return bool(probe(system).devices)
    return any(system.glob(pattern) for module in _DEVICES for pattern in module.FILES)


def evidence(system: System) -> list[str]:
    """What the probes look at, and whether it is there: why a device was found, or not."""
    lines = []
    for module in (*_DEVICES, processor):
        name = module.__name__.rpartition(".")[2]
        for pattern in module.FILES:
            found = [str(path) for path in system.glob(pattern)]
            lines.append(f"{name}: {pattern}: {', '.join(found[:4]) or 'absent'}")
        for command in module.COMMANDS:
            lines.append(f"{name}: command {command}: {'present' if system.which(command) else 'absent'}")
    lines += [f"browsers: {name}: {version}" for name, version in browsers.versions(system).items()]
    return lines
