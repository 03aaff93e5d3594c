"""Slot processes on this machine: starting them, hearing them, and ending them with all that they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError
from dt_action.hosts.leftovers import core_of, left_behind
from dt_action.hosts.scratch import end_scratch, new_scratch
from dt_action.hosts.slot_line import Line, WakeableSelector
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import CONTROLLER, Command, Died, ToController
from dt_action.ports import Heard
from dt_action.workspace import caches

BOOTSTRAP = Path(__file__).parent.parent / "runner" / "bootstrap.py"
RUNS_VARIABLE = "_DT_RUN_IDS"
"""Every process of a run inherits it; it tells what a test left behind, even after it made itself a daemon."""

TAIL_BYTES = 16 * 1024
REAP_S = 5.0
"""So long is waited for a process that was killed: an interrupt in the midst of `Popen.poll` may leave its lock taken,
and a wait without an end would not end."""

IS_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """
    Every slot's process leaves in `folder` what its tests entered and opened below `top`, the repository's top.

    `always` also where that is expensive, before Python 3.12.
    """

    folder: Path
    top: Path
    always: bool = False

    def message(self) -> dict[str, Any]:
        """What the slot is told, see `runner.recording`."""
        return {"folder": str(self.folder), "top": str(self.top), "always": self.always}


def new_run() -> str:
    """A name that no other run has."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    What every slot's pytest session has in common on one machine: `start` is the run's word, the rest the machine's.

    Processes of the interpreter `python` are started in `root`. `environ` is what the tests see of the environment:
    pass none of our secrets in it. `mark` is a name that no other host has; empty where the run has but one.
    `data_file` is how the paths of coverage's data files begin, where the run measures.
    """

    root: Path
    python: str
    start: PytestStart
    environ: Mapping[str, str]
    mark: str = ""
    data_file: Path | None = None
    recording: Recording | None = None

    def config(self, slot: str, *, channel: Any, basetemp: str, rewritten: str, is_plain: bool | None = None) -> str:
        """
        What a process is told at its start, see `runner.bootstrap`.

        `is_plain` tells that it is plain pytest's only process; without a word, it is where there is one slot.
        """
        start, is_slot = self.start, slot != CONTROLLER
        measure = {"data_file": str(self.data_file), "contexts": start.has_contexts}
        return json.dumps(
            {
                **start.config(),
                "role": "slot" if is_slot else "controller",
                "channel": channel,
                "worker": not self.runs_plain(is_plain),
                "control": None,
                "controller": False,
                "shares_hash_seed": self.hash_seed != "",
                "slot": slot,
                "basetemp": basetemp,
                "rewritten": rewritten,
                "measure": measure if start.measures and self.data_file and is_slot else None,
                "record": self.recording.message() if self.recording and is_slot else None,
            }
        )

    def runs_plain(self, is_plain: bool | None) -> bool:
        """Whether a process is plain pytest's only one, as far as was said."""
        return self.start.slots == 1 if is_plain is None else is_plain

    @property
    def hash_seed(self) -> str:
        """
        Python's hash seed for all processes of the run, so that a set has one order and makes one list of tests.

        Empty where the user's own environment says what it is.
        """
        return "" if self.environ.get("PYTHONHASHSEED") else str(int(self.start.run[:8] or "0", 16))

    def variables(self, slot: str, *, is_plain: bool | None = None) -> dict[str, str]:
        """The variables that pytest-xdist's workers have, so that plugins written for it work."""
        seed = {"PYTHONHASHSEED": self.hash_seed} if self.hash_seed else {}
        if slot == CONTROLLER or self.runs_plain(is_plain):
            return seed
        return {
            **seed,
            "PYTEST_XDIST_WORKER": slot,
            "PYTEST_XDIST_WORKER_COUNT": str(self.start.slots),
            "PYTEST_XDIST_TESTRUNUID": self.start.run,
        }


@dataclass(slots=True, kw_only=True)
class _Process:
    slot: str
    popen: subprocess.Popen[bytes]
    line: Line
    log: Path
    pidfd: int = -1
    shown: int = 0


