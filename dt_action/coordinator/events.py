"""Waiting for what is new, and the stream of a run's events: from any number on, at the reader's pace."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.store import EVENTS, RUNS
from dt_action.remote import wire

KEEP_ALIVE_S = 4.0


class Notifier:
    """
    Wakes those who wait for a key. Ask `count` first, then look, then `wait` for a count above it, so that no
    notification is missed.

    All of it on the event loop's thread; `notify_from_thread` is for the others.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self.is_closed = False

    def count(self, key: str) -> int:
        """How often those who wait for the key were notified."""
        return self._counts.get(key, 0)

    def forget(self, known: Collection[str]) -> None:
        """Drop the counts of keys that are not `known` (any more) and that nobody waits for."""
        for key in [key for key in self._counts if key not in known and key not in self._waiting]:
            del self._counts[key]

    def notify(self, keys: Iterable[str]) -> None:
        """Wake all who wait for one of the keys."""
        for key in keys:
            self._counts[key] += 1
            for future in self._waiting.pop(key, ()):
                if not future.done():
                    future.set_result(None)

    def close(self) -> None:
        """Wake all who wait, and let nobody wait any more: the process is about to end."""
        self.is_closed = True
        self.notify([*self._waiting])

    def notify_from_thread(self, keys: Iterable[str]) -> None:
        """`notify`, from another thread."""
        self._loop.call_soon_threadsafe(self.notify, [*keys])

    def close_from_thread(self) -> None:
        """`close`, from another thread or a signal's handler."""
        self._loop.call_soon_threadsafe(self.close)

    async def wait(self, key: str, count: int, timeout_s: float) -> None:
        """Wait until there were more than `count` notifications, at most `timeout_s`."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some events of a run: number, kind, JSON. `is_last` tells that the run is over and none follows."""

    events: tuple[tuple[int, str, str], ...]
    is_last: bool

    @property
    def as_json(self) -> str:
        """A list of `{"id": number, "event": ...}`."""
        return "[" + ",".join(f'{{"id":{seq},"event":{payload}}}' for seq, _, payload in self.events) + "]"


MOST_PAGE_BYTES = 8 << 20
"""A page ends early where its events are so large: one may hold all that a test has printed."""

SHARED_BYTES = 256 << 10
MOST_SHARED = 64


class Pages:
    """
    Reads pages of events. Those who want the same page at the same time share it, so that a thousand streams of one
    run cost the database as much as one. All of it on the event loop's thread.
    """

    def __init__(self, engine: sa.Engine, notifier: Notifier) -> None:
        self._engine = engine
        self._notifier = notifier
        self._shared: OrderedDict[tuple[str, int, int], asyncio.Future[tuple[Page, bytes]]] = OrderedDict()

    async def after(self, run: str, after: int) -> Page:
        """The events of a run after number `after`."""
        return (await self.both_after(run, after))[0]

    async def both_after(self, run: str, after: int) -> tuple[Page, bytes]:
        """The same, and how it stands in a stream of server-sent events."""
        key = run, after, self._notifier.count(run)  # without a notification nothing has come after it
        found = self._shared.get(key)
        if found is None:
            found = self._shared[key] = asyncio.ensure_future(run_in_threadpool(self._read, run, after))
            found.add_done_callback(lambda done: self._settle(key, done))
        return await asyncio.shield(found)

    def _settle(self, key: tuple[str, int, int], done: asyncio.Future[tuple[Page, bytes]]) -> None:
        if done.cancelled() or done.exception() is not None or len(done.result()[1]) > SHARED_BYTES:
            self._shared.pop(key, None)
        while len(self._shared) > MOST_SHARED:
            self._shared.popitem(last=False)

    def _end_again(self, connection: sa.Connection, run: str, after: int) -> list[tuple[int, str, str]]:
        """
        The end of a run for someone who asks for what follows it, with the next number.

        Where the database was restored from a backup, a client may have seen more than there is now: whatever number it
        has reached, it learns that its run is over.
        """
        chosen = sa.select(EVENTS.c.payload).where(EVENTS.c.run == run, EVENTS.c.kind == "Ended")
        row = connection.execute(chosen.order_by(EVENTS.c.seq.desc()).limit(1)).first()
        return [] if row is None else [(after + 1, "Ended", row.payload)]

    def _read(self, run: str, after: int) -> tuple[Page, bytes]:
        is_over = sa.select(RUNS.c.id).where(RUNS.c.id == run, RUNS.c.ended_at.is_not(None))
        statement = (
            sa.select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.payload)
            .where(EVENTS.c.run == run, EVENTS.c.seq > after)
            .order_by(EVENTS.c.seq)
            .limit(wire.MAX_EVENTS)
        )
        found, size = [], 0
        with self._engine.connect() as connection:
            ended = connection.execute(is_over).first() is not None  # first, so that nothing can follow what is read
            for row in connection.execution_options(stream_results=True, max_row_buffer=16).execute(statement):
                found.append((row.seq, row.kind, row.payload))
                size += len(row.payload)
                if size > MOST_PAGE_BYTES:
                    break
            if ended and not found:
                found = self._end_again(connection, run, after)
        is_last = ended and len(found) < wire.MAX_EVENTS and size <= MOST_PAGE_BYTES
        page = Page(events=tuple(found), is_last=is_last)
        return page, "".join(f"id: {seq}\ndata: {payload}\n\n" for seq, _, payload in found).encode()


async def stream(pages: Pages, notifier: Notifier, run: str, after: int) -> AsyncIterator[bytes]:
    """
    A run's events as server-sent events, the number of each as its id, until its end or the end of this process.

    A page is read when the one before was taken, so that a slow reader costs nothing but its connection.
    """
    yield b": hello\n\n"
    seen = -1
    while not notifier.is_closed:
        count = notifier.count(run)
        if count != seen:
            page, text = await pages.both_after(run, after)
            if text:
                yield text
                after = page.events[-1][0]
            else:
                seen = count
            if page.is_last or any(kind == "Ended" for _, kind, _ in page.events):
                return
            continue
        await notifier.wait(run, count, KEEP_ALIVE_S)
        if notifier.count(run) == count:
            yield b": still here\n\n"


SIGNALS_APART_S = 0.5


async def signals(notifier: Notifier, run: str) -> AsyncIterator[bytes]:
    """A server-sent event whenever there is something new of a run, at most every `SIGNALS_APART_S`, without what."""
    yield b": hello\n\n"
    while not notifier.is_closed:
        count = notifier.count(run)
        await notifier.wait(run, count, KEEP_ALIVE_S)
        if notifier.count(run) == count:
            yield b": still here\n\n"
        else:
            yield b"data: new\n\n"
            await asyncio.sleep(SIGNALS_APART_S)
