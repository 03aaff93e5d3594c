"""Intel GPUs (xpu) as the oneAPI runtimes list them, and the neural processor in newer Intel chips (npu)."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ("/dev/dri/renderD*", "/dev/accel/accel*")
COMMANDS = ("sycl-ls",)
_VENDOR = "0x8086"


def devices(system: System) -> tuple[Device, ...]:
    """A GPU counts only where Level Zero can use it: a driver alone runs no compute."""
    gpus: tuple[Device, ...] = ()
    if system.glob(FILES[0]) and system.which(COMMANDS[0]):
        lines = [line for line in system.run(COMMANDS).splitlines() if line.startswith("[level_zero:gpu]")]
        gpus = tuple(Device(kind="xpu", name=_name(line)) for line in lines)
    return (*gpus, *(Device(kind="npu", name="Intel NPU", features=frozenset({"intel"})) for _ in neural(system)))


def neural(system: System) -> list[str]:
    """The neural processors, by the names of their device files."""
    nodes = [path.name for path in system.glob(FILES[1])]
    return [node for node in nodes if system.read(f"/sys/class/accel/{node}/device/vendor").strip() == _VENDOR]


def _name(line: str) -> str:
    """`[level_zero:gpu][level_zero:0] Intel(R) oneAPI Unified Runtime over Level-Zero, Intel(R) Arc(TM) A770 ...`."""
    return line.rpartition(", ")[2].partition(" [")[0].strip()[:80]
