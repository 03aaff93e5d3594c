"""Whether database, files and secret are sound and fit together, and what putting back a backup would lose."""

from __future__ import annotations

import hashlib
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from dt_action.coordinator.desk import Desk
from dt_action.coordinator.notes import BACKUP, PULSE, note_of
from dt_action.coordinator.roster import Patience
from dt_action.coordinator.schema import found_version, newest_version
from dt_action.coordinator.service import Config
from dt_action.coordinator.store import (
    AUDIT,
    ENROLMENTS,
    EVENTS,
    HISTORY,
    KEYS,
    LEASES,
    RESULTS,
    RUNS,
    UPLOADS,
    WORKERS,
    open_engine,
    rows_of,
)

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    subject: str
    text: str


def findings(engine: sa.Engine, config: Config) -> Iterator[Finding]:
    """Look at everything. Only reads; a coordinator may serve meanwhile."""
    yield from _carefully("tables", _schema(engine))
    yield from _carefully("database", _database(engine))
    yield from _carefully("events", _runs(engine))
    yield from _carefully("leases", _leases(engine))
    yield from _carefully("runs", _replay(engine))
    yield from _carefully("bundles", _blobs(engine, config))
    yield from _files(config)


def _carefully(subject: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """What a look finds; what keeps it from looking is a problem, too."""
    try:
        yield from found
    except (sa.exc.DatabaseError, OSError) as error:
        reason = getattr(error, "orig", None) or error
        yield Finding(level="problem", subject=subject, text=f"they cannot be read: {reason}"[:300])


def _schema(engine: sa.Engine) -> Iterator[Finding]:
    found, newest = found_version(engine), newest_version()
    level: Level = "ok" if found == newest else "problem"
    yield Finding(level=level, subject="tables", text=f"version {found}, this dt has {newest}")


def _database(engine: sa.Engine) -> Iterator[Finding]:
    if engine.dialect.name != "sqlite":
        yield Finding(level="note", subject="database", text="its own tools check its files (pg_amcheck)")
        return
    with engine.connect() as connection:
        told = [row[0] for row in connection.exec_driver_sql("pragma integrity_check(20)")]
    if told == ["ok"]:
        yield Finding(level="ok", subject="database", text="SQLite finds its file sound")
    for trouble in told if told != ["ok"] else ():
        yield Finding(level="problem", subject="database", text=str(trouble)[:300])


def _runs(engine: sa.Engine) -> Iterator[Finding]:
    missing = (
        sa.select(RESULTS.c.run, sa.func.count().label("count"))
        .outerjoin(EVENTS, sa.and_(EVENTS.c.run == RESULTS.c.run, EVENTS.c.seq == RESULTS.c.event))
        .where(EVENTS.c.seq.is_(None))
        .group_by(RESULTS.c.run)
    )
    for row in rows_of(engine, missing):
        yield Finding(level="problem", subject="results", text=f"run {row.run}: {row.count} without their event")
    numbers = sa.select(
        EVENTS.c.run, sa.func.count().label("count"), sa.func.min(EVENTS.c.seq).label("first"),
        sa.func.max(EVENTS.c.seq).label("last"),
    ).group_by(EVENTS.c.run)  # fmt: skip
    gaps = [row.run for row in rows_of(engine, numbers) if row.first != 1 or row.last != row.count]
    for run in gaps:
        yield Finding(level="problem", subject="events", text=f"run {run}: their numbers have gaps")
    orphans = sa.select(sa.func.count()).select_from(EVENTS).where(EVENTS.c.run.not_in(sa.select(RUNS.c.id)))
    count = rows_of(engine, orphans)[0][0]
    if count:
        yield Finding(level="note", subject="events", text=f"{count} of runs that are being removed")
    if not gaps:
        total = rows_of(engine, sa.select(sa.func.count()).select_from(RUNS))[0][0]
        yield Finding(level="ok", subject="events", text=f"{total} runs, each with all of its events")


def _leases(engine: sa.Engine) -> Iterator[Finding]:
    statement = (
        sa.select(LEASES.c.id, RUNS.c.id.label("run"), RUNS.c.ended_at, WORKERS.c.state)
        .outerjoin(RUNS, RUNS.c.id == LEASES.c.run)
        .outerjoin(WORKERS, WORKERS.c.id == LEASES.c.worker)
        .where(LEASES.c.state == "open")
    )
    rows = rows_of(engine, statement)
    lost = [row.id for row in rows if row.run is None or row.state is None]
    for lease in lost[:20]:
        yield Finding(level="problem", subject="leases", text=f"{lease} is open, and its run or worker is not there")
    if not lost:
        yield Finding(level="ok", subject="leases", text=f"{len(rows)} open")


def _replay(engine: sa.Engine) -> Iterator[Finding]:
    """Take up the runs that are under way, as a start does, without changing anything."""
    desk = Desk(engine, patience=Patience(), lease_token=lambda lease: "")
    try:
        desk.load()
    except Exception as error:
        yield Finding(level="problem", subject="runs", text=f"those under way cannot be taken up: {error!r}"[:500])
        return
    for run, why in desk.live.unreadable.items():
        yield Finding(level="problem", subject="runs", text=f"run {run} cannot be taken up: {why}"[:500])
    if not desk.live.unreadable:
        yield Finding(level="ok", subject="runs", text=f"{len(desk.runs)} under way, all of which can be taken up")


def _blobs(engine: sa.Engine, config: Config) -> Iterator[Finding]:
    needed = rows_of(engine, sa.select(RUNS.c.id, RUNS.c.bundle).where(RUNS.c.ended_at.is_(None)))
    for row in needed:
        if not (config.data / "blobs" / row.bundle[:2] / row.bundle).is_file():
            text = f"the bundle of run {row.id}, which is under way, is not there"
            yield Finding(level="problem", subject="bundles", text=text)
    for name, what in (("blobs", "bundles"), ("parcels", "coverage")):
        paths = [path for path in sorted((config.data / name).glob("??/*")) if path.is_file()]
        damaged = [path for path in paths if _digest(path) != path.name]
        for path in damaged:
            yield Finding(level="problem", subject=what, text=f"{path} is not what its name says; remove it")
        if not damaged:
            size = sum(path.stat().st_size for path in paths)
            yield Finding(level="ok", subject=what, text=f"{len(paths)}, {size:,} bytes, each is what its name says")
    kept = {path.name for path in (config.data / "parcels").glob("??/*")}
    gone = sum(row.digest not in kept for row in rows_of(engine, sa.select(UPLOADS.c.digest)))
    if gone:
        yield Finding(level="note", subject="coverage", text=f"of {gone} slots it is gone: it is kept for a day")


def _files(config: Config) -> Iterator[Finding]:
    secret = config.data / "secret"
    try:
        size = secret.stat().st_size
    except OSError as error:
        yield Finding(level="problem", subject="secret", text=f"{secret}: {error.strerror}")
        return
    if size < 32:
        yield Finding(level="problem", subject="secret", text=f"{secret} has {size} bytes; expected 32")
    if sys.platform != "win32":
        for path in (config.data, secret):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                text = f"{path} has mode {mode:04o}: others can read it; chmod go= {path}"
                yield Finding(level="problem", subject="rights", text=text)
                return
    yield Finding(level="ok", subject="rights", text=f"{config.data} and the secret are for this user alone")


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


# --- what a restore would lose ---------------------------------------------------------------------------------------


def losses(engine: sa.Engine, backup: str = "") -> Iterator[Finding]:
    """
    What has happened since the backup was made, and would be lost with it in the place of the database.

    `backup` is the address of a database that holds it; without one, the last `dt coordinator backup` counts.
    """
    if backup:
        other = open_engine(backup)
        try:
            pulse = note_of(other, PULSE)
            latest = rows_of(other, sa.select(sa.func.max(AUDIT.c.at)))[0][0]
            since = max(filter(None, (pulse.at if pulse is not None else 0.0, latest, 0.0)), default=0.0)
        finally:
            other.dispose()
    else:
        note = note_of(engine, BACKUP)
        if note is None:
            text = "none was made with `dt coordinator backup`; everything would be lost"
            yield Finding(level="note", subject="backup", text=text)
            return
        since = note.at
    at = datetime.fromtimestamp(since, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    age_min = (time.time() - since) / 60
    yield Finding(level="note", subject="backup", text=f"it holds what was there at {at}, {age_min:.0f} min ago")
    yield from _since(engine, since)
    yield Finding(
        level="note", subject="backup", text="bundles and coverage data are in no backup; clients send bundles again"
    )


def _since(engine: sa.Engine, since: float) -> Iterator[Finding]:
    counted: list[tuple[str, Any, Any]] = [
        ("runs", RUNS, RUNS.c.created_at),
        ("results of tests", RESULTS, RESULTS.c.started_at),
        ("keys", KEYS, KEYS.c.created_at),
        ("enrolment tokens", ENROLMENTS, ENROLMENTS.c.created_at),
        ("workers", WORKERS, WORKERS.c.enrolled_at),
        ("records of histories", HISTORY, HISTORY.c.at),
        ("entries of the audit", AUDIT, AUDIT.c.at),
    ]
    lost = []
    for what, table, at in counted:
        count = rows_of(engine, sa.select(sa.func.count()).select_from(table).where(at > since))[0][0]
        if count:
            lost.append(f"{count} {what}")
    yield Finding(level="note", subject="restore", text=f"it would lose {', '.join(lost) or 'nothing'}")
    for table, what in ((KEYS, "key"), (ENROLMENTS, "enrolment token")):
        revoked = sa.select(table.c.id, table.c.name).where(table.c.revoked_at > since, table.c.created_at <= since)
        for row in rows_of(engine, revoked):
            text = f"the {what} {row.name} ({row.id}), revoked since then, would be good again: revoke it anew"
            yield Finding(level="note", subject="restore", text=text)
    ended = sa.select(sa.func.count()).select_from(RUNS).where(RUNS.c.created_at <= since)
    still = rows_of(engine, ended.where(sa.or_(RUNS.c.ended_at > since, RUNS.c.ended_at.is_(None))))[0][0]
    if still:
        text = f"{still} runs were under way then; a coordinator that starts with the backup ends them as stopped"
        yield Finding(level="note", subject="restore", text=text)
