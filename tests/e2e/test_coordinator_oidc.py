"""`dt coordinator --oidc FILE`: a CI job's own token is the key, for the repository that the policy names."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from coordinator_rig import DT, Coordinator, Worker, closing_all, make_project, start_run
from tls_rig import make_certificate

jwt = pytest.importorskip("jwt", reason="the extra `coordinator` is not installed")
rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")

AUDIENCE = "https://dt.example.org"


class Issuer(ThreadingHTTPServer):
    """What a CI service shows to the world: where its keys are, and the keys."""

    daemon_threads = True

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authority, key = certificate
        self.url = f"https://127.0.0.1:{self.server_port}"
        self._signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def document(self, path: str) -> dict:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._signing.public_key()))
        return {"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]}

    def token(self, repository: str, **claims) -> str:
        now = time.time()
        whole = {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": now + 300, "repository": repository, **claims}
        return jwt.encode(whole, self._signing, algorithm="RS256", headers={"kid": "one"})

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        content = json.dumps(self.server.document(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_job_of_the_named_repository_runs_and_no_other(tmp_path):
    issuer = Issuer(make_certificate(tmp_path / "tls"))
    policy = (
        f'[[policy]]\nissuer = "{issuer.url}"\naudience = "{AUDIENCE}"\n'
        'claims.repository = ["org/good"]\nclaims.ref = ["refs/heads/main"]\nscopes = ["submit", "read"]\n'
    )
    (tmp_path / "oidc.toml").write_text(policy)
    coordinator = Coordinator(tmp_path / "c", options=("--oidc", str(tmp_path / "oidc.toml")))
    coordinator.environ = {"REQUESTS_CA_BUNDLE": str(issuer.authority)}
    coordinator.start()
    ids = make_project(tmp_path / "project", files=2, cases=5)
    worker = Worker(tmp_path / "w", coordinator.url, coordinator.token(), ("--slots", "1")).start()

    def run(repository: str, token: str):
        job = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": repository, "GITHUB_SHA": "0" * 40}
        return start_run(tmp_path / "project", coordinator.url, token, "--comment", "off", **job).finish()

    main = {"ref": "refs/heads/main"}
    with closing_all(worker, issuer, coordinator):
        good = run("org/good", issuer.token("org/good", **main))
        assert good.outcomes == dict.fromkeys(ids, "passed"), good.output[-3000:]
        assert coordinator.rows("select owner, repository from runs") == [(f"{issuer.url} org/good", "org/good")]
        for repository, token in (
            ("org/bad", issuer.token("org/bad", **main)),
            ("org/good", issuer.token("org/good", ref="refs/heads/other")),
            ("org/good", issuer.token("org/good", **main, aud="https://other.example.org")),
        ):
            told = run(repository, token)
            assert told.code == 7, told.output
            assert "the token is not one that this coordinator takes" in told.output
        borrowed = run("org/bad", issuer.token("org/good", **main))
        assert borrowed.code == 7, borrowed.output
        assert "this credential is only for org/good" in borrowed.output
        assert coordinator.rows("select count(*) from runs") == [(1,)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no [[policy]]"),
        ('[[policy]]\nissuer = "https://i"\naudience = "a"\nclaims.ref = ["*"]\n', "names no repository"),
        ("[[policy", "cannot be read"),
    ],
)
def test_a_policy_that_lets_everybody_in_or_nobody_is_refused_at_the_start(tmp_path, text, words):
    (tmp_path / "oidc.toml").write_text(text)
    command = [*DT, "coordinator", "--data", str(tmp_path / "c"), "--oidc", str(tmp_path / "oidc.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 4, done.stderr
    assert words in done.stderr
