"""The line to a slot: commands go out and events come in, each a JSON object in a line of text."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dt_action.model.slot_protocol import (
    MAX_LINE_BYTES,
    Command,
    FromProcess,
    Garbled,
    ToController,
    command_to_jsonable,
    parse_line,
)


@dataclass(slots=True)
class Line:
    """Our end of a line."""

    sock: socket.socket
    _pending: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.sock.setblocking(False)

    def send(self, command: Command | ToController) -> None:
        """Send a command. Where nobody is at the other end any more, `receive` tells so."""
        with contextlib.suppress(OSError):
            self.sock.setblocking(True)
            self.sock.sendall(json.dumps(command_to_jsonable(command)).encode("ascii") + b"\n")
            self.sock.setblocking(False)

    def receive(self) -> tuple[bytes, bool]:
        """What came since this was asked last, and whether that was the end."""
        pieces: list[bytes] = []
        while True:
            try:
                piece = self.sock.recv(1 << 18)
            except BlockingIOError:
                return b"".join(pieces), False
            except OSError:
                piece = b""
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)

    def messages(self, fresh: bytes) -> Iterator[FromProcess]:
        """The messages that are whole with the bytes that came; a test that found the line may have written to it."""
        self._pending += fresh
        *lines, self._pending = self._pending.split(b"\n")
        yield from map(parse_line, lines)
        if len(self._pending) > MAX_LINE_BYTES:
            self._pending.clear()
            yield Garbled(what=f"expected lines of at most {MAX_LINE_BYTES:,} bytes, found a longer one")


class WakeableSelector:
    """Waits on many lines at once, until another thread calls `wake`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)

    def register(self, file: socket.socket | int, data: Any) -> None:
        """Wait on a file from now on; `ready` gives `data` for it."""
        self._selector.register(file, selectors.EVENT_READ, data)

    def unregister(self, file: socket.socket | int) -> None:
        """Wait on a file no longer, if it is not closed or unregistered already."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(file)

    def ready(self, timeout_s: float) -> list[Any]:
        """What can be read, by its data, waiting at most `timeout_s` for something."""
        ready = [key.data for key, _ in self._selector.select(timeout_s) if key.data is not None]
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        return ready

    def wake(self) -> None:
        """Let a `ready` that waits in another thread return."""
        with contextlib.suppress(OSError):
            self._waker.send(b".")

    def close(self) -> None:
        """Stop waiting. The files are their owners' to close."""
        self._selector.close()
        self._waker.close()
        self._woken.close()
