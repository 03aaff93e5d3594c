"""What lives on a Ray node: one slot in an actor, and the probe. Travels by value, so it imports nothing of ours."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any

LISTEN_S = 10.0
"""An actor that has nothing to tell for so long returns, so that its driver knows that it lives."""

DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""An empty value hides every device of that vendor."""

_REAPER = """
import os, signal, sys
groups, needle = [], sys.argv[1].encode()
for line in sys.stdin:
    groups.append(int(line))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
    try:
        if name.isdigit() and int(name) != os.getpid():
            with open(f"/proc/{name}/environ", "rb") as file:
                if any(v.startswith(b"DT_RUN_IDS=") and needle in v for v in file.read().split(b"\\0")):
                    os.kill(int(name), signal.SIGKILL)
    except OSError:
        pass
"""


class SlotActor:
    """
    A slot. `listen` runs all the time, called again by the driver as soon as it returns; the rest are short calls.

    Calls may overtake each other, so commands carry numbers. All of the host's work is done in `listen`'s thread.
    """

    def __init__(self, package: bytes, package_digest: str, bundle: bytes, setup: dict[str, Any]) -> None:
        _unpack_package(package, package_digest)
        from dt_action.hosting import Host, Session

        self._slot: str = setup["slot"]
        self._tree = _tree(bundle, setup["digest"])
        environ = {name: value for name, value in os.environ.items() if name not in setup["hidden"]}
        if setup["hides_devices"]:
            environ.update(dict.fromkeys(DEVICE_VARIABLES, ""))
        self._host = Host(
            Session(
                run=setup["run"],
                root=self._tree / setup["directory"],
                python=setup["python"] or sys.executable,
                args=tuple(setup["args"]),
                slots=setup["slots"],
                imports=setup["imports"],
                environ=environ,
                mark=f"{setup['run']}-{self._slot}",
            )
        )
        self._commands: dict[int, dict[str, Any]] = {}
        self._next = 1
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._reaper = _start_reaper(f"{setup['run']}-{self._slot}")
        self._host.start(self._slot)
        self._reaper.write(f"{self._host.group_of(self._slot)}\n")
        self._reaper.flush()

    def listen(self) -> list[dict[str, Any]]:
        """What the slot told since the last call, waiting for something; `{"e": "died", ...}` is the last message."""
        from dt_action.hosting import Died

        told: list[dict[str, Any]] = []
        self._obey()
        for happened in self._host.poll(LISTEN_S):
            if isinstance(happened, Died):
                told.append({"e": "died", "code": happened.code, "log_tail": happened.log_tail})
            else:
                told.append(happened.message)
        self._obey()
        told.append({"e": "printed", "bytes": self._host.output_bytes(self._slot)})
        return told

    def obey(self, number: int, command: dict[str, Any]) -> None:
        """A command for the slot; `number` counts from 1."""
        with self._lock:
            self._commands[number] = command
        self._host.wake()

    def end(self, show_where: bool) -> None:
        """End the slot's process; `listen` tells of it."""
        self._orders.put(show_where)
        self._host.wake()

    def close(self) -> None:
        """End all that was started."""
        self._host.close()
        self._reaper.close()

    def _obey(self) -> None:
        while not self._orders.empty():
            self._host.kill(self._slot, show_where=self._orders.get())
        with self._lock:
            while self._next in self._commands:
                self._host.send(self._slot, **self._commands.pop(self._next))
                self._next += 1


def probe(package: bytes, package_digest: str) -> Any:
    """What the node has by our own probes: a `Capability`, as its parts."""
    _unpack_package(package, package_digest)
    from dt_action.probes import this_machine

    found = this_machine({**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    return {
        "devices": [
            (device.kind, device.name, device.memory_bytes, sorted(device.features)) for device in found.devices
        ],
        "browsers": sorted(found.browsers),
        "platform": found.platform,
        "memory_bytes": found.memory_bytes,
    }


def _start_reaper(mark: str) -> Any:
    """A process that outlives this one by a moment, to end the slot's process when Ray has killed the actor."""
    popen = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _REAPER, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    return popen.stdin


def _cache() -> Path:
    """The folder of all that this user's actors unpacked, which nobody else may write to."""
    folder = Path(tempfile.gettempdir()) / f"dt-ray-{os.getuid() if hasattr(os, 'getuid') else 'me'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o077):
        return Path(tempfile.mkdtemp(prefix="dt-ray-"))
    return folder


def _unpack_package(package: bytes, digest: str) -> None:
    """Make `dt_action` importable: the driver's own, whatever is installed on the node."""
    target = _cache() / "packages" / digest
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent))
        archive = aside / "package.tar"
        archive.write_bytes(package)
        with tarfile.open(archive) as opened:
            opened.extractall(aside, filter="data")
        _settle(aside, target)
    if str(target) not in sys.path:
        sys.path.insert(0, str(target))


def _tree(bundle: bytes, digest: str) -> Path:
    """The source tree, unpacked once on each node, and shared by its slots as processes on one machine share theirs."""
    from dt_action.bundle import unpack

    target = _cache() / "trees" / digest
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent))
        archive = aside / "bundle.tar.gz"
        archive.write_bytes(bundle)
        unpack(archive, aside / "tree")
        _settle(aside / "tree", target)
    return target


def _settle(made: Path, target: Path) -> None:
    """Put what is complete in its place; another actor may have been first."""
    with contextlib.suppress(OSError):
        made.rename(target)
