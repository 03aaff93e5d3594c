"""Those who should not get in, or not so far: each is refused, and the coordinator goes on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import json
import socket
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import jwt
import requests
from coordinator_rig import wait_until
from coordinator_server import Server, bearer, submission, submit, upload
from cryptography.hazmat.primitives.asymmetric import rsa

from dt_action.coordinator.connections import Connection, Lingering, Timeouts
from dt_action.coordinator.oidc import Oidc, Policy, read_policies
from dt_action.coordinator.protection import InFlight
from dt_action.coordinator.store import EVENTS
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.model.hardware import Capability
from dt_action.model.json_codec import to_jsonable
from dt_action.model.pytest_start import PytestStart
from dt_action.remote import wire
from dt_action.remote.bundle import make_bundle, unpack

ISSUER = "https://token.example.org"
NOW = 1_900_000_000.0
"""The time of the clock by which CI tokens are judged: this module may have been imported long before its tests run."""


SIGNING = rsa.generate_private_key(public_exponent=65537, key_size=2048)
FORGED = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwks(*keys: tuple[str, rsa.RSAPrivateKey]) -> dict:
    made = []
    for id, key in keys:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        made.append({**public, "kid": id, "use": "sig", "alg": "RS256"})
    return {"keys": made}


def ci_token(key=SIGNING, kid="one", algorithm="RS256", **claims) -> str:
    whole = {
        "iss": ISSUER,
        "aud": "dt",
        "iat": NOW,
        "exp": NOW + 300,
        "repository": "org/good",
        "ref": "refs/heads/main",
        **claims,
    }
    return jwt.encode(whole, key, algorithm=algorithm, headers={"kid": kid})


POLICY = Policy(
    issuer=ISSUER, audience="dt", claims={"repository": ["org/good"], "ref": ["refs/heads/*"]}, jwks_url="x"
)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    made = Server(
        tmp_path_factory.mktemp("c") / "data",
        Oidc([POLICY], fetch=lambda url: jwks(("one", SIGNING)), clock=lambda: NOW),
    )
    yield made
    made.stop()


# --- clients --------------------------------------------------------------------------------------------------------


def test_a_good_key_works(coordinator):
    answer = submit(coordinator, coordinator.key())
    assert answer.status_code == 201
    assert answer.json()["run"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("dtk_00000000_wrong"),
        bearer("nonsense"),
        bearer("dtk_' OR 1=1 --_x"),
        {"Authorization": "Basic YTpi"},
        bearer("dtk_"),
        bearer("x" * 5000),
    ],
)
def test_no_key_or_a_wrong_one(coordinator, headers):
    for method, path in (("get", "/runs"), ("post", "/runs"), ("get", "/workers"), ("get", "/blobs/" + "0" * 64)):
        body = submission("0" * 64) if method == "post" else None
        answer = requests.request(method, coordinator.api + path, headers=headers, json=body)
        assert answer.status_code == 401, (method, path, answer.text)


def test_a_secret_of_another_key(coordinator):
    one, other = coordinator.key().split("_", 2), coordinator.key().split("_", 2)
    mixed = "_".join([one[0], one[1], other[2]])
    assert requests.get(coordinator.api + "/runs", headers=bearer(mixed)).status_code == 401


def test_an_expired_key(coordinator):
    key = coordinator.key(expires_s=-1)
    assert requests.get(coordinator.api + "/runs", headers=bearer(key)).status_code == 401


def test_a_revoked_key(coordinator):
    from dt_action.coordinator.store import KEYS

    key = coordinator.key()
    assert requests.get(coordinator.api + "/runs", headers=bearer(key)).status_code == 200
    coordinator.change(lambda changes: changes.update(KEYS, key.split("_")[1], revoked_at=time.time()))
    assert requests.get(coordinator.api + "/runs", headers=bearer(key)).status_code == 401


def test_a_key_for_reading_submits_and_steers_nothing(coordinator):
    key = coordinator.key("read")
    assert requests.post(f"{coordinator.api}/runs", json=submission("0" * 64), headers=bearer(key)).status_code == 403
    assert requests.put(f"{coordinator.api}/blobs/{'0' * 64}", data=b"", headers=bearer(key)).status_code == 403
    worker = coordinator.enrol("steered")["worker"]
    assert requests.post(f"{coordinator.api}/workers/{worker}/steer/drain", headers=bearer(key)).status_code == 403


def test_a_key_of_one_repository_submits_for_no_other_and_sees_no_other(coordinator):
    mine, other = coordinator.key("submit", "read", repositories=["org/mine"]), coordinator.key()
    assert submit(coordinator, mine, repository="org/theirs").status_code == 403
    run = submit(coordinator, other, repository="org/theirs").json()["run"]
    for path in ("", "/events", "/results"):
        assert requests.get(f"{coordinator.api}/runs/{run}{path}", headers=bearer(mine)).status_code == 404
    assert requests.post(f"{coordinator.api}/runs/{run}/cancel", json={}, headers=bearer(mine)).status_code == 404
    assert run not in requests.get(f"{coordinator.api}/runs", headers=bearer(mine)).text


def test_secrets_are_not_in_the_database(coordinator):
    key, token = coordinator.key(), coordinator.token()
    content = b"".join(path.read_bytes() for path in coordinator.service.config.data.glob("coordinator.db*"))
    assert key.rsplit("_", 1)[1].encode() not in content
    assert token.rsplit("_", 1)[1].encode() not in content
    assert (coordinator.service.config.data / "secret").stat().st_mode & 0o077 == 0


def test_guessing_is_slowed_down_and_locks_nobody_out(tmp_path):
    """Forged JWTs and keys, also with an honest key's id, from the address that honest workers and clients share."""
    guessed = Server(tmp_path / "data", most_failures=30)
    try:
        key, worker = guessed.key(), guessed.enrol("honest")
        id = key.split("_")[1]
        head = worker["jwt"].rpartition(".")[0]
        forged = [f"{head}.{hashlib.sha256(str(n).encode()).hexdigest()[:43]}" for n in range(20)]
        answers = [poll(guessed, token, "honest").status_code for token in forged]
        for n in range(20):
            answers.append(requests.get(guessed.api + "/runs", headers=bearer(f"dtk_{id}_{n}")).status_code)
        assert answers[:30] == [401] * 30
        assert set(answers[30:]) == {429}
        assert requests.get(guessed.api + "/runs", headers=bearer(key)).status_code == 200
        assert poll(guessed, worker["jwt"], "honest").status_code == 200
        expired = jwt.encode(
            {"sub": worker["worker"], "aud": "dt-worker", "iss": "dt-coordinator", "exp": 1.0},
            (guessed.service.config.data / "secret").read_bytes(),
            algorithm="HS256",
        )
        assert poll(guessed, expired, "honest").status_code == 401, "it is to renew its token, not to wait"
    finally:
        guessed.stop()


