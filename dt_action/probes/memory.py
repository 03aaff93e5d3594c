"""How much memory the machine has."""

from __future__ import annotations

from dt_action.probes import cgroup
from dt_action.probes.system import System


def total_bytes(system: System) -> int:
    """Bytes of memory, 0 where it cannot be told; a container's limit counts where it is the smaller one."""
    sizes = [_meminfo(system), cgroup.memory_limit(system)]
    if system.platform == "darwin":
        text = system.run(("sysctl", "-n", "hw.memsize")).strip()
        sizes.append(int(text) if text.isdecimal() else 0)
    return min((size for size in sizes if size), default=0)


def _meminfo(system: System) -> int:
    for line in system.read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
