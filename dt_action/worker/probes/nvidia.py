"""NVIDIA GPUs, as nvidia-smi lists them."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.worker.probes.system import System

FILES = ("/dev/nvidia[0-9]*", "/dev/dxg")
COMMANDS = ("nvidia-smi",)
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits")


def devices(system: System) -> tuple[Device, ...]:
    """The GPUs that this process may use, each with its memory and compute capability (`sm90`)."""
    if system.environ.get("CUDA_VISIBLE_DEVICES", None) in ("", "-1", "NoDevFiles"):
        return ()
    if system.platform == "linux" and not system.glob("/dev/nvidia[0-9]*") and not system.glob("/dev/dxg"):
        return ()
    if not system.which(_QUERY[0]):
        return ()
    found = tuple(device for line in system.run(_QUERY).splitlines() if (device := _device(line)))
    return found[: _visible(system)]


def _device(line: str) -> Device | None:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 3 or not fields[1].isdigit():
        return None
    name, mebibytes, capability = fields
    features = frozenset({"sm" + capability.replace(".", "")}) if capability[:1].isdigit() else frozenset()
    return Device(kind="cuda", name=name, memory_bytes=int(mebibytes) << 20, features=features)


def _visible(system: System) -> int | None:
    chosen = system.environ.get("CUDA_VISIBLE_DEVICES")
    return len([index for index in chosen.split(",") if index.strip()]) if chosen else None
