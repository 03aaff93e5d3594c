"""The coordinator put together: database, state, writer, credentials, blobs, and what goes on in the background."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import bundles, journal
from dt_action.coordinator.auth import Caller, Guard, load_secret
from dt_action.coordinator.blobs import Blobs
from dt_action.coordinator.desk import Desk
from dt_action.coordinator.events import Notifier, Pages
from dt_action.coordinator.followers import Followers
from dt_action.coordinator.notes import MAINTENANCE, note_of
from dt_action.coordinator.private import make_private
from dt_action.coordinator.protection import REQUEST_ID, Failures, InFlight
from dt_action.coordinator.pulse import Pulse
from dt_action.coordinator.readiness import Readiness
from dt_action.coordinator.retention import Cleaning, Retention
from dt_action.coordinator.roster import Patience
from dt_action.coordinator.schema import migrate
from dt_action.coordinator.seat import patiently
from dt_action.coordinator.store import (
    RUNS,
    SESSIONS,
    UPLOADS,
    Changes,
    open_engine,
    rows_of,
)
from dt_action.coordinator.writer import Job, RefusalError, UnavailableError, Writer
from dt_action.remote import wire

T = TypeVar("T")

TICK_S = 0.25
NOTE_USES_EVERY_S = 30.0
MOST_IN_FLIGHT = 128
"""So many requests of one client, worker or lease may be under way."""

MOST_STREAMS = 256
"""So many streams of events may one key hold: one for each run that is followed."""

CLEAN_EVERY_S = 600.0
WATCH_EVERY_S = 1.0
BLOB_KEPT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How a coordinator is set up."""

    data: Path
    database: str = ""
    patience: Patience = field(default_factory=Patience)
    retention: Retention = field(default_factory=Retention)
    max_bundle_bytes: int = wire.MAX_BUNDLE_BYTES
    max_blobs_bytes: int = 50 << 30

    @property
    def url(self) -> str:
        """The database; a file in the data directory unless another one is named."""
        return self.database or f"sqlite:///{self.data / 'coordinator.db'}"


