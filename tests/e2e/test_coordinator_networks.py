"""Three machines on networks of their own, over TLS: plain pytest's outcomes, and each gated test where it can run."""

from __future__ import annotations

from collections import Counter

import pytest
from coordinator_rig import Worker, closing_all, results_of, start_run
from network_rig import Network, network_of
from shop_project import make_shop, needs_of, plain_outcomes
from tls_rig import SecureCoordinator, make_certificate

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

DEVICES = {"nvidia": "cuda", "amd": "rocm", "board": "npu"}


@pytest.fixture(scope="module")
def network():
    made = network_of(len(DEVICES))
    yield made
    made.close()


def test_a_project_on_three_machines(tmp_path, network: Network, capsys):
    shop = make_shop(tmp_path / "shop")
    plain = plain_outcomes(shop, tmp_path / "plain")
    machines = dict(zip(DEVICES, network.machines, strict=True))
    certificate = make_certificate(tmp_path / "tls", ["127.0.0.1", *(machine.host for machine in network.machines)])
    coordinator = SecureCoordinator.made(tmp_path / "c", certificate, "--host", "0.0.0.0")
    coordinator.start()
    diary = tmp_path / "diary"
    workers = [
        Worker(
            tmp_path / name,
            f"https://{machine.host}:{coordinator.port}",
            coordinator.token(),
            ("--name", name, "--slots", "1", "--device", DEVICES[name]),
            {**coordinator.trust, "SHOP_DIARY": str(diary)},
            machine.prefix,
        ).start()
        for name, machine in machines.items()
    ]
    with closing_all(*workers, coordinator):
        told = start_run(
            shop, coordinator.url, coordinator.key(), "--confirm-budget", "0", **coordinator.trust
        ).finish()
        stored = results_of(coordinator)
    assert told.outcomes == plain, told.output[-3000:]
    assert Counter(plain.values()) == {"passed": 257, "failed": 2, "skipped": 2, "xfailed": 1, "error": 1}
    assert told.code == 1
    assert stored == dict.fromkeys(plain, 1)

    name_of = {machine.mark: name for name, machine in machines.items()}
    ran = [line.split("\t") for line in diary.read_text().splitlines()]
    where = {id: name_of[mark] for id, mark in ran}
    assert len(ran) == len(where), "a test ran twice"
    assert where == {id: told.workers[id] for id in where}, "the report names another machine than the kernel"
    gated = {id: needs_of(id) for id in plain if needs_of(id)}
    assert all(DEVICES[where[id]] in devices for id, devices in gated.items())
    share = Counter(where.values())
    with capsys.disabled():
        print(f"\n{len(plain)} outcomes as plain pytest's, {len(gated)} gated; tests by machine: {dict(share)}")
