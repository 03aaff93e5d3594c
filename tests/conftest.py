"""Fixtures that tests of every kind share; since this file is here, what stands beside it can be imported."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

# Tests start pytest hundreds of times, and what this plugin imports takes longer than most of these runs.
os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} -p no:schemathesis".strip()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script ignores Ctrl-C, and so would every program that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a busy machine.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what takes minutes, unless it is asked for."""
    if item.get_closest_marker("long") and not os.environ.get("DT_LONG_TESTS"):
        pytest.skip("long; DT_LONG_TESTS=1 runs it")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Any]:
    """
    A PostgreSQL for whoever makes a database in it; skips where none is installed.

    Not below pytest's folder: root's server runs as another user, and each start of pytest closes that folder to it.
    """
    pgserver = pytest.importorskip("pgserver", reason="pgserver is not installed")
    with tempfile.TemporaryDirectory(prefix="dt-pg-") as home:
        Path(home).chmod(0o755)
        server = pgserver.get_server(Path(home) / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


@dataclass(frozen=True)
class Postgresql:
    """A fresh database: by PostgreSQL's own address, and by the one that the coordinator is told."""

    server: Any
    name: str

    @property
    def uri(self) -> str:
        """As libpq and its tools take it."""
        return str(self.server.get_uri(self.name))

    @property
    def address(self) -> str:
        """As the coordinator takes it."""
        return self.uri.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def postgresql(postgresql_server: Any) -> Postgresql:
    """A database of its own; skips where no PostgreSQL is installed."""
    name = f"t{uuid4().hex}"
    postgresql_server.psql(f"create database {name}")
    return Postgresql(postgresql_server, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    address: str = request.getfixturevalue("postgresql").address
    return address
