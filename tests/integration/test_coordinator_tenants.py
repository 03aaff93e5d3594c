"""What a credential is not for is not there: every path of the interface, with every kind of credential."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import requests
from coordinator_server import Server, Tenants, bearer, submission, submit, upload

from dt_action.coordinator.store import RUNS
from dt_action.history.codec import encode

ADMITTED = {
    "GET /api/v1/blobs/{digest}": {"owner"},
    "PUT /api/v1/blobs/{digest}": {"owner", "other tenant", "admin"},
    "POST /api/v1/runs": {"owner"},
    "GET /api/v1/runs": {"owner", "admin"},
    "GET /api/v1/runs/{run}": {"owner", "admin"},
    "GET /api/v1/runs/{run}/events": {"owner", "admin"},
    "GET /api/v1/runs/{run}/results": {"owner", "admin"},
    "GET /api/v1/runs/{run}/coverage": {"owner", "admin"},
    "GET /api/v1/runs/{run}/coverage/{digest}": set(),
    "POST /api/v1/runs/{run}/cancel": {"owner", "admin"},
    "GET /api/v1/workers": {"owner", "admin"},
    "POST /api/v1/workers/{worker}/steer/{action}": {"admin"},
    "POST /api/v1/workers": set(),
    "POST /api/v1/workers/{worker}/token": set(),
    "DELETE /api/v1/workers/{worker}": {"worker"},
    "POST /api/v1/leases": {"worker"},
    "POST /api/v1/leases/{lease}/events": {"lease"},
    "GET /api/v1/leases/{lease}/bundle": {"lease"},
    "PUT /api/v1/leases/{lease}/coverage/{digest}": {"lease"},
    "GET /api/v1/runs/{run}/plan": {"owner", "admin"},
    "POST /api/v1/runs/{run}/again": {"owner", "admin"},
    "GET /api/v1/keys": {"admin"},
    "POST /api/v1/keys": {"admin"},
    "DELETE /api/v1/keys/{id}": set(),
    "GET /api/v1/enrolments": {"admin"},
    "POST /api/v1/enrolments": {"admin"},
    "DELETE /api/v1/enrolments/{id}": set(),
    "GET /api/v1/audit": {"admin"},
    "PUT /api/v1/maintenance": {"admin"},
    "DELETE /api/v1/maintenance": {"admin"},
    "GET /api/v1/history": {"owner", "admin"},
    "POST /api/v1/history": {"owner", "admin"},
}
"""
Who gets anything of the first tenant's from each path. A path that is not named here fails the test: whoever adds one
says for whom it is.
"""


@pytest.fixture
def tenants(tmp_path):
    coordinator = Server(tmp_path / "data")
    yield Tenants(coordinator)
    coordinator.stop()


def test_every_path_with_every_kind_of_credential(tenants):
    coordinator = tenants.coordinator
    paths = requests.get(f"{coordinator.url}/openapi.json").json()["paths"]
    asked = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    guarded = [each for each in asked if each.split(" ")[1].startswith("/api/")]
    assert {*guarded} == {*ADMITTED}
    wrong = []
    for each in sorted(guarded, key=_what_ends_something_last):
        for kind in sorted(tenants.KINDS, key=lambda kind: kind in ADMITTED[each]):
            answer = _asked(tenants, each, kind)
            tells = any(word in answer.text for word in (tenants.run, "test_a.py", "a secret tree"))
            gets_in = tells if each in LISTS else answer.status_code < 400 and answer.text != '{"present":false}'
            if kind not in ("owner", "admin", "lease", "worker"):
                assert not tells, f"{each} as {kind}: {answer.text[:200]}"
            if gets_in != (kind in ADMITTED[each]) or (tells and not gets_in) or answer.status_code >= 500:
                wrong.append(f"{each} as {kind}: {answer.status_code} {answer.text[:200]}")
            assert answer.status_code < 400 or len(answer.content) <= 1024
    assert not wrong, "\n".join(wrong)


LISTS = ("GET /api/v1/runs", "GET /api/v1/workers")
"""Everybody may have a list; what matters is whether anything of the first tenant's stands in it."""


def _what_ends_something_last(each: str) -> tuple[bool, bool, str]:
    return each.startswith("DELETE") or "maintenance" in each, "cancel" in each, each


def _asked(tenants: Tenants, each: str, kind: str) -> requests.Response:
    """A request that would be right, with a credential of this kind."""
    method, path = each.split(" ")
    digest = tenants.bundle
    path = path.format(
        digest=digest, run=tenants.run, worker=tenants.worker, lease=tenants.lease, action="resume", id="00000000"
    )
    bodies = {
        "POST /api/v1/runs": submission(tenants.bundle, repository="org/one"),
        "POST /api/v1/leases": {"boot": "shared", "wait_s": 0},
        "POST /api/v1/leases/{lease}/events": {"first": 1, "messages": [{"e": "printed"}]},
        "POST /api/v1/keys": {"name": "made"},
        "POST /api/v1/workers": {"name": "w", "boot": "x", "slots": 1, "capability": {}},
    }
    query = {"repository": "org/one"} if "history" in path else {"root": "/x"} if "coverage" in path else {}
    content = b"a secret tree" if method == "PUT" else encode(()) if each.startswith("POST /api/v1/history") else None
    content = None if "maintenance" in path else content
    body = {} if method in ("POST", "PUT") and content is None else None
    return requests.request(
        method,
        tenants.coordinator.url + path,
        params=query,
        json=bodies.get(each, body) if content is None else None,
        data=content,
        headers={**bearer(tenants.credentials[kind]), "Accept": "application/json"} if kind != "nobody" else {},
        timeout=20,
    )


