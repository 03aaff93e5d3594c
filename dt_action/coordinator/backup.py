"""A copy of the SQLite database while it is in use, and a copy put in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from dt_action.coordinator.administration import change
from dt_action.coordinator.notes import BACKUP, set_note
from dt_action.coordinator.private import keep_private, make_private
from dt_action.coordinator.schema import newest_version
from dt_action.coordinator.seat import Seat
from dt_action.coordinator.service import Config
from dt_action.coordinator.store import open_engine
from dt_action.errors import ConfigurationError


def back_up(config: Config, target: Path) -> tuple[Path, Path]:
    """
    Write the database to `target` and the secret beside it; both paths. What was there before is replaced at the end.

    Raises ConfigurationError where the database is not SQLite, or the target cannot be written.
    """
    _expect_sqlite(config, "pg_dump")
    draft, secret = target.with_name(f"{target.name}.new"), target.with_name(f"{target.name}.secret")
    keep_private()
    try:
        draft.unlink(missing_ok=True)
        with _connected(config.data / "coordinator.db") as source, _connected(draft) as copy:
            source.backup(copy)
        _expect_sound(draft)
        os.replace(draft, target)  # noqa: PTH105 - over one that is there, on Windows, too
        shutil.copyfile(config.data / "secret", secret)
        secret.chmod(0o600)
    except (OSError, sqlite3.Error) as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(f"the backup {target} cannot be written: {error}") from error
    change(config, lambda _, changes: set_note(changes, BACKUP, str(target.resolve())))
    return target, secret


def restore(config: Config, source: Path) -> list[str]:
    """
    Put a backup in the place of the database, which is kept beside it; what was done, in words.

    Raises ConfigurationError where a coordinator serves the database, or the backup is not one that this dt can use.
    """
    _expect_sqlite(config, "pg_restore")
    if not source.is_file():
        raise ConfigurationError(f"there is no backup {source}")
    _expect_sound(source)
    keep_private()
    make_private(config.data)
    engine = open_engine(config.url)
    seat = Seat(engine)
    seat.take(cast("Any", None))  # for SQLite a file is locked; the database itself may be beyond opening
    told = []
    try:
        database, stamp = config.data / "coordinator.db", f"{datetime.now(tz=timezone.utc):%Y%m%dT%H%M%SZ}"
        draft = config.data / "coordinator.db.new"
        shutil.copyfile(source, draft)
        for suffix in ("", "-wal", "-shm"):
            old = config.data / f"coordinator.db{suffix}"
            if old.exists():
                old.rename(config.data / f"coordinator.db{suffix}.before-{stamp}")
        if (config.data / f"coordinator.db.before-{stamp}").exists():
            told.append(f"the database of before is kept as {config.data / f'coordinator.db.before-{stamp}'}")
        draft.rename(database)
        told.append(f"{database} is what {source} holds")
        told += _secret(config, source, stamp)
    except OSError as error:
        raise ConfigurationError(f"the backup {source} cannot be put in place: {error}") from error
    finally:
        seat.leave()
        engine.dispose()
    told.append("start the coordinator; runs that were under way when the backup was made end as stopped")
    return told


def _secret(config: Config, source: Path, stamp: str) -> Iterator[str]:
    beside, here = source.with_name(f"{source.name}.secret"), config.data / "secret"
    if not beside.is_file():
        yield f"there is no {beside.name}: the secret in {config.data} stays, and workers may have to enrol anew"
        return
    if here.is_file() and here.read_bytes() == beside.read_bytes():
        return
    if here.exists():
        here.rename(config.data / f"secret.before-{stamp}")
    shutil.copyfile(beside, here)
    here.chmod(0o600)
    yield f"{here} is the one that was backed up"


def _expect_sqlite(config: Config, tool: str) -> None:
    if config.database and not config.database.startswith("sqlite"):
        raise ConfigurationError(
            "the database is not in the data directory",
            hint=f"use its own tools, such as {tool}; and keep a copy of the file {config.data / 'secret'}",
        )


def _expect_sound(path: Path) -> None:
    """Raise ConfigurationError where the file is no whole database of a coordinator, or one of a newer dt."""
    try:
        with _connected(path) as connection:
            ((told,),) = connection.execute("pragma integrity_check(1)").fetchall()
            ((version,),) = connection.execute("select version_num from alembic_version").fetchall()
    except (sqlite3.Error, ValueError) as error:
        raise ConfigurationError(f"{path} is no backup of a coordinator: {error}") from None
    if told != "ok":
        raise ConfigurationError(f"the backup {path} is damaged: {told}")
    if version > newest_version():
        raise ConfigurationError(
            f"the backup {path} was made by a newer dt: its tables have version {version}",
            hint="install that version first",
        )


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=30.0)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()
