"""The tables: migrations make what the code expects, and what failed to be written is not believed."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from coordinator_sim import World, files_of, until_over

from dt_action import wire
from dt_action.coordinator.store import KEYS, METADATA, Changes, migrate, open_engine, storable
from dt_action.coordinator.writer import BugError, RefusalError, UnavailableError, Writer


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
    assert _audited(engine) == 2


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
    lease.unsent += lease.slot.work(9)
    told = wire.Told(first=lease.first, messages=tuple(lease.unsent), seen=lease.seen)
    changes = Changes()
    world.desk.told(changes, lease.lease.id, told)
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
