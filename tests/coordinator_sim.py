"""Stand-ins for the parts of a coordinator's world: slots that run nothing, and a desk on a clock of the test's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from support.fake_slot import FakeSlot, suite_of

from dt_action.coordinator.desk import Desk
from dt_action.coordinator.roster import Owner, Patience
from dt_action.coordinator.schema import migrate
from dt_action.coordinator.store import EVENTS, Changes, open_engine, rows_of
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import message_to_jsonable, parse_command
from dt_action.remote import wire

Files = Mapping[str, Sequence[str]]
"""The cases of each file, by id."""


def files_of(count: int, cases: int) -> dict[str, list[str]]:
    """`count` files with `cases` cases each."""
    names = [f"tests/test_{number}.py" for number in range(count)]
    return {name: [f"{name}::test_{case}" for case in range(cases)] for name in names}


def plan_of(files: Files, *, needs: Mapping[str, FileNeeds] | None = None, case_s: float = 0.01) -> Plan:
    """A plan of these files."""
    return Plan(
        files=tuple(
            PlannedFile(
                path=path,
                needs=(needs or {}).get(path) or FileNeeds(path=path),
                expected_s=len(cases) * case_s,
                is_measured=True,
            )
            for path, cases in files.items()
        )
    )


@dataclass(slots=True)
class Clock:
    """A steady clock that moves when told."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class SimLease:
    """A lease on a simulated worker, and the numbering of what it tells."""

    lease: wire.Lease
    slot: FakeSlot
    first: int = 1
    seen: int = 0
    unsent: list[dict[str, Any]] = field(default_factory=list)

    def work(self, most: int = 1_000_000) -> None:
        """Let the slot go on, and keep what it tells until it is sent."""
        self.unsent += map(message_to_jsonable, self.slot.work(most))


def _hurry(connection: Any, _: Any) -> None:
    """These tests pull no plug."""
    connection.execute("PRAGMA synchronous=OFF")


@dataclass(slots=True)
class World:
    """A desk on a database in `directory`, with jobs done and written one by one."""

    directory: Path
    patience: Patience = field(default_factory=lambda: Patience(lease_s=10.0, eviction_timeout_s=60.0))
    clock: Clock = field(default_factory=Clock)
    database: str = ""
    engine: sa.Engine = field(init=False)
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        self.engine = open_engine(self.database or f"sqlite:///{self.directory / 'world.db'}")
        if not self.database:
            event.listen(self.engine, "connect", _hurry)
        migrate(self.engine)
        self.restart()

    def restart(self) -> None:
        """Forget everything in memory, as a coordinator that was killed does."""
        self.desk = Desk(self.engine, patience=self.patience, lease_token=lambda lease: f"t-{lease}", clock=self.clock)
        self.desk.load()

    def do(self, job: Callable[[Changes], Any]) -> Any:
        """One job, written."""
        changes = Changes()
        answer = job(changes)
        with self.engine.begin() as connection:
            changes.write(connection)
        return answer

    def enrol(self, name: str, *, slots: int = 1, capability: Capability | None = None, boot: str = "b") -> SimWorker:
        """A worker."""
        asked = wire.Enrolment(
            name=name, boot=boot + name, slots=slots, capability=capability or Capability(platform="linux")
        )
        worker = self.do(lambda changes: self.desk.enrol(changes, asked, enrolment="e", renewal_hash=""))
        return SimWorker(self, worker.id, asked.boot)

    def submit(self, files: Files, *, owner: Owner | None = None, plan: Plan | None = None, **more: Any) -> str:
        """A run."""
        start = PytestStart(measures=more.pop("measures", False))
        submission = wire.Submission(
            start=start,
            nonce=more.pop("nonce", f"n{len(self.desk.runs)}{self.clock.now}"),
            bundle="0" * 64,
            plan=plan or plan_of(files),
            **more,
        )
        submitted = self.do(lambda changes: self.desk.submit(changes, submission, owner or Owner(name="ci")))
        run: str = submitted.run
        return run

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds
        self.do(self.desk.tick)

    def events(self, run: str) -> list[wire.StreamEvent]:
        """All that was told of a run."""
        import json

        rows = rows_of(self.engine, sa.select(EVENTS).where(EVENTS.c.run == run).order_by(EVENTS.c.seq))
        assert [row.seq for row in rows] == [*range(1, len(rows) + 1)]
        told = [wire.event_from_jsonable(json.loads(row.payload), source="a row") for row in rows]
        return [event for event in told if event is not None]

    def finals(self, run: str) -> Counter[str]:
        """How often each case got a final outcome."""
        from dt_action.model.event import CaseFinished

        return Counter(
            event.case.id for event in self.events(run) if isinstance(event, CaseFinished) and not event.will_retry
        )