def ending_of(code: int) -> str:
    """How a process ended, in words: by its exit code, or the negative number of the signal that killed it."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the process died of {signal.Signals(-code).name}"
    return f"the process exited with code {code}"


def _folder_for_rewritten(root: Path) -> str:
    """Where slots keep test modules whose asserts pytest has rewritten; "" where nothing can be written."""
    folder = root / caches.FOLDER / "rewritten"
    try:
        caches.make_folder(folder)
    except OSError:
        return ""
    return str(folder)


class Host:
    """The slot processes of one run. `close` ends everything that the run started."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._mark = session.mark or session.start.run
        self._processes: dict[str, _Process] = {}
        self._selector = WakeableSelector()
        self._scratch = new_scratch()
        self._rewritten = _folder_for_rewritten(session.root)

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots whose process lives."""
        return tuple(name for name in self._processes if name != CONTROLLER)

    def start_controller(self) -> None:
        """Start the controller session's process. Raises ConfigurationError as `start`."""
        self.start(CONTROLLER)

    def start(self, slot: str, worker: str = "", *, is_plain: bool | None = None) -> None:
        """Start a slot's process (there is one worker here). Raises ConfigurationError where it cannot be started."""
        session = self.session
        log = self._scratch / f"{slot}.log"
        ours, theirs, address = _line()
        config = session.config(
            slot, channel=address, basetemp=str(self._scratch), rewritten=self._rewritten, is_plain=is_plain
        )
        try:
            with log.open("wb") as output:
                popen = subprocess.Popen(
                    [session.python, str(BOOTSTRAP), config],
                    cwd=session.root,
                    env=self._environ(slot, is_plain=is_plain),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    **_in_a_group(theirs),
                )
        except OSError as error:
            ours.close()
            raise ConfigurationError(
                f"the interpreter {session.python!r} cannot be started in {session.root}: {error}",
                hint="name the Python of the tests' environment with --python",
            ) from error
        finally:
            if theirs is not None and not IS_WINDOWS:
                theirs.close()
        sock = _accepted(ours, address, popen) if IS_WINDOWS else ours
        process = _Process(slot=slot, popen=popen, line=Line(sock), log=log)
        self._selector.register(sock, process)
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                process.pidfd = os.pidfd_open(popen.pid)
                self._selector.register(process.pidfd, process)
        self._processes[slot] = process

    def send(self, slot: str, command: Command | ToController) -> None:
        """Send a command to a slot. One that has died meanwhile is heard of by `poll`."""
        process = self._processes.get(slot)
        if process is not None:
            process.line.send(command)

    def group_of(self, slot: str) -> int:
        """The process group of a slot that lives."""
        return self._processes[slot].popen.pid

    def poll(self, timeout_s: float) -> Iterator[Heard]:
        """What happened, waiting at most `timeout_s` for something; a death comes after all that the slot told."""
        ready = {id(process): process for process in self._selector.ready(timeout_s)}
        for process in ready.values():
            yield from self._read(process)
        for process in [*self._processes.values()]:
            if process.slot in self._processes and process.popen.poll() is not None:
                yield from self._read(process)
                yield from self._left_behind(process)
                yield self._bury(process)

    def wake(self) -> None:
        """Let a `poll` that waits in another thread return."""
        self._selector.wake()

    def new_output(self, slot: str, most: int = 65536) -> str:
        """What a slot printed outside of pytest's capture since this was asked last, at most `most` bytes of it."""
        process = self._processes.get(slot)
        if process is None:
            return ""
        with process.log.open("rb") as file:
            file.seek(process.shown)
            content = file.read(most)
        process.shown += len(content)
        return content.decode("utf-8", "replace")

    def output_bytes(self, slot: str) -> int:
        """
        How much a slot has printed: a number that grows with each thing printed, captured by pytest or not.

        pytest captures by putting a temporary file in the place of descriptors 1 and 2; Linux shows how long it is.
        """
        process = self._processes.get(slot)
        if process is None:
            return 0
        total = process.log.stat().st_size
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):
                total += Path(f"/proc/{process.popen.pid}/fd/{descriptor}").stat().st_size
        return total

    def kill(self, slot: str, *, show_where: bool = False) -> None:
        """
        End a slot's process and its process group; `poll` tells of the death.

        With `show_where`, it is first told to abort, so that faulthandler, which pytest enables, writes what every
        thread was doing to the log.
        """
        process = self._processes.get(slot)
        if process is None:
            return
        if show_where and not IS_WINDOWS:
            with contextlib.suppress(OSError):
                process.popen.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(timeout=1.0)
        _kill_group(process.popen.pid)
        with contextlib.suppress(OSError):
            process.popen.kill()

    def close(self, *, grace_s: float = 0.0) -> None:
        """End all that the run started, waiting `grace_s` for processes that were told to stop."""
        deadline = time.monotonic() + grace_s
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(timeout=max(0.0, deadline - time.monotonic()))
        for process in [*self._processes.values()]:
            _kill_group(process.popen.pid)  # of the living only: the number of a dead one may be another's by now
            process.popen.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(timeout=REAP_S)
            self._forget(process)
        _kill_marked(self._mark)
        self._selector.close()
        end_scratch(self._scratch)

    def _environ(self, slot: str, *, is_plain: bool | None) -> dict[str, str]:
        runs = self.session.environ.get(RUNS_VARIABLE)
        return {
            **self.session.environ,
            **self.session.variables(slot, is_plain=is_plain),
            RUNS_VARIABLE: f"{runs},{self._mark}" if runs else self._mark,
        }

    def _read(self, process: _Process) -> Iterator[Heard]:
        if process.slot not in self._processes:
            return
        fresh, is_over = process.line.receive()
        if is_over:
            self._selector.unregister(process.line.sock)
        for message in process.line.messages(fresh):
            yield Heard(slot=process.slot, message=message)

    def _left_behind(self, process: _Process) -> Iterator[Heard]:
        """What a process that did not end by itself had not sent any more."""
        code = process.popen.returncode
        if code == 0 or process.slot == CONTROLLER:
            return
        core = core_of(process.popen.pid, self.session.root) if code < 0 else None
        for message in left_behind(self._scratch, process.slot, limit=self.session.start.artifact_bytes, core=core):
            yield Heard(slot=process.slot, message=message)

    def _bury(self, process: _Process) -> Heard:
        _kill_group(process.popen.pid)
        died = Died(
            reason=ending_of(process.popen.returncode),
            log_tail=_tail(process.log),
            root=os.path.realpath(self.session.root),
        )
        self._forget(process)
        return Heard(slot=process.slot, message=died)

    def _forget(self, process: _Process) -> None:
        del self._processes[process.slot]
        self._selector.unregister(process.line.sock)
        process.line.sock.close()
        if process.pidfd >= 0:
            self._selector.unregister(process.pidfd)
            os.close(process.pidfd)


