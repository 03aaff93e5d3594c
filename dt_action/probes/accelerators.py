"""Accelerators that their drivers show as device files: Ascend, AWS Neuron, Google's TPU, Qualcomm's Hexagon."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ("/dev/davinci[0-9]*", "/dev/neuron[0-9]*", "/dev/accel[0-9]*", "/dev/vfio/[0-9]*", "/dev/fastrpc-cdsp*")
COMMANDS = ()
_GOOGLE = "0x1ae0"


def devices(system: System) -> tuple[Device, ...]:
    """One device for each file, or for each chip that several files stand for."""
    ascend, neuron, accel, vfio, hexagon = map(system.glob, FILES)
    found = [Device(kind="npu", name="Ascend", features=frozenset({"ascend"})) for _ in ascend]
    found += [Device(kind="npu", name="AWS Neuron", features=frozenset({"neuron"})) for _ in neuron]
    generation = system.environ.get("TPU_ACCELERATOR_TYPE", "")
    of_google = [
        path for path in accel if system.read(f"/sys/class/accel/{path.name}/device/vendor").strip() == _GOOGLE
    ]
    chips = of_google or (vfio if generation else [])  # since v5e the chips are handed out by vfio
    found += [Device(kind="tpu", name=generation or "TPU") for _ in chips]
    if hexagon:
        found.append(Device(kind="qualcomm", name="Hexagon"))
    return tuple(found)
