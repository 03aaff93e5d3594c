"""NVIDIA GPUs, as nvidia-smi lists them."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ("/dev/nvidia[0-9]*", "/dev/dxg")
COMMANDS = ("nvidia-smi",)
_LEVELS = (50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121)
"""Compute capabilities, https://developer.nvidia.com/cuda-gpus."""
_FIRST_WITH_A_VARIANT = 90
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,compute_cap,index,uuid", "--format=csv,noheader,nounits")


def devices(system: System) -> tuple[Device, ...]:
    """The GPUs, each with its memory and compute capability (`sm90`, and those below)."""
    if system.environ.get("CUDA_VISIBLE_DEVICES", None) in ("", "-1", "NoDevFiles"):
        return ()  # the tool need not be asked
    if system.platform == "linux" and not system.glob("/dev/nvidia[0-9]*") and not system.glob("/dev/dxg"):
        return ()
    if not system.which(_QUERY[0]):
        return ()
    return tuple(device for line in system.run(_QUERY).splitlines() if (device := _device(line)))


def _device(line: str) -> Device | None:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) < 3 or not fields[1].isdecimal():
        return None
    name, mebibytes, capability, *identity = fields
    index, uuid = identity if len(identity) == 2 and identity[0].isdecimal() else ("0", "")
    return Device(
        kind="cuda",
        name=name,
        index=int(index),
        uuid=uuid,
        memory_bytes=int(mebibytes) << 20,
        features=_features(capability),
    )


def _features(capability: str) -> frozenset[str]:
    """
    `9.0` -> sm90 and every level below it, since a test that needs sm80 runs on newer devices too; and sm90a, which
    stands for this generation alone.
    """
    digits = capability.replace(".", "")
    if not digits.isdecimal():
        return frozenset()
    own = int(digits)
    levels = {level for level in _LEVELS if level <= own} | {own}
    return frozenset({f"sm{level}" for level in levels} | ({f"sm{own}a"} if own >= _FIRST_WITH_A_VARIANT else set()))