@dataclass(slots=True)
class SimWorker:
    """A worker whose slots are simulated. Everything it says and hears goes through JSON."""

    world: World
    id: str
    boot: str
    leases: dict[str, SimLease] = field(default_factory=dict)

    def poll(self, *, is_draining: bool = False, given_up: Mapping[str, str] | None = None) -> wire.Work:
        """Ask for work, and take it."""
        asked = wire.Poll(
            boot=self.boot,
            wait_s=0.0,
            holding={id: lease.seen for id, lease in self.leases.items()},
            given_up=given_up or {},
            is_draining=is_draining,
        )
        work = self.world.do(lambda changes: self.world.desk.poll(changes, self.id, asked))
        work = from_jsonable(wire.Work, to_jsonable(work), source="work")
        for id, commands in work.commands.items():
            if id in self.leases:  # those of a new one come with it
                self._obey(self.leases[id], commands)
        for id in work.revoked:
            del self.leases[id]
        return work

    def take(self, work: wire.Work, files: Files, **more: Any) -> None:
        """Start a simulated slot for each new lease."""
        for lease in work.leases:
            if lease.id not in self.leases:
                self.leases[lease.id] = SimLease(lease, FakeSlot(suite_of(files, duration_s=0.01), **more))
                self._obey(self.leases[lease.id], work.commands.get(lease.id, ()))

    def tell(self, lease: SimLease, most: int = 1_000_000) -> wire.Taken:
        """Let a slot work, and tell what it told."""
        lease.work(most)
        told = wire.Told(first=lease.first, messages=tuple(lease.unsent), seen=lease.seen)
        taken = self.world.do(lambda changes: self.world.desk.take_messages(changes, lease.lease.id, told))
        self.confirm(lease, from_jsonable(wire.Taken, to_jsonable(taken), source="taken"))
        return taken

    def confirm(self, lease: SimLease, taken: wire.Taken) -> None:
        """Take in an answer."""
        done = taken.heard + 1 - lease.first
        lease.unsent = lease.unsent[done:]
        lease.first += done
        self._obey(lease, taken.commands)

    def _obey(self, lease: SimLease, commands: Sequence[wire.Numbered]) -> None:
        for numbered in commands:
            if numbered.number > lease.seen:
                lease.seen = numbered.number
                if numbered.command["op"] != "kill":
                    lease.slot.inbox.append(parse_command(numbered.command))

    def step(self, files: Files, *, most: int = 1_000_000) -> None:
        """Poll once, and let each slot work once."""
        self.take(self.poll(), files)
        for id, lease in [*self.leases.items()]:
            self.tell(lease, most)
            if lease.slot.is_over:
                self.leases.pop(id, None)


def until_over(world: World, run: str, workers: Sequence[SimWorker], files: Files, *, most: int = 1_000_000) -> None:
    """Let everybody work until the run is over."""
    for _ in range(100_000):
        live = world.desk.runs.get(run)
        if live is None or live.is_over:
            return
        for worker in workers:
            worker.step(files, most=most)
        world.tick(0.25)
    raise AssertionError("the run does not end")