def _line() -> tuple[socket.socket, socket.socket | None, Any]:
    """Our end, the end to be inherited (None where that is not possible), and the address that tells the slot of it."""
    if not IS_WINDOWS:
        ours, theirs = socket.socketpair()
        return ours, theirs, theirs.fileno()
    import secrets

    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    return listener, None, [*listener.getsockname()[:2], secrets.token_hex(16)]


def _in_a_group(theirs: socket.socket | None) -> dict[str, Any]:
    """Arguments of Popen: a process group of its own, which can be ended as a whole, and the line, if inherited."""
    if IS_WINDOWS:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True, "pass_fds": [theirs.fileno()] if theirs is not None else []}


def _accepted(listener: socket.socket, address: Any, popen: subprocess.Popen[bytes]) -> socket.socket:
    """The connection of the one process that knows the secret."""
    import secrets

    listener.settimeout(0.2)
    with listener:
        while True:
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                if popen.poll() is None:
                    continue
                return socket.socket()  # it died before it connected; `poll` tells so
            sock.settimeout(5)
            if secrets.compare_digest(sock.recv(33).strip(), address[2].encode("ascii")):
                return sock
            sock.close()


def _kill_group(pid: int) -> None:
    if IS_WINDOWS:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _kill_marked(mark: str) -> None:
    """End what left its process group: on Linux, every process that has the mark in its environment."""
    prefix, ours = f"{RUNS_VARIABLE}=".encode("ascii"), mark.encode("ascii")
    for entry in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):
            variables = (entry / "environ").read_bytes().split(b"\0")
            marks = [line.removeprefix(prefix).split(b",") for line in variables if line.startswith(prefix)]
            if any(ours in some for some in marks) and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
