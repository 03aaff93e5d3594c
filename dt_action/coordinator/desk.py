"""What workers and clients ask of the coordinator, and what time asks of it: each is one method."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from dt_action.coordinator import allocation
from dt_action.coordinator.allocation import infeasible
from dt_action.coordinator.live_run import LiveLease, LiveRun
from dt_action.coordinator.live_state import LiveState
from dt_action.coordinator.roster import (
    MOST_LOG_LINES,
    Leases,
    LiveWorker,
    Owner,
    Patience,
    RowToBe,
)
from dt_action.coordinator.store import LEASES, RUNS, WORKERS, Changes, as_text, rows_of, storable
from dt_action.coordinator.writer import RefusalError
from dt_action.engine.inputs import Cancel, EndedEarly, Hear, Join, Leave, Open, Release, Tick
from dt_action.model.hardware import Capability
from dt_action.model.json_codec import to_jsonable
from dt_action.model.slot_protocol import Died, Log, Message, Ready, parse_relayed
from dt_action.remote import wire

_LOG = logging.getLogger("dt.coordinator")

SEEN_EVERY_S = 30.0
RETRY_ASIDE_S = 900.0
"""So long a worker that was put aside gets nothing; then one start tells whether its environment is sound again."""

MOST_LOG_TAIL = 16384
STALL_S = 1.0
"""Ticks come several times a second. Where one comes later than this, the coordinator itself did not listen."""


class Desk:
    """
    Answers requests, over what is `live`. Only the writer's thread may call what takes `changes`; each such call is
    one job.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        patience: Patience,
        lease_token: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.live = LiveState(engine, clock)
        self._engine = engine
        self._patience = patience
        self._lease_token = lease_token
        self._clock = clock
        self._ticked_at = clock()

    def load(self) -> None:
        """Read everything from the database."""
        self._ticked_at = self._clock()
        self.live.load()

    @property
    def workers(self) -> dict[str, LiveWorker]:
        """Those that are enrolled, by id."""
        return self.live.workers

    @property
    def runs(self) -> dict[str, LiveRun]:
        """Those that are not done with, by id."""
        return self.live.runs

    @property
    def leases(self) -> Leases:
        """Those that are open."""
        return self.live.leases

    # --- workers --------------------------------------------------------------------------------------------------

    def enrol(self, changes: Changes, asked: wire.Enrolment, *, enrolment: str, renewal_hash: str) -> LiveWorker:
        """A machine becomes a worker. One of the same name that is silent, or was the same process, makes way."""
        for other in [worker for worker in self.workers.values() if worker.name == asked.name]:
            if other.boot == asked.boot or self.silence_s(other) > self._patience.lease_s:
                self._remove(changes, other, "another worker enrolled with its name")
        taken = {worker.name for worker in self.workers.values()}
        name, number = asked.name, 2
        while name in taken:
            name, number = f"{asked.name}-{number}", number + 1
        worker = LiveWorker(
            id=secrets.token_hex(8),
            name=name,
            boot=asked.boot,
            slots=asked.slots,
            capability=asked.capability,
            heard_at=self._clock(),
            version=asked.version,
            enrolled_at=time.time(),
        )
        self.workers[worker.id] = worker
        changes.add(
            WORKERS,
            id=worker.id,
            name=name,
            enrolment=enrolment,
            renewal_hash=renewal_hash,
            boot=asked.boot,
            slots=asked.slots,
            capability=as_text(to_jsonable(asked.capability)),
            version=storable(asked.version, 255),
            state="active",
            enrolled_at=worker.enrolled_at,
            seen_at=worker.enrolled_at,
        )
        changes.audit(f"enrolment {enrolment}", "worker enrolled", f"{name} ({worker.id}), {asked.slots} slots")
        self._announce(changes, worker)
        return worker

    def poll(self, changes: Changes, worker_id: str, asked: wire.Poll) -> wire.Work:
        """What there is for a worker: new leases, commands, and what it must give up."""
        worker = self._worker(worker_id)
        self._heard_of(changes, worker)
        worker.vitals = asked.vitals or worker.vitals
        worker.log.extend(line[:500] for line in asked.log[-MOST_LOG_LINES:])
        if asked.boot != worker.boot:
            worker.boot = asked.boot
            changes.update(WORKERS, worker.id, boot=asked.boot)
        for lease in self.leases.on(worker.id):
            if lease.boot != worker.boot:
                self.live.lose(changes, lease, f"worker {worker.name} was started anew")
            elif lease.id in asked.given_up:
                self.live.lose(
                    changes, lease, f"worker {worker.name} gave its slot up: {asked.given_up[lease.id][:500]}"
                )
            elif lease.is_missed(lease.id in asked.holding, self._clock()):
                self.live.lose(changes, lease, f"worker {worker.name} no longer has its slot")
        if asked.capability is not None and asked.capability != worker.capability:
            worker.capability = asked.capability
            changes.update(WORKERS, worker.id, capability=as_text(to_jsonable(asked.capability)))
            self._announce(changes, worker)
        if asked.is_draining and worker.state == "active":
            self.set_draining(changes, worker_id, who=worker.name)
        self._fill(changes, worker)
        mine = {lease.id: lease for lease in self.leases.on(worker.id)}
        commands = {id: lease.after(asked.holding.get(id, 0)) for id, lease in mine.items()}
        return wire.Work(
            leases=tuple(self._offer(lease) for lease in mine.values() if not lease.was_held),
            commands={id: waiting for id, waiting in commands.items() if waiting},
            revoked=tuple(id for id in asked.holding if id not in mine),
            is_draining=worker.state == "draining",
        )

    def set_draining(self, changes: Changes, worker_id: str, *, who: str) -> None:
        """Give the worker nothing new, and let its slots go as soon as they have nothing in hand."""
        worker = self._worker(worker_id)
        worker.state = "draining"
        changes.update(WORKERS, worker.id, state="draining")
        changes.audit(who, "worker drained", worker.name)
        for lease in self.leases.on(worker.id):
            self.live.put(changes, self.runs[lease.run], Release(slot=lease.slot))
        self.live.changed_workers.add(worker.id)

    def resume(self, changes: Changes, worker_id: str, *, who: str) -> None:
        """Let a draining worker work again."""
        worker = self._worker(worker_id)
        worker.state, worker.reason = "active", ""
        worker.starts.succeeded()
        changes.update(WORKERS, worker.id, state="active", reason="")
        changes.audit(who, "worker resumed", worker.name)
        self._fill(changes, worker)
        self.live.changed_workers.add(worker.id)

    def leave(self, changes: Changes, worker_id: str, *, reason: str) -> None:
        """The worker says goodbye, or somebody removes it."""
        self._remove(changes, self._worker(worker_id), reason)

    def _worker(self, worker_id: str) -> LiveWorker:
        worker = self.workers.get(worker_id)
        if worker is None:
            raise RefusalError(401, "this worker is not enrolled (any more)", hint="enrol it again")
        return worker

    def _announce(self, changes: Changes, worker: LiveWorker) -> None:
        for run in self.runs.values():
            if not run.is_over:
                self._join(changes, run, worker)

    def _join(self, changes: Changes, run: LiveRun, worker: LiveWorker) -> None:
        if not allocation.takes(worker.capability, run.submission.start.isolation):
            return
        self.live.put(changes, run, Join(worker=worker.name, capability=worker.capability, slots=worker.slots))

    def _remove(self, changes: Changes, worker: LiveWorker, reason: str) -> None:
        for lease in self.leases.on(worker.id):
            self.live.lose(changes, lease, f"worker {worker.name} left: {reason}")
        self.workers.pop(worker.id, None)
        changes.update(WORKERS, worker.id, state="gone")
        changes.audit(worker.name, "worker left", reason)
        for run in [*self.runs.values()]:
            if worker.name in run.state.workers and not run.is_over:
                self.live.put(changes, run, Leave(worker=worker.name, reason=reason))

    def _heard_of(self, changes: Changes, worker: LiveWorker) -> None:
        worker.heard_at, worker.is_silent = self._clock(), False
        if time.time() - worker.noted_at > SEEN_EVERY_S:
            worker.noted_at = time.time()
            changes.update(WORKERS, worker.id, seen_at=worker.noted_at)

    def silence_s(self, worker: LiveWorker) -> float:
        """How long nothing was heard of a worker."""
        return self._clock() - worker.heard_at

    # --- leases ---------------------------------------------------------------------------------------------------

    def take_messages(self, changes: Changes, lease_id: str, told: wire.Told) -> wire.Taken:
        """What a slot told. What was taken in before is not taken in again."""
        lease = self.leases.get(lease_id)
        if lease is None:
            raise RefusalError(410, "this lease was given away or is over; what it tells is ignored")
        if told.first > lease.heard + 1:
            raise RefusalError(409, f"expected message {lease.heard + 1} of this lease, found {told.first}")
        fresh = [parse_relayed(value) for value in told.messages[lease.heard + 1 - told.first :]]
        worker = self.workers.get(lease.worker)
        if worker is not None:
            self._heard_of(changes, worker)
        run = self.runs[lease.run]
        if worker is not None and any(isinstance(message, Ready) for message in fresh):
            run.started_on.add(worker.name)
            worker.starts.succeeded()
            worker.reason = ""
        lease.heard += len(fresh)
        for is_of_agent, messages in itertools.groupby(fresh, lambda message: isinstance(message, (Died, Log))):
            if is_of_agent:
                for message in messages:
                    self._hear(changes, run, lease, message)
            else:
                self.live.put(changes, run, Hear(slot=lease.slot, messages=tuple(messages), at=time.time()))
        if fresh and lease.id in self.leases:
            changes.update(LEASES, lease.id, heard=lease.heard)
        self.live.changed_leases.discard(lease.id)  # this answer brings its commands
        return wire.Taken(heard=lease.heard, commands=lease.after(told.seen))

    def _hear(self, changes: Changes, run: LiveRun, lease: LiveLease, message: Message) -> None:
        """What the worker's agent tells of the slot's process."""
        if isinstance(message, Died):
            was_starting = lease.slot in run.state.starting
            self.live.bury(changes, lease, replace(message, log_tail=message.log_tail[-MOST_LOG_TAIL:]), "closed")
            worker = self.workers.get(lease.worker)
            if worker is not None:
                if was_starting:
                    self._start_failed(changes, worker, run, message)
                self._fill(changes, worker)
        elif isinstance(message, Log):
            run.log(changes, lease, message.text)
            self.live.changed_runs.add(run.id)

    def _start_failed(self, changes: Changes, worker: LiveWorker, run: LiveRun, died: Died) -> None:
        """A worker on which run after run does not start is put aside, and tried again after a while."""
        elsewhere = bool(run.started_on - {worker.name})
        worker.starts.failed_for(run.id, died.log_tail or died.reason, is_ready_elsewhere=elsewhere)
        worker.reason = worker.starts.trouble or worker.reason
        if worker.starts.is_broken and worker.state == "active":
            worker.state, worker.aside_until = "aside", self._clock() + RETRY_ASIDE_S
            changes.update(WORKERS, worker.id, state="aside", reason=storable(worker.reason, 2000))
            changes.audit("coordinator", "worker put aside", f"{worker.name}: {worker.reason}")

    def _offer(self, lease: LiveLease) -> wire.Lease:
        submission = self.runs[lease.run].submission
        slots = sum(worker.slots for worker in self.workers.values())
        return wire.Lease(
            id=lease.id,
            token=self._lease_token(lease.id),
            slot=lease.slot,
            bundle=submission.bundle,
            start=replace(submission.start, run=lease.run, slots=max(1, slots)),
            workspace=self.runs[lease.run].workspace,
            is_plain=lease.is_plain,
            visible=lease.visible,
            no_output_timeout_s=submission.limits.no_output_timeout_s,
        )

    def _fill(self, changes: Changes, worker: LiveWorker) -> None:
        """Give the worker's free slots to the runs that deserve them most."""
        free = worker.slots - len(self.leases.on(worker.id))
        while free > 0 and worker.state == "active" and not worker.is_silent:
            run = allocation.most_deserving(self._claims(worker))
            if run is None:
                break
            self._open(changes, self.runs[run], worker)
            free -= 1

    def _claims(self, worker: LiveWorker) -> list[allocation.Claim]:
        wanting = [run for run in self.runs.values() if run.state.wants_slot_on(worker.name)]
        if not wanting:
            return []
        slots_of = Counter(self.runs[lease.run].repository for lease in self.leases.values())
        owned = Counter(self.runs[lease.run].owner for lease in self.leases.values())
        return [
            allocation.Claim(
                run=run.id,
                priority=run.priority,
                repository_slots=slots_of[run.repository],
                created_at=run.created_at,
                repository=run.repository,
            )
            for run in wanting
            if not run.max_slots or owned[run.owner] < run.max_slots
        ]

    def _open(self, changes: Changes, run: LiveRun, worker: LiveWorker) -> None:
        slot = run.state.next_slot
        lease = LiveLease(id=secrets.token_hex(12), run=run.id, worker=worker.id, boot=worker.boot, slot=slot)
        self.leases.add(lease)
        changes.add(
            LEASES,
            id=lease.id,
            run=run.id,
            worker=worker.id,
            boot=worker.boot,
            slot=slot,
            state="open",
            heard=0,
            opened_at=time.time(),
            closed_at=None,
        )
        run.leases[slot] = lease
        self.live.put(changes, run, Open(worker=worker.name))
        self.live.changed_workers.add(worker.id)

    # --- runs -----------------------------------------------------------------------------------------------------

    def submit(self, changes: Changes, submission: wire.Submission, owner: Owner) -> wire.Submitted:
        """Begin a run. The same nonce of the same owner is the same run."""
        known = sa.select(RUNS.c.id).where(RUNS.c.owner == owner.name, RUNS.c.nonce == submission.nonce)
        for row in rows_of(self._engine, known):
            return wire.Submitted(run=row.id)
        live = sum(run.owner == owner.name and not run.is_over for run in self.runs.values())
        if owner.max_runs and live >= owner.max_runs:
            hint = "wait for one of them to end, or ask for a higher quota"
            raise RefusalError(429, f"{live} runs of this key are under way, as many as it may have", hint=hint)
        columns = {
            "id": secrets.token_hex(8),
            "nonce": submission.nonce,
            "owner": owner.name,
            "repository": storable(submission.repository, 255),
            "commit": storable(submission.commit, 255),
            "branch": storable(submission.branch, 255),
            "build_url": storable(submission.build_url, 2000),
            "priority": min(submission.priority, owner.max_priority),
            "max_slots": owner.max_slots,
            "bundle": submission.bundle,
            "submission": as_text(to_jsonable(submission)),
            "created_at": time.time(),
            "ended_at": None,
            "status": "running",
            "reason": "",
            "totals": "{}",
        }
        run = LiveRun(RowToBe(columns), clock=self._clock)
        self.runs[run.id] = run
        changes.add(RUNS, **columns)
        self.live.share_reservations(changes)
        changes.audit(owner.name, "run submitted", f"{run.id} of {run.repository or 'no repository'}")
        for worker in self.workers.values():
            self._join(changes, run, worker)
        for worker in self.workers.values():
            self._fill(changes, worker)
        warnings = infeasible(submission.plan, self._capabilities(), submission.start.isolation)
        return wire.Submitted(run=run.id, warnings=tuple(warnings))

    def cancel(self, changes: Changes, run_id: str, *, who: str, reason: str, status: EndedEarly = "cancelled") -> None:
        """End a run early, as `cancelled` or `stopped`. One that is over stays as it is."""
        run = self.runs.get(run_id)
        if run is None or run.is_over:
            return
        changes.audit(who, "run cancelled", run_id)
        self.live.put(changes, run, Cancel(status=status, reason=reason or f"cancelled by {who}"))

    def tick(self, changes: Changes) -> None:
        """Time passed: look for what is overdue, for workers that are silent, and for places that are free."""
        self._forgive_stall()
        self.live.close_unreadable(changes)
        for worker in [*self.workers.values()]:
            silent_s = self.silence_s(worker)
            if silent_s > self._patience.eviction_timeout_s:
                self._remove(changes, worker, f"it was not heard of for {silent_s:.0f} s")
            elif silent_s > self._patience.lease_s and not worker.is_silent:
                worker.is_silent = True
                for lease in self.leases.on(worker.id):
                    self.live.lose(changes, lease, f"worker {worker.name} was not heard of for {silent_s:.0f} s")
            elif worker.state == "aside" and self._clock() > worker.aside_until:
                worker.state = "active"  # the next start that fails there puts it aside again
                changes.update(WORKERS, worker.id, state="active")
        for run in [*self.runs.values()]:
            self.live.put(changes, run, Tick())
            self.live.forget_when_done(run)
        for worker in [*self.workers.values()]:
            self._fill(changes, worker)
            self._make_room(changes, worker)

    def _forgive_stall(self) -> None:
        """While a full disk or a busy machine kept the coordinator from listening, nobody was silent."""
        now = self._clock()
        stalled_s, self._ticked_at = now - self._ticked_at - STALL_S, now
        if stalled_s > 0:
            for worker in self.workers.values():
                worker.heard_at = min(now, worker.heard_at + stalled_s)

    def _make_room(self, changes: Changes, worker: LiveWorker) -> None:
        """Where all slots of a worker are taken: let go of one whose run has less need of it than another one."""
        mine = self.leases.on(worker.id)
        if len(self.runs) < 2 or len(mine) < worker.slots or any(lease.is_leaving for lease in mine):
            return
        claim = allocation.best(self._claims(worker))
        if claim is None:
            return
        slots_of = Counter(self.runs[lease.run].repository for lease in self.leases.values())
        holders = [
            allocation.Holder(
                lease=lease.id,
                priority=self.runs[lease.run].priority,
                repository_slots=slots_of[self.runs[lease.run].repository],
                is_resting=self.runs[lease.run].state.is_resting(lease.slot),
            )
            for lease in mine
            if lease.run != claim.run
        ]
        chosen = allocation.who_yields(claim, holders)
        if chosen is not None:
            lease = self.leases[chosen]
            lease.is_leaving = True
            self.live.put(changes, self.runs[lease.run], Release(slot=lease.slot))

    def _capabilities(self) -> dict[str, Capability]:
        return {worker.name: worker.capability for worker in self.workers.values()}
