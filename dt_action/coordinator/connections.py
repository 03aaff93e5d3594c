"""Connections within bounds: how many there are, and how long a peer may take over a head, a body or an answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dt_action.coordinator.protection import SECURITY_HEADERS

_LOG = logging.getLogger("dt.coordinator")

State = Literal["head", "body", "answer", "discard", "idle"]

DESCRIPTORS_KEPT = 256
"""For the database, files, and connections that were accepted and not counted yet (a backlog of `BACKLOG`)."""

BACKLOG = 128
MOST_CONNECTIONS = 8192
SWEEP_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """
    How long a peer may take, in seconds. A connection that takes longer is closed; a slow body is told so first.

    `head_s`: from the first byte of a request to the end of its head. `pause_s`: between two pieces of a body.
    `body_s`: for a body of no bytes; each KiB allows one second more. `write_s`: without taking any of an answer.
    `discard_s`: to end a body that nobody reads, because the request was refused: its sender is to read the answer.
    """

    head_s: float = 20.0
    pause_s: float = 30.0
    body_s: float = 60.0
    write_s: float = 60.0
    discard_s: float = 5.0


MOST_DISCARDED = 64 << 20
"""So much of a body that nobody reads is let by: to close a connection while some of it waits loses the answer."""


@dataclass(slots=True)
class Connections:
    """
    The connections of a server, by what they wait for.

    Where there are too many, one makes way: the one that has waited longest for a request's head, or else for the next
    request. An honest client sends its head at once, so that those who do not are the ones that go.
    """

    most: int = MOST_CONNECTIONS
    timeouts: Timeouts = field(default_factory=Timeouts)
    _by_state: dict[State, dict[Connection, None]] = field(
        default_factory=lambda: {"head": {}, "discard": {}, "idle": {}, "body": {}, "answer": {}}
    )
    _sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._by_state.values()))

    def count(self, state: State) -> int:
        """How many are in this state."""
        return len(self._by_state[state])

    def admit(self, connection: Connection) -> bool:
        """A connection was made; False where there is no room for it."""
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(SWEEP_EVERY_S, self._sweep)
        if len(self) >= self.most or self.count("head") >= self.most // 2:
            oldest = next(self._waiting(), None)
            if oldest is None:
                return False
            oldest.abandon()
        self._by_state["head"][connection] = None
        return True

    def move(self, connection: Connection, before: State, after: State) -> None:
        """The connection waits for something else now."""
        if self._by_state[before].pop(connection, _ABSENT) is not _ABSENT:
            self._by_state[after][connection] = None

    def remove(self, connection: Connection, state: State) -> None:
        """The connection is over."""
        self._by_state[state].pop(connection, None)

    def _waiting(self) -> Iterator[Connection]:
        for state in ("head", "discard", "idle"):
            yield from self._by_state[state]

    def _sweep(self) -> None:
        """Look after all of them at once: a timer for each request would cost more than most requests."""
        now = time.monotonic()
        for state in ("head", "discard", "body", "answer"):
            for connection in [*self._by_state[state]]:
                try:
                    connection.check(now)
                except Exception:  # one connection's trouble must not end the limits of all others
                    _LOG.exception("a connection could not be ended as it should, and is cut")
                    connection.abandon()
        self._sweeper = None
        left = next(itertools.chain.from_iterable(self._by_state.values()), None)
        if left is not None:
            self._sweeper = left.loop.call_later(SWEEP_EVERY_S, self._sweep)


_ABSENT = object()


class Lingering:
    """A transport that is closed for us at once, and for the peer when it has sent what it is about to send."""

    def __init__(self, transport: asyncio.Transport, linger: Callable[[], bool]) -> None:
        self._transport = transport
        self._linger = linger
        self._is_lingering = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """True from the first `close` on."""
        return self._is_lingering or self._transport.is_closing()

    def close(self) -> None:
        """Close it, or where the peer is still sending, say that nothing more follows."""
        if self.is_closing():
            return
        if not self._linger():
            self._transport.close()
            return
        self._is_lingering = True
        try:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._transport.resume_reading()
        except OSError:  # the peer has gone meanwhile
            self._transport.abort()


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 with time limits on every request of a connection. `registry` is set by `protocol_for`."""

    registry: Connections

    _state: State = "head"
    _since = 0.0
    _piece_at = 0.0
    _received = 0
    _discarded = 0
    _blocked_since = 0.0
    _is_admitted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """A connection begins, and with it the wait for its first request."""
        super().connection_made(Lingering(transport, self._may_linger))  # type: ignore[arg-type]  # it passes for one
        self._since = time.monotonic()
        self._is_admitted = self.registry.admit(self)
        if not self._is_admitted:
            self._refuse(503, "the coordinator has as many connections as it can serve; try again in a moment")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self.registry.remove(self, self._state)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        now = self._piece_at = time.monotonic()
        if self.transport.is_closing():
            self._discarded += len(data)
            if self._discarded > MOST_DISCARDED:
                self.abandon()
            return
        if self._state == "idle":
            self._enter("head", now)
        elif self._state == "body":
            self._received += len(data)
        before = self.cycle
        super().data_received(data)
        self._follow(before is not self.cycle, now)

    def on_response_complete(self) -> None:
        """An answer is sent; a pipelined request may begin within this."""
        before = self.cycle
        if self.cycle.more_body:
            self.transport.close()  # refused before it was read
        super().on_response_complete()
        if not self.transport.is_closing():
            self._follow(before is not self.cycle, time.monotonic())

    def eof_received(self) -> None:
        """The peer sends nothing more."""
        if self.transport.is_closing():
            self.transport.abort()

    def _may_linger(self) -> bool:
        """True where a request was answered before its body was here; from then on, its rest is let by."""
        if self.cycle is None or not self.cycle.more_body or not self.cycle.response_complete:
            return False
        self._enter("discard", time.monotonic())
        return True

    def pause_writing(self) -> None:
        """The peer does not take what is sent."""
        self._blocked_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._blocked_since = 0.0
        super().resume_writing()

    def check(self, now: float) -> None:
        """Close the connection where its peer takes too long."""
        limits = self.registry.timeouts
        if self._blocked_since and now - self._blocked_since > limits.write_s:
            self.transport.abort()
        elif now - self._since > {"head": limits.head_s, "discard": limits.discard_s}.get(self._state, math.inf):
            self.abandon()
        elif self._state == "body" and self.flow.read_paused:
            self._piece_at = now  # it is the application that is slow
        elif self._state == "body" and now - self._piece_at > limits.pause_s:
            self._refuse(408, f"nothing more of the body came for {limits.pause_s:g} s")
        elif self._state == "body" and now - self._since > limits.body_s + self._received / 1024:
            self._refuse(408, "the body comes too slowly")

    def abandon(self) -> None:
        """Close the connection without a word."""
        self.registry.remove(self, self._state)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.abort()

    def _follow(self, is_new: bool, now: float) -> None:
        """What the connection waits for, after something happened to it."""
        if self.cycle is None:
            return
        after: State
        if self.cycle.response_complete:
            after = "head" if self.conn.trailing_data[0] else "idle"  # a part of the next head may be here
        else:
            after = "body" if self.cycle.more_body else "answer"
        if after != self._state or is_new:
            self._enter(after, now)

    def _enter(self, state: State, now: float) -> None:
        self.registry.move(self, self._state, state)
        self._state, self._since, self._piece_at = state, now, now
        self._received = self._discarded = 0

    def _refuse(self, status: int, message: str) -> None:
        """Answer instead of the application, unless it has begun to, and close the connection."""
        self.registry.remove(self, self._state)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if (cycle is None or not cycle.response_started) and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": message}).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                (b"retry-after", b"1"),
                *SECURITY_HEADERS,
            ]
            answer: tuple[Any, ...] = (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            for event in answer:
                self.transport.write(self.conn.send(event) or b"")
            if cycle is not None:
                cycle.response_complete = True
        self.transport.close()


def protocol_for(registry: Connections) -> type[Connection]:
    """The protocol of a server whose connections are counted in `registry`."""
    return type("Connection", (Connection,), {"registry": registry})


def most_connections() -> int:
    """How many connections this process can serve; its soft limit of descriptors is raised as far as it may."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + DESCRIPTORS_KEPT
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return (
        MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(64, min(MOST_CONNECTIONS, soft - DESCRIPTORS_KEPT))
    )
