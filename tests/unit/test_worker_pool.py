"""Several workers in one process: who is enlisted, refused and let go."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from dt_action.errors import FleetError
from dt_action.model.hardware import Capability
from dt_action.worker.pool import WorkerPool, WorkerSpec


class Agent:
    """Does as told: is refused, or works until it is to drain or leave."""

    def __init__(self, refusal: str = "") -> None:
        self._refusal = refusal
        self._is_over = threading.Event()
        self.is_enrolled = False
        self.told: list[str] = []

    def run(self) -> None:
        if self._refusal:
            raise FleetError(self._refusal)
        self.is_enrolled = True
        self._is_over.wait(30)

    def drain(self) -> None:
        self.told.append("drain")
        self._is_over.set()

    def leave(self, why: str) -> None:
        self.told.append(why)
        self._is_over.set()


def spec(name: str) -> WorkerSpec:
    hosts: Any = None
    return WorkerSpec(name=name, slots=1, probe=Capability, hosts=hosts)


def pool_of(agents: dict[str, Agent], looks: list[set[str]]) -> WorkerPool:
    """A pool that sees the specs of one look after the other, and is asked to end after the last."""

    def specs() -> dict[str, WorkerSpec]:
        names = looks.pop(0)
        if not looks:
            pool.ask()
        return {name: spec(name) for name in names}

    pool = WorkerPool(specs, lambda spec: agents[spec.name])  # type: ignore[arg-type, return-value]
    return pool


def test_each_berth_has_a_worker_and_one_that_is_gone_says_goodbye() -> None:
    agents = {"stays": Agent(), "goes": Agent(), "comes": Agent()}

    pool_of(agents, [{"stays", "goes"}, {"stays", "comes"}]).run()

    assert agents["goes"].told[0] == "its node is gone"
    assert agents["stays"].told == ["drain"]
    assert agents["comes"].told == ["drain"]


def test_one_that_is_refused_while_others_work_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    agents = {"works": Agent(), "refused": Agent("it answered 401: this enrolment token was used up")}

    pool_of(agents, [{"works", "refused"}, {"works", "refused"}]).run()

    assert "refused is no worker: it answered 401" in caplog.text
    assert "dt coordinator enrol --pool" in caplog.text
    assert agents["works"].told == ["drain"]


def test_where_all_are_refused_that_is_the_end() -> None:
    with pytest.raises(FleetError, match="used up"):
        pool_of({"refused": Agent("used up")}, [{"refused"}] * 5).run()


def test_a_cluster_that_is_gone_lets_all_go() -> None:
    agents = {"works": Agent()}
    looks = iter([{"works": spec("works")}])

    def specs() -> dict[str, WorkerSpec]:
        try:
            return next(looks)
        except StopIteration:
            raise FleetError("the Ray cluster does not answer any more") from None

    with pytest.raises(FleetError, match="does not answer"):
        WorkerPool(specs, lambda spec: agents[spec.name]).run()  # type: ignore[arg-type, return-value]
    assert agents["works"].told == ["the worker ends"]