# --- OIDC -----------------------------------------------------------------------------------------------------------


def test_a_good_ci_token_submits_for_its_own_repository_only(coordinator):
    assert submit(coordinator, ci_token(), repository="org/good").status_code == 201
    assert submit(coordinator, ci_token(), repository="org/other").status_code == 403


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(ci_token(repository="evil/good"), id="another repository"),
        pytest.param(ci_token(repository="org/good/../x"), id="a longer repository"),
        pytest.param(ci_token(ref="refs/pull/1/merge"), id="another ref"),
        pytest.param(ci_token(aud="somebody else"), id="wrong audience"),
        pytest.param(ci_token(exp=NOW - 3600, iat=NOW - 7200), id="expired"),
        pytest.param(ci_token(nbf=NOW + 3600), id="not yet good"),
        pytest.param(ci_token(iss="https://evil.example.org"), id="another issuer"),
        pytest.param(ci_token(key=FORGED), id="forged"),
        pytest.param(ci_token(kid="unknown"), id="unknown key"),
        pytest.param(ci_token(key="", algorithm="none"), id="none"),
        pytest.param(ci_token(key="x" * 32, algorithm="HS256"), id="symmetric"),
        pytest.param("a.b.c", id="nonsense"),
        pytest.param("..", id="empty"),
    ],
)
def test_a_bad_ci_token(coordinator, token):
    assert requests.get(coordinator.api + "/runs", headers=bearer(token)).status_code == 401


