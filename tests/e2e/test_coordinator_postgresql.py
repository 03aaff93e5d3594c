"""The coordinator on a real PostgreSQL: a whole run, a kill -9, and a database that is restarted under it."""

from __future__ import annotations

from pathlib import Path

import pytest
from coordinator_rig import Coordinator, Worker, closing_all, make_project, start_run, wait_until

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
pgserver = pytest.importorskip("pgserver", reason="pgserver is not installed")


def _url(server) -> str:
    return server.get_uri().replace("postgresql://", "postgresql+psycopg://")


def _count(server, query: str) -> int:
    import sqlalchemy as sa

    engine = sa.create_engine(_url(server))
    try:
        with engine.connect() as connection:
            return int(connection.execute(sa.text(query)).scalar_one())
    finally:
        engine.dispose()


def test_a_run_survives_a_killed_coordinator_and_a_restarted_database(tmp_path: Path, postgresql):
    ids = make_project(tmp_path / "project", files=6, cases=25, case_s=0.1)
    coordinator = Coordinator(tmp_path / "c", database=_url(postgresql)).start()
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "2")).start()
    with closing_all(worker, coordinator):
        run = start_run(tmp_path / "project", coordinator.url, coordinator.key())
        wait_until(lambda: _count(postgresql, "select count(*) from results") > 20, what="progress")
        coordinator.kill()
        coordinator.start()
        wait_until(lambda: _count(postgresql, "select count(*) from results") > 60, what="more progress")
        words = ["stop", "-m", "immediate", "-w"]
        pgserver.pg_ctl(words, pgdata=postgresql.pgdata, user=postgresql.system_user)
        postgresql.ensure_postgres_running()
        told = run.finish()
        assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
        assert told.code == 0
        assert _count(postgresql, "select count(*) from results") == len(ids)
        assert _count(postgresql, 'select count(distinct "case") from results') == len(ids)


def test_a_database_that_knows_no_encoding_will_do(tmp_path: Path, postgresql):
    postgresql.psql("create database plain encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0")
    url = _url(postgresql).replace("/postgres?", "/plain?")
    assert "/plain?" in url
    coordinator = Coordinator(tmp_path / "c", database=url).start()
    with closing_all(coordinator):
        assert coordinator.key("--name", "Zoë ☃").startswith("dtk_")
        assert "Zoë ☃" in coordinator.words("coordinator", "key", "list")
