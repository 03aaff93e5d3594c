"""What an operator may do, by command and over HTTP: it has its effect, stands in the audit, and is in the log."""

from __future__ import annotations

import json
import logging
import stat
import sys
import time

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import requests
import sqlalchemy as sa
from alembic import command
from coordinator_rig import wait_until
from coordinator_server import Server, bearer, submit

from dt_action.cli import main
from dt_action.coordinator import schema
from dt_action.coordinator.administration import opened
from dt_action.coordinator.schema import found_version
from dt_action.coordinator.seat import Seat
from dt_action.coordinator.service import Config
from dt_action.coordinator.store import AUDIT, open_engine, rows_of


@pytest.fixture
def dt(tmp_path, capsys):
    """Run a command on the coordinator in `data`; its exit code and what it said."""

    def run(*words: str) -> tuple[int, str]:
        where = [] if "--help" in words else ["--data", str(tmp_path / "data")]
        try:
            code = main(["coordinator", *words, *where], {})
        except SystemExit as ended:  # argparse's own way after --help
            code = ended.code
        said = capsys.readouterr()
        return code, (said.out + said.err).strip()

    return run


@pytest.fixture
def served(tmp_path):
    coordinator = Server(tmp_path / "data")
    yield coordinator
    coordinator.stop()


# --- commands -------------------------------------------------------------------------------------------------------


EVERY = "|key|key create|key list|key revoke|enrol|enrol list|enrol revoke|audit|drain|resume|check|backup|restore"


@pytest.mark.parametrize("words", EVERY.split("|"))
def test_every_command_has_its_help(dt, words):
    code, said = dt(*words.split(), "--help") if words else dt("--help")
    assert code == 0
    assert "usage: dt coordinator" in said
    assert "--test-dir" not in said


def test_a_word_that_is_no_command_is_told_what_there_is(dt):
    code, said = dt("kye", "list")
    assert code == 4
    assert "key or enrol" in said
    code, said = dt("enrol", "list", "me")
    assert code == 4
    assert "--test-files" not in said


def test_keys_and_tokens_are_made_listed_and_revoked(dt):
    key, token = dt("key", "create", "--name", "ci")[1], dt("enrol", "--name", "lab", "--pool")[1]
    for kind, secret in (("key", key), ("enrol", token)):
        id = secret.split("_")[1]
        listed = dt(kind, "list")[1]
        assert id in listed
        assert secret.split("_", 2)[2] not in listed
        assert dt(kind, "revoke", id)[0] == 0
        assert "revoked" in dt(kind, "list")[1]
        code, said = dt(kind, "revoke", id)
        assert (code, "was revoked before" in said) == (4, True)
        code, said = dt(kind, "revoke", "00000000")
        assert (code, "there is no" in said) == (4, True)


def test_the_audit_is_shown_and_exported(dt):
    dt("key", "create", "--name", "=cmd()\nsecond line\u202e")
    told = dt("audit")[1]
    assert "key created" in told
    assert len(told.splitlines()) == 1
    (entry,) = map(json.loads, dt("audit", "--format", "json")[1].splitlines())
    assert (entry["who"], entry["what"]) == ("operator", "key created")
    assert entry["detail"].startswith("=cmd()\nsecond")
    assert ",'=cmd()" in dt("audit", "--format", "csv")[1].replace('"', "")
    assert dt("audit", "--since", "1d", "--format", "json")[1]


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_the_data_directory_is_for_its_user_alone_also_one_that_was_open(dt, tmp_path):
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    dt("key", "create", "--name", "ci")
    (tmp_path / "data" / "coordinator.db").chmod(0o644)
    dt("key", "list")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "data", *(tmp_path / "data").iterdir()]
    }
    assert modes["data"] == 0o700
    assert not [name for name, mode in modes.items() if mode & 0o077]


def test_no_command_changes_the_tables_of_a_coordinator_that_runs(dt, tmp_path):
    config = Config(data=tmp_path / "data")
    dt("key", "list")
    (tmp_path / "data" / "coordinator.db").unlink()
    running = open_engine(config.url)
    alembic = schema._config()
    with running.begin() as connection:
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, "0003")
    seat = Seat(running)
    with running.connect() as connection:
        seat.take(connection)
        for words in (["key", "create", "--name", "x"], ["enrol"], ["check"], ["audit"], ["drain"]):
            code, said = dt(*words)
            assert code == 4, said
            assert "has tables of version 0003" in said
        assert found_version(running) == "0003"
        seat.leave()
    assert dt("key", "create", "--name", "x")[0] == 0
    assert found_version(running) == schema.newest_version()
    running.dispose()


