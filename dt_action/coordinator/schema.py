"""The form of the tables: which version a database has, and how it is brought to this program's."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from dt_action.coordinator import journal
from dt_action.errors import ConfigurationError


def migrate(engine: sa.Engine) -> None:
    """
    Bring the tables to this version's form, step by step from whichever version made them.

    Raises ConfigurationError where a newer version made them.
    """
    config = _config()
    before, newest = found_version(engine), newest_version()
    if before and before not in _known_versions():
        raise _newer(before, newest)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    if before != newest:
        journal.tell("database migrated", before=before or "nothing", after=newest)


def expect_this_version(engine: sa.Engine) -> None:
    """Raise ConfigurationError unless the tables have this version's form: those of a running coordinator stay."""
    found, newest = found_version(engine), newest_version()
    if found == newest:
        return
    if found and found not in _known_versions():
        raise _newer(found, newest)
    raise ConfigurationError(
        f"the coordinator that runs has tables of version {found or 'none'}; this dt has version {newest}",
        hint="use the dt that the coordinator was started with, or start it anew with this one first",
    )


def found_version(engine: sa.Engine) -> str:
    """The version of the database's tables; empty where it has none."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() or ""


def newest_version() -> str:
    """The version that this program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _known_versions() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _newer(found: str, newest: str) -> ConfigurationError:
    return ConfigurationError(
        f"the database was made by a newer dt: its tables have version {found}, this dt knows those up to {newest}",
        hint="install the newer version again, or restore the backup that was made before the upgrade",
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
