"""The processor: its architecture, and the instruction sets that tests and their libraries ask for."""

from __future__ import annotations

import os
import sys

from dt_action.probes.system import System

FILES = ("/proc/cpuinfo",)
COMMANDS = ()
_WORTH_TELLING = frozenset({"avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve", "sve2", "vmx", "svm"})


def labels(system: System) -> frozenset[str]:
    """Such as `x86_64` and `avx512f`; `vmx` and `svm` say that it can run virtual machines."""
    flags: set[str] = set()
    for line in system.read(FILES[0]).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags |= set(value.split()) & _WORTH_TELLING
            break
    return frozenset(flags | ({system.machine} if system.machine else set()))


def processors() -> int:
    """The processors that this process may use, which a container or taskset may have cut."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
