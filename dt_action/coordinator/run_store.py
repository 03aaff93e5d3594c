"""Where a coordinator keeps a run: the store of the engine over the tables of the database."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from dt_action.coordinator.conclusions import conclusion_of
from dt_action.coordinator.store import (
    EVENTS,
    INPUTS,
    LEASES,
    RESULTS,
    RUNS,
    Changes,
    as_text,
    case_key,
    rows_of,
    storable,
)
from dt_action.engine import Refuse
from dt_action.engine.engine import Told
from dt_action.engine.inputs import Input, input_from_jsonable, input_to_jsonable
from dt_action.model.event import CaseFinished, CaseUnplaced, Ended, FileCollected, FileSkipped
from dt_action.remote import wire


@dataclass(slots=True)
class Tally:
    """What a run came to so far. `failed_before` are the cases of which an attempt failed."""

    outcomes: Counter[str] = field(default_factory=Counter)
    known_cases: int = 0
    failed_before: set[str] = field(default_factory=set)

    def add(self, event: Told) -> None:
        """Count in what was told."""
        match event:
            case FileCollected():
                self.known_cases += len(event.cases)
            case CaseFinished() if event.will_retry:
                self.failed_before.add(event.case.id)
            case CaseFinished():
                self.outcomes[event.attempt.outcome] += 1
                self.known_cases += event.case.id == event.case.file
            case CaseUnplaced():
                self.outcomes["unplaced"] += 1
            case FileSkipped():
                self.outcomes["skipped"] += 1

    def totals(self) -> dict[str, int]:
        """How many cases have each outcome so far, and how many are known."""
        return {**self.outcomes, "known": self.known_cases}


@dataclass(slots=True, kw_only=True)
class Kept:
    """What is known of a run's rows: `events` is the number of the last one, `ended_at` Unix time in seconds."""

    run: str
    repository: str
    events: int = 0
    ended_at: float | None = None
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class SqlStore:
    """See `engine.Store`: what a run is given and tells becomes rows among `changes`."""

    kept: Kept
    changes: Changes

    def add_input(self, number: int, now: float, what: Input) -> None:
        """See `engine.Store`."""
        payload = as_text({"now": now, **input_to_jsonable(what)})
        self.changes.add(INPUTS, run=self.kept.run, seq=number, payload=payload)

    def add_event(self, event: Told) -> None:
        """See `engine.Store`."""
        self.kept.tally.add(event)
        if isinstance(event, Refuse):
            self.note(wire.Refused(message=event.message, hint=event.hint, exit_code=event.exit_code))
            return
        number = self.note(event)
        if isinstance(event, CaseFinished) and not event.will_retry:
            self._add_result(event, number)
        elif isinstance(event, Ended):
            self._end(event)

    def note(self, event: wire.StreamEvent) -> int:
        """Add an event to the run's stream; its number."""
        self.kept.events += 1
        self.changes.add(
            EVENTS,
            run=self.kept.run,
            seq=self.kept.events,
            kind=type(event).__name__,
            at=time.time(),
            payload=as_text(wire.event_to_jsonable(event)),
        )
        return self.kept.events

    def _add_result(self, finished: CaseFinished, number: int) -> None:
        attempt = finished.attempt
        self.changes.add(
            RESULTS,
            run=self.kept.run,
            event=number,
            repository=self.kept.repository,
            case=storable(finished.case.id),
            case_key=case_key(finished.case.id),
            outcome=attempt.outcome,
            is_flaky=not attempt.is_failing and finished.case.id in self.kept.tally.failed_before,
            duration_s=attempt.duration_s,
            worker=storable(attempt.worker, 255),
            slot=attempt.slot,
            started_at=attempt.started_at or time.time(),
            message=storable(attempt.message, 500),
        )

    def _end(self, ended: Ended) -> None:
        self.kept.ended_at = time.time()
        self.changes.update(
            RUNS,
            self.kept.run,
            ended_at=self.kept.ended_at,
            status=ended.status,
            reason=storable(ended.reason, 4000),
            totals=as_text(self.kept.tally.totals()),
            conclusion=conclusion_of(ended.status, self.kept.tally.totals()),
        )
        self.changes.execute(INPUTS.delete().where(INPUTS.c.run == self.kept.run))


def inputs_of(engine: sa.Engine, run: str) -> Iterator[tuple[float, Input]]:
    """All that was put into a run that is not over, in order. Raises UnreadableError for what another version wrote."""
    rows = rows_of(engine, sa.select(INPUTS.c.payload).where(INPUTS.c.run == run).order_by(INPUTS.c.seq))
    for number, row in enumerate(rows, start=1):
        record = json.loads(row.payload)
        yield record["now"], input_from_jsonable(record, source=f"input {number} of run {run}")


def close_unreadable(changes: Changes, engine: sa.Engine, run: str, reason: str) -> None:
    """End a run whose record cannot be lived through again; what it told stays."""
    last = rows_of(engine, sa.select(sa.func.max(EVENTS.c.seq)).where(EVENTS.c.run == run))[0][0] or 0
    outcomes = Counter(row.outcome for row in rows_of(engine, sa.select(RESULTS.c.outcome).where(RESULTS.c.run == run)))
    kept = Kept(run=run, repository="", events=last, tally=Tally(outcomes=outcomes))
    SqlStore(kept, changes).add_event(Ended(status="stopped", reason=reason))
    open_leases = LEASES.update().where(LEASES.c.run == run, LEASES.c.state == "open")
    changes.execute(open_leases.values(state="closed", closed_at=time.time()))