def test_a_command_beside_a_coordinator_that_runs(served, dt):
    key = dt("key", "create", "--name", "beside")[1]
    assert requests.get(f"{served.api}/runs", headers=bearer(key)).status_code == 200
    dt("key", "revoke", key.split("_")[1])
    assert requests.get(f"{served.api}/runs", headers=bearer(key)).status_code == 401
    with pytest.raises(Exception, match="another coordinator serves"), opened(served.service.config, alone=True):
        pass


# --- maintenance ----------------------------------------------------------------------------------------------------


def test_maintenance_lets_what_runs_finish_and_takes_nothing_new(served, dt):
    key = served.key()
    assert submit(served, key).status_code == 201
    code, said = dt("drain", "--reason", "new disks")
    assert (code, said) == (0, "no new runs are taken; 1 are under way")
    wait_until(lambda: served.service.maintenance == "new disks", what="the coordinator's notice")
    refused = submit(served, key)
    assert refused.status_code == 503
    assert "new disks" in refused.json()["error"]
    assert "dt_maintenance 1" in requests.get(f"{served.url}/metrics").text
    assert served.enrol("still-welcome")["jwt"]
    assert dt("drain", "--wait", "1s")[0] == 6, "one is still under way"
    dt("resume")
    wait_until(lambda: not served.service.maintenance, what="the coordinator's notice")
    assert submit(served, key).status_code == 201


def test_maintenance_over_http(served):
    admin, key = bearer(served.key("admin")), served.key()
    assert requests.put(f"{served.api}/maintenance", json={"reason": "now"}, headers=bearer(key)).status_code == 403
    assert requests.put(f"{served.api}/maintenance", json={"reason": "now"}, headers=admin).status_code == 200
    assert submit(served, key).status_code == 503
    assert requests.delete(f"{served.api}/maintenance", headers=admin).status_code == 204
    assert submit(served, key).status_code == 201


# --- over HTTP ------------------------------------------------------------------------------------------------------


def test_keys_and_tokens_over_http(served):
    admin = bearer(served.key("admin"))
    made = requests.post(f"{served.api}/keys", json={"name": "new", "scopes": ["read"], "max_runs": 2}, headers=admin)
    key = made.json()["key"]
    assert requests.get(f"{served.api}/runs", headers=bearer(key)).status_code == 200
    (listed,) = [each for each in requests.get(f"{served.api}/keys", headers=admin).json() if each["name"] == "new"]
    assert (listed["scopes"], listed["max_runs"], listed["state"]) == (["read"], 2, "good")
    assert "hash" not in listed
    assert requests.delete(f"{served.api}/keys/{listed['id']}", headers=admin).status_code == 204
    assert requests.get(f"{served.api}/runs", headers=bearer(key)).status_code == 401
    assert requests.delete(f"{served.api}/keys/00000000", headers=admin).status_code == 404
    for wrong in ({"name": "x", "scopes": ["all"]}, {"name": "x", "max_runs": -1}, {"name": "x", "max_slots": 1 << 40}):
        assert requests.post(f"{served.api}/keys", json=wrong, headers=admin).status_code == 422
    token = requests.post(f"{served.api}/enrolments", json={"is_pool": True}, headers=admin).json()["token"]
    (pool,) = requests.get(f"{served.api}/enrolments", headers=admin).json()
    assert (pool["uses_left"], token.split("_")[1]) == (None, pool["id"])
    assert requests.delete(f"{served.api}/enrolments/{pool['id']}", headers=admin).status_code == 204
    whats = [json.loads(line)["what"] for line in requests.get(f"{served.api}/audit", headers=admin).text.splitlines()]
    assert {"key created", "key revoked", "enrolment token created", "enrolment token revoked"} <= {*whats}


def test_a_worker_that_was_removed_stays_removed_until_it_is_readmitted(served):
    admin = bearer(served.key("admin"))
    token = served.token()

    def enrol(name, boot):
        asked = {"name": name, "boot": boot, "slots": 1, "capability": {}}
        return requests.post(f"{served.api}/workers", json=asked, headers=bearer(token))

    worker = enrol("bad", "b1").json()
    steer = f"{served.api}/workers/{worker['worker']}/steer"
    assert requests.post(f"{steer}/remove", headers=admin).status_code == 202
    renewal = requests.post(f"{served.api}/workers/{worker['worker']}/token", headers=bearer(worker["renewal"]))
    assert renewal.status_code == 401
    for name, boot in (("bad", "b1"), ("bad", "b2"), ("other-name", "b1")):
        refused = enrol(name, boot)
        assert refused.status_code == 403, (name, boot)
        assert "was removed" in refused.json()["error"]
    assert enrol("good", "b3").status_code == 201
    states = {each["name"]: each["state"] for each in requests.get(f"{served.api}/workers", headers=admin).json()}
    assert states == {"bad": "removed", "good": "active"}
    assert requests.post(f"{steer}/readmit", headers=admin).status_code == 202
    assert enrol("bad", "b2").status_code == 201


