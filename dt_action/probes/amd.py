"""AMD GPUs, as the kernel's compute driver lists them."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ("/sys/class/kfd/kfd/topology/nodes/*",)
COMMANDS = ()


def devices(system: System) -> tuple[Device, ...]:
    """The nodes of the kfd topology that have SIMD units, which processors do not."""
    found = []
    for node in system.glob("/sys/class/kfd/kfd/topology/nodes/*"):
        words = system.read(f"{node.relative_to(system.root)}/properties").split()
        properties = dict(zip(words[::2], words[1::2], strict=False))
        if properties.get("simd_count", "0") == "0":
            continue
        version = properties.get("gfx_target_version", "0")
        memory = system.read(f"{node.relative_to(system.root)}/mem_banks/0/properties").split()
        banks = dict(zip(memory[::2], memory[1::2], strict=False))
        size = banks.get("size_in_bytes", "0")
        found.append(
            Device(
                kind="rocm",
                name=system.read(f"{node.relative_to(system.root)}/name").strip(),
                memory_bytes=int(size) if size.isdecimal() else 0,
                features=frozenset({_gfx(int(version))}) if version.isdecimal() and version != "0" else frozenset(),
            )
        )
    return tuple(found)


def _gfx(version: int) -> str:
    """The kernel's 90402 is gfx942: major, minor and stepping, the last two in hexadecimal."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