def test_keys_rotate_and_an_outage_of_the_issuer_does_no_harm():
    now = [NOW]
    published, asked = [jwks(("one", SIGNING))], []

    def fetch(url):
        asked.append(url)
        if published[0] is None:
            raise OSError("down")
        return published[0]

    oidc = Oidc([POLICY], fetch=fetch, clock=lambda: now[0])

    def caller(token):
        return asyncio.run(oidc(token))

    assert caller(ci_token()).repositories == ("org/good",)
    published[0] = jwks(("two", FORGED))
    now[0] += 31
    assert caller(ci_token(key=FORGED, kid="two")).repositories == ("org/good",)
    for _ in range(20):
        with pytest.raises(RefusalError):
            caller(ci_token(kid="three"))
    assert len(asked) == 2, "unknown keys must not make us ask the issuer each time"
    published[0] = None
    now[0] += 120
    assert caller(ci_token(key=FORGED, kid="two", exp=now[0] + 60)).repositories == ("org/good",)


def test_a_policy_must_name_a_repository(tmp_path):
    path = tmp_path / "oidc.toml"
    path.write_text('[[policy]]\nissuer="https://i"\naudience="a"\nclaims={ref=["*"]}\n')
    with pytest.raises(ConfigurationError, match="names no repository"):
        read_policies(path)
    path.write_text('[[policy]]\nissuer="https://i"\naudience="a"\nclaims={repository=["org/*"]}\n')
    assert read_policies(path)[0].claims == {"repository": ("org/*",)}


# --- workers --------------------------------------------------------------------------------------------------------


def poll(coordinator: Server, jwt: str, boot: str) -> requests.Response:
    asked = to_jsonable(wire.Poll(boot=boot, wait_s=0.0))
    return requests.post(f"{coordinator.api}/leases", json=asked, headers=bearer(jwt))


def a_lease(coordinator: Server, name: str) -> tuple[dict, dict]:
    """A worker and a lease that it holds."""
    admin = bearer(coordinator.key("admin"))
    for other in requests.get(f"{coordinator.api}/workers", headers=admin).json():
        if not other["busy"]:
            requests.post(f"{coordinator.api}/workers/{other['id']}/steer/remove", headers=admin)
    worker = coordinator.enrol(name)
    submit(coordinator, coordinator.key())
    return worker, poll(coordinator, worker["jwt"], name).json()["leases"][0]


def tell(coordinator: Server, lease: str, credential: str) -> requests.Response:
    told = to_jsonable(wire.Told(first=1, messages=({"e": "printed"},)))
    return requests.post(f"{coordinator.api}/leases/{lease}/events", json=told, headers=bearer(credential))


def test_a_token_that_was_used_up(coordinator):
    token = coordinator.token(uses=1)
    assert enrol_as(coordinator, token, "b") == 201
    assert enrol_as(coordinator, token, "another") == 401
    assert enrol_as(coordinator, token, "b") == 201, "the same process, to which the answer may have got lost"
    assert enrol_as(coordinator, token, "another") == 401


def test_a_token_for_one_that_many_use_at_once(coordinator):
    token = coordinator.token(uses=1)
    with ThreadPoolExecutor(16) as pool:
        answers = [*pool.map(lambda number: enrol_as(coordinator, token, f"b{number}"), range(16))]
    assert sorted(answers) == [201] + [401] * 15


def enrol_as(coordinator: Server, token: str, boot: str) -> int:
    asked = wire.Enrolment(name="once", boot=boot, slots=1, capability=Capability())
    return requests.post(f"{coordinator.api}/workers", json=to_jsonable(asked), headers=bearer(token)).status_code


