"""The tables: migrations make what the code expects, and what failed to be written is not believed."""

from __future__ import annotations

import asyncio
import threading

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from coordinator_sim import World, files_of, until_over

from dt_action.coordinator.schema import migrate
from dt_action.coordinator.service import Config, Service
from dt_action.coordinator.store import (
    INPUTS,
    KEYS,
    LEASES,
    METADATA,
    Changes,
    open_engine,
    rows_of,
    storable,
)
from dt_action.coordinator.writer import BugError, RefusalError, UnavailableError, Writer
from dt_action.remote import wire


@pytest.fixture
def engine(tmp_path) -> sa.Engine:
    made = open_engine(f"sqlite:///{tmp_path / 'x.db'}")
    migrate(made)
    return made


def test_the_migrations_make_the_tables_that_the_code_expects(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    migrate(engine)


def test_text_is_made_fit_for_every_database():
    assert storable("a\0b\ud800") == "a\\x00b\\ud800"
    assert storable("abcdef", 3) == "abc"


@pytest.mark.parametrize("count", [1, 7, 8, 64, 200])
def test_every_row_is_written_however_many_come_together(engine, count):
    changes = Changes()
    for number in range(count):
        changes.add(INPUTS, run="r", seq=number, payload=f"the {number}th")
        changes.add(LEASES, **{**_LEASE, "id": str(number)})
        changes.update(LEASES, str(number), heard=number)
    changes.update(LEASES, "0", state="closed", closed_at=1.5)
    with engine.begin() as connection:
        changes.write(connection)
    inputs = rows_of(engine, sa.select(INPUTS).order_by(INPUTS.c.seq))
    leases = rows_of(engine, sa.select(LEASES))
    assert [row.payload for row in inputs] == [f"the {number}th" for number in range(count)]
    assert {row.id: row.heard for row in leases} == {str(number): number for number in range(count)}
    assert [(row.id, row.closed_at) for row in leases if row.state == "closed"] == [("0", 1.5)]


_LEASE = {
    "run": "r",
    "worker": "w",
    "boot": "b",
    "slot": "gw0",
    "state": "open",
    "heard": 0,
    "opened_at": 1.0,
    "closed_at": None,
}


def _job(changes: Changes) -> str:
    changes.audit("me", "something")
    return "done"


def test_an_answer_comes_after_its_changes_are_on_disk(engine):
    delivered = []
    writer = Writer(engine, restore=lambda: None, delivered=lambda: delivered.append(_audited(engine)))
    writer.start()
    assert writer.submit(_job).result(10) == "done"
    assert _audited(engine) == 1
    writer.stop()
    assert delivered == [1]


def test_what_cannot_be_written_is_not_answered_and_memory_is_read_anew(engine):
    """A full disk, a database that is away: SQLite's limit on pages stands for both."""
    restored = []
    writer = Writer(engine, restore=lambda: restored.append(1), delivered=lambda: None)
    writer.start()
    assert writer.submit(_job).result(10) == "done"
    with pytest.raises(UnavailableError):
        writer.submit(lambda changes: changes.add(KEYS, id="no name")).result(10)
    assert not restored
    assert writer.submit(_job).result(10) == "done"
    writer.stop()
    assert restored == [1]
    assert _audited(engine) == 3  # that it could be written again is on record, too


def test_a_refusal_and_a_bug_are_told_to_the_one_who_asked(engine):
    writer = Writer(engine, restore=lambda: None, delivered=lambda: None)
    writer.start()

    def refuse(changes: Changes) -> None:
        raise RefusalError(403, "no")

    def fail(changes: Changes) -> None:
        raise ZeroDivisionError

    with pytest.raises(RefusalError):
        writer.submit(refuse).result(10)
    with pytest.raises(BugError):
        writer.submit(fail).result(10)
    assert writer.submit(_job).result(10) == "done"
    writer.stop()


def test_who_stops_waiting_for_an_answer_does_not_stop_the_writer(tmp_path):
    async def scenario() -> str:
        service = Service(Config(data=tmp_path))
        async with service.running():
            may_end = threading.Event()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(service.do(lambda _: may_end.wait(10)), 0.01)
            may_end.set()
            return await asyncio.wait_for(service.do(_job), 10)

    assert asyncio.run(scenario()) == "done"


def _audited(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.text("select count(*) from audit")).scalar_one())


def test_a_full_disk_in_the_middle_of_a_run_loses_nothing(tmp_path):
    files = files_of(3, 20)
    world = World(tmp_path)
    run = world.submit(files)
    worker = world.enrol("a")
    for _ in range(3):
        worker.step(files, most=9)
    (lease,) = worker.leases.values()
    lease.work(9)
    told = wire.Told(first=lease.first, messages=tuple(lease.unsent), seen=lease.seen)
    changes = Changes()
    world.desk.take_messages(changes, lease.lease.id, told)
    for number in range(1000):
        changes.audit("me", "fills the disk", f"{number} " + "x" * 1900)
    with world.engine.connect() as connection:
        connection.exec_driver_sql("pragma max_page_count=1")  # SQLite makes it the present size
        connection.rollback()
        with pytest.raises(sa.exc.OperationalError, match="full"), connection.begin():
            changes.write(connection)
    world.engine.dispose()
    world.restart()
    until_over(world, run, [worker], files)
    finals = world.finals(run)
    assert set(finals.values()) == {1}
    assert len(finals) == 60
