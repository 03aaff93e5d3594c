"""A history in a coordinator's database, over HTTP: by repository, bounded, with many writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import requests
from coordinator_rig import start_run
from past_samples import result, run_of
from test_coordinator_intruders import Server, bearer

from dt_action.app.remote_history import history_of
from dt_action.coordinator.oidc import Oidc
from dt_action.coordinator.store import HISTORY, rows_of
from dt_action.history import records_of
from dt_action.history.codec import encode
from dt_action.history.remote import RemoteHistory
from dt_action.history.stores import COMPACT_FROM


@pytest.fixture
def coordinator(tmp_path):
    made = Server(tmp_path / "data", Oidc([]))
    yield made
    made.stop()


def store(coordinator: Server, key: str, repository: str = "org/shop") -> RemoteHistory:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    return history_of(coordinator.url, key, repository, warn=refuse)


def ids(history: RemoteHistory) -> set[str]:
    return {record.id for record in history.load().records}


def pieces(coordinator: Server) -> int:
    return len(rows_of(coordinator.service.engine, HISTORY.select()))


def test_what_is_recorded_is_known_to_the_next_run_and_to_no_other_repository(coordinator):
    key = coordinator.key()
    assert ids(store(coordinator, key)) == set()
    store(coordinator, key).record(run_of(result("a.py::x", duration_s=2.0), id="1", at=1.0))
    store(coordinator, key).record(run_of(result("b.py::\ud800\0", "failed"), id="2", at=2.0))
    past = store(coordinator, key).load()
    assert past.duration_s("a.py::x") == 2.0
    assert past.failed_last() == {"b.py::\ud800\0"}
    assert ids(store(coordinator, key, "org/other")) == set()


def test_writers_at_once_lose_no_run_and_many_pieces_become_few(coordinator):
    key, count = coordinator.key(), 4 * COMPACT_FROM

    def write(number: int) -> None:
        store(coordinator, key).record(run_of(result(f"t{number}.py::x"), id=f"r{number}", at=float(number)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(count)))
    assert ids(store(coordinator, key)) == {f"r{number}" for number in range(count)}
    assert pieces(coordinator) < 2 * COMPACT_FROM


def test_a_credential_that_may_not_is_refused(coordinator):
    content = encode(records_of(run_of(result("a.py::x"))))
    bound = coordinator.key("submit", repositories=["org/mine"])
    for key, method, repository, status in (
        ("dtk_00000000_wrong", "get", "org/mine", 401),
        (coordinator.key("read"), "post", "org/mine", 403),
        (coordinator.key("submit"), "get", "org/mine", 403),
        (bound, "post", "org/theirs", 403),
        (bound, "get", "org/theirs", 403),
        (bound, "post", "org/mine", 201),
        (bound, "get", "org/mine", 200),
    ):
        body = content if method == "post" else None
        url = f"{coordinator.api}/history?repository={repository}"
        answer = requests.request(method, url, data=body, headers=bearer(key))
        assert answer.status_code == status, (method, repository, answer.text)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version": 2, "cases": [], "runs": [{}]}', b"\xff" * 100])
def test_what_is_no_history_is_refused_and_nothing_is_kept(coordinator, content):
    url = f"{coordinator.api}/history?repository=x"
    assert requests.post(url, data=content, headers=bearer(coordinator.key())).status_code == 422
    assert pieces(coordinator) == 0
    assert coordinator.is_well()


def test_a_coordinator_that_is_away_is_a_warning():
    told: list[str] = []
    history = history_of("http://127.0.0.1:9", "key", "x", warn=told.append, connect_timeout_s=0.0)
    assert history.load().records == ()
    history.record(run_of(result("a.py::x")))
    assert len(told) == 2
    assert "left out of account" in told[0]
    assert "could not be kept" in told[1]


def test_a_run_on_this_machine_is_known_to_the_next_one_by_the_coordinator(coordinator, tmp_path):
    root, key = tmp_path / "project", coordinator.key()
    root.mkdir()
    options = ("--fleet", "local", "--history", "coordinator")
    (root / "test_a.py").write_text("def test_a(): pass\n")
    start_run(root, coordinator.url, key, *options).finish()
    (root / "test_a.py").write_text("def test_a(): assert 0\n")
    told = start_run(root, coordinator.url, key, *options).finish()
    assert "New failures: 1" in told.output, told.output
    assert pieces(coordinator) == 2
