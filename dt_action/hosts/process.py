"""Slot processes on this machine: starting them, hearing them, and ending them with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError
from dt_action.hosts import template
from dt_action.hosts.ending import IS_WINDOWS, RUNS_VARIABLE, ending_of, kill_group, kill_marked, tail_of
from dt_action.hosts.leftovers import core_of, left_behind
from dt_action.hosts.scratch import end_scratch, new_scratch
from dt_action.hosts.session import Session
from dt_action.hosts.slot_line import Line, WakeableSelector
from dt_action.hosts.template import ForkedProcess, Handle, Template
from dt_action.model.hardware import format_bytes
from dt_action.model.holding import Visible
from dt_action.model.slot_protocol import CONTROLLER, Command, Died, Forkable, Interrupt, ToController
from dt_action.model.visibility import variables
from dt_action.ports import Heard
from dt_action.probes.cgroup import memory_limit, oom_kills
from dt_action.probes.system import System
from dt_action.workspace import caches

BOOTSTRAP = Path(__file__).parent.parent / "runner" / "bootstrap.py"
REAP_S = 5.0
"""So long is waited for a process that was killed: an interrupt in the midst of `Popen.poll` may leave its lock taken,
and a wait without an end would not end."""


@dataclass(slots=True, kw_only=True)
class _Process:
    """
    A process and our end of its line.

    `kept` are the commands that one has to be told which is forked later, or in the place of this process.
    """

    slot: str
    handle: Handle
    line: Line
    log: Path
    pidfd: int = -1
    shown: int = 0
    kept: list[Command | ToController] | None = None

    @property
    def is_waiting(self) -> bool:
        """True until it is forked."""
        return isinstance(self.handle, ForkedProcess) and self.handle.is_waiting


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
        self._oom_kills = oom_kills(System()) if sys.platform == "linux" else 0
        self._rewritten = _folder_for_rewritten(session.root)
        wants_template = template.is_wanted(session.start, session.root, session.python)
        self._template = Template(state="absent" if wants_template else "over")

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots whose process lives."""
        return tuple(name for name in self._processes if name != CONTROLLER)

    def start_controller(self) -> None:
        """Start the controller session's process. Raises ConfigurationError as `start`."""
        self._spawn(CONTROLLER)

    def start(
        self, slot: str, worker: str = "", *, is_plain: bool | None = None, visible: Visible | None = None
    ) -> None:
        """
        Start a slot's process (there is one worker here). Raises ConfigurationError where it cannot be started.

        One that sees devices is no copy of another process, whose libraries have looked for them already.
        """
        if self.session.runs_plain(is_plain) or self._template.state == "over" or (visible and visible.devices):
            self._spawn(slot, is_plain=is_plain, visible=visible)
        elif self._template.state == "absent":
            self._spawn_template(slot)
        else:
            self._await_fork(slot)
            if self._template.state == "ready":
                self._fork(self._processes[slot])

    def _spawn(
        self,
        slot: str,
        *,
        is_plain: bool | None = None,
        control: socket.socket | None = None,
        visible: Visible | None = None,
    ) -> _Process:
        session = self.session
        log = self._scratch / f"{slot}.log"
        is_shown = slot == CONTROLLER and session.start.shows_pytest
        ours, theirs, address = _line()
        config = session.config(
            slot,
            channel=address,
            basetemp=str(self._scratch),
            rewritten=self._rewritten,
            is_plain=is_plain,
            control=control.fileno() if control else None,
        )
        try:
            with log.open("wb") as output:
                popen = subprocess.Popen(
                    [session.python, str(BOOTSTRAP), config],
                    cwd=session.root,
                    env=self._environ(slot, is_plain=is_plain, visible=visible),
                    stdin=subprocess.DEVNULL,
                    stdout=None if is_shown else output,
                    stderr=None if is_shown else subprocess.STDOUT,
                    **_in_a_group(theirs, control),
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
        process = _Process(slot=slot, handle=popen, line=Line(sock), log=log)
        self._selector.register(sock, process)
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                process.pidfd = os.pidfd_open(popen.pid)
                self._selector.register(process.pidfd, process)
        self._processes[slot] = process
        return process

    def send(self, slot: str, command: Command | ToController) -> None:
        """Send a command to a slot. One that has died meanwhile is heard of by `poll`."""
        process = self._processes.get(slot)
        if process is None:
            return
        if process.kept is not None:
            process.kept.append(command)
        if not process.is_waiting:
            process.line.send(command)
        if isinstance(command, Interrupt) and not IS_WINDOWS:  # there, no signal reaches one process alone
            with contextlib.suppress(OSError):
                process.handle.send_signal(signal.SIGINT)

    def group_of(self, slot: str) -> int:
        """The process group of a slot that lives."""
        return self._processes[slot].handle.pid

    def poll(self, timeout_s: float) -> Iterator[Heard]:
        """What happened, waiting at most `timeout_s` for something; a death comes after all that the slot told."""
        ready = {id(what): what for what in self._selector.ready(timeout_s)}
        for what in ready.values():
            if what is self._template and self._template.line is not None:
                if self._template.hear():
                    self._selector.unregister(self._template.line.sock)
            else:
                yield from self._read(what)
        for process in [*self._processes.values()]:
            if process.slot in self._processes and process.handle.poll() is not None:
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

    def has_program(self, slot: str) -> bool:
        """True where a program runs that the slot's process has started; False also where nobody can tell."""
        process = self._processes.get(slot)
        tasks = Path(f"/proc/{process.handle.pid}/task") if process is not None else None
        with contextlib.suppress(OSError):
            return tasks is not None and any((task / "children").read_text().strip() for task in tasks.iterdir())
        return False

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
                total += Path(f"/proc/{process.handle.pid}/fd/{descriptor}").stat().st_size
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
                process.handle.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.handle.wait(timeout=1.0)
        kill_group(process.handle.pid)
        with contextlib.suppress(OSError):
            process.handle.kill()

    def close(self, *, grace_s: float = 0.0) -> None:
        """End all that the run started, waiting `grace_s` for processes that were told to stop."""
        deadline = time.monotonic() + grace_s
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.handle.wait(timeout=max(0.0, deadline - time.monotonic()))
        for process in [*self._processes.values()]:
            kill_group(process.handle.pid)  # of the living only: the number of a dead one may be another's by now
            process.handle.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.handle.wait(timeout=REAP_S)
            self._forget(process)
        self._template.close(reap_s=REAP_S)
        kill_marked(self._mark)
        self._selector.close()
        end_scratch(self._scratch)

    def _environ(self, slot: str, *, is_plain: bool | None, visible: Visible | None) -> dict[str, str]:
        runs = self.session.environ.get(RUNS_VARIABLE)
        environ = {
            **self.session.environ,
            **self.session.variables(slot, is_plain=is_plain),
            RUNS_VARIABLE: f"{runs},{self._mark}" if runs else self._mark,
        }
        if visible is None and not self.session.runs_plain(is_plain):
            visible = self.session.visible
        for name, value in variables(visible, environ).items() if visible is not None else ():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value
        return environ

    def _read(self, process: _Process) -> Iterator[Heard]:
        if process.slot not in self._processes:
            return
        fresh, is_over = process.line.receive()
        if is_over:
            self._selector.unregister(process.line.sock)
        for message in process.line.messages(fresh):
            if isinstance(message, Forkable):
                self._forkable(process, message)
            else:
                yield Heard(slot=process.slot, message=message)

    def _left_behind(self, process: _Process) -> Iterator[Heard]:
        """What a process that did not end by itself had not sent any more."""
        code = process.handle.wait()
        if code == 0 or process.slot == CONTROLLER:
            return
        core = core_of(process.handle.pid, self.session.root) if code < 0 else None
        for message in left_behind(self._scratch, process.slot, limit=self.session.start.artifact_bytes, core=core):
            yield Heard(slot=process.slot, message=message)

    def _bury(self, process: _Process) -> Heard:
        kill_group(process.handle.pid)
        died = Died(
            reason=ending_of(process.handle.wait()) + self._want_of_memory(process),
            log_tail=tail_of(process.log),
            root=os.path.realpath(self.session.root),
        )
        self._forget(process)
        if process.kept is not None and not process.is_waiting and self._template.state == "collecting":
            self._template.lost()
            self._start_waiting()
        return Heard(slot=process.slot, message=died)

    def _want_of_memory(self, process: _Process) -> str:
        """Words to add where the kernel ended a process for want of memory; Linux counts that by control group."""
        if sys.platform != "linux" or process.handle.wait() != -signal.SIGKILL:
            return ""
        kills, self._oom_kills = self._oom_kills, oom_kills(System())
        if self._oom_kills <= kills:
            return ""
        import resource

        peak = format_bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
        limit = memory_limit(System())
        within = f" within the limit of {format_bytes(limit)}" if limit else ""
        return f": the kernel ended it for want of memory{within}; no process of dt had more than {peak}"

    def _forget(self, process: _Process) -> None:
        del self._processes[process.slot]
        self._selector.unregister(process.line.sock)
        process.line.sock.close()
        if isinstance(process.handle, ForkedProcess):
            process.handle.close()
        self._close_pidfd(process)

    def _close_pidfd(self, process: _Process) -> None:
        if process.pidfd >= 0:
            self._selector.unregister(process.pidfd)
            os.close(process.pidfd)

    # --- forked slots -----------------------------------------------------------------------------------------------

    def _spawn_template(self, slot: str) -> None:
        """Start the process that collects for all: it is `slot`, until it is asked to fork."""
        with self._template.begin() as control:
            self._spawn(slot, control=control).kept = []

    def _await_fork(self, slot: str) -> _Process:
        """A process that is to be forked. It can be told things from now on."""
        ours, theirs = socket.socketpair()
        process = _Process(
            slot=slot,
            handle=ForkedProcess(theirs, self._template.is_gone),
            line=Line(ours),
            log=self._scratch / f"{slot}.log",
            kept=[],
        )
        process.log.touch()
        self._selector.register(ours, process)
        self._processes[slot] = process
        return process

    def _fork(self, process: _Process) -> None:
        if isinstance(process.handle, ForkedProcess):
            self._template.fork(process.slot, process.handle, process.log)
        commands, process.kept = process.kept or [], None
        for command in commands:
            process.line.send(command)

    def _forkable(self, first: _Process, message: Forkable) -> None:
        """The process that collects has done so, or knows already that it must not be forked."""
        if first.kept is None or self._template.state != "collecting":
            return
        if message.reason:
            template.remember_refusal(self.session.root, self.session.python, message.reason)
            first.kept = None
            self._template.give_up()
            self._start_waiting()
            return
        commands = first.kept[message.seen :]
        self._selector.unregister(first.line.sock)
        self._close_pidfd(first)
        self._template.ready(first.handle, first.line)
        self._selector.register(first.line.sock, self._template)
        self._await_fork(first.slot).kept = commands
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Go on with the slots that waited for the process that collects, in the way that is open now."""
        for process in [process for process in self._processes.values() if process.is_waiting]:
            if self._template.state == "ready":
                self._fork(process)
                continue
            commands = process.kept or []
            self._forget(process)
            self.start(process.slot)
            for command in commands:
                self.send(process.slot, command)


def _line() -> tuple[socket.socket, socket.socket | None, Any]:
    """Our end, the end to be inherited (None where that is not possible), and the address that tells the slot of it."""
    if not IS_WINDOWS:
        ours, theirs = socket.socketpair()
        return ours, theirs, theirs.fileno()
    import secrets

    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    return listener, None, [*listener.getsockname()[:2], secrets.token_hex(16)]


def _in_a_group(*inherited: socket.socket | None) -> dict[str, Any]:
    """Arguments of Popen: a process group of its own, which can be ended as a whole, and what it inherits."""
    if IS_WINDOWS:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return {"start_new_session": True, "pass_fds": [sock.fileno() for sock in inherited if sock is not None]}


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
