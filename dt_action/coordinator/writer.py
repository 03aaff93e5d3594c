"""The one thread that changes state: what waits is done together, written in one transaction, and answered after it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar, cast

import sqlalchemy as sa

from dt_action.coordinator import journal
from dt_action.coordinator.seat import Seat
from dt_action.coordinator.store import Changes

T = TypeVar("T")
Job = Callable[[Changes], T]
"""Works out an answer from the state in memory, and gathers what it changes. It refuses before it changes anything."""

_Waiting: TypeAlias = tuple[Job[Any], Future[Any], str]
"""A job, where its answer goes, and the id of the request that it is done for."""

MOST_TOGETHER = 256


class UnavailableError(Exception):
    """The answer could not be written down, so it was not given; the caller may ask again."""


class Writer:
    """
    Does jobs one after the other. An answer is given only when its changes are in the database.

    When a transaction fails, memory may be ahead of the database: `restore` is called to read it anew, and every
    caller of the group is told to ask again. `delivered` is called after each group that was written. The answers of
    a group are given together, by a function that is passed to `hand_over`: a loop's `call_soon_threadsafe`, say. The
    connection holds the `seat`, so that no two writers work on one database.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        restore: Callable[[], None],
        delivered: Callable[[], None],
        hand_over: Callable[[Callable[[], None]], object] = lambda give: give(),
        seat: Seat | None = None,
    ) -> None:
        self._engine = engine
        self._seat = seat or Seat(engine)
        self._restore = restore
        self._delivered = delivered
        self._hand_over = hand_over
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="dt-writer", daemon=True)
        self._behind_since: float | None = None
        self._connection: sa.Connection | None = None

    def connect(self) -> sa.Connection:
        """The connection that writes, with the seat taken. Raises SeatTakenError, or what the database says."""
        if self._connection is None:
            connection = self._engine.connect()
            try:
                self._seat.take(connection)
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, and end."""
        self._jobs.put(None)
        self._thread.join(timeout=30)

    def submit(self, job: Job[T], request: str = "") -> Future[T]:
        """Have `job` done for a request. Raises, through the future, what the job raises, or UnavailableError."""
        future: Future[T] = Future()
        self._jobs.put((cast("Job[Any]", job), cast("Future[Any]", future), request))
        return future

    def _work(self) -> None:
        while True:
            group = self._next_group()
            if group:
                self._do(group)
            if group is None or self._closing:
                break
        if self._connection is not None:
            self._connection.close()
        self._seat.leave()

    _closing = False

    def _next_group(self) -> list[_Waiting] | None:
        first = self._jobs.get()
        if first is None:
            return None
        group = [first]
        while len(group) < MOST_TOGETHER:
            try:
                following = self._jobs.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._closing = True
                break
            group.append(following)
        return group

    def _do(self, group: list[_Waiting]) -> None:
        changes = Changes()
        answers: dict[Future[Any], Any] = {}
        refused: dict[Future[Any], Exception] = {}
        try:
            connection = self.connect()
            if self._behind_since is not None:
                self._catch_up(connection, time.monotonic() - self._behind_since)
            for job, future, changes.request in group:
                try:
                    answers[future] = job(changes)
                except RefusalError as refusal:
                    refused[future] = refusal
                except Exception as bug:
                    refused[future] = BugError(str(bug))
                    raise
            if changes.rows or changes.updates or changes.statements:
                with connection.begin():
                    changes.write(connection)
        except Exception as error:
            self._fall_behind(error)
            if isinstance(error, sa.exc.SQLAlchemyError):
                self._drop_connection()
            answers.clear()
            unavailable = UnavailableError(str(error))
            refused = {future: refused.get(future, unavailable) for _, future, _ in group}
            changes.noted.clear()
        self._hand_over(lambda: _give(answers, refused))
        if self._behind_since is None:
            self._delivered()
        for note in changes.noted:
            journal.tell(note.what, request=note.request, **note.about)

    def _fall_behind(self, error: Exception) -> None:
        """Memory is not to be trusted until it was read anew. It is said once: a full disk has no room for more."""
        if self._behind_since is None:
            self._behind_since = time.monotonic()
            journal.LOG.error(
                "a change failed or could not be written; until it can be, the answer is 503", exc_info=error
            )

    def _catch_up(self, connection: sa.Connection, away_s: float) -> None:
        """Write something first: a disk that is full can still be read, and reading everything takes long."""
        changes = Changes()
        changes.audit("coordinator", "database written again", f"after {away_s:.1f} s")
        with connection.begin():
            changes.write(connection)
        self._restore()
        self._behind_since = None
        journal.LOG.warning("the database can be written again, after %.1f s", away_s)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            try:
                self._connection.invalidate()
                self._connection.close()
            except Exception:
                journal.LOG.debug("the connection is beyond closing", exc_info=True)
            self._connection = None


def _give(answers: Mapping[Future[Any], Any], refused: Mapping[Future[Any], Exception]) -> None:
    for future, answer in answers.items():
        future.set_result(answer)
    for future, reason in refused.items():
        future.set_exception(reason)


class BugError(Exception):
    """Working out the answer failed; asking again will hardly help."""


class RefusalError(Exception):
    """
    A request that is refused, with HTTP's status, and what to do about it. Raised before anything was changed.

    `is_suspicious` marks a credential that nobody was ever given: a forged or mistyped one, not one that has expired.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        retry_after_s: float | None = None,
        is_suspicious: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s
        self.is_suspicious = is_suspicious