def test_an_expired_or_foreign_enrolment_token(coordinator):
    for token in (coordinator.token(expires_s=-1), coordinator.key(), "", "dte_x_y"):
        asked = wire.Enrolment(name="never", boot="b", slots=1, capability=Capability())
        answer = requests.post(f"{coordinator.api}/workers", json=to_jsonable(asked), headers=bearer(token))
        assert answer.status_code == 401


def test_a_lease_listens_to_its_own_token_only(coordinator):
    first, lease = a_lease(coordinator, "lease-one")
    second, other = a_lease(coordinator, "lease-two")
    assert tell(coordinator, lease["id"], lease["token"]).status_code == 200
    for credential in (first["jwt"], second["jwt"], other["token"], coordinator.key(), "", "dtl_x"):
        assert tell(coordinator, lease["id"], credential).status_code in (401, 403)
        url = f"{coordinator.api}/leases/{lease['id']}/bundle"
        assert requests.get(url, headers=bearer(credential)).status_code in (401, 403)


def test_the_token_of_an_attempt_that_is_over(coordinator):
    worker, lease = a_lease(coordinator, "over")
    assert (
        requests.delete(f"{coordinator.api}/workers/{worker['worker']}", headers=bearer(worker["jwt"])).status_code
        == 204
    )
    assert tell(coordinator, lease["id"], lease["token"]).status_code == 410


def test_a_workers_jwt_is_good_for_itself_only(coordinator):
    one, other = coordinator.enrol("jwt-one"), coordinator.enrol("jwt-two")
    assert (
        requests.delete(f"{coordinator.api}/workers/{other['worker']}", headers=bearer(one["jwt"])).status_code == 403
    )
    assert requests.get(f"{coordinator.api}/runs", headers=bearer(one["jwt"])).status_code == 401
    renewal = bearer(one["renewal"])
    assert requests.post(f"{coordinator.api}/workers/{other['worker']}/token", headers=renewal).status_code == 401
    assert requests.post(f"{coordinator.api}/workers/{one['worker']}/token", headers=renewal).status_code == 200


def test_forged_worker_tokens(coordinator):
    worker = coordinator.enrol("forged")["worker"]
    secret = (coordinator.service.config.data / "secret").read_bytes()
    now = time.time()
    good = {"sub": worker, "aud": "dt-worker", "iss": "dt-coordinator", "exp": now + 600, "iat": now}
    forged = [
        jwt.encode(good, "x" * 32, algorithm="HS256"),
        jwt.encode(good, "", algorithm="none"),
        jwt.encode({**good, "aud": "dt-client"}, secret, algorithm="HS256"),
        jwt.encode({**good, "exp": now - 1}, secret, algorithm="HS256"),
        jwt.encode({**good, "iss": "me"}, secret, algorithm="HS256"),
        jwt.encode(good, secret, algorithm="HS512"),
        coordinator.key(),
    ]
    for token in forged:
        assert poll(coordinator, token, "forged").status_code == 401
    assert poll(coordinator, jwt.encode(good, secret, algorithm="HS256"), "forged").status_code == 200


def test_a_clock_that_jumps_makes_a_worker_renew_and_no_more(coordinator):
    worker = coordinator.enrol("skewed")
    guard = coordinator.service.guard
    guard._clock, real = (lambda: time.time() + 601), guard._clock
    try:
        assert poll(coordinator, worker["jwt"], "skewed").status_code == 401
        renewal = bearer(worker["renewal"])
        fresh = requests.post(f"{coordinator.api}/workers/{worker['worker']}/token", headers=renewal).json()["jwt"]
        assert poll(coordinator, fresh, "skewed").status_code == 200
    finally:
        guard._clock = real


# --- content --------------------------------------------------------------------------------------------------------


