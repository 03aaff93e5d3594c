"""The coordinator's state: each case once, whatever is lost, repeated or late."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from coordinator_sim import SimLease, SimWorker, World, files_of, plan_of, until_over
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dt_action.coordinator.roster import Owner, Patience
from dt_action.coordinator.store import INPUTS
from dt_action.coordinator.writer import RefusalError
from dt_action.model.event import CaseFinished, CaseUnplaced, Ended
from dt_action.model.hardware import Capability, Clause, Device, DeviceNeed, FileNeeds, Requirement
from dt_action.model.pytest_start import PytestStart
from dt_action.remote import wire

FILES = files_of(4, 25)
ALL = {case for cases in FILES.values() for case in cases}


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def _is_whole(world: World, run: str) -> None:
    finals = world.finals(run)
    assert set(finals) == ALL
    assert set(finals.values()) == {1}
    assert isinstance(world.events(run)[-1], Ended)


def test_a_run_reaches_every_case_once(world):
    run = world.submit(FILES)
    until_over(world, run, [world.enrol("a", slots=2), world.enrol("b")], FILES)
    _is_whole(world, run)
    assert world.events(run)[-1].status == "completed"


def test_a_restart_after_every_step_changes_nothing(world):
    run = world.submit(FILES)
    workers = [world.enrol("a", slots=2), world.enrol("b")]
    for _ in range(1000):
        live = world.desk.runs.get(run)
        if live is None or live.is_over:
            break
        for worker in workers:
            worker.step(FILES, most=7)
            world.restart()
        world.tick(0.25)
    _is_whole(world, run)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_restart_does_not_forget_how_long_a_test_has_been_running(world, is_restarted):
    """What waits behind it is offered to another machine, though it looks too short to be worth that."""
    files = files_of(1, 30)
    run = world.submit(files, plan=plan_of(files, case_s=0.001))
    slow = world.enrol("slow")
    slow.step(files)
    (lease,) = slow.leases.values()
    lease.work()
    began = next(index for index, message in enumerate(lease.unsent) if message["e"] == "started")
    del lease.unsent[began + 1 :]
    slow.tell(lease, 0)
    for _ in range(20):
        world.tick(0.25)
    if is_restarted:
        world.restart()
    quick = world.enrol("quick")
    for _ in range(4):
        quick.step(files)
        world.tick(0.25)
    assert world.desk.runs[run].totals()["passed"] > 0


def test_a_restart_knows_which_test_skipped_itself_for_a_device_that_another_machine_has(world):
    """Its message, on which that depends, is in the record."""
    files = files_of(1, 1)
    run = world.submit(files)
    plain = world.enrol("plain")
    world.enrol("gpu", capability=Capability(platform="linux", devices=(Device(kind="cuda"),)))
    plain.step(files)
    (lease,) = plain.leases.values()
    lease.slot.change = lambda told: replace(told, outcome="skipped", message="needs a CUDA device")
    lease.work()
    plain.tell(lease, 0)
    before = world.desk.runs[run]
    assert before.totals() == {"known": 1}, "it is to be run on the other machine"
    world.restart()
    assert world.desk.runs[run].totals() == before.totals()


@pytest.mark.parametrize("record", ['{"do": "dance", "now": 1.0}', '{"do": "told", "now": 1.0, "with": {}}', "{", "7"])
def test_a_record_that_cannot_be_lived_through_closes_that_one_run_with_the_reason(world, record):
    broken, whole = world.submit(FILES, nonce="1"), world.submit(FILES, nonce="2")
    worker = world.enrol("a", slots=2)
    for _ in range(3):
        worker.step(FILES, most=9)
    done = world.finals(broken)
    with world.engine.begin() as connection:
        last = sa.select(sa.func.max(INPUTS.c.seq)).where(INPUTS.c.run == broken).scalar_subquery()
        where = sa.and_(INPUTS.c.run == broken, INPUTS.c.seq == last)
        connection.execute(INPUTS.update().where(where).values(payload=record))

    world.restart()
    world.tick(0.25)

    ended = world.events(broken)[-1]
    assert (ended.status, "cannot read this run's record" in ended.reason) == ("stopped", True)
    assert done and world.finals(broken) == done, "what it had told stays"
    until_over(world, whole, [worker], FILES)
    _is_whole(world, whole)


def test_a_rebuilt_run_is_the_one_that_was_lost(world):
    run = world.submit(FILES)
    worker = world.enrol("a", slots=2)
    for _ in range(3):
        worker.step(FILES, most=9)
    before = world.desk.runs[run]
    seen = {slot: ([*lease.commands], lease.numbered, lease.heard) for slot, lease in before.leases.items()}
    world.restart()
    after = world.desk.runs[run]
    for slot, (commands, numbered, heard) in seen.items():
        lease = after.leases[slot]
        assert (lease.numbered, lease.heard) == (numbered, heard)
        assert [*lease.commands][len(lease.commands) - len(commands) :] == commands
    assert after.totals() == before.totals()
    assert after.events == before.events
    assert abs(after.now - before.now) < 1.0


WORK = st.lists(st.tuples(st.sampled_from("abct"), st.integers(1, 12)), min_size=5, max_size=80)


@given(moves=WORK, files=st.integers(2, 9))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_lived_through_again_gives_every_slot_the_same_commands(tmp_path_factory, moves, files):
    """Also where many slots have as much to give up as others, and time passed without anything coming of it."""
    world = World(tmp_path_factory.mktemp("world"))
    suite = files_of(files, 8)
    run = world.submit(suite, limits=wire.RunLimits(retries=1))
    workers = {name: world.enrol(name, slots=3) for name in "abc"}
    for who, most in moves:
        if who == "t":
            world.tick(0.25)
        else:
            workers[who].step(suite, most=most)
        if run not in world.desk.runs or world.desk.runs[run].is_over:
            return
    before = {slot: lease.numbered for slot, lease in world.desk.runs[run].leases.items()}
    waiting = {lease.id: lease.after(0) for lease in world.desk.leases.values()}
    world.restart()
    assert {slot: lease.numbered for slot, lease in world.desk.runs[run].leases.items()} == before
    for id, commands in waiting.items():
        again = world.desk.leases[id].after(0)
        assert again[len(again) - len(commands) :] == commands


def test_what_is_told_twice_counts_once(world):
    run = world.submit(FILES)
    worker = world.enrol("a")
    worker.take(worker.poll(), FILES)
    (lease,) = worker.leases.values()
    worker.tell(lease)
    lease.work()
    told = wire.Told(first=lease.first, messages=tuple(lease.unsent), seen=lease.seen)
    first = world.do(lambda changes: world.desk.take_messages(changes, lease.lease.id, told))
    again = world.do(lambda changes: world.desk.take_messages(changes, lease.lease.id, told))
    assert again == first
    worker.confirm(lease, again)
    until_over(world, run, [worker], FILES)
    _is_whole(world, run)


def test_a_gap_in_what_is_told_is_refused_and_changes_nothing(world):
    world.submit(FILES)
    worker = world.enrol("a")
    worker.take(worker.poll(), FILES)
    (lease,) = worker.leases.values()
    told = wire.Told(first=3, messages=({"e": "want", "seen": 0},))
    with pytest.raises(RefusalError) as refused:
        world.do(lambda changes: world.desk.take_messages(changes, lease.lease.id, told))
    assert refused.value.status == 409
    assert world.desk.leases[lease.lease.id].heard == 0


def test_a_silent_worker_loses_its_leases_and_what_it_says_later_is_ignored(world):
    run = world.submit(FILES)
    lost, other = world.enrol("a"), world.enrol("b")
    lost.take(lost.poll(), FILES)
    (lease,) = lost.leases.values()
    lost.tell(lease)
    lease.work(9)
    for _ in range(50):
        world.tick(0.25)
        other.poll()
    until_over(world, run, [other], FILES)
    told = wire.Told(first=lease.first, messages=tuple(lease.unsent), seen=lease.seen)
    with pytest.raises(RefusalError) as refused:
        world.do(lambda changes: world.desk.take_messages(changes, lease.lease.id, told))
    assert refused.value.status == 410
    _is_whole(world, run)


def test_while_the_coordinator_itself_does_not_listen_nobody_is_silent(world):
    run = world.submit(FILES)
    worker = world.enrol("a")
    worker.take(worker.poll(), FILES)
    world.tick(0.25)
    world.clock.now += 60.0  # a full disk, a stopped machine
    world.do(world.desk.tick)
    assert len(world.desk.leases) == 1
    for _ in range(50):
        world.tick(0.25)
    assert not world.desk.leases, "from then on its silence counts"
    again = SimWorker(world, worker.id, worker.boot)
    until_over(world, run, [again], FILES)
    _is_whole(world, run)


def test_a_worker_that_was_started_anew_gives_its_old_leases_back_at_once(world):
    run = world.submit(FILES)
    first = world.enrol("a")
    first.take(first.poll(), FILES)
    (old,) = first.leases
    again = SimWorker(world, first.id, "another boot")
    work = again.poll()
    assert [lease.id for lease in work.leases] != [old]
    again.take(work, FILES)
    until_over(world, run, [again], FILES)
    _is_whole(world, run)


def test_an_offer_that_got_lost_is_made_again(world):
    world.submit(FILES)
    worker = world.enrol("a")
    lost_answer = worker.poll()
    assert worker.poll().leases == lost_answer.leases


def begun(world: World, worker: SimWorker, run: str) -> tuple[SimLease, str]:
    """A lease whose worker has told of some cases, and of the beginning of one more: which one."""
    worker.take(worker.poll(), FILES)
    (lease,) = worker.leases.values()
    worker.tell(lease)
    lease.work(12)
    last = max(index for index, message in enumerate(lease.unsent) if message["e"] == "started")
    case = lease.unsent[last]["id"]
    del lease.unsent[last + 1 :]
    worker.tell(lease, 0)
    return lease, case


def test_a_lease_that_its_worker_gives_up_is_told_at_once_and_the_rest_goes_on(world):
    """Its messages were refused, by a proxy or by a database that was restored: another process counts from 1."""
    run = world.submit(FILES)
    worker = world.enrol("a")
    lease, case = begun(world, worker, run)
    del worker.leases[lease.lease.id]

    work = worker.poll(given_up={lease.lease.id: "it answered 404"})

    assert lease.lease.id not in [offered.id for offered in work.leases]
    (crashed,) = [event for event in world.events(run) if isinstance(event, CaseFinished) and event.case.id == case]
    assert crashed.attempt.outcome == "crashed" and "404" in crashed.attempt.message
    worker.take(work, FILES)
    until_over(world, run, [worker], FILES)
    _is_whole(world, run)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_lease_that_its_worker_had_is_never_offered_again(world, is_restarted):
    run = world.submit(FILES)
    worker = world.enrol("a")
    lease, _ = begun(world, worker, run)
    del worker.leases[lease.lease.id]
    if is_restarted:
        world.restart()

    offered = []
    for _ in range(7):
        offered += [found.id for found in worker.poll().leases]
        world.tick(1.0)

    assert lease.lease.id not in offered
    assert lease.lease.id not in world.desk.leases, "it is lost, and others run what it held"
    until_over(world, run, [worker], FILES)
    _is_whole(world, run)


def test_a_worker_that_polls_is_not_evicted_by_one_of_its_name(world):
    """A poll may wait for longer than a third of the time after which a worker counts as silent."""
    world.patience = Patience(lease_s=45.0, eviction_timeout_s=300.0)
    world.restart()
    first = world.enrol("a")
    world.tick(20.0)
    second = world.enrol("a", boot="another")
    assert world.desk.workers[first.id].name == "a"
    assert world.desk.workers[second.id].name == "a-2"
    for _ in range(46):
        world.tick(1.0)
        second.poll()
    assert world.desk.workers[world.enrol("a", boot="third").id].name == "a", "the first one is silent now"


LICENSED = Requirement(exclusive=frozenset({"license"}))


@given(order=st.lists(st.sampled_from(["a", "b", "tick", "restart"]), min_size=10, max_size=60))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_test_has_for_itself_no_test_of_another_run_has(tmp_path_factory, order):
    world = World(tmp_path_factory.mktemp("world"))
    files = files_of(3, 2)
    needs = {path: FileNeeds(path=path, default=LICENSED) for path in list(files)[:2]}
    runs = [world.submit(files, plan=plan_of(files, needs=needs), nonce=name, repository=name) for name in "xy"]
    workers = {name: world.enrol(name, slots=2) for name in "ab"}
    for step in order:
        if step == "restart":
            world.restart()
        elif step == "tick":
            world.tick(0.25)
        else:
            workers[step].step(files, most=3)
        having = [run for run in world.desk.runs.values() if "license" in run.state.reserved.names]
        assert len(having) <= 1
    for run in runs:
        until_over(world, run, [*workers.values()], files)
        assert set(world.finals(run).values()) == {1}
        assert len(world.finals(run)) == 6


def test_the_same_nonce_is_the_same_run(world):
    assert world.submit(FILES, nonce="x") == world.submit(FILES, nonce="x")
    assert world.submit(FILES, nonce="x", owner=Owner(name="another")) != world.submit(FILES, nonce="x")


def test_a_cancelled_run_ends_and_frees_its_slots(world):
    run = world.submit(FILES)
    worker = world.enrol("a", slots=2)
    worker.step(FILES, most=5)
    world.do(lambda changes: world.desk.cancel(changes, run, who="me", reason="no more"))
    for _ in range(5):
        worker.step(FILES)
    assert world.events(run)[-1].status == "cancelled"
    assert not world.desk.leases
    assert not world.desk.runs


def test_a_cancelled_run_ends_in_time_although_a_worker_does_not_let_go(world):
    run = world.submit(FILES)
    worker = world.enrol("a")
    worker.step(FILES, most=5)
    world.do(lambda changes: world.desk.cancel(changes, run, who="me", reason="no more"))
    for _ in range(16):
        worker.poll()
        world.tick(1.0)
    assert world.events(run)[-1].status == "cancelled"


def test_the_coordinators_absence_makes_no_test_overdue(world):
    run = world.submit(FILES, limits=wire.RunLimits(run_timeout_s=100.0, case_timeout_s=5.0))
    worker = world.enrol("a")
    worker.step(FILES, most=5)
    world.clock.now += 3600.0
    world.restart()
    until_over(world, run, [worker], FILES)
    _is_whole(world, run)


def test_a_runs_timeout_ends_it_with_everything_finished_kept(world):
    run = world.submit(FILES, limits=wire.RunLimits(run_timeout_s=100.0))
    worker = world.enrol("a")
    worker.take(worker.poll(), FILES)
    (lease,) = worker.leases.values()
    worker.tell(lease)
    worker.tell(lease, most=11)
    done = len(world.finals(run))
    assert 0 < done < 100
    for _ in range(20):
        world.tick(6.0)
        worker.poll()
    assert world.events(run)[-1].status == "timeout"
    assert len(world.finals(run)) >= done


GPU = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda"),)),), enforced=True)


def test_what_no_worker_can_run_is_told_at_submission_and_in_the_end(world):
    needs = {"tests/test_0.py": FileNeeds(path="tests/test_0.py", default=GPU)}
    worker = world.enrol("plain")
    submission = wire.Submission(nonce="n", bundle="0" * 64, plan=plan_of(FILES, needs=needs), start=PytestStart())
    submitted = world.do(lambda changes: world.desk.submit(changes, submission, Owner(name="ci")))
    assert "tests/test_0.py needs cuda, which no worker has (plain: needs cuda" in submitted.warnings[0]
    until_over(world, submitted.run, [worker], FILES)
    unplaced = [event for event in world.events(submitted.run) if isinstance(event, CaseUnplaced)]
    assert [event.case.id for event in unplaced] == ["tests/test_0.py"]


def test_a_gated_file_runs_where_the_device_is(world):
    needs = {"tests/test_0.py": FileNeeds(path="tests/test_0.py", default=GPU)}
    plain = world.enrol("plain", slots=2)
    gpu = world.enrol("gpu", capability=Capability(platform="linux", devices=(Device(kind="cuda"),)))
    run = world.submit(FILES, plan=plan_of(FILES, needs=needs))
    until_over(world, run, [plain, gpu], FILES)
    _is_whole(world, run)
    where = {
        event.case.file: event.attempt.worker for event in world.events(run) if type(event).__name__ == "CaseFinished"
    }
    assert where["tests/test_0.py"] == "gpu"


def test_a_promised_worker_is_waited_for_and_a_lost_one_is_not(world):
    needs = {"tests/test_0.py": FileNeeds(path="tests/test_0.py", default=GPU)}
    plain = world.enrol("plain")
    world.enrol("gpu", capability=Capability(platform="linux", devices=(Device(kind="cuda"),)))
    run = world.submit(FILES, plan=plan_of(FILES, needs=needs))
    for _ in range(40):  # 40 s: the lease is lost, the promise holds
        world.tick(1.0)
        plain.step(FILES)
    assert not world.desk.runs[run].is_over
    for _ in range(40):
        world.tick(1.0)
        plain.step(FILES)
    assert any(isinstance(event, CaseUnplaced) for event in world.events(run))


def test_repositories_share_the_slots_and_the_late_one_need_not_wait_for_the_end(world):
    big = files_of(40, 25)
    worker = world.enrol("a", slots=4)
    first = world.submit(big, plan=plan_of(big, case_s=0.2), repository="one")
    for _ in range(3):
        worker.step(big, most=20)
    second = world.submit(FILES, plan=plan_of(FILES, case_s=0.2), repository="two")
    for _ in range(200):
        worker.step(big, most=20)
        world.tick(0.25)
        if {len(world.desk.runs[run].leases) for run in (first, second)} == {2}:
            break
    assert [len(world.desk.runs[run].leases) for run in (first, second)] == [2, 2]


def test_a_higher_priority_goes_first_as_far_as_its_key_allows(world):
    worker = world.enrol("a")
    world.submit(FILES, repository="one", nonce="1")
    urgent = world.submit(FILES, repository="one", nonce="2", priority=9, owner=Owner(name="boss", max_priority=5))
    boast = world.submit(FILES, repository="one", nonce="3", priority=9)
    assert world.desk.runs[urgent].priority == 5
    assert world.desk.runs[boast].priority == 0
    for _ in range(30):
        worker.step(FILES, most=20)
        world.tick(0.25)
        if world.desk.runs[urgent].leases:
            break
    assert world.desk.runs[urgent].leases


def test_quotas_hold(world):
    world.enrol("a", slots=8)
    owner = Owner(name="small", max_slots=2, max_runs=1)
    run = world.submit(FILES, owner=owner, nonce="1")
    assert len(world.desk.runs[run].leases) == 2
    with pytest.raises(RefusalError) as refused:
        world.submit(FILES, owner=owner, nonce="2")
    assert refused.value.status == 429


def test_a_drained_worker_finishes_what_it_has_and_gets_nothing_new(world):
    run = world.submit(FILES)
    leaving, staying = world.enrol("a"), world.enrol("b")
    for worker in (leaving, staying):
        worker.step(FILES, most=5)
    for _ in range(200):
        leaving.take(leaving.poll(is_draining=True), FILES)
        for id, lease in [*leaving.leases.items()]:
            stopped = lease.slot.is_stopped
            leaving.tell(lease)
            if stopped:
                del leaving.leases[id]
        if not leaving.leases:
            break
    assert not leaving.leases
    assert not leaving.poll(is_draining=True).leases
    until_over(world, run, [staying], FILES)
    _is_whole(world, run)


STEPS = st.lists(st.sampled_from(["a", "b", "c", "restart", "lose a", "lose b", "repeat", "tick", "late"]), max_size=60)


@given(steps=STEPS, sizes=st.integers(1, 12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_each_case_gets_exactly_one_outcome(tmp_path_factory, steps, sizes):
    """Workers that come, go silent and come back; answers that get lost; coordinators that are killed."""
    world = World(tmp_path_factory.mktemp("world"))
    run = world.submit(FILES)
    workers = {name: world.enrol(name) for name in "abc"}
    ghosts: list[tuple[str, wire.Told]] = []
    for step in steps:
        if step == "restart":
            world.restart()
        elif step == "tick":
            world.tick(0.25)
        elif step == "repeat":
            _tell_without_hearing(world, workers["a"])
        elif step == "late":
            for id, told in ghosts:
                with pytest.raises(RefusalError):
                    world.do(lambda changes, id=id, told=told: world.desk.take_messages(changes, id, told))
        elif step.startswith("lose"):
            name = step[-1]
            ghosts += [(id, _unsent(lease)) for id, lease in workers[name].leases.items()]
            workers[name] = SimWorker(world, workers[name].id, workers[name].boot + "+")
            workers[name].poll()
            workers[name].leases.clear()
            workers[name] = SimWorker(world, workers[name].id, workers[name].boot)
        else:
            workers[step].step(FILES, most=sizes)
    until_over(world, run, [*workers.values()], FILES, most=sizes + 5)
    live = world.finals(run)
    assert set(live.values()) <= {1}
    told = {event.case.id for event in world.events(run) if isinstance(event, CaseUnplaced)}
    blamed = {case for case in live if case not in ALL}  # a file that was in hand when two processes died
    files_blamed = {case.partition("::")[0] for case in blamed}
    assert {case for case in ALL if case.partition("::")[0] not in files_blamed} <= set(live) | told
    assert [event for event in world.events(run) if isinstance(event, Ended)] == [world.events(run)[-1]]


def _unsent(lease) -> wire.Told:
    lease.work(5)
    messages = tuple(lease.unsent) or ({"e": "want", "seen": 0},)
    return wire.Told(first=lease.first, messages=messages, seen=lease.seen)


def _tell_without_hearing(world: World, worker: SimWorker) -> None:
    """The answer gets lost, so that all of it will be told again."""
    for lease in worker.leases.values():
        lease.work(4)
        told = wire.Told(first=lease.first, messages=tuple(lease.unsent), seen=lease.seen)
        try:
            world.do(lambda changes, lease=lease, told=told: world.desk.take_messages(changes, lease.lease.id, told))
        except RefusalError as error:
            assert error.status == 410


# --- workers that get nothing started -------------------------------------------------------------------------------


def fails_to_start(world: World, worker: SimWorker, why: str = "no module named pytest") -> None:
    """Every slot of the worker dies before it is ready."""
    for lease in worker.poll().leases:
        died = {"e": "died", "reason": "the process exited with code 1", "log_tail": why, "root": ""}
        told = wire.Told(first=1, messages=(died,))
        world.do(lambda changes, id=lease.id, told=told: world.desk.take_messages(changes, id, told))


def test_a_worker_on_which_runs_do_not_start_that_start_elsewhere_is_put_aside_with_the_reason(world):
    good, broken = world.enrol("good"), world.enrol("broken")
    for number in range(3):
        assert world.desk.workers[broken.id].state == "active", number
        run = world.submit(FILES)
        good.step(FILES)
        fails_to_start(world, broken)
        until_over(world, run, [good], FILES)
    worker = world.desk.workers[broken.id]
    assert (worker.state, worker.reason) == (
        "aside",
        "3 runs in a row did not start here; the last one: no module named pytest",
    )
    run = world.submit(FILES)
    assert not broken.poll().leases
    until_over(world, run, [good], FILES)
    world.restart()
    assert world.desk.workers[broken.id].reason == worker.reason, "it is known over a restart"


def test_one_run_that_fails_everywhere_puts_nobody_aside(world):
    workers = [world.enrol("a"), world.enrol("b")]
    for _ in range(9):
        run = world.submit(FILES)
        while run in world.desk.runs and not world.desk.runs[run].is_over:
            for worker in workers:
                fails_to_start(world, worker, "the run's own requirements cannot be installed")
            world.tick(1.0)
    assert {worker.state for worker in world.desk.workers.values()} == {"active"}
    assert "runs in a row did not start here" in world.desk.workers[workers[0].id].reason, "but its admin is told"


def test_a_worker_that_starts_something_is_sound_again(world):
    good, shaky = world.enrol("good"), world.enrol("shaky")
    for _ in range(4):
        run = world.submit(FILES)
        good.step(FILES)
        fails_to_start(world, shaky)
        until_over(world, run, [good], FILES)
        run = world.submit(FILES)
        until_over(world, run, [shaky, good], FILES)
    assert world.desk.workers[shaky.id].state == "active"


def test_a_worker_that_was_put_aside_is_tried_again_after_a_while_and_by_its_admin_at_once(world):
    good, broken = world.enrol("good"), world.enrol("broken")
    for _ in range(3):
        run = world.submit(FILES)
        good.step(FILES)
        fails_to_start(world, broken)
        until_over(world, run, [good], FILES)
    worker = world.desk.workers[broken.id]
    assert worker.state == "aside"
    for _ in range(100):
        world.tick(10.0)
        good.poll()
        broken.poll()
    assert worker.state == "active"
    world.submit(FILES)
    good.step(FILES)
    fails_to_start(world, broken)
    assert worker.state == "aside", "one more start that fails is enough"
    world.do(lambda changes: world.desk.resume(changes, broken.id, who="admin"))
    assert (worker.state, worker.reason) == ("active", "")
