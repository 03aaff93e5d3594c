"""The one seat at a database: a second coordinator is kept away, and one that lost its seat writes no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from dt_action.errors import ConfigurationError
from dt_action.workspace.locks import locked

PATIENCE_S = 5.0
"""A database may miss a coordinator that was killed so late, and one that was told to stop takes as long."""

_LOCK = 0x6474_636F
"""PostgreSQL's advisory locks are numbers, apart for each database; this one spells `dtco`."""

_MISSED_SOON = "SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""A holder whose network is gone loses the seat within a minute, not after the two hours of the system's default."""


class SeatTakenError(ConfigurationError):
    """Another coordinator serves this database."""


class Seat:
    """
    The place of the only coordinator that may write. It is free as soon as its holder is gone, however it went.

    For SQLite it is a lock on a file beside the database. For PostgreSQL it belongs to the connection that writes, so
    that whoever loses that connection has lost the seat, and must take it again before it writes the next time.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._file: IO[bytes] | None = None

    def take(self, connection: sa.Connection) -> None:
        """Take the seat for what writes through `connection`. Raises SeatTakenError at once where it is taken."""
        if self._engine.dialect.name == "postgresql":
            if not _lock_row(connection):
                raise self._taken()
        elif self._file is None and self._engine.url.database not in (None, "", ":memory:"):
            self._file = locked(Path(f"{self._engine.url.database}.lock"))
            if self._file is None:
                raise self._taken()

    def leave(self) -> None:
        """Let another one have it. PostgreSQL's is left with the connection."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _taken(self) -> SeatTakenError:
        where = self._engine.url.render_as_string(hide_password=True)
        return SeatTakenError(
            f"another coordinator serves the database {where}",
            hint="stop that one first, or give this one a --data or --database of its own",
        )


def patiently(take: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
    """Do `take` until the seat is free. Raises SeatTakenError when it still is not after `patience_s`."""
    give_up_at = time.monotonic() + patience_s
    while True:
        try:
            take()
            return
        except SeatTakenError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.25)


def _lock_row(connection: sa.Connection) -> bool:
    for statement in _MISSED_SOON.split("; "):
        connection.exec_driver_sql(statement)
    taken = bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK))).scalar_one())
    connection.commit()  # the lock is the session's, and stays
    return taken
