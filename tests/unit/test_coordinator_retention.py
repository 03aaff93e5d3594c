"""Everything that grows goes when it is old, or when there is too much of it; what is of use stays."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

import sqlalchemy as sa
from coordinator_sim import World, files_of, until_over

from dt_action.coordinator.retention import Cleaning, Retention, database_bytes
from dt_action.coordinator.roster import Owner
from dt_action.coordinator.store import (
    AUDIT,
    ENROLMENTS,
    EVENTS,
    HISTORY,
    KEYS,
    RESULTS,
    RUNS,
    SESSIONS,
    WORKERS,
    rows_of,
)

NOW = 1e9
DAY_S = 86400.0


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def clean(world: World, **kept) -> None:
    async def do(job):
        world.do(job)

    cleaning = Cleaning(world.engine, do, Retention(**kept), lambda run: run in world.desk.runs)
    asyncio.run(cleaning.clean(NOW))


def ended_run(world: World, *, owner: str = "ci", ended_at: float = NOW, cases: int = 5) -> str:
    files = files_of(1, cases)
    run = world.submit(files, owner=Owner(name=owner))
    worker = world.enrol(f"w{run}")
    until_over(world, run, [worker], files)
    world.do(lambda changes: world.desk.leave(changes, worker.id, reason="done"))
    world.do(lambda changes: changes.update(RUNS, run, ended_at=ended_at))
    world.tick(0.1)
    return run


def runs(world: World) -> set[str]:
    return {row.id for row in rows_of(world.engine, sa.select(RUNS.c.id))}


def test_runs_go_by_age_with_all_that_belongs_to_them(world):
    old, new = ended_run(world, ended_at=NOW - 31 * DAY_S), ended_run(world, ended_at=NOW - 29 * DAY_S)
    live = world.submit(files_of(1, 1))
    clean(world)
    assert runs(world) == {new, live}
    for table in (EVENTS, RESULTS):
        left = {row.run for row in rows_of(world.engine, sa.select(table.c.run).distinct())}
        assert old not in left
        assert new in left


def test_where_the_database_is_too_large_the_oldest_runs_of_the_largest_owner_go(world):
    small = ended_run(world, owner="small", ended_at=NOW - 9 * DAY_S)
    large = [ended_run(world, owner="large", ended_at=NOW - days * DAY_S, cases=300) for days in (3, 2, 1)]
    size = database_bytes(world.engine)
    clean(world, max_database_bytes=size - 50_000)
    left = runs(world)
    assert small in left, "it is older, and its owner takes little"
    assert large[0] not in left
    assert large[2] in left


def test_a_database_that_is_full_of_live_runs_is_left_alone(world):
    live = world.submit(files_of(1, 1))
    clean(world, max_database_bytes=1)
    assert runs(world) == {live}


def test_other_things_go_by_age(world):
    long_ago, lately = NOW - 91 * DAY_S, NOW - 1 * DAY_S
    key = {"hash": "", "scopes": "[]", "repositories": "[]", "max_slots": 0, "max_runs": 0, "max_priority": 0}
    worker = {"enrolment": "", "renewal_hash": "", "boot": "", "slots": 1, "capability": "{}", "version": ""}
    rows = [
        (KEYS, "id", {**key, "name": "", "created_at": 1.0}, {"old": {"revoked_at": long_ago}, "good": {}}),
        (KEYS, "id", {**key, "name": "", "created_at": 1.0}, {"new": {"expires_at": lately}}),
        (ENROLMENTS, "id", {"hash": "", "name": ""}, {"old": {"uses_left": 0, "created_at": long_ago}}),
        (ENROLMENTS, "id", {"hash": "", "name": ""}, {"good": {"uses_left": None, "created_at": 1.0}}),
        (WORKERS, "id", {**worker, "enrolled_at": 1.0}, {"old": {"name": "a", "state": "gone", "seen_at": long_ago}}),
        (WORKERS, "id", {**worker, "enrolled_at": 1.0}, {"good": {"name": "b", "state": "removed", "seen_at": 1.0}}),
        (SESSIONS, "hash", {"key": ""}, {"old": {"expires_at": NOW - 1}, "good": {"expires_at": NOW + 1}}),
        (HISTORY, "id", {"payload": ""}, {"old": {"repository": "asleep", "at": NOW - 181 * DAY_S}}),
        (HISTORY, "id", {"payload": ""}, {"good1": {"repository": "awake", "at": NOW - 181 * DAY_S}}),
        (HISTORY, "id", {"payload": ""}, {"good2": {"repository": "awake", "at": NOW}}),
    ]
    for table, name, common, made in rows:
        for id, own in made.items():
            world.do(lambda changes, t=table, row={name: id, **common, **own}: changes.insert(t, **row))
    for at, who in ((NOW - 401 * DAY_S, "old"), (NOW - 399 * DAY_S, "good")):
        world.do(lambda changes, at=at, who=who: changes.insert(AUDIT, at=at, who=who, what="", detail=""))
    clean(world)
    for table, column in ((KEYS, "id"), (ENROLMENTS, "id"), (WORKERS, "id"), (SESSIONS, "hash"), (HISTORY, "id")):
        left = {row[0] for row in rows_of(world.engine, sa.select(table.c[column]))}
        assert "old" not in left, table.name
        assert any(id.startswith("good") for id in left), table.name
    assert {row.who for row in rows_of(world.engine, sa.select(AUDIT.c.who).where(AUDIT.c.what == ""))} == {"good"}
