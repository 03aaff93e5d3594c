"""What a coordinator knows over its restarts, by name: that it is in maintenance, its pulse, its last backup."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from dt_action.coordinator.store import NOTES, Changes, rows_of, storable

MAINTENANCE = "maintenance"
"""Why nothing new is taken; there only while that is so."""

PULSE = "pulse"
"""A number that only grows, here and in the data directory: a database that lags behind was restored."""

BACKUP = "backup"
"""The file that the last backup was written to, and when that was."""


def note_of(engine: sa.Engine, name: str) -> Any:
    """The row of a note, with `value` and `at` (Unix time); None where there is none."""
    rows = rows_of(engine, sa.select(NOTES).where(NOTES.c.name == name))
    return rows[0] if rows else None


def set_note(changes: Changes, name: str, value: str) -> None:
    """Keep a value under a name."""
    drop_note(changes, name)
    changes.insert(NOTES, name=name, value=storable(value, 2000), at=time.time())


def drop_note(changes: Changes, name: str) -> None:
    """Keep nothing under a name."""
    changes.execute(NOTES.delete().where(NOTES.c.name == name))


def begin_maintenance(changes: Changes, reason: str, *, who: str) -> None:
    """Finish what runs, and take nothing new."""
    set_note(changes, MAINTENANCE, reason or "maintenance")
    changes.audit(who, "maintenance began", reason)


def end_maintenance(changes: Changes, *, who: str) -> None:
    """Take runs again."""
    drop_note(changes, MAINTENANCE)
    changes.audit(who, "maintenance ended")