PAGES = {
    "/": {"owner", "admin"},
    "/runs/{run}": {"owner", "admin"},
    "/runs/{run}/tests/1": set(),
    "/tests?case=x&repository=org/one": {"owner", "admin"},
    "/flaky": {"owner", "admin"},
    "/workers": {"owner", "admin"},
    "/workers/{worker}": {"owner", "admin"},
    "/hardware": set(),
    "/keys": {"admin"},
    "/audit": {"admin"},
    "/audit.csv": {"admin"},
}
"""Who sees anything of the first tenant's on which page; that of workers has all of them, without what they run."""


def test_every_page_with_the_session_of_every_kind_of_key(tenants):
    coordinator = tenants.coordinator
    wrong = []
    for kind in ("other tenant", "reader of the other", "owner", "admin"):
        cookies = {"dt_session": coordinator.session(tenants.credentials[kind])}
        for path, admitted in PAGES.items():
            url = coordinator.url + path.format(run=tenants.run, worker=tenants.worker)
            answer = requests.get(url, cookies=cookies, allow_redirects=False, timeout=20)
            tells = any(word in answer.text for word in (tenants.run, "test_a.py"))
            is_in = tells if path in ("/", "/workers", "/workers/{worker}") else answer.status_code < 400
            is_for_all = path in ("/flaky", "/hardware")
            if answer.status_code >= 500 or (is_in != (kind in admitted) and not is_for_all) or (tells and not is_in):
                wrong.append(f"{path} as {kind}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def test_a_key_of_one_repository_sees_all_of_its_own_however_many_others_there_are(tenants):
    service = tenants.coordinator.service
    row = {"nonce": "", "repository": "org/busy", "commit": "", "priority": 0, "max_slots": 0, "bundle": ""}
    more = {"submission": "{}", "status": "completed", "reason": "", "totals": "{}", "ended_at": time.time()}
    with service.engine.begin() as connection:
        for number in range(120):
            made = {**row, **more, "id": f"{number:016x}", "nonce": str(number), "owner": "busy", "created_at": 2e9}
            connection.execute(RUNS.insert().values(**made))
    url = f"{tenants.coordinator.api}/runs"
    mine = requests.get(url, headers=bearer(tenants.credentials["owner"])).json()
    assert [run["id"] for run in mine] == [tenants.run]


def test_workers_tell_nothing_of_other_tenants_runs(tenants):
    url = f"{tenants.coordinator.api}/workers"
    (theirs,) = requests.get(url, headers=bearer(tenants.credentials["other tenant"])).json()
    assert theirs["busy"] == 1
    assert [(work["run"], work["case"]) for work in theirs["doing"]] == [("", "")]
    (mine,) = requests.get(url, headers=bearer(tenants.credentials["owner"])).json()
    assert [work["run"] for work in mine["doing"]] == [tenants.run]


def test_knowing_a_digest_is_no_right_to_the_bundle(tenants):
    other = tenants.credentials["other tenant"]
    url = f"{tenants.coordinator.api}/blobs/{tenants.bundle}"
    assert requests.get(url, headers=bearer(other)).json() == {"present": False}
    body = submission(tenants.bundle, repository="org/two")
    answer = requests.post(f"{tenants.coordinator.api}/runs", json=body, headers=bearer(other))
    assert answer.status_code == 409
    assert upload(tenants.coordinator, other, b"a secret tree") == tenants.bundle
    assert requests.post(f"{tenants.coordinator.api}/runs", json=body, headers=bearer(other)).status_code == 201


def test_a_key_keeps_no_more_than_its_share_of_the_storage(tmp_path):
    coordinator = Server(tmp_path / "data", max_blobs_bytes=4000)
    try:
        one, other = coordinator.key(), coordinator.key()
        needed = upload(coordinator, one, b"a" * 600)
        assert requests.post(f"{coordinator.api}/runs", json=submission(needed), headers=bearer(one)).status_code == 201
        old = upload(coordinator, one, b"b" * 300)
        new = upload(coordinator, one, b"c" * 350)

        def is_here(key, digest):
            return requests.get(f"{coordinator.api}/blobs/{digest}", headers=bearer(key)).json()["present"]

        assert [is_here(one, digest) for digest in (needed, old, new)] == [True, False, True]
        assert coordinator.service.blobs.total_bytes == 950
        assert _sent(coordinator, one, b"d" * 900).status_code == 507, "what a run needs is not thrown away"
        assert _sent(coordinator, one, b"e" * 1200).status_code == 507, "more than a quarter of all"
        assert _sent(coordinator, other, b"f" * 900).status_code == 201, "the other one has a share of its own"
        assert [is_here(one, digest) for digest in (needed, new)] == [True, True]
        assert not [*(tmp_path / "data" / "blobs").glob("draft-*")]
    finally:
        coordinator.stop()


def _sent(coordinator, key, content):
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    return requests.put(f"{coordinator.api}/blobs/{digest}", data=content, headers=bearer(key))


def test_priorities_are_lowered_to_what_the_key_allows(tenants):
    from dt_action.coordinator.auth import Quota

    key = tenants.coordinator.key(quota=Quota(max_priority=5))
    run = submit(tenants.coordinator, key, priority=9).json()["run"]
    url = f"{tenants.coordinator.api}/runs/{run}"
    assert requests.get(url, headers=bearer(key)).json()["priority"] == 5
