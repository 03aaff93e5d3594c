"""What the control groups of this process leave it of the machine: processor time and memory, versions 1 and 2."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dt_action.probes.system import System

_ROOT = "/sys/fs/cgroup"


def cpu_quota(system: System) -> float:
    """Processors' worth of time, such as 1.5; infinity where nothing limits it. The tightest group counts."""
    quotas = [math.inf]
    for folder in _groups(system, ""):
        quota, _, period = system.read(f"{folder}/cpu.max").strip().partition(" ")
        quotas.append(_ratio(quota, period))
    for folder in _groups(system, "cpu"):
        quota, period = (system.read(f"{folder}/cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
        quotas.append(_ratio(quota, period))
    return min(quotas)


def memory_limit(system: System) -> int:
    """Bytes of memory; 0 where nothing limits it. The tightest group counts."""
    limits = [system.read(f"{folder}/memory.max").strip() for folder in _groups(system, "")]
    limits += [system.read(f"{folder}/memory.limit_in_bytes").strip() for folder in _groups(system, "memory")]
    return min((int(limit) for limit in limits if limit.isdecimal() and int(limit) < 1 << 60), default=0)


def oom_kills(system: System) -> int:
    """How many processes of these groups the kernel has ended for want of memory."""
    kills = [0]
    for folder in _groups(system, ""):
        kills.append(_count(system.read(f"{folder}/memory.events")))
    for folder in _groups(system, "memory"):
        kills.append(_count(system.read(f"{folder}/memory.oom_control")))
    return max(kills)


def _ratio(quota: str, period: str) -> float:
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return math.inf
    return int(quota) / int(period)


def _count(text: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdecimal():
            return int(value)
    return 0


def _groups(system: System, controller: str) -> Iterator[str]:
    """
    The folders of this process's group and of those above it, as far as they can be seen from here.

    A container sees its own group as the root; `controller` is "" for version 2.
    """
    base = f"{_ROOT}/{controller}" if controller else _ROOT
    for line in system.read("/proc/self/cgroup").splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if (controller in names.split(",")) if controller else not names:
            parts = [part for part in path.split("/") if part and part != ".."]
            for depth in range(len(parts), 0, -1):
                yield "/".join((base, *parts[:depth]))
    yield base
