"""OpenVINO's plugins for devices other than the processor: where there is Intel hardware and the runtime for it."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes import intel
from dt_action.probes.system import System

FILES = ("/dev/dri/renderD*", "/dev/accel/accel*", "/opt/intel/openvino*", "/usr/lib/*/libopenvino.so*")
COMMANDS = ()


def devices(system: System) -> tuple[Device, ...]:
    """One device where OpenVINO has something to run on; being installed alone does not count."""
    has_runtime = bool(system.environ.get("INTEL_OPENVINO_DIR") or system.glob(FILES[2]) or system.glob(FILES[3]))
    hardware = intel.devices(system) if has_runtime else ()
    return tuple(Device(kind="openvino", name=device.name) for device in hardware[:1])
