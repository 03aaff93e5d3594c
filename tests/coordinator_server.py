"""A coordinator in a thread of the test's own process, and what clients and workers send to it by hand."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import uvicorn
from coordinator_rig import free_port, wait_until

from dt_action.coordinator import server
from dt_action.coordinator.connections import Connections
from dt_action.coordinator.credentials import make_enrolment, make_key
from dt_action.coordinator.oidc import Oidc
from dt_action.coordinator.protection import Failures
from dt_action.coordinator.service import Config, Service
from dt_action.coordinator.store import KEYS, Changes
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.json_codec import to_jsonable
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.pytest_start import PytestStart
from dt_action.remote import wire


class Server:
    """A coordinator in a thread."""

    def __init__(
        self,
        data: Path,
        oidc: Oidc | None = None,
        *,
        most_failures: int = 10**9,
        trusted_proxies: tuple[str, ...] = (),
        **config: Any,
    ) -> None:
        self.service = Service(Config(data=data, **{"max_bundle_bytes": 1 << 20, **config}), oidc=oidc or Oidc([]))
        self.service.failures = Failures(most=most_failures)
        self.connections = Connections()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = self.url + wire.API
        self._server = uvicorn.Server(
            server.settings(
                self.service,
                server.Listening(host="127.0.0.1", port=self.port, trusted_proxies=trusted_proxies),
                self.connections,
            )
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, what="the server's start")

    def change(self, work: Callable[[Changes], Any]) -> Any:
        changes = Changes()
        made = work(changes)
        with self.service.engine.begin() as connection:
            changes.write(connection)
        return made

    def key(self, *scopes: str, **more: Any) -> str:
        return self.change(lambda changes: make_key(changes, name="k", scopes=scopes or ("submit", "read"), **more))

    def token(self, **more: Any) -> str:
        return self.change(
            lambda changes: make_enrolment(changes, name="t", **{"uses": None, "expires_s": None, **more})
        )

    def session(self, key: str) -> str:
        """The cookie of a browser in which somebody has logged in with this key."""
        page = requests.get(f"{self.url}/login", timeout=10)
        form = {"key": key, "form_token": form_token(page.text)}
        cookies = {"dt_login": page.cookies["dt_login"]}
        answer = requests.post(f"{self.url}/login", data=form, cookies=cookies, allow_redirects=False, timeout=10)
        return answer.cookies["dt_session"]

    def enrol(self, name: str = "w") -> dict:
        asked = wire.Enrolment(name=name, boot=name, slots=1, capability=Capability(platform="linux"))
        return requests.post(f"{self.api}/workers", json=to_jsonable(asked), headers=bearer(self.token())).json()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)

    def is_well(self) -> bool:
        return requests.get(f"{self.url}/readyz", timeout=10).status_code == 200


def form_token(page: str) -> str:
    """The token that stands in every form of a page."""
    return page.partition('name="form_token" value="')[2].partition('"')[0]


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def submission(bundle: str, *, start: PytestStart | None = None, **more: Any) -> dict:
    plan = Plan(files=(PlannedFile(path="test_a.py", needs=FileNeeds(path="test_a.py")),))
    fixed = {"nonce": str(time.monotonic_ns()), "bundle": bundle, "plan": plan, "start": start or PytestStart()}
    return to_jsonable(wire.Submission(**{**fixed, **more}))


def upload(coordinator: Server, key: str, content: bytes = b"") -> str:
    content = content or str(time.monotonic_ns()).encode()
    digest = hashlib.sha256(content).hexdigest()
    assert requests.put(f"{coordinator.api}/blobs/{digest}", data=content, headers=bearer(key)).status_code == 201
    return digest


def submit(coordinator: Server, key: str, **more: Any) -> requests.Response:
    body = submission(upload(coordinator, key), **more)
    return requests.post(f"{coordinator.api}/runs", json=body, headers=bearer(key))


class Tenants:
    """Two tenants of one coordinator, each with a key bound to a repository, and what the first one owns."""

    KINDS = ("nobody", "forged", "revoked", "other tenant", "reader of the other", "worker", "lease", "owner", "admin")

    def __init__(self, coordinator: Server) -> None:
        self.coordinator = coordinator
        owner = coordinator.key("submit", "read", repositories=["org/one"])
        revoked = coordinator.key()
        coordinator.change(lambda changes: changes.update(KEYS, revoked.split("_")[1], revoked_at=time.time()))
        enrolled = coordinator.enrol("shared")
        self.bundle = upload(coordinator, owner, b"a secret tree")
        body = submission(self.bundle, repository="org/one")
        self.run = requests.post(f"{coordinator.api}/runs", json=body, headers=bearer(owner)).json()["run"]
        poll = to_jsonable(wire.Poll(boot="shared", wait_s=0.0))
        work = requests.post(f"{coordinator.api}/leases", json=poll, headers=bearer(enrolled["jwt"])).json()
        self.lease, self.worker = work["leases"][0]["id"], enrolled["worker"]
        self.credentials = {
            "nobody": "",
            "forged": "dtk_00000000_forged",
            "revoked": revoked,
            "other tenant": coordinator.key("submit", "read", repositories=["org/two"]),
            "reader of the other": coordinator.key("read", repositories=["org/two"]),
            "worker": enrolled["jwt"],
            "lease": work["leases"][0]["token"],
            "owner": owner,
            "admin": coordinator.key("admin"),
        }
