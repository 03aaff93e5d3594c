"""Slots in containers, through the engine's API: the port `ports.SlotHost` for `--isolation container`."""

from __future__ import annotations

import contextlib
import io
import queue
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from dt_action.errors import ConfigurationError, DtError, FleetError
from dt_action.hosts.container_engine import RUN, Engine, is_leftover, labels_of
from dt_action.hosts.coverage_data import DATA_NAME, CoverageData
from dt_action.hosts.ending import TAIL_BYTES, ending_of
from dt_action.hosts.process import BOOTSTRAP
from dt_action.hosts.session import Session
from dt_action.hosts.slot_line import Line, WakeableSelector
from dt_action.model.holding import Visible
from dt_action.model.slot_protocol import Command, Died, Interrupt, ToController
from dt_action.ports import Heard

if TYPE_CHECKING:
    from dt_action.hosts.container_engine import Container

WORKSPACE = "/workspace"
RUNNER = "/dt"
MEASURED = f"{RUNNER}/measured"
"""Where a slot leaves coverage data. It lies in the container's own volume, which outlives the slot's process."""

STDERR_FRAME = 2
OUT_OF_MEMORY = "the container went over its memory limit of {limit}"
KILLED = "the process died of SIGKILL, in a container with a memory limit of {limit}"
"""What is told where the engine does not know why: Podman on control groups of version 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Devices that the containers of a worker get: GPU ids (`all` for every one) and device files such as /dev/kfd."""

    gpus: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """
    What a container is made of and may use. `network` is `none` or the name of one of the engine's networks.

    `tmp_bytes` is the size of /tmp, which counts as memory. `environ` are the only variables that tests see beside
    the image's own. `is_writable` tells whether tests may write to the workspace. `grants` are devices by worker.
    """

    image: str
    python: str = "python3"
    network: str = "none"
    memory_bytes: int = 4 << 30
    tmp_bytes: int = 1 << 30
    cpus: float = 2.0
    pids: int = 1024
    is_writable: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Slot:
    name: str
    container: Container
    line: Line
    printed: int = 0
    shown: int = 0
    is_killed: bool = False
    frames: bytearray = field(default_factory=bytearray)
    log: bytearray = field(default_factory=bytearray)


