"""Intel Gaudi (hpu), as hl-smi lists it."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ("/dev/accel/accel*", "/dev/hl[0-9]*")
COMMANDS = ("hl-smi",)
_QUERY = ("hl-smi", "-Q", "name,memory.total", "-f", "csv,noheader,nounits")


def devices(system: System) -> tuple[Device, ...]:
    """The cards, each with its memory."""
    if not any(map(system.glob, FILES)) or not system.which(COMMANDS[0]):
        return ()
    found = []
    for line in system.run(_QUERY).splitlines():
        name, _, mebibytes = (part.strip() for part in line.partition(","))
        if name.upper().startswith("HL-"):
            size = int(mebibytes) << 20 if mebibytes.isdecimal() else 0
            found.append(Device(kind="hpu", name=name[:80], memory_bytes=size))
    return tuple(found)
