"""The coordinator on a real PostgreSQL: a whole run, a kill -9, and a database that is restarted under it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from coordinator_rig import COMMAND_S, Coordinator, Worker, closing_all, make_project, start_run, wait_until

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
pgserver = pytest.importorskip("pgserver", reason="pgserver is not installed")


def _count(postgresql, query: str) -> int:
    import sqlalchemy as sa

    engine = sa.create_engine(postgresql.address)
    try:
        with engine.connect() as connection:
            return int(connection.execute(sa.text(query)).scalar_one())
    finally:
        engine.dispose()


def test_a_run_survives_a_killed_coordinator_and_a_restarted_database(tmp_path: Path, postgresql):
    ids = make_project(tmp_path / "project", files=6, cases=25, case_s=0.1)
    coordinator = Coordinator(tmp_path / "c", database=postgresql.address).start()
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    with closing_all(worker, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key())
        wait_until(lambda: _count(postgresql, "select count(*) from results") > 20, what="progress")
        coordinator.kill()
        coordinator.start()
        wait_until(lambda: _count(postgresql, "select count(*) from results") > 60, what="more progress")
        server = postgresql.server
        words = ["stop", "-m", "immediate", "-w"]
        pgserver.pg_ctl(words, pgdata=server.pgdata, user=server.system_user, timeout=COMMAND_S)
        server.ensure_postgres_running()
        told = run.finish()
        assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
        assert told.code == 0
        assert _count(postgresql, "select count(*) from results") == len(ids)
        assert _count(postgresql, 'select count(distinct "case") from results') == len(ids)


def test_a_database_that_knows_no_encoding_will_do(tmp_path: Path, postgresql):
    plain = replace(postgresql, name=f"{postgresql.name}_plain")
    made = f"create database {plain.name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0"
    postgresql.server.psql(made)
    coordinator = Coordinator(tmp_path / "c", database=plain.address).start()
    with closing_all(coordinator):
        assert coordinator.key("--name", "Zoë ☃").startswith("dtk_")
        assert "Zoë ☃" in coordinator.words("coordinator", "key", "list")
