"""
Collect once, fork the slots: a process that has imported and collected everything makes a slot in milliseconds.

Only where nothing is there that does not survive a fork, or that belongs to one slot (`why_not`).
"""

from __future__ import annotations

import array
import os
import random
import select
import signal
import socket
import stat
import sys
import tempfile
import threading
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .channel import Channel
from .fork_watch import SLOT_VARIABLE, Watch

UNSAFE_MODULES = ("grpc", "gevent.monkey", "eventlet", "pyspark", "rpy2", "jnius", "jpype", "kivy", "objc")
"""Libraries that are known to hold threads, locks or machines of their own that do not survive a fork."""

DEVICE_FILES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/", "/dev/accel", "/dev/davinci", "/dev/hl")
"""A process that holds one of these has begun to use a device, and its driver's state is its own alone."""


def why_not(watch: Watch, own_files: "set[int]", session: Any) -> str:
    """Why this process must not be forked; empty where it may."""
    if watch.found or watch.left:
        return watch.found or watch.left
    with open("/proc/self/task/%d/children" % threading.get_native_id(), encoding="ascii") as file:
        if file.read().strip():
            return "it has started a process"
    unsafe = [name for name in UNSAFE_MODULES if name in sys.modules]
    if unsafe:
        return "%s does not survive a fork" % unsafe[0]
    if getattr(getattr(session.config, "_tmp_path_factory", None), "_basetemp", None) is not None:
        return "a temporary folder of the slot is in use"
    reasons = map(_why_not_with, _open_files(own_files))
    return next((reason for reason in reasons if reason), "") or _why_not_mapped() or _why_not_threads()


def _why_not_threads() -> str:
    """
    Threads would be missing in the slots. A library that is made for forks ends its own before one, and starts them
    again when it needs them (OpenBLAS, which numpy loads, does): a fork that does nothing shows which are left.
    """
    if threading.active_count() > 1:
        names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        return "the thread %s runs" % names[0]
    if len(os.listdir("/proc/self/task")) == 1:
        return ""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    count = len(os.listdir("/proc/self/task"))
    return "%d threads of a library run" % (count - 1) if count > 1 else ""


def _open_files(own: "set[int]") -> Iterator[Tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor in own:
            continue
        try:
            yield descriptor, os.readlink("/proc/self/fd/" + name)
        except OSError:  # the folder's own descriptor
            continue


def _why_not_with(opened: Tuple[int, str]) -> str:
    descriptor, target = opened
    if target.startswith(("socket:", "anon_inode:", "pipe:")) and descriptor > 2:
        return "%s is open" % target
    if target.startswith(DEVICE_FILES):
        return "%s is open" % target
    try:
        status = os.fstat(descriptor)
    except OSError:
        return ""
    log = os.fstat(2)
    is_log = (status.st_dev, status.st_ino) == (log.st_dev, log.st_ino)
    if is_log or not stat.S_ISREG(status.st_mode) or target.endswith(" (deleted)"):
        return ""
    with open("/proc/self/fdinfo/%d" % descriptor, encoding="ascii") as file:
        flags = int(file.read().split("flags:", 1)[1].split()[0], 8)
    return "%s is open for writing" % target if flags & (os.O_WRONLY | os.O_RDWR) else ""


def _why_not_mapped() -> str:
    """Devices, and memory that several processes would share."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split(None, 5)
            target = fields[5].strip() if len(fields) == 6 else ""
            is_shared = "s" in fields[1] and "w" in fields[1]
            if target.startswith(DEVICE_FILES) or is_shared:
                return "%s is mapped" % (target or "shared memory")
    return ""


def serve(channel: Channel, control: socket.socket) -> Dict[str, Any]:
    """
    Fork a slot for each command, until the fleet has hung up: then the process ends without having been a slot.

    Returns in each slot only, what the command says of it. Exit codes of slots are told as they end: nobody but their
    parent can know them.
    """
    children: Dict[int, str] = {}
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    previous = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(control.fileno(), select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
            _tell_exits(channel, children)
        if control.fileno() not in ready:
            continue
        command, files = _receive(control)
        if command is None:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(previous)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (woken, waker):
                os.close(descriptor)
            control.close()
            return {**command, "files": files}
        for descriptor in files:
            os.close(descriptor)
        children[pid] = command["slot"]
        channel.send("forked", slot=command["slot"], pid=pid)


def become(channel: Channel, session: Any, told: Dict[str, Any], watch: Watch) -> None:
    """In the child: be the slot that the command names, as if it had been started as that."""
    line, log = told["files"]
    os.setsid()
    slot = told["slot"]
    watch.stop()
    os.environ[SLOT_VARIABLE] = slot
    session.config.workerinput = {**session.config.workerinput, "workerid": slot}
    _replace_log(log)
    _replace_captured()
    _reseed(watch)
    option, factory = session.config.option, getattr(session.config, "_tmp_path_factory", None)
    basetemp = getattr(option, "basetemp", None)
    if basetemp and factory is not None:
        option.basetemp = os.path.join(os.path.dirname(basetemp), slot)
        factory._given_basetemp = type(factory._given_basetemp)(option.basetemp)
    channel.adopt(socket.socket(fileno=line))


def _replace_log(log: int) -> None:
    """Whatever wrote to the first process's log, such as faulthandler's own descriptor, writes to the slot's."""
    old = os.fstat(2)
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            found = os.fstat(descriptor)
        except OSError:
            continue
        if descriptor != log and (found.st_dev, found.st_ino) == (old.st_dev, old.st_ino):
            os.dup2(log, descriptor, inheritable=descriptor <= 2)
    os.close(log)


def _replace_captured() -> None:
    """pytest captures into temporary files: one that two processes share would mix what they print."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            target = os.readlink("/proc/self/fd/" + name)
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        except OSError:
            continue
        if is_file and target.endswith(" (deleted)"):
            with tempfile.TemporaryFile(buffering=0) as fresh:
                os.dup2(fresh.fileno(), descriptor, inheritable=False)


def _reseed(watch: Watch) -> None:
    """A process that is started anew has random numbers of its own, where the project has not said which."""
    if not watch.seeds_random:
        random.seed()
    numpy: Any = sys.modules.get("numpy.random.mtrand")
    generator = getattr(getattr(numpy, "_rand", None), "_bit_generator", None)
    if getattr(generator, "_seed_seq", None) is not None or getattr(generator, "seed_seq", None) is not None:
        numpy.seed()  # as it was at import, without a number


def _receive(control: socket.socket) -> Tuple[Optional[Dict[str, Any]], List[int]]:
    """A command and the descriptors that came with it; None where the fleet has hung up."""
    import json

    size = array.array("i").itemsize
    data, ancillary, _, _ = control.recvmsg(65536, socket.CMSG_LEN(2 * size))
    if not data:
        return None, []
    files = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(content[: len(content) - len(content) % size])
    command: Dict[str, Any] = json.loads(data)
    return command, list(files)


def _tell_exits(channel: Channel, children: Dict[int, str]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in children:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            channel.send("exited", slot=children.pop(pid), code=code)
