"""`dt coordinator check` finds what is broken, each kind of it, and says what putting back a backup would lose."""

from __future__ import annotations

import shutil
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import sqlalchemy as sa
from coordinator_server import Server, submit, upload

from dt_action.cli import main
from dt_action.coordinator.store import open_engine


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The data of a coordinator that was stopped while a run was under way."""
    data = tmp_path_factory.mktemp("check") / "data"
    coordinator = Server(data)
    key = coordinator.key()
    upload(coordinator, key, b"a bundle that nobody needs")
    assert submit(coordinator, key).status_code == 201
    coordinator.enrol("worker")
    coordinator.stop()
    return data


@pytest.fixture
def data(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "data")
    return tmp_path / "data"


def check(data, capsys, *words: str) -> tuple[int, list[str]]:
    code = main(["coordinator", "check", "--data", str(data), *words], {})
    return code, capsys.readouterr().out.splitlines()


def statement(data, text: str) -> None:
    engine = open_engine(f"sqlite:///{data / 'coordinator.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(text)
    engine.dispose()


def test_what_is_whole_is_told_to_be(data, capsys):
    code, said = check(data, capsys)
    assert code == 0, said
    assert said[-1] == "0 problems"
    assert any("1 under way, all of which can be taken up" in line for line in said)


def _bundle(data, *, is_needed: bool):
    for path in (data / "blobs").glob("??/*"):
        if (path.read_bytes() != b"a bundle that nobody needs") == is_needed:
            return path
    raise AssertionError


RESULT = (
    'insert into results (run, event, repository, "case", case_key, outcome, is_flaky, duration_s, worker, slot,'
    " started_at, message) values ('r', 5, '', '', '', 'passed', 0, 1, '', '', 1, '')"
)
LEASE = (
    "insert into leases (id, run, worker, boot, slot, state, heard, opened_at)"
    " values ('l', 'no such run', 'w', '', '', 'open', 0, 1)"
)
INPUT = 'insert into inputs (run, seq, payload) select id, 1000, \'{"do":"no such input","now":1,"with":{}}\' from runs'
GAP = "insert into events (run, seq, kind, at, payload) select id, 999, 'Notice', 1, '{}' from runs"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda data: _bundle(data, is_needed=False).write_bytes(b"changed"), "is not what its name says"),
        (lambda data: _bundle(data, is_needed=True).unlink(), "which is under way, is not there"),
        (lambda data: statement(data, RESULT), "without their event"),
        (lambda data: statement(data, GAP), "their numbers have gaps"),
        (lambda data: statement(data, LEASE), "its run or worker is not there"),
        (lambda data: statement(data, INPUT), "cannot be taken up"),
        (lambda data: (data / "secret").unlink(), "No such file"),
        (lambda data: (data / "secret").write_bytes(b"short"), "expected 32"),
    ],
    ids=["bundle", "missing bundle", "result", "gap", "lease", "record", "no secret", "short secret"],
)
def test_what_is_broken_is_found(data, capsys, harm, words):
    harm(data)
    code, said = check(data, capsys)
    assert code == 4
    assert any(line.startswith("problem") and words in line for line in said), said


@pytest.mark.skipif(sys.platform == "win32", reason="SQLite's pages are written by hand")
def test_a_damaged_file_of_the_database_is_found(data, capsys):
    engine = open_engine(f"sqlite:///{data / 'coordinator.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
        root = connection.execute(
            sa.text("select rootpage from sqlite_master where name = 'results_of_case'")
        ).scalar_one()
        size = connection.exec_driver_sql("pragma page_size").scalar_one()
    engine.dispose()
    with (data / "coordinator.db").open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * 100)
    code, said = check(data, capsys)
    assert code == 4, said
    assert any(line.startswith("problem  database") for line in said)


def test_what_a_restore_would_lose(data, capsys, tmp_path):
    main(["coordinator", "key", "create", "--name", "leaked", "--data", str(data)], {})
    leaked = capsys.readouterr().out.split("_")[1]
    main(["coordinator", "backup", str(tmp_path / "copy"), "--data", str(data)], {})
    capsys.readouterr()
    assert any("lose nothing" in line for line in check(data, capsys)[1]), "nothing has happened since"
    main(["coordinator", "key", "create", "--name", "new", "--data", str(data)], {})
    main(["coordinator", "key", "revoke", leaked, "--data", str(data)], {})
    capsys.readouterr()
    for words in ((), ("--backup", str(tmp_path / "copy"))):
        code, said = check(data, capsys, *words)
        assert code == 0
        text = "\n".join(said)
        assert "lose 1 keys, 2 entries of the audit" in text, text
        assert f"leaked ({leaked}), revoked since then, would be good again" in text
        assert "1 runs were under way then" in text


def test_a_backup_is_for_its_user_alone_and_replaces_the_one_before(data, capsys, tmp_path):
    for _ in range(2):
        assert main(["coordinator", "backup", str(tmp_path / "copy"), "--data", str(data)], {}) == 0
    if sys.platform != "win32":
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("copy", "copy.secret")} == {0o600}
    assert main(["coordinator", "backup", str(tmp_path / "no" / "copy"), "--data", str(data)], {}) == 4


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\0" * 200, b"text"], ids=["empty", "torn", "text"])
def test_what_is_no_backup_is_not_put_in_the_place_of_a_database(data, capsys, tmp_path, content):
    (tmp_path / "copy").write_bytes(content)
    before = (data / "coordinator.db").read_bytes()
    assert main(["coordinator", "restore", str(tmp_path / "copy"), "--data", str(data)], {}) == 4
    assert "is no backup of a coordinator" in capsys.readouterr().err
    assert (data / "coordinator.db").read_bytes() == before