class ContainerHost:
    """
    One container for each slot. Its standard streams are the line: input carries commands, output events.

    So it works without a network and with an engine that is rootless or not. `say` is told what takes long. The
    workspace is mounted from this machine, which the engine must be on. Where the run measures coverage, the data is
    brought to `coverage`.
    """

    def __init__(
        self,
        session: Session,
        box: Box,
        engine: Engine,
        *,
        say: Callable[[str], None],
        coverage: CoverageData | None = None,
    ) -> None:
        self.session = replace(session, data_file=PurePosixPath(MEASURED, DATA_NAME) if coverage else None)
        self._coverage = coverage
        self._mark = session.mark or session.start.run
        self._box = box
        self._engine = engine
        self._say = say
        self._slots: dict[str, _Slot] = {}
        self._launching: dict[str, list[Command | ToController]] = {}
        self._unwanted: set[str] = set()
        self._launched: queue.SimpleQueue[_Slot | tuple[str, Exception]] = queue.SimpleQueue()
        self._selector = WakeableSelector()
        self._threads: list[threading.Thread] = []
        self._is_prepared = False

    @property
    def slots(self) -> tuple[str, ...]:
        """See `ports.SlotHost`."""
        return (*self._slots, *self._launching)

    def start(self, slot: str, worker: str = "", *, is_plain: bool = False, visible: Visible | None = None) -> None:
        """Start a slot. Raises ConfigurationError where there is no image; `poll` tells of an engine that refuses."""
        if not self._is_prepared:
            self._is_prepared = True
            self._engine.sweep(is_leftover)
            self._engine.ensure_image(self._box.image, self._say)
        self._launching[slot] = []
        thread = threading.Thread(target=self._launch, args=(slot, worker, is_plain), daemon=True)
        self._threads.append(thread)
        thread.start()

    def send(self, slot: str, command: Command | ToController) -> None:
        """See `ports.SlotHost`."""
        if slot in self._launching:
            self._launching[slot].append(command)
        elif slot in self._slots:
            self._slots[slot].line.send(command)
            if isinstance(command, Interrupt):
                self._engine.kill(self._slots[slot].container, "SIGINT")

    def poll(self, timeout_s: float) -> Iterator[Heard]:
        """See `ports.SlotHost`. Raises FleetError where the engine refused to start a container."""
        ready = self._selector.ready(timeout_s)
        self._take_launched()
        for slot in ready:
            yield from self._read(slot)

    def wake(self) -> None:
        """Let a `poll` that waits in another thread return."""
        self._selector.wake()

    def new_output(self, slot: str) -> str:
        """What came on the container's standard error since this was asked last, as far as it is kept."""
        known = self._slots.get(slot)
        if known is None:
            return ""
        fresh, known.shown = known.printed - known.shown, known.printed
        return known.log[-fresh:].decode("utf-8", "replace") if fresh else ""

    def has_program(self, slot: str) -> bool:
        """True where a program runs that the slot's process has started; False also where nobody can tell."""
        return False

    def output_bytes(self, slot: str) -> int:
        """What came on the container's standard error; what pytest captures is not seen from here."""
        known = self._slots.get(slot)
        return known.printed if known is not None else 0

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        """See `ports.SlotHost`."""
        if slot in self._launching:
            self._unwanted.add(slot)
        known = self._slots.get(slot)
        if known is not None:
            known.is_killed = True
            self._engine.kill(known.container, "SIGABRT" if show_where else "SIGKILL")
            if show_where:
                known.container.wait_until(time.monotonic() + 1.0)
                self._engine.kill(known.container, "SIGKILL")

    def close(self, *, grace_s: float = 0.0) -> None:
        """See `ports.SlotHost`. Containers are removed, with the volumes that were made for them."""
        deadline = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join()
        with contextlib.suppress(DtError):
            self._take_launched()
        for slot in [*self._slots.values()]:
            slot.container.wait_until(deadline)
            self._forget(slot)
        self._engine.sweep(lambda labels: labels.get(RUN) == self._mark)
        self._selector.close()

    # --- starting -------------------------------------------------------------------------------------------------

    def _launch(self, slot: str, worker: str, is_plain: bool) -> None:
        try:
            container = self._engine.create(
                **self._description(slot, self._box.grants.get(worker, Grant()), is_plain=is_plain)
            )
            container.put(_runner_archive(), RUNNER)
            line = Line(container.attach())
            container.start()
            self._launched.put(_Slot(name=slot, container=container, line=line))
        except Exception as error:
            self._launched.put((slot, error))
        self.wake()

    def _take_launched(self) -> None:
        while not self._launched.empty():
            launched = self._launched.get()
            if not isinstance(launched, _Slot):
                slot, error = launched
                del self._launching[slot]
                raise error if isinstance(error, DtError) else _refused(error)
            self._slots[launched.name] = launched
            self._selector.register(launched.line.sock, launched)
            for command in self._launching.pop(launched.name):
                launched.line.send(command)
            if launched.name in self._unwanted:
                self.kill(launched.name)

    def _description(self, slot: str, grant: Grant, *, is_plain: bool) -> dict[str, Any]:
        """The arguments of the engine's `create`: everything that a test may not do is said here."""
        box, session = self._box, self.session
        basetemp = "/tmp/dt"  # noqa: S108  # nosec B108 - in the container, where it is its own file system
        config = session.config(slot, channel="streams", basetemp=basetemp, rewritten="", is_plain=is_plain)
        return {
            "image": box.image,
            "entrypoint": [box.python, f"{RUNNER}/runner/{BOOTSTRAP.name}", config],
            "working_dir": WORKSPACE,
            "volume": RUNNER,
            "user": self._engine.user_for(session.root),
            "labels": labels_of(self._mark),
            "environment": {
                **box.environ,
                "HOME": "/tmp",  # noqa: S108  # nosec B108
                **session.variables(slot, is_plain=is_plain),
            },
            "host": {
                "binds": self._binds(),
                "network_mode": box.network,
                "read_only": True,
                "tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={box.tmp_bytes}"},  # noqa: S108  # nosec B108
                "mem_limit": box.memory_bytes,
                "memswap_limit": box.memory_bytes,
                "nano_cpus": int(box.cpus * 1e9),
                "pids_limit": box.pids,
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges"],
                "init": True,
                "devices": [f"{file}:{file}:rw" for file in grant.files],
                "log_config": {"type": "none"},
            },
            "gpus": grant.gpus,
        }

    def _binds(self) -> list[str]:
        """The workspace; checkouts of CI keep a token in .git/config, so that file is an empty one."""
        root = self.session.root.resolve()
        binds = [f"{self._engine.path_of(root)}:{WORKSPACE}:{'rw' if self._box.is_writable else 'ro'}"]
        if (root / ".git" / "config").is_file():
            binds.append(f"/dev/null:{WORKSPACE}/.git/config:ro")
        return binds

    # --- hearing --------------------------------------------------------------------------------------------------

    def _read(self, slot: _Slot) -> Iterator[Heard]:
        fresh, is_over = slot.line.receive()
        for message in slot.line.messages(_unframed(slot, fresh)):
            yield Heard(slot=slot.name, message=message)
        if is_over:
            yield self._bury(slot)

    def _bury(self, slot: _Slot) -> Heard:
        code, ran_out = slot.container.wait_until(time.monotonic() + 10.0)
        limit = f"{self._box.memory_bytes >> 20} MiB"
        why = OUT_OF_MEMORY if ran_out else KILLED if code == 128 + 9 and not slot.is_killed else ""
        died = Died(
            reason=why.format(limit=limit) or ending_of(128 - code if code > 128 else code),
            log_tail=slot.log[-TAIL_BYTES:].decode("utf-8", "replace"),
            root=WORKSPACE,
            how="taken" if why else "ended",
        )
        self._forget(slot)
        return Heard(slot=slot.name, message=died)

    def _forget(self, slot: _Slot) -> None:
        self._slots.pop(slot.name, None)
        if self._coverage is not None:
            self._bring_coverage(slot, self._coverage)
        self._selector.unregister(slot.line.sock)
        slot.line.sock.close()
        self._engine.remove(slot.container)

    def _bring_coverage(self, slot: _Slot, coverage: CoverageData) -> None:
        """What cannot be had is missing from the coverage; the results of the tests stand."""
        try:
            coverage.take(slot.container.get(MEASURED), WORKSPACE)
        except Exception as error:  # docker's own, requests', or what lies in the archive
            self._say(f"the coverage of slot {slot.name} is not to be had: {error}")


