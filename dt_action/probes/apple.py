"""The GPU of Apple silicon, which Metal Performance Shaders (mps) use."""

from __future__ import annotations

from dt_action.model.hardware import Device
from dt_action.probes.system import System

FILES = ()
COMMANDS = ()


def devices(system: System) -> tuple[Device, ...]:
    """One device on every Mac with Apple silicon."""
    if system.platform == "darwin" and system.machine == "arm64":
        return (Device(kind="mps", name="Apple GPU"),)
    return ()
