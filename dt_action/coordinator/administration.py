"""The database for an operator's command: with the seat where nobody serves, and beside whoever does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import sqlalchemy as sa

from dt_action.coordinator.private import keep_private, make_private
from dt_action.coordinator.schema import expect_this_version, migrate
from dt_action.coordinator.seat import Seat, SeatTakenError
from dt_action.coordinator.service import Config
from dt_action.coordinator.store import Changes, open_engine
from dt_action.errors import ConfigurationError

T = TypeVar("T")


@contextmanager
def opened(config: Config, *, alone: bool = False) -> Iterator[sa.Engine]:
    """
    The database, with tables of this version's form.

    Where no coordinator serves it, the seat is taken meanwhile, and the tables are brought up to date. Where one does,
    they must have this version's form already: nobody changes them under it. With `alone` that is an error.
    Raises ConfigurationError.
    """
    keep_private()
    make_private(config.data)
    engine = open_engine(config.url)
    seat = Seat(engine)
    try:
        with engine.connect() as connection:
            try:
                seat.take(connection)
            except SeatTakenError:
                if alone:
                    raise
                expect_this_version(engine)
            else:
                migrate(engine)
            yield engine
    except sa.exc.DatabaseError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise ConfigurationError(f"the database {where} cannot be used: {error.orig}") from error
    finally:
        seat.leave()
        engine.dispose()


def change(config: Config, work: Callable[[sa.Engine, Changes], T]) -> T:
    """Have `work` gather changes, and write them."""
    with opened(config) as engine:
        changes = Changes()
        answer = work(engine, changes)
        with engine.begin() as connection:
            changes.write(connection)
        return answer
