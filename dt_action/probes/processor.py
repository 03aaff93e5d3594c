"""The processor: its architecture, and the instruction sets that tests and their libraries ask for."""

from __future__ import annotations

import math
import os
import sys

from dt_action.probes import cgroup
from dt_action.probes.system import System

FILES = ("/proc/cpuinfo",)
COMMANDS = ()
LEAST_MEMORY = 512 << 20
"""Bytes that a process which runs tests is granted, before there are fewer of them."""
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


def processors(system: System | None = None) -> int:
    """The processors that this process may use, which taskset, or the quota of a container, may have cut."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    here = len(os.sched_getaffinity(0))
    quota = cgroup.cpu_quota(system or System())
    return here if quota == math.inf else max(1, min(here, math.ceil(quota)))


def auto_slots(system: System | None = None) -> int:
    """How many processes run tests at a time where nobody said it: as processors and the memory limit allow."""
    limit = cgroup.memory_limit(system or System())
    return max(1, min(processors(system), limit // LEAST_MEMORY if limit else processors(system)))