def test_a_blob_whose_digest_lies(coordinator):
    answer = requests.put(f"{coordinator.api}/blobs/{'0' * 64}", data=b"x", headers=bearer(coordinator.key()))
    assert answer.status_code == 422
    assert requests.get(f"{coordinator.api}/blobs/{'0' * 64}", headers=bearer(coordinator.key())).json() == {
        "present": False
    }
    assert not [*(coordinator.service.config.data / "blobs").glob("draft-*")]


@pytest.mark.parametrize("digest", ["..%2f..%2fsecret", "%2e%2e", "A" * 64, "0" * 63, "0" * 65, "..\\secret"])
def test_a_digest_that_is_a_path(coordinator, digest):
    answer = requests.put(f"{coordinator.api}/blobs/{digest}", data=b"x", headers=bearer(coordinator.key()))
    assert answer.status_code in (404, 405, 422)


def test_bodies_that_are_too_large(coordinator):
    key = coordinator.key()
    big = requests.put(f"{coordinator.api}/blobs/{'1' * 64}", data=b"x" * (2 << 20), headers=bearer(key))
    assert big.status_code == 413
    chunked = requests.put(
        f"{coordinator.api}/blobs/{'1' * 64}", data=iter([b"x" * (1 << 19)] * 4), headers=bearer(key)
    )
    assert chunked.status_code == 413
    assert coordinator.is_well()


def test_headers_of_ten_megabytes(coordinator):
    with socket.create_connection(("127.0.0.1", coordinator.port)) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * (10 << 20) + b"\r\n\r\n")
        sock.settimeout(10)
        with contextlib.suppress(OSError):
            assert b" 400 " in sock.recv(100) or True
    assert coordinator.is_well()


@pytest.fixture
def impatient(coordinator, monkeypatch):
    """The coordinator with limits of half a second for everything slow."""
    limits = Timeouts(head_s=0.5, pause_s=0.5, body_s=0.5, write_s=0.5, discard_s=0.5)
    monkeypatch.setattr(coordinator.connections, "timeouts", limits)
    return coordinator


def _after(coordinator, words: bytes) -> bytes:
    """All that comes back to somebody who says these words and then nothing, until the connection is closed."""
    with socket.create_connection(("127.0.0.1", coordinator.port)) as sock:
        sock.sendall(words)
        sock.settimeout(10)
        answered = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(4096):
                answered += piece
        return answered


def test_half_a_head(impatient):
    assert _after(impatient, b"GET /healthz HTTP/1.1\r\n") == b""


def test_half_a_head_after_a_whole_request(impatient, capfd):
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert _after(impatient, whole + b"GET /healthz HT").count(b" 200 ") == 1
    assert _after(impatient, whole + whole + b"G").count(b" 200 ") == 2
    assert "Traceback" not in capfd.readouterr().err


def test_a_body_that_never_comes(impatient, capfd):
    head = f"POST {wire.API}/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {impatient.key()}\r\n"
    assert b" 408 " in _after(impatient, f"{head}Content-Length: 100\r\n\r\n{{".encode())
    nobody = f"POST {wire.API}/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
    assert b" 401 " in _after(impatient, nobody.encode()), "and no byte of its body is waited for"
    assert "Traceback" not in capfd.readouterr().err


def test_a_body_that_comes_a_byte_at_a_time(impatient):
    head = f"POST {wire.API}/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {impatient.key()}\r\n"
    with socket.create_connection(("127.0.0.1", impatient.port)) as sock:
        sock.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode())
        sock.settimeout(0.1)
        answered = b""
        for _ in range(100):
            with contextlib.suppress(OSError):
                sock.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answered = sock.recv(4096)
                break
        assert b" 408 " in answered


def test_a_connection_that_cannot_be_ended_does_not_end_the_limits_of_the_others(impatient, monkeypatch):
    checked, check = [], Connection.check

    def broken_at_first(connection: Connection, now: float) -> None:
        checked.append(connection)
        if len(checked) == 1:
            raise OSError(errno.ENOTCONN, "the peer has gone")
        check(connection, now)

    monkeypatch.setattr(Connection, "check", broken_at_first)
    assert _after(impatient, b"GET /healthz HTTP/1.1\r\n") == b""
    assert _after(impatient, b"GET /healthz HTTP/1.1\r\n") == b""
    assert len(set(checked)) == 2


