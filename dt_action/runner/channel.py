"""The line between a process of pytest and its fleet: JSON lines both ways over one socket that no test sees."""

from __future__ import annotations

import functools
import json
import os
import select
import socket
from typing import Any, Dict, List, Optional

Message = Dict[str, Any]

# Tests patch these names (a fake os.write, a frozen json): what the channel needs is taken once, at import.
_getpid = os.getpid
_dumps = json.dumps
_loads = json.loads


class Streams:
    """Standard input and output as if they were a socket; tests get an empty input, and print to standard error."""

    def __init__(self) -> None:
        self._input, self._output = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        os.set_inheritable(self._output, False)
        self._write = os.write
        self.recv = functools.partial(os.read, self._input)

    def fileno(self) -> int:
        """What can be waited for."""
        return self._input

    def setblocking(self, flag: bool) -> None:
        """Pipes block already."""

    def sendall(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[self._write(self._output, view) :]


class Channel:
    """
    Sends events, receives commands. Never inherited by an executed child; silent and deaf in a forked one.

    A test may fork and go on running pytest's code in the child: it would tell its events twice, and read the commands
    that its parent waits for.
    """

    def __init__(self, sock: Any) -> None:
        self._take(sock)

    def adopt(self, sock: Any) -> None:
        """Speak over this socket from now on, in this process, which was forked."""
        self._sock.close()
        self._take(sock)

    def _take(self, sock: Any) -> None:
        sock.setblocking(True)
        os.set_inheritable(sock.fileno(), False)
        self._sock = sock
        self._send = sock.sendall
        self._recv = sock.recv
        self._pid = _getpid()
        self._pending = b""
        self._poll: Any = None
        if hasattr(select, "poll"):  # unlike select(), without the limit of 1024 descriptors
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    @classmethod
    def connect(cls, address: Any) -> Channel:
        """
        Take up the line that `address` tells of.

        It is an inherited descriptor, [host, port, secret] where descriptors cannot be inherited, or "streams" where
        standard input and output are the line (in a container).
        """
        if address == "streams":
            return cls(Streams())
        if isinstance(address, int):
            return cls(socket.socket(fileno=address))
        host, port, secret = address
        sock = socket.create_connection((host, port))
        sock.sendall(secret.encode("ascii") + b"\n")
        return cls(sock)

    def fileno(self) -> int:
        """The descriptor of the line."""
        return int(self._sock.fileno())

    @property
    def is_ours(self) -> bool:
        """False in a child that a test forked."""
        return _getpid() == self._pid

    def send(self, event: str, **fields: Any) -> None:
        """Tell one event, at once: the fleet blames a crash on what was told last."""
        if not self.is_ours:
            return
        line = _dumps({"e": event, **fields}, separators=(",", ":"))
        try:
            self._send(line.encode("ascii", "backslashreplace") + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            os._exit(70)  # the fleet is gone, and nobody is left to tell

    def receive(self) -> Optional[Message]:
        """
        Wait for one command; None when the fleet has hung up.

        A forked child that comes here goes on as if it were its parent: it ends, without a teardown of what is not its
        own.
        """
        if not self.is_ours:
            os._exit(1)
        while b"\n" not in self._pending:
            data = self._recv(65536)
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        command: Message = _loads(line)
        return command

    def waiting(self) -> List[Message]:
        """The commands that have arrived, without waiting."""
        commands = []
        while self.is_ours and (b"\n" in self._pending or self._readable()):
            command = self.receive()
            if command is None:
                break
            commands.append(command)
        return commands

    def _readable(self) -> bool:
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select([self._sock], [], [], 0)[0])