def _unframed(slot: _Slot, fresh: bytes) -> bytes:
    """
    What an attached engine sends, without its frames of 8 bytes of header and a payload; what was printed is kept.

    See https://docs.docker.com/reference/api/engine/version/v1.43/#tag/Container/operation/ContainerAttach.
    """
    frames, events = slot.frames, bytearray()
    frames += fresh
    while len(frames) >= 8:
        size = int.from_bytes(frames[4:8], "big")
        if len(frames) < 8 + size:
            break
        payload = frames[8 : 8 + size]
        if frames[0] == STDERR_FRAME:
            slot.printed += size
            slot.log = (slot.log + payload)[-2 * TAIL_BYTES :]
        else:
            events += payload
        del frames[: 8 + size]
    return bytes(events)


def _runner_archive() -> bytes:
    """The runner's files, readable for everyone, and a folder for what they measure, as the engine takes them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(BOOTSTRAP.parent.glob("*.py")):
            content = path.read_bytes()
            info = tarfile.TarInfo(f"runner/{path.name}")
            info.size, info.mode = len(content), 0o644
            archive.addfile(info, io.BytesIO(content))
        folder = tarfile.TarInfo(MEASURED.removeprefix(f"{RUNNER}/"))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        archive.addfile(folder)
    return packed.getvalue()


def _refused(error: Exception) -> DtError:
    text = str(error)
    if "container-init binary not found" in text:
        return FleetError(
            f"Podman has no init process to give to containers: {text}", hint="install the package catatonit"
        )
    if "executable file not found" in text or "no such file or directory" in text:
        return ConfigurationError(
            f"the image has no such interpreter: {text}", hint="name an image with Python 3.9+ and pytest"
        )
    return FleetError(
        f"the container engine refused to start a container: {text}",
        hint="`docker run --rm IMAGE true` shows whether the engine works at all",
    )
