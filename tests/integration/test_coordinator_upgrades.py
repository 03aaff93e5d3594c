"""A database of a version before becomes one of this version with all that is in it; a newer one is left alone."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dt_action.coordinator import schema
from dt_action.coordinator.schema import expect_this_version, found_version, migrate, newest_version
from dt_action.coordinator.store import METADATA, open_engine
from dt_action.errors import ConfigurationError


def versions() -> list[str]:
    walked = ScriptDirectory.from_config(schema._config()).walk_revisions()
    return [script.revision for script in walked][::-1]


def at_version(engine: sa.Engine, version: str) -> None:
    config = schema._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


def fill(engine: sa.Engine) -> dict[str, dict]:
    """One row in every table; what stands in it."""
    metadata = sa.MetaData()
    metadata.reflect(engine)
    rows = {}
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "alembic_version":
                row = {column.name: _some_value(column, number) for number, column in enumerate(table.columns)}
                connection.execute(table.insert().values(**row))
                rows[table.name] = row
    return rows


def _some_value(column: sa.Column, number: int):
    kind = column.type.python_type
    return {str: f"v{number}", int: 100 + number, float: 1.5 + number, bool: True}[kind]


@pytest.mark.parametrize("version", versions())
def test_an_upgrade_keeps_every_row(any_database, version):
    engine = open_engine(any_database)
    at_version(engine, version)
    before = fill(engine)
    migrate(engine)
    assert found_version(engine) == newest_version()
    expect_this_version(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
        for name, row in before.items():
            (found,) = connection.execute(sa.select(METADATA.tables[name])).mappings().all()
            assert {column: found[column] for column in row} == row
    engine.dispose()


def test_tables_of_a_newer_version_are_told_in_one_sentence_and_left_alone(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}")
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    for refuse in (migrate, expect_this_version):
        with pytest.raises(ConfigurationError, match="made by a newer dt: its tables have version 9999"):
            refuse(engine)
    assert found_version(engine) == "9999"
