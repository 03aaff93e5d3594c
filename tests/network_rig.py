"""Machines of their own as far as the network goes: namespaces, each on a wire to this one that can be cut."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_NUMBERS = itertools.count()


def _ip(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


def _must(*words: str) -> None:
    done = _ip(*words)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@dataclass(frozen=True)
class Machine:
    """A namespace. From inside it, this machine is at `host`; `wire` is this machine's end of the cable."""

    name: str
    host: str
    wire: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    @property
    def mark(self) -> str:
        """What /proc/self/ns/net leads to in a process that runs there, as the kernel says."""
        return f"net:[{Path('/run/netns', self.name).stat().st_ino}]"

    def cut(self) -> None:
        """Pull the cable: nothing passes, and nobody is told."""
        _must("link", "set", self.wire, "down")

    def heal(self) -> None:
        """Put it back in. Connections of before go on as far as TCP has not given them up."""
        _must("link", "set", self.wire, "up")


class Network:
    """The namespaces of one test. Addresses are of the range that is kept for tests of networks (RFC 2544)."""

    def __init__(self) -> None:
        self.machines: list[Machine] = []

    def add(self) -> Machine:
        """One more machine. Raises OSError where it cannot be made."""
        number = next(_NUMBERS)
        name = f"dt{os.getpid()}-{number}"
        block = (os.getpid() * 16 + number) % (1 << 15)  # of four addresses each, out of 198.18.0.0/15
        first = (198 << 24) + (18 << 16) + block * 4
        host, there = (".".join(str((first + add) >> shift & 255) for shift in (24, 16, 8, 0)) for add in (1, 2))
        machine = Machine(name=name, host=host, wire=f"dtw{os.getpid() % 100000}-{number}")
        _must("netns", "add", name)
        self.machines.append(machine)
        _must("link", "add", machine.wire, "type", "veth", "peer", "name", "eth0", "netns", name)
        _must("address", "add", f"{host}/30", "dev", machine.wire)
        _must("link", "set", machine.wire, "up")
        _must("-n", name, "address", "add", f"{there}/30", "dev", "eth0")
        _must("-n", name, "link", "set", "eth0", "up")
        _must("-n", name, "link", "set", "lo", "up")
        return machine

    def close(self) -> None:
        """Take everything away."""
        for machine in self.machines:
            _ip("link", "delete", machine.wire)
            _ip("netns", "delete", machine.name)


def network_of(count: int) -> Network:
    """A network with `count` machines; skips, with the reason, where none can be made."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        pytest.skip("network namespaces need Linux and the command `ip`")
    network = Network()
    try:
        for _ in range(count):
            network.add()
    except OSError as error:
        network.close()
        pytest.skip(f"no network namespaces here: {error}")
    return network
