"""The drill: a backup is taken in the middle of a run, the database is lost, the backup is put back, work goes on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from coordinator_rig import (
    COMMAND_S,
    DT,
    Coordinator,
    Worker,
    closing_all,
    make_project,
    results_in,
    start_run,
    wait_until,
)

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")


def _words(*words: str) -> str:
    done = subprocess.run([*DT, "coordinator", *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class SqliteKeeper:
    """Backs up and restores with dt's own commands."""

    def __init__(self, data: Path, home: Path) -> None:
        self.database, self.address = "", f"sqlite:///{data / 'coordinator.db'}"
        self._data, self._copy = data, home / "copy.db"

    def back_up(self) -> None:
        _words("backup", str(self._copy), "--data", str(self._data))

    def lose_and_restore(self) -> None:
        (self._data / "coordinator.db").write_bytes(b"a disk that died")
        said = _words("restore", str(self._copy), "--data", str(self._data))
        assert "end as stopped" in said


class PostgresqlKeeper:
    """Backs up and restores with PostgreSQL's own tools, as docs/coordinator.md tells."""

    def __init__(self, postgresql, home: Path) -> None:
        self.database = self.address = postgresql.address
        self._copy, self._uri = home / "copy.dump", postgresql.uri
        import pgserver

        self._bin = Path(pgserver.__file__).parent / "pginstall" / "bin"

    def _run(self, *words: str) -> None:
        command = [self._bin / words[0], *words[1:]]
        subprocess.run(command, check=True, capture_output=True, timeout=COMMAND_S, env={**os.environ})

    def back_up(self) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._copy}", self._uri)

    def lose_and_restore(self) -> None:
        self._run("pg_restore", "--clean", "--if-exists", f"--dbname={self._uri}", str(self._copy))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def keeper(request, tmp_path):
    if request.param == "sqlite":
        return SqliteKeeper(tmp_path / "c", tmp_path)
    return PostgresqlKeeper(request.getfixturevalue("postgresql"), tmp_path)


def test_a_backup_taken_in_the_middle_of_a_run_is_put_back(tmp_path, keeper):
    coordinator = Coordinator(tmp_path / "c", database=keeper.database).start()
    make_project(tmp_path / "project", files=1, cases=2000, case_s=0.1)  # it is to be under way for as long as it takes
    (tmp_path / "short").mkdir()
    short = make_project(tmp_path / "short" / "project", files=1, cases=3, case_s=0.01)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token("--pool"), ("--slots", "2")).start()
    key = coordinator.key()
    with closing_all(worker, coordinator):
        before = start_run(tmp_path / "short" / "project", coordinator.url, key).finish()
        assert before.outcomes == dict.fromkeys(short, "passed")
        run = start_run(tmp_path / "project", coordinator.url, key, "--timeout", "5m")
        wait_until(lambda: sum(results_in(keeper.address).values()) > 10, what="progress")
        wait_until((tmp_path / "c" / "pulse").is_file, what="the first pulse")
        keeper.back_up()
        beaten = (tmp_path / "c" / "pulse").read_text()
        later = coordinator.key("--name", "later")
        wait_until(lambda: sum(results_in(keeper.address).values()) > 30, what="more progress")
        coordinator.kill()
        (tmp_path / "c" / "pulse").write_text(f"{int(beaten) + 1}\n")  # as half a minute later
        keeper.lose_and_restore()
        coordinator.start()
        told = run.finish(within_s=120)
        assert told.code in (6, 7), told.output[-2000:]
        assert "Traceback" not in told.output
        again = start_run(tmp_path / "short" / "project", coordinator.url, key).finish()
        assert again.outcomes == dict.fromkeys(short, "passed"), again.output[-3000:]
        listed = json.loads(_api(coordinator, key, "/runs"))
        assert [each["status"] for each in listed] == ["completed", "stopped", "completed"]
        assert "restored from a backup" in listed[1]["reason"]
        assert _api(coordinator, later, "/runs", status=401), "made after the backup, so it is gone"
        where = ["--database", keeper.database] if keeper.database else []
        checked = _words("check", "--data", str(tmp_path / "c"), *where)
        assert checked.splitlines()[-1] == "0 problems", checked


def _api(coordinator: Coordinator, key: str, path: str, status: int = 200) -> str:
    import requests

    answer = requests.get(f"{coordinator.url}/api/v1{path}", headers={"Authorization": f"Bearer {key}"}, timeout=10)
    assert answer.status_code == status
    return answer.text
