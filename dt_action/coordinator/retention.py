"""What is kept, for how long and how much of it: everything that grows has an age or a size at which it goes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import journal
from dt_action.coordinator.store import (
    AUDIT,
    BUNDLES,
    ENROLMENTS,
    EVENTS,
    HISTORY,
    INPUTS,
    KEYS,
    LEASES,
    RESULTS,
    RUNS,
    SESSIONS,
    UPLOADS,
    WORKERS,
    Changes,
    rows_of,
)

DAY_S = 86400.0
Do = Callable[[Callable[[Changes], None]], Awaitable[None]]
"""Has the writer write changes."""

SLICE = 2000
"""So many rows go at once: a large run that goes in one piece would let everybody wait for seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """
    How long things are kept, in seconds from when they were of use the last time.

    `runs_s` counts from a run's end. `others_s` is for keys and tokens that are good no more, and for workers that are
    gone. Where the database takes more than `max_database_bytes`, runs go before their time: the oldest one of the
    owner whose runs take the most.
    """

    runs_s: float = 30 * DAY_S
    audit_s: float = 400 * DAY_S
    history_s: float = 180 * DAY_S
    others_s: float = 90 * DAY_S
    max_database_bytes: int = 20 << 30


class Cleaning:
    """Removes what is beyond its time. Runs of which `is_live` is true are in memory, and stay in any case."""

    def __init__(self, engine: sa.Engine, do: Do, retention: Retention, is_live: Callable[[str], bool]) -> None:
        self._engine = engine
        self._do = do
        self._retention = retention
        self._is_live = is_live

    async def clean(self, now: float | None = None) -> None:
        """Once through everything."""
        now = time.time() if now is None else now
        kept = self._retention
        await self._measure()
        runs = await self._forget_runs(
            await self._rows(sa.select(RUNS.c.id).where(RUNS.c.ended_at < now - kept.runs_s))
        )
        runs += await self._make_room()
        await self._do(lambda changes: self._forget_others(changes, now))
        if runs:
            journal.tell("runs removed", count=runs)

    async def _rows(self, statement: sa.Select[Any]) -> Any:
        return await run_in_threadpool(rows_of, self._engine, statement)

    async def _measure(self) -> None:
        """Note of runs that have ended how much they take."""
        unmeasured = sa.select(RUNS.c.id).where(RUNS.c.ended_at.is_not(None), RUNS.c.bytes.is_(None)).limit(1000)
        for row in await self._rows(unmeasured):
            size = sa.select(sa.func.sum(sa.func.length(EVENTS.c.payload))).where(EVENTS.c.run == row.id)
            found = await self._rows(size)
            own = await self._rows(sa.select(sa.func.length(RUNS.c.submission)).where(RUNS.c.id == row.id))
            await self._do(_set_bytes(row.id, int(found[0][0] or 0) + int(own[0][0]) + 1000))

    async def _make_room(self) -> int:
        """Runs go before their time where the database is too large; how many."""
        count = 0
        while await run_in_threadpool(database_bytes, self._engine) > self._retention.max_database_bytes:
            of_owner = sa.select(RUNS.c.owner).where(RUNS.c.ended_at.is_not(None)).group_by(RUNS.c.owner)
            owners = await self._rows(of_owner.order_by(sa.func.sum(RUNS.c.bytes).desc()).limit(1))
            if not owners:
                return count
            oldest = sa.select(RUNS.c.id).where(RUNS.c.owner == owners[0].owner, RUNS.c.ended_at.is_not(None))
            removed = await self._forget_runs(await self._rows(oldest.order_by(RUNS.c.ended_at).limit(1)))
            if not removed:
                return count
            count += removed
        return count

    async def _forget_runs(self, rows: Any) -> int:
        gone = [row.id for row in rows if not self._is_live(row.id)]
        for run in gone:
            for table, number in ((EVENTS, EVENTS.c.seq), (INPUTS, INPUTS.c.seq), (RESULTS, RESULTS.c.event)):
                await self._forget_slices(table, number, run)
            await self._do(_forget_rest(run))
        return len(gone)

    async def _forget_slices(self, table: sa.Table, number: Any, run: str) -> None:
        while True:
            next_one = sa.select(number).where(table.c.run == run).order_by(number).offset(SLICE).limit(1)
            rows = await self._rows(next_one)
            some = table.delete().where(table.c.run == run)
            await self._do(_executing(some.where(number < rows[0][0]) if rows else some))
            if not rows:
                return

    def _forget_others(self, changes: Changes, now: float) -> None:
        kept = self._retention
        long_ago = now - kept.others_s
        changes.execute(SESSIONS.delete().where(SESSIONS.c.expires_at < now))
        changes.execute(AUDIT.delete().where(AUDIT.c.at < now - kept.audit_s))
        changes.execute(WORKERS.delete().where(WORKERS.c.state == "gone", WORKERS.c.seen_at < long_ago))
        changes.execute(BUNDLES.delete().where(BUNDLES.c.used_at < long_ago))
        for table in (KEYS, ENROLMENTS):
            is_over = sa.or_(table.c.revoked_at < long_ago, table.c.expires_at < long_ago)
            changes.execute(table.delete().where(is_over))
        spent = sa.and_(ENROLMENTS.c.uses_left == 0, ENROLMENTS.c.created_at < long_ago)
        changes.execute(ENROLMENTS.delete().where(spent))
        latest = sa.select(HISTORY.c.repository).group_by(HISTORY.c.repository)
        asleep = latest.having(sa.func.max(HISTORY.c.at) < now - kept.history_s)
        changes.execute(HISTORY.delete().where(HISTORY.c.repository.in_(asleep)))


def _set_bytes(run: str, size: int) -> Callable[[Changes], None]:
    return lambda changes: changes.update(RUNS, run, bytes=size)


def _executing(statement: Any) -> Callable[[Changes], None]:
    return lambda changes: changes.execute(statement)


def _forget_rest(run: str) -> Callable[[Changes], None]:
    def forget(changes: Changes) -> None:
        for table in (LEASES, UPLOADS):
            changes.execute(table.delete().where(table.c.run == run))
        changes.execute(RUNS.delete().where(RUNS.c.id == run))

    return forget


def database_bytes(engine: sa.Engine) -> int:
    """What the rows of the database take; of SQLite's file, free pages do not count."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return int(connection.execute(sa.text("select pg_database_size(current_database())")).scalar_one())
        pages, free, size = (
            int(connection.exec_driver_sql(f"pragma {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