def test_a_peer_that_goes_while_its_refusal_is_sent():
    class Gone(asyncio.Transport):
        aborted = False

        def is_closing(self) -> bool:
            return False

        def can_write_eof(self) -> bool:
            return True

        def write_eof(self) -> None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def abort(self) -> None:
            self.aborted = True

    gone = Gone()
    Lingering(gone, lambda: True).close()
    assert gone.aborted


def test_an_answer_that_nobody_reads(impatient):
    key = impatient.key()
    run = submit(impatient, key).json()["run"]
    with impatient.service.engine.begin() as connection:
        rows = [
            {"run": run, "seq": 10 + n, "kind": "Logged", "at": 1.0, "payload": json.dumps({"text": "x" * 60_000})}
            for n in range(400)
        ]
        connection.execute(EVENTS.insert(), rows)
    with socket.create_connection(("127.0.0.1", impatient.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(
            f"GET {wire.API}/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        wait_until(lambda: impatient.service.streams.count == 1, what="the stream's begin")
        wait_until(lambda: impatient.service.streams.count == 0, what="the stream's end")


# --- what is asked before a body is read ----------------------------------------------------------------------------


WRONG_SHAPE = b'{"secret_password":[' + b"[]," * 300_000 + b"[]]}"


@pytest.mark.parametrize("path", ["/workers", "/runs", "/leases", "/history", f"/runs/{'0' * 16}/cancel"])
def test_a_large_body_of_another_shape(coordinator, path):
    cpu = time.process_time()
    answers = [
        requests.post(coordinator.api + path, data=WRONG_SHAPE, headers=headers)
        for headers in ({}, bearer("dtk_x_y"), bearer(coordinator.key()), bearer(coordinator.token()))
    ]
    assert {answer.status_code for answer in answers} <= {401, 404, 413, 422}
    assert all(len(answer.content) <= 1024 for answer in answers)
    assert not any(b"secret_password" in answer.content for answer in answers)
    assert time.process_time() - cpu < 5.0, "it took 3 s of processor time for each MiB"


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"\xff\xfe", b"", b"nul", b'{"nonce": ' + b"9" * 5000 + b"}", b'"' + b"x" * 3000, b"{}"],
    ids=range(7),
)
def test_a_body_that_is_no_message(coordinator, body):
    for path in ("/runs", f"/runs/{'0' * 16}/cancel"):
        answer = requests.post(coordinator.api + path, data=body, headers=bearer(coordinator.key()))
        assert answer.status_code in (404, 413, 422), (path, answer.text)
        assert len(answer.content) <= 1024


def test_another_version_of_dt_is_told_so_in_a_sentence(coordinator):
    key = coordinator.key()
    headers = {**bearer(key), wire.VERSION_HEADER: "1 (dt 0.0.1)"}
    answer = requests.post(f"{coordinator.api}/runs", json=submission(upload(coordinator, key)), headers=headers)
    assert answer.status_code == 426
    told = answer.json()
    assert f"version {wire.VERSION} of the wire" in told["error"] and "dt 0.0.1" in told["error"]
    assert "same version" in told["hint"]


def test_a_message_of_the_wrong_type_is_not_read_as_the_right_one(coordinator):
    key = coordinator.key()
    good = submission(upload(coordinator, key))
    for wrong in (
        {"priority": "2"},
        {"start": {"measures": "yes"}},
        {"nonce": 5},
        {"start": {"args": "x"}},
        {"start": None},
        {"limits": {"retries": 1.5}},
    ):
        answer = requests.post(f"{coordinator.api}/runs", json={**good, **wrong}, headers=bearer(key))
        assert answer.status_code == 422, wrong
    for senseless in ({"priority": 10**300}, {"nonce": ""}, {"plan": {"files": []}}, {"start": {"directory": "a\0b"}}):
        answer = requests.post(f"{coordinator.api}/runs", json={**good, **senseless}, headers=bearer(key))
        assert answer.status_code == 422, senseless


# --- how much anybody may have --------------------------------------------------------------------------------------


def test_streams_are_bounded_for_each_key_and_end_with_their_connections(coordinator, monkeypatch):
    monkeypatch.setattr(coordinator.service, "streams", InFlight(most=5, most_of_one=3, what="streams"))
    one, other = coordinator.key(), coordinator.key()
    run = submit(coordinator, one).json()["run"]
    url = f"{coordinator.api}/runs/{run}/events"

    def follow(key):
        return requests.get(url, headers={**bearer(key), "Accept": "text/event-stream"}, stream=True, timeout=10)

    streams = [follow(one) for _ in range(3)]
    refused = follow(one)
    assert refused.status_code == 429
    assert "as many as may be" in refused.json()["error"]
    streams += [follow(other) for _ in range(2)]
    assert [stream.status_code for stream in streams] == [200] * 5
    assert follow(other).status_code == 503
    for stream in streams:
        stream.close()
    wait_until(lambda: coordinator.service.streams.count == 0, what="the streams' end")
    assert follow(one).status_code == 200


def test_connections_are_bounded_and_those_that_say_nothing_make_way(coordinator, monkeypatch):
    monkeypatch.setattr(coordinator.connections, "most", 40)
    silent = [socket.create_connection(("127.0.0.1", coordinator.port)) for _ in range(100)]
    try:
        for _ in range(20):
            assert coordinator.is_well()
        assert len(coordinator.connections) <= 40
    finally:
        for sock in silent:
            sock.close()


def test_where_all_connections_work_one_more_is_told_so(coordinator, monkeypatch):
    wait_until(lambda: len(coordinator.connections) == coordinator.connections.count("idle"), what="quiet")
    key = coordinator.key()
    run = submit(coordinator, key).json()["run"]
    headers = {**bearer(key), "Accept": "text/event-stream"}
    monkeypatch.setattr(coordinator.connections, "most", 4)
    url = f"{coordinator.api}/runs/{run}/events"
    streams = [requests.get(url, headers=headers, stream=True, timeout=10) for _ in range(4)]
    refused = requests.get(coordinator.url + "/healthz", timeout=10)
    assert refused.status_code == 503
    assert "try again" in refused.json()["error"]
    for stream in streams:
        stream.close()
    monkeypatch.undo()


HOSTILE = ["'; DROP TABLE runs; --", "<script>alert(1)</script>", "\ud800", "a\0b", "\u202e", "x" * 5000, "{{7*7}}"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field(coordinator, text):
    key = coordinator.key()
    start = PytestStart(setup=text, args=(text,), directory=text)
    body = submission(upload(coordinator, key), repository=text, commit=text, start=start)
    body["plan"]["files"][0]["path"] = text
    body["plan"]["files"][0]["test_type"] = text
    answer = requests.post(f"{coordinator.api}/runs", data=json.dumps(body), headers=bearer(key))
    assert answer.status_code in (201, 422), answer.text
    for path in ("/runs", "/workers"):
        assert requests.get(coordinator.api + path, headers=bearer(key)).status_code == 200
    asked = to_jsonable(wire.Enrolment(name=text, boot="b", slots=1, capability=Capability()))
    headers = bearer(coordinator.token())
    assert requests.post(f"{coordinator.api}/workers", data=json.dumps(asked), headers=headers).status_code == 422
    assert coordinator.is_well()


def test_numbers_that_are_none(coordinator):
    key = coordinator.key()
    body = json.dumps(submission(upload(coordinator, key))).replace('"test_a.py"}', '"test_a.py"},"expected_s":NaN')
    answer = requests.post(f"{coordinator.api}/runs", data=body, headers=bearer(key))
    assert answer.status_code in (201, 422)
    assert coordinator.is_well()


@pytest.mark.parametrize(
    "message",
    [
        {"e": "finished", "id": "x", "outcome": "great", "duration_s": 1, "started_at": 1},
        {"e": "finished", "id": "x", "outcome": "passed", "duration_s": -1, "started_at": 1},
        {"e": "ready", "files": "all"},
        {"e": "nonsense"},
        {},
        {"e": ["died"]},
    ],
)
def test_a_slot_that_tells_nonsense_is_ended(coordinator, message):
    _, lease = a_lease(coordinator, "liar")
    url = f"{coordinator.api}/leases/{lease['id']}/events"
    answer = requests.post(url, json={"first": 1, "messages": [message]}, headers=bearer(lease["token"]))
    assert answer.status_code == 200, answer.text
    *_, command = [numbered["command"] for numbered in answer.json()["commands"]]
    assert command["op"] == "kill"
    assert "expected" in command["reason"]
    assert coordinator.is_well()


# --- bundles --------------------------------------------------------------------------------------------------------


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for info, content in members:
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "members",
    [
        [(member("../out"), b"x")],
        [(member("/out"), b"x")],
        [(member("a/../../out"), b"x")],
        [(member("link", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(member("link", tarfile.SYMTYPE, "../.."), b"")],
        [(member("a", tarfile.SYMTYPE, "b"), b""), (member("b", tarfile.SYMTYPE, "../../etc"), b"")],
        [(member("hard", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [(member("device", tarfile.CHRTYPE), b"")],
        [(member("fifo", tarfile.FIFOTYPE), b"")],
        [(member("a"), b"1"), (member("a"), b"2")],
    ],
)
def test_a_bundle_that_leads_out(tmp_path, members):
    path = tmp_path / "bundle"
    path.write_bytes(archive(*members))
    with pytest.raises(UnreadableError):
        unpack(path, tmp_path / "inside" / "tree")
    assert {entry.name for entry in tmp_path.iterdir()} <= {"bundle", "inside"}
    assert not (tmp_path / "inside" / "out").exists()


def test_a_bundle_that_is_a_bomb(tmp_path):
    path = tmp_path / "bundle"
    path.write_bytes(archive((member("zeros"), b"\0" * (64 << 20))))
    assert path.stat().st_size < 100_000
    with pytest.raises(UnreadableError, match="too much"):
        unpack(path, tmp_path / "tree")


def test_a_bundle_that_is_cut_short(tmp_path):
    path = tmp_path / "bundle"
    path.write_bytes(archive((member("a"), b"x" * 100_000))[:-40])
    with pytest.raises(UnreadableError):
        unpack(path, tmp_path / "tree")


def test_a_bundle_is_the_tree_and_the_same_tree_is_the_same_bundle(tmp_path):
    import subprocess

    root = tmp_path / "repository"
    (root / "sub").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / ".gitignore").write_text("ignored\n")
    (root / "ignored").write_text("x")
    (root / "tracked.py").write_text("x")
    (root / "sub" / "new.sh").write_text("x")
    (root / "sub" / "new.sh").chmod(0o755)
    (root / "inside").symlink_to("tracked.py")
    (root / "outside").symlink_to("/etc/passwd")
    subprocess.run(["git", "-C", str(root), "add", "tracked.py"], check=True)
    first = make_bundle(root)
    (root / "tracked.py").touch()
    again = make_bundle(root / "sub")
    assert (first.digest, again.directory) == (again.digest, "sub")
    (tmp_path / "bundle").write_bytes(first.content)
    unpack(tmp_path / "bundle", tmp_path / "tree")
    found = sorted(path.relative_to(tmp_path / "tree").as_posix() for path in (tmp_path / "tree").rglob("*"))
    assert found == [".gitignore", "inside", "sub", "sub/new.sh", "tracked.py"]
    assert (tmp_path / "tree" / "sub" / "new.sh").stat().st_mode & 0o111
