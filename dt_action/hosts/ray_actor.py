"""What lives on a Ray node: one slot in an actor, and the probe. Travels by value, so it imports nothing of ours."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any

DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""An empty value hides every device of that vendor."""

CLUSTER_SECRETS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")

_REAPER = """
import os, signal, sys
group, ours = 0, sys.argv[1].encode()
for line in sys.stdin:
    group = int(line)
if group:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
prefix = sys.argv[2].encode() + b"="
for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
    try:
        if name.isdigit() and int(name) != os.getpid():
            with open(f"/proc/{name}/environ", "rb") as file:
                lines = [line for line in file.read().split(b"\\0") if line.startswith(prefix)]
            if any(ours in line[len(prefix):].split(b",") for line in lines):
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
        from dt_action.errors import DtError

        self._slot: str = setup["slot"]
        self._listen_s: float = setup["listen_s"]
        self._host: Any = None
        self._printed = 0
        self._why_none = ""
        self._measured: Path | None = None
        self._commands: dict[int, dict[str, Any]] = {}
        self._next = 1
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._lock = threading.Lock()
        try:
            self._start(bundle, setup)
        except DtError as error:
            self._why_none = f"{error.message}; {error.hint}"
        except OSError as error:
            self._why_none = str(error)

    def _start(self, bundle: bytes, setup: dict[str, Any]) -> None:
        from dt_action.hosts import ray_node
        from dt_action.hosts.process import Host
        from dt_action.hosts.session import Session
        from dt_action.model.json_codec import from_jsonable
        from dt_action.model.pytest_start import PytestStart

        start = from_jsonable(PytestStart, setup["start"], source="the driver's message")
        hidden = {*setup["hidden"], *CLUSTER_SECRETS}
        environ = {name: value for name, value in os.environ.items() if name not in hidden}
        if setup["hides_devices"]:
            environ.update(dict.fromkeys(DEVICE_VARIABLES, ""))
        self._workspace = ray_node.enter(_cache(), bundle, start, setup["python"], environ)
        mark = f"{start.run}-{self._slot}"
        if start.measures:
            self._measured = Path(tempfile.mkdtemp(dir=self._workspace.coverage))
        host = Host(
            Session(
                root=self._workspace.root,
                python=self._workspace.environment.python,
                start=start,
                environ=self._workspace.environment.variables,
                mark=mark,
                data_file=self._measured / ".coverage" if self._measured else None,
            )
        )
        self._reaper = _start_reaper(mark)
        host.start(self._slot, is_plain=bool(setup["is_plain"]))
        self._host = host
        self._tell_reaper(host.group_of(self._slot))

    def listen(self) -> tuple[list[dict[str, Any]], bytes]:
        """
        What the slot told since the last call, waiting for something: see `slot_protocol.parse_relayed`.

        With its death comes the coverage data that it measured: an archive, empty where there is none.
        """
        from dt_action.model.slot_protocol import Died, Log, Printed, message_to_jsonable

        if self._host is None:
            return [message_to_jsonable(Died(reason="the process exited with code 1", log_tail=self._why_none))], b""
        self._obey()
        told = [happened.message for happened in self._host.poll(self._listen_s)]
        self._obey()
        is_over = bool(told) and isinstance(told[-1], Died)
        if is_over:
            self._tell_reaper(0)  # the number of a dead group may be another's by now
        printed, text = self._host.output_bytes(self._slot), self._host.new_output(self._slot)
        if printed != self._printed:
            self._printed = printed
            told.insert(0, Printed())
        if text:
            told.insert(0, Log(text=text))
        if is_over:
            self._host.close()
        return [message_to_jsonable(message) for message in told], self._packed_coverage() if is_over else b""

    def _packed_coverage(self) -> bytes:
        """What the process measured. The folder goes with it: this is asked once."""
        if self._measured is None:
            return b""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
            archive.add(self._measured, arcname="measured")
        shutil.rmtree(self._measured, ignore_errors=True)
        return packed.getvalue()

    def obey(self, number: int, command: dict[str, Any]) -> None:
        """A command for the slot; `number` counts from 1."""
        with self._lock:
            self._commands[number] = command
        self._wake()

    def end(self, show_where: bool) -> None:
        """End the slot's process; `listen` tells of it."""
        self._orders.put(show_where)
        self._wake()

    def _wake(self) -> None:
        if self._host is not None:
            self._host.wake()

    def _tell_reaper(self, group: int) -> None:
        with contextlib.suppress(OSError):
            self._reaper.write(f"{group}\n")
            self._reaper.flush()

    def _obey(self) -> None:
        from dt_action.model.slot_protocol import parse_command

        while not self._orders.empty():
            self._host.kill(self._slot, show_where=self._orders.get())
        with self._lock:
            while self._next in self._commands:
                self._host.send(self._slot, parse_command(self._commands.pop(self._next)))
                self._next += 1


def probe(package: bytes, package_digest: str) -> Any:
    """What the node has by our own probes: a `Capability`, as its parts."""
    _unpack_package(package, package_digest)
    from dt_action.probes import this_machine

    # Ray hides the devices of the node from a task that asked for none.
    found = this_machine({name: value for name, value in os.environ.items() if name not in DEVICE_VARIABLES})
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
    from dt_action.hosts.ending import RUNS_VARIABLE

    popen = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _REAPER, mark, RUNS_VARIABLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    return popen.stdin


def _cache() -> Path:
    """The folder of all that this user's actors unpacked, which nobody else may write to."""
    folder = Path(tempfile.gettempdir()) / f"dt-ray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not this user's alone, so that tests do not run what lies in it")
    return folder


def _unpack_package(package: bytes, digest: str) -> None:
    """Make `dt_action` importable: the driver's own, whatever is installed on the node."""
    target = _cache() / "packages" / digest
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        os.utime(target)
    else:
        aside = Path(tempfile.mkdtemp(dir=target.parent))
        archive = aside / "package.tar"
        archive.write_bytes(package)
        with tarfile.open(archive) as opened:
            opened.extractall(aside, filter="data")  # nosemgrep: archive-unpacked-as-it-is
        try:
            aside.rename(target)
        except OSError:  # another actor was first
            shutil.rmtree(aside, ignore_errors=True)
    if str(target) not in sys.path:
        sys.path.insert(0, str(target))
