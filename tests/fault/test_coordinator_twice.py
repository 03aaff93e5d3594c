"""Two coordinators on one database: the second one is refused, and takes over when the first one is gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from coordinator_rig import (
    DT,
    Coordinator,
    Worker,
    closing_all,
    free_port,
    make_project,
    results_in,
    start_run,
    wait_until,
)

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")
import sqlalchemy as sa

from dt_action.errors import ConfigurationError


def _second(data: Path, database: str) -> subprocess.CompletedProcess[str]:
    where = ["--data", str(data), "--database", database, "--port", str(free_port())]
    return subprocess.run([*DT, "coordinator", *where], capture_output=True, text=True, timeout=120, check=False)


def test_a_second_coordinator_is_refused_and_may_take_over_after_the_first_ones_death(tmp_path, any_database):
    first = Coordinator(tmp_path / "c", database=any_database).start()
    ids = make_project(tmp_path / "project", files=4, cases=25, case_s=0.1)
    worker = Worker(tmp_path / "w", first.url, first.token(), ("--slots", "2")).start()
    heir = Coordinator(tmp_path / "c", database=any_database, port=first.port)
    with closing_all(worker, first, heir):
        run = start_run(tmp_path / "project", first.url, first.key())
        wait_until(lambda: sum(results_in(any_database).values()) > 10, what="progress")
        refused = _second(tmp_path / "c", any_database)
        assert refused.returncode == 4, refused.stderr
        assert "another coordinator serves the database" in refused.stderr
        assert "Traceback" not in refused.stderr
        first.kill()
        heir.start()
        told = run.finish()
    assert told.outcomes == dict.fromkeys(ids, "passed"), told.output[-3000:]
    assert results_in(any_database) == dict.fromkeys(ids, 1)


def test_a_command_gives_up_where_somebody_else_has_the_table_locked(tmp_path, postgresql):
    coordinator = Coordinator(tmp_path / "c", database=f"{postgresql.address}&options=-c%20lock_timeout%3D200ms")
    coordinator.key()
    engine = sa.create_engine(postgresql.address)
    with engine.connect() as other, pytest.raises(ConfigurationError, match=r"cannot be used: .*lock timeout"):
        other.execute(sa.text("lock table keys"))
        coordinator.key()
    engine.dispose()


def test_keys_and_tokens_can_be_made_while_a_coordinator_serves(tmp_path, any_database):
    serving = Coordinator(tmp_path / "c", database=any_database).start()
    with closing_all(serving):
        assert serving.words("coordinator", "key", "create", "--name", "x").startswith("dtk_")
        assert serving.words("coordinator", "enrol").startswith("dte_")
