"""Waiting for what is new, and the stream of a run's events: from any number on, at the reader's pace."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.store import EVENTS, rows_of
from dt_action.remote import wire

KEEP_ALIVE_S = 4.0


class Bells:
    """
    Rings for keys. Ask `count` first, then look, then `wait` for a count above it: no ring falls in between.

    All of it on the event loop's thread; `ring_from_outside` is for the others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.is_closed = False

    def count(self, key: str) -> int:
        """How often the bell rang."""
        return self._counts.get(key, 0)

    def ring(self, keys: Iterable[str]) -> None:
        """Wake all who wait for one of the keys."""
        for key in keys:
            self._counts[key] += 1
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    def close(self) -> None:
        """Wake all who wait, and let nobody wait any more: the process is about to end."""
        self.is_closed = True
        self.ring([*self._waiting])

    def ring_from_outside(self, keys: Iterable[str]) -> None:
        """`ring`, from another thread."""
        self._loop.call_soon_threadsafe(self.ring, [*keys])

    def close_from_outside(self) -> None:
        """`close`, from another thread or a signal's handler."""
        self._loop.call_soon_threadsafe(self.close)

    async def wait(self, key: str, count: int, timeout_s: float) -> None:
        """Wait until the bell has rung more than `count` times, at most `timeout_s`."""
        if self.count(key) > count or timeout_s <= 0 or self.is_closed:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(key, set()).add(future)
        try:
            await asyncio.wait_for(future, timeout_s)
        except asyncio.TimeoutError:
            return
        finally:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[key]


def page_of_events(engine: sa.Engine, run: str, after: int, most: int = wire.MAX_EVENTS) -> Sequence[sa.Row[Any]]:
    """The next events of a run after number `after`: seq, kind, at, payload."""
    statement = (
        sa.select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.at, EVENTS.c.payload)
        .where(EVENTS.c.run == run, EVENTS.c.seq > after)
        .order_by(EVENTS.c.seq)
        .limit(most)
    )
    return rows_of(engine, statement)


async def stream(engine: sa.Engine, bells: Bells, run: str, after: int) -> AsyncIterator[bytes]:
    """
    A run's events as server-sent events, the number of each as its id, until `Ended` or the end of this process.

    A page is read when the one before was taken, so that a slow reader costs nothing but its connection.
    """
    yield b": hello\n\n"
    while not bells.is_closed:
        count = bells.count(run)
        rows = await run_in_threadpool(page_of_events, engine, run, after)
        if rows:
            yield "".join(f"id: {row.seq}\ndata: {row.payload}\n\n" for row in rows).encode()
            after = rows[-1].seq
            if any(row.kind == "Ended" for row in rows):
                return
            continue
        await bells.wait(run, count, KEEP_ALIVE_S)
        if bells.count(run) == count:
            yield b": still here\n\n"