# --- browsers -------------------------------------------------------------------------------------------------------


def _login(served, **headers: str) -> requests.Response:
    """Log in as a browser does; a cookie that is for TLS only is sent by hand, as this is none."""
    page = requests.get(f"{served.url}/login", headers=headers)
    form = {"key": served.key("read", "admin"), "form_token": _form_token(page)}
    cookies = {"dt_login": page.cookies["dt_login"]}
    answer = requests.post(f"{served.url}/login", data=form, cookies=cookies, headers=headers, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return answer


def _form_token(page: requests.Response) -> str:
    return page.text.partition('name="form_token" value="')[2].partition('"')[0]


def test_logging_out_ends_the_session_on_the_server(served):
    cookies = {"dt_session": _login(served).cookies["dt_session"]}
    page = requests.get(f"{served.url}/", cookies=cookies, allow_redirects=False)
    assert page.status_code == 200
    form = {"form_token": _form_token(page)}
    assert requests.post(f"{served.url}/logout", data={}, cookies=cookies, allow_redirects=False).status_code == 403
    assert requests.post(f"{served.url}/logout", data=form, cookies=cookies, allow_redirects=False).status_code == 303
    after = requests.get(f"{served.url}/", cookies=cookies, allow_redirects=False)
    assert (after.status_code, after.headers["Location"]) == (303, "/login")


def test_a_login_form_of_another_site_does_nothing(served):
    form = {"key": served.key("read")}
    assert requests.post(f"{served.url}/login", data=form, allow_redirects=False).status_code == 403


def test_a_revoked_key_ends_its_sessions(served, dt):
    cookies = {"dt_session": _login(served).cookies["dt_session"]}
    assert requests.get(f"{served.url}/", cookies=cookies, allow_redirects=False).status_code == 200
    dt("key", "revoke", dt("key", "list")[1].split()[0])
    assert requests.get(f"{served.url}/", cookies=cookies, allow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    ("trusted", "is_secure", "address"), [((), False, "127.0.0.1"), (("127.0.0.0/8",), True, "203.0.113.9")]
)
def test_what_a_proxy_says_is_believed_where_the_proxy_is_trusted(tmp_path, caplog, trusted, is_secure, address):
    coordinator = Server(tmp_path / "data", trusted_proxies=trusted)
    try:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
        assert ("Secure" in _login(coordinator, **forwarded).headers["Set-Cookie"]) == is_secure
        with caplog.at_level(logging.INFO, "dt.coordinator"):
            requests.get(f"{coordinator.api}/runs", headers=forwarded)
        (record,) = [record for record in caplog.records if record.getMessage() == "request refused"]
        assert record.about["address"] == address
    finally:
        coordinator.stop()


# --- the log --------------------------------------------------------------------------------------------------------


def test_what_happens_stands_in_the_log_with_the_requests_id_and_without_secrets(served, caplog):
    with caplog.at_level(logging.INFO, "dt.coordinator"):
        key = served.key("submit", "read", "admin")
        worker = served.enrol("logged")
        answer = submit(served, key)
        run = answer.json()["run"]
        poll = {"boot": "logged", "wait_s": 0}
        requests.post(f"{served.api}/leases", json=poll, headers=bearer(worker["jwt"]))
        requests.post(f"{served.api}/workers/{worker['worker']}/steer/drain", headers=bearer(key))
        requests.post(f"{served.api}/runs/{run}/cancel", json={}, headers=bearer(key))
        refused = requests.get(f"{served.api}/runs", headers=bearer("dtk_00000000_secret"))
    about = {record.getMessage(): record.about for record in caplog.records if hasattr(record, "about")}
    for what in ("worker enrolled", "run submitted", "lease opened", "worker drained", "run cancelled", "run ended"):
        assert about[what]["request"], what
    assert about["run submitted"]["request"] == answer.headers["X-Request-Id"]
    assert about["request refused"]["request"] == refused.headers["X-Request-Id"]
    assert about["request refused"]["reason"].startswith("the credential is missing, wrong")
    assert about["lease opened"]["run"] == run
    said = " ".join(str(record.__dict__) for record in caplog.records)
    for secret in (key.split("_", 2)[2], worker["jwt"], worker["renewal"], "dtk_00000000_secret"):
        assert secret not in said
    with served.service.engine.connect():
        rows = rows_of(served.service.engine, sa.select(AUDIT).where(AUDIT.c.what == "run submitted"))
    assert rows[0].request == answer.headers["X-Request-Id"]


def test_refusals_do_not_fill_the_disk(caplog):
    from dt_action.coordinator.journal import Refusals

    now = [0.0]
    refusals = Refusals(most=3, clock=lambda: now[0])
    with caplog.at_level(logging.INFO, "dt.coordinator"):
        for _ in range(10):
            refusals.tell(status=401, reason="no")
        now[0] = 61.0
        refusals.tell(status=401, reason="no")
    said = [(record.getMessage(), record.about.get("count")) for record in caplog.records]
    assert said == [("request refused", None)] * 3 + [("refusals left out", 7), ("request refused", None)]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_of_the_log_is_one_line_whatever_stands_in_it(form):
    import io

    from dt_action.coordinator import journal

    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    try:
        journal.set_up(form, stream)
        journal.tell("run ended", reason='a "b"\nERROR forged\x1b[31m\u2028', run="r" * 1000, empty="")
    finally:
        root.handlers[:], root.level = before
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line
    assert len(line) < 800
    if form == "json":
        told = json.loads(line)
        assert (told["event"], told["level"]) == ("run ended", "info")
        assert "empty" not in told


# --- readiness ------------------------------------------------------------------------------------------------------


def test_ready_is_only_who_can_write_to_the_database_and_the_directory(served, monkeypatch):
    from dt_action.coordinator import readiness

    monkeypatch.setattr(readiness, "KEPT_S", 0.0)
    assert requests.get(f"{served.url}/readyz").json() == {"status": "ready"}
    blocker = served.service.config.data / "readiness"
    blocker.unlink()
    blocker.mkdir()
    answer = requests.get(f"{served.url}/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert "data directory" in answer.json()["reason"]
    blocker.rmdir()
    with served.service.engine.begin() as connection:
        connection.exec_driver_sql("drop table sessions")
    answer = requests.get(f"{served.url}/readyz")
    assert answer.status_code == 503
    assert "database" in answer.json()["reason"]


def test_whoever_asks_for_readiness_all_the_time_does_not_write_all_the_time(served):
    path = served.service.config.data / "readiness"
    assert served.is_well()
    written = path.stat().st_mtime_ns
    asked_at = time.monotonic()
    while time.monotonic() - asked_at < 0.5:
        assert served.is_well()
    assert path.stat().st_mtime_ns == written


# --- a restored database --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_a_client_that_has_seen_more_than_there_is_learns_that_its_run_is_over(served, accept):
    key = served.key()
    run = submit(served, key).json()["run"]
    requests.post(f"{served.api}/runs/{run}/cancel", json={}, headers=bearer(key))
    headers = {**bearer(key), "Accept": accept}
    told = requests.get(f"{served.api}/runs/{run}/events?after=9000", headers=headers, timeout=10).text
    assert "9001" in told
    assert '"kind":"Ended"' in told


def test_a_database_that_was_put_back_ends_what_ran_and_says_why(tmp_path):
    first = Server(tmp_path / "data")
    key = first.key()
    run = submit(first, key).json()["run"]
    first.stop()
    pulse = tmp_path / "data" / "pulse"
    pulse.write_text(f"{int(pulse.read_text()) + 1}\n")
    second = Server(tmp_path / "data")
    try:
        state = requests.get(f"{second.api}/runs/{run}", headers=bearer(key)).json()
        assert (state["status"], state["reason"]) == (
            "stopped",
            "the coordinator's database was restored from a backup",
        )
    finally:
        second.stop()
    third = Server(tmp_path / "data")
    try:
        assert submit(third, key).status_code == 201
        assert third.is_well()
    finally:
        third.stop()


def test_a_run_for_containers_says_that_no_worker_has_them(served):
    key = served.key()
    served.enrol("processes-only")
    run = submit(served, key, start={"isolation": "container"}).json()["run"]
    why = requests.get(f"{served.api}/runs/{run}", headers=bearer(key)).json()["why_waiting"]
    assert [each["why"] for each in why] == ["waits for a worker that runs tests in containers: none has enrolled"]
