"""An adapter for WebGPU: Metal on a Mac, Direct3D 12 on Windows, Vulkan on Linux."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ("/usr/share/vulkan/icd.d/*.json", "/etc/vulkan/icd.d/*.json", "/dev/dri/renderD*")
COMMANDS = ()


def devices(system: System) -> tuple[Device, ...]:
    """At most one: what `requestAdapter` would give. An adapter in software has the feature `software`."""
    if system.platform == "darwin":
        return (Device(kind="webgpu", name="Metal"),)
    if system.platform == "win32":
        return (Device(kind="webgpu", name="Direct3D 12"),)
    drivers = [path.name for pattern in FILES[:2] for path in system.glob(pattern)]
    if system.glob(FILES[2]) and any(not name.startswith("lvp_") for name in drivers):
        return (Device(kind="webgpu", name="Vulkan"),)
    if drivers:
        return (Device(kind="webgpu", name="Vulkan", features=frozenset({"software"})),)
    return ()
