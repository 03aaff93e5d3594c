"""Those who should not get in, or not so far: each is refused, and the coordinator goes on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import jwt
import requests
import uvicorn
from coordinator_rig import free_port, wait_until
from cryptography.hazmat.primitives.asymmetric import rsa

from dt_action.coordinator import server
from dt_action.coordinator.auth import make_enrolment, make_key
from dt_action.coordinator.oidc import Oidc, Policy, read_policies
from dt_action.coordinator.service import Config, Service
from dt_action.coordinator.store import Changes
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.json_codec import to_jsonable
from dt_action.model.plan import Plan, PlannedFile
from dt_action.remote import wire
from dt_action.remote.bundle import make_bundle, unpack

ISSUER = "https://token.example.org"
NOW = 1_900_000_000.0
"""The time of the clock by which CI tokens are judged: this module may have been imported long before its tests run."""


class Server:
    """A coordinator in a thread."""

    def __init__(self, data: Path, oidc: Oidc) -> None:
        self.service = Service(Config(data=data, max_bundle_bytes=1 << 20), oidc=oidc)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = self.url + wire.API
        self._server = uvicorn.Server(server.settings(self.service, host="127.0.0.1", port=self.port))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, what="the server's start")

    def change(self, work):
        changes = Changes()
        made = work(changes)
        with self.service.engine.begin() as connection:
            changes.write(connection)
        return made

    def key(self, *scopes: str, **more) -> str:
        return self.change(lambda changes: make_key(changes, name="k", scopes=scopes or ("submit", "read"), **more))

    def token(self, **more) -> str:
        return self.change(
            lambda changes: make_enrolment(changes, name="t", **{"uses": None, "expires_s": None, **more})
        )

    def enrol(self, name: str = "w") -> dict:
        asked = wire.Enrolment(
            token=self.token(), name=name, boot=name, slots=1, capability=Capability(platform="linux")
        )
        return requests.post(f"{self.api}/workers", json=to_jsonable(asked)).json()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)

    def is_well(self) -> bool:
        return requests.get(f"{self.url}/readyz").status_code == 200


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


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


@pytest.fixture(autouse=True)
def _forgiving(monkeypatch):
    """These tests are refused more often than a minute allows; `test_guessing_is_slowed_down` has its own."""
    from dt_action.coordinator import protection

    if "guessing" not in str(monkeypatch):
        monkeypatch.setattr(protection, "MOST_FAILURES", 10_000)


def submission(bundle: str, **more) -> dict:
    plan = Plan(files=(PlannedFile(path="test_a.py", needs=FileNeeds(path="test_a.py")),))
    return to_jsonable(wire.Submission(**{"nonce": str(time.monotonic_ns()), "bundle": bundle, "plan": plan, **more}))


def upload(coordinator: Server, key: str, content: bytes = b"") -> str:
    content = content or str(time.monotonic_ns()).encode()
    digest = hashlib.sha256(content).hexdigest()
    assert requests.put(f"{coordinator.api}/blobs/{digest}", data=content, headers=bearer(key)).status_code == 201
    return digest


def submit(coordinator: Server, key: str, **more) -> requests.Response:
    body = submission(upload(coordinator, key), **more)
    return requests.post(f"{coordinator.api}/runs", json=body, headers=bearer(key))


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


def test_guessing_is_slowed_down(tmp_path, monkeypatch):
    from dt_action.coordinator import protection

    monkeypatch.setattr(protection, "MOST_FAILURES", 30)
    guessed = Server(tmp_path / "data", Oidc([]))
    try:
        answers = [
            requests.get(guessed.api + "/runs", headers=bearer(f"dtk_00000000_{n}")).status_code for n in range(40)
        ]
        assert answers[:30] == [401] * 30
        assert set(answers[30:]) == {429}
        assert requests.get(guessed.api + "/runs", headers=bearer(guessed.key())).status_code == 200
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
    assert oidc(ci_token()).repositories == ("org/good",)
    published[0] = jwks(("two", FORGED))
    now[0] += 31
    assert oidc(ci_token(key=FORGED, kid="two")).repositories == ("org/good",)
    for _ in range(20):
        with pytest.raises(RefusalError):
            oidc(ci_token(kid="three"))
    assert len(asked) == 2, "unknown keys must not make us ask the issuer each time"
    published[0] = None
    now[0] += 120
    assert oidc(ci_token(key=FORGED, kid="two", exp=now[0] + 60)).repositories == ("org/good",)


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
    asked = wire.Enrolment(token=token, name="once", boot=boot, slots=1, capability=Capability())
    return requests.post(f"{coordinator.api}/workers", json=to_jsonable(asked)).status_code


def test_an_expired_or_foreign_enrolment_token(coordinator):
    for token in (coordinator.token(expires_s=-1), coordinator.key(), "", "dte_x_y"):
        asked = wire.Enrolment(token=token, name="never", boot="b", slots=1, capability=Capability())
        assert requests.post(f"{coordinator.api}/workers", json=to_jsonable(asked)).status_code == 401


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
    renewal = {"renewal": one["renewal"]}
    assert requests.post(f"{coordinator.api}/workers/{other['worker']}/token", json=renewal).status_code == 401
    assert requests.post(f"{coordinator.api}/workers/{one['worker']}/token", json=renewal).status_code == 200


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
        renewal = {"renewal": worker["renewal"]}
        fresh = requests.post(f"{coordinator.api}/workers/{worker['worker']}/token", json=renewal).json()["jwt"]
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


def test_a_head_that_comes_a_byte_at_a_time(coordinator, monkeypatch):
    monkeypatch.setattr(server, "HEADER_PATIENCE_S", 0.5)
    with socket.create_connection(("127.0.0.1", coordinator.port)) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        sock.settimeout(10)
        assert sock.recv(100) == b""


def test_a_body_that_never_comes(coordinator, monkeypatch):
    from dt_action.coordinator import protection

    monkeypatch.setattr(protection, "BODY_PATIENCE_S", 0.5)
    head = (
        f"POST {wire.API}/workers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", coordinator.port)) as sock:
        sock.sendall(head.encode() + b"{")
        sock.settimeout(10)
        assert b" 408 " in sock.recv(200)


HOSTILE = ["'; DROP TABLE runs; --", "<script>alert(1)</script>", "\ud800", "a\0b", "\u202e", "x" * 5000, "{{7*7}}"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_every_field(coordinator, text):
    key = coordinator.key()
    body = submission(upload(coordinator, key), repository=text, commit=text, setup=text, args=(text,), directory=text)
    body["plan"]["files"][0]["path"] = text
    body["plan"]["files"][0]["test_type"] = text
    answer = requests.post(f"{coordinator.api}/runs", data=json.dumps(body), headers=bearer(key))
    assert answer.status_code in (201, 422), answer.text
    for path in ("/runs", "/workers"):
        assert requests.get(coordinator.api + path, headers=bearer(key)).status_code == 200
    asked = to_jsonable(
        wire.Enrolment(token=coordinator.token(), name=text, boot="b", slots=1, capability=Capability())
    )
    assert requests.post(f"{coordinator.api}/workers", data=json.dumps(asked)).status_code == 422
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
    (command,) = [numbered["command"] for numbered in answer.json()["commands"]]
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
