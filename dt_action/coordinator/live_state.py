"""Who is here and what is under way, in memory: how it is read from the database, and how a run is told something."""

from __future__ import annotations

import logging
from collections.abc import Callable

import sqlalchemy as sa

from dt_action.coordinator.live_run import LiveLease, LiveRun
from dt_action.coordinator.roster import PRESENT, Leases, LiveWorker, worker_of
from dt_action.coordinator.run_store import close_unreadable, inputs_of
from dt_action.coordinator.store import EVENTS, LEASES, RUNS, WORKERS, Changes, rows_of
from dt_action.engine.inputs import Hear, Input, Reserve
from dt_action.model.holding import combined_by_worker
from dt_action.model.slot_protocol import Died

_LOG = logging.getLogger("dt.coordinator")


class LiveState:
    """
    The workers, the runs that are not done with, and the open leases. `unreadable` are runs that could not be read.

    The `changed_` sets name that for which there is something new. Everything here can be read anew from the database
    at any time: `load`.
    """

    def __init__(self, engine: sa.Engine, clock: Callable[[], float]) -> None:
        self.workers: dict[str, LiveWorker] = {}
        self.runs: dict[str, LiveRun] = {}
        self.leases = Leases()
        self.unreadable: dict[str, str] = {}
        self.changed_workers: set[str] = set()
        self.changed_leases: set[str] = set()
        self.changed_runs: set[str] = set()
        self._engine = engine
        self._clock = clock

    def load(self) -> None:
        """Read everything from the database."""
        now = self._clock()
        rows = rows_of(self._engine, sa.select(WORKERS).where(WORKERS.c.state.in_(PRESENT)))
        self.workers = {row.id: worker_of(row, now) for row in rows}
        open_leases = rows_of(self._engine, sa.select(LEASES).where(LEASES.c.state == "open"))
        leases = [
            LiveLease(id=row.id, run=row.run, worker=row.worker, boot=row.boot, slot=row.slot, heard=row.heard)
            for row in open_leases
        ]
        self.runs, self.leases, self.unreadable = {}, Leases(), {}
        for row in rows_of(self._engine, sa.select(RUNS).where(RUNS.c.ended_at.is_(None))):
            mine = [lease for lease in leases if lease.run == row.id]
            try:
                run = LiveRun(row, clock=self._clock)
                run.replay(inputs_of(self._engine, run.id), mine, events=self._count(run.id))
            except Exception as error:  # of another version of this program, or damaged: the others go on
                _LOG.exception("run %s cannot be continued and is closed", row.id)
                self.unreadable[row.id] = f"the coordinator, started anew, cannot read this run's record: {error}"
                continue
            self.runs[run.id] = run
            for lease in mine:
                self.leases.add(lease)
        _LOG.info("%d workers, %d runs, %d leases", len(self.workers), len(self.runs), len(self.leases))

    def _count(self, run: str) -> int:
        statement = sa.select(sa.func.max(EVENTS.c.seq)).where(EVENTS.c.run == run)
        return rows_of(self._engine, statement)[0][0] or 0

    def take_changed(self) -> tuple[set[str], set[str]]:
        """The workers and the runs for which there is something new, since this was asked last."""
        workers = self.changed_workers | {self.leases[id].worker for id in self.changed_leases if id in self.leases}
        runs = self.changed_runs
        self.changed_workers, self.changed_runs, self.changed_leases = set(), set(), set()
        return workers, runs

    def put(self, changes: Changes, run: LiveRun, what: Input) -> None:
        """Put something into a run; where it takes or gives back what only one may have, all other runs are told."""
        had = run.state.reserved_version
        self._put_alone(changes, run, what)
        if run.state.reserved_version != had and len(self.runs) > 1:
            self.share_reservations(changes)

    def _put_alone(self, changes: Changes, run: LiveRun, what: Input) -> None:
        events = run.events
        run.put(changes, what)
        for slot in run.discarded:
            self._discard(changes, run, slot)
        run.discarded.clear()
        if run.events != events:
            self.changed_runs.add(run.id)
        self.changed_leases |= run.changed_leases
        run.changed_leases.clear()

    def share_reservations(self, changes: Changes) -> None:
        """What a test of one run has for itself, no test of another run may have."""
        while True:
            held = {run.id: run.state.reserved for run in self.runs.values()}
            for run in self.runs.values():
                others = [mine for id, mine in held.items() if id != run.id]
                names = frozenset[str]().union(*(mine.names for mine in others))
                theirs = Reserve(names=names, lent=combined_by_worker([mine.lent for mine in others]))
                if theirs != run.state.reserved_elsewhere and not run.is_over:
                    self._put_alone(changes, run, theirs)  # it may reserve something in turn
                    break
            else:
                return

    def _discard(self, changes: Changes, run: LiveRun, slot: str) -> None:
        """The run does not want this slot: its worker will see that the lease is no longer its own."""
        lease = run.leases.get(slot)
        if lease is not None and self.leases.remove(lease.id):
            run.close_lease(changes, lease, "closed")
            self.changed_workers.add(lease.worker)

    def forget_when_done(self, run: LiveRun) -> None:
        """Forget a run that is over and has no slot any more."""
        if run.is_over and not run.leases:
            self.runs.pop(run.id, None)
            self.changed_runs.add(run.id)  # somebody may wait for its coverage

    def lose(self, changes: Changes, lease: LiveLease, reason: str) -> None:
        """The lease is taken from its worker, and the run is told that the process is lost."""
        self.changed_workers.add(lease.worker)
        self.bury(changes, lease, Died(reason=reason, how="lost"), "lost")

    def bury(self, changes: Changes, lease: LiveLease, died: Died, state: str) -> None:
        """The process of a lease has ended: the lease is over, as `closed` or `lost`, and the run is told."""
        if not self.leases.remove(lease.id):
            return  # it ended with its run just now
        run = self.runs[lease.run]
        run.close_lease(changes, lease, state)
        self.put(changes, run, Hear(slot=lease.slot, messages=(died,)))
        self.forget_when_done(run)

    def close_unreadable(self, changes: Changes) -> None:
        """End the runs that could not be read, with the reason."""
        for run, reason in self.unreadable.items():
            close_unreadable(changes, self._engine, run, reason)
            self.changed_runs.add(run)
        self.unreadable.clear()
