"""A number that grows, in the database and in a file beside it: by it a database that was restored is known."""

from __future__ import annotations

import os
import time
from pathlib import Path

import sqlalchemy as sa

from dt_action.coordinator.notes import PULSE, note_of, set_note
from dt_action.coordinator.store import Changes

EVERY_S = 30.0


class Pulse:
    """
    Beats every `EVERY_S`: first in the database, then in the file. So the database is never behind the file, unless
    it was put back to how it was before.
    """

    def __init__(self, engine: sa.Engine, directory: Path) -> None:
        self._engine = engine
        self._path = directory / "pulse"
        self._count = 0
        self._beaten_at = float("-inf")

    def lags(self) -> bool:
        """True where the database is older than what the file has seen. To be asked first."""
        note = note_of(self._engine, PULSE)
        in_database = int(note.value) if note is not None else 0
        try:
            in_file = int(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            in_file = 0
        self._count = max(in_database, in_file)
        return in_database < in_file

    @property
    def is_due(self) -> bool:
        """True where it is time for the next beat."""
        return time.monotonic() - self._beaten_at > EVERY_S

    def beat(self, changes: Changes) -> None:
        """The next number, for the database; `keep` follows when it is written."""
        self._count += 1
        set_note(changes, PULSE, str(self._count))

    def keep(self) -> None:
        """The same number in the file. Raises OSError."""
        draft = self._path.with_suffix(".new")
        draft.write_text(f"{self._count}\n", encoding="ascii")
        os.replace(draft, self._path)  # noqa: PTH105 - over one that is there, on Windows, too
        self._beaten_at = time.monotonic()
