"""Whose bundle is whose: only who has sent one may run it, and nobody keeps more than their share."""

from __future__ import annotations

import time
from typing import Protocol

import sqlalchemy as sa

from dt_action.coordinator.auth import Caller
from dt_action.coordinator.blobs import Blobs
from dt_action.coordinator.store import BUNDLES, RUNS, Changes, rows_of
from dt_action.coordinator.writer import RefusalError

SHARE = 0.25
"""Of the space for all bundles, a key may have this much unless it was made with another limit."""


class Keeper(Protocol):
    """Where bundles are: their rows, and their contents."""

    @property
    def engine(self) -> sa.Engine:
        """The database."""

    @property
    def blobs(self) -> Blobs:
        """The bundles themselves, by digest."""


def holds(keeper: Keeper, caller: Caller, digest: str) -> bool:
    """True where the caller has sent this bundle, and it is still here. Knowing a digest is no right to its content."""
    mine = sa.select(BUNDLES.c.digest).where(BUNDLES.c.owner == caller.name, BUNDLES.c.digest == digest)
    return bool(rows_of(keeper.engine, mine)) and keeper.blobs.has(digest)


def share_of(keeper: Keeper, caller: Caller) -> int:
    """How many bytes of bundles the caller may keep."""
    return caller.quota.max_storage_bytes or int(keeper.blobs.max_total_bytes * SHARE)


def check_share(keeper: Keeper, caller: Caller, size: int) -> None:
    """Raise RefusalError where one bundle of so many bytes is more than the caller may keep at all."""
    share = share_of(keeper, caller)
    if size > share:
        raise RefusalError(
            507, f"a bundle of {size:,} bytes is more than this key may keep, {share:,}", hint="ask for more storage"
        )


def keep(keeper: Keeper, changes: Changes, caller: Caller, digest: str, size: int) -> list[str]:
    """
    Note that the caller has sent a bundle; its oldest ones that no run needs make room for it.

    Gives the digests that nobody holds any more. Raises RefusalError where all that the caller has is needed.
    """
    engine = keeper.engine
    rows = rows_of(engine, sa.select(BUNDLES).where(BUNDLES.c.owner == caller.name).order_by(BUNDLES.c.used_at))
    needed = _needed(keeper)
    others = [row for row in rows if row.digest != digest]
    over = sum(row.bytes for row in others) + size - share_of(keeper, caller)
    dropped = []
    for row in others:
        if over > 0 and row.digest not in needed:
            dropped.append(row.digest)
            over -= row.bytes
    if over > 0:
        raise RefusalError(
            507, "the runs that are under way need all the storage that this key may have", retry_after_s=30
        )
    for gone in dropped:
        changes.execute(BUNDLES.delete().where(BUNDLES.c.owner == caller.name, BUNDLES.c.digest == gone))
    changes.execute(BUNDLES.delete().where(BUNDLES.c.owner == caller.name, BUNDLES.c.digest == digest))
    changes.insert(BUNDLES, owner=caller.name, digest=digest, bytes=size, used_at=time.time())
    held = sa.select(BUNDLES.c.digest).where(BUNDLES.c.digest.in_(dropped), BUNDLES.c.owner != caller.name)
    return sorted({*dropped} - {row.digest for row in rows_of(engine, held)})


def forget(gone: list[str], changes: Changes) -> None:
    """Nobody holds these any more: they were removed."""
    for begin in range(0, len(gone), 500):
        changes.execute(BUNDLES.delete().where(BUNDLES.c.digest.in_(gone[begin : begin + 500])))


def _needed(keeper: Keeper) -> set[str]:
    return {row.bundle for row in rows_of(keeper.engine, sa.select(RUNS.c.bundle).where(RUNS.c.ended_at.is_(None)))}
