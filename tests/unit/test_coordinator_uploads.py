"""The coverage data of slots at the coordinator: taken in as long as a lease holds, and whole when nothing follows."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

from coordinator_sim import SimLease, SimWorker, World, files_of, until_over

from dt_action.coordinator.uploads import keep, uploads_of
from dt_action.coordinator.writer import RefusalError
from dt_action.remote import wire

FILES = files_of(2, 3)
DIGEST = "ab" * 32


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def send(world: World, lease: str, root: str = "/workers/a") -> None:
    world.do(lambda changes: keep(world.desk, world.engine, changes, lease, digest=DIGEST, root=root, size=1))


def a_finished_run(world: World) -> tuple[str, SimWorker, SimLease]:
    """A run that is over, whose one slot was told to stop and takes too long to save."""
    run = world.submit(FILES, measures=True)
    worker = world.enrol("a")
    worker.take(worker.poll(), FILES)
    (lease,) = worker.leases.values()
    assert lease.lease.start.measures, "the worker is told to measure"
    while not lease.slot.is_stopped:
        worker.tell(lease, most=1)
    while not world.desk.runs[run].is_over:
        world.tick(1.0)
        worker.poll()
    return run, worker, lease


def test_a_run_that_is_over_is_whole_when_the_slots_that_save_have_sent(world):
    run, _, lease = a_finished_run(world)
    assert not uploads_of(world.engine, run).is_whole
    send(world, lease.lease.id)
    assert uploads_of(world.engine, run) == wire.CoverageUploads(
        is_whole=True, uploads=(wire.CoverageUpload(digest=DIGEST, root="/workers/a", worker="a", slot="gw0"),)
    )


def test_a_run_that_is_not_over_is_not_whole_whatever_was_sent(world):
    run = world.submit(FILES, measures=True)
    worker = world.enrol("a")
    worker.take(worker.poll(), FILES)
    send(world, next(iter(worker.leases)))
    assert not uploads_of(world.engine, run).is_whole


def test_a_coordinator_that_was_killed_while_slots_save_still_takes_their_data(world):
    run, _, lease = a_finished_run(world)
    world.restart()
    assert run not in world.desk.runs
    assert not uploads_of(world.engine, run).is_whole
    send(world, lease.lease.id)
    assert uploads_of(world.engine, run).is_whole


def test_what_is_sent_twice_is_there_once(world):
    run, _, lease = a_finished_run(world)
    send(world, lease.lease.id)
    send(world, lease.lease.id, root="/elsewhere")
    assert [upload.root for upload in uploads_of(world.engine, run).uploads] == ["/workers/a"]


def test_late_data_of_a_lease_that_was_given_away_is_ignored(world):
    run = world.submit(FILES, measures=True)
    silent, other = world.enrol("silent"), world.enrol("other")
    silent.take(silent.poll(), FILES)
    (lost,) = silent.leases.values()
    for _ in range(11):
        world.tick(1.0)
    with pytest.raises(RefusalError, match="given away") as refused:
        send(world, lost.lease.id)
    assert refused.value.status == 410
    until_over(world, run, [other], FILES)
    with pytest.raises(RefusalError, match="given away"):
        send(world, lost.lease.id)
    assert not uploads_of(world.engine, run).uploads


def test_a_slot_whose_tests_count_and_whose_data_never_came_is_named(world):
    run = world.submit(FILES, measures=True)
    silent = world.enrol("silent")
    silent.take(silent.poll(), FILES)
    (lost,) = silent.leases.values()
    silent.tell(lost)
    silent.tell(lost, most=6)
    done = set(world.finals(run))
    assert done, "some of its tests are told"
    assert len(done) < 6, "and not all"
    other = world.enrol("other")
    other.poll()
    for _ in range(11):
        world.tick(1.0)
    while not any(lease.slot.is_stopped for lease in other.leases.values()):
        other.step(FILES, most=1)
    while not world.desk.runs[run].is_over:
        world.tick(1.0)
        other.poll()
    for lease in [open.id for open in world.desk.leases.values()]:
        send(world, lease)
    found = uploads_of(world.engine, run)
    assert found.is_whole
    assert found.lost == ("gw0 on silent",)