class Service:
    """All that a request needs."""

    def __init__(
        self, config: Config, *, oidc: Callable[[str], Awaitable[Caller]] | None = None, most_connections: int = 8192
    ) -> None:
        make_private(config.data)
        secret = load_secret(config.data)
        self.config = config
        self.engine: sa.Engine = open_engine(config.url)
        self.guard = Guard(self.engine, secret, oidc=oidc)
        self.desk = Desk(self.engine, patience=config.patience, lease_token=self.guard.lease_token)
        self.blobs = Blobs(config.data / "blobs", config.max_bundle_bytes, config.max_blobs_bytes)
        self.uploads = Blobs(config.data / "parcels", wire.MAX_COVERAGE_BYTES, config.max_blobs_bytes)
        self.failures = Failures()
        self.refusals = journal.Refusals()
        self.in_flight = InFlight(most=most_connections, most_of_one=MOST_IN_FLIGHT, what="requests")
        self.streams = InFlight(most=most_connections // 2, most_of_one=MOST_STREAMS, what="streams")
        self.readiness = Readiness(config.data, lambda: self.do(_sign_of_life))
        self.writer = Writer(
            self.engine, restore=self.desk.load, delivered=self._delivered, hand_over=self._on_the_loop
        )
        self._cleaning = Cleaning(self.engine, self.do, config.retention, lambda run: run in self.desk.runs)
        self._pulse = Pulse(self.engine, config.data)
        self.followers = Followers()
        self.maintenance = ""
        self.is_ready = False
        self._is_open = False
        self._was_restored = False
        self._notifier: Notifier | None = None
        self._pages: Pages | None = None
        self._reading: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def notifier(self) -> Notifier:
        """The notifier of the event loop that serves. Raises RuntimeError before it does."""
        if self._notifier is None:
            raise RuntimeError("the service is not running")
        return self._notifier

    @property
    def pages(self) -> Pages:
        """The pages of events, shared by those who read them."""
        if self._pages is None:
            raise RuntimeError("the service is not running")
        return self._pages

    @property
    def reading(self) -> asyncio.Semaphore:
        """To be held while a large body is parsed: two at a time bound the memory that this takes."""
        if self._reading is None:
            raise RuntimeError("the service is not running")
        return self._reading

    def open(self) -> None:
        """
        Take the seat at the database, bring the tables up to date, and read the state.

        Raises SeatTakenError where another coordinator is there, and what the database says where it cannot be used.
        """
        if not self._is_open:
            patiently(self.writer.connect)
            migrate(self.engine)
            self._was_restored = self._pulse.lags()
            self.desk.load()
            self._is_open = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open it unless it is, and look after it until the end."""
        self._loop = asyncio.get_running_loop()
        self._notifier = Notifier(self._loop)
        self._pages = Pages(self.engine, self._notifier)
        self._reading = asyncio.Semaphore(2)
        self.open()
        self.writer.start()
        if self._was_restored:
            await self.do(self._end_what_was_restored)
        await self._watch()
        self.is_ready = True
        tasks = [asyncio.create_task(work()) for work in (self._tick, self._clean, self._keep_watching)]
        try:
            yield
        finally:
            self.is_ready = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.to_thread(self.writer.stop)
            self.engine.dispose()

    def expect_no_maintenance(self) -> None:
        """Raise RefusalError where no new runs are taken."""
        if self.maintenance:
            raise RefusalError(
                503,
                f"the coordinator takes no new runs: {self.maintenance}",
                hint="try again later; an operator ends this with: dt coordinator resume",
                retry_after_s=30,
            )

    def let_go(self) -> None:
        """End the streams and polls that wait, so that the process can end. May be called in a signal's handler."""
        if self._notifier is not None:
            self._notifier.close_from_thread()

    async def do(self, job: Job[T]) -> T:
        """Have the writer do a job; the answer is on disk. Who stops waiting for it does not stop the job."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.writer.submit(job, REQUEST_ID.get()).add_done_callback(lambda done: _pass_on(done, answer))
        return await answer

    def _on_the_loop(self, give: Callable[[], None]) -> None:
        """All answers of a group in one go: each waking of the loop from another thread costs both of them time."""
        if self._loop is None:
            raise RuntimeError("the service is not running")
        self._loop.call_soon_threadsafe(give)

    def _delivered(self) -> None:
        workers, runs = self.desk.live.take_changed()
        if (workers or runs) and self._notifier is not None:
            self._notifier.notify_from_thread([*workers, *runs])

    async def _tick(self) -> None:
        noted_at = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            with contextlib.suppress(UnavailableError):
                await self.do(self.desk.tick)
                if time.monotonic() - noted_at > NOTE_USES_EVERY_S:
                    noted_at = time.monotonic()
                    await self.do(self.guard.note_uses)

    def _end_what_was_restored(self, changes: Changes) -> None:
        """Workers and clients are ahead of a database that was restored: what runs cannot be taken up again."""
        changes.audit("coordinator", "database restored", f"{len(self.desk.runs)} runs that were under way end")
        for run in [*self.desk.runs]:
            reason = "the coordinator's database was restored from a backup"
            self.desk.cancel(changes, run, who="coordinator", reason=reason, status="stopped")

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            with contextlib.suppress(UnavailableError, sa.exc.SQLAlchemyError, OSError):
                await self._watch()

    async def _watch(self) -> None:
        """Learn whether an operator's command has begun or ended maintenance, and give a sign of life now and then."""
        note = await run_in_threadpool(note_of, self.engine, MAINTENANCE)
        self.maintenance = note.value if note is not None else ""
        for run, silent_s in self.followers.abandoned([*self.desk.runs.values()]):
            await self.do(partial(_end_abandoned, self.desk, run, silent_s))
        if self._pulse.is_due:
            await self.do(self._pulse.beat)
            await run_in_threadpool(self._pulse.keep)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEAN_EVERY_S)
            try:
                await self._cleaning.clean()
                gone = await asyncio.to_thread(self.collect_garbage)
                await self.do(partial(bundles.forget, gone))
                self.notifier.forget({*self.desk.runs, *self.desk.workers})
            except Exception:
                journal.LOG.exception("cleaning failed; it is tried again later")

    def collect_garbage(self) -> list[str]:
        """Remove the bundles, and the coverage data, that no live run needs; the digests of the bundles."""
        is_live = RUNS.c.ended_at.is_(None)
        live_bundles = rows_of(self.engine, sa.select(RUNS.c.bundle).where(is_live))
        live_uploads = rows_of(
            self.engine, sa.select(UPLOADS.c.digest).join(RUNS, RUNS.c.id == UPLOADS.c.run).where(is_live)
        )
        self.uploads.collect_garbage({row.digest for row in live_uploads}, older_than_s=BLOB_KEPT_S)
        return self.blobs.collect_garbage({row.bundle for row in live_bundles}, older_than_s=BLOB_KEPT_S)


def _end_abandoned(desk: Desk, run: str, silent_s: float, changes: Changes) -> None:
    reason = f"its client was not heard of for {silent_s:.0f} s (see --client-timeout and --detach)"
    desk.cancel(changes, run, who="coordinator", reason=reason)


def _sign_of_life(changes: Changes) -> None:
    """Something that is written, and that nobody reads."""
    changes.execute(SESSIONS.update().where(SESSIONS.c.hash == "").values(expires_at=0.0))


def _pass_on(done: Future[T], answer: asyncio.Future[T]) -> None:
    """On the loop's thread: what the writer answered, to the one who waits for it, unless nobody does any more."""
    if answer.done():
        return
    error = done.exception()
    if error is None:
        answer.set_result(done.result())
    else:
        answer.set_exception(error)
